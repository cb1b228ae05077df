package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTwoAudiences(t *testing.T) {
	cause := errors.New("dial 192.0.2.1: refused")
	err := fmt.Errorf("set power: %w", Wrap(Unavailable, cause, "the BMC of node %s does not answer", "n1"))
	if k := KindOf(err); k != Unavailable {
		t.Errorf("kind = %v, want unavailable", k)
	}
	public, ok := PublicOf(err)
	if !ok || strings.Contains(public, "192.0.2.1") {
		t.Errorf("public = %q, %v: the cause must stay out of it", public, ok)
	}
	if !strings.Contains(err.Error(), "refused") || !errors.Is(err, cause) {
		t.Errorf("the log's view lost the cause: %v", err)
	}
}

func TestPlainErrorIsInternal(t *testing.T) {
	err := errors.New("boom")
	if KindOf(err) != Internal {
		t.Errorf("a plain error must be internal")
	}
	if s, ok := PublicOf(err); ok || s != "" {
		t.Errorf("a plain error has nothing public, got %q", s)
	}
}

func TestEveryKindHasAName(t *testing.T) {
	for k := Internal; k <= Full; k++ {
		if k.String() == "" || strings.HasPrefix(k.String(), "kind ") {
			t.Errorf("kind %d has no name", int(k))
		}
	}
}
