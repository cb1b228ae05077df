package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"ingot/agent/server"
	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

// host is a process with agents: it starts those that standard input names, and tells on standard output what they see,
// until standard input ends.
func host(ctx context.Context, _ options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &hosts{out: json.NewEncoder(os.Stdout)}
	in := json.NewDecoder(os.Stdin)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for {
		var s start
		switch err := in.Decode(&s); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		all.Go(func() { h.fail(h.live(ctx, s)) })
	}
}

type hosts struct {
	mu  sync.Mutex
	out *json.Encoder // guarded by mu
}

func (h *hosts) say(node string, w what) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.out.Encode(seen{node, w, time.Now()}) // whoever reads it ends this process
}

func (h *hosts) fail(err error) {
	if err != nil {
		slog.Error("an agent ended", "error", err)
	}
}

// live is an agent from the power-on of its machine to its power-off.
func (h *hosts) live(ctx context.Context, s start) error {
	ctx, off := context.WithCancel(ctx)
	defer off()
	t := time.NewTimer(s.After)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-t.C:
	}
	own, err := agentapi.Pair{Certificate: s.Boot.Certificate, Key: secret.New(s.Boot.Key)}.TLS()
	if err != nil {
		return err
	}
	client, err := agentapi.ParseCertificate(s.Boot.Client)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	a := server.New(ctx, server.Config{Token: secret.New(s.Boot.AgentToken), Version: "bench", Client: &client, Log: slog.New(slog.DiscardHandler),
		Commands: h.commands(s, off)})
	h.say(s.Node, listens)
	return a.Serve(ctx, counted{l, func() { h.say(s.Node, opened) }}, &own)
}

// counted tells of every connection.
type counted struct {
	net.Listener
	tell func()
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.tell()
	}
	return conn, err
}

// commands are those that a manual cleaning needs. A step takes seconds.
func (h *hosts) commands(s start, off func()) map[string]server.Command {
	type run = func(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error)
	answer := func(w what, v any) run {
		return func(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
			h.say(s.Node, w)
			return v, nil
		}
	}
	inventory := agentapi.Inventory{Interfaces: []agentapi.Interface{{Name: "eno1", MACAddress: s.MAC}}}
	steps := agentapi.StepList{CleanSteps: map[string][]agentapi.Step{"bench": {{Interface: "deploy", Step: "work"}}}, Versions: map[string]string{"bench": "1"}}
	return map[string]server.Command{
		agentapi.CommandHardwareInfo: {Run: answer(asked, inventory), Open: true},
		agentapi.CommandNodeInfo:     {Run: answer(told, map[string]any{})},
		"clean.get_clean_steps":      {Run: answer(ordered, steps)},
		"clean.execute_clean_step": {Async: true, Run: func(ctx context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
			h.say(s.Node, ordered)
			var p agentapi.StepParams
			if err := json.Unmarshal(raw, &p); err != nil {
				return nil, err
			}
			t := time.NewTimer(time.Second + rand.N(4*time.Second)) //nolint:gosec // no secret
			defer t.Stop()
			select {
			case <-ctx.Done():
			case <-t.C:
			}
			h.say(s.Node, ended)
			return map[string]any{"clean_result": map[string]any{}, "clean_step": p.Step}, nil
		}},
		"standby.sync": {Run: answer(ordered, map[string]any{})},
		"standby.power_off": {Run: func(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
			h.say(s.Node, poweroff)
			time.AfterFunc(200*time.Millisecond, off) // the answer leaves first
			return map[string]any{}, nil
		}},
	}
}
