package ops

import (
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// mayCreate judges the rules of enrolling a node: one for nodes of anybody and, where projects manage their own, one
// for those. What a project enrols is its own, and nobody else's. Source: RBAC reference §6.
func (s *Service) mayCreate(c Caller, n *metal.Node) error {
	denied, who := c.Rights.Check("node:create", policy.Target{}), c.Rights.Who()
	own := s.config.OwnNodes && !c.nobody()
	if denied != nil && !(own && c.Rights.Allows("node:create:self_owned_node", policy.Target{})) {
		return denied
	}
	if who.System() || who.ProjectID == "" {
		return nil
	}
	if n.Owner != "" && n.Owner != who.ProjectID {
		return fault.New(fault.Invalid, "Cannot create a node with owner %q: what project %q enrols is its own.", n.Owner, who.ProjectID)
	}
	n.Owner = who.ProjectID
	return nil
}

// mayDelete finds a node and judges the rules of deleting it.
func (s *Service) mayDelete(tx *store.Tx, c Caller, ident string) (*metal.Node, error) {
	n, err := c.node(tx, ident)
	if err != nil {
		return nil, err
	}
	denied := c.Rights.Check("node:delete", nodeTarget(n))
	if denied != nil && s.config.OwnNodes && c.Rights.Allows("node:delete:self_owned_node", nodeTarget(n)) {
		denied = nil
	}
	if denied != nil {
		return nil, denied
	}
	return n, c.Knows(n)
}

// mayGive judges a change of owner: a machine that runs somebody's system changes hands only by a rule of its own.
func (c Caller) mayGive(before, n *metal.Node) error {
	if n.Owner == before.Owner || before.ProvisionState != metal.Active || c.Rights.Allows("node:update_owner_provisioned", nodeTarget(before)) {
		return nil
	}
	return fault.New(fault.Conflict, "Cannot change the owner of node %s while it is active: that needs the right baremetal:node:update_owner_provisioned.", n.UUID)
}

// MayStep judges the rules of steps that a request names: those of asking for steps at all, and of each that a policy file sets
// apart; whoever may not ask for some is told of all of them. Steps of a runbook were let through with the runbook, unless it is
// a project's own: whoever may write one could name any step. Source: RBAC reference §6.
func (c Caller) MayStep(n *metal.Node, p Provision) error {
	t := nodeTarget(n)
	book := p.Runbook != nil
	if book && (p.Runbook.Owner == "" || p.Runbook.Public) {
		return nil
	}
	var denied []string
	for _, list := range []struct {
		steps []metal.Step
		rule  policy.Rule
	}{{p.CleanSteps, "node:set_provision_state:clean_steps"}, {p.ServiceSteps, "node:set_provision_state:service_steps"}, {p.DeploySteps, ""}} {
		if len(list.steps) > 0 && list.rule != "" && !book {
			if err := c.Rights.Check(list.rule, t); err != nil {
				return err
			}
		}
		for _, step := range list.steps {
			if text, bad := fault.PublicOf(c.Rights.Step(step.Name(), t)); bad && !slices.Contains(denied, text) {
				denied = append(denied, text)
			}
		}
	}
	if len(denied) > 0 {
		return fault.New(fault.Forbidden, "%s", strings.Join(denied, "; "))
	}
	return nil
}
