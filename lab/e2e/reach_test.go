package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
	"ingot/internal/metal"
	"ingot/internal/ramdisk"
	"ingot/internal/wire"
	"ingot/lab"
)

const (
	proberPort = "7777"
	quietly    = 3 * time.Minute // for a running machine to print some lines of what it reaches
)

// TestTenantsAreApart is two tenants' machines on a lab's switch: m1 and m2 of tenant A, m3 of tenant B. What each reaches is
// told by itself (testdata/prober): before; while m1 is cleaned and deployed anew, from its ramdisks too; and after,
// when m1 is tenant B's. What passes on each network is captured all the while.
func TestTenantsAreApart(t *testing.T) {
	labOnly(t)
	x := newTenants(t)
	for i, tenant := range []string{"tenant-a", "tenant-a", "tenant-b"} {
		x.enrol(i)
		x.attach(i, tenant)
	}
	for i := range x.nodes {
		x.nodes[i].ask(metal.VerbActive)
	}
	for i := range x.nodes {
		x.nodes[i].rests(metal.Active, later)
	}
	x.matrix("before", "m1: host=no m2=yes m3=no", "m2: host=no m1=yes m3=no", "m3: host=no m1=no m2=no")
	ramdisks := x.ramdiskLines()
	if len(ramdisks) != 1 || !strings.HasPrefix(ramdisks[0], "host=yes ") { // the others may be on the same network then
		t.Errorf("m1's deploy ramdisk reached %q", ramdisks)
	}

	x.setAutomatedClean(0, true)
	left := x.mark()
	x.nodes[0].ask(metal.VerbDeleted)
	x.awaitState(0, metal.CleanWait)
	x.matrix("while m1 is cleaned", "m2: host=no m1=no m3=no", "m3: host=no m1=no m2=no")
	x.nodes[0].rests(metal.Available, later)
	x.attach(0, "tenant-b")
	x.nodes[0].ask(metal.VerbActive)
	x.awaitState(0, metal.DeployWait)
	x.matrix("while m1 is deployed", "m2: host=no m1=no m3=no", "m3: host=no m1=no m2=no")
	x.nodes[0].rests(metal.Active, later)
	if got := x.ramdiskLines()[1:]; !slices.Equal(got, []string{"host=yes m2=no m3=no", "host=yes m2=no m3=no"}) {
		t.Errorf("m1's ramdisks of cleaning and deploying reached %q", got)
	}
	x.matrix("after", "m1: host=no m2=no m3=yes", "m2: host=no m1=no m3=no", "m3: host=no m1=yes m2=no")
	x.crossings(left)
}

// tenants is a lab with a switch, a server, and nodes that are its machines.
type tenants struct {
	t        *testing.T
	lab      *lab.Lab
	server   *server
	nodes    []*node
	image    string
	sum      string
	captures map[string]*bridgeCapture
}

func newTenants(t *testing.T) *tenants {
	t.Helper()
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.Machines, c.SecureBoot, c.Switch, c.Program = "reach", t.TempDir(), 1, 3, false, true, program(t, "ingot")
	c.Subnet = netip.MustParsePrefix("198.18.82.0/24")
	l := upLab(t, c)
	x := &tenants{t: t, lab: l, captures: map[string]*bridgeCapture{}}
	host := l.HostAddress.String()
	s := l.State.Switch
	x.server = serve(t, host, append(switched(s), "deploy.erase_devices_priority=0")...)
	x.build(host)
	x.server.start()
	x.listen(host)
	for _, network := range append(slices.Clone(s.Networks), s.Tenants...) {
		x.captures[network] = startCapture(t, l.Namespace, network)
	}
	return x
}

// build makes the ramdisk with the prober as a plugin, and an image whose only program is the prober.
func (x *tenants) build(host string) {
	t := x.t
	t.Helper()
	dir := t.TempDir()
	work, prober := ramdiskCache(), filepath.Join(dir, "add", pluginDir, "prober")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", prober, "./testdata/prober")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the prober: %v\n%s", err, out)
	}
	guest := filepath.Join(dir, "guest")
	makeRamdisk(t, ramdisk.Options{Agent: program(t, "ingot-agent"), Out: filepath.Join(x.server.data, "ramdisk"), Add: []string{filepath.Join(dir, "add")}})
	makeRamdisk(t, ramdisk.Options{Agent: prober, Out: guest})
	subnet := strings.TrimSuffix(host, ".1")
	grub := "set timeout=0\nlinux /kernel console=ttyS0 no_timer_check panic=0 prober.subnet=" + subnet + "\ninitrd /initramfs\nboot\n"
	disk := packed(t, x.disk(work, guest, grub))
	images := serveImages(t, host, disk, 0)
	x.image, x.sum = images.url+"good", sum(disk)
}

