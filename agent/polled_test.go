package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ingot/agent/server"
	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

// pair is a key pair with its PEM texts.
type pair struct {
	tls.Certificate
	cert, key string
}

func newPair(t *testing.T) pair {
	t.Helper()
	c, text, err := server.Certificate(netip.Addr{}, "somebody", time.Unix(0, 0)) // long over: nobody looks at dates
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pair{*c, text, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
}

// polled is an agent that nobody named a control plane to, or that is only polled.
type polled struct {
	*lived
	plane *plane
	base  string
}

func startPolled(t *testing.T, change func(*Config)) *polled {
	t.Helper()
	p := newPlane(t)
	c, l := config(t, p)
	c.Boot.PollOnly = true
	change(&c)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { l.ended <- Run(ctx, c); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if text := string(l.ring.Text()); strings.Contains(text, token) || strings.Contains(text, "PRIVATE") {
			t.Errorf("a secret is in the log:\n%s", text)
		}
		if len(p.asked)+len(p.beats) != 0 {
			t.Error("the control plane heard of an agent that is only polled")
		}
	})
	return &polled{lived: l, plane: p, base: l.says(t, "agent serves commands", "url=")}
}

// says waits for a line of the log, and gives what follows a mark in it, up to the next space.
func (l *lived) says(t *testing.T, line, mark string) string {
	t.Helper()
	for t.Context().Err() == nil {
		for one := range strings.Lines(string(l.ring.Text())) {
			if _, rest, ok := strings.Cut(one, mark); ok && strings.Contains(one, line) {
				word, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
				return strings.Trim(word, `"`)
			}
		}
		select {
		case err := <-l.ended:
			t.Fatalf("%v\n%s", err, l.ring.Text())
		case <-time.After(time.Millisecond):
		}
	}
	return ""
}

func (p *polled) as(t *testing.T, token string, agent string, client *tls.Certificate) *agentapi.Client {
	t.Helper()
	c, err := agentapi.NewPinnedClient(p.base, secret.New(token), agentapi.Pin{Agent: agent, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func info(node string) map[string]any {
	return map[string]any{"node_info": agentapi.LookupAnswer{
		Node:   agentapi.Node{UUID: node, Properties: map[string]any{"root_device": map[string]any{"serial": "second"}}},
		Config: agentapi.LookupConfig{HeartbeatTimeout: 300, AgentToken: secret.Mask, Time: "2031-02-03T04:05:06Z"}}}
}

func TestAnAgentThatIsOnlyPolled(t *testing.T) {
	own, commander, stranger := newPair(t), newPair(t), newPair(t)
	p := startPolled(t, func(c *Config) {
		c.Boot.Certificate, c.Boot.Key, c.Boot.Client = own.cert, own.key, commander.cert
	})
	for name, c := range map[string]*agentapi.Client{"nobody": p.as(t, token, own.cert, nil), "a stranger": p.as(t, token, own.cert, &stranger.Certificate)} {
		if _, err := c.Status(t.Context()); !errors.Is(err, agentapi.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if peer := p.says(t, "without the commander's certificate", "peer="); !strings.HasPrefix(peer, "127.0.0.1:") {
		t.Error(peer)
	}
	// Before it is known which machine this is, the token stays where it is.
	asking := p.as(t, "", own.cert, &commander.Certificate)
	r, err := asking.Run(t.Context(), agentapi.CommandHardwareInfo, nil, true)
	var inv agentapi.Inventory
	if err != nil || json.Unmarshal(r.CommandResult, &inv) != nil || len(inv.Interfaces) != 1 || inv.Interfaces[0].MACAddress != "52:54:00:aa:bb:01" {
		t.Fatalf("%v %+v", err, inv)
	}
	for _, name := range []string{agentapi.CommandNodeInfo, "standby.sync"} {
		if _, err := asking.Run(t.Context(), name, info(nodeID), true); err == nil || !strings.Contains(err.Error(), "Token invalid") {
			t.Errorf("%s without the token: %v", name, err)
		}
	}
	if _, err := asking.Commands(t.Context()); err == nil {
		t.Error("the list is given without the token")
	}
	p.Client = p.as(t, token, own.cert, &commander.Certificate)
	p.must(t, agentapi.CommandNodeInfo, info(nodeID), "null")
	if p.clock.Format(time.RFC3339) != "2031-02-03T04:05:06Z" {
		t.Errorf("clock set to %v", p.clock)
	}
	p.must(t, agentapi.CommandSetNodeInfo, info(nodeID), "null") // again, by its other name
	if _, err := p.Run(t.Context(), agentapi.CommandNodeInfo, info("11111111-1111-1111-1111-111111111111"), true); err == nil || !strings.Contains(err.Error(), "of another") {
		t.Errorf("another node: %v", err)
	}
	// What it was told is what steps work with: the hints choose the second disk.
	res := p.ask(t, "deploy.execute_deploy_step", map[string]any{"step": map[string]any{"step": "write_image", "args": map[string]any{
		"image_info": map[string]any{"id": "img", "urls": []string{"http://i"}, "os_hash_algo": "sha256", "os_hash_value": "00"}}}})
	if did := <-p.did; res.CommandStatus != agentapi.Succeeded || did != "write vdb http://i " {
		t.Errorf("%+v %s", res, did)
	}
}

func TestAnAgentMakesItsOwnCertificate(t *testing.T) {
	commander := newPair(t)
	p := startPolled(t, func(c *Config) { c.Boot.Client, c.Boot.NodeUUID = commander.cert, "" })
	shown, err := agentapi.ShownCertificate(t.Context(), p.base, &commander.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	p.Client = p.as(t, token, shown, &commander.Certificate)
	p.must(t, agentapi.CommandNodeInfo, info(nodeID), "null") // the first says which node it is
	if _, err := p.Run(t.Context(), agentapi.CommandNodeInfo, info("11111111-1111-1111-1111-111111111111"), true); err == nil {
		t.Error("this machine became another node")
	}
}

func TestWithoutAControlPlane(t *testing.T) {
	p := startPolled(t, func(c *Config) { c.Boot.PollOnly, c.Boot.APIURL = false, "" })
	shown, err := agentapi.ShownCertificate(t.Context(), p.base, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Client = p.as(t, token, shown, nil)
	p.must(t, "standby.sync", nil, "null")
	if _, err := p.as(t, "", shown, nil).Run(t.Context(), agentapi.CommandHardwareInfo, nil, true); err == nil || !strings.Contains(err.Error(), "Token invalid") {
		t.Errorf("hardware info without a token and a certificate: %v", err)
	}
}

func TestAnAgentThatAsksIsToldByNobodyElse(t *testing.T) {
	_, l := start(t)
	if _, err := l.Run(t.Context(), agentapi.CommandNodeInfo, info(nodeID), true); err == nil || !strings.Contains(err.Error(), "told by nobody else") {
		t.Error(err)
	}
}

func TestBootsThatCannotBeServed(t *testing.T) {
	one, other := newPair(t), newPair(t)
	for _, boot := range []agentapi.BootConfig{
		{PollOnly: true, Client: "none"},
		{PollOnly: true, Certificate: one.cert, Key: other.key},
		{PollOnly: true, Certificate: one.cert},
	} {
		c, _ := config(t, newPlane(t))
		c.Boot = boot
		if err := Run(t.Context(), c); err == nil || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%+v: %v", boot.Client, err)
		}
	}
}
