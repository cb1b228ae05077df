package api

import (
	"net/http"
	"strings"

	"ingot/internal/identity"
	"ingot/internal/policy"
	"ingot/internal/wire"
)

// namer is a Door that knows its users without their passwords.
type namer interface {
	Named(user string) (policy.Caller, error)
}

// listPolicy answers {"rules": [policy.Listed]}: those that are in force.
func (c *call) listPolicy() (answer, error) {
	return answer{status: http.StatusOK, json: map[string]any{"rules": c.o.Rules().List()}}, nil
}

// explain answers {"allowed", "why": [policy.Why]}: whether the user or caller that the query describes has a right,
// and why. All of why must allow.
func (c *call) explain() (answer, error) {
	rule := policy.Rule(strings.TrimPrefix(c.param("rule"), "baremetal:"))
	if rule == "" {
		return answer{}, invalid("Name the rule with ?rule=.")
	}
	node := c.param("node")
	if node != "" && !wire.IsIdent(node) {
		return answer{}, invalid("Expected UUID or name for node.")
	}
	who, err := c.described()
	if err != nil {
		return answer{}, err
	}
	why, err := c.s.Explain(c.r.Context(), c.caller(), c.o.Rules().For(who), rule, node)
	if err != nil {
		return answer{}, err
	}
	allowed := true
	for _, w := range why {
		allowed = allowed && w.Allowed
	}
	return answer{status: http.StatusOK, json: map[string]any{"allowed": allowed, "why": why}, private: true}, nil
}

// described is the caller that the query describes: a user of the local identity file, or roles in a project or the
// system, or whoever sends the request.
func (c *call) described() (policy.Caller, error) {
	user, roles, project, system := c.param("user"), c.param("roles"), c.param("project"), c.param("system")
	switch {
	case roles != "":
		held, err := identity.Expand(strings.Split(roles, ","))
		if err != nil {
			return policy.Caller{}, invalid("%s", err.Error())
		}
		who := policy.Caller{UserID: user, ProjectID: project, ProjectName: project, Roles: held}
		if system != "" {
			who = policy.Caller{UserID: user, SystemScope: "all", Roles: held}
		}
		return who, nil
	case user == "":
		return c.rights.Who(), nil
	}
	door, ok := c.o.Identity.(namer)
	if !ok {
		return policy.Caller{}, invalid("This server has no file of users to find %s in: describe the caller with roles, and project or system.", clip(user))
	}
	return door.Named(user)
}
