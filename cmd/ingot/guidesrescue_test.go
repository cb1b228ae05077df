package main

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

// boots ADDRESS: the machine with that NIC is booted by hand, for one rescue by the server with its data in the folder data: its
// agent looks for its node, calls, and lets the user in when it is told to.
func boots(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: boots ADDRESS")
	}
	m := &rescuedMachine{mac: args[0]}
	ca, err := os.ReadFile(filepath.Join(ts.MkAbs("data"), "agent-door.crt"))
	ts.Check(err)
	m.door, err = agentapi.NewCaller("https://"+ts.Getenv("AGENT"), string(ca))
	ts.Check(err)
	m.api = httptest.NewTLSServer(m)
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan struct{})
	ts.Defer(func() {
		end()
		<-ended
		m.api.Close()
	})
	go func() {
		defer close(ended)
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for m.heard() == "" {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				m.tries(ctx)
			}
		}
	}()
}

// tries looks the node up until it is told a token, and calls. Nobody knows the machine until it is waited for, and what
// is told before is another boot's.
func (m *rescuedMachine) tries(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.token == "" {
		found, _, err := m.door.Lookup(ctx, agentapi.LookupQuery{Addresses: []string{m.mac}})
		if err != nil || found.Config.AgentToken == secret.Mask {
			return
		}
		m.node, m.token = found.Node.UUID, found.Config.AgentToken
	}
	err := m.door.Heartbeat(ctx, m.node, agentapi.Heartbeat{CallbackURL: m.api.URL, AgentToken: m.token, AgentVersion: "played", AgentVerifyCA: pemOf(m.api.Certificate().Raw)})
	if err != nil {
		m.token = ""
	}
}
