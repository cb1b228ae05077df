package vendordata

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
	lab "ingot/lab/vendordata"
)

// TestRequirement02MaxAge: an answer is used for as long as it says, from the sealed ones and then from memory, and no longer
// than the operator allows.
func TestRequirement02MaxAge(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60"}}, nil)
	start := g.fetch()
	for range 3 {
		if n, from := g.fresh("i", start); n != 1 || from != Held {
			t.Errorf("number %d, %s: the sealed answer was not used", n, from)
		}
	}
	g.asked(1)
	start = older(start, 61*time.Second)
	if n, from := g.fresh("i", start); n != 2 || from != Asked {
		t.Errorf("after its time: number %d, %s", n, from)
	}
	if n, from := g.fresh("i", start); n != 2 || from != Held {
		t.Errorf("then: number %d, %s: the answer in memory was not used", n, from)
	}
	g.age("i", 61*time.Second)
	if n, _ := g.fresh("i", start); n != 3 {
		t.Errorf("the answer in memory was used after its time: number %d", n)
	}
	g.asked(3)

	g = newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=86400"}}, func(c *Config, _ *Options) { c.VendordataDynamicMaxAge = time.Minute })
	if n, _ := g.fresh("i", older(g.fetch(), 61*time.Second)); n != 2 {
		t.Errorf("an answer is used for longer than vendordata_dynamic_max_age: number %d", n)
	}
}

// TestRequirement02AskedEachTime: what must not be kept is not, and failures are not.
func TestRequirement02AskedEachTime(t *testing.T) {
	for _, says := range []string{"no-store", "no-cache", "max-age=0", "no-store, max-age=60", `no-cache="set-cookie", max-age=60`, "s-maxage=0, max-age=60", "max-age=x"} {
		g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: says}}, nil)
		start := g.fetch()
		for i := range 3 {
			if n, from := g.fresh("i", start); n != i+2 || from != Asked {
				t.Errorf("%s: number %d, %s", says, n, from)
			}
		}
		g.asked(4)
	}
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60"}}, nil)
	g.faults(lab.Fault{Name: lab.Status500, Times: 2})
	start := g.fetch()
	if n, _ := g.fresh("i", start); n != 0 {
		t.Errorf("number %d of a failed target", n)
	}
	if n, from := g.fresh("i", start); n != 1 || from != Asked {
		t.Errorf("a target that answers again: number %d, %s", n, from)
	}
	g.asked(3)
}

// An answer that says nothing of its time is used for the operator's default, by whatever status and whoever asks.
func TestAnswersThatSayNothing(t *testing.T) {
	for _, c := range []struct {
		unstated, age time.Duration
		from          string
	}{{time.Hour, 59 * time.Minute, Held}, {time.Hour, 61 * time.Minute, Asked}, {0, 0, Asked}} {
		g := newRig(t, lab.Config{}, func(conf *Config, _ *Options) { conf.VendordataDynamicDefaultMaxAge = c.unstated })
		if _, from := g.fresh("i", older(g.fetch(), c.age)); from != c.from {
			t.Errorf("%+v: %s", c, from)
		}
	}
}

// TestRequirement02Validators: an answer with an ETag is asked about, not for.
func TestRequirement02Validators(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "no-cache", ETag: true}}, nil)
	start := g.fetch()
	for range 2 {
		if n, from := g.fresh("i", start); n != 1 || from != Unchanged {
			t.Errorf("number %d, %s: 304 did not keep the answer", n, from)
		}
	}
	if got := g.lab.Requests()[1].Header.Get("If-None-Match"); got != `"r0"` {
		t.Errorf("If-None-Match is %q", got)
	}
	g.lab.SetCaching(lab.Caching{CacheControl: "max-age=60", ETag: true})
	if n, from := g.fresh("i", start); n != 1 || from != Unchanged {
		t.Errorf("number %d, %s", n, from)
	}
	if n, from := g.fresh("i", start); n != 1 || from != Held { // 304 brought new times with it
		t.Errorf("after a 304 with max-age: number %d, %s", n, from)
	}
	g.age("i", time.Hour)
	g.lab.SetCaching(lab.Caching{CacheControl: "max-age=60", ETag: true, Revision: 1})
	if n, from := g.fresh("i", start); n != 2 || from != Asked {
		t.Errorf("another revision: number %d, %s", n, from)
	}
	g.asked(5)

	g = newRig(t, lab.Config{}, nil) // nothing was kept: a 304 is no answer
	g.faults(lab.Fault{Name: lab.Unasked304})
	if a := g.fetch(); len(a.Failed()) != 1 {
		t.Error("a 304 that nobody asked for is an answer")
	}
}

