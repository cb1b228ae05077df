package metadata

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"ingot/internal/channel"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// Secrets gives values that are stored nowhere.
type Secrets interface {
	// StepSecret is the value called name of an operation: fault.Unavailable if it may be had later, another fault if it is lost.
	StepSecret(ctx context.Context, ref *metal.SecretRef, operation, name string) (secret.Secret, error)
}

// Installs has what machines read at /ganeti/: one that installs itself all that is its own, and one that runs its instance what is left of
// its installation, which is public.
type Installs struct {
	DB      *store.DB
	Secrets Secrets // nil: none can be had here
}

// installation is the channel.Source of one machine, as it was when the request came.
type installation struct {
	*Installs
	machine Mark
	open    func(context.Context) (*Instance, error) // what the instance reads

	node       *metal.Node
	kept       *store.OSInstall // nil: by no OS definition, package or mode
	definition *osdef.Record    // nil: there is none
	talk       *store.OSChannel // nil: the machine does not install itself now
	ending     bool             // it still does, and is about to be stopped
	ref        *metal.SecretRef // nil: nothing secret was given
	now        time.Time
}

// of finds what a machine may read, and notes that it asks. It is errNobody for one that neither installs itself nor runs its instance.
func (s *Installs) of(ctx context.Context, m Mark, open func(context.Context) (*Instance, error)) (*installation, error) {
	i := &installation{Installs: s, machine: m, open: open}
	if err := s.DB.Read(ctx, i.load); err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return nil, errNobody
		}
		return nil, err
	}
	if i.talk == nil && m.Idle != "" {
		return nil, errNobody
	}
	if i.talk != nil && i.talk.SeenAt.IsZero() {
		err := i.change(ctx, func(tx *store.Tx, n *metal.Node) error { return tx.SeeOSChannel(n, i.talk.Deploy) })
		if err != nil {
			return nil, err
		}
	}
	return i, nil
}

// load reads all of it at one moment. The channel counts only for the operation that lives, and only if the instance that was found is
// of that one, too: what a former deployment left is nobody's.
func (i *installation) load(tx *store.Tx) (err error) {
	refs, err := tx.InstancesByNode(i.machine.Node)
	if err != nil {
		return err
	}
	if len(refs) != 1 || refs[0].Generation != i.machine.Generation {
		return ErrChanged
	}
	if i.node, err = tx.Node(i.machine.Node); err != nil {
		return err
	}
	if i.now, err = tx.Now(); err != nil {
		return err
	}
	if i.kept, err = tx.OSInstall(i.node); err != nil || i.kept == nil {
		return err
	}
	if i.kept.DefinitionID != 0 {
		if i.definition, err = tx.OSDefinitionByID(i.kept.DefinitionID); err != nil {
			return err
		}
	}
	talk, err := tx.OSChannel(i.node)
	if err != nil || talk == nil || i.kept.Mode != osdef.ModeSelfInstall {
		return err
	}
	op, err := tx.LiveOperation(i.node.ID)
	if err != nil || op == nil || op.UUID != talk.Deploy || op.UUID != refs[0].Deploy {
		return err
	}
	var record struct {
		Ask metal.Ask `json:"ask"`
	}
	if err := json.Unmarshal(op.Record, &record); err != nil {
		return err
	}
	i.talk, i.ref, i.ending = talk, record.Ask.Secrets, op.Undoing
	return nil
}

// over tells whether what was for the installation alone is gone: also from the machine's own last word on, however long it stays on then.
func (i *installation) over() bool { return i.talk == nil || i.ending || i.talk.Progress.Final }

// change writes for the machine, with its node held.
func (i *installation) change(ctx context.Context, f func(*store.Tx, *metal.Node) error) error {
	return i.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(i.machine.Node)
		if err != nil {
			return err
		}
		return f(tx, n)
	})
}

// MetaData implements channel.Source.
func (i *installation) MetaData(ctx context.Context) ([]byte, error) {
	instance, err := i.open(ctx)
	if err != nil {
		return nil, err
	}
	if raw, has := instance.Seed.File(seed.MetaData); has {
		return raw, nil
	}
	return nil, channel.ErrNone
}

// stored are the parameters that lie in the store, of all layers.
func (i *installation) stored() osdef.Classes {
	if i.kept == nil {
		return osdef.Merge()
	}
	var layers []osdef.Classes
	if i.definition != nil {
		layers = i.definition.Layers(i.kept.Variant)
	}
	return osdef.Merge(append(layers, i.kept.Parameters)...)
}

// Parameters implements channel.Source. A list without what was lost would be taken for whole, so there is none then.
func (i *installation) Parameters(ctx context.Context) (osdef.Classes, error) {
	if i.kept == nil {
		return osdef.Classes{}, channel.ErrNone
	}
	all := i.stored()
	if i.over() {
		return osdef.Classes{Public: i.public(all)}, nil
	}
	values, err := i.secrets(ctx, i.kept.Secrets)
	all.Secret = values
	return all, err
}

