package vswitch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// What one answer may be.
const (
	maxReply    = 1 << 20 // some thousand networks
	maxName     = 255     // bytes of a name, a revision, an owner
	maxNetworks = 10000
	maxMessage  = 300 // of the switch's own words in an error
)

var (
	errTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxReply)
	errForm     = errors.New("the answer is not of the form that docs/vswitch-api.md describes")
)

// The states of a port.
const (
	applied = "applied"
	pending = "pending"
	failed  = "failed"
)

// portState is one port as the API shows it.
type portState struct {
	Switch   string  `json:"switch_id"`
	Port     string  `json:"port_id"`
	Network  *string `json:"network"` // nil: isolated
	Owner    string  `json:"owner"`
	Revision string  `json:"revision"`
	State    string  `json:"state"` // "" is applied
	Message  string  `json:"message"`
}

func (p portState) network() string {
	if p.Network == nil {
		return ""
	}
	return *p.Network
}

// network is one logical network.
type network struct {
	Name   string `json:"name"`
	Tenant bool   `json:"tenant"` // may be a VIF
}

// problem is what a refusal says.
type problem struct {
	Code    string
	Message string
}

func parsePort(body []byte, want socket) (portState, error) {
	var p portState
	if err := decode(body, &p); err != nil {
		return p, err
	}
	return p, p.check(want)
}

func (p *portState) check(want socket) error {
	if p.State == "" {
		p.State = applied
	}
	p.Message = clean(p.Message)
	switch {
	case p.Switch != want.Switch || p.Port != want.Port:
		return fmt.Errorf("%w: it is about another port", errForm)
	case p.State != applied && p.State != pending && p.State != failed:
		return fmt.Errorf("%w: state %q", errForm, clean(p.State))
	case !revisionForm(p.Revision):
		return fmt.Errorf("%w: the revision is not 1 to %d printable ASCII characters without a quotation mark", errForm, maxName)
	case p.Network != nil && !nameForm(*p.Network), p.Owner != "" && !nameForm(p.Owner):
		return fmt.Errorf("%w: network or owner is not 1 to %d printable characters", errForm, maxName)
	}
	return nil
}

func parseNetworks(body []byte) ([]network, error) {
	var list struct {
		Networks []network `json:"networks"`
	}
	if err := decode(body, &list); err != nil {
		return nil, err
	}
	if list.Networks == nil || len(list.Networks) > maxNetworks {
		return nil, fmt.Errorf("%w: no networks, or more than %d", errForm, maxNetworks)
	}
	for _, n := range list.Networks {
		if !nameForm(n.Name) {
			return nil, fmt.Errorf("%w: a network's name is not 1 to %d printable characters", errForm, maxName)
		}
	}
	return list.Networks, nil
}

// parseProblem reads what a refusal says; one that says nothing useful gives an empty problem.
func parseProblem(body []byte) problem {
	var p struct {
		Error problem `json:"error"`
	}
	if decode(body, &p) != nil {
		return problem{}
	}
	return problem{Code: clean(p.Error.Code), Message: clean(p.Error.Message)}
}

// decode reads one JSON object and nothing behind it. Depth is bounded by encoding/json, size by whoever read it.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	if d.More() {
		return fmt.Errorf("%w: something follows the object", errForm)
	}
	return nil
}

// nameForm tells whether a text can be a name: it goes into errors and logs.
func nameForm(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

// revisionForm tells whether a text can stand in If-Match.
func revisionForm(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' })
}

// clean makes a stranger's words fit for an error.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	for i := range s {
		if i > maxMessage {
			return s[:i] + "…"
		}
	}
	return s
}