// disk is an image with an EFI system partition and nothing else.
func (x *tenants) disk(work, guest, grub string) []byte {
	t := x.t
	t.Helper()
	loaders, err := filepath.Glob(filepath.Join(work, "unpacked", "grub-efi-amd64-signed*", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"))
	if err != nil || len(loaders) == 0 {
		t.Fatalf("no boot loader in %s: %v", work, err)
	}
	const size = 128 * mib
	dir := t.TempDir()
	esp, conf, mark := filepath.Join(dir, "esp"), filepath.Join(dir, "grub.cfg"), filepath.Join(dir, "info")
	for path, content := range map[string][]byte{esp: make([]byte, size-2*mib), conf: []byte(grub), mark: []byte("the boot loader looks for this\n")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "mkfs.vfat", "-F", "32", esp)
	tool(t, "mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::boot", "::boot/grub", "::.disk")
	for from, to := range map[string]string{loaders[0]: "EFI/BOOT/BOOTX64.EFI", conf: "boot/grub/grub.cfg", mark: ".disk/info",
		filepath.Join(guest, "kernel"): "kernel", filepath.Join(guest, "initramfs"): "initramfs"} {
		tool(t, "mcopy", "-i", esp, from, "::"+to)
	}
	files, err := os.ReadFile(esp)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	imagetest.GPT(b, 512, imagetest.Part{Type: image.TypeESP, First: 2048, Last: size/512 - 2049, Name: "esp"})
	copy(b[mib:], files)
	return b
}

// listen is what machines reach when they reach this host.
func (x *tenants) listen(host string) {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, proberPort))
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// enrol makes machine i a node that is available; it was never used.
func (x *tenants) enrol(i int) {
	x.t.Helper()
	m := x.lab.Machines[i]
	networks, err := m.NetworkData()
	if err != nil {
		x.t.Fatal(err)
	}
	n := x.server.enrolAs(x.t, m.Name, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks,
		"network_interface": "vswitch", "automated_clean": false,
		"properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	now, err := x.server.Node(x.t.Context(), m.Name)
	if err != nil {
		x.t.Fatal(err)
	}
	p := m.MachineState.Ports[0]
	if _, err := x.server.CreatePort(x.t.Context(), map[string]any{"node_uuid": now.UUID, "address": m.MACs[0], "pxe_enabled": true,
		"local_link_connection": map[string]any{"switch_id": p.SwitchID, "port_id": p.PortID}}); err != nil {
		x.t.Fatal(err)
	}
	x.nodes = append(x.nodes, n)
	n.available(later)
	n.wants(x.image, x.sum)
}

// attach attaches a VIF, whose id is the tenant's network, and waits until it is noted.
func (x *tenants) attach(i int, network string) {
	x.t.Helper()
	n := x.nodes[i]
	ask := func(method, body string) (int, string) {
		req, err := http.NewRequestWithContext(x.t.Context(), method, "http://"+x.server.api+"/v1/nodes/"+n.name+"/vifs", strings.NewReader(body))
		if err != nil {
			x.t.Fatal(err)
		}
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1.78")
		req.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			x.t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			x.t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	if status, text := ask(http.MethodPost, fmt.Sprintf(`{"id": %q}`, network)); status/100 != 2 {
		x.t.Fatalf("attach %s to %s: %d %s", network, n.name, status, text)
	}
	await(x.t, time.Minute, "the VIF is attached", func() (bool, error) {
		_, text := ask(http.MethodGet, "")
		return strings.Contains(text, network), nil
	})
	n.wants(x.image, x.sum)
}

func (x *tenants) setAutomatedClean(i int, on bool) {
	x.t.Helper()
	if _, err := x.server.UpdateNode(x.t.Context(), x.nodes[i].name, []wire.PatchOp{client.Set("/automated_clean", on)}, false); err != nil {
		x.t.Fatal(err)
	}
}

// awaitState waits until a node is in a state that it passes.
func (x *tenants) awaitState(i int, want metal.State) {
	x.t.Helper()
	await(x.t, later, fmt.Sprintf("%s in %q", x.nodes[i].name, want), func() (bool, error) {
		now, err := x.server.States(x.t.Context(), x.nodes[i].name)
		if err == nil && metal.States[now.ProvisionState].Kind == metal.Failed {
			err = fmt.Errorf("the node is %q: %s", now.ProvisionState, now.LastError)
		}
		return err == nil && now.ProvisionState == want, err
	})
}

var (
	instanceLine = regexp.MustCompile(`REACH (m\d) instance \d+ ((?:\w+=\w+ ?)+)`)
	ramdiskLine  = regexp.MustCompile(`REACH (m\d) ramdisk ((?:\w+=\w+ ?)+)`)
)

// lines are what machine i has printed, of a form.
func (x *tenants) lines(i int, form *regexp.Regexp) (out []string) {
	x.t.Helper()
	text, err := x.lab.Machines[i].Console(16 << 20)
	if err != nil {
		x.t.Fatal(err)
	}
	for _, l := range form.FindAllStringSubmatch(string(text), -1) {
		if l[1] != x.lab.Machines[i].Name {
			x.t.Errorf("the console of %s: %s", x.lab.Machines[i].Name, l[0])
		}
		out = append(out, strings.TrimSpace(l[2]))
	}
	return out
}

// matrix waits until the machines say what is wanted, twice in a row: each of "m1: host=no m2=yes …". A round may have
// begun before, and the first after a move too; what is said after it must stay.
func (x *tenants) matrix(when string, want ...string) {
	x.t.Helper()
	for _, w := range want {
		name, reaches, _ := strings.Cut(w, ": ")
		i := slices.IndexFunc(x.lab.Machines, func(m *lab.Machine) bool { return m.Name == name })
		before := len(x.lines(i, instanceLine))
		var said []string
		await(x.t, quietly, when+": "+w, func() (bool, error) {
			said = x.lines(i, instanceLine)
			said = said[min(before, len(said)):]
			n := len(said)
			if n > 20 {
				return false, fmt.Errorf("it says %q", said[n-3:])
			}
			return n >= 3 && said[n-1] == reaches && said[n-2] == reaches, nil
		})
		x.t.Logf("%s: %s reaches %s", when, name, said[len(said)-1])
	}
}

// ramdiskLines are what m1's ramdisks reached, oldest first.
func (x *tenants) ramdiskLines() []string { return x.lines(0, ramdiskLine) }

// bridgeCapture is a tcpdump of one bridge.
type bridgeCapture struct {
	file string
	cmd  *exec.Cmd
}

func startCapture(t *testing.T, namespace, bridge string) *bridgeCapture {
	t.Helper()
	c := &bridgeCapture{file: filepath.Join(t.TempDir(), bridge+".pcap")}
	var said bytes.Buffer
	c.cmd = exec.Command("ip", "netns", "exec", namespace, "tcpdump", "-i", bridge, "-U", "-s", "64", "-w", c.file, "-Z", "root")
	c.cmd.Stderr = &said
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	await(t, 20*time.Second, "a capture of "+bridge, func() (bool, error) {
		info, err := os.Stat(c.file)
		return err == nil && info.Size() >= 24, nil // its header: it captures
	})
	return c
}

// stop ends it; twice is once.
func (c *bridgeCapture) stop() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Signal(os.Interrupt)
		_ = c.cmd.Wait()
	}
}

func (x *tenants) mark() time.Time { return time.Now() }

// crossings ends the captures and sees whose frames passed on which network. Before left m1 was tenant A's.
func (x *tenants) crossings(left time.Time) {
	t := x.t
	t.Helper()
	mac := func(i int) string { return x.lab.Machines[i].MACs[0] }
	m1, m2, m3 := mac(0), mac(1), mac(2)
	var all []frame
	for network, c := range x.captures {
		c.stop()
		frames, err := readFrames(c.file, network)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, frames...)
	}
	count := map[string]int{}
	for _, f := range all {
		count[f.network+" "+f.from]++
	}
	t.Logf("frames by network and sender: %v", count)
	for _, must := range []string{"tenant-a " + m1, "tenant-a " + m2, "tenant-b " + m3, "tenant-b " + m1, "provisioning " + m1, "cleaning " + m1} {
		if count[must] == 0 {
			t.Errorf("no frame of %s was captured: that others have none proves nothing", must)
		}
	}
	own := map[string][]string{"tenant-a": {m1, m2}, "tenant-b": {m1, m3}, "cleaning": {m1}}
	for _, f := range all {
		machine := slices.Contains([]string{m1, m2, m3}, f.from)
		allowed, limited := own[f.network]
		switch {
		case strings.HasPrefix(f.network, "tenant-") && !slices.Contains(allowed, f.from):
			t.Errorf("on %s passed a frame from %s", f.network, f.from)
		case limited && machine && !slices.Contains(allowed, f.from):
			t.Errorf("on %s passed a frame from %s", f.network, f.from)
		case f.network == "tenant-b" && f.from == m1 && f.at.Before(left):
			t.Errorf("m1 was on tenant B's network at %s, before it was tenant B's", f.at)
		case f.network == "tenant-a" && f.from == m1 && f.at.After(left.Add(time.Minute)):
			t.Errorf("m1 was on tenant A's network at %s, long after it had left at %s", f.at, left)
		case (f.network == "provisioning" || f.network == "cleaning") && f.at.After(left) && (f.from == m2 || f.from == m3):
			t.Errorf("on %s passed a frame from %s, whose machine is deployed", f.network, f.from)
		case slices.Contains([]string{"rescuing", "inspection", "servicing"}, f.network) && machine:
			t.Errorf("on %s passed a frame from %s", f.network, f.from)
		}
	}
}
