package api

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// request is PUT states/provision, its arguments checked for type.
type request struct {
	*call
	node                                  *metal.Node
	verb                                  metal.Verb
	configDrive                           any // nil when there is none: "", {} and null count as none
	cleanSteps, deploySteps, serviceSteps []any
	noRamdisk                             *bool
	runbook                               string
	book                                  *metal.Runbook // the one that runbook names, once it was found
	rescue                                ops.Rescue
	hasPassword                           bool
	badPassword                           error // why the password cannot be one
	meant                                 bool  // the verb was another, and means this one for the node
	secrets                               map[string]secret.Secret
	bootRoles                             []string // nil: none were given
	os                                    *ops.OSInstall
}

func (c *call) setProvision() (answer, error) {
	defer func() { clear(c.body) }() // a password, a config drive and secret values were in it
	rq, err := c.readProvision()
	if err != nil {
		return answer{}, err
	}
	for _, check := range provisionChecks {
		if err := check(rq); err != nil {
			return answer{}, err
		}
	}
	p, err := rq.asked()
	if err != nil {
		return answer{}, err
	}
	if err := c.s.SetProvision(c.r.Context(), c.caller(), rq.node.UUID, p); err != nil {
		return answer{}, err
	}
	return c.accepted(), nil
}

// asked is the request as ops takes it: with its steps, or those of the runbook.
func (rq *request) asked() (p ops.Provision, err error) {
	p = ops.Provision{Verb: rq.verb, ConfigDrive: rq.configDrive, NoRamdisk: rq.noRamdisk != nil && *rq.noRamdisk, Secrets: rq.secrets, Rescue: rq.rescue, BootRoles: rq.bootRoles, OS: rq.os}
	if rq.book != nil {
		return p, rq.useRunbook(&p)
	}
	if p.CleanSteps, err = rq.readSteps("clean_steps", rq.cleanSteps, cleanStepKeys); err != nil {
		return p, err
	}
	if p.DeploySteps, err = rq.readSteps("deploy_steps", rq.deploySteps, deployStepKeys); err != nil {
		return p, err
	}
	p.ServiceSteps, err = rq.readSteps("service_steps", rq.serviceSteps, serviceStepKeys)
	return p, err
}

// provisionChecks run in the order in which upstream makes them; the first failure is the answer. What
// needs a transaction is checked again by ops. Source: provision verbs reference, "Order of checks".
var provisionChecks = []func(*request) error{
	(*request).checkVersion,
	(*request).checkStepRights,
	(*request).checkBootRights,
	(*request).checkKnown,
	(*request).checkMaintenance,
	(*request).checkState,
	(*request).checkMeant,
	(*request).checkConfigDrive,
	(*request).checkRunbook,
	(*request).checkRamdisk,
	(*request).checkSteps,
	(*request).checkBootRoles,
	(*request).checkOS,
	(*request).checkRescue,
	(*request).checkAbort,
	(*request).checkService,
	(*request).checkAccess,
	(*request).checkPresent,
	(*request).checkSecrets,
}

func (c *call) readProvision() (*request, error) {
	password, err := c.takePassword()
	defer clear(password)
	if err != nil {
		return nil, err
	}
	args, err := c.args(provisionArgs)
	if err != nil {
		return nil, err
	}
	rq := &request{call: c}
	target, err := textArg(args, "target", true)
	if err != nil {
		return nil, err
	}
	rq.verb = metal.Verb(target)
	for name, at := range map[string]*[]any{"clean_steps": &rq.cleanSteps, "deploy_steps": &rq.deploySteps, "service_steps": &rq.serviceSteps} {
		v, ok := args[name].([]any)
		if args[name] != nil && !ok {
			return nil, invalid("Invalid %s: it must be an array of steps.", name)
		}
		*at = v
	}
	if v := args["disable_ramdisk"]; v != nil {
		b, ok := wire.ParseBool(v)
		if !ok {
			return nil, invalid("Invalid input for disable_ramdisk: it must be true or false.")
		}
		rq.noRamdisk = &b
	}
	if rq.runbook, err = textArg(args, "runbook", false); err != nil {
		return nil, err
	}
	if rq.secrets, err = readSecrets(args["secrets"]); err != nil {
		return nil, err
	}
	if rq.bootRoles, err = readBootRoles(args["boot_roles"]); err != nil {
		return nil, err
	}
	if rq.os, err = c.readOS(args); err != nil {
		return nil, err
	}
	switch d := args["configdrive"].(type) {
	case nil:
	case string:
		if d != "" {
			rq.configDrive = d
		}
	case map[string]any:
		if len(d) > 0 {
			rq.configDrive = d
		}
	default:
		return nil, invalid("configdrive must be a string (a URL, or base64 of a compressed ISO image) or an object.")
	}
	if err := rq.readRescue(args); err != nil {
		return nil, err
	}
	if rq.node, err = c.s.Node(c.r.Context(), c.caller(), c.node(), "node:set_provision_state"); err != nil {
		return nil, err
	}
	rq.mean()
	rq.hashPassword(password)
	return rq, nil
}

