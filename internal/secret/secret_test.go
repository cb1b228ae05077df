package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const planted = "hunter2-planted"

type holder struct {
	Exported   Secret
	unexported Secret
	Map        Map
	hidden     Map
	Slice      []Secret
	Pointer    *Secret
	ByKey      map[string]Secret
}

func newHolder() holder {
	s := New(planted)
	m := NewMap(map[string]any{"password": planted, "deep": map[string]any{"x": []any{planted}}})
	return holder{s, s, m, m, []Secret{s}, &s, map[string]Secret{"k": s}}
}

func TestTrapMaskingByNamesOfKeys(t *testing.T) {
	h := newHolder()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%T"} {
		for _, v := range []any{h, &h, h.Exported, h.Pointer, h.Slice, h.ByKey, h.Map, h.hidden} {
			out := fmt.Sprintf(verb, v)
			if strings.Contains(out, planted) || strings.Contains(out, fmt.Sprintf("%x", planted)) {
				t.Errorf("%s of %T leaks: %s", verb, v, out)
			}
		}
	}
}

func TestNeverLogged(t *testing.T) {
	var b bytes.Buffer
	h := newHolder()
	for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(handler).Info("m", "a", h, "b", &h, "c", h.Exported, "d", h.Map, "e", h.Slice, "f", h.ByKey)
	}
	if strings.Contains(b.String(), planted) {
		t.Errorf("a log line leaks: %s", b.String())
	}
}

func TestNeverMarshalled(t *testing.T) {
	h := newHolder()
	for _, v := range []any{h, h.Exported, h.Map, h.Slice, h.ByKey, map[string]any{"x": h.Exported}} {
		if out, err := json.Marshal(v); err == nil {
			t.Errorf("marshalling %T must fail, gave %s", v, out)
		}
	}
}

func TestMapIsCopiedAndMasked(t *testing.T) {
	src := map[string]any{"address": "a", "password": planted, "deep": map[string]any{"x": "y"}}
	m := NewMap(src)
	src["address"] = "changed"
	m.Expose()["deep"].(map[string]any)["x"] = "changed"
	if m.Public("address") != "a" || m.Expose()["deep"].(map[string]any)["x"] != "y" {
		t.Error("the map shares memory with its caller")
	}
	masked := m.Masked(func(k string) bool { return k == "address" })
	if masked["address"] != "a" || masked["password"] != Mask || masked["deep"] != Mask {
		t.Errorf("masked = %v", masked)
	}
	if m.Secret("password").Expose() != planted || !m.Secret("none").Empty() {
		t.Error("Secret lost the value")
	}
}

func TestEqual(t *testing.T) {
	if !New("a").Equal("a") || New("a").Equal("b") || (Secret{}).Equal("a") {
		t.Error("Equal is wrong")
	}
}

func TestLaterOpensOnceAndHides(t *testing.T) {
	opened := 0
	m := Later(func() map[string]any {
		opened++
		return map[string]any{"password": planted}
	})
	if out := fmt.Sprintf("%v %+v %#v", m, m, m); opened != 0 || strings.Contains(out, planted) {
		t.Errorf("printing opened it %d times: %s", opened, out)
	}
	m.Expose()["password"] = "changed"
	if m.Secret("password").Expose() != planted || m.Len() != 1 || opened != 1 {
		t.Errorf("password %q after a caller changed its copy, opened %d times", m.Public("password"), opened)
	}
}
