package depot

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// PushedSeed is what one instance reads of a metadata service, as conductors push it to a boot host.
type PushedSeed struct {
	Node    string `json:"node"`    // UUID
	Version string `json:"version"` // another for each change of what is served
	// Made is when the control plane made it. What is older than something of the same node is refused, and what is older than its
	// end: a push that was long on its way brings no former instance back.
	Made      time.Time    `json:"made"`
	Instance  string       `json:"instance"` // its id
	Project   string       `json:"project,omitempty"`
	Addresses []netip.Addr `json:"addresses"` // that the instance asks from
	MACs      []string     `json:"macs"`      // of its NICs, lower case, for addresses that they lease here
	Seed      []byte       `json:"seed"`      // encoded by the room seed
}

// HeldSeed is a seed of a shelf.
type HeldSeed struct {
	Node, Version, Instance, Project string

	Made time.Time
	Seed secret.Secret

	addresses []netip.Addr
	macs      []string
}

// SeedOptions bound what a shelf of seeds takes.
type SeedOptions struct {
	Space    int64         // bytes of all seeds; 0: 512 MiB
	MaxSeed  int64         // bytes of one; 0: 16 MiB
	MaxSeeds int           // how many; 0: 20000
	Patience time.Duration // how long a question waits for the first conductor; 0: 8 s
	MaxAge   time.Duration // how long nothing need be heard of conductors; 0: a day
}

func (o SeedOptions) filled() SeedOptions {
	if o.Space <= 0 {
		o.Space = 512 << 20
	}
	if o.MaxSeed <= 0 {
		o.MaxSeed = 16 << 20
	}
	if o.MaxSeeds <= 0 {
		o.MaxSeeds = 20000
	}
	if o.Patience <= 0 {
		o.Patience = 8 * time.Second
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 24 * time.Hour
	}
	return o
}

// SeedShelf keeps what conductors push of instances, in memory alone: user data and what vendordata targets answered may hold
// secrets, and a boot host has no key to seal them with. Whoever restarts it gets them pushed again within seconds; until a
// conductor has said that all is there, questions wait. It is safe for many goroutines.
type SeedShelf struct {
	o   SeedOptions
	now func() time.Time

	mu        sync.Mutex
	seeds     map[string]*HeldSeed    // guarded by mu: by node; what it points to is not changed
	addresses map[netip.Addr][]string // guarded by mu: nodes that have an address
	macs      map[string][]string     // guarded by mu: nodes that have a MAC
	made      map[string]time.Time    // guarded by mu: of each node, before when nothing is taken any more
	used      int64                   // guarded by mu: bytes
	heard     time.Time               // guarded by mu: when a conductor said last that all is there
	full      chan struct{}           // closed when one has said so for the first time
}

// NewSeedShelf makes an empty shelf.
func NewSeedShelf(o SeedOptions) *SeedShelf {
	return &SeedShelf{o: o.filled(), now: time.Now, seeds: map[string]*HeldSeed{}, addresses: map[netip.Addr][]string{}, macs: map[string][]string{},
		made: map[string]time.Time{}, full: make(chan struct{})}
}

// maxNets bounds the addresses and the MACs of one instance.
const maxNets = 256

// read judges a pushed seed.
func (s *SeedShelf) read(raw []byte) (*HeldSeed, error) {
	var p PushedSeed
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "A pushed seed cannot be read.")
	}
	id, err := uuid.Parse(p.Node)
	switch {
	case err != nil || id.String() != p.Node:
		return nil, fault.New(fault.Invalid, "A pushed seed needs the UUID of its node.")
	case p.Version == "" || len(p.Version) > 128 || p.Made.IsZero() || len(p.Instance) > 255 || len(p.Project) > 255:
		return nil, fault.New(fault.Invalid, "A pushed seed needs a version and a time; names in it may have 255 characters.")
	case len(p.Addresses) > maxNets || len(p.MACs) > maxNets:
		return nil, fault.New(fault.Invalid, "An instance may have %d addresses and as many NICs here.", maxNets)
	case int64(len(p.Seed)) > s.o.MaxSeed:
		return nil, fault.New(fault.TooLarge, "What instance %s reads has %d bytes; a boot host takes %d at most.", p.Instance, len(p.Seed), s.o.MaxSeed)
	}
	h := &HeldSeed{Node: p.Node, Version: p.Version, Instance: p.Instance, Project: p.Project, Made: p.Made, Seed: secret.New(string(p.Seed)), macs: p.MACs}
	for _, a := range p.Addresses {
		if a = a.Unmap(); !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return nil, fault.New(fault.Invalid, "%s is not the address of an instance.", a)
		}
		h.addresses = append(h.addresses, a)
	}
	return h, nil
}

