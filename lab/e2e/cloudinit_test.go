package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/metal"
	"ingot/lab"
	labguest "ingot/lab/guest"
	"ingot/lab/vendordata"
)

// The tenant's network of TestCloudInit, on which the server has a leg of its own.
const (
	cloudSide     = "10.66.1.1"
	cloudMachine  = "10.66.1.10"
	cloudOperator = "198.18.91.5" // the server, on the operator's networks
)

// metadataAddress is where every cloud's metadata service is.
const metadataAddress = "169.254.169.254"

// TestCloudInit deploys Debian twice: once with a config drive, while nobody answers at the metadata service's address, and once
// without any drive, from the metadata service. Both times the instance's own cloud-init sets the host name, makes the user, lets
// its key in, configures the network, and writes the file that a vendordata target asked for; and it says where it had that from.
func TestCloudInit(t *testing.T) {
	labOnly(t)
	x := newCloudLab(t)

	began := time.Now()
	drive := x.instance("from-drive", "--hostname", "from-drive")
	t.Logf("deployed and configured from the drive after %.0f s", time.Since(began).Seconds())
	x.configured(drive, "from-drive", "ConfigDrive", "config-disk (/dev/vda")
	if said, err := drive.try("timeout 5 bash -c 'exec 3<>/dev/tcp/" + metadataAddress + "/80'"); err == nil {
		t.Errorf("somebody answers at the metadata service's address: %s", said)
	}
	drive.close()
	x.ends(metal.VerbDeleted, metal.Available, later)

	x.serveMetadata()
	began = time.Now()
	service := x.instance("from-service", "--hostname", "from-service", "--no-config-drive")
	t.Logf("deployed and configured from the service after %.0f s", time.Since(began).Seconds())
	x.configured(service, "from-service", "OpenStack", "metadata (http://"+metadataAddress+")")
	if said, err := service.try("sudo blkid -t LABEL=config-2"); err == nil {
		t.Errorf("there is a config drive: %s", said)
	}
	const fetch = `python3 -c 'import urllib.request; print(urllib.request.urlopen("http://` + metadataAddress + `/latest/meta-data/hostname").read().decode())'`
	if got := service.run(fetch); got != "from-service" {
		t.Errorf("the service says that the host is %q", got)
	}
}

// cloudLab is a lab with a switch, and a server that is on the operator's networks and on a tenant's:
//
//	BMC, ramdisk ──── operator's networks ──── .5 ┐
//	                                              server ── vendordata target
//	instance ──── tenant-a, 10.66.1.0/24 ───── .1 ┘  169.254.169.254
//
// Its DHCP gives the machine the address there that its static network data has, as Neutron's would: cloud-init asks for metadata
// from a lease, before it knows any network data.
type cloudLab struct {
	*node
	lab     *lab.Lab
	machine *lab.Machine
	control space // where the server is
	leg     string
	target  *vendorTarget
	auth    ssh.AuthMethod
	public  string
}

func newCloudLab(t *testing.T) *cloudLab {
	t.Helper()
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.Switch, c.Program = "cloudinit", t.TempDir(), 3, true, program(t, "ingot")
	c.Images, c.Subnet = t.TempDir(), netip.MustParsePrefix("198.18.91.0/24")
	guestImage(t)
	if _, err := labguest.Build(t.Context(), labguest.Options{Out: c.Images}); err != nil {
		t.Fatal(err)
	}
	l := upLab(t, c)
	x := &cloudLab{lab: l, machine: l.Machines[0], control: namespace(t, "control")}
	x.control.plug(t, l, "core", cloudOperator)
	x.control.plug(t, l, "tenant-a", cloudSide)
	x.leg = x.control.linkWith(t, cloudSide)
	x.target = newVendorTarget(t, x.control)
	x.auth, x.public = sshKey(t)
	x.serve(t)
	m := x.machine
	networks, err := m.NetworkData()
	if err != nil {
		t.Fatal(err)
	}
	x.node = x.node.server.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks,
		"network_interface": "vswitch", "automated_clean": false,
		"properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	port := m.MachineState.Ports[0]
	if _, err := x.CreatePort(t.Context(), map[string]any{"node_uuid": x.uuid(), "address": m.MACs[0], "pxe_enabled": true,
		"local_link_connection": map[string]any{"switch_id": port.SwitchID, "port_id": port.PortID}}); err != nil {
		t.Fatal(err)
	}
	x.available(later)
	return x
}

