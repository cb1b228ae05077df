package ops

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/source"
	"ingot/internal/store"
)

// Provision is what PUT states/provision asks. ConfigDrive is nil, a string (URL or base64) or an object.
type Provision struct {
	Verb         metal.Verb
	ConfigDrive  any
	CleanSteps   []metal.Step
	DeploySteps  []metal.Step
	ServiceSteps []metal.Step
	NoRamdisk    bool // disable_ramdisk
	// Runbook is where CleanSteps or ServiceSteps are from; nil: the request itself.
	Runbook *metal.Runbook
	// Secrets are the values that arguments of the steps name; they are never written anywhere.
	Secrets map[string]secret.Secret
	// BootRoles are those for whom the instance is deployed, where they are not the caller's; nil: they are.
	BootRoles []string
	// Rescue is what the verb rescue is told.
	Rescue Rescue
	// OS is what a deployment or rebuild asks of OS definitions; nil: nothing.
	OS *OSInstall
}

// request is a verb on its way in: what was asked, of which node, and what the operation will be told.
type request struct {
	*Service
	tx   *store.Tx
	node *metal.Node
	live *store.Operation // that holds the node; nil for none
	by   Caller
	Provision
	plan metal.Plan // what follows; a check may choose another than the table says
	ask  metal.Ask
	id   string // of the operation, if one is written

	install *store.OSInstall // how the node will be installed, where an OS definition, a package or a mode is asked for

	history []string // lines about what was asked, beside the one that says that it was
}

// accepts says, for each verb that begins work or moves the node at once, which plan follows, and checks what must
// hold before anything is promised. A verb that is not here is answered with fault.NotSupported; abort and unhold
// turn to the operation there is, in abort.go.
var accepts = map[metal.Verb]struct {
	plan  metal.Plan // "" where the state alone changes
	check func(*request) error
}{
	metal.VerbManage:   {plan: metal.PlanVerify},
	metal.VerbProvide:  {metal.PlanClean, (*request).checkProvide},
	metal.VerbClean:    {metal.PlanManual, (*request).checkClean},
	metal.VerbActive:   {metal.PlanDeploy, (*request).checkNewDeploy},
	metal.VerbDeploy:   {metal.PlanDeploy, (*request).checkNewDeploy},
	metal.VerbRebuild:  {metal.PlanDeploy, (*request).checkRebuild},
	metal.VerbDeleted:  {metal.PlanTearDown, (*request).checkProtected},
	metal.VerbUndeploy: {metal.PlanTearDown, (*request).checkProtected},
	metal.VerbService:  {metal.PlanService, (*request).checkService},
	metal.VerbInspect:  {metal.PlanInspect, (*request).checkInspect},
	metal.VerbAdopt:    {plan: metal.PlanAdopt},
	metal.VerbRescue:   {metal.PlanRescue, (*request).checkRescue},
	metal.VerbUnrescue: {metal.PlanUnrescue, (*request).checkUnrescue},
}

// SetProvision accepts a verb: the node's transition and the operation that does the work are written
// together, or neither is. Of a rescue a conductor is asked first whether it could be done.
func (s *Service) SetProvision(ctx context.Context, c Caller, ident string, p Provision) error {
	values, err := s.values(p)
	if err != nil {
		return err
	}
	if p.Verb == metal.VerbRescue {
		if err := s.askRescue(ctx, c, ident, p, values); err != nil {
			return err
		}
	}
	id := uuid.NewString()
	ref, drop, err := s.keepSecrets(id, values)
	if err != nil {
		return err
	}
	if err = s.setProvision(ctx, c, ident, p, id, ref); err != nil {
		drop()
	}
	return err
}

// values are the secret values that go with a request, once it was checked that they can.
func (s *Service) values(p Provision) (map[string]secret.Secret, error) {
	if err := s.checkSecrets(p.Secrets, slices.Concat(p.CleanSteps, p.DeploySteps, p.ServiceSteps)); err != nil {
		return nil, err
	}
	if p.Verb == metal.VerbRescue {
		return p.Rescue.values(), nil
	}
	if p.OS == nil {
		return p.Secrets, nil
	}
	values := p.OS.values(p.Verb == metal.VerbService)
	maps.Copy(values, p.Secrets)
	return values, s.canKeep(values)
}

