package conductor

import (
	"context"
	"errors"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// finalizeRescue hands the rescue to its user: the agent sets the password's hash and the keys, starts sshd, and never serves
// again. It is sent at most once: whoever comes back asks the agent by the command's key. One that does not answer has
// stopped or died; whether the password is set nobody can tell then, and the hash is not sent to a machine that may be
// somebody's by now. An agent that was heard is asked once more, when its answer is on record: it goes on to its tenant's
// network as soon as it knows that it was.
func (r *runner) finalizeRescue(ctx context.Context, op *Op) (Outcome, error) {
	a, err := r.agentRow(ctx, op)
	if err == nil {
		err = pinned(a)
	}
	if err != nil {
		return Outcome{}, err
	}
	var own error // of what is to be sent: it holds nothing of an agent's words
	sent := false
	params := func() (any, error) {
		p, err := r.finalizeParams(ctx, op)
		own, sent = err, true
		return p, err
	}
	_, ended, err := r.command(ctx, op, ordered{name: agentapi.CommandRescue, what: "let the user in"}, params)
	switch {
	case own != nil:
		return Outcome{}, own
	case errors.Is(err, agentapi.ErrConnection) && op.Rec.LetIn:
		return done, nil
	case errors.Is(err, agentapi.ErrConnection):
		return Outcome{}, fault.Wrap(fault.Unavailable, agentapi.ErrConnection, "the agent does not answer: it has stopped, or its machine has, before it said that the user was let in. Ask for the rescue again, and give the password again")
	case err != nil:
		return Outcome{}, r.refused(ctx, op, err)
	case !ended:
		return again(r.c.config.Poll, "the agent to let the user in"), nil
	case sent:
		op.Rec.LetIn = true
		return again(time.Millisecond, "the agent to stop"), nil
	}
	return done, nil
}

// pinned refuses an agent that could not be told from another: what it is sent opens the machine.
func pinned(a *store.Agent) error {
	if !strings.HasPrefix(a.URL, "https://") || a.VerifyCA == "" || a.Token.Empty() {
		return fault.New(fault.Invalid, "the agent gave no certificate to know it by: a rescue's password is not sent to it")
	}
	return nil
}

func (r *runner) finalizeParams(ctx context.Context, op *Op) (agentapi.FinalizeRescue, error) {
	p := agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true, SSHKeys: op.Rec.Ask.RescueKeys}
	if op.Rec.Ask.Secrets != nil {
		hash, err := r.rescueHash(ctx, op)
		if err != nil {
			return p, err
		}
		p.RescuePassword = hash.Expose() // to the agent whose certificate is pinned, and to nothing else
	}
	if r.ownISO(op) != "" { // as a rule an ironic-python-agent's, which refuses what it does not know
		return p, nil
	}
	var err error
	p.NetworkData, err = r.instanceNetwork(ctx, op)
	return p, err
}

// rescueHash fetches the password's hash from whoever took the request. fault.Unavailable: it may be had later.
func (r *runner) rescueHash(ctx context.Context, op *Op) (secret.Secret, error) {
	lost := fault.New(fault.Invalid, "the password's hash is not held any more, because the server that took it was started anew, or a day has passed since: ask for the rescue again, and give the password again")
	if r.c.secrets == nil {
		return secret.Secret{}, lost
	}
	hash, err := r.c.secrets.StepSecret(ctx, op.Rec.Ask.Secrets, op.row.UUID, metal.RescueHash)
	switch {
	case fault.KindOf(err) == fault.Unavailable:
		return hash, fault.Wrap(fault.Unavailable, err, "the server that holds the password's hash cannot be reached: ask for the rescue again, and give the password again")
	case err != nil || hash.Empty():
		return secret.Secret{}, lost
	}
	return hash, nil
}
