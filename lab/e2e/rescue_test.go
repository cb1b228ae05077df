package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/depot"
	"ingot/internal/metal"
	"ingot/internal/ramdisk"
	"ingot/lab"
	labguest "ingot/lab/guest"
)

// The tenant's own network of TestRescue. Nothing of ours has an address there.
const (
	tenantSide    = "10.66.0.1"
	tenantMachine = "10.66.0.10"
)

// broken is a file that no sshd starts with.
const broken = "/etc/ssh/sshd_config.d/broken.conf"

// TestRescue deploys Debian on a tenant's network, breaks its sshd, and has the machine rescued: whoever asked for that logs in
// from the tenant's side with the password that the command gave, repairs what is on the disk, and logs in to the installed
// system again. Where the machine is meanwhile is told by the switch and by what passes on each network.
func TestRescue(t *testing.T) {
	labOnly(t)
	x := newRescued(t)
	key, public := sshKey(t)
	x.deploy(public)
	in := x.tenant.logIn(t, tenantMachine, "debian", key, later)
	in.run("cloud-init status --wait | tail -n 1")
	in.run("echo kept > former.txt; sudo sh -c 'echo NoSuchOption yes > " + broken + "'; sync; sudo systemctl restart ssh || true")
	in.close()
	if _, err := x.tenant.logInOnce(tenantMachine, "debian", key); err == nil {
		t.Fatal("its sshd is not broken")
	}

	watch := watchPort(t, x.lab, x.machine.MachineState.Ports[0])
	password := x.rescue()
	in = x.tenant.logIn(t, tenantMachine, "rescue", ssh.Password(password), time.Minute)
	if _, err := x.tenant.logInOnce(tenantMachine, "rescue", ssh.Password(password+"x")); err == nil {
		t.Error("another password lets in, too")
	}
	for _, port := range []string{"22", "9999"} {
		if x.operator.reaches(net.JoinHostPort(x.machine.Address.String(), port)) {
			t.Errorf("the rescued machine answers the operator's side at port %s", port)
		}
	}
	listening(t, in)
	watch.onlyWhere(t, x.machine.MACs[0], x.captures)
	if got := watch.networks(); !slices.Equal(got, []string{"tenant-a", "rescuing", "tenant-a"}) {
		t.Errorf("the rescued machine was on %v", got)
	}
	x.repair(in)

	x.ingot("node", "unrescue", x.name, "--wait", "--timeout", "12m")
	in = x.tenant.logIn(t, tenantMachine, "debian", key, later)
	if got := in.run("cat former.txt"); got != "kept" {
		t.Errorf("the installed system says %q", got)
	}
	x.rests(metal.Active, soon)
}

// listening sees that nothing of a rescue system listens but sshd.
func listening(t *testing.T, in *shell) {
	t.Helper()
	said := in.run("sudo ss -H -tulpn")
	lines := strings.Split(said, "\n")
	t.Logf("what listens:\n%s", said)
	for _, l := range lines {
		if !strings.Contains(l, `(("sshd",`) {
			t.Errorf("not only sshd listens: %s", l)
		}
	}
}

// rescued is a lab with a switch, a server, and a node on a tenant's network.
type rescued struct {
	*node
	lab      *lab.Lab
	machine  *lab.Machine
	tenant   space // on the tenant's network
	operator space // where the server is
	captures map[string]*bridgeCapture
}

func newRescued(t *testing.T) *rescued {
	t.Helper()
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.MemoryMiB, c.Switch, c.Program = "rescue", t.TempDir(), 3, rescueMemory, true, program(t, "ingot")
	c.Images, c.Subnet = t.TempDir(), netip.MustParsePrefix("198.18.94.0/24")
	guestImage(t)
	if _, err := labguest.Build(t.Context(), labguest.Options{Out: c.Images}); err != nil {
		t.Fatal(err)
	}
	l := upLab(t, c)
	m := l.Machines[0]
	x := &rescued{lab: l, machine: m, tenant: namespace(t, "tenant"), captures: map[string]*bridgeCapture{}}
	x.tenant.plug(t, l, "tenant-a", tenantSide)
	s := serve(t, l.HostAddress.String(), append(switched(l.State.Switch), "default.enabled_rescue_interfaces=agent,no-rescue", "deploy.erase_devices_priority=0")...)
	buildRamdisk(t, filepath.Join(s.data, "ramdisk"))
	buildDebian(t, s)
	s.start()
	networks, err := m.NetworkData()
	if err != nil {
		t.Fatal(err)
	}
	x.node = s.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks,
		"network_interface": "vswitch", "rescue_interface": "agent", "automated_clean": false,
		"properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	port := m.MachineState.Ports[0]
	if _, err := s.CreatePort(t.Context(), map[string]any{"node_uuid": x.uuid(), "address": m.MACs[0], "pxe_enabled": true,
		"local_link_connection": map[string]any{"switch_id": port.SwitchID, "port_id": port.PortID}}); err != nil {
		t.Fatal(err)
	}
	x.available(later)
	x.ingot("node", "vif", "attach", x.name, "tenant-a")
	for _, network := range append(slices.Clone(l.State.Switch.Networks), l.State.Switch.Tenants...) {
		x.captures[network] = startCapture(t, l.Namespace, network)
	}
	return x
}