// TestRequirement02Collapse: what many want at once is asked once, also when the first of them goes away.
func TestRequirement02Collapse(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60"}}, nil)
	g.faults(lab.Fault{Name: lab.Held})
	first, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := g.Fresh(first, "i", example, Answers{})
		gone <- err
	}()
	if err := g.lab.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if a, err := g.Fresh(t.Context(), "i", example, Answers{}); err != nil || number(a) != 1 {
				t.Errorf("number %d, %v", number(a), err)
			}
		})
	}
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller got %v", err)
	}
	g.faults()
	all.Wait()
	g.asked(1)
}

// TestRequirement02NeverShared: an answer belongs to one instance, one deploy of it and one request.
func TestRequirement02NeverShared(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60, public"}}, nil)
	if n, _ := g.fresh("a", Answers{}); n != 1 {
		t.Errorf("number %d", n)
	}
	if n, _ := g.fresh("b", Answers{}); n != 2 {
		t.Errorf("another instance got number %d", n)
	}
	if n, _ := g.fresh("a", g.fetch()); n != 3 {
		t.Errorf("after a rebuild: number %d, want the sealed one", n)
	}
	if n, _ := g.fresh("a", Answers{}); n != 4 {
		t.Errorf("the former deploy's answer came back: number %d", n)
	}
	other := example
	other.UserData = secret.New("other")
	if a, err := g.Fresh(t.Context(), "a", other, Answers{}); err != nil || number(a) != 5 {
		t.Errorf("another request got number %d: %v", number(a), err)
	}
	if a, err := g.Fresh(t.Context(), "a", other, older(g.fetch(), 0)); err != nil || number(a) != 7 {
		t.Errorf("the sealed answer to another request was used: number %d, %v", number(a), err)
	}
	g.Forget("b")
	if n, _ := g.fresh("b", Answers{}); n != 8 {
		t.Errorf("after Forget: number %d", n)
	}
}

// TestRequirement02ForgottenOnTheWay: an answer that comes after Forget is not kept.
func TestRequirement02ForgottenOnTheWay(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60"}}, nil)
	g.faults(lab.Fault{Name: lab.Held})
	done := make(chan error)
	go func() {
		_, err := g.Fresh(t.Context(), "i", example, Answers{})
		done <- err
	}()
	if err := g.lab.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	g.Forget("i")
	g.faults()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n, from := g.fresh("i", Answers{}); n != 2 || from != Asked {
		t.Errorf("number %d, %s: what was forgotten was kept", n, from)
	}
}

// A target that allows it is represented by its last answer while it fails; one that does not, is not.
func TestStaleIfError(t *testing.T) {
	for _, c := range []struct {
		says string
		age  time.Duration
		used bool
	}{
		{"max-age=60, stale-if-error=600", 61 * time.Second, true},
		{"max-age=60, stale-if-error=600", 661 * time.Second, false},
		{"max-age=60, stale-if-error=600, must-revalidate", 61 * time.Second, false},
		{"no-cache, stale-if-error=600", 0, false},
		{"max-age=60", 61 * time.Second, false},
	} {
		g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: c.says}}, func(c *Config, _ *Options) { c.VendordataDynamicFailureFatal = true })
		start := older(g.fetch(), c.age)
		g.faults(lab.Fault{Name: lab.Status500})
		a, err := g.Fresh(t.Context(), "i", example, start)
		if c.used != (err == nil) || c.used && (number(a) != 1 || g.Report(a)[0].From != Stale || g.Report(a)[0].Failed != Refused) {
			t.Errorf("%+v: %v, %+v", c, err, g.Report(a))
		}
		if !c.used && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%+v: %v", c, err)
		}
		if !strings.Contains(g.logs.String(), "answered with status 500") {
			t.Errorf("%+v: the log does not say that the target fails: %s", c, g.logs)
		}
	}
}