// setProvision is SetProvision once the secret values are kept, for the operation that will have this id.
func (s *Service) setProvision(ctx context.Context, c Caller, ident string, p Provision, id string, ref *metal.SecretRef) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		rq, to, err := s.judge(tx, c, ident, p)
		if err != nil {
			return err
		}
		rq.id, rq.ask.Secrets = id, ref
		switch p.Verb {
		case metal.VerbAbort:
			return rq.abort()
		case metal.VerbUnhold:
			return rq.unhold()
		}
		info := metal.Verbs[rq.Verb]
		if err := rq.makeWay(info); err != nil {
			return err
		}
		return rq.begin(info, to)
	})
}

// judge tells whether a verb may be asked of a node, and gives the state it leads to at once. It writes nothing.
func (s *Service) judge(tx *store.Tx, c Caller, ident string, p Provision) (rq *request, to metal.State, err error) {
	n, err := c.node(tx, ident, "node:set_provision_state")
	if err != nil {
		return nil, "", err
	}
	if min := metal.Verbs[p.Verb.In(n.ProvisionState)].Min; c.Minor >= min {
		p.Verb = p.Verb.In(n.ProvisionState)
	}
	info, known := metal.Verbs[p.Verb]
	if !known {
		return nil, "", badState(n, p.Verb)
	}
	if c.Minor < info.Min && p.Verb != metal.VerbUndeploy {
		return nil, "", fault.New(fault.NotAcceptable, "The verb %q needs microversion 1.%d or newer.", p.Verb, info.Min)
	}
	if err := c.Knows(n); err != nil {
		return nil, "", err
	}
	if err := c.MayStep(n, p); err != nil {
		return nil, "", err
	}
	if err := c.MayBootFor(n, p); err != nil {
		return nil, "", err
	}
	rq = &request{Service: s, tx: tx, node: n, by: c, Provision: p}
	if deploys(info) && n.Maintenance {
		return nil, "", rq.inMaintenance()
	}
	if rq.live, err = tx.LiveOperation(n.ID); err != nil {
		return nil, "", err
	}
	to, ok := metal.Next(n.ProvisionState, info.Event)
	if !ok || (n.ProvisionState == metal.Cleaning && p.Verb == metal.VerbManage) || (n.ProvisionState == metal.Deleting && p.Verb == metal.VerbClean) {
		if rq.live != nil && n.Reservation != "" {
			return nil, "", locked(n, rq.live)
		}
		return nil, "", badState(n, p.Verb)
	}
	if p.Verb == metal.VerbAbort || p.Verb == metal.VerbUnhold { // they turn to the operation there is
		return rq, to, nil
	}
	return rq, to, rq.accept()
}

// accept checks what a verb that begins work needs, and chooses the plan.
func (rq *request) accept() error {
	how, have := accepts[rq.Verb]
	if !have {
		return fault.New(fault.NotSupported, "The verb %q is not supported by this server yet.", rq.Verb)
	}
	rq.plan = how.plan
	if how.check != nil {
		if err := how.check(rq); err != nil {
			return err
		}
	}
	return rq.canWork()
}

// canWork refuses a verb whose work needs an interface that is not built, or a driver that nobody serves. While no conductor
// lives at all nothing is known; the operation waits then for one.
func (rq *request) canWork() error {
	if rq.plan == "" {
		return nil
	}
	hw, err := rq.hardware(rq.tx, rq.node.Driver, rq.node.ConductorGroup)
	if fault.KindOf(err) == fault.Unavailable {
		return nil
	}
	if err != nil {
		return err
	}
	if err := rq.knownSteps(hw); err != nil {
		return err
	}
	ramdisk := rq.plan == metal.PlanDeploy || rq.plan == metal.PlanClean && !(rq.node.AutomatedClean != nil && !*rq.node.AutomatedClean)
	return built(rq.node, hw, worksWith(rq.node, rq.plan, ramdisk)...)
}

func deploys(info metal.VerbInfo) bool {
	return info.Event == metal.EventDeploy || info.Event == metal.EventRebuild
}

