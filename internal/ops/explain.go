package ops

import (
	"context"

	"ingot/internal/policy"
	"ingot/internal/store"
)

// Explain says why somebody has a right, or has not: on a node that c may see or, with ident "", on nothing. An
// allocation's or a runbook's owner is as the node's. A node that somebody may not see is one whose other rules nobody
// gets to ask; the explanation of node:get comes first.
func (s *Service) Explain(ctx context.Context, c Caller, whose *policy.Rights, rule policy.Rule, ident string) (out []policy.Why, err error) {
	if ident == "" {
		return []policy.Why{whose.Explain(rule, policy.Target{})}, nil
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident)
		if err != nil {
			return err
		}
		t := nodeTarget(n)
		t.AllocationOwner, t.RunbookOwner = n.Owner, n.Owner
		if rule != "node:get" {
			out = append(out, whose.Explain("node:get", t))
		}
		out = append(out, whose.Explain(rule, t))
		return nil
	})
	return out, err
}
