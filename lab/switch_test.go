package lab

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"ingot/internal/driver/vswitch"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestSwitchPortsAreNamedAndStable(t *testing.T) {
	c := Defaults()
	if got := c.switchPorts(c.specs()[0]); got != nil {
		t.Errorf("a lab without a switch has ports %v", got)
	}
	c.Switch, c.Networks, c.Subnet = true, 2, netip.MustParsePrefix("198.18.74.0/24")
	got := c.switchPorts(c.specs()[0])
	if len(got) != 2 || got[0] != (SwitchPort{"52:54:ff:12:4a:01", "m1n1"}) || got[1].PortID != "m1n2" {
		t.Errorf("ports %v", got)
	}
}

// TestSwitchMovesTaps asks the lab's switch with the driver, and looks at the taps.
func TestSwitchMovesTaps(t *testing.T) {
	if os.Getenv("INGOT_LAB") != "1" || os.Geteuid() != 0 {
		t.Skip("makes a network namespace: set INGOT_LAB=1 and run as root")
	}
	c := testConfig(t.TempDir())
	c.Switch, c.Networks = true, 2
	l, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	conf := vswitch.Defaults()
	conf.URL, conf.TokenFile, conf.CAFile, conf.ProvisioningNetwork = l.Switch.URL, l.Switch.TokenFile, l.Switch.CAFile, "provisioning"
	d, err := vswitch.New(conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	n := &metal.Node{UUID: l.Machines[0].UUID, DriverInfo: secret.NewMap(nil)}
	w := metal.Wiring{}
	for i, p := range l.Machines[0].MachineState.Ports {
		w.Ports = append(w.Ports, &metal.Port{UUID: p.PortID, Address: l.Machines[0].MACs[i], PXEEnabled: i == 0,
			LocalLinkConnection: map[string]any{"switch_id": p.SwitchID, "port_id": p.PortID}})
	}
	if _, _, err := d.Plug(t.Context(), n, w, metal.ProvisioningNetwork); err != nil {
		t.Fatal(err)
	}
	for tap, want := range map[string]string{"m1n1": "provisioning", "m1n2": ""} {
		if got := masterOf(t, c.namespace(), tap); got != want {
			t.Errorf("%s is on %q; want %q", tap, got, want)
		}
	}
	var out strings.Builder
	if err := l.switchTable(t.Context(), &out); err != nil || !strings.Contains(out.String(), "m1n1     provisioning  "+n.UUID) {
		t.Errorf("the listing: %s %v", &out, err)
	}
	if _, err := d.Unplug(t.Context(), n, w, metal.ProvisioningNetwork); err != nil {
		t.Fatal(err)
	}
	if got := masterOf(t, c.namespace(), "m1n1"); got != "" {
		t.Errorf("still on %q", got)
	}
}

// masterOf is the bridge that a link of a namespace is on.
func masterOf(t *testing.T, namespace, name string) (bridge string) {
	t.Helper()
	ns, err := netns.GetFromName(namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if l.Attrs().MasterIndex == 0 {
		return ""
	}
	m, err := h.LinkByIndex(l.Attrs().MasterIndex)
	if err != nil {
		t.Fatal(err)
	}
	return m.Attrs().Name
}
