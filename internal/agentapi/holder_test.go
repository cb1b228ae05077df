package agentapi

import (
	"strings"
	"testing"
)

func TestHolders(t *testing.T) {
	for _, c := range []struct {
		a, b  Holder
		older bool
	}{{Holder{1, 1}, Holder{1, 2}, true}, {Holder{1, 9}, Holder{2, 1}, true}, {Holder{2, 1}, Holder{1, 9}, false}, {Holder{1, 1}, Holder{1, 1}, false}} {
		if c.a.Older(c.b) != c.older {
			t.Errorf("%s older than %s: %v", c.a, c.b, !c.older)
		}
	}
	for _, bad := range []string{"1", "1.", ".1", "a.b", "1.2.3", "0.1", "1.0", "-1.2", "99999999999999999999.1"} {
		if h, err := ParseHolder(bad); err == nil {
			t.Errorf("%q is %s", bad, h)
		}
	}
	if ValidKey("a\nb") || ValidKey(strings.Repeat("x", maxKey+1)) || !ValidKey("0b7e/1f/12/0") {
		t.Error("keys")
	}
}

func FuzzParseHolder(f *testing.F) {
	f.Add("57.3")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHolder(text)
		if err != nil || text == "" {
			return
		}
		if again, err := ParseHolder(h.String()); err != nil || again != h {
			t.Errorf("%q: %v, %v", text, again, err)
		}
	})
}
