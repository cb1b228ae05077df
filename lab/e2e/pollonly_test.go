package e2e

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/client"
	"ingot/internal/wire"
	"ingot/lab"
	"ingot/lab/bmc"
)

// The addresses of TestPollOnly.
const (
	polledNet     = "198.18.95.0/24"
	polledBoot    = "198.18.95.3"   // the boot host's
	polledLeased  = "198.18.95.231" // the machine's, when it is an instance or handed over
	polledRouter  = "198.18.95.254" // the router's, on the machines' side
	polledUp      = "198.18.240.9"  // and on the other
	polledControl = "198.18.240.10"
)

// TestPollOnly takes a QEMU machine from enrolment to an instance, through a rescue, and back, in a lab whose machines are only
// polled:
//
//	machine, BMC, boot host ──── router ──── control plane, image server
//	       198.18.95.0/24     .254   .9   .10
//
// The router has the rules of docs/guides/poll-only.md. Nothing of the machine asks the control plane for anything, as a capture
// before the rules tells, though its packets would go there: one that tries is seen and stopped.
func TestPollOnly(t *testing.T) {
	labOnly(t)
	x := newPolled(t)
	atRouter, atBoot := capture(t, x.router, polledRouter), capture(t, x.boot, polledBoot)
	x.available(later)
	image := packed(t, startable(t))
	x.ingot("node", "deploy", x.name, "--image", serveIn(t, x.control, image)+"/image", "--checksum", sum(image),
		"--network-data", staticData(t, x.machine.MACs[0], polledLeased, polledRouter), "--wait", "--timeout", "12m")
	x.starts(1)

	password := generated.FindString(x.ingot("node", "rescue", x.name, "--generate", "--wait", "--timeout", "12m"))
	in := space("").logIn(t, polledLeased, "rescue", ssh.Password(password), time.Minute)
	if list := in.run("sudo rescue-disks"); !strings.Contains(list, "vda") {
		t.Errorf("the rescue system does not list the disk:\n%s", list)
	}
	x.silent("until the rescue", atRouter())
	if refused := x.refused(); !strings.Contains(refused, "packets 0 ") {
		t.Errorf("the rules refused something: %s", refused)
	}
	x.isStopped(in)

	atRouter = capture(t, x.router, polledRouter)
	x.ingot("node", "unrescue", x.name, "--wait", "--timeout", "12m")
	x.starts(2)
	x.refusesAgents()
	if _, err := x.UpdateNode(t.Context(), x.name, []wire.PatchOp{client.Set("/automated_clean", true)}, false); err != nil {
		t.Fatal(err)
	}
	x.ingot("node", "undeploy", x.name, "--wait", "--timeout", "12m")
	x.silent("after the rescue", atRouter())
	x.nothingLeft()
	fetched := atBoot()
	if !slices.ContainsFunc(fetched, func(s syn) bool {
		return s.from == x.machine.Address.String() && strings.HasPrefix(s.to, polledBoot+":")
	}) {
		t.Errorf("the boot host gave the machine nothing: %v", fetched)
	}
	if left, err := os.ReadDir(filepath.Join(x.host.data, "pushed")); err != nil || len(left) > 0 {
		t.Errorf("the boot host keeps %v, %v", left, err)
	}
}

// polled is a lab with one machine that is only polled, its server and its boot host.
type polled struct {
	*node
	machine               *lab.Machine
	control, router, boot space
	host                  *server // the boot host
}

