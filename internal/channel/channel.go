package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// End is one of the two that a channel has. What one writes the other reads.
type End int

// The ends.
const (
	Guest End = iota // the confined script
	Host             // the trusted one
)

func (e End) other() End { return 1 - e }

// Content is what one installation has.
type Content struct {
	MetaData   json.RawMessage           // nil: there is none
	Parameters osdef.Classes             // of all layers
	Scripts    map[string][]byte         // by their paths in the definition
	Package    *agentapi.OSPackage       // nil: there is none, or whoever reads has nothing to do with it
	OnProgress func(agentapi.OSProgress) // one at a time; nil: nobody is told
}

// Of is the content of what an agent is asked. The package is the agent's own work, and not in it.
func Of(w agentapi.OSWork) (Content, error) {
	c := Content{MetaData: w.MetaData, Parameters: ClassesOf(w.Parameters)}
	if w.Definition == nil {
		return c, nil
	}
	b, err := osdef.Read(bytes.NewReader(w.Definition.Bundle), osdef.Usual)
	if err != nil {
		return Content{}, fmt.Errorf("read the OS definition: %w", err)
	}
	c.Scripts, err = Scripts(b)
	return c, err
}

// Scripts are the scripts of a definition, and no other file of it.
func Scripts(b *osdef.Bundle) (map[string][]byte, error) {
	d, err := b.Definition()
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, name := range d.Scripts {
		if f, found := b.File(name); found {
			out[name] = f.Content
		}
	}
	return out, nil
}

// ClassesOf sorts parameters as they travel into their classes. One of no known class is taken for a secret.
func ClassesOf(all []agentapi.OSParameter) osdef.Classes {
	out := osdef.Merge()
	for _, p := range all {
		switch p.Class {
		case ClassPublic:
			out.Public[p.Name] = p.Value
		case ClassPrivate:
			out.Private[p.Name] = secret.New(p.Value)
		default:
			out.Secret[p.Name] = secret.New(p.Value)
		}
	}
	return out
}

// The classes, by the words that are read.
const (
	ClassPublic  = "public"
	ClassPrivate = "private"
	ClassSecret  = "secret"
)

// Channel is one installation's, in memory. It is safe for many goroutines.
type Channel struct {
	telling sync.Mutex // one progress at a time; taken before mu
	stages  Stages     // guarded by telling

	mu      sync.Mutex
	content Content         // guarded by mu
	hidden  map[string]bool // names of private and secret parameters; guarded by mu
	over    bool            // guarded by mu
	pipes   [2]pipe         // what waits to be read at each end; guarded by mu
}

// New makes the channel of an installation.
func New(c Content) *Channel {
	hidden := map[string]bool{}
	for name := range c.Parameters.Private {
		hidden[name] = true
	}
	for name := range c.Parameters.Secret {
		hidden[name] = true
	}
	return &Channel{content: c, hidden: hidden, stages: Stages{}}
}

// Handler serves an end.
func (c *Channel) Handler(e End) http.Handler { return Handler(&side{c, e}) }

// Tell puts a message of the server's into what the guest reads, behind what waits there.
func (c *Channel) Tell(message []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return ErrOver
	case len(message) == 0:
		return nil
	case c.pipes[Guest].size+int64(len(message)) > MaxBuffered+ControlRoom || len(c.pipes[Guest].waiting) >= MaxMessages+16:
		return fault.New(fault.TooMany, "The guest does not read what is said to it.")
	}
	c.pipes[Guest].force(message)
	return nil
}

// End ends the installation: private and secret values, scripts and the pipe are gone from here on.
func (c *Channel) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.pipes = [2]pipe{}
	c.content.Parameters = osdef.Classes{Public: c.content.Parameters.Public}
	c.content.Scripts = nil
	if p := c.content.Package; p != nil {
		c.content.Package = &agentapi.OSPackage{URL: p.URL}
	}
}

// side is the Source of one end.
type side struct {
	*Channel
	end End
}

func (s *side) MetaData(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.content.MetaData == nil {
		return nil, ErrNone
	}
	return s.content.MetaData, nil
}

func (s *side) Parameters(context.Context) (osdef.Classes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return osdef.Merge(s.content.Parameters), nil
}

func (s *side) Parameter(_ context.Context, name string) (secret.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over && s.hidden[name] {
		return secret.Secret{}, ErrOver
	}
	return Pick(s.content.Parameters, name)
}

// Pick is a parameter of whatever class; ErrNone if there is none.
func Pick(c osdef.Classes, name string) (secret.Secret, error) {
	if v, has := c.Public[name]; has {
		return secret.New(v), nil
	}
	if v, has := c.Private[name]; has {
		return v, nil
	}
	if v, has := c.Secret[name]; has {
		return v, nil
	}
	return secret.Secret{}, ErrNone
}

func (s *side) Script(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, ErrOver
	}
	if body, has := s.content.Scripts[name]; has {
		return body, nil
	}
	return nil, ErrNone
}

func (s *side) Package(_ context.Context, what PackagePart) (secret.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.content.Package
	switch {
	case p == nil:
		return secret.Secret{}, ErrNone
	case what == PackageURL:
		return secret.New(p.URL), nil
	case s.over:
		return secret.Secret{}, ErrOver
	case what == PackageUser && p.User != "":
		return secret.New(p.User), nil
	case what == PackagePassword && p.Password != "":
		return secret.New(p.Password), nil
	}
	return secret.Secret{}, ErrNone
}

func (s *side) Read(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, ErrOver
	}
	return s.pipes[s.end].take(), nil
}

func (s *side) Write(_ context.Context, message []byte) error {
	p, is, err := ParseProgress(message)
	switch {
	case err != nil:
		return err
	case is:
		return s.progress(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return ErrOver
	}
	return s.pipes[s.end.other()].put(message)
}

// progress tells of one. Those of two ends are told one after the other.
func (s *side) progress(p agentapi.OSProgress) error {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	over, hide, tell := s.over, s.content.Parameters, s.content.OnProgress
	s.mu.Unlock()
	if over {
		return ErrOver
	}
	p, err := s.stages.Next(Clean(p, hide))
	if err == nil && tell != nil {
		tell(p)
	}
	return err
}
