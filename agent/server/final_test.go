package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

// last is a server with a command that is its last.
func last(t *testing.T, change func(*Server)) (c *agentapi.Client, told chan struct{}, ended chan error) {
	t.Helper()
	told, ended = make(chan struct{}, 10), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	s := New(ctx, Config{Token: secret.New(token), Log: slog.New(slog.DiscardHandler), Final: func() { told <- struct{}{} },
		Commands: map[string]Command{
			"test.last": {Final: true, Run: func(_ context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
				if string(raw) == `{}` {
					return nil, Error("InvalidCommandParamsError", "not like this")
				}
				return nil, nil
			}},
			"test.other": {Run: func(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) { return nil, nil }},
		}})
	change(s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, pem, err := Certificate(netip.Addr{}, "machine", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- s.Serve(ctx, l, cert); close(ended) }()
	if c, err = agentapi.NewPinnedClient("https://"+l.Addr().String(), secret.New(token), agentapi.Pin{Agent: pem}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		cancel()
		for range ended { // until it is closed
		}
	})
	return c, told, ended
}

func TestTheLastCommand(t *testing.T) {
	c, told, ended := last(t, func(s *Server) { s.seenWait = time.Second })
	ctx := t.Context()
	if _, err := c.RunOnce(ctx, "k", "test.last", nil, false); fault.KindOf(err) != fault.Invalid || len(told) != 0 {
		t.Fatalf("a last command that was refused: %v", err)
	}
	if r, err := c.RunOnce(ctx, "k0", "test.other", nil, false); err != nil || r.CommandStatus != agentapi.Succeeded {
		t.Fatal(err)
	}
	r, err := c.RunOnce(ctx, "k", "test.last", map[string]int{"a": 1}, false)
	if err != nil || r.CommandStatus != agentapi.Succeeded {
		t.Fatal(err)
	}
	<-told
	if _, err := c.RunOnce(ctx, "k2", "test.other", nil, false); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a command after the last: %v", err)
	}
	again, err := c.RunOnce(ctx, "k", "test.last", map[string]int{"a": 1}, false)
	if err != nil || again.ID != r.ID || len(told) != 0 {
		t.Errorf("the same key is not the same command: %+v %v", again, err)
	}
	if list, err := c.Commands(ctx); err != nil || len(list) != 2 || list[1].Key != "k" {
		t.Errorf("%+v %v", list, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := c.Commands(ctx); !errors.Is(err, agentapi.ErrConnection) {
		t.Errorf("it serves on: %v", err)
	}
}

func TestTheLastAnswerIsNotWaitedForForever(t *testing.T) {
	c, _, ended := last(t, func(s *Server) { s.unseenWait = time.Millisecond })
	if r, err := c.Run(t.Context(), "test.last", map[string]int{"a": 1}, false); err != nil || r.CommandStatus != agentapi.Succeeded {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
