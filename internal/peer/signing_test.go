package peer

import (
	"testing"
	"time"

	"ingot/internal/fault"
)

// TestARevokedServerGetsNothingNewWhileTheListIsOld: a certificate that was issued after the revocation would be good
// everywhere, so the issuer looks at the list itself before it signs, however fresh its copy is.
func TestARevokedServerGetsNothingNewWhileTheListIsOld(t *testing.T) {
	cl := newCluster(t)
	two := cl.joined("two", Conductor)
	token := cl.invite("three", Conductor)
	cl.mu.Lock() // the list changes, and the issuer has not read it yet
	cl.denied["two"], cl.denied["three"] = time.Now().Add(time.Second), time.Now().Add(time.Second)
	cl.mu.Unlock()
	c, err := requestCertificate(t.Context(), two.current.Load(), cl.at, "/v1/renew", issuerOnly, time.Now)
	if fault.KindOf(err) != fault.Forbidden || c != nil {
		t.Errorf("renewed: %v", err)
	}
	if _, err := Join(t.Context(), t.TempDir(), token, ""); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("joined: %v", err)
	}
}

// TestNothingIsSignedWithoutTheList: who cannot see who was revoked signs nothing.
func TestNothingIsSignedWithoutTheList(t *testing.T) {
	cl := newCluster(t)
	two := cl.joined("two", Conductor)
	cl.mu.Lock()
	cl.away = fault.New(fault.Unavailable, "the database is away")
	cl.mu.Unlock()
	if _, err := requestCertificate(t.Context(), two.current.Load(), cl.at, "/v1/renew", issuerOnly, time.Now); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("renewed: %v", err)
	}
}