// Has tells whether the instance has a NIC with this MAC, which is in lower case.
func (h *HeldSeed) Has(mac string) bool { return slices.Contains(h.macs, mac) }

func (h *HeldSeed) size() int64 { return int64(len(h.Seed.Expose())) + 512 }

// Put keeps a seed in place of its node's last. fault.Conflict: there is a newer one, or a newer one was taken away.
func (s *SeedShelf) Put(raw []byte) error {
	h, err := s.read(raw)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.seeds[h.Node]
	if h.Made.Before(s.made[h.Node]) {
		return fault.New(fault.Conflict, "What instance %s reads was replaced, or taken away, since this was made.", h.Instance)
	}
	used := s.used + h.size()
	if is != nil {
		used -= is.size()
	}
	if used > s.o.Space || is == nil && len(s.seeds) >= s.o.MaxSeeds {
		return fault.New(fault.TooLarge, "There is no room for what instance %s reads: with it there would be %d bytes, and %d bytes of %d instances may be here ([boot_host] metadata_space).",
			h.Instance, used, s.o.Space, s.o.MaxSeeds)
	}
	s.forget(h.Node)
	s.remember(h)
	return nil
}

func (s *SeedShelf) remember(h *HeldSeed) {
	s.seeds[h.Node], s.made[h.Node] = h, h.Made
	s.used += h.size()
	for _, a := range h.addresses {
		s.addresses[a] = append(s.addresses[a], h.Node)
	}
	for _, mac := range h.macs {
		s.macs[mac] = append(s.macs[mac], h.Node)
	}
}

func (s *SeedShelf) forget(node string) {
	h := s.seeds[node]
	if h == nil {
		return
	}
	delete(s.seeds, node)
	s.used -= h.size()
	for _, a := range h.addresses {
		without(s.addresses, a, node)
	}
	for _, mac := range h.macs {
		without(s.macs, mac, node)
	}
}

func without[K comparable](m map[K][]string, key K, node string) {
	if m[key] = slices.DeleteFunc(m[key], func(n string) bool { return n == node }); len(m[key]) == 0 {
		delete(m, key)
	}
}

// Remove takes away what was made for a node until then, and refuses what was made before that. None is no error.
func (s *SeedShelf) Remove(node string, made time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.seeds[node]; h != nil && !h.Made.After(made) {
		s.forget(node)
	}
	if len(s.made) >= 4*s.o.MaxSeeds { // of those that are gone: pushes that were that long on their way are over
		for n := range s.made {
			if s.seeds[n] == nil {
				delete(s.made, n)
			}
		}
	}
	if made.After(s.made[node]) {
		s.made[node] = made
	}
}

// List gives what is there, by node.
func (s *SeedShelf) List() []HeldSeed {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]HeldSeed, 0, len(s.seeds))
	for _, h := range s.seeds {
		out = append(out, *h)
	}
	slices.SortFunc(out, func(a, b HeldSeed) int { return strings.Compare(a.Node, b.Node) })
	return out
}

// Told notes that a conductor compared what is there with all that should be.
func (s *SeedShelf) Told() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heard.IsZero() {
		close(s.full)
	}
	s.heard = s.now()
}

// Ready waits until a conductor has said that all is there. fault.Unavailable: none did, or not for long: what is here may be
// of instances that are gone.
func (s *SeedShelf) Ready(ctx context.Context) error {
	patience := time.NewTimer(s.o.Patience)
	defer patience.Stop()
	select {
	case <-s.full:
	case <-patience.C:
		return fault.New(fault.Unavailable, "This server was started a moment ago, and nobody has told it yet what instances read. Ask again.")
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(), "This server was started a moment ago.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now().Sub(s.heard) > s.o.MaxAge {
		return fault.New(fault.Unavailable, "This server has heard of no conductor since %s: what it knows of instances may be over.", s.heard.UTC().Format(time.RFC3339))
	}
	return nil
}

// ByAddress are the seeds of instances that have an address; of one that nobody else has, one.
func (s *SeedShelf) ByAddress(a netip.Addr) []*HeldSeed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of(s.addresses[a.Unmap()])
}

// ByMAC are the seeds of instances that have a NIC with this MAC, which is in lower case.
func (s *SeedShelf) ByMAC(mac string) []*HeldSeed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of(s.macs[mac])
}

func (s *SeedShelf) of(nodes []string) []*HeldSeed {
	out := make([]*HeldSeed, len(nodes))
	for i, n := range nodes {
		out[i] = s.seeds[n]
	}
	return out
}

// ByNode is the seed of a node's instance; nil: there is none.
func (s *SeedShelf) ByNode(node string) *HeldSeed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seeds[node]
}
