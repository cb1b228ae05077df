package conductor

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/store"
)

// acquaintance is an agent that was met, with its connection. It is of one boot.
type acquaintance struct {
	boot string
	at   string // host and port
	*agentapi.Client
	used time.Time
	born float64 // when it was started, as it says; 0: not known yet. Guarded by the poller's mu
}

// acquainted gives the agent of a row, if it was met by this process; else nil.
func (p *poller) acquainted(row *store.Poll) *acquaintance {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.known[row.NodeID]
	if k == nil || k.boot != row.Boot {
		return nil
	}
	k.used = time.Now()
	return k
}

func (p *poller) acquaint(row *store.Poll, agent *agentapi.Client, url string) *acquaintance {
	k := &acquaintance{boot: row.Boot, at: strings.TrimPrefix(url, "https://"), Client: agent, used: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.known[row.NodeID]; old != nil && old.Client != agent {
		old.Close()
	}
	p.known[row.NodeID] = k
	return k
}

// recall finds the agent that was met, maybe by another process; nil if none was.
func (p *poller) recall(ctx context.Context, row *store.Poll) *acquaintance {
	s, err := p.about(ctx, row)
	if err != nil || s == nil || s.agent.URL == "" {
		return nil
	}
	if known := p.acquainted(row); known != nil {
		return known
	}
	agent, err := p.client(s.agent, s.agent.URL)
	if err != nil {
		return nil
	}
	return p.acquaint(row, agent, s.agent.URL)
}

// forgetOld closes what was not used lately.
func (p *poller) forgetOld() {
	before := time.Now().Add(-10*time.Minute - 2*p.c.config.PollInterval)
	p.where.forget(before)
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, k := range p.known {
		if k.used.Before(before) {
			k.Close()
			delete(p.known, id)
		}
	}
}

func (p *poller) forgetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.known {
		k.Close()
	}
}

// look asks an agent that was met whether its command has ended, or whether it is there. One that remembers nothing of its
// node was started anew.
func (p *poller) look(ctx context.Context, a *polled, known *acquaintance) {
	a.at = known.at
	began := time.Now()
	list, same, err := p.whatOf(ctx, known, a.row.Awaits)
	door, isAddress := doorOf(a.at)
	switch {
	case err != nil:
		a.err = refused(err, door)
		return
	case same:
		a.pace = spread(p.c.config.PollInterval)
		return
	}
	a.running = slices.ContainsFunc(list, func(r agentapi.Result) bool { return r.CommandStatus == agentapi.Running })
	told := slices.ContainsFunc(list, func(r agentapi.Result) bool {
		return slices.Contains([]string{agentapi.CommandNodeInfo, agentapi.CommandSetNodeInfo, "node_info", "set_node_info"}, r.CommandName)
	})
	switch {
	case !told && !a.running && isAddress:
		p.meet(ctx, a, &door)
	case a.row.Awaits == store.AwaitSign:
		a.pace = spread(p.c.config.PollInterval)
	case a.running && time.Since(began) > workLimit/2: // it waited for the end: it is asked again at once
	default:
		a.pace = p.c.config.Poll
	}
}

// whatOf asks an agent for its commands; for a sign of life, whether it is the same as when it was asked before: the list of
// one that has worked a while is long.
func (p *poller) whatOf(ctx context.Context, known *acquaintance, awaits store.Awaited) (list []agentapi.Result, same bool, err error) {
	if awaits == store.AwaitCommand {
		call, cancel := context.WithTimeout(ctx, workLimit+answerLimit)
		defer cancel()
		list, err = known.Await(call, workLimit)
		return list, false, err
	}
	call, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	is, err := known.Status(call)
	if err != nil {
		return nil, false, err
	}
	p.mu.Lock()
	same = is.StartedAt != 0 && known.born == is.StartedAt
	known.born = is.StartedAt
	p.mu.Unlock()
	if !same {
		list, err = known.Commands(call)
	}
	return list, same, err
}

func doorOf(host string) (netip.AddrPort, bool) {
	door, err := netip.ParseAddrPort(host)
	return door, err == nil
}
