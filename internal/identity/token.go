package identity

import (
	"errors"
	"slices"
	"strings"
	"time"

	"ingot/internal/policy"
)

// token is what Keystone says of one.
type token struct {
	who     policy.Caller
	expires time.Time
}

// answer is Keystone's document of a token. Source: OpenStack Identity API v3, "Validate and show information for token".
type answer struct {
	Token struct {
		ExpiresAt time.Time `json:"expires_at"`
		User      struct {
			named
			Domain named `json:"domain"`
		} `json:"user"`
		Project *struct {
			named
			Domain named `json:"domain"`
		} `json:"project"`
		Domain         *named          `json:"domain"`
		System         map[string]bool `json:"system"`
		Roles          []named         `json:"roles"`
		IsAdminProject *bool           `json:"is_admin_project"`
	} `json:"token"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (a *answer) read() (token, error) {
	in := a.Token
	if in.User.ID == "" || in.ExpiresAt.IsZero() {
		return token{}, errors.New("keystone's answer says neither whose the token is nor when it ends")
	}
	c := policy.Caller{UserID: in.User.ID, UserName: in.User.Name, UserDomainID: in.User.Domain.ID}
	if in.Project != nil {
		c.ProjectID, c.ProjectName, c.ProjectDomainID = in.Project.ID, in.Project.Name, in.Project.Domain.ID
	}
	if in.Domain != nil {
		c.DomainID, c.DomainName = in.Domain.ID, in.Domain.Name
	}
	if in.System["all"] {
		c.SystemScope = "all"
	}
	c.IsAdminProject = in.IsAdminProject != nil && *in.IsAdminProject
	for _, r := range in.Roles {
		c.Roles = append(c.Roles, r.Name)
	}
	return token{who: c, expires: in.ExpiresAt}, nil
}

// hasOne tells whether the token has one of the roles.
func (t token) hasOne(roles []string) bool {
	return slices.ContainsFunc(t.who.Roles, func(r string) bool {
		return slices.ContainsFunc(roles, func(want string) bool { return strings.EqualFold(r, want) })
	})
}

// caller is who a token stands for; service is the one that a service showed beside it, or nil.
func (t token) caller(service *token) policy.Caller {
	c := t.who
	c.Roles = slices.Clone(c.Roles)
	if service != nil {
		w := service.who
		c.Service = policy.Service{UserID: w.UserID, UserDomainID: w.UserDomainID, ProjectID: w.ProjectID, ProjectName: w.ProjectName,
			ProjectDomainID: w.ProjectDomainID, Roles: slices.Clone(w.Roles)}
	}
	return c
}
