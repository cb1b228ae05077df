package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// withBootHost starts a server with options, and a boot host that it pushes to.
func withBootHost(t *testing.T, options ...string) (s, b *server) {
	t.Helper()
	return bootHostAt(t, "127.0.0.1", (*server).ramdisk, options...)
}

// bootHostAt is withBootHost for machines that reach both at an address, with what makes the server's ramdisk.
func bootHostAt(t *testing.T, host string, ramdisk func(*server), options ...string) (s, b *server) {
	t.Helper()
	peers, push := free(t, "127.0.0.1"), free(t, "127.0.0.1")
	s = serve(t, host, append(options, "deploy.boot_hosts=boot1=https://"+push)...)
	c := &cluster{t: t, one: s}
	c.ingot("peer", "init", "--data", s.data, "--name", "one")
	s.args = []string{"--peer-listen", peers}
	ramdisk(s)
	s.start()
	b = serve(t, host)
	token := filepath.Join(b.data, "token")
	if err := os.WriteFile(token, []byte(c.ingot("peer", "invite", "boot1", "--data", s.data, "--roles", "boot", "--url", "https://"+peers)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.ingot("peer", "join", "--data", b.data, "--token-file", token)
	b.noAPI, b.args = true, []string{"--roles", "boot", "--peer-listen", push}
	b.start()
	b.says("msg=serving")
	return s, b
}

// TestPolledMachines deploys a machine whose agent calls nobody, and has it replaced by others: one with another node's NIC,
// one with a certificate of its own, one that boots an earlier boot's ISO. Each is refused, the history says why, and none is
// told its node or given a command. The agent refuses whoever does not show the commander's certificate, and says so.
func TestPolledMachines(t *testing.T) {
	beside(t)
	at := free(t, "127.0.0.1")
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := withBootHost(t, "agent.poll_only=true", "agent.poll_port="+port)
	if conn, err := net.DialTimeout("tcp", s.agent, time.Second); err == nil {
		_ = conn.Close()
		t.Error("the agents' door is open")
	}
	m := newMachine(t)
	m.listen = at
	n := s.enrol(t, m.reach, map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "first"}}})
	other := s.enrolAs(t, "n2", m.reach, nil)
	const foreign = "52:54:00:ff:ff:02"
	_, err = s.UpdateNode(t.Context(), n.name, []wire.PatchOp{client.Set("/driver_info/agent_address", "127.0.0.1")}, false)
	if err != nil {
		t.Fatal(err)
	}
	for owner, mac := range map[*node]string{n: m.MACs()[0], other: foreign} {
		is, err := s.Node(t.Context(), owner.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreatePort(t.Context(), map[string]any{"node_uuid": is.UUID, "address": mac}); err != nil {
			t.Fatal(err)
		}
	}

	var first agentapi.BootConfig
	m.boots = func(c agentapi.BootConfig) agentapi.BootConfig { first = c; return c }
	n.ends(metal.VerbManage, metal.Manageable, soon)
	n.ends(metal.VerbProvide, metal.Available, soon)
	if first.APIURL != "" || !first.PollOnly || first.Key == "" || first.Client == "" || first.Certificate == "" {
		t.Fatalf("boot.json names the control plane %q, poll only %v, pair %v, commander %v", first.APIURL, first.PollOnly, first.Key != "", first.Client != "")
	}

	nic := filepath.Join(m.root, "sys/class/net/eth0/address")
	for name, c := range map[string]struct {
		boots func(agentapi.BootConfig) agentapi.BootConfig
		mac   string
		says  string
	}{
		"another node's NIC": {nil, foreign, "told nothing: it lacks the node's " + m.MACs()[0] + " and it has " + foreign},
		"another certificate": {func(c agentapi.BootConfig) agentapi.BootConfig {
			p, err := agentapi.NewPair("agent", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
			if err != nil {
				t.Error(err)
			}
			c.Certificate, c.Key = p.Certificate, p.Key.Expose()
			return c
		}, m.MACs()[0], "its certificate is not that of this boot"},
		"an earlier boot's ISO": {func(agentapi.BootConfig) agentapi.BootConfig { return first }, m.MACs()[0], "its certificate is not that of this boot"},
	} {
		if err := os.WriteFile(nic, []byte(c.mac), 0o600); err != nil {
			t.Fatal(err)
		}
		m.boots = c.boots
		already, console := len(n.history()), len(m.Console())
		n.ends(metal.VerbManage, metal.Manageable, soon)
		n.ask(metal.VerbProvide)
		await(t, soon, name+" to be refused", func() (bool, error) {
			for _, e := range n.history() {
				if strings.Contains(e.Why, c.says) && e.Severity == "ERROR" {
					return true, nil
				}
			}
			return false, nil
		})
		if name == "an earlier boot's ISO" {
			n.refusesStrangers(m, first)
		}
		n.ask(metal.VerbAbort)
		n.rests(metal.CleanFailed, soon)
		if said := string(m.Console()[console:]); strings.Contains(said, "command=node_info") || strings.Contains(said, "command=set_node_info") || strings.Contains(said, "erase") {
			t.Errorf("%s: it was told more than nothing:\n%s", name, said)
		}
		if len(n.history()) == already {
			t.Errorf("%s: no history", name)
		}
	}
	if err := os.WriteFile(nic, []byte(m.MACs()[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	m.boots = nil
	n.ends(metal.VerbManage, metal.Manageable, soon)
	n.ends(metal.VerbProvide, metal.Available, soon)
	n.nothingLeft()
}

// refusesStrangers sees that the agent of a boot speaks to nobody without the certificate of its commander, and says so. Who
// has all that the boot ISO has, has not that.
func (n *node) refusesStrangers(m *machine, c agentapi.BootConfig) {
	n.t.Helper()
	own, err := agentapi.NewPair("commander", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		n.t.Fatal(err)
	}
	agents := agentapi.Pair{Certificate: c.Certificate, Key: secret.New(c.Key)}
	for who, p := range map[string]*agentapi.Pair{"nothing": nil, "a certificate of its own": &own, "the agent's own": &agents} {
		pin := agentapi.Pin{Agent: c.Certificate}
		if p != nil {
			pair, err := p.TLS()
			if err != nil {
				n.t.Fatal(err)
			}
			pin.Client = &pair
		}
		n.refusedWith(who, m, c, pin)
	}
	await(n.t, soon, "the agent's log of it", func() (bool, error) {
		return contains(string(m.Console()), "a caller without the commander's certificate was refused"), nil
	})
}

func (n *node) refusedWith(who string, m *machine, c agentapi.BootConfig, pin agentapi.Pin) {
	n.t.Helper()
	a, err := agentapi.NewPinnedClient("https://"+m.listen, secret.New(c.AgentToken), pin)
	if err != nil {
		n.t.Fatal(err)
	}
	defer a.Close()
	if list, err := a.Commands(n.t.Context()); err == nil {
		n.t.Errorf("whoever shows %s is answered: %v", who, list)
	}
	if res, err := a.Run(n.t.Context(), agentapi.CommandHardwareInfo, struct{}{}, true); err == nil {
		n.t.Errorf("whoever shows %s is told of the machine: %v", who, res)
	}
}

// bootConfig is boot.json as the machine is to have it.
func (m *machine) bootConfig(raw []byte) ([]byte, error) {
	if m.boots == nil {
		return raw, nil
	}
	var c agentapi.BootConfig
	if err := json.Unmarshal(bytes.TrimSpace(raw), &c); err != nil {
		return nil, err
	}
	return json.Marshal(m.boots(c))
}