// linkWith is the link of a namespace that has an address.
func (s space) linkWith(t *testing.T, address string) string {
	t.Helper()
	fields := strings.Fields(s.run(t, "ip", "-4", "-o", "address", "show", "to", address))
	if len(fields) < 2 {
		t.Fatalf("no link has %s", address)
	}
	return fields[1]
}

// serve starts the server, without the role metadata.
func (x *cloudLab) serve(t *testing.T) {
	t.Helper()
	x.serveAt(t, cloudOperator, "api.vendordata_providers=StaticJSON,DynamicJSON", "api.vendordata_dynamic_targets=cloud-init@"+x.target.url+"/cloud-init",
		"api.vendordata_dynamic_failure_fatal=true")
	buildRamdisk(t, filepath.Join(x.data, "ramdisk"))
	x.start()
}

// serveAt prepares a server that is at an address of the operator's networks, and does not start it.
func (x *cloudLab) serveAt(t *testing.T, operator string, options ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "networks.yaml")
	text := fmt.Sprintf("networks:\n- name: tenant-a\n  interface: %s\n  dhcp: server\n  subnet: 10.66.1.0/24\n  server: %s\n  range: %s-%s\n  routers: [%s]\n",
		x.leg, cloudSide, cloudMachine, cloudMachine, cloudSide)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "127.0.0.1", append(append(switched(x.lab.State.Switch), "deploy.erase_devices_priority=0", "netboot.networks_file="+file,
		"netboot.tftp_listen="+cloudSide+":69"), options...)...)
	port := func() string { _, p, _ := net.SplitHostPort(free(t, "127.0.0.1")); return p }
	s.in, s.agent, s.boot = x.control, net.JoinHostPort(operator, port()), net.JoinHostPort(operator, port())
	relay(t, "", s.api, x.control, s.api) // for this test
	x.node = &node{server: s, t: t}
}

// serveMetadata starts the server anew, with the role metadata, at the address that is its own now.
func (x *cloudLab) serveMetadata() {
	x.t.Helper()
	x.stop()
	x.control.run(x.t, "ip", "address", "add", metadataAddress+"/32", "dev", x.leg)
	x.args = append(x.args, "--metadata-listen", net.JoinHostPort(metadataAddress, "80"))
	x.start()
}

// instance deploys Debian with the user "ada", and logs in as her when cloud-init is done.
func (x *cloudLab) instance(hostname string, flags ...string) *shell {
	t := x.t
	t.Helper()
	key, err := os.ReadFile(x.public)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "user-data")
	text := "#cloud-config\nusers:\n- default\n- name: ada\n  shell: /bin/bash\n  sudo: ALL=(ALL) NOPASSWD:ALL\n  ssh_authorized_keys:\n  - " + string(key)
	if err := os.WriteFile(data, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	x.ingot("node", "vif", "attach", x.name, "tenant-a") // giving the machine back forgets it
	x.ingot(append([]string{"node", "deploy", x.name, "--image", x.lab.ImagesURL + "debian.raw.zst", "--checksum", "auto", "--ssh-key", x.public,
		"--user-data", data, "--network-data", staticData(t, x.machine.MACs[0], cloudMachine, cloudSide), "--wait", "--timeout", "12m"}, flags...)...)
	in := x.control.logIn(t, cloudMachine, "ada", x.auth, later)
	in.run("cloud-init status --wait | tail -n 1")
	return in
}

