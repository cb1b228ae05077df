package lab

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"ingot/lab/bmc"
	"ingot/lab/vswitch"
)

// core is the bridge of a lab with a switch that the host and the lab's own services are on.
const core = "core"

// operatorNetworks are the logical networks that are connected with this host, and tenantNetworks those that are not.
var (
	operatorNetworks = []string{"provisioning", "cleaning", "rescuing", "inspection", "servicing"}
	tenantNetworks   = []string{"tenant-a", "tenant-b"}
)

// SwitchState is how the lab's switch is asked. It holds no secrets.
type SwitchState struct {
	URL       string   `json:"url"`
	TokenFile string   `json:"token_file"`
	CAFile    string   `json:"ca_file"`
	Networks  []string `json:"networks"` // of the operator
	Tenants   []string `json:"tenant_networks"`
}

// SwitchPort is where a NIC is cabled to, as local_link_connection has it.
type SwitchPort struct {
	SwitchID string `json:"switch_id"`
	PortID   string `json:"port_id"`
}

// switchID has the form of a MAC address, as the API wants it.
func (c *Config) switchID() string {
	a := c.Subnet.Addr().As4()
	return fmt.Sprintf("52:54:ff:%02x:%02x:01", a[1], a[2])
}

// switchPorts are a machine's; the port is named as the NIC's tap.
func (c *Config) switchPorts(s spec) (out []SwitchPort) {
	if !c.Switch {
		return nil
	}
	for _, tap := range s.Taps {
		out = append(out, SwitchPort{c.switchID(), tap})
	}
	return out
}

// makeLogicalNetworks makes a bridge per logical network. Those of the operator hang on the core bridge at ports that are
// isolated from each other (bridge(8), "isolated"): this host and the lab's services reach each of them with one address,
// and none reaches another. Those of tenants hang on nothing.
func makeLogicalNetworks(h *netlink.Handle) error {
	top, err := h.LinkByName(core)
	if err != nil {
		return err
	}
	for _, name := range append(append([]string{}, operatorNetworks...), tenantNetworks...) {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
		if err := h.LinkAdd(bridge); err != nil {
			return fmt.Errorf("make bridge %s: %w", name, err)
		}
		if err := h.LinkSetUp(bridge); err != nil {
			return err
		}
	}
	for _, name := range operatorNetworks {
		bridge, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		up, down := "up-"+name, "in-"+name
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: up}, PeerName: down}
		if err := h.LinkAdd(veth); err != nil {
			return fmt.Errorf("make link %s: %w", up, err)
		}
		if err := errors.Join(enslave(h, up, top), enslave(h, down, bridge)); err != nil {
			return err
		}
		l, err := h.LinkByName(up)
		if err != nil {
			return err
		}
		if err := h.LinkSetIsolated(l, true); err != nil {
			return fmt.Errorf("isolate %s: %w", up, err)
		}
	}
	return nil
}

// closeBridges keeps the namespace itself out of the logical networks: without this it would answer there for every
// address that it has anywhere (ip-sysctl of the kernel: arp_ignore, rp_filter).
func closeBridges() error {
	var errs []error
	for _, name := range append(append([]string{}, operatorNetworks...), tenantNetworks...) {
		errs = append(errs, os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/arp_ignore", []byte("1"), 0o644),
			os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/rp_filter", []byte("1"), 0o644))
		v6 := "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"
		if _, err := os.Stat(v6); err == nil {
			errs = append(errs, os.WriteFile(v6, []byte("1"), 0o644))
		}
	}
	return errors.Join(errs...)
}

// bridges is the fabric of the lab's switch: a network is a bridge, a port is a tap.
type bridges struct{}

// Connect implements vswitch.Fabric.
func (bridges) Connect(_ context.Context, _, portID, network string) error {
	tap, err := netlink.LinkByName(portID)
	if err != nil {
		return fmt.Errorf("find tap %s: %w", portID, err)
	}
	if network == "" {
		return errors.Join(netlink.LinkSetDown(tap), netlink.LinkSetNoMaster(tap))
	}
	bridge, err := netlink.LinkByName(network)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", network, err)
	}
	if err := netlink.LinkSetMaster(tap, bridge); err != nil { // from one to another at once
		return fmt.Errorf("put %s on %s: %w", portID, network, err)
	}
	return netlink.LinkSetUp(tap)
}

// serveSwitch serves the switch's API, for a lab with one.
func (d *daemon) serveSwitch(c *Config) error {
	if !c.Switch {
		return nil
	}
	if err := closeBridges(); err != nil {
		return fmt.Errorf("close the bridges: %w", err)
	}
	address := c.address(2).String()
	cert, err := bmc.NewCertificate([]string{address})
	if err != nil {
		return err
	}
	state := &SwitchState{TokenFile: filepath.Join(c.Dir, "switch-token"), CAFile: filepath.Join(c.Dir, "switch-ca.pem"),
		Networks: operatorNetworks, Tenants: tenantNetworks}
	conf := vswitch.Config{Token: rand.Text(), Fabric: bridges{}, Certificate: cert, Log: d.log}
	if err := os.WriteFile(state.TokenFile, []byte(conf.Token+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(state.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o644); err != nil {
		return err
	}
	for _, name := range operatorNetworks {
		conf.Networks = append(conf.Networks, vswitch.Network{Name: name})
	}
	for _, name := range tenantNetworks {
		conf.Networks = append(conf.Networks, vswitch.Network{Name: name, Tenant: true})
	}
	for _, m := range d.state.Machines {
		for _, p := range m.Ports {
			conf.Ports = append(conf.Ports, [2]string{p.SwitchID, p.PortID})
		}
	}
	if d.vswitch, err = vswitch.New(context.Background(), conf); err != nil {
		return err
	}
	if err := d.vswitch.Start(net.JoinHostPort(address, "443")); err != nil {
		return err
	}
	state.URL = d.vswitch.URL()
	d.state.Switch = state
	return nil
}