// The memory is bounded: those asked for longest ago go first.
func TestRequirement02MemoryIsBounded(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60"}}, func(c *Config, _ *Options) { c.VendordataDynamicCacheSize = 1 })
	g.lab.SetAnswer("/x", []byte(`"`+strings.Repeat("x", 200<<10)+`"`))
	for i := range 12 {
		g.fresh(fmt.Sprint(i), Answers{})
		g.fresh("0", Answers{})
	}
	g.asked(12)
	if g.held.bytes > 1<<20 || len(g.held.of) != 5 || g.held.order.Len() != 5 {
		t.Errorf("%d bytes of %d instances", g.held.bytes, len(g.held.of))
	}
	for _, instance := range []string{"0", "8", "9", "10", "11"} {
		if g.held.of[instance] == nil {
			t.Errorf("instance %s is gone, and others were asked for longer ago", instance)
		}
	}
	g.lab.SetAnswer("/x", []byte(`"`+strings.Repeat("x", 1000<<10)+`"`))
	g.fresh("large", Answers{})
	if g.held.bytes > 1<<20 {
		t.Errorf("%d bytes", g.held.bytes)
	}
}

// What nobody asks for any more does not stay in memory, and those who know that an instance has ended learn of whom there is something.
func TestRequirement02SweptAway(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60"}}, nil)
	for _, instance := range []string{"a", "b", "c"} {
		g.fresh(instance, Answers{})
	}
	g.Forget("b")
	if got := g.Sweep(); len(got) != 2 {
		t.Errorf("there is something of %v", got)
	}
	if got := g.held.sweep(time.Now().Add(idle)); len(got) != 2 {
		t.Errorf("before its time: %v", got)
	}
	if got := g.held.sweep(time.Now().Add(idle + 61*time.Second)); len(got) != 0 || g.held.bytes != 0 || g.held.order.Len() != 0 {
		t.Errorf("after its time: %v, %d bytes", got, g.held.bytes)
	}
}