// configured sees that cloud-init did everything, and what it says of where it had it from.
func (x *cloudLab) configured(in *shell, hostname, source, subplatform string) {
	t := x.t
	t.Helper()
	status := in.run("cloud-init status --long")
	t.Logf("cloud-init status --long:\n%s", status)
	if !strings.Contains(status, "status: done") || !strings.Contains(status, "DataSource"+source) {
		t.Errorf("cloud-init is not done by %s", source)
	}
	var query struct {
		V1 struct {
			InstanceID    string `json:"instance_id"`
			LocalHostname string `json:"local_hostname"`
			Platform      string
			Subplatform   string
		}
		DS struct {
			Meta struct {
				UUID string
				Keys map[string]string `json:"public_keys"`
			} `json:"meta_data"`
		}
	}
	all := in.run("sudo cloud-init query --all")
	if err := json.Unmarshal([]byte(all), &query); err != nil {
		t.Fatalf("%v\n%s", err, all)
	}
	t.Logf("cloud-init query --all: %+v", query)
	if v := query.V1; v.Platform != strings.ToLower(source) || !strings.HasPrefix(v.Subplatform, subplatform) || v.LocalHostname != hostname || v.InstanceID != x.uuid() || query.DS.Meta.UUID != x.uuid() {
		t.Errorf("cloud-init query says %+v; the node is %s", query, x.uuid())
	}
	for command, want := range map[string]string{
		"hostname":                                           hostname,
		"whoami":                                             "ada",
		"ip -4 -o address show scope global":                 cloudMachine + "/24",
		"ip route show default":                              "default via " + cloudSide,
		"cat /etc/systemd/network/*cloud-init*":              "Address=" + cloudMachine + "/24",
		"sudo cat ~debian/.ssh/authorized_keys":              strings.TrimSpace(readFile(t, x.public)),
		"cat " + vendordata.File:                             fmt.Sprintf(`"hostname":%q,"project":`, hostname),
		"grep -o 'instance.:.[-0-9a-f]*' " + vendordata.File: `instance":"` + x.uuid(),
		"stat -c %U:%a " + vendordata.File:                   "root:644",
		"test -f /var/lib/cloud/instance/boot-finished":      "",
	} {
		if got := in.run(command); !strings.Contains(got, want) {
			t.Errorf("%s: %q is not in %q", command, want, got)
		}
	}
	x.target.asked(t, x.uuid(), hostname)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// vendorTarget is `ingot lab vendordata`, beside the server.
type vendorTarget struct {
	in  space
	url string
}

func newVendorTarget(t *testing.T, in space) *vendorTarget {
	t.Helper()
	_, port, err := net.SplitHostPort(free(t, "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	v := &vendorTarget{in: in, url: "http://127.0.0.1:" + port}
	cmd := in.command(program(t, "ingot"), "lab", "vendordata", "--listen", "127.0.0.1:"+port, "--cache-control", "max-age=3600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("the vendordata target: %v\n%s", err, &said)
		}
	})
	await(t, soon, "the vendordata target", func() (bool, error) { return in.reaches("127.0.0.1:" + port), nil })
	return v
}

// asked sees that the target was asked once for this host, with all that it is to be told.
func (v *vendorTarget) asked(t *testing.T, id, hostname string) {
	t.Helper()
	c := &http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(_ context.Context, _, to string) (net.Conn, error) { return v.in.dial(to) }}}
	res, err := c.Get(v.url + "/lab/requests")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all []vendordata.Request
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	times := 0
	for _, r := range all {
		if q := r.Question; q.InstanceID == id && q.Hostname == hostname && q.UserData != nil && *q.UserData != "" {
			times++
		}
	}
	if times != 1 {
		t.Errorf("the vendordata target was asked %d times for %s as %s: %+v", times, id, hostname, all)
	}
}
