package courier

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

const planted = "hunter2-planted"

func one(name, value string) map[string]secret.Secret {
	return map[string]secret.Secret{name: secret.New(value)}
}

func keep(t *testing.T, c *Courier, op string, values map[string]secret.Secret) string {
	t.Helper()
	h, err := c.Keep(op, values)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFetchNeedsHandleOperationAndName(t *testing.T) {
	c := New(Defaults())
	h := keep(t, c, "op-1", map[string]secret.Secret{"a": secret.New("1"), "b": secret.New("2")})
	other := keep(t, c, "op-2", one("a", "other"))
	got, err := c.Fetch(h, "op-1", []string{"b"})
	if err != nil || len(got) != 1 || got["b"].Expose() != "2" {
		t.Fatalf("got %d values, %v", len(got), err)
	}
	if h == other || len(h) < 40 {
		t.Errorf("handles %q and %q", h, other)
	}
	for _, w := range []struct {
		handle, op string
		names      []string
	}{{"", "op-1", nil}, {h, "op-2", []string{"a"}}, {other, "op-1", []string{"a"}}, {h[:len(h)-1], "op-1", []string{"a"}}, {h, "op-1", []string{"a", "c"}}, {h, "", nil}} {
		if v, err := c.Fetch(w.handle, w.op, w.names); fault.KindOf(err) != fault.NotFound || v != nil {
			t.Errorf("%+v: %d values, %v", w, len(v), err)
		}
	}
}

func TestReleaseWipes(t *testing.T) {
	c := New(Defaults())
	h := keep(t, c, "op-1", one("a", planted))
	keep(t, c, "op-2", one("a", planted))
	kept := c.kept[sum(h)].values // pages that are gone when they are wiped: see secret.Locked
	kept.Use(func(b []byte) {
		if string(b) != planted {
			t.Fatal("it is not where it is kept")
		}
	})
	given, err := c.Fetch(h, "op-1", []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	c.Release("op-1")
	c.Release("op-1")
	kept.Use(func(b []byte) {
		if len(b) != 0 {
			t.Error("the memory still holds the value")
		}
	})
	if given["a"].Expose() != planted {
		t.Error("what was given away was wiped too")
	}
	if _, err := c.Fetch(h, "op-1", []string{"a"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after release: %v", err)
	}
	if ops := c.Operations(); !slices.Equal(ops, []string{"op-2"}) || c.bytes != len(planted) {
		t.Errorf("left: %v, %d bytes", ops, c.bytes)
	}
	c.Close()
	if len(c.kept) != 0 || c.bytes != 0 {
		t.Errorf("closed with %d bundles, %d bytes", len(c.kept), c.bytes)
	}
}

func TestLifeIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Life: time.Hour, Operations: 10, Bytes: 1000})
		h := keep(t, c, "op-1", one("a", planted))
		time.Sleep(time.Hour - time.Second)
		if _, err := c.Fetch(h, "op-1", []string{"a"}); err != nil {
			t.Errorf("too early: %v", err)
		}
		c.mu.Lock()
		kept := c.kept[sum(h)].values
		c.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := c.Fetch(h, "op-1", []string{"a"}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("after its life: %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		kept.Use(func(b []byte) {
			if len(c.kept) != 0 || len(b) != 0 {
				t.Error("it was not wiped")
			}
		})
	})
}

func TestBounds(t *testing.T) {
	c := New(Config{Life: time.Hour, Operations: 2, Bytes: 100})
	many := map[string]secret.Secret{}
	for i := range MaxNames + 1 {
		many[fmt.Sprint(i)] = secret.New("x")
	}
	for name, w := range map[string]struct {
		values map[string]secret.Secret
		kind   fault.Kind
	}{
		"names":     {many, fault.TooLarge},
		"value":     {one("a", strings.Repeat("x", MaxValue+1)), fault.TooLarge},
		"no name":   {one("", "x"), fault.Invalid},
		"long name": {one(strings.Repeat("n", 256), "x"), fault.Invalid},
		"in all":    {one("a", strings.Repeat("x", 101)), fault.Unavailable},
	} {
		if _, err := c.Keep("op", w.values); fault.KindOf(err) != w.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	keep(t, c, "op-1", one("a", "x"))
	keep(t, c, "op-2", one("a", "x"))
	if _, err := c.Keep("op-3", one("a", "x")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a third operation: %v", err)
	}
	c.Release("op-1")
	keep(t, c, "op-3", one("a", "x"))
}

func TestNothingPrints(t *testing.T) {
	var log bytes.Buffer
	c := New(Defaults())
	h := keep(t, c, "op-1", one("name", planted))
	for _, v := range []any{c, c.kept, c.kept[sum(h)], *c.kept[sum(h)]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, planted) || strings.Contains(out, fmt.Sprintf("%x", planted)) {
				t.Errorf("%s of %T leaks: %s", verb, v, out)
			}
		}
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
	}
	if strings.Contains(log.String(), planted) {
		t.Errorf("the log leaks: %s", &log)
	}
	if _, err := c.Fetch("x", "op-1", []string{"name"}); strings.Contains(err.Error(), planted) {
		t.Errorf("the error leaks: %v", err)
	}
}
