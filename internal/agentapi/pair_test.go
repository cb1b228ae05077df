package agentapi

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
)

func TestAPairIsOfOneBoot(t *testing.T) {
	from := time.Now().Add(-time.Hour).Truncate(time.Second)
	p, err := NewPair("agent of node n", from, from.Add(48*time.Hour))
	if err != nil || p.Empty() {
		t.Fatal(err)
	}
	pair, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if !c.NotBefore.Equal(from) || !c.NotAfter.Equal(from.Add(48*time.Hour)) || c.IsCA || c.Subject.CommonName != "agent of node n" {
		t.Errorf("%v to %v, CA %v, %s", c.NotBefore, c.NotAfter, c.IsCA, c.Subject)
	}
	other, err := NewPair("agent of node n", from, from.Add(time.Hour))
	if err != nil || other.Certificate == p.Certificate || other.Key.Equal(p.Key.Expose()) {
		t.Error("two boots have one pair", err)
	}
	mixed := Pair{Certificate: p.Certificate, Key: other.Key}
	if _, err := mixed.TLS(); fault.KindOf(err) != fault.Invalid {
		t.Errorf("another's key: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(text, "PRIVATE KEY") {
		t.Error("a printed pair holds its key")
	}
	if !(Pair{}).Empty() {
		t.Error("no pair is one")
	}
}
