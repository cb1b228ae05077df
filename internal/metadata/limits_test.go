package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/fault"
	"ingot/internal/seed"
	"ingot/internal/store/storetest"
)

// TestRequestsAreLimited: an instance that asks too often is told when to ask again, and others do not notice.
func TestRequestsAreLimited(t *testing.T) {
	c := Defaults()
	c.RateLimit, c.RateLimitBurst = 1, 5
	onSQLite(t, c, func(w *world) {
		one, two := w.node(), w.node()
		w.deploy(one, "one", "p1", "127.0.0.11")
		w.deploy(two, "two", "p1", "127.0.0.12")
		refused := 0
		for range 20 {
			if got := w.ask("127.0.0.11", "GET", "/openstack", ""); got.status == 429 {
				refused++
				if got.head.Get("Retry-After") == "" {
					t.Errorf("it is not told when to ask again: %v", got.head)
				}
			}
		}
		if refused == 0 {
			t.Error("twenty requests at once are all answered, where five may be")
		}
		w.get("127.0.0.12", "/openstack", 200)
		w.get("127.0.0.11", "/", 200)
	})
}

func TestLimiter(t *testing.T) {
	l, now := newLimiter(0, 1), time.Now()
	var leave []func()
	for range maxOfOne {
		out, _, _ := l.enter("one", now)
		if out == nil {
			t.Fatal("one is refused too early")
		}
		leave = append(leave, out)
	}
	if out, wait, full := l.enter("one", now); out != nil || wait <= 0 || full {
		t.Error("one has more requests in work than it may")
	}
	for i := range maxRequests - maxOfOne {
		out, _, _ := l.enter("many"+string(rune('a'+i%100)), now)
		if out == nil {
			t.Fatalf("request %d of many is refused", i)
		}
		leave = append(leave, out)
	}
	if out, _, full := l.enter("another", now); out != nil || !full {
		t.Error("there are more requests in work than may be")
	}
	for _, out := range leave {
		out()
	}
	if out, _, _ := l.enter("one", now); out == nil || l.all != 1 {
		t.Errorf("after all have left, %d are in work", l.all)
	}
	l = newLimiter(1, 1)
	for i := range askersKept * 2 {
		if out, _, _ := l.enter(string(rune(i)), now); out != nil {
			out()
		}
	}
	if known := len(l.now) + len(l.old); known > askersKept {
		t.Errorf("%d askers are remembered", known)
	}
}

// TestCache: what is kept is of one generation, not too old, and not too much.
func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		c := newCache(15*time.Second, 1000)
		get := func(node, generation string) *Instance {
			t.Helper()
			m := Mark{Node: node, Generation: generation}
			i, err := c.get(t.Context(), m, func(context.Context) (*Instance, error) {
				reads++
				return &Instance{Mark: m, Seed: &seed.Seed{}, Size: 400}, nil
			})
			if err != nil || i.Generation != generation {
				t.Fatalf("%v, %v", i, err)
			}
			return i
		}
		step := func(what string, want int) {
			t.Helper()
			if reads != want {
				t.Errorf("%s: %d reads, want %d", what, reads, want)
			}
		}
		get("a", "1")
		get("a", "1")
		step("the same twice", 1)
		get("a", "2")
		get("a", "2")
		step("another generation", 2)
		get("b", "1")
		get("c", "1") // there is room for two
		get("a", "2")
		step("the oldest made room", 5)
		if n, size := c.held(); n != 2 || size != 800 {
			t.Errorf("%d are held, %d bytes", n, size)
		}
		time.Sleep(15 * time.Second)
		get("a", "2")
		step("too old", 6)
		time.Sleep(15 * time.Second)
		c.sweep()
		if n, size := c.held(); n != 0 || size != 0 {
			t.Errorf("%d are held, %d bytes, though nobody asks", n, size)
		}
		c.life = 0
		get("a", "2")
		get("a", "2")
		step("nothing is kept", 8)
		if _, err := c.get(t.Context(), Mark{Node: "x"}, func(context.Context) (*Instance, error) { return nil, errors.New("it failed") }); err == nil {
			t.Error("a read that failed gives something")
		}
	})
}

// TestOneReadForMany: requests for the same wait for one read, and a client that goes away does not end it for the others.
func TestOneReadForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(time.Minute, 1000)
		reads := 0
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 3)
		for i := range 3 {
			of := t.Context()
			if i == 0 {
				of = ctx
			}
			go func() {
				_, err := c.get(of, Mark{Node: "a"}, func(ctx context.Context) (*Instance, error) {
					reads++
					time.Sleep(time.Second)
					return &Instance{Mark: Mark{Node: "a"}}, ctx.Err()
				})
				done <- err
			}()
			synctest.Wait()
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("who went away is told %v", err)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if reads != 1 {
			t.Errorf("%d reads", reads)
		}
	})
}