// A restart, or another server, begins with the sealed answers, and asks nobody.
func TestRequirement02ARestartBeginsWithTheSealedAnswers(t *testing.T) {
	g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60"}}, nil)
	sealed := g.fetch().Encode()
	for range 2 {
		s, err := New(g.config, Options{}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		start, err := DecodeAnswers(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := s.Fresh(t.Context(), "i", example, start); err != nil || number(a) != 1 {
			t.Errorf("number %d, %v", number(a), err)
		}
	}
	g.asked(1)
}

// Close ends what is on its way, and nobody flies afterwards.
func TestCloseEndsFlights(t *testing.T) {
	g := newRig(t, lab.Config{}, nil)
	g.faults(lab.Fault{Name: lab.NoAnswer})
	done := make(chan error)
	go func() {
		_, err := g.Fresh(t.Context(), "i", example, Answers{})
		done <- err
	}()
	if err := g.lab.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if err := <-done; fault.KindOf(err) != fault.Unavailable || strings.Contains(g.logs.String(), "failed") {
		t.Errorf("it ended with %v, %s", err, g.logs)
	}
	if _, err := g.Fresh(t.Context(), "i", example, Answers{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a closed service asks: %v", err)
	}
	g.asked(1)
}

// TestFreshness is RFC 9111 with our words for it (docs/decisions/0059-vendordata.md).
func TestFreshness(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(after time.Duration) string { return now.Add(after).Format(http.TimeFormat) }
	rules := ages{longest: time.Hour, unstated: 10 * time.Minute}
	for _, c := range []struct {
		head  map[string]string
		again bool
		fresh time.Duration
		stale time.Duration // beyond fresh
	}{
		{map[string]string{}, true, 10 * time.Minute, 0},
		{map[string]string{"Cache-Control": "private"}, true, 10 * time.Minute, 0},
		{map[string]string{"Last-Modified": at(-1000 * time.Hour)}, true, 10 * time.Minute, 0}, // no tenth of its age: not for a POST
		{map[string]string{"Cache-Control": "max-age=60"}, true, time.Minute, 0},
		{map[string]string{"Cache-Control": "MAX-AGE=60"}, true, time.Minute, 0},
		{map[string]string{"Cache-Control": "private, max-age=60"}, true, time.Minute, 0},
		{map[string]string{"Cache-Control": "max-age=60, s-maxage=90"}, true, 90 * time.Second, 0},
		{map[string]string{"Cache-Control": "private, s-maxage=90"}, true, 90 * time.Second, 0},
		{map[string]string{"Cache-Control": "max-age=60", "Age": "20"}, true, 40 * time.Second, 0},
		{map[string]string{"Cache-Control": "max-age=60", "Age": "61"}, true, 0, 0},
		{map[string]string{"Cache-Control": "max-age=60", "Age": "-1"}, true, time.Minute, 0},
		{map[string]string{"Cache-Control": "max-age=7200"}, true, time.Hour, 0},
		{map[string]string{"Cache-Control": "max-age=99999999999999999999"}, true, time.Hour, 0},
		{map[string]string{"Cache-Control": "max-age=60", "Expires": "0"}, true, time.Minute, 0},
		{map[string]string{"Cache-Control": "max-age=60", "Date": "yesterday"}, true, time.Minute, 0},
		{map[string]string{"Expires": at(5 * time.Minute)}, true, 5 * time.Minute, 0},
		{map[string]string{"Expires": at(5 * time.Minute), "Date": at(3 * time.Minute)}, true, 2 * time.Minute, 0},
		{map[string]string{"Expires": at(-time.Minute)}, true, 0, 0},
		{map[string]string{"Expires": "0", "Last-Modified": at(-1000 * time.Hour)}, true, 0, 0},
		{map[string]string{"Cache-Control": "no-store"}, false, 0, 0},
		{map[string]string{"Cache-Control": "no-cache, max-age=60"}, true, 0, 0},
		{map[string]string{"Pragma": "no-cache"}, true, 0, 0},
		{map[string]string{"Cache-Control": "max-age=60", "Vary": "Accept, X-Auth-Token"}, true, time.Minute, 0},
		{map[string]string{"Cache-Control": "max-age=60", "Vary": "*"}, true, 0, 0},
		{map[string]string{"Cache-Control": "max-age=60, stale-if-error=30"}, true, time.Minute, 30 * time.Second},
		{map[string]string{"Cache-Control": "max-age=60, stale-if-error=30, proxy-revalidate"}, true, time.Minute, 0},
		{map[string]string{"Cache-Control": "max-age=60, stale-if-error=7200"}, true, time.Minute, time.Hour},
	} {
		head := http.Header{}
		for name, value := range c.head {
			head.Set(name, value)
		}
		for _, status := range []int{200, 201, 204} {
			got := rules.of(head, status, now)
			if got.again != c.again || c.again && !got.until.Equal(now.Add(c.fresh)) {
				t.Errorf("%v: again %v, for %v; want %v, %v", c.head, got.again, got.until.Sub(now), c.again, c.fresh)
			}
			if (c.stale == 0) != got.stale.IsZero() || c.stale > 0 && !got.stale.Equal(got.until.Add(c.stale)) {
				t.Errorf("%v: stale until %v", c.head, got.stale)
			}
		}
	}
}

func TestUnchanged(t *testing.T) {
	tag, since := http.Header{"If-None-Match": {`"a"`}}, http.Header{"If-Modified-Since": {"x"}}
	for _, c := range []struct {
		status int
		asked  http.Header
		want   bool
	}{{304, tag, true}, {304, since, true}, {304, nil, false}, {412, tag, true}, {412, since, false}, {412, nil, false}, {200, tag, false}} {
		if got := unchanged(c.status, c.asked); got != c.want {
			t.Errorf("%d after %v: %v", c.status, c.asked, got)
		}
	}
}
