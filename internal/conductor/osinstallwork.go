package conductor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// osWork is all that the agent is given for work with the node's OS definition. It holds values of all classes: it is made when the
// command leaves, and kept nowhere.
func (r *runner) osWork(ctx context.Context, op *Op) (w agentapi.OSWork, err error) {
	i, d, err := r.readInstall(ctx, op)
	if err != nil {
		return w, err
	}
	if i == nil {
		return w, fault.New(fault.Conflict, "nothing is known any more of how node %s is to be installed", op.Node.UUID)
	}
	h, err := r.hiddenValues(ctx, op, i)
	if err != nil {
		return w, err
	}
	values, err := osParameters(i, d, h)
	if err != nil {
		return w, err
	}
	w.Parameters = wired(values)
	op.Rec.OS.Private = op.Rec.OS.Private || len(values.Private) > 0 // a default may have come since
	if w.Definition, err = r.osDefinition(ctx, i, d); err != nil {
		return w, err
	}
	if i.Package != "" {
		w.Package = &agentapi.OSPackage{URL: i.Package, User: h.credentials["user"].Expose(), Password: h.credentials["password"].Expose(),
			CA: r.c.origins.Rules().CA, Refused: r.c.origins.Refused()}
	}
	w.Reinstall = rebuilds(op)
	if op.Rec.Ask.OSImport != nil {
		if w.Streams, err = r.importStreams(ctx, op); err != nil {
			return w, err
		}
	}
	return w, r.tellMachine(ctx, op, i, &w)
}

// tellMachine adds what scripts are told of the machine and its instance, and how long they may take.
func (r *runner) tellMachine(ctx context.Context, op *Op, i *store.OSInstall, w *agentapi.OSWork) error {
	w.Machine = machineOf(op, i)
	s, err := r.instanceSeed(ctx, op)
	if err != nil {
		return err
	}
	if s != nil {
		w.MetaData, _ = s.File(seed.MetaData)
		network, _ := s.File(seed.NetworkData)
		addressed(w.Machine.NICs, network)
		w.Machine.Name = instanceName(w.MetaData, w.Machine.Name)
	}
	if until := op.Rec.OS.Until; !until.IsZero() {
		left := time.Until(until) // the agent ends a little before, so that it can tell what was said last
		w.Timeout = max(1, int((left-min(30*time.Second, left/10))/time.Second))
	}
	return nil
}

// osDefinition is the definition as the agent gets it: with its files, which are those of the digest.
func (r *runner) osDefinition(ctx context.Context, i *store.OSInstall, d *osdef.Record) (*agentapi.OSDefinition, error) {
	if d == nil {
		return nil, nil
	}
	var b *osdef.Bundle
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		b, err = tx.OSBundle(d)
		return err
	})
	if err != nil {
		return nil, err
	}
	if b.Digest() != i.Digest {
		return nil, fault.New(fault.Invalid, "the files of the OS definition %s were replaced since this installation was asked for: look at them, and ask again", d.Name)
	}
	return &agentapi.OSDefinition{Name: d.Name, Variant: i.Variant, Digest: i.Digest, Bundle: b.Tar(), Trusted: i.Trusted, Unsafe: i.Trusted && !i.Safe}, nil
}

// hidden is what goes with an installation and is stored nowhere.
type hidden struct{ parameters, credentials map[string]secret.Secret }

// hiddenValues fetches it from whoever took the request. Where some is lost the error says what, all at once. fault.Unavailable: it
// may be had later.
func (r *runner) hiddenValues(ctx context.Context, op *Op, i *store.OSInstall) (hidden, error) {
	out := hidden{map[string]secret.Secret{}, map[string]secret.Secret{}}
	parameters, err := r.heldValues(ctx, op, metal.OSSecretParameter, i.Secrets, out.parameters)
	if err != nil {
		return out, err
	}
	var names []string
	if op.Rec.Ask.Secrets != nil {
		for _, full := range op.Rec.Ask.Secrets.Names {
			if name, is := strings.CutPrefix(full, metal.OSCredential); is {
				names = append(names, name)
			}
		}
	}
	credentials, err := r.heldValues(ctx, op, metal.OSCredential, names, out.credentials)
	if err == nil && len(parameters)+len(credentials) > 0 {
		err = needAgain(parameters, credentials)
	}
	return out, err
}

// heldValues puts the values of some names, behind a prefix, into a map. lost are those that nobody has any more.
func (r *runner) heldValues(ctx context.Context, op *Op, prefix string, names []string, into map[string]secret.Secret) (lost []string, err error) {
	for _, name := range names {
		if r.c.secrets == nil || op.Rec.Ask.Secrets == nil {
			lost = append(lost, name)
			continue
		}
		v, err := r.c.secrets.StepSecret(ctx, op.Rec.Ask.Secrets, op.row.UUID, prefix+name)
		switch {
		case fault.KindOf(err) == fault.Unavailable:
			return nil, fault.Wrap(fault.Unavailable, err, "the server that holds secret values of the installation cannot be reached: %s", strings.Join(names, ", "))
		case err != nil:
			lost = append(lost, name)
		}
		into[name] = v
	}
	return lost, nil
}

// osParameters are the parameters of all layers, with those that are secret, once more judged: defaults may have changed.
func osParameters(i *store.OSInstall, d *osdef.Record, h hidden) (osdef.Classes, error) {
	var layers []osdef.Classes
	var declared *osdef.Definition
	if d != nil {
		layers, declared = d.Layers(i.Variant), &d.Definition
	}
	whole := osdef.Merge(append(layers, i.Parameters, osdef.Classes{Secret: h.parameters})...)
	return whole, whole.Check(declared)
}

// wired are parameters as the agent gets them, in order.
func wired(c osdef.Classes) []agentapi.OSParameter {
	var out []agentapi.OSParameter
	for name, v := range c.Public {
		out = append(out, agentapi.OSParameter{Name: name, Value: v, Class: "public"})
	}
	for name, v := range c.Private {
		out = append(out, agentapi.OSParameter{Name: name, Value: v.Expose(), Class: "private"})
	}
	for name, v := range c.Secret {
		out = append(out, agentapi.OSParameter{Name: name, Value: v.Expose(), Class: "secret"})
	}
	slices.SortFunc(out, func(a, b agentapi.OSParameter) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// machineOf is what scripts are told of the machine, but for its disks and addresses.
func machineOf(op *Op, i *store.OSInstall) agentapi.OSMachine {
	n := op.Node
	m := agentapi.OSMachine{Name: cmp.Or(n.InstanceName, n.Name, n.UUID), UUID: instanceID(n), Created: n.CreatedAt.Unix(), Modified: i.UpdatedAt.Unix()}
	for _, p := range op.Ports {
		m.NICs = append(m.NICs, agentapi.OSNIC{MAC: p.Address, UUID: p.UUID, Name: p.Name, Link: p.PhysicalNetwork})
	}
	return m
}
