package metal

import (
	"slices"
	"strings"

	"ingot/internal/fault"
)

// BootFor is for whom an instance is deployed: what its vendordata targets are told of it. It is of the request, and stays
// what it is as long as the instance does.
type BootFor struct {
	Roles   []string `json:"roles,omitempty"`
	Project string   `json:"project,omitempty"`
	// Own says that whoever asked may speak for that project alone: his rebuild of another's instance is not for that other.
	Own bool `json:"own,omitempty"`
}

// Limits of roles that a request gives.
const (
	maxBootRoles = 64
	maxBootRole  = 255
)

// CheckBootRoles refuses roles that a target could not tell apart: it gets them as one text, with commas between.
func CheckBootRoles(roles []string) error {
	if len(roles) > maxBootRoles {
		return fault.New(fault.Invalid, "boot_roles has %d roles; at most %d are possible.", len(roles), maxBootRoles)
	}
	for i, r := range roles {
		switch {
		case r == "" || strings.TrimSpace(r) != r:
			return fault.New(fault.Invalid, "boot_roles: role %d is empty, or has a blank at its begin or end.", i+1)
		case len(r) > maxBootRole:
			return fault.New(fault.Invalid, "boot_roles: role %d has %d bytes; at most %d are possible.", i+1, len(r), maxBootRole)
		case ambiguous(r):
			return fault.New(fault.Invalid, "boot_roles: role %d has a comma or a control character in it: roles are sent as a list with commas.", i+1)
		}
	}
	return nil
}

func ambiguous(role string) bool {
	return strings.ContainsFunc(role, func(r rune) bool { return r == ',' || r < ' ' || r == 0x7f })
}

// TellableRoles are the roles of a caller that can be told to a target, in their order; left are those that cannot: a comma in
// one would make two of it, and of these two somebody may not have one.
func TellableRoles(roles []string) (tellable, left []string) {
	for _, r := range roles {
		if ambiguous(r) || r == "" {
			left = append(left, r)
		} else if !slices.Contains(tellable, r) {
			tellable = append(tellable, r)
		}
	}
	return tellable, left
}

// WantsDrive is what instance_info config_drive says, named as Nova's flag: whether the instance gets a config drive. nil: it
// says nothing. Without a drive what it would hold is served to the instance all the same.
func WantsDrive(info map[string]any) (*bool, error) {
	yes, no := true, false
	switch v := info["config_drive"].(type) {
	case nil:
		return nil, nil
	case bool:
		return &v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "":
			return nil, nil
		case "true", "yes", "on", "1":
			return &yes, nil
		case "false", "no", "off", "0":
			return &no, nil
		}
	}
	return nil, fault.New(fault.Invalid, "instance_info config_drive must be true or false")
}