// public are those that stay. What is hidden by now, as a default is that was made private later, is not among them.
func (i *installation) public(all osdef.Classes) map[string]string {
	out := maps.Clone(all.Public)
	maps.DeleteFunc(out, func(name, _ string) bool {
		_, private := all.Private[name]
		return private || slices.Contains(i.kept.Secrets, name)
	})
	return out
}

// Parameter implements channel.Source.
func (i *installation) Parameter(ctx context.Context, name string) (secret.Secret, error) {
	if i.kept == nil {
		return secret.Secret{}, channel.ErrNone
	}
	all := i.stored()
	hidden := slices.Contains(i.kept.Secrets, name)
	_, private := all.Private[name]
	switch {
	case i.over() && (hidden || private):
		return secret.Secret{}, channel.ErrOver
	case hidden:
		values, err := i.secrets(ctx, []string{name})
		return values[name], err
	}
	return channel.Pick(all, name)
}

// secretLimit is how long it may take to fetch one value from the server that has it.
const secretLimit = 10 * time.Second

// fetch gives a value from the courier; lost tells that it cannot be had any more.
func (i *installation) fetch(ctx context.Context, name string) (value secret.Secret, lost bool, err error) {
	if i.Secrets == nil {
		return secret.Secret{}, false, fault.New(fault.Unavailable, "This server cannot fetch secret values: it needs a certificate (ingot peer).")
	}
	if i.ref == nil || !slices.Contains(i.ref.Names, name) {
		return secret.Secret{}, true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, secretLimit)
	defer cancel()
	value, err = i.Secrets.StepSecret(ctx, i.ref, i.talk.Deploy, name)
	switch {
	case err == nil:
		return value, false, nil
	case fault.KindOf(err) == fault.Unavailable || ctx.Err() != nil:
		return secret.Secret{}, false, fault.Wrap(fault.Unavailable, err, "The server that has the secret values does not answer just now; ask again.")
	}
	return secret.Secret{}, true, nil
}

// secrets gives secret parameters. Those that are lost end the installation: the machine is told, and the operation that waits for it.
func (i *installation) secrets(ctx context.Context, names []string) (map[string]secret.Secret, error) {
	out := map[string]secret.Secret{}
	var gone []string
	for _, name := range names {
		v, lost, err := i.fetch(ctx, metal.OSSecretParameter+name)
		switch {
		case err != nil:
			return nil, err
		case lost:
			gone = append(gone, name)
		default:
			out[name] = v
		}
	}
	if len(gone) == 0 {
		return out, nil
	}
	err := i.change(ctx, func(tx *store.Tx, n *metal.Node) error { return tx.LoseOSSecrets(n, i.talk.Deploy, gone) })
	if err != nil {
		return nil, err
	}
	return nil, channel.Gone("The secret OS parameters %s are lost: the server that had them in its memory has them no more. The installation cannot go on; deploy the node again and give them again.", strings.Join(gone, ", "))
}

// Script implements channel.Source.
func (i *installation) Script(ctx context.Context, name string) ([]byte, error) {
	switch {
	case i.definition == nil || !slices.Contains(i.definition.Definition.Scripts, name):
		return nil, channel.ErrNone
	case i.over():
		return nil, channel.ErrOver
	}
	var d *osdef.Record
	var b *osdef.Bundle
	err := i.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if d, err = tx.OSDefinitionByID(i.definition.ID); err == nil && d.Digest == i.kept.Digest {
			b, err = tx.OSBundle(d)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case b == nil:
		return nil, channel.Gone("The OS definition %s has other files by now than when the installation began.", d.Name)
	}
	f, found := b.File(name)
	if !found {
		return nil, channel.ErrNone
	}
	return f.Content, nil
}

// Package implements channel.Source. Where an agent has applied the package, it is nothing to the machine.
func (i *installation) Package(ctx context.Context, what channel.PackagePart) (secret.Secret, error) {
	if i.kept == nil || i.kept.Package == "" || i.kept.Mode != osdef.ModeSelfInstall {
		return secret.Secret{}, channel.ErrNone
	}
	if what == channel.PackageURL {
		return secret.New(i.kept.Package), nil
	}
	if i.over() {
		return secret.Secret{}, channel.ErrOver
	}
	name := metal.OSCredential + string(what)
	if i.ref == nil || !slices.Contains(i.ref.Names, name) {
		return secret.Secret{}, channel.ErrNone
	}
	v, lost, err := i.fetch(ctx, name)
	if lost {
		return secret.Secret{}, channel.Gone("The %s for the personalization package is lost: deploy the node again and give it again.", what)
	}
	return v, err
}