// makeWay ends the operation that holds the node where the verb may take its place: a tear down of what waits, a
// service of what another service holds. Its holder, if it works at this moment, is fenced: what follows switches
// the machine off anyway.
func (rq *request) makeWay(info metal.VerbInfo) error {
	if rq.live == nil {
		return nil
	}
	kind := metal.States[rq.node.ProvisionState].Kind
	if (kind != metal.Waiting || info.Event != metal.EventDelete) && (kind != metal.Held || info.Event != metal.EventService) {
		return locked(rq.node, rq.live)
	}
	return rq.tx.Supersede(rq.node.ID, fmt.Sprintf("ended by %q of %s", rq.Verb, rq.by.who()))
}

// begin writes the intent: the transition, the history line and, where there is work, the operation.
func (rq *request) begin(info metal.VerbInfo, to metal.State) error {
	n, tx := rq.node, rq.tx
	var operation *store.Operation
	if rq.plan != "" && metal.States[to].Kind == metal.Busy {
		operation = newOperation(n, rq.plan, string(rq.Verb), rq.by, rq.ask)
		operation.UUID = rq.id
		if err := rq.takeSlot(operation); err != nil {
			return err
		}
		if err := tx.CreateOperation(operation); err != nil {
			return err
		}
	}
	n.LastError = ""
	id, want := "", metal.State("")
	if operation != nil {
		id = operation.UUID
	}
	if rq.Verb == metal.VerbClean {
		want = info.Target // not where cleaning leads by itself
	}
	if err := transition(tx, n, info.Event, want, rq.by, string(rq.Verb), id, fmt.Sprintf("%s asked for %q.", rq.by.who(), rq.Verb)); err != nil {
		return err
	}
	if operation != nil && operation.Queued {
		if err := rq.standInLine(operation, want); err != nil {
			return err
		}
	}
	for _, why := range rq.history {
		if err := tx.AppendEvent(n.ID, metal.HistoryEvent{Operation: id, Kind: "request", Who: rq.by.who(), Verb: string(rq.Verb), Why: why}); err != nil {
			return err
		}
	}
	if deploys(info) {
		if err := rq.keepInstall(); err != nil {
			return err
		}
	}
	if info.Event == metal.EventDelete { // from now on nobody is served as what runs there
		if err := tx.DropInstance(n.ID); err != nil {
			return err
		}
	}
	rq.log.Info("verb accepted", "node", n.UUID, "verb", string(rq.Verb), "op", id, "request", rq.by.RequestID)
	return tx.SaveNode(n)
}

func (rq *request) inMaintenance() error {
	return fault.New(fault.Invalid, "The %s operation can't be performed on node %s because it's in maintenance mode.", rq.Verb, rq.node.UUID)
}

// checkInspect chooses who inspects: the agent or the BMC.
func (rq *request) checkInspect() (err error) {
	rq.plan, err = inspection(rq.node)
	return err
}

func (rq *request) checkProvide() error {
	if rq.node.Retired {
		return fault.New(fault.Invalid, "The provide operation can't be performed on node %s because it is retired.", rq.node.UUID)
	}
	return nil
}

func (rq *request) checkProtected() error {
	if rq.node.Protected {
		return fault.New(fault.Forbidden, "Node %s is protected and cannot be undeployed, rebuilt or deleted", rq.node.UUID)
	}
	return nil
}

func (rq *request) checkRebuild() error {
	if err := rq.checkProtected(); err != nil {
		return err
	}
	rq.ask.NoInstance = rq.node.ProvisionState != metal.Active
	if err := rq.checkDeploy(); err != nil {
		return err
	}
	return rq.bootFor()
}

func (rq *request) checkDeploy() error {
	if err := rq.checkOS(); err != nil {
		return err
	}
	if err := rq.prepareDeploy(); err != nil {
		return err
	}
	return rq.deploySteps()
}

