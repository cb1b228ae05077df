package api

import (
	"ingot/internal/metal"
	"ingot/internal/ops"
)

// readBootRoles reads boot_roles: for whom a service deploys. nil: it says nothing, which is not the same as no roles.
func readBootRoles(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, invalid("Invalid boot_roles: it must be an array of role names, in the body.")
	}
	out := make([]string, len(list))
	for i, v := range list {
		if out[i], ok = v.(string); !ok {
			return nil, invalid("Invalid boot_roles: role %d must be a string.", i+1)
		}
	}
	return out, nil
}

// checkBootRights: who may not speak for others learns that before anything about the node.
func (rq *request) checkBootRights() error {
	return rq.caller().MayBootFor(rq.node, ops.Provision{BootRoles: rq.bootRoles})
}

func (rq *request) checkBootRoles() error {
	switch {
	case rq.bootRoles == nil:
		return nil
	case rq.verb != metal.VerbActive && rq.verb != metal.VerbDeploy:
		return invalid("boot_roles is only valid when setting target provision state to active: a rebuild keeps those of the deployment.")
	}
	return metal.CheckBootRoles(rq.bootRoles)
}
