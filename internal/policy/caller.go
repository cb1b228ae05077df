package policy

import (
	"slices"
	"strconv"
	"strings"
)

// Caller is who asks, as whoever identified them vouches for it. The zero Caller is nobody, who may use public rules
// only. Check strings see it by the names beside the fields; an empty field is a credential that is not set.
//
// Roles must be complete: admin implies manager, manager implies member, member implies reader. Keystone's tokens come
// with what their roles imply; whoever makes a Caller from another source (package identity) adds it.
type Caller struct {
	// Trusted is for servers that cannot tell rights apart (noauth, http_basic): whoever got this far may do
	// everything, except what is denied to everybody ("!"), and except for what show_password and
	// show_instance_secrets say, which are judged on the other fields.
	Trusted bool

	UserID          string   // user_id, user
	UserName        string   // user_name; for logs and histories: two domains may have users of one name
	UserDomainID    string   // user_domain_id
	ProjectID       string   // project_id, tenant
	ProjectName     string   // project_name
	ProjectDomainID string   // project_domain_id
	DomainID        string   // domain_id, of a token that is scoped to a domain
	DomainName      string   // domain_name
	SystemScope     string   // system_scope: "all" for a token that is scoped to the system
	Roles           []string // roles
	// IsAdminProject is is_admin_project: whoever identified the caller says in so many words that the project is
	// the one for administrators. Saying nothing is no.
	IsAdminProject bool
	// IsPublicAPI is is_public_api: the request's route is one that needs no authentication. api sets it.
	IsPublicAPI bool
	// Service is the service that passes on somebody's request, by the second token it sent.
	Service Service
}

// Service is who passes on a request. The names in check strings begin with service_.
type Service struct {
	UserID          string   // service_user_id
	UserDomainID    string   // service_user_domain_id
	ProjectID       string   // service_project_id
	ProjectName     string   // service_project_name
	ProjectDomainID string   // service_project_domain_id
	Roles           []string // service_roles
}

// System tells whether the caller's token is for the whole system, and not for one project. A trusted caller acts for
// the system.
func (c *Caller) System() bool { return c.Trusted || c.SystemScope == "all" }

// scope is what the caller's token is scoped to, in oslo.policy's words. One without a scope counts as a project's.
func (c *Caller) scope() scope {
	switch {
	case c.SystemScope != "":
		return system
	case c.DomainID != "":
		return domain
	}
	return project
}

// credential is one thing check strings may ask of a caller. Lists match if one of their values does.
type credential struct {
	one  func(*Caller) string
	list func(*Caller) []string
}

// credentials is all of them, by name. Source: oslo.context's policy values.
var credentials = map[string]credential{
	"user_id":                   {one: func(c *Caller) string { return c.UserID }},
	"user":                      {one: func(c *Caller) string { return c.UserID }},
	"user_name":                 {one: func(c *Caller) string { return c.UserName }},
	"user_domain_id":            {one: func(c *Caller) string { return c.UserDomainID }},
	"project_id":                {one: func(c *Caller) string { return c.ProjectID }},
	"tenant":                    {one: func(c *Caller) string { return c.ProjectID }},
	"project_name":              {one: func(c *Caller) string { return c.ProjectName }},
	"project_domain_id":         {one: func(c *Caller) string { return c.ProjectDomainID }},
	"domain_id":                 {one: func(c *Caller) string { return c.DomainID }},
	"domain_name":               {one: func(c *Caller) string { return c.DomainName }},
	"system_scope":              {one: func(c *Caller) string { return c.SystemScope }},
	"is_admin_project":          {one: func(c *Caller) string { return truth(c.IsAdminProject) }},
	"is_public_api":             {one: func(c *Caller) string { return truth(c.IsPublicAPI) }},
	"roles":                     {list: func(c *Caller) []string { return c.Roles }},
	"service_user_id":           {one: func(c *Caller) string { return c.Service.UserID }},
	"service_user_domain_id":    {one: func(c *Caller) string { return c.Service.UserDomainID }},
	"service_project_id":        {one: func(c *Caller) string { return c.Service.ProjectID }},
	"service_project_name":      {one: func(c *Caller) string { return c.Service.ProjectName }},
	"service_project_domain_id": {one: func(c *Caller) string { return c.Service.ProjectDomainID }},
	"service_roles":             {list: func(c *Caller) []string { return c.Service.Roles }},
}

// truth is a boolean as Python spells it: check strings are compared as text.
func truth(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// known lists the names of a table for an error message.
func known[T any](table map[string]T) string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// clip makes a stranger's text short and printable enough to be repeated.
func clip(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return strconv.Quote(s)
}
