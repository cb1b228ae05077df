package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/source"
	"ingot/internal/store"
)

// Exports and renames are steps of a service, which scripts of the OS definition do that the node is installed with. See
// docs/decisions/0072-export-import-rename.md.

// serviceOffers are the steps that this server offers to a service of the node.
func (r *runner) serviceOffers(op *Op) []metal.Step {
	if metal.Plan(op.row.Plan) != metal.PlanService || !r.hw.Installs {
		return nil
	}
	return metal.OSSteps()
}

// planOSService finds whether the service runs scripts of an OS definition, and what would keep them from getting anywhere: before the
// machine is touched.
func (r *runner) planOSService(ctx context.Context, op *Op) error {
	op.Rec.OS = nil
	if metal.Plan(op.row.Plan) != metal.PlanService || !metal.HasOSStep(op.Rec.Ask.Steps) {
		return nil
	}
	if !r.hw.Installs {
		return fault.New(fault.Invalid, "node %s has the deploy interface %q, which runs no scripts of OS definitions", op.Node.UUID, op.Node.Interface("deploy"))
	}
	i, d, err := r.readServed(ctx, op)
	if err != nil {
		return err
	}
	op.Rec.OS = &osRecord{Private: len(private(i, d)) > 0}
	if err := r.checkInstallBoot(op); err != nil {
		return err
	}
	for _, s := range op.Rec.Ask.Steps {
		if at, is := s.Args["url"].(string); is && s.OS() {
			if err := r.streamsReach(ctx, op, at); err != nil {
				return err
			}
		}
	}
	if _, err := r.servedParameters(ctx, op, i, d); err != nil {
		return err
	}
	return r.allHeld(ctx, op)
}

// streamsReach refuses an export on a listener of the control plane to a machine that must reach none.
func (r *runner) streamsReach(ctx context.Context, op *Op, at string) error {
	if !op.Rec.PollOnly {
		return nil
	}
	return r.c.refuseOwn(ctx, op.Node, "the export at "+source.Safe(at), at)
}

// readServed is how the node is installed, and the definition as it is now: it may have been mended since, and what was trusted of it
// then is no matter of today's run.
func (r *runner) readServed(ctx context.Context, op *Op) (i *store.OSInstall, d *osdef.Record, err error) {
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		if i, err = tx.OSInstall(op.Node); err != nil {
			return err
		}
		if i == nil || i.DefinitionID == 0 {
			return fault.New(fault.Invalid, "node %s is not installed with an OS definition any more", op.Node.UUID)
		}
		d, err = tx.OSDefinitionByID(i.DefinitionID)
		return err
	})
	if err == nil {
		i.Digest, i.Trusted = d.Digest, d.Trusted()
	}
	return i, d, err
}

// servedParameters are the parameters that the node is installed with, under those of this one run.
func (r *runner) servedParameters(ctx context.Context, op *Op, i *store.OSInstall, d *osdef.Record) (osdef.Classes, error) {
	given := osdef.Classes{Public: op.Rec.Ask.OSParameters, Private: map[string]secret.Secret{}, Secret: map[string]secret.Secret{}}
	var lost []string
	for prefix, into := range map[string]map[string]secret.Secret{metal.OSPrivate: given.Private, metal.OSSecretParameter: given.Secret} {
		gone, err := r.heldValues(ctx, op, prefix, namesBehind(op, prefix), into)
		if err != nil {
			return given, err
		}
		lost = append(lost, gone...)
	}
	if len(lost) > 0 {
		return given, lostValues(lost)
	}
	whole := osdef.Merge(append(d.Layers(i.Variant), i.Parameters, given)...)
	return whole, whole.Check(&d.Definition)
}

// namesBehind are the names of the operation's hidden values that begin so, without that.
func namesBehind(op *Op, prefix string) (out []string) {
	if op.Rec.Ask.Secrets == nil {
		return nil
	}
	for _, full := range op.Rec.Ask.Secrets.Names {
		if name, is := strings.CutPrefix(full, prefix); is {
			out = append(out, name)
		}
	}
	return out
}

// allHeld sees that every hidden value of the operation can still be had.
func (r *runner) allHeld(ctx context.Context, op *Op) error {
	lost, err := r.heldValues(ctx, op, "", namesBehind(op, ""), map[string]secret.Secret{})
	if err == nil && len(lost) > 0 {
		err = lostValues(lost)
	}
	return err
}

func lostValues(names []string) error {
	return fault.New(fault.Invalid, "the values of %s are lost: the server that held them was started anew, or a day has passed since. Ask again, and give them again", strings.Join(names, ", "))
}