// rescueMemory is what a machine needs for the Debian ramdisk, which is in memory with all that it holds.
const rescueMemory = 1024

// upLab starts a lab that ends with the test.
func upLab(t *testing.T, c lab.Config) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, m := range l.Machines {
			if text, err := m.Console(30_000); t.Failed() && err == nil {
				t.Logf("the console of %s:\n%s", m.Name, text)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// switched are a server's options for a lab's switch.
func switched(s *lab.SwitchState) []string {
	return []string{"default.enabled_network_interfaces=noop,vswitch", "vswitch.url=" + s.URL, "vswitch.token_file=" + s.TokenFile, "vswitch.cafile=" + s.CAFile,
		"vswitch.provisioning_network=provisioning", "vswitch.cleaning_network=cleaning", "vswitch.rescuing_network=rescuing",
		"vswitch.inspection_network=inspection", "vswitch.servicing_network=servicing"}
}

// buildDebian makes the real rescue ramdisk. Its packages, as installed, are kept in the user's cache directory.
func buildDebian(t *testing.T, s *server) {
	t.Helper()
	makeRamdisk(t, ramdisk.Options{Kind: depot.KindDebian, Agent: program(t, "ingot-agent"), Out: ramdisk.Folder(s.data, depot.KindDebian)})
}

// ingot runs a command of the server's command line and gives its standard output.
func (s *server) ingot(args ...string) string {
	s.t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(s.t.Context(), program(s.t, "ingot"), args...)
	cmd.Env = append(os.Environ(), "INGOT_ENDPOINT=http://"+s.api)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("ingot %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	return out.String()
}

// staticData is network_data.json with one address of one NIC.
func staticData(t *testing.T, mac, address, gateway string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"links": []any{map[string]any{"id": "nic1", "type": "phy", "ethernet_mac_address": mac, "mtu": 1500}},
		"networks": []any{map[string]any{"id": "network1", "type": "ipv4", "link": "nic1", "ip_address": address, "netmask": "255.255.255.0",
			"routes": []any{map[string]any{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": gateway}}}},
		"services": []any{}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "network_data.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (x *rescued) deploy(public string) {
	x.t.Helper()
	x.ingot("node", "deploy", x.name, "--image", x.lab.ImagesURL+"debian.raw.zst", "--checksum", "auto", "--ssh-key", public, "--hostname", "patient",
		"--network-data", staticData(x.t, x.machine.MACs[0], tenantMachine, tenantSide), "--wait", "--timeout", "12m")
}

// rescue asks for it by the command, looks at the machine while it is on its way, and gives the password.
func (x *rescued) rescue() string {
	t := x.t
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program(t, "ingot"), "node", "rescue", x.name, "--generate", "--wait", "--timeout", "12m")
	cmd.Env = append(os.Environ(), "INGOT_ENDPOINT=http://"+x.api)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	answered := x.operator.answers(t, net.JoinHostPort(x.machine.Address.String(), "9999"))
	await(t, later, "the rescue", func() (bool, error) {
		select {
		case <-answered:
			return true, nil
		case err := <-ended:
			ended <- err
			t.Error("the operator's side never reached the rescue ramdisk's agent: that it does not later proves nothing")
			return true, nil
		default:
		}
		if x.tenant.reaches(net.JoinHostPort(tenantMachine, "22")) {
			t.Error("the machine answers the tenant's side before it was handed over")
		}
		return false, nil
	})
	if err := <-ended; err != nil {
		t.Fatalf("ingot node rescue: %v\n%s", err, &said)
	}
	t.Logf("ingot node rescue says:\n%s", &said)
	password := generated.FindString(out.String())
	if password == "" {
		t.Fatalf("it says no password: %s", &out)
	}
	return password
}

// generated is a password that the command line makes.
var generated = regexp.MustCompile(`[a-z2-9]{4}(-[a-z2-9]{4}){4}`)

// repair mounts the installed system, and takes away what breaks it.
func (x *rescued) repair(in *shell) {
	t := x.t
	t.Helper()
	if list := in.run("sudo rescue-disks"); !contains(list, "vda", "Debian GNU/Linux 12") {
		t.Errorf("the installed system is not listed:\n%s", list)
	}
	in.run("sudo rescue-disks mount")
	if out, err := in.try("sudo touch /mnt/written"); err == nil {
		t.Errorf("what is mounted for reading was written: %s", out)
	}
	in.run("sudo rescue-disks umount && sudo rescue-disks mount --rw && sudo test -s /mnt" + broken + " && sudo rm /mnt" + broken + " && sudo rescue-disks umount && sync")
}
