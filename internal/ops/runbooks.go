package ops

import (
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// Runbooks lists the runbooks that the caller may see; mine: only those of the caller's project and public ones, whoever asks.
func (s *Service) Runbooks(ctx context.Context, c Caller, mine bool, p Page) (out []*metal.Runbook, err error) {
	own, err := c.listing("runbook:list_all", "runbook:list")
	if err != nil {
		return nil, err
	}
	if mine {
		own = cmp.Or(own, c.Rights.Who().ProjectID)
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.Runbooks(own, p)
		return err
	})
	return out, err
}

// Runbook finds a runbook by UUID or name. One that is not public and not the caller's is fault.Forbidden: that it exists is no
// secret. Source: RBAC reference §5.
func (s *Service) Runbook(ctx context.Context, c Caller, ident string) (r *metal.Runbook, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if r, err = tx.Runbook(ident); err != nil {
			return err
		}
		denied := c.Rights.Check("runbook:get", runbookTarget(r))
		if r.Public {
			return nil
		}
		return denied
	})
	return r, err
}

// runbook finds a runbook and judges rules on it.
func (c Caller) runbook(tx *store.Tx, ident string, rules ...policy.Rule) (*metal.Runbook, error) {
	r, err := tx.Runbook(ident)
	if err != nil {
		return nil, err
	}
	for _, rule := range rules {
		if err := c.Rights.Check(rule, runbookTarget(r)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// CreateRunbook keeps a runbook, without traits; a taken name is fault.Conflict. A project's runbook is its own, and not public.
func (s *Service) CreateRunbook(ctx context.Context, c Caller, r *metal.Runbook) (*metal.Runbook, error) {
	if c.nobody() {
		if err := c.Rights.Check("runbook:update:owner", policy.Target{}); err != nil {
			return nil, err
		}
	}
	if own := c.project(); own != "" {
		switch {
		case r.Owner != "" && r.Owner != own:
			return nil, fault.New(fault.Invalid, "Cannot create a runbook with owner %q: what project %q creates is its own.", r.Owner, own)
		case r.Public:
			return nil, fault.New(fault.Invalid, "Cannot create a public runbook as a member of a project: its owner is the project.")
		}
		r.Owner = own
	}
	r.UUID = cmp.Or(r.UUID, uuid.NewString())
	if err := checkRunbook(c, r); err != nil {
		return nil, err
	}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if r.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.CreateRunbook(r)
	})
	if err == nil {
		s.log.Info("runbook created", "runbook", r.Name, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

// UpdateRunbook judges rules on a runbook and changes it. What is under way keeps the steps it began with. Who makes a runbook
// public takes it from its owner.
func (s *Service) UpdateRunbook(ctx context.Context, c Caller, ident string, rules []policy.Rule, change func(*metal.Runbook) error) (r *metal.Runbook, err error) {
	c.Rights.Asks("runbook:update") // the others stand for it
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if r, err = c.runbook(tx, ident, rules...); err != nil {
			return err
		}
		was := *r
		if err := change(r); err != nil {
			return err
		}
		if r.Public && !was.Public && r.Owner == was.Owner {
			r.Owner = ""
		}
		if err := checkRunbook(c, r); err != nil {
			return err
		}
		if r.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.SaveRunbook(r)
	})
	if err == nil {
		s.log.Info("runbook changed", "runbook", r.Name, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

// ChangeRunbookTraits gives change the traits of a runbook, sorted, and keeps what it gives back.
func (s *Service) ChangeRunbookTraits(ctx context.Context, c Caller, ident string, change func([]string) []string) (r *metal.Runbook, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if r, err = c.runbook(tx, ident, "runbook:update"); err != nil {
			return err
		}
		r.Traits = change(slices.Clone(r.Traits))
		slices.Sort(r.Traits)
		r.Traits = slices.Compact(r.Traits)
		if err := checkTraits("A runbook", r.Traits); err != nil {
			return err
		}
		return tx.SetRunbookTraits(r.ID, r.Traits)
	})
	return r, err
}

// checkTraits judges a list of traits: what has them in words, and them.
func checkTraits(what string, traits []string) error {
	if len(traits) > metal.MaxTraits {
		return fault.New(fault.Invalid, "%s cannot have more than %d traits.", what, metal.MaxTraits)
	}
	for _, t := range traits {
		if !metal.IsTrait(t) {
			return fault.New(fault.Invalid, "%.80q is not a trait: it must be CUSTOM_ and capital letters, digits and _, or a name of os-traits; at most 255 characters.", t)
		}
	}
	return nil
}

// DeleteRunbook forgets a runbook.
func (s *Service) DeleteRunbook(ctx context.Context, c Caller, ident string) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := c.runbook(tx, ident, "runbook:delete")
		if err != nil {
			return err
		}
		return tx.DeleteRunbook(r.ID)
	})
	if err == nil {
		s.log.Info("runbook deleted", "runbook", ident, "who", c.who(), "request", c.RequestID)
	}
	return err
}

