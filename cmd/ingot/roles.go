package main

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/cli"
)

// role is a part of the server that may run as a process of its own.
type role string

// The roles. See docs/guides/several-servers.md.
const (
	roleAPI       role = "api"       // the REST API
	roleConductor role = "conductor" // works on operations; speaks to BMCs and agents; serves its own boot listener
	roleAgentAPI  role = "agent-api" // the agents' door
	roleBoot      role = "boot"      // serves what conductors push to it; no database
	roleNetboot   role = "netboot"   // answers machines that boot from the network
	roleMetadata  role = "metadata"  // answers instances that ask for their metadata
)

// roles are those of one process.
type roles []role

func (r roles) has(one role) bool { return slices.Contains(r, one) }

func (r roles) hasAll(of roles) bool {
	return !slices.ContainsFunc(of, func(one role) bool { return !r.has(one) })
}

func (r roles) names() []string {
	out := make([]string, len(r))
	for i, one := range r {
		out[i] = string(one)
	}
	return out
}

// everyRole is what a server does unless it is told otherwise. Its boot listener is the conductor's. A server whose
// configuration has networks to serve has the role netboot, too, and one that is told where instances ask the role metadata.
var everyRole = roles{roleAPI, roleConductor, roleAgentAPI}

// parseRoles reads --roles.
func parseRoles(text string) (roles, error) {
	if text == "" || text == "all" {
		return everyRole, nil
	}
	var out roles
	for _, word := range strings.Split(text, ",") {
		one := role(strings.TrimSpace(word))
		switch {
		case one != roleBoot && one != roleNetboot && one != roleMetadata && !slices.Contains(everyRole, one):
			return nil, cli.Hint(fmt.Errorf("--roles: there is no role %q", one), "the roles are api, conductor, agent-api, netboot and metadata, divided by commas, or all, or boot alone")
		case !out.has(one):
			out = append(out, one)
		}
	}
	if out.has(roleBoot) && len(out) > 1 {
		return nil, fmt.Errorf("--roles: a boot host faces machines and knows no secrets, so it has the role boot alone")
	}
	return out, nil
}
