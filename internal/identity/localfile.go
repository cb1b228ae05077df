package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"ingot/internal/policy"
)

const (
	localLimit  = 4 << 20 // bytes of a file
	scopesLimit = 1000    // projects of one user
	rolesLimit  = 32      // roles of one user in one scope
)

// Document is the local identity file.
type Document struct {
	// Domain is the domain of all users and projects; "" means "default".
	Domain string `yaml:"domain,omitempty"`
	// Projects are those whose id is not their name, by name. Others need no line.
	Projects map[string]Project `yaml:"projects,omitempty"`
	Users    []User             `yaml:"users"`
}

// Project is what a project has beside its name.
type Project struct {
	ID string `yaml:"id"` // what owner and lessee of a node hold
}

// User is one person or program.
type User struct {
	Name     string `yaml:"name"`
	ID       string `yaml:"id,omitempty"` // what events and history hold; "" means the name
	Password string `yaml:"password"`     // a bcrypt hash
	// System are the user's roles on all machines.
	System []string `yaml:"system,omitempty,flow"`
	// Projects are the user's roles by project.
	Projects map[string][]string `yaml:"projects,omitempty"`
	// Default is the scope of a log-in that names none: a project, or "system".
	Default string `yaml:"default,omitempty"`
}

// people is a file that was checked.
type people struct {
	users map[string]*person // by name
	decoy string
}

// person is a user with a caller for each scope.
type person struct {
	name, hash string
	scope      string // if none is asked for; "" if the user must choose
	callers    map[string]policy.Caller
}

// implied says which role has which others. Source: RBAC reference §4.
var implied = map[string][]string{"admin": {"manager", "member", "reader"}, "manager": {"member", "reader"}, "member": {"reader"}}

// Roles are all the roles that rules of the table know. Policy files may use others.
var Roles = []string{"admin", "manager", "member", "reader", "service"}

func parseLocal(text []byte) (*people, error) {
	doc, err := ParseLocal(text)
	if err != nil {
		return nil, err
	}
	return check(doc)
}

// ParseLocal reads the file without checking what it says. Unknown keys are errors.
func ParseLocal(text []byte) (Document, error) {
	var doc Document
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return Document{}, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Document{}, errors.New("there is more than one document in the file")
	}
	return doc, nil
}

// check finds all that is wrong with a document at once.
func check(doc Document) (*people, error) {
	in := &people{users: map[string]*person{}}
	var bad []error
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	domain := doc.Domain
	if domain == "" {
		domain = "default"
	}
	for name, p := range doc.Projects {
		if err := checkProject(name); err != nil {
			wrong("projects: %w", err)
		}
		if p.ID == "" || len(p.ID) > maxName {
			wrong("projects: %s: its id is empty or longer than %d bytes", name, maxName)
		}
	}
	costs, ids := map[int]int{}, map[string]bool{}
	for i, u := range doc.Users {
		at := fmt.Sprintf("user %d", i+1)
		if u.Name != "" {
			at = "user " + u.Name
		}
		p, cost, err := doc.person(u, domain)
		if err != nil {
			wrong("%s: %w", at, err)
			continue
		}
		if in.users[p.name] != nil || ids[p.id()] {
			wrong("%s: this name or id is there already", at)
		}
		in.users[p.name], ids[p.id()] = p, true
		costs[cost]++
	}
	in.decoy = decoy(costs)
	return in, errors.Join(bad...)
}

// id is the user's id, which all callers of a person have.
func (u *person) id() string {
	for _, c := range u.callers {
		return c.UserID
	}
	return ""
}

func checkProject(name string) error {
	if name == System {
		return fmt.Errorf("no project may be called %q: that is the scope of all machines", System)
	}
	return checkName(name)
}

// person checks one user.
func (doc *Document) person(u User, domain string) (*person, int, error) {
	if err := checkName(u.Name); err != nil {
		return nil, 0, err
	}
	if u.ID == "" {
		u.ID = u.Name
	}
	if err := checkName(u.ID); err != nil {
		return nil, 0, fmt.Errorf("id: %w", err)
	}
	cost, err := checkHash(u.Password)
	if err != nil {
		return nil, 0, err
	}
	p := &person{name: u.Name, hash: u.Password, callers: map[string]policy.Caller{}}
	base := policy.Caller{UserID: u.ID, UserName: u.Name, UserDomainID: domain}
	if len(u.System) > 0 {
		c := base
		c.SystemScope = "all"
		if c.Roles, err = Expand(u.System); err != nil {
			return nil, 0, fmt.Errorf("system: %w", err)
		}
		p.callers[System] = c
	}
	if len(u.Projects) > scopesLimit {
		return nil, 0, fmt.Errorf("there are %d projects, and %d are the most one user can have", len(u.Projects), scopesLimit)
	}
	for name, roles := range u.Projects {
		if err := checkProject(name); err != nil {
			return nil, 0, fmt.Errorf("projects: %w", err)
		}
		c := base
		c.ProjectID, c.ProjectName, c.ProjectDomainID = name, name, domain
		if known, ok := doc.Projects[name]; ok {
			c.ProjectID = known.ID
		}
		if c.Roles, err = Expand(roles); err != nil {
			return nil, 0, fmt.Errorf("projects: %s: %w", name, err)
		}
		p.callers[name] = c
	}
	p.scope, err = u.usual(p)
	return p, cost, err
}

// usual is the scope of a log-in that names none.
func (u *User) usual(p *person) (string, error) {
	switch {
	case len(p.callers) == 0:
		return "", errors.New("there is no role, neither on the system nor in a project")
	case u.Default != "":
		if _, ok := p.callers[u.Default]; !ok {
			return "", fmt.Errorf("default: the user has no role in %q", u.Default)
		}
		return u.Default, nil
	case len(u.System) > 0:
		return System, nil
	case len(p.callers) == 1:
		for s := range p.callers {
			return s, nil
		}
	}
	return "", nil
}

// Expand adds the roles that roles imply.
func Expand(roles []string) ([]string, error) {
	var out []string
	if len(roles) == 0 || len(roles) > rolesLimit {
		return nil, fmt.Errorf("there must be from 1 to %d roles", rolesLimit)
	}
	for _, r := range roles {
		if err := checkName(r); err != nil {
			return nil, fmt.Errorf("role: %w", err)
		}
		r = strings.ToLower(r) // rules compare without regard to case
		for _, one := range append([]string{r}, implied[r]...) {
			if !slices.Contains(out, one) {
				out = append(out, one)
			}
		}
	}
	return out, nil
}
