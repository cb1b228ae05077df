package ops

import (
	"context"
	"reflect"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// Rescue is how a caller will get into a rescued machine, and how long it may take to come up.
type Rescue struct {
	Hash  secret.Secret  // of the password, in crypt's form; empty: none was given
	Keys  []string       // lines of authorized_keys, checked and without options
	Limit *time.Duration // until the ramdisk calls; nil: as configured, 0: for ever
}

// values are those of Rescue that no row may hold.
func (r Rescue) values() map[string]secret.Secret {
	if r.Hash.Empty() {
		return nil
	}
	return map[string]secret.Secret{metal.RescueHash: r.Hash}
}

// askRescue asks a conductor whether the rescue could be done, and waits for the answer: nothing of the node is changed for a
// rescue that could not even begin. The question's values are kept apart from the rescue's, and only until it is answered.
func (s *Service) askRescue(ctx context.Context, c Caller, ident string, p Provision, values map[string]secret.Secret) error {
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		_, err := s.judgeRescue(tx, c, ident, p)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.canKeep(values); err != nil {
		return err
	}
	id := uuid.NewString()
	ref, drop, err := s.keepSecrets(id, values)
	if err != nil {
		return err
	}
	defer drop()
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		rq, err := s.judgeRescue(tx, c, ident, p)
		if err != nil {
			return err
		}
		rq.ask.Secrets = ref
		o := newOperation(rq.node, metal.PlanCheckRescue, string(metal.PlanCheckRescue), c, rq.ask)
		o.UUID, o.Exclusive = id, false
		return tx.CreateOperation(o)
	})
	if err != nil {
		return err
	}
	_, err = s.await(ctx, id, func(o *store.Operation) bool { return o.Status == store.Done })
	return err
}

// judgeRescue is judge for a rescue, which takes nobody's place and needs somebody to ask.
func (s *Service) judgeRescue(tx *store.Tx, c Caller, ident string, p Provision) (*request, error) {
	rq, _, err := s.judge(tx, c, ident, p)
	switch {
	case err != nil:
		return nil, err
	case rq.live != nil:
		return nil, locked(rq.node, rq.live)
	}
	_, err = s.hardware(tx, rq.node.Driver, rq.node.ConductorGroup)
	return rq, err
}

// checkRescue refuses a rescue that is not possible, and notes what it is told.
func (rq *request) checkRescue() error {
	if err := rq.checkUnrescue(); err != nil {
		return err
	}
	if rq.Rescue.Hash.Empty() && len(rq.Rescue.Keys) == 0 {
		return fault.New(fault.Invalid, "A rescue needs a password, or SSH keys, for the user of the rescued machine.")
	}
	rq.ask.RescueKeys = rq.Rescue.Keys
	if limit := rq.Rescue.Limit; limit != nil {
		seconds := int(*limit / time.Second)
		rq.ask.RescueSeconds = &seconds
	}
	return nil
}

// checkUnrescue refuses rescue and unrescue of a node that cannot be rescued or is worked on by people. Whether the work
// of its rescue interface is built is judged with every verb's.
func (rq *request) checkUnrescue() error {
	n := rq.node
	switch name := n.Interface("rescue"); {
	case n.Maintenance:
		return rq.inMaintenance()
	case name == "" || name == "no-rescue":
		return fault.New(fault.Invalid, "Driver %[1]s does not support rescue (disabled or not implemented). Set rescue_interface of node %[2]s to agent. "+
			"A node that is not idle takes that in maintenance only: ingot node set %[2]s --maintenance on, then ingot node set %[2]s rescue_interface=agent, then ingot node set %[2]s --maintenance off.", n.Driver, n.UUID)
	}
	return nil
}

// rescuerStays refuses another rescue interface while a rescue is not over, also in maintenance: what the present one did, the other
// would not take away, and the node would be active with its machine in the ramdisk, or on the rescuing network.
func rescuerStays(before, n *metal.Node) error {
	if _, rescued := metal.Next(before.ProvisionState, metal.EventUnrescue); rescued && n.Interface("rescue") != before.Interface("rescue") {
		return fault.New(fault.Conflict, "Node %s can not have another rescue interface in state %q: only %q takes away what its rescue left. Unrescue it first.",
			n.UUID, before.ProvisionState, before.Interface("rescue"))
	}
	return nil
}

// noRescuePassword refuses a rescue password in instance_info, where upstream keeps one: what is there is in the database, in
// backups and in front of everybody who may read it. What an older database has may stay and be taken away.
func noRescuePassword(before, n *metal.Node) error {
	had, has := before.InstanceInfo.Expose(), n.InstanceInfo.Expose()
	for _, key := range []string{"rescue_password", "hashed_rescue_password"} {
		old, was := had[key]
		if v, is := has[key]; is && !(was && reflect.DeepEqual(v, old)) {
			return fault.New(fault.Invalid, "instance_info does not take %s: no node keeps the password of a rescue. Give it with the verb that uses it: "+
				"PUT /v1/nodes/%s/states/provision with {\"target\": \"rescue\", \"rescue_password\": …}.", key, n.UUID)
		}
	}
	return nil
}
