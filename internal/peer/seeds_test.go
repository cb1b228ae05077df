package peer

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
)

// sown are seeds in memory.
type sown struct {
	mu   sync.Mutex
	all  []string
	told int
}

func (s *sown) Put(_ context.Context, seeds []json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range seeds {
		s.all = append(s.all, string(one))
	}
	return nil
}

func (s *sown) List(context.Context) ([]SeedMark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SeedMark
	for _, one := range s.all {
		out = append(out, SeedMark{Node: "n", Version: one, Made: time.Unix(1, 0).UTC()})
	}
	return out, nil
}

func (s *sown) Remove(_ context.Context, node string, made time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if node == "n" && made.Equal(time.Unix(1, 0)) {
		s.all = nil
	}
	return nil
}

func (s *sown) Told(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told++
	return nil
}

// TestConductorsPushSeeds: a conductor pushes, lists and takes away what instances read; nobody else does any of it.
func TestConductorsPushSeeds(t *testing.T) {
	cl := newCluster(t)
	kept := &sown{}
	host := cl.joined("boot1", Boot)
	host.o.Seeds = kept
	at := Server{"boot1", cl.serve(host)}
	two := cl.joined("two", Conductor)
	if h, err := two.Hello(t.Context(), at); err != nil || !h.Metadata {
		t.Errorf("it does not say that it serves metadata: %+v, %v", h, err)
	}
	large := json.RawMessage(`"` + strings.Repeat("x", maxJSON) + `"`) // more than other requests may have
	if err := two.PutSeeds(t.Context(), at, []json.RawMessage{json.RawMessage(`1`), large}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(kept.all, []string{"1", string(large)}) {
		t.Errorf("it has %.40q", kept.all)
	}
	kept.all = kept.all[:1]
	if got, err := two.Seeds(t.Context(), at); err != nil || !slices.Equal(got, []SeedMark{{"n", "1", time.Unix(1, 0).UTC()}}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := two.ToldSeeds(t.Context(), at); err != nil || kept.told != 1 {
		t.Errorf("told %d times, %v", kept.told, err)
	}
	if err := two.RemoveSeed(t.Context(), at, "n", time.Unix(1, 0)); err != nil || len(kept.all) > 0 {
		t.Errorf("%v, %v", kept.all, err)
	}
	if err := two.PutSeeds(t.Context(), at, []json.RawMessage{json.RawMessage(`"` + strings.Repeat("x", maxSeeds) + `"`)}); fault.KindOf(err) != fault.TooLarge && fault.KindOf(err) != fault.Unavailable {
		t.Errorf("too much: %v", err) // the connection may be closed before the answer was read
	}
	for name, other := range map[string]*Peer{"api": cl.joined("three", API, AgentAPI), "boot host": cl.joined("boot2", Boot)} {
		_, listed := other.Seeds(t.Context(), at)
		for what, err := range map[string]error{"pushes": other.PutSeeds(t.Context(), at, nil), "lists": listed, "tells": other.ToldSeeds(t.Context(), at),
			"takes away": other.RemoveSeed(t.Context(), at, "n", time.Now())} {
			if fault.KindOf(err) != fault.Forbidden {
				t.Errorf("a server with the role %s %s: %v", name, what, err)
			}
		}
	}
	if len(kept.all) > 0 || kept.told != 1 {
		t.Errorf("others changed it: %v, %d", kept.all, kept.told)
	}
}