// TestFewAreReadAtOnce: however many ask, what is being read is bounded, and who waits gets it.
func TestFewAreReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(time.Minute, 1000)
		var now, most atomic.Int32
		var all sync.WaitGroup
		for i := range 5 * maxReads {
			all.Go(func() {
				_, err := c.get(t.Context(), Mark{Node: strconv.Itoa(i)}, func(context.Context) (*Instance, error) {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return &Instance{}, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != maxReads {
			t.Errorf("%d were read at once, want %d", most.Load(), maxReads)
		}
		stuck := make(chan struct{})
		for i := range maxReads {
			all.Go(func() {
				_, _ = c.get(t.Context(), Mark{Node: "stuck" + strconv.Itoa(i)}, func(context.Context) (*Instance, error) { <-stuck; return nil, ErrChanged })
			})
		}
		synctest.Wait()
		if _, err := c.get(t.Context(), Mark{Node: "late"}, func(context.Context) (*Instance, error) { return &Instance{}, nil }); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("who waited too long is told %v", err)
		}
		close(stuck)
		all.Wait()
	})
}

// TestAnInstanceThatChangesWhileItIsRead: it is looked for again, and in the end the client is.
func TestAnInstanceThatChangesWhileItIsRead(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), nil, nil)
	n := w.node()
	w.deploy(n, "one", "p1", "127.0.0.11")
	stored := w.service.o.Instances
	r := &restless{Instances: stored, times: tries - 1}
	w.service.o.Instances = r
	w.get("127.0.0.11", "/openstack", 200)
	w.deploy(n, "two", "p1", "127.0.0.11")
	r.times = 100
	w.get("127.0.0.11", "/openstack", 503)
}

// restless are instances that change as often as it says.
type restless struct {
	Instances
	times int
}

func (r *restless) Open(ctx context.Context, m Mark) (*Instance, error) {
	if r.times--; r.times >= 0 {
		return nil, ErrChanged
	}
	return r.Instances.Open(ctx, m)
}

// TestInstancesWithoutADatabase: where nobody refreshes vendor data or keeps passwords, the seed is served as it is.
func TestInstancesWithoutADatabase(t *testing.T) {
	s, err := seed.Render(seed.Input{UUID: "u", Name: "n", VendorData: map[string]any{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), nil, nil)
	w.service.o.Instances = pushed{s}
	for path, want := range map[string]string{"/openstack/latest/vendor_data.json": `{"a":"b"}`, vendor2: `{"static":{"a":"b"}}`, "/latest/meta-data/hostname": "n"} {
		if got := w.get("127.0.0.1", path, 200); got.body != want {
			t.Errorf("%s is %s", path, got.body)
		}
	}
	if got := w.ask("127.0.0.1", "POST", "/openstack/latest/password", "x"); got.status != 501 {
		t.Errorf("a password is answered with %d %s", got.status, got.body)
	}
}

// TestATargetThatHangsLeavesRoom: requests that wait for vendordata do not take all places.
func TestATargetThatHangsLeavesRoom(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), nil, nil)
	w.deploy(w.node(), "one", "p1", "127.0.0.11")
	w.get("127.0.0.11", vendor2, 200)
	for range maxWaiting {
		w.service.waiting <- struct{}{}
	}
	if got := w.get("127.0.0.11", vendor2, 503); got.head.Get("Retry-After") == "" {
		t.Errorf("it is not told when to ask again: %v", got.head)
	}
	w.get("127.0.0.11", "/openstack/latest/meta_data.json", 200)
	for range maxWaiting {
		<-w.service.waiting
	}
	w.get("127.0.0.11", vendor2, 200)
	if len(w.service.waiting) != 0 {
		t.Error("a place is not given back")
	}
}

type pushed struct{ s *seed.Seed }

func (p pushed) At(context.Context, netip.Addr) ([]Mark, error) { return []Mark{{Node: "n"}}, nil }
func (p pushed) ByID(context.Context, string) ([]Mark, error)   { return nil, nil }
func (p pushed) ByNode(context.Context, string) ([]Mark, error) { return nil, nil }
func (p pushed) Open(_ context.Context, m Mark) (*Instance, error) {
	return &Instance{Mark: m, Seed: p.s}, nil
}
func (p pushed) Static(*Instance) json.RawMessage                    { return nil }
func (p pushed) Password(context.Context, *Instance) ([]byte, error) { return nil, nil }
func (p pushed) VendorData2(context.Context, *Instance) (json.RawMessage, error) {
	return nil, nil
}
func (p pushed) SetPassword(context.Context, *Instance, []byte) error {
	return fault.New(fault.NotSupported, "Passwords are not kept here.")
}
