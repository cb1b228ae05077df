package netboot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// place says what the test's own program is, when it is started once more: in the namespace of the server, or as a machine.
const place = "NETBOOT_TEST_PLACE"

// TestDHCPClients lets clients that are not ours ask the boot services, over the guide's networks, at the ports of DHCP. All of
// it is in network namespaces that have no names and end with the test.
func TestDHCPClients(t *testing.T) {
	switch os.Getenv(place) {
	case "server":
		serveClients(t)
		return
	case "firmware":
		bootBesideAnother(t)
		return
	}
	for _, program := range []string{"busybox", "dhclient", "dnsmasq", "ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: scripts/prepare.sh installs it", program)
		}
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDHCPClients$", "-test.v", "-test.timeout=3m")
	c.Env = append(os.Environ(), place+"=server")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &ended):
		mayNot(t, "this user may make no network namespace: run it as root: %v", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	}
	t.Logf("%s", out)
}

// mayNot skips a test that this host does not allow; where the lab is wanted, that is an error.
func mayNot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("INGOT_LAB") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func run(t *testing.T, line string, args ...any) string {
	t.Helper()
	out, err := try(t, line, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", fmt.Sprintf(line, args...), err, out)
	}
	return out
}

func try(t *testing.T, line string, args ...any) (string, error) {
	t.Helper()
	words := strings.Fields(fmt.Sprintf(line, args...))
	out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput()
	return string(out), err
}

// namespace is a network namespace: a process in it, which does nothing.
type namespace struct{ pid int }

func newNamespace(t *testing.T) namespace {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sleep", "600")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return namespace{c.Process.Pid}
}

// in is how a command begins that runs there.
func (h namespace) in() string { return fmt.Sprintf("nsenter --net=/proc/%d/ns/net -- ", h.pid) }

func (h namespace) run(t *testing.T, line string, args ...any) string {
	t.Helper()
	return run(t, "%s", h.in()+fmt.Sprintf(line, args...))
}

func (h namespace) try(t *testing.T, line string, args ...any) (string, error) {
	t.Helper()
	return try(t, "%s", h.in()+fmt.Sprintf(line, args...))
}

// plug gives it a NIC on a link of this host's. Its link-local address is there at once, made of the MAC.
func (h namespace) plug(t *testing.T, nic, mac, link string) {
	t.Helper()
	end := fmt.Sprintf("v%d%s", h.pid, nic)
	run(t, "ip link add %s type veth peer name %s address %s netns %d", end[:min(len(end), 15)], nic, mac, h.pid)
	run(t, "ip link set %s master %s up", end[:min(len(end), 15)], link)
	h.run(t, "ip link set dev %s addrgenmode none up", nic)
	b, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: b[0] ^ 2, 9: b[1], 10: b[2], 11: 0xff, 12: 0xfe, 13: b[3], 14: b[4], 15: b[5]})
	h.run(t, "ip addr add %s/64 dev %s nodad", a, nic)
}

// bench is the server's side: which outcomes were counted.
type bench struct {
	*memory

	dir    string
	counts chan string
}

// await waits until an outcome was counted, and forgets those before it.
func (b *bench) await(t *testing.T, outcome string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case got := <-b.counts:
			if got == outcome {
				return
			}
		case <-limit:
			t.Fatalf("nothing was %q", outcome)
		}
	}
}

