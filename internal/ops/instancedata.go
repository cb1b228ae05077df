package ops

import (
	"context"
	"maps"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/source"
	"ingot/internal/store"
)

// Who may read what an instance reads: user data is its user's own, so this is nothing for readers, nor for whoever may read all
// else of a node. See docs/decisions/0063-who-reads-metadata.md.
const instanceDataRule policy.Rule = "ingot:node:metadata"

// latest is the tree whose files InstanceData lists; the others have the same, or less of it.
const latest = "/openstack/latest/"

// InstanceData tells what a node's instance reads at its first boot.
func (s *Service) InstanceData(ctx context.Context, c Caller, ident string) (*metal.InstanceData, error) {
	n, i, read, err := s.instance(ctx, c, ident)
	if err != nil {
		return nil, err
	}
	out := &metal.InstanceData{Node: n.UUID, Instance: i.ID, Project: i.Project, Deploy: i.Deploy, UpdatedAt: i.UpdatedAt, Fault: i.Fault, Files: []metal.InstanceFile{}}
	list, err := read.Get(latest)
	if err != nil {
		return nil, err
	}
	for name := range strings.Lines(string(list.Content)) {
		path := latest + strings.TrimRight(name, "\n")
		page, err := read.Get(path)
		if err != nil {
			return nil, err
		}
		out.Files = append(out.Files, metal.InstanceFile{Path: path, Type: page.Type, Size: len(page.Content)})
	}
	return out, nil
}

// InstancePage gives what a node's instance gets at a path of the metadata service: the bytes that are on its config drive, too.
// vendor_data2.json is as it was at the deploy.
func (s *Service) InstancePage(ctx context.Context, c Caller, ident, path string) (seed.Page, error) {
	_, _, read, err := s.instance(ctx, c, ident)
	if err != nil {
		return seed.Page{}, err
	}
	return read.Get(path)
}

func (s *Service) instance(ctx context.Context, c Caller, ident string) (n *metal.Node, i *store.Instance, read *seed.Seed, err error) {
	var posted secret.Secret
	err = s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if n, err = c.node(tx, ident, instanceDataRule); err != nil {
			return err
		}
		if i, err = tx.Instance(n); err != nil {
			return err
		}
		posted, err = tx.InstancePassword(n)
		return err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if i == nil {
		return nil, nil, nil, fault.New(fault.NotFound, "Node %s has no instance that reads anything: it is made by a deployment, and ends with the instance, or with a deployment that fails.", ident)
	}
	if read, err = seed.Decode([]byte(i.Seed.Expose())); err != nil {
		return nil, nil, nil, err
	}
	if !posted.Empty() { // its user has the key that opens it, and no other way to it
		read = read.WithPassword([]byte(posted.Expose()))
	}
	return n, i, read, nil
}

// beside adds what is kept beside a node: what the vendordata targets of its instance failed with last, and how it was installed.
func beside(tx *store.Tx, n *metal.Node, out *metal.Operation) (err error) {
	if out.VendordataFault, err = tx.InstanceFault(n.ID); err != nil {
		return err
	}
	if out.OSInstall, err = osInstalled(tx, n); out.OSInstall != nil {
		out.OSInstall.Package = source.Safe(out.OSInstall.Package)
	}
	return err
}

// faulted adds to a node, as it is shown by itself, what the vendordata targets of its instance failed with last.
func faulted(tx *store.Tx, n *metal.Node) error {
	said, err := tx.InstanceFault(n.ID)
	if err != nil || said == "" {
		return err
	}
	n.InternalInfo = maps.Clone(n.InternalInfo)
	if n.InternalInfo == nil {
		n.InternalInfo = map[string]any{}
	}
	n.InternalInfo[metal.VendordataFault] = said
	return nil
}
