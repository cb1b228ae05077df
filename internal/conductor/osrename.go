package conductor

import (
	"context"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// renameInstance changes the name in what a node's instance reads, and in what its vendordata targets are asked.
func renameInstance(tx *store.Tx, n *metal.Node, name string) error {
	i, err := tx.Instance(n)
	if err != nil || i == nil {
		return err
	}
	s, err := seed.Decode([]byte(i.Seed.Expose()))
	if err != nil {
		return err
	}
	i.Seed = secret.New(string(s.Renamed(name).Encode()))
	if !i.Request.Empty() {
		q, err := vendordata.DecodeRequest([]byte(i.Request.Expose()))
		if err != nil {
			return err
		}
		q.Hostname, _, _ = strings.Cut(name, ".")
		i.Request = secret.New(string(q.Encode()))
	}
	return tx.RenameInstance(n, i)
}

// renamed is the seed of an instance that is rebuilt, under the name that it was given since it was deployed.
func (r *runner) renamed(ctx context.Context, op *Op, s *seed.Seed) (*seed.Seed, error) {
	if op.row.Verb != string(metal.VerbRebuild) {
		return s, nil
	}
	var name string
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		name, err = tx.OSRename(op.Node)
		return err
	})
	if err != nil || name == "" {
		return s, err
	}
	return s.Renamed(name), nil
}
