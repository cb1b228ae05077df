package metadata

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/channel"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// maxBodies is how many requests of machines that install themselves are in work that may take a mebibyte of memory each, or a definition;
// maxBodiesOfOne how many of them may be of one machine, so that none keeps the others out.
const (
	maxBodies      = 64
	maxBodiesOfOne = 4
)

// shares counts what is in work of each machine.
type shares struct {
	mu  sync.Mutex
	all int
	by  map[string]int // by the node's UUID
}

// take takes one for a machine, and gives what gives it back; nil: there is none left for it.
func (s *shares) take(node string) (back func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == maxBodies || s.by[node] == maxBodiesOfOne {
		return nil
	}
	if s.by == nil {
		s.by = map[string]int{}
	}
	s.all++
	s.by[node]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[node]--; s.by[node] == 0 {
			delete(s.by, node)
		}
	}
}

// converse answers a request below /ganeti/ for whoever asks.
func (c *call) converse(who asker) error {
	if c.o.Installs == nil {
		return errNobody
	}
	i, err := c.installation(who)
	if err != nil {
		return err
	}
	c.node = i.machine.Node
	if i.talk == nil { // nothing that it brings is taken
		if c.r.ContentLength != 0 {
			c.w.Header().Set("Connection", "close") // or the server would wait for it before it answers
		}
		c.r.Body = http.NoBody
	} else {
		back := c.bodies.take(c.node)
		if back == nil {
			return fault.New(fault.Unavailable, "Too many requests of installations are in work; ask again.")
		}
		defer back()
	}
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(answerTime + writeTime)) // as for reading
	var failed error
	if c.status, failed = channel.Respond(i, c.w, c.r); failed != nil {
		c.log.Error("request of an installation failed", "node", c.node, "error", failed)
	}
	return nil
}

// installation finds the one of whoever asks.
func (c *call) installation(who asker) (*installation, error) {
	for try := 1; ; try++ {
		m, err := c.sole(c.r.Context(), who)
		if err != nil {
			return nil, err
		}
		i, err := c.o.Installs.of(c.r.Context(), m, func(ctx context.Context) (*Instance, error) {
			return c.cache.get(ctx, m, func(ctx context.Context) (*Instance, error) { return c.o.Instances.Open(ctx, m) })
		})
		switch {
		case err == nil:
			return i, nil
		case errors.Is(err, ErrChanged) && try < tries:
			continue
		case errors.Is(err, errNobody) && m.Idle != "":
			c.idle(m, who)
		}
		return nil, err
	}
}

// Read implements channel.Source. A machine that is about to be stopped can still hear of that.
func (i *installation) Read(ctx context.Context) ([]byte, error) {
	if i.talk == nil {
		return nil, channel.ErrOver
	}
	waiting := 0
	err := i.DB.Read(ctx, func(tx *store.Tx) (err error) {
		waiting, err = tx.OSMessages(i.node, store.ToMachine)
		return err
	})
	if err != nil || waiting == 0 {
		return nil, err
	}
	var message []byte
	err = i.change(ctx, func(tx *store.Tx, n *metal.Node) (err error) {
		message, err = tx.TakeOSMessage(n, i.talk.Deploy, store.ToMachine)
		return err
	})
	return message, err
}

// Write implements channel.Source.
func (i *installation) Write(ctx context.Context, message []byte) error {
	if i.talk == nil || i.ending {
		return channel.ErrOver
	}
	p, is, err := channel.ParseProgress(message)
	switch {
	case err != nil:
		return err
	case is:
		return i.progress(ctx, p)
	case i.talk.Progress.Final:
		return channel.ErrOver
	case len(message) == 0:
		return nil
	}
	return i.change(ctx, func(tx *store.Tx, n *metal.Node) error {
		return tx.PutOSMessage(n, i.talk.Deploy, store.ToServer, message, channel.Room)
	})
}

// quiet is how often progress within a stage is kept: a machine may say it a hundred times a second.
const quiet = 500 * time.Millisecond

// progress keeps how far the machine says that it is. What was the last word stays it: the same again is no error, for the answer to it
// may have been lost.
func (i *installation) progress(ctx context.Context, p agentapi.OSProgress) error {
	if last := i.talk.Progress; last.Final {
		if p.Final && p.Code == last.Code {
			return nil
		}
		return channel.ErrOver
	}
	before, known := i.talk.Stages[p.Stage]
	if ends := p.Percent == 100 && before < 100; known && !p.Final && !ends && i.now.Sub(i.talk.UpdatedAt) < quiet {
		return nil
	}
	p, err := i.clean(ctx, p)
	if err != nil {
		return err
	}
	return i.change(ctx, func(tx *store.Tx, n *metal.Node) error {
		now, err := tx.OSChannel(n) // another server may have kept one meanwhile
		if err != nil || now == nil || now.Progress.Final {
			return err
		}
		stages := channel.Stages(now.Stages)
		if p, err = stages.Next(p); err != nil {
			return err
		}
		return tx.SaveOSProgress(n, i.talk.Deploy, p, stages)
	})
}

// plainStage is a stage's name that is kept where nobody can tell whether it repeats a secret value.
var plainStage = regexp.MustCompile(`^[a-z]{1,20}$`)

// clean takes private and secret values out of a progress. Where the secret ones cannot be had to look for them, nothing of its words is kept.
func (i *installation) clean(ctx context.Context, p agentapi.OSProgress) (agentapi.OSProgress, error) {
	hide := i.stored()
	for _, name := range i.hidden() {
		v, lost, err := i.fetch(ctx, name)
		if err != nil || lost {
			p.Message = ""
			if !plainStage.MatchString(p.Stage) {
				p.Stage = "install"
			}
			continue
		}
		hide.Secret[name] = v
	}
	return channel.Clean(p, hide), nil
}

// hidden are the names of all that was given for this installation and is stored nowhere.
func (i *installation) hidden() (out []string) {
	for _, name := range i.kept.Secrets {
		out = append(out, metal.OSSecretParameter+name)
	}
	if i.ref == nil {
		return out
	}
	for _, name := range i.ref.Names {
		if strings.HasPrefix(name, metal.OSCredential) {
			out = append(out, name)
		}
	}
	return out
}