// checkRunbook judges a runbook as a whole. Before 1.112 its name is the trait that a node must have; since then it has
// traits, and a name like other things. Source: rest-api reference §11, RBAC reference §6.
func checkRunbook(c Caller, r *metal.Runbook) error {
	named := metal.IsTrait(r.Name)
	if c.Minor >= metal.SinceRunbookTraits {
		named = r.Name != "" && normalName(r.Name) == nil
	}
	switch {
	case !named && c.Minor < metal.SinceRunbookTraits:
		return fault.New(fault.Invalid, "The name of a runbook must be a trait, such as CUSTOM_FIRMWARE_UPDATE; other names came with API version 1.%d.", metal.SinceRunbookTraits)
	case !named:
		return fault.New(fault.Invalid, "The name of a runbook must be letters, digits and the characters - . _ ~, at most 255, and nothing that looks like a UUID.")
	case r.Public && r.Owner != "":
		return fault.New(fault.Invalid, "A public runbook cannot have an owner.")
	case len(r.Steps) == 0:
		return fault.New(fault.Invalid, "A runbook needs at least one step.")
	}
	for _, step := range r.Steps {
		if err := c.Rights.Step(step.Name(), policy.Target{}); err != nil {
			return err
		}
	}
	return uniqueSteps("steps", r.Steps)
}

// UseRunbook finds the runbook that a verb names, judges whether the caller may use it, and whether it is for the node. Its steps
// are in the order in which they run. Source: provision verbs reference, "runbook".
func (s *Service) UseRunbook(ctx context.Context, c Caller, n *metal.Node, ident string) (r *metal.Runbook, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if r, err = c.runbook(tx, ident, "runbook:use"); err != nil {
			return err
		}
		have, err := tx.Traits(n.ID)
		if err != nil {
			return err
		}
		return runbookFits(c, r, n, have[n.ID])
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.Steps, func(a, b metal.Step) int { return cmp.Compare(a.Order, b.Order) })
	return r, nil
}

func runbookFits(c Caller, r *metal.Runbook, n *metal.Node, have []string) error {
	switch {
	case c.Minor < metal.SinceRunbookTraits && slices.Contains(have, r.Name):
		return nil
	case c.Minor < metal.SinceRunbookTraits:
		return fault.New(fault.Invalid, "Runbook %s is not for node %s: the node has not the trait %s.", r.Name, n.UUID, r.Name)
	case len(r.Traits) == 0:
		return fault.New(fault.Invalid, "Runbook %s is for no node yet: it has no traits. Give it one that the node has.", r.Name)
	case !slices.ContainsFunc(r.Traits, func(t string) bool { return slices.Contains(have, t) }):
		return fault.New(fault.Invalid, "Runbook %s is not for node %s: the node has none of the runbook's traits.", r.Name, n.UUID)
	}
	return nil
}
