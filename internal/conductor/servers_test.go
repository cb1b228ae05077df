package conductor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/store"
	"ingot/internal/store/pgtest"
)

// servers are three conductors that work on one database at the same time, each with connections of its own. They
// race for every claim, and while one has the operation the others look for it all the same. One that dies is
// followed by a new one of another name. Time is the database's, which the test moves.
//
// They run on PostgreSQL only: several servers on one SQLite file is nothing that can be set up, and its time is
// the machine's.
type servers struct {
	*world
	clock  *pgtest.Clock
	places *deathPlaces
	all    []*Conductor
	made   int
	dead   *Conductor // killed, and not yet followed
	robbed int        // of a lease, by death
}

// serversLease is longer than any test: no lease ends unless the test says so.
const serversLease = 10 * time.Minute

func (j journey) beginOnThree(t *testing.T, p *deathPlaces) *servers {
	t.Helper()
	d := takeServers(t)
	w := &world{t: t, db: d.dbs[0], end: []func(){func() { d.giveBack(t) }}}
	s := &servers{world: j.start(w.make()), clock: d.clock, places: p}
	for _, db := range d.dbs[1:] {
		s.all = append(s.all, s.server(db))
	}
	return s
}

// server is a new one on the connections of a server.
func (s *servers) server(db *store.DB) *Conductor {
	s.t.Helper()
	s.made++
	c := s.conductor(fmt.Sprintf("c%d", s.made), nil)
	c.db, c.config.Lease = db, serversLease
	mortal := s.places.mortal()
	c.crash = func(where string) error { return s.pass(c, where, mortal) }
	s.alive(c)
	return c
}