func newPolled(t *testing.T) *polled {
	t.Helper()
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.MemoryMiB, c.Program = "polled", t.TempDir(), 1, rescueMemory, program(t, "ingot")
	c.Subnet = netip.MustParsePrefix(polledNet)
	l := upLab(t, c)
	x := &polled{machine: l.Machines[0], control: namespace(t, "control"), router: namespace(t, "router"), boot: namespace(t, "boot")}
	x.wire(t, l)
	s := x.serve(t)
	m := x.machine
	networks, err := m.NetworkData()
	if err != nil {
		t.Fatal(err)
	}
	networks["networks"].([]any)[0].(map[string]any)["routes"].([]any)[0].(map[string]any)["gateway"] = polledRouter
	x.node = s.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks, "rescue_interface": "agent", "automated_clean": false,
		"properties": map[string]any{"cpu_arch": "x86_64", "root_device": map[string]any{"name": "/dev/vda"}}})
	if _, err := x.CreatePort(t.Context(), map[string]any{"node_uuid": x.uuid(), "address": m.MACs[0]}); err != nil {
		t.Fatal(err)
	}
	return x
}

// wire joins the parts and loads the guide's rules.
func (x *polled) wire(t *testing.T, l *lab.Lab) {
	t.Helper()
	x.router.cable(t, polledControl, string(x.control), polledUp)
	x.router.plug(t, l, "provisioning", polledRouter)
	x.boot.plug(t, l, "provisioning", polledBoot)
	x.control.run(t, "ip", "route", "add", "default", "via", polledUp)
	x.boot.run(t, "ip", "route", "add", "default", "via", polledRouter)
	space(l.Namespace).run(t, "ip", "route", "add", polledControl+"/32", "via", polledRouter) // BMCs answer
	x.router.run(t, "bash", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	rules := filepath.Join(t.TempDir(), "rules.nft")
	if err := os.WriteFile(rules, []byte(guidesRules(t, map[string]string{"machines": polledNet, "boot_hosts": polledBoot, "control_plane": polledControl})), 0o600); err != nil {
		t.Fatal(err)
	}
	x.router.run(t, "nft", "-f", rules)
}

// guidesRules are those of the guide, with these addresses for its own.
func guidesRules(t *testing.T, addresses map[string]string) string {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "guides", "poll-only.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(guide), "```nft\n")
	rules, _, ends := strings.Cut(rest, "```")
	if !ok || !ends {
		t.Fatal("the guide has no rules")
	}
	for name, address := range addresses {
		definition := regexp.MustCompile(`(?m)^define ` + name + ` = .*$`)
		if !definition.MatchString(rules) {
			t.Fatalf("the guide's rules define no %s", name)
		}
		rules = definition.ReplaceAllString(rules, "define "+name+" = { "+address+" }")
	}
	return rules
}

// serve starts the server and its boot host.
func (x *polled) serve(t *testing.T) *server {
	t.Helper()
	port := func() string { _, p, _ := net.SplitHostPort(free(t, "127.0.0.1")); return p }
	push, peers := net.JoinHostPort(polledBoot, "6388"), "127.0.0.1:"+port()
	s := serve(t, "127.0.0.1", "deploy.boot_hosts=boot1=https://"+push, "agent.poll_only=true", "api.disable_agent_api=true",
		"default.enabled_rescue_interfaces=agent,no-rescue", "deploy.erase_devices_priority=0")
	s.in, s.args = x.control, []string{"--peer-listen", peers}
	s.agent, s.boot = net.JoinHostPort(polledControl, port()), net.JoinHostPort(polledControl, port())
	relay(t, "", s.api, x.control, s.api) // for this test
	x.control.run(t, program(t, "ingot"), "peer", "init", "--data", s.data, "--name", "one")
	buildRamdisk(t, filepath.Join(s.data, "ramdisk"))
	buildDebian(t, s)
	s.start()
	x.host = serve(t, "127.0.0.1")
	token := filepath.Join(x.host.data, "token")
	if err := os.WriteFile(token, []byte(s.ingot("peer", "invite", "boot1", "--data", s.data, "--roles", "boot", "--url", "https://"+peers)), 0o600); err != nil {
		t.Fatal(err)
	}
	x.control.run(t, program(t, "ingot"), "peer", "join", "--data", x.host.data, "--token-file", token)
	x.host.in, x.host.boot, x.host.noAPI = x.boot, net.JoinHostPort(polledBoot, "7080"), true
	x.host.args = []string{"--roles", "boot", "--peer-listen", push}
	x.host.start()
	x.host.says("msg=serving")
	return s
}

// starts waits until the machine's disk was started so often.
func (x *polled) starts(times int) {
	x.t.Helper()
	await(x.t, later, "the start of the machine's disk", func() (bool, error) {
		text, err := x.machine.Console(16 << 20)
		return strings.Count(escapes.ReplaceAllString(string(text), ""), startedFromDisk) >= times, err
	})
	var system struct{ PowerState string }
	x.read(bmc.SystemPath, &system)
	if system.PowerState != "On" {
		x.t.Errorf("power %s", system.PowerState)
	}
}

// silent sees that nobody asked the control plane for anything, and that the capture saw its own questions.
func (x *polled) silent(when string, seen []syn) {
	x.t.Helper()
	count := map[string]int{}
	for _, s := range seen {
		count[s.from+" → "+s.to]++
		if strings.HasPrefix(s.to, polledControl+":") || strings.HasPrefix(s.to, polledControl+" ") {
			x.t.Errorf("%s: %s asks the control plane for something: %s", when, s.from, s.to)
		}
	}
	x.t.Logf("%s: %v", when, count)
	for _, at := range []string{x.machine.Address.String(), polledBoot} {
		if !slices.ContainsFunc(seen, func(s syn) bool { return s.from == polledControl && strings.HasPrefix(s.to, at+":") }) {
			x.t.Errorf("%s: the capture does not see that the control plane speaks to %s", when, at)
		}
	}
}

// isStopped sees that what a machine sends to the control plane is seen by a capture, and stopped by the rules.
func (x *polled) isStopped(in *shell) {
	x.t.Helper()
	before, behind := capture(x.t, x.router, polledRouter), capture(x.t, x.control, polledControl)
	to := net.JoinHostPort(polledControl, "6385")
	said, err := in.try("timeout 5 bash -c 'exec 3<>/dev/tcp/" + strings.Replace(to, ":", "/", 1) + "' || sudo ping -c 1 -W 3 " + polledControl)
	if err == nil {
		x.t.Errorf("the machine reaches the control plane: %s", said)
	}
	all := before()
	for _, to := range []string{to, polledControl + " echo"} {
		if !slices.Contains(all, syn{polledLeased, to}) {
			x.t.Errorf("the capture does not see that the machine tries %s: %v\n%s", to, all, said)
		}
	}
	for _, s := range behind() {
		if s.from != polledControl {
			x.t.Errorf("the router lets through: %v", s)
		}
	}
	if refused := x.refused(); strings.Contains(refused, "packets 0 ") {
		x.t.Errorf("the rules count nothing: %s", refused)
	}
}

// refused is the guide's counter of what its rules refuse.
func (x *polled) refused() string {
	return x.router.run(x.t, "nft", "list", "counter", "inet", "ingot", "refused")
}

// refusesAgents sees that agents are refused where there is an API, and that they have no door of their own.
func (x *polled) refusesAgents() {
	x.t.Helper()
	if x.control.reaches(x.node.agent) {
		x.t.Error("the agents' door is open")
	}
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, "/v1/lookup?node_uuid=" + x.uuid() + "&addresses=" + x.machine.MACs[0], ""},
		{http.MethodPost, "/v1/heartbeat/" + x.uuid(), `{"callback_url": "https://198.18.95.201:9999", "agent_token": "x", "agent_version": "1"}`},
		{http.MethodPost, "/v1/continue_inspection?node_uuid=" + x.uuid(), `{"inventory": {}}`},
	} {
		req, err := http.NewRequestWithContext(x.t.Context(), c.method, "http://"+x.api+c.path, strings.NewReader(c.body))
		if err != nil {
			x.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1.99")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			x.t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			x.t.Errorf("%s %s: %s", c.method, c.path, res.Status)
		}
	}
}
