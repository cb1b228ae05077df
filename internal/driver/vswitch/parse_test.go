package vswitch

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestHostileAnswers(t *testing.T) {
	at := socket{"s", "1"}
	for _, body := range []string{"", "null", "[]", "{}", `{"switch_id":"s","port_id":"2","revision":"r"}`, `{"switch_id":"s","port_id":"1"}`,
		`{"switch_id":"s","port_id":"1","revision":"a\"b"}`, `{"switch_id":"s","port_id":"1","revision":"r","network":""}`,
		`{"switch_id":"s","port_id":"1","revision":"r","network":"a\nb"}`, `{"switch_id":"s","port_id":"1","revision":"r","state":"soon"}`,
		`{"switch_id":"s","port_id":"1","revision":"r"} {}`, `{"switch_id":"s","port_id":"1","revision":"` + strings.Repeat("r", 256) + `"}`} {
		if p, err := parsePort([]byte(body), at); err == nil {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if _, err := parsePort([]byte(`{"switch_id":"s","port_id":"1","revision":"r","network":null,"later":[1]}`), at); err != nil {
		t.Errorf("what is new is no error: %v", err)
	}
	if p := parseProblem([]byte(`{"error":{"message":"` + strings.Repeat("é", 4000) + `\u0007"}}`)); len(p.Message) > maxMessage+8 {
		t.Errorf("%d bytes of a message", len(p.Message))
	}
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{`{"switch_id":"s","port_id":"1","revision":"r","network":"n","owner":"o","state":"pending"}`,
		`{"networks":[{"name":"n","tenant":true}]}`, `{"error":{"code":"c","message":"m"}}`, "null", "[[[[", "{\"networks\":null}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, err := parsePort(body, socket{"s", "1"}); err == nil {
			if p.Switch != "s" || p.Port != "1" || !revisionForm(p.Revision) || p.Network != nil && !nameForm(*p.Network) {
				t.Errorf("%q gives %+v", body, p)
			}
		}
		if list, err := parseNetworks(body); err == nil {
			for _, n := range list {
				if !nameForm(n.Name) {
					t.Errorf("%q gives network %q", body, n.Name)
				}
			}
		}
		if p := parseProblem(body); !utf8.ValidString(p.Message) || len(p.Message) > maxMessage+8 || strings.ContainsAny(p.Message+p.Code, "\n\r\x1b") {
			t.Errorf("%q says %+v", body, p)
		}
	})
}