// prepareDeploy checks what a deployment needs before it is accepted, and keeps the config drive.
func (rq *request) prepareDeploy() error {
	n := rq.node
	info := n.InstanceInfo.Expose()
	switch d := rq.ConfigDrive.(type) {
	case nil:
	case string:
		if d != "" {
			info["configdrive"] = d
		}
	case map[string]any:
		if len(d) > 0 {
			info["configdrive"] = d
		}
	default:
		return fault.New(fault.Invalid, "configdrive must be a string or an object.")
	}
	n.InstanceInfo = secret.NewMap(info)
	if err := checkDrive(n); err != nil {
		return err
	}
	switch wish, err := metal.WishOf(n); {
	case err != nil:
		return fault.New(fault.Invalid, "Cannot deploy node %s: %s.", n.UUID, err)
	case wish.SecureBoot && n.Interface("management") == "noop":
		return noSecureBoot(n)
	}
	if deploy := n.Interface("deploy"); deploy != "direct" && deploy != metal.DeployOS {
		return nil
	}
	image, _ := info["image_source"].(string)
	switch {
	case rq.selfInstalls(), image == "" && rq.scripted():
		return nil
	case image == "":
		return fault.New(fault.Invalid, "Cannot deploy node %s: instance_info has no image_source. Set it to the URL of a whole-disk image.", n.UUID)
	}
	if err := rq.config.ImageRules.CheckDeclared(info); err != nil {
		return err
	}
	return source.CheckImage(info, rq.config.Images)
}

func badState(n *metal.Node, v metal.Verb) error {
	return fault.New(fault.BadState, "The requested action %q can not be performed on node %q while it is in state %q.", v, n.UUID, n.ProvisionState)
}

// SetPower asks for a power change: "power on", "power off", "rebooting" and, softly with a time limit (0:
// the server's default), "soft power off" and "soft rebooting".
func (s *Service) SetPower(ctx context.Context, c Caller, ident string, target metal.Power, timeout time.Duration) error {
	shown, ok := map[metal.Power]metal.Power{metal.PowerOn: metal.PowerOn, metal.PowerOff: metal.PowerOff, metal.Reboot: metal.PowerOn,
		metal.SoftReboot: metal.PowerOn, metal.SoftPowerOff: metal.PowerOff}[target]
	if !ok {
		return fault.New(fault.Invalid, "Power target %q is not known: use power on, power off, rebooting, soft rebooting or soft power off.", target)
	}
	soft := target == metal.SoftReboot || target == metal.SoftPowerOff
	if c.Minor < metal.SinceSoftPower && (soft || timeout != 0) {
		return fault.New(fault.NotAcceptable, "Soft power changes and timeout need microversion 1.%d or newer.", metal.SinceSoftPower)
	}
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:set_power_state")
		if err != nil {
			return err
		}
		live, err := tx.LiveOperation(n.ID)
		if err != nil {
			return err
		}
		if n.ProvisionState == metal.Cleaning || n.ProvisionState == metal.CleanWait {
			return fault.New(fault.BadState, "The requested action %q can not be performed on node %q while it is in state %q.", target, n.UUID, n.ProvisionState)
		}
		if live != nil {
			return locked(n, live)
		}
		hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
		if err == nil {
			err = built(n, hw, "power")
		}
		if err != nil && fault.KindOf(err) != fault.Unavailable { // while no conductor lives at all, it waits for one
			return err
		}
		if n.DisablePowerOff && shown == metal.PowerOff {
			return fault.New(fault.Conflict, "Node %s must not be powered off: disable_power_off is set.", n.UUID)
		}
		if err := tx.CreateOperation(newOperation(n, metal.PlanPower, string(target), c, metal.Ask{Power: target, Seconds: int(timeout / time.Second)})); err != nil {
			return err
		}
		n.TargetPowerState = shown
		if metal.States[n.ProvisionState].Kind != metal.Failed { // there it says why, whatever its power
			n.LastError = ""
		}
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Verb: string(target), Why: fmt.Sprintf("%s asked for %q.", c.who(), target)})
	})
}

// Validate asks a conductor whether each interface of the node could work.
func (s *Service) Validate(ctx context.Context, c Caller, ident string) (map[string]metal.Validation, error) {
	out := map[string]metal.Validation{}
	return out, s.answer(ctx, c, ident, "node:validate", metal.PlanValidate, false, metal.Ask{}, &out)
}

// BootDevice asks the machine what it boots from.
func (s *Service) BootDevice(ctx context.Context, c Caller, ident string) (metal.BootDevice, error) {
	var out metal.BootDevice
	return out, s.answer(ctx, c, ident, "node:get_boot_device", metal.PlanReadBoot, false, metal.Ask{}, &out)
}