// osStep is the work behind one of these steps. The agent is told once; a script that runs in an agent which is gone is not run again.
// An export changes nothing of the machine. A rename does, so that a machine on which it broke off stays off until a person has looked; one
// whose script ended by itself, and complained, starts again.
func osStep(i int) func(*runner, context.Context, *Op) (Outcome, error) {
	return func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
		f := op.Rec.Flow[i]
		command, what := agentapi.CommandOSExport, "exporting the disks"
		if f.Step.Step == metal.StepOSRename {
			command, what = agentapi.CommandOSRename, "renaming the instance"
		}
		if err := r.inTime(op); err != nil {
			return Outcome{}, err
		}
		if !op.Rec.Running {
			op.Rec.OS.RanBefore = op.Rec.Ran
		}
		r.begin(op, i)
		res, o, err := r.osCommand(ctx, op, command, what, func() (any, error) { return r.servedWork(ctx, op, f.Step) })
		if command == agentapi.CommandOSExport || op.Rec.OS.Ended {
			op.Rec.Ran = op.Rec.OS.RanBefore
		}
		if err != nil || o != done {
			return o, err
		}
		r.keepScriptLogs(ctx, op, res, r.c.config.CollectLogs == LogsAlways)
		if command == agentapi.CommandOSRename {
			op.Rec.Ran = true
			return done, r.rename(ctx, op, f.Step, res)
		}
		at, _ := f.Step.Args["url"].(string)
		r.event(op, "step", "INFO", fmt.Sprintf("The disks are exported to %s: %s. %s", source.Safe(at), dumped(res.Manifest), r.told(ctx, op, res)))
		return done, nil
	}
}

// dumped is what an export left or an import read, for people.
func dumped(m *agentapi.OSManifest) string {
	if m == nil {
		return "nothing is told of it"
	}
	var out []string
	for _, d := range m.Disks {
		out = append(out, fmt.Sprintf("%s of %d bytes, SHA-256 %s", shortened(d.Name, maxStage), d.Bytes, shortened(d.SHA256, maxStage)))
	}
	return strings.Join(out, "; ")
}

// servedWork is all that the agent is given for one of these steps. It holds values of all classes: it is made when the command leaves,
// and kept nowhere.
func (r *runner) servedWork(ctx context.Context, op *Op, s metal.Step) (w agentapi.OSWork, err error) {
	i, d, err := r.readServed(ctx, op)
	if err != nil {
		return w, err
	}
	values, err := r.servedParameters(ctx, op, i, d)
	if err != nil {
		return w, err
	}
	w.Parameters = wired(values)
	op.Rec.OS.Private = op.Rec.OS.Private || len(values.Private) > 0 // a default may have come since
	if w.Definition, err = r.osDefinition(ctx, i, d); err != nil {
		return w, err
	}
	if err := r.tellMachine(ctx, op, i, &w); err != nil {
		return w, err
	}
	args, err := r.resolveArgs(ctx, op, s.Args)
	if err != nil {
		return w, err
	}
	text := func(name string) string { v, _ := args[name].(string); return v }
	if s.Step == metal.StepOSRename {
		w.OldName, w.Machine.Name = w.Machine.Name, text("name")
		return w, nil
	}
	w.Streams = r.streamsTo(text("url"), text("user"), text("password"))
	w.Streams.Replace, _ = args["replace"].(bool)
	return w, nil
}

// streamsTo is where dumps go to or come from, and by which rules.
func (r *runner) streamsTo(at, user, password string) *agentapi.OSStreams {
	return &agentapi.OSStreams{URL: at, User: user, Password: password, CA: r.c.origins.Rules().CA, Refused: r.c.origins.Refused(), MaxBytes: r.c.config.OSInstall.MaxDump}
}

// importStreams is where the export is that a deployment imports, with its credentials.
func (r *runner) importStreams(ctx context.Context, op *Op) (*agentapi.OSStreams, error) {
	held := map[string]secret.Secret{}
	lost, err := r.heldValues(ctx, op, metal.OSImportSecret, namesBehind(op, metal.OSImportSecret), held)
	if err == nil && len(lost) > 0 {
		err = fault.New(fault.Invalid, "the %s for the export (os_import_user, os_import_password) are lost: the server that held them was started anew, or a day has passed since. Ask for the installation again, and give them again", strings.Join(lost, " and "))
	}
	if err != nil {
		return nil, err
	}
	return r.streamsTo(op.Rec.Ask.OSImport.URL, held["user"].Expose(), held["password"].Expose()), nil
}

// rename puts the new name in the place of the old one wherever this server tells it, in the transaction that says that the step is done.
func (r *runner) rename(ctx context.Context, op *Op, s metal.Step, res agentapi.OSResult) error {
	name, _ := s.Args["name"].(string)
	if name == "" {
		return errors.New("the new name is lost")
	}
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		n.InstanceName = name
		info := n.InstanceInfo.Expose()
		if _, has := info["display_name"]; has {
			info["display_name"] = name
			n.InstanceInfo = secret.NewMap(info)
		}
		if err := tx.SetOSRename(n, name); err != nil {
			return err
		}
		return renameInstance(tx, n, name)
	})
	r.event(op, "step", "INFO", fmt.Sprintf("The instance is called %s from now on. %s", name, r.told(ctx, op, res)))
	return nil
}

// instanceName is what an instance is called: as it reads itself, where that is known.
func instanceName(meta json.RawMessage, otherwise string) string {
	var m struct {
		Hostname string `json:"hostname"`
	}
	if json.Unmarshal(meta, &m) == nil && m.Hostname != "" {
		return m.Hostname
	}
	return otherwise
}
