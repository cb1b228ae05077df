package peer

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// wanted is a question for values of one operation.
type wanted struct {
	Handle    string   `json:"handle"`
	Operation string   `json:"operation"`
	Names     []string `json:"names,omitempty"`
}

// given is the answer; values travel as bytes, in base64, so that any string comes out as it went in.
type given struct {
	Values map[string][]byte `json:"values"`
}

func (c *call) fetch() (any, error) {
	var w wanted
	if err := c.read(&w); err != nil {
		return nil, err
	}
	if len(w.Names) > courier.MaxNames {
		return nil, fault.New(fault.TooLarge, "At most %d values can be fetched at once.", courier.MaxNames)
	}
	if !c.from.Is(Conductor) && slices.ContainsFunc(w.Names, notOfInstallation) {
		return nil, fault.New(fault.Forbidden, "Server %s may fetch only what goes with an installation.", c.from.Name)
	}
	values, err := c.o.Courier.Fetch(w.Handle, w.Operation, w.Names)
	if err != nil {
		return nil, err
	}
	out := given{Values: make(map[string][]byte, len(values))}
	for name, v := range values {
		out.Values[name] = []byte(v.Expose()) // over mutual TLS: what this room is for
	}
	c.o.Log.Info("secret values fetched", "peer", c.from.Name, "op", w.Operation, "count", len(values))
	return out, nil
}

// notOfInstallation tells names of values that a metadata service gives to no machine.
func notOfInstallation(name string) bool {
	return !strings.HasPrefix(name, metal.OSSecretParameter) && !strings.HasPrefix(name, metal.OSCredential)
}

func (c *call) release() (any, error) {
	var w wanted
	if err := c.read(&w); err != nil {
		return nil, err
	}
	if _, err := c.o.Courier.Fetch(w.Handle, w.Operation, nil); err != nil {
		return nil, err // who does not know the handle releases nothing
	}
	c.o.Courier.Release(w.Operation)
	return struct{}{}, nil
}

// Fetch asks a server for values of an operation. Errors: fault.NotFound if it has them no more,
// fault.Unavailable if it cannot be reached.
func (p *Peer) Fetch(ctx context.Context, from Server, handle, operation string, names []string) (map[string]secret.Secret, error) {
	var g given
	if err := p.ask(ctx, from, http.MethodPost, "/v1/secrets/fetch", wanted{handle, operation, names}, &g); err != nil {
		return nil, err
	}
	out := make(map[string]secret.Secret, len(names))
	for _, name := range names {
		v, ok := g.Values[name]
		if !ok {
			return nil, fault.New(fault.NotFound, "Server %s left a value out.", from.Name)
		}
		out[name] = secret.New(string(v))
	}
	return out, nil
}

// Release tells a server that an operation has ended.
func (p *Peer) Release(ctx context.Context, at Server, handle, operation string) error {
	return p.ask(ctx, at, http.MethodPost, "/v1/secrets/release", wanted{Handle: handle, Operation: operation}, nil)
}