// SetBootDevice chooses what the machine boots from.
func (s *Service) SetBootDevice(ctx context.Context, c Caller, ident string, d metal.BootDevice) error {
	return s.answer(ctx, c, ident, "node:set_boot_device", metal.PlanSetBoot, true, metal.Ask{BootDevice: &d}, nil)
}

// BootDevices asks what SetBootDevice accepts.
func (s *Service) BootDevices(ctx context.Context, c Caller, ident string) ([]string, error) {
	var out []string
	return out, s.answer(ctx, c, ident, "node:get_boot_device", metal.PlanBootKinds, false, metal.Ask{}, &out)
}

// answer writes a short-lived operation and waits until a conductor has answered it. Nobody in time is
// fault.Unavailable; the row is left to whoever comes, its answer to nobody.
func (s *Service) answer(ctx context.Context, c Caller, ident string, rule policy.Rule, plan metal.Plan, exclusive bool, ask metal.Ask, into any) error {
	id, err := s.put(ctx, c, ident, rule, plan, exclusive, ask, nil)
	if err != nil {
		return err
	}
	o, err := s.await(ctx, id, func(o *store.Operation) bool { return o.Status == store.Done })
	if err != nil || into == nil || o.Result == "" {
		return err
	}
	return json.Unmarshal([]byte(o.Result), into)
}

// accept writes an operation whose first step says whether it can be done at all, and waits for that only: what goes
// wrong later is in the node's last_error. what says what was asked for, after "NAME asked for".
func (s *Service) accept(ctx context.Context, c Caller, ident string, rule policy.Rule, plan metal.Plan, exclusive bool, ask metal.Ask, what string) error {
	id, err := s.put(ctx, c, ident, rule, plan, exclusive, ask, func(tx *store.Tx, n *metal.Node) error {
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Verb: string(plan), Why: fmt.Sprintf("%s asked for %s.", c.who(), what)})
	})
	if err != nil {
		return err
	}
	_, err = s.await(ctx, id, func(o *store.Operation) bool { return o.Status == store.Done || o.Step > 0 })
	return err
}

// put writes an operation and what else belongs to it; also may be nil.
func (s *Service) put(ctx context.Context, c Caller, ident string, rule policy.Rule, plan metal.Plan, exclusive bool, ask metal.Ask, also func(*store.Tx, *metal.Node) error) (id string, err error) {
	return id, s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, rule)
		if err != nil {
			return err
		}
		if exclusive {
			if live, err := tx.LiveOperation(n.ID); err != nil || live != nil {
				return cmp.Or(err, locked(n, live))
			}
		}
		if _, err := s.hardware(tx, n.Driver, n.ConductorGroup); err != nil {
			return err
		}
		o := newOperation(n, plan, string(plan), c, ask)
		o.Exclusive, id = exclusive, o.UUID
		if err := tx.CreateOperation(o); err != nil || also == nil {
			return err
		}
		return also(tx, n)
	})
}

// await waits until an operation is far enough. One that failed is the fault that its conductor saw.
func (s *Service) await(ctx context.Context, id string, enough func(*store.Operation) bool) (*store.Operation, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.AnswerLimit)
	defer cancel()
	poll := time.NewTicker(time.Second) // for answers given by another process
	defer poll.Stop()
	for {
		changed := s.db.Changed()
		var o *store.Operation
		err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
			o, err = tx.Operation(id)
			return err
		})
		switch {
		case ctx.Err() != nil:
			return nil, fault.New(fault.Unavailable, "No conductor answered in %s; please retry.", s.config.AnswerLimit)
		case err != nil:
			return nil, err
		case o.Status == store.Failed:
			return nil, answered(o)
		case enough(o):
			return o, nil
		}
		select {
		case <-changed:
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// answered turns a failed request's stored error into a fault of the kind its conductor saw.
func answered(o *store.Operation) error {
	var f struct {
		Kind   fault.Kind `json:"kind"`
		Public string     `json:"public"`
	}
	if json.Unmarshal([]byte(o.Result), &f) == nil && f.Public != "" {
		return fault.New(f.Kind, "%s", f.Public)
	}
	return fault.New(fault.Internal, "%s", o.Error)
}
