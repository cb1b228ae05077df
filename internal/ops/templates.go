package ops

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// Templates lists deploy templates.
func (s *Service) Templates(ctx context.Context, p Page) (out []*metal.DeployTemplate, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.Templates(p)
		return err
	})
	return out, err
}

// Template finds a deploy template by UUID or name.
func (s *Service) Template(ctx context.Context, ident string) (d *metal.DeployTemplate, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		d, err = tx.Template(ident)
		return err
	})
	return d, err
}

// CreateTemplate keeps a deploy template; a taken name is fault.Conflict.
func (s *Service) CreateTemplate(ctx context.Context, c Caller, d *metal.DeployTemplate) (*metal.DeployTemplate, error) {
	if d.UUID == "" {
		d.UUID = uuid.NewString()
	}
	if err := checkTemplate(d); err != nil {
		return nil, err
	}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if d.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.CreateTemplate(d)
	})
	if err == nil {
		s.log.Info("deploy template created", "template", d.Name, "who", c.who(), "request", c.RequestID)
	}
	return d, err
}

// UpdateTemplate changes a deploy template. What is under way keeps the steps it began with.
func (s *Service) UpdateTemplate(ctx context.Context, c Caller, ident string, change func(*metal.DeployTemplate) error) (d *metal.DeployTemplate, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if d, err = tx.Template(ident); err != nil {
			return err
		}
		if err := change(d); err != nil {
			return err
		}
		if err := checkTemplate(d); err != nil {
			return err
		}
		if d.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.SaveTemplate(d)
	})
	if err == nil {
		s.log.Info("deploy template changed", "template", d.Name, "who", c.who(), "request", c.RequestID)
	}
	return d, err
}

// DeleteTemplate forgets a deploy template.
func (s *Service) DeleteTemplate(ctx context.Context, c Caller, ident string) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		d, err := tx.Template(ident)
		if err != nil {
			return err
		}
		return tx.DeleteTemplate(d.ID)
	})
	if err == nil {
		s.log.Info("deploy template deleted", "template", ident, "who", c.who(), "request", c.RequestID)
	}
	return err
}

// checkTemplate judges a template as a whole. Source: rest-api reference §10.
func checkTemplate(d *metal.DeployTemplate) error {
	switch {
	case !metal.IsTrait(d.Name):
		return fault.New(fault.Invalid, "The name of a deploy template must be a trait, such as CUSTOM_HYPERTHREADING_ON: capital letters, digits and _, at most 255.")
	case len(d.Steps) == 0:
		return fault.New(fault.Invalid, "A deploy template needs at least one step.")
	}
	return uniqueSteps("steps", d.Steps)
}

// Traits gives the traits of a node, sorted.
func (s *Service) Traits(ctx context.Context, c Caller, ident string) (out []string, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:traits:list")
		if err != nil {
			return err
		}
		all, err := tx.Traits(n.ID)
		out = all[n.ID]
		return err
	})
	return out, err
}

// TraitsOf gives the traits of many nodes, by their rows.
func (s *Service) TraitsOf(ctx context.Context, nodes []*metal.Node) (out map[int64][]string, err error) {
	ids := make([]int64, len(nodes))
	for i, n := range nodes {
		ids[i] = n.ID
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.Traits(ids...)
		return err
	})
	return out, err
}

// ChangeTraits judges a rule on the node and gives change the traits of a node, sorted, and keeps what it gives back. A node whose operation is
// under way is fault.Locked, as it is for every other change of it.
func (s *Service) ChangeTraits(ctx context.Context, c Caller, ident string, rule policy.Rule, change func([]string) ([]string, error)) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, rule)
		if err != nil {
			return err
		}
		if n.Reservation != "" {
			return locked(n, nil)
		}
		have, err := tx.Traits(n.ID)
		if err != nil {
			return err
		}
		want, err := change(have[n.ID])
		if err != nil {
			return err
		}
		slices.Sort(want)
		want = slices.Compact(want)
		if len(want) > metal.MaxTraits {
			return fault.New(fault.Invalid, "Node %s cannot have more than %d traits.", n.UUID, metal.MaxTraits)
		}
		for _, t := range want {
			if !metal.IsTrait(t) {
				return fault.New(fault.Invalid, "%.80q is not a trait: it must be CUSTOM_ and capital letters, digits and _, or a name of os-traits; at most 255 characters.", t)
			}
		}
		return tx.SetTraits(n.ID, want)
	})
}

// templateSteps are the steps of the deploy templates that an instance asks for: those named like its traits, which
// must be some of the node's. Source: lifecycle reference §7.
func (rq *request) templateSteps() ([]metal.Step, error) {
	given, asked := rq.node.InstanceInfo.Expose()["traits"]
	if !asked || given == nil {
		return nil, nil
	}
	list, ok := given.([]any)
	names := make([]string, 0, len(list))
	for _, v := range list {
		name, isText := v.(string)
		ok = ok && isText
		names = append(names, name)
	}
	if !ok {
		return nil, fault.New(fault.Invalid, "Cannot deploy node %s: traits in instance_info must be a list of strings.", rq.node.UUID)
	}
	have, err := rq.tx.Traits(rq.node.ID)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.Contains(have[rq.node.ID], name) {
			return nil, fault.New(fault.Invalid, "Cannot deploy node %s: its instance_info asks for the trait %.80q, which the node has not.", rq.node.UUID, name)
		}
	}
	templates, err := rq.tx.TemplatesNamed(names)
	if err != nil {
		return nil, err
	}
	var steps []metal.Step
	for _, d := range templates {
		steps = append(steps, d.Steps...)
	}
	return steps, uniqueSteps("deploy templates of the instance's traits", steps)
}
