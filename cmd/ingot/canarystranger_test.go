package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-crypt/x/crypt"

	"ingot/internal/agentapi"
)

// booted happens at each boot of the machine's agent: a second machine claims to be the node.
func (g *aviary) booted(c agentapi.BootConfig) {
	reached := make(chan string, 8)
	there := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { reached <- q.URL.Path }))
	defer there.Close()
	door, err := agentapi.NewCaller(c.APIURL, c.CA)
	if err != nil {
		g.t.Error(err)
		return
	}
	defer door.Close()
	ctx := g.t.Context()
	for _, q := range []agentapi.LookupQuery{{Addresses: g.machine.MACs()}, {NodeUUID: c.NodeUUID}, {NodeUUID: c.NodeUUID, Addresses: g.machine.MACs()}} {
		found, _, err := door.Lookup(ctx, q)
		if err == nil && strings.Trim(found.Config.AgentToken, "*") != "" {
			g.t.Errorf("a stranger's lookup gets a token: %d characters", len(found.Config.AgentToken))
		}
		told, _ := json.Marshal(found) // what it was told
		g.clean("the answer to a stranger's lookup", fmt.Appendf(told, "%v", err))
		if strings.Contains(string(told), c.AgentToken) {
			g.t.Error("a stranger's lookup gets the boot's token")
		}
	}
	for _, token := range []string{"", "******", strings.Repeat("a", len(c.AgentToken))} {
		err := door.Heartbeat(ctx, c.NodeUUID, agentapi.Heartbeat{CallbackURL: there.URL, AgentToken: token, AgentVersion: "stranger", AgentVerifyCA: pemOf(there.Certificate().Raw)})
		if err == nil {
			g.t.Errorf("a stranger's call with the token %q is taken", token)
		}
		g.clean("the answer to a stranger's call", fmt.Append(nil, err))
	}
	if len(reached) > 0 {
		g.t.Errorf("the server turned to a stranger, at %s", <-reached)
	}
	g.mu.Lock()
	g.strange++
	g.mu.Unlock()
}

// wasGiven sees that the machine was given a value: otherwise nothing could have lost it.
func (m *cagedMachine) wasGiven(value string) {
	m.t.Helper()
	f, err := os.Open(filepath.Join(m.root, "all-given"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var v any
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			m.t.Fatalf("the machine was not given %q", value)
		}
		if err != nil {
			m.t.Fatal(err)
		}
		if within(v, value) {
			return
		}
	}
}

// within tells whether a text is somewhere in a value.
func within(v any, text string) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if within(inner, text) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if within(inner, text) {
				return true
			}
		}
	case string:
		return v == text
	}
	return false
}

// letIn sees that the machine lets in whoever has the password, and learns its hash.
func (m *cagedMachine) letIn(name, password string, g *aviary) {
	m.t.Helper()
	shadow, err := os.ReadFile(filepath.Join(m.root, "etc/shadow"))
	if err != nil {
		m.t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(shadow), "\nrescue:")
	hash, _, _ := strings.Cut(line, ":")
	part := strings.Split(hash, "$")
	if len(part) != 4 || part[1] != "6" || string(crypt.KeySHACrypt(sha512.New, []byte(password), []byte(part[2]), 5000)) != part[3] {
		m.t.Fatalf("the machine does not let in who has the %s", name)
	}
	g.learn(canary{"hash of the " + name, part[3]})
}

// refuses makes the machine one that lets nobody in, or ends that.
func (m *cagedMachine) refuses(so bool) {
	m.t.Helper()
	is, was := filepath.Join(m.root, "etc/ipa-rescue-config"), filepath.Join(m.root, "etc/taken-away")
	if !so {
		is, was = was, is
	}
	if err := os.Rename(is, was); err != nil {
		m.t.Fatal(err)
	}
}

func sum256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