func (s *servers) alive(c *Conductor) {
	s.t.Helper()
	if err := c.Register(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// pass is a place where a conductor may be killed: from then on nothing that it does counts, and nobody gives its
// lease back. Before a save it still has the lease, so the others must find nothing.
func (s *servers) pass(c *Conductor, where string, mortal func(string) error) error {
	if err := mortal(where); err != nil {
		s.dead = c
		return err
	}
	if strings.HasPrefix(where, "before ") && len(s.look(c)) > 0 {
		s.t.Errorf("%s, %s: another conductor claimed what %s holds", s.places.label(), where, c.config.Host)
	}
	return nil
}

// claimed is an operation with who claimed it.
type claimed struct {
	by   *Conductor
	row  *store.Operation
	from string // the step where it was taken over
}

// look lets all who live look for work at the same time, except one.
func (s *servers) look(except *Conductor) []claimed {
	var (
		mu  sync.Mutex
		out []claimed
		wg  sync.WaitGroup
	)
	for _, c := range s.all {
		if c == s.dead || c == except {
			continue
		}
		wg.Go(func() {
			row, err := c.claim(s.t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.t.Errorf("%s: %v", c.config.Host, err)
			}
			if row != nil {
				out = append(out, claimed{by: c, row: row})
			}
		})
	}
	wg.Wait()
	return out
}

// finish works until no operation lives. Who is killed is followed by another.
func (s *servers) finish() {
	s.t.Helper()
	for range 2000 {
		s.callBack()
		s.unhold()
		got := s.look(nil)
		if len(got) > 1 {
			s.t.Fatalf("%d conductors claimed one operation", len(got))
		}
		if len(got) == 0 && s.live() == nil {
			return
		}
		for len(got) == 1 { // once, or more if one dies after the other
			s.walk(got[0])
			got = s.follow()
		}
	}
	s.t.Fatal("the operation does not end")
}

func (s *servers) walk(got claimed) {
	if got.row.TakenOverFrom == "" && (&runner{c: got.by}).mayCrash("claimed") != nil {
		return
	}
	got.by.work(s.t.Context(), got.row, time.Now())
	if got.row.TakenOverFrom != "" {
		s.told(got)
	}
}

// follow sees that one of the others claims what a dead one held: as soon as its lease has ended and not a
// microsecond before, at the first look. How long it is until they look they say themselves.
func (s *servers) follow() (got []claimed) {
	s.t.Helper()
	if s.dead == nil {
		return nil
	}
	defer func() {
		i := slices.Index(s.all, s.dead)
		s.all[i], s.dead = s.server(s.dead.db), nil
	}()
	left := s.live()
	if left == nil || left.LeaseOwner == "" { // what it gave back with its last save is anybody's
		return nil
	}
	if left.LeaseOwner != s.dead.config.Host {
		s.t.Fatalf("%s: %s has the lease", s.places.label(), left.LeaseOwner)
	}
	s.robbed++
	const poll = time.Second
	for _, rest := range []time.Duration{2 * poll, poll / 4} {
		s.clock.Stop(left.LeaseUntil.Add(-rest))
		for _, c := range s.all {
			if wait, _ := c.untilDue(s.t.Context()); c != s.dead && wait != min(rest, poll) {
				s.t.Errorf("%s: %s before the lease's end %s looks again after %s", s.places.label(), rest, c.config.Host, wait)
			}
		}
	}
	s.clock.Stop(left.LeaseUntil.Add(-time.Microsecond))
	if early := s.look(nil); len(early) > 0 {
		s.t.Fatalf("%s: %s took over before the lease's end", s.places.label(), early[0].by.config.Host)
	}
	s.clock.Stop(left.LeaseUntil)
	if got = s.look(nil); len(got) != 1 {
		s.t.Fatalf("%s: %d conductors took over when the lease ended", s.places.label(), len(got))
	}
	row := got[0].row
	if at := row.LeaseUntil.Add(-serversLease); !at.Equal(left.LeaseUntil) || row.Generation != left.Generation+1 || row.TakenOverFrom != s.dead.config.Host {
		s.t.Errorf("%s: claimed %s after the lease's end as generation %d after %d, from %q", s.places.label(), at.Sub(left.LeaseUntil),
			row.Generation, left.Generation, row.TakenOverFrom)
	}
	got[0].from = left.StepName
	s.clock.Go()
	for _, c := range s.all { // a lease is longer than the time between signs of life
		if c != s.dead {
			s.alive(c)
		}
	}
	return got
}

// told sees that the history has one take-over for each death under a lease, the last with the dead one's name
// and the step.
func (s *servers) told(got claimed) {
	s.t.Helper()
	var last string
	count := 0
	err := s.db.Read(s.t.Context(), func(tx *store.Tx) error {
		n, err := tx.NodeByID(s.node.ID)
		if err != nil {
			return err
		}
		all, err := tx.Events(n, store.Page{Limit: 1000})
		for _, e := range all {
			if e.Kind == "takeover" {
				last = e.Who + " at " + e.Step + ": " + e.Why
				count++
			}
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	by, from := got.by.config.Host, got.row.TakenOverFrom
	want := fmt.Sprintf("%s at %s: Conductor %s took the operation over from conductor %s at step %q.", by, got.from, by, from, got.from)
	if count != s.robbed || last != want {
		s.t.Errorf("%s: %d take-overs told of %d, the last %q, want %q", s.places.label(), count, s.robbed, last, want)
	}
}

// TestThreeServers kills the conductor that has the operation at every save of every plan, before and after the
// commit, while two others run. One of them takes over within a lease and a look; the end and the effects on the
// machine are those of an undisturbed run. What a plan's variants differ in, TestPlans kills a conductor at.
func TestThreeServers(t *testing.T) {
	pgtest.Shared(t) // skips where there is none
	for _, j := range ofEachPlan(journeys) {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			var p deathPlaces
			p.each(t, func() map[string]int {
				s := j.beginOnThree(t, &p)
				defer s.close()
				s.finish()
				j.arrived(t, s.world, p.label())
				return s.effects()
			})
		})
	}
}

// shared is a database with the connections of four servers: the first is for the callers, who are no conductor.
type shared struct {
	dbs   []*store.DB
	clock *pgtest.Clock
	again func() error
}

// freeServers are those that no test has; they stay open until the process ends.
var freeServers struct {
	sync.Mutex
	list []*shared
}

func takeServers(t *testing.T) *shared {
	t.Helper()
	freeServers.Lock()
	defer freeServers.Unlock()
	if n := len(freeServers.list); n > 0 {
		d := freeServers.list[n-1]
		freeServers.list = freeServers.list[:n-1]
		d.clock.For(t)
		return d
	}
	url, clock, again := newPostgres.KeepClocked(t)
	d := &shared{clock: clock, again: again}
	var failed error
	for range 4 {
		db, err := openPostgres(url)
		failed = errors.Join(failed, err)
		d.dbs = append(d.dbs, db)
	}
	if failed != nil {
		t.Fatal(failed)
	}
	return d
}

func (d *shared) giveBack(t *testing.T) {
	if err := d.again(); err != nil {
		t.Errorf("put a database back: %v", err)
		return
	}
	freeServers.Lock()
	defer freeServers.Unlock()
	freeServers.list = append(freeServers.list, d)
}