func (rq *request) checkVersion() error {
	info, known := metal.Verbs[rq.verb]
	// Upstream means to gate undeploy and does not; unhold and service are checked late.
	if late := rq.verb == metal.VerbUndeploy || rq.verb == metal.VerbUnhold || rq.verb == metal.VerbService; known && !late && rq.minor < info.Min {
		return wire.TooNew("The provision verb "+string(rq.verb), info.Min, rq.minor)
	}
	return nil
}

// checkStepRights: who may not ask for steps learns that before anything about the node. Entries that are no steps are refused later.
func (rq *request) checkStepRights() error {
	if rq.runbook != "" {
		return nil
	}
	return rq.caller().MayStep(rq.node, ops.Provision{CleanSteps: namesOf(rq.cleanSteps), DeploySteps: namesOf(rq.deploySteps), ServiceSteps: namesOf(rq.serviceSteps)})
}

// namesOf are the steps of a list as far as rights are about them: their names.
func namesOf(list []any) []metal.Step {
	out := make([]metal.Step, len(list))
	for i, v := range list {
		m, _ := v.(map[string]any)
		out[i].Interface, _ = m["interface"].(string)
		out[i].Step, _ = m["step"].(string)
	}
	return out
}

// checkKnown: a verb that is itself too new for the client is refused for that, by a later check.
func (rq *request) checkKnown() error {
	if rq.minor < metal.Verbs[rq.verb].Min {
		return nil
	}
	return rq.caller().Knows(rq.node)
}

func (rq *request) checkMaintenance() error {
	if (rq.verb == metal.VerbActive || rq.verb == metal.VerbRebuild) && rq.node.Maintenance {
		return invalid("The %s operation can't be performed on node %s because it's in maintenance mode.", provisioning(rq.verb), rq.node.UUID)
	}
	return nil
}

func provisioning(v metal.Verb) string {
	if v == metal.VerbRebuild {
		return "rebuilding"
	}
	return "provisioning"
}

func (rq *request) checkState() error {
	info, known := metal.Verbs[rq.verb]
	if known {
		if _, ok := metal.Next(rq.node.ProvisionState, info.Event); ok {
			return nil
		}
	}
	if rq.node.Reservation != "" {
		return fault.New(fault.Locked, "Node %s is locked by host %s, please retry after the current operation is completed.", rq.node.UUID, rq.node.Reservation)
	}
	hint := ""
	if !known {
		verbs := slices.Sorted(maps.Keys(metal.Verbs))
		hint = " Verbs there are: " + strings.Join(asStrings(verbs), ", ") + "."
	}
	return badState("The requested action %q can not be performed on node %q while it is in state %q.%s", clip(string(rq.verb)), rq.node.UUID, rq.node.ProvisionState, hint)
}

func asStrings(verbs []metal.Verb) []string {
	out := make([]string, len(verbs))
	for i, v := range verbs {
		out[i] = string(v)
	}
	return out
}

var base64Form = regexp.MustCompile(`^[A-Za-z0-9+/= \t\r\n]*$`)

func (rq *request) checkConfigDrive() error {
	if rq.configDrive == nil {
		return nil
	}
	if since := metal.Verbs[rq.verb].Drive; since == 0 || rq.minor < since {
		return invalid("Adding a config drive is only supported when setting provision state to active (or rebuild, from API version 1.35 on).")
	}
	switch d := rq.configDrive.(type) {
	case string:
		if !strings.Contains(d, "://") && !base64Form.MatchString(d) {
			return invalid("Invalid configdrive: a string must be a URL, or base64 of a compressed ISO image; meta_data and the like are an object, not its text in a string (with baremetal: --config-drive '{\"meta_data\": …}', no file).")
		}
		return nil
	case map[string]any:
		if err := checkDriveKeys(d); err != nil {
			return err
		}
		if rq.minor < metal.SinceDriveObject {
			return invalid("Providing a JSON object for configdrive is only supported starting with API version 1.56.")
		}
		if d["vendor_data"] != nil && rq.minor < metal.SinceVendorData {
			return invalid("Providing vendor_data in configdrive is only supported starting with API version 1.59.")
		}
	}
	return nil
}

