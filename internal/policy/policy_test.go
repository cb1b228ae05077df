package policy

import (
	"testing"

	"ingot/internal/fault"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		caller Caller
		rule   Rule
		ok     bool
	}{
		{Caller{}, "public_api", true},
		{Caller{}, "node:ipa_heartbeat", true},
		{Caller{}, "node:list", false},
		{Caller{Trusted: true}, "node:list", true},
		{Caller{Trusted: true}, "node:invented", false},
		{Caller{Trusted: true}, "", false},
	} {
		err := For(c.caller).Check(c.rule, nil)
		if (err == nil) != c.ok || err != nil && fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%+v %q: %v", c.caller, c.rule, err)
		}
	}
}

func TestKnown(t *testing.T) {
	if !Known("node:get") || Known("node:invented") {
		t.Error("Known does not read the table")
	}
}
