package main

import (
	"time"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/secret"
)

// walkOps is the configuration of a walk's doors: what no conductor answers is given up soon.
func walkOps() ops.Config {
	c := ops.Defaults()
	c.AnswerLimit = walkLimit
	return c
}

// rescue asks for one, with a password, keys or both. The door waits for a conductor's word, so one works meanwhile.
func (w *walk) rescue(n *metal.Node, k int) error {
	p := ops.Provision{Verb: metal.VerbRescue}
	if k%4 != 0 {
		p.Rescue.Hash = secret.New("$6$walkwalk$hash")
	}
	if k%4 != 1 {
		p.Rescue.Keys = []string{"ssh-ed25519 AAAA"}
	}
	asked := make(chan error, 1)
	go func() { asked <- w.service.SetProvision(w.ctx, walker, n.UUID, p) }()
	for {
		changed := w.db.Changed()
		if err := w.work(k%walkConductors, 1); err != nil {
			return err
		}
		select {
		case err := <-asked:
			return err
		case <-changed:
		case <-time.After(time.Millisecond): // what is due may be due later only
		}
	}
}
