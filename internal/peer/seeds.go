package peer

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Seeds keeps what instances read of a metadata service, for machines that reach this server and none of the control plane's.
// What a seed is, is between conductors and whoever keeps it: here it is JSON.
type Seeds interface {
	// Put keeps what instances read, each in place of its node's last. What is put twice is there once.
	Put(ctx context.Context, seeds []json.RawMessage) error
	// List gives what is there.
	List(ctx context.Context) ([]SeedMark, error)
	// Remove takes away what was made for a node until then. None is no error.
	Remove(ctx context.Context, node string, made time.Time) error
	// Told says that a conductor has compared what is there with all that should be.
	Told(ctx context.Context) error
}

// SeedMark says which seed a boot host has of a node.
type SeedMark struct {
	Node    string    `json:"node"`    // UUID
	Version string    `json:"version"` // another for each change of what is served
	Made    time.Time `json:"made"`
}

// maxSeeds bounds the seeds of one push, as JSON.
const maxSeeds = 32 << 20

// seedsLimit is how long one push of seeds may take.
const seedsLimit = time.Minute

func (c *call) putSeeds() (any, error) {
	var all []json.RawMessage
	if err := c.readAtMost(&all, maxSeeds); err != nil {
		return nil, err
	}
	return struct{}{}, c.o.Seeds.Put(c.r.Context(), all)
}

func (c *call) listSeeds() (any, error) {
	all, err := c.o.Seeds.List(c.r.Context())
	return map[string][]SeedMark{"seeds": all}, err
}

// seedEnd is the body of a removal.
type seedEnd struct {
	Made time.Time `json:"made"`
}

func (c *call) removeSeed() (any, error) {
	var end seedEnd
	if err := c.read(&end); err != nil {
		return nil, err
	}
	return struct{}{}, c.o.Seeds.Remove(c.r.Context(), c.r.PathValue("node"), end.Made)
}

func (c *call) toldSeeds() (any, error) { return struct{}{}, c.o.Seeds.Told(c.r.Context()) }

// PutSeeds pushes what instances read to a boot host; together at most 32 MiB of JSON.
func (p *Peer) PutSeeds(ctx context.Context, to Server, seeds []json.RawMessage) error {
	ctx, cancel := context.WithTimeout(ctx, seedsLimit)
	defer cancel()
	return exchange(ctx, dialTLS(p.current.Load(), to.Name, p.verified, p.now), to, http.MethodPut, "/v1/seeds", seeds, nil)
}

// Seeds asks a boot host which seeds it has.
func (p *Peer) Seeds(ctx context.Context, at Server) ([]SeedMark, error) {
	var out struct {
		Seeds []SeedMark `json:"seeds"`
	}
	return out.Seeds, p.ask(ctx, at, http.MethodGet, "/v1/seeds", nil, &out)
}

// RemoveSeed takes a node's seed off a boot host, if it was made then or before; one that is not there is no error.
func (p *Peer) RemoveSeed(ctx context.Context, at Server, node string, made time.Time) error {
	return p.ask(ctx, at, http.MethodDelete, "/v1/seeds/"+node, seedEnd{made}, nil)
}

// ToldSeeds tells a boot host that it has, at this moment, all seeds that it should have.
func (p *Peer) ToldSeeds(ctx context.Context, at Server) error {
	return p.ask(ctx, at, http.MethodPost, "/v1/seeds/told", nil, nil)
}