func checkDriveKeys(d map[string]any) error {
	if err := unexpected(d, "meta_data network_data user_data vendor_data"); err != nil {
		text, _ := fault.PublicOf(err)
		return invalid("Invalid configdrive: %s", text)
	}
	for _, k := range []string{"meta_data", "network_data", "vendor_data"} {
		if _, ok := d[k].(map[string]any); d[k] != nil && !ok {
			return invalid("Invalid configdrive: %s must be an object.", k)
		}
	}
	if err := checkDriveNetwork(d["network_data"]); err != nil {
		return err
	}
	switch d["user_data"].(type) {
	case nil, string, map[string]any, []any:
		return nil
	}
	return invalid("Invalid configdrive: user_data must be a string, an object or an array.")
}

func (rq *request) checkRunbook() error {
	if rq.runbook == "" {
		return nil
	}
	if err := rq.late("runbook"); err != nil {
		return err
	}
	book, err := rq.s.UseRunbook(rq.r.Context(), rq.caller(), rq.node, rq.runbook)
	switch {
	case err != nil:
		return err
	case rq.verb == metal.VerbClean && len(rq.cleanSteps) > 0, rq.verb == metal.VerbService && len(rq.serviceSteps) > 0:
		return invalid("Give either a runbook or %s_steps, but not both.", rq.verb)
	}
	if err := rq.caller().MayStep(rq.node, ops.Provision{Runbook: book, CleanSteps: book.Steps}); err != nil {
		return err
	}
	// What the runbook says replaces what the request says, even where it says no: as upstream, and with its consequences
	// for the versions and verbs that know disable_ramdisk.
	rq.book, rq.noRamdisk = book, &book.DisableRamdisk
	return nil
}

// useRunbook makes the steps of the runbook the request's.
func (rq *request) useRunbook(p *ops.Provision) error {
	form, at := cleanStepKeys, &p.CleanSteps
	if rq.verb == metal.VerbService {
		form, at = serviceStepKeys, &p.ServiceSteps
	}
	for _, s := range rq.book.Steps {
		if slices.Contains(form.refused(rq.o.Refused), s.Name()) {
			return invalid("The step %s of runbook %s is not allowed by this server.", s.Name(), rq.book.Name)
		}
	}
	p.Runbook, *at = rq.book, rq.book.Steps
	return nil
}

func (rq *request) checkRamdisk() error {
	if rq.noRamdisk == nil {
		return nil
	}
	switch since := metal.Verbs[rq.verb].Alone; {
	case since == 0:
		return invalid("disable_ramdisk is only supported with the verbs clean and service.")
	case rq.minor < since:
		return wire.TooNew("Parameter disable_ramdisk with the verb "+string(rq.verb), since, rq.minor)
	}
	return nil
}

func (rq *request) checkSteps() error {
	if len(rq.cleanSteps) > 0 && rq.verb != metal.VerbClean {
		return invalid("clean_steps is only valid when setting target provision state to clean.")
	}
	if len(rq.deploySteps) > 0 {
		if err := rq.late("deploy_steps"); err != nil {
			return err
		}
		if rq.verb != metal.VerbActive && rq.verb != metal.VerbRebuild {
			return invalid("deploy_steps is only valid when setting target provision state to active or rebuild.")
		}
	}
	return nil
}

// checkPresent: what the verb cannot do without.
func (rq *request) checkPresent() error {
	switch {
	case rq.verb == metal.VerbClean && len(rq.cleanSteps) == 0 && rq.book == nil,
		rq.verb == metal.VerbService && len(rq.serviceSteps) == 0 && rq.book == nil:
		return invalid("%s_steps is required when setting target provision state to %[1]s, or a runbook.", rq.verb)
	}
	return nil
}

func (rq *request) checkAbort() error {
	if rq.verb != metal.VerbAbort {
		return nil
	}
	if min := metal.States[rq.node.ProvisionState].Abort; rq.minor < min {
		return wire.TooNew("Aborting in state "+string(rq.node.ProvisionState), min, rq.minor)
	}
	return nil
}

func (rq *request) checkService() error {
	min := metal.Verbs[rq.verb].Min
	if rq.verb == metal.VerbUnhold && rq.minor < min {
		return wire.TooNew("The provision verb unhold", min, rq.minor)
	}
	if len(rq.serviceSteps) > 0 && rq.verb != metal.VerbService {
		return invalid("service_steps is only valid when setting target provision state to service.")
	}
	if rq.verb == metal.VerbService && rq.minor < min {
		return wire.TooNew("The provision verb service", min, rq.minor)
	}
	return nil
}