// serve runs the boot services over networks until the test ends or stop is called.
func (b *bench) serve(t *testing.T, text string) (stop func()) {
	t.Helper()
	networks, err := ParseNetworks([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	leases, err := OpenLeaseFile(filepath.Join(t.TempDir(), "leases.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Networks: networks, Boots: b.memory, Leases: leases, HTTPListen: "192.0.2.2:80", TFTPListen: "192.0.2.2:69",
		Count: func(service, outcome string) {
			select {
			case b.counts <- service + " " + outcome:
			default:
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

// The options of a UEFI firmware on the machine with uidA: class, architecture and UUID, in SMBIOS order.
const uefiOptions = "-V PXEClient:Arch:00007:UNDI:003000 -x 0x5d:0007 -x 0x61:0033221100554477668899aabbccddeeff"

// silent are the options of a client that is to find nothing: it asks once.
const silent = " -t 1 -T 1"

// udhcpc asks for an address as busybox does. got is what it was given, as its script is told; "" for silence.
func (b *bench) udhcpc(t *testing.T, h namespace, options string) (got string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "got")
	script := file + ".sh"
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" != bound ] || env | grep -E '^(ip|mask|router|dns|lease|serverid|boot_file|siaddr)=' >"+file+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := h.try(t, "busybox udhcpc -f -q -n -t 9 -T 1 -i nic -s %s -O bootfile -O tftp %s", script, options)
	t.Logf("udhcpc: %s", out)
	text, readErr := os.ReadFile(file)
	if (err == nil) != (readErr == nil) {
		t.Fatalf("udhcpc: %v, and its script: %v", err, readErr)
	}
	return string(text)
}

func has(t *testing.T, who, got string, lines ...string) {
	t.Helper()
	all := strings.Split(got, "\n")
	for _, line := range lines {
		if !slices.Contains(all, line) {
			t.Errorf("%s was not told %s: %s", who, line, got)
		}
	}
}

// guideWith6 is the guide's networks; the first has IPv6, too.
func guideWith6(t *testing.T) string {
	return strings.Replace(block(t, "yaml"), "  subnet: 192.0.2.0/24\n",
		"  subnet: 192.0.2.0/24\n  dhcpv6: server\n  subnet6: 2001:db8::/64\n  range6: 2001:db8::10-2001:db8::1f\n  dns6: [2001:db8::53]\n", 1)
}

// guideRange is the range of the guide's first network.
func guideRange(t *testing.T) Range {
	t.Helper()
	networks, err := ParseNetworks([]byte(block(t, "yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return networks[0].Range
}

func serveClients(t *testing.T) {
	if out, err := try(t, "ip link add eth1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"); err != nil {
		mayNot(t, "this host makes no bridge: %s", out)
	}
	run(t, "ip link add eth2 type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
	run(t, "ip addr add 192.0.2.2/24 dev eth1")
	run(t, "ip addr add 2001:db8::2/64 dev eth1 nodad")
	run(t, "ip link set eth1 up")
	run(t, "ip addr add 203.0.113.1/24 dev eth2")
	run(t, "ip link set eth2 up")
	b := &bench{memory: newMemory(), dir: t.TempDir(), counts: make(chan string, 1000)}
	booting, idle, strange := newNamespace(t), newNamespace(t), newNamespace(t)
	booting.plug(t, "nic", macA, "eth1")
	idle.plug(t, "nic", macC, "eth1")
	strange.plug(t, "nic", macX, "eth1")

	stop := b.serve(t, guideWith6(t))
	t.Run("a machine that boots", func(t *testing.T) {
		got := b.udhcpc(t, booting, uefiOptions)
		has(t, "the firmware", got, "ip=192.0.2.10", "mask=24", "router=192.0.2.1", "dns=192.0.2.1", "lease=3600", "serverid=192.0.2.2",
			"boot_file="+keyA+"/snponly.efi", "siaddr=192.0.2.2")
		booting.run(t, "ip addr add 192.0.2.10/24 dev nic")
		file := filepath.Join(b.dir, "fetched")
		booting.run(t, "busybox tftp -g -l %s -r /grub/grub.cfg 192.0.2.2", file)
		if text, _ := os.ReadFile(file); !strings.Contains(string(text), keyA) {
			t.Errorf("by TFTP it got %s", text)
		}
		if text := booting.run(t, "busybox wget -q -O - http://192.0.2.2/grub/grub.cfg"); !strings.Contains(text, keyA) {
			t.Errorf("by HTTP it got %s", text)
		}
	})
	t.Run("a machine whose firmware has another UUID", func(t *testing.T) {
		other := strings.Replace(uefiOptions, "ddeeff", "ddeefe", 1)
		if got := b.udhcpc(t, booting, other+silent); got != "" {
			t.Errorf("it got %s", got)
		}
		b.await(t, "dhcpv4 another UUID")
	})
	t.Run("a machine that is enrolled and boots nothing", func(t *testing.T) {
		got := b.udhcpc(t, idle, "")
		_, rest, _ := strings.Cut(got, "ip=192.0.2.1")
		end, _, _ := strings.Cut(rest, "\n")
		address := "192.0.2.1" + end
		if n := guideRange(t); !n.Has(netip.MustParseAddr(address)) {
			t.Errorf("it got %s, which is not in the range", address)
		}
		if strings.Contains(got, "boot_file=") {
			t.Errorf("it was told a boot file: %s", got)
		}
		idle.run(t, "ip addr add %s/24 dev nic", address)
		if out, err := idle.try(t, "busybox wget -q -O - http://192.0.2.2/grub/grub.cfg"); err == nil {
			t.Errorf("by HTTP it got %s", out)
		}
	})
	t.Run("a stranger", func(t *testing.T) {
		if got := b.udhcpc(t, strange, uefiOptions+silent); got != "" {
			t.Errorf("it got %s", got)
		}
		b.await(t, "dhcpv4 unknown machine")
	})
	t.Run("another interface", func(t *testing.T) {
		elsewhere := newNamespace(t)
		elsewhere.plug(t, "nic", macB, "eth2")
		if got := b.udhcpc(t, elsewhere, uefiOptions+silent); got != "" {
			t.Errorf("on an interface that is not served it got %s", got)
		}
	})
	t.Run("relays", func(t *testing.T) { relays(t, b) })
	t.Run("DHCPv6", func(t *testing.T) {
		got := b.dhclient6(t, booting, "dhcpv6 answered")
		has(t, "the client", got, "new_dhcp6_name_servers=2001:db8::53")
		if !strings.Contains(got, "new_ip6_address=2001:db8::1") {
			t.Errorf("its address is none of the range: %s", got)
		}
		if got := b.dhclient6(t, strange, "dhcpv6 unknown machine"); got != "" {
			t.Errorf("a stranger got %s", got)
		}
	})
	stop()
	t.Run("beside another server", func(t *testing.T) { besideDnsmasq(t, b, booting) })
}

// relays asks through a relay on the guide's far network, and through one of a network that nobody knows.
func relays(t *testing.T, b *bench) {
	router, far, nowhere := newNamespace(t), newNamespace(t), newNamespace(t)
	run(t, "ip link add far type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
	run(t, "ip link add nowhere type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
	run(t, "ip link set far up")
	run(t, "ip link set nowhere up")
	router.plug(t, "near", "02:00:00:00:00:01", "eth1")
	router.plug(t, "down", "02:00:00:00:00:02", "far")
	router.plug(t, "lost", "02:00:00:00:00:03", "nowhere")
	far.plug(t, "nic", macB, "far")
	nowhere.plug(t, "nic", macB, "nowhere")
	router.run(t, "ip addr add 192.0.2.1/24 dev near")
	router.run(t, "ip addr add 198.51.100.1/24 dev down")
	router.run(t, "ip addr add 203.0.113.129/25 dev lost")
	run(t, "ip route add 198.51.100.0/24 via 192.0.2.1")
	run(t, "ip route add 203.0.113.128/25 via 192.0.2.1")
	startDnsmasq(t, router, "--port=0 --bind-interfaces --interface=near --interface=down --interface=lost --dhcp-relay=198.51.100.1,192.0.2.2 --dhcp-relay=203.0.113.129,192.0.2.2")
	has(t, "the machine behind the relay", b.udhcpc(t, far, uefiOptions),
		"mask=24", "lease=3600", "serverid=192.0.2.2", "boot_file="+keyB+"/snponly.efi")
	if got := b.udhcpc(t, nowhere, uefiOptions+silent); got != "" {
		t.Errorf("behind a relay that is of no network it got %s", got)
	}
	b.await(t, "dhcpv4 unknown network")
}

// startDnsmasq starts it in a namespace; it is ready when it has said so.
func startDnsmasq(t *testing.T, h namespace, options string) {
	t.Helper()
	words := strings.Fields(h.in() + "dnsmasq --no-daemon --conf-file=/dev/null --user=root --group=root --pid-file= --dhcp-leasefile=" + filepath.Join(t.TempDir(), "leases") + " " + options)
	c := exec.CommandContext(t.Context(), words[0], words[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	var text bytes.Buffer
	part := make([]byte, 4096)
	for !strings.Contains(text.String(), "DHCP") {
		n, err := said.Read(part)
		text.Write(part[:n])
		if err != nil {
			t.Fatalf("dnsmasq ended: %s", text.String())
		}
	}
	go func() { // it must not be held up by what it says
		for {
			if _, err := said.Read(part); err != nil {
				return
			}
		}
	}()
}

// dhclient6 asks for an IPv6 address as ISC's client does, until its script was told one, or the server has counted an outcome that is
// none: then it gives "".
func (b *bench) dhclient6(t *testing.T, h namespace, outcome string) string {
	t.Helper()
	dir := t.TempDir()
	got, script := filepath.Join(dir, "got"), filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$reason\" != BOUND6 ] || env | grep ^new_ >"+got+".new && mv "+got+".new "+got+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(h.in() + fmt.Sprintf("dhclient -6 -1 -d -D LL -cf /dev/null -lf %s/leases -pf %s/pid -sf %s nic", dir, dir, script))
	c := exec.CommandContext(t.Context(), words[0], words[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	b.await(t, outcome)
	if outcome != "dhcpv6 answered" {
		text, _ := os.ReadFile(got)
		return string(text)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	limit := time.After(20 * time.Second)
	for {
		if text, err := os.ReadFile(got); err == nil {
			return string(text)
		}
		select {
		case <-look.C:
		case <-limit:
			t.Fatal("the client was answered and took no address")
		}
	}
}

// besideDnsmasq serves the guide's first network as a proxy; its addresses are given by the guide's dnsmasq.
func besideDnsmasq(t *testing.T, b *bench, machine namespace) {
	site := newNamespace(t)
	site.plug(t, "eth1", "02:00:00:00:00:05", "eth1")
	site.run(t, "ip addr add 192.0.2.5/24 dev eth1")
	conf := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(conf, []byte(block(t, "conf")), 0o600); err != nil {
		t.Fatal(err)
	}
	startDnsmasq(t, site, "--conf-file="+conf)
	networks, _, _ := strings.Cut(block(t, "yaml"), "- name: far")
	stop := b.serve(t, strings.Replace(networks, "dhcp: server", "dhcp: proxy", 1))
	defer stop()
	machine.run(t, "ip addr flush dev nic scope global")
	machine.run(t, "ip route replace default dev nic")
	c := exec.CommandContext(t.Context(), "nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", machine.pid), "--", os.Args[0], "-test.run=^TestDHCPClients$", "-test.v")
	c.Env = append(os.Environ(), place+"=firmware")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	plain := b.udhcpc(t, machine, "")
	has(t, "what is no firmware", plain, "ip=192.0.2.10", "serverid=192.0.2.5")
	b.await(t, "dhcpv4 asks for no boot file")
}

// bootBesideAnother is the part of a PXE firmware in a machine: a DISCOVER, two offers, the address from the one server and the boot
// file, at port 4011, from the other. Source: PXE specification 2.1, section 2.2.
func bootBesideAnother(t *testing.T) {
	listen := net.ListenConfig{Control: onDevice("nic")}
	conn, err := listen.ListenPacket(t.Context(), "udp4", ":68")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(to string, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
		t.Helper()
		mac, _ := net.ParseMAC(macA)
		p, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind), dhcpv4.WithBroadcast(true),
			dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003000")),
			dhcpv4.WithGeneric(dhcpv4.OptionClientSystemArchitectureType, []byte{0, 7}),
			dhcpv4.WithGeneric(dhcpv4.OptionClientMachineIdentifier, []byte{0, 0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff})}, more...)...)
		if err != nil {
			t.Fatal(err)
		}
		at, err := net.ResolveUDPAddr("udp4", to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.WriteTo(p.ToBytes(), at); err != nil {
			t.Fatal(err)
		}
		return p
	}
	hear := func(asked *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		buf := make([]byte, 2000)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := dhcpv4.FromBytes(buf[:n]); err == nil && p.OpCode == dhcpv4.OpcodeBootReply && p.TransactionID == asked.TransactionID {
				return p
			}
		}
	}
	asked := ask("255.255.255.255:67", dhcpv4.MessageTypeDiscover)
	offers := map[string]*dhcpv4.DHCPv4{}
	for len(offers) < 2 {
		p := hear(asked)
		offers[p.ServerIdentifier().String()] = p
	}
	site, ours := offers["192.0.2.5"], offers["192.0.2.2"]
	if site == nil || ours == nil {
		t.Fatalf("offers: %v", offers)
	}
	if site.YourIPAddr.String() != "192.0.2.10" || site.BootFileNameOption() != "" || site.BootFileName != "" {
		t.Errorf("the site's server offers %s", site.Summary())
	}
	if !ours.YourIPAddr.IsUnspecified() || ours.ClassIdentifier() != "PXEClient" || ours.BootFileNameOption() != keyA+"/snponly.efi" {
		t.Errorf("ours offers %s", ours.Summary())
	}
	ack := hear(ask("255.255.255.255:67", dhcpv4.MessageTypeRequest, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(site.ServerIdentifier())),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(site.YourIPAddr))))
	if ack.MessageType() != dhcpv4.MessageTypeAck || ack.ServerIdentifier().String() != "192.0.2.5" {
		t.Errorf("the address was answered with %s", ack.Summary())
	}
	run(t, "ip addr add 192.0.2.10/24 dev nic")
	boot := hear(ask("192.0.2.2:4011", dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(net.IPv4(192, 0, 2, 10))))
	if boot.MessageType() != dhcpv4.MessageTypeAck || boot.BootFileNameOption() != keyA+"/snponly.efi" || !boot.YourIPAddr.IsUnspecified() {
		t.Errorf("port 4011 answered %s", boot.Summary())
	}
}
