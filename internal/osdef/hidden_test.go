package osdef

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"ingot/internal/secret"
)

// whatPanics is what a panic with a value prints.
func whatPanics(v any) (text string) {
	defer func() { text = fmt.Sprintf("%v %+v", recover(), v) }()
	panic(fmt.Errorf("installing: %v", v))
}

// dumped is all that a dumper by reflection finds in a value.
func dumped(v reflect.Value, depth int) string {
	out := v.String() + " " // of what is no string: its type
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			out += dumped(v.Field(i), depth+1)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			out += dumped(k, depth+1) + dumped(v.MapIndex(k), depth+1)
		}
	case reflect.Slice:
		for i := range v.Len() {
			out += dumped(v.Index(i), depth+1)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && depth < 20 {
			out += dumped(v.Elem(), depth+1)
		}
	}
	return out
}

// In whatever way parameters are printed, private and secret ones are masks; public ones show that there was something to print.
func TestREQ08ValuesPrintAsMasks(t *testing.T) {
	c := Classes{Public: map[string]string{"mirror": "shown"}, Private: map[string]secret.Secret{"token": secret.New("canary-private")}, Secret: map[string]secret.Secret{"key": secret.New("canary-secret")}}
	record := &Record{Name: "debian", Defaults: map[string]Classes{"": c}}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("m", "classes", c, "record", record, "one", c.Secret["key"], "error", fmt.Errorf("of %v", c))
	}
	texts := map[string]string{"slog": log.String(), "a panic": whatPanics(c), "reflection": dumped(reflect.ValueOf(record), 0)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		texts[verb] = fmt.Sprintf(verb, c) + fmt.Sprintf(verb, record) + fmt.Sprintf(verb, &c)
	}
	for how, text := range texts {
		if strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
			t.Errorf("%s shows a value: %s", how, text)
		}
		if how != "%x" && !strings.Contains(text, "shown") {
			t.Errorf("%s does not show what may be seen: is anything printed? %s", how, text)
		}
	}
	if text, err := json.Marshal(c); err == nil {
		t.Errorf("as JSON: %s", text)
	}
	if text, err := json.Marshal(record); err == nil {
		t.Errorf("a record as JSON: %s", text)
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(c); err == nil {
		t.Errorf("as gob: %q", b.String())
	}
}

// What a mask or a marker of loss looks like is a value as good as any: nothing in band says that one was lost.
func TestREQ08AMaskIsAValueToo(t *testing.T) {
	for _, text := range []string{secret.Mask, "<redacted>", "null"} {
		c := Classes{Secret: map[string]secret.Secret{"key": secret.New(text)}}
		if err := c.Check(nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if missing := c.Missing([]string{"key", "other"}); len(missing) != 1 || missing[0] != "other" {
			t.Errorf("%q: missing are %v", text, missing)
		}
		if v := c.Secret["key"]; !v.Equal(text) || v.Expose() != text {
			t.Errorf("%q became %q", text, v.Expose())
		}
	}
}
