package conductor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// polled is what came of asking an agent once.
type polled struct {
	row     *store.Poll
	err     error         // it did not answer, or not as it should
	met     *met          // it was found, and told its node
	running bool          // its command has not ended
	at      string        // the address that was asked
	pace    time.Duration // before it is asked again, if it answered
}

// met is an agent that was found.
type met struct {
	url, certificate string
	again            bool // it had been found before, and was started anew
}

// refusal is why what answers is not the agent, or is none that will do: whoever operates the machine should know.
type refusal struct {
	text   string
	final  bool     // no other machine and no later try can change it
	others []string // the nodes whose NICs it has, for the log
}

func (r *refusal) Error() string { return r.text }

func (a *polled) outcome() string {
	var r *refusal
	switch {
	case errors.As(a.err, &r):
		return "refused"
	case a.err != nil:
		return "unreachable"
	case a.met != nil:
		return "met"
	case a.running:
		return "running"
	}
	return "answered"
}

// write writes what came of asking, as much at a time as there is.
func (p *poller) write() {
	for first := range p.heard {
		batch, enough := []polled{first}, time.After(pollBreath)
	more:
		for len(batch) < 4*pollBatch {
			select {
			case a, open := <-p.heard:
				if !open {
					break more
				}
				batch = append(batch, a)
			case <-enough:
				break more
			}
		}
		err := p.noteAll(batch)
		if err != nil && len(batch) > 1 { // one of them may be to blame: the others are not lost for it
			err = nil
			for i := range batch {
				err = errors.Join(err, p.noteAll(batch[i:i+1]))
			}
		}
		if err != nil {
			p.c.log.Warn("what agents answered cannot be written; they are asked again", "error", err)
		}
	}
}

func (p *poller) noteAll(batch []polled) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // also what was heard when the server ends
	defer cancel()
	return p.c.db.Write(ctx, func(tx *store.Tx) error {
		for i := range batch {
			if err := p.c.note(tx, &batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// note writes what came of asking one agent, as a heartbeat of its would be written. What another holder asks by now, or
// nobody any more, is dropped.
func (c *Conductor) note(tx *store.Tx, a *polled) error {
	row, before := a.row, a.row.Error
	now, err := tx.Now()
	if err != nil {
		return err
	}
	if a.at != "" {
		row.Address = a.at
	}
	var no *refusal
	if a.err == nil {
		row.Failures, row.Error, row.Every = 0, "", a.pace
	} else {
		row.Failures++
		row.Error, row.Every = said(a.err), nextTry(a.err, row.Failures)
		if errors.As(a.err, &no) && no.final {
			row.Refusal = no.text
		}
	}
	row.DueAt = now.Add(row.Every)
	switch err := tx.SavePoll(row); {
	case errors.Is(err, store.ErrFenced):
		return nil
	case err != nil:
		return err
	}
	switch {
	case no != nil:
		return c.noteRefusal(tx, a, no, before)
	case a.err != nil:
		return nil
	case a.met != nil:
		return c.noteMet(tx, a)
	}
	if err := tx.AgentHeard(row.NodeID, row.Boot); err != nil {
		return err
	}
	return tx.Wake(row.NodeID, metal.WaitAgent)
}

// noteRefusal tells whoever looks at the node, once for each thing that is wrong.
func (c *Conductor) noteRefusal(tx *store.Tx, a *polled, no *refusal, before string) error {
	if a.row.Error != before {
		if len(no.others) > 0 {
			c.log.Warn("a machine with NICs of other nodes was refused", "at", a.at, "awaited", a.row.NodeID, "nodes", no.others)
		}
		if err := tx.AppendEvent(a.row.NodeID, metal.HistoryEvent{Kind: "agent", Who: c.config.Host, Severity: "ERROR", Why: no.text}); err != nil {
			return err
		}
	}
	if !no.final {
		return nil
	}
	return tx.Wake(a.row.NodeID, metal.WaitAgent)
}

func (c *Conductor) noteMet(tx *store.Tx, a *polled) error {
	n, err := tx.NodeByID(a.row.NodeID)
	if err != nil {
		return err
	}
	agent, err := tx.Agent(n)
	if err != nil || agent == nil || agent.Boot != a.row.Boot {
		return err
	}
	agent.URL, agent.VerifyCA = a.met.url, a.met.certificate
	if agent.LastHeartbeat, err = tx.Now(); err != nil {
		return err
	}
	if err := tx.SaveAgent(agent); err != nil {
		return err
	}
	why := fmt.Sprintf("The agent answered at %s, its machine is this node's, and it was told its node.", a.at)
	if a.met.again {
		why = fmt.Sprintf("The agent at %s was started anew, and was told its node again.", a.at)
	}
	if err := tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "agent", Who: c.config.Host, Why: why}); err != nil {
		return err
	}
	return tx.Wake(n.ID, metal.WaitAgent)
}

// nextTry is how long an agent is left alone that was asked in vain. One whose machine says that nobody listens is about to
// start, as a rule; one that does not answer is in POST, or off.
func nextTry(err error, failures int) time.Duration {
	pause := min(10*time.Second, time.Second<<min(failures-1, 4))
	if errors.Is(err, syscall.ECONNREFUSED) && failures < 100 {
		pause = 700 * time.Millisecond
	}
	return spread(pause)
}

// spread is between 80 and 120 % of d: what began together drifts apart.
func spread(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5+1) //nolint:gosec // no secret
}

// said is an error as people read it in a few words.
func said(err error) string {
	var no *refusal
	switch {
	case errors.As(err, &no):
		return no.text
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to it"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, agentapi.ErrBusy):
		return "it is busy with a command"
	}
	return clipped(sentence(err), 200)
}

// clipped is at most n bytes of a text, and still text.
func clipped(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
