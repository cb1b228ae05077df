package peer

import (
	"net/http"
	"testing"
	"time"

	"ingot/internal/fault"
)

// bootHost is a joined boot host to whom things are carried.
func (cl *cluster) bootHost(name string) (*Peer, Server) {
	cl.t.Helper()
	p := cl.joined(name, Boot)
	p.o.Shelf, p.o.Carried, p.o.Denied, p.o.Issuers = &memory{}, true, nil, nil
	return p, Server{name, cl.serve(p)}
}

// TestARenewalIsCarried: a conductor carries a boot host's renewal to the issuer and back, when it is time.
func TestARenewalIsCarried(t *testing.T) {
	cl := newCluster(t)
	host, at := cl.bootHost("boot1")
	two := cl.joined("two", Conductor)
	first := host.Identity()
	if err := two.Carry(t.Context(), at); err != nil || host.Identity().Until != first.Until {
		t.Errorf("too early: %v, until %s", err, host.Identity().Until)
	}
	cl.clock.move(life * 3 / 5)
	for _, p := range []*Peer{cl.issuer, two} { // others renew themselves
		if err := p.renewIfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := host.renewIfDue(t.Context()); err != nil || host.Identity().Until != first.Until {
		t.Errorf("it renews itself: %v", err)
	}
	if err := two.Carry(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	next := host.Identity()
	if !next.Until.After(first.Until) || next.Name != "boot1" || len(next.Roles) != 1 || !next.Is(Boot) {
		t.Errorf("renewed: %+v", next)
	}
	cl.clock.move(life * 3 / 5) // the first one would be over by now
	for _, p := range []*Peer{cl.issuer, two} {
		if err := p.renewIfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := two.Pushed(t.Context(), at); err != nil {
		t.Error(err)
	}
	if again, err := Open(Options{Dir: host.o.Dir}); err != nil || !again.Identity().Until.Equal(next.Until) {
		t.Errorf("on disk: %v", err)
	}
}

// TestMessengersForgeNothing: a conductor that carries cannot make a request or an answer of its own.
func TestMessengersForgeNothing(t *testing.T) {
	cl := newCluster(t)
	host, at := cl.bootHost("boot1")
	two, api := cl.joined("two", Conductor), cl.joined("four", API)
	cl.clock.move(life * 3 / 5)
	for _, p := range []*Peer{cl.issuer, two, api} {
		if err := p.renewIfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var wanted signed
	if err := two.ask(t.Context(), at, http.MethodGet, "/v1/renewal", nil, &wanted); err != nil || len(wanted.Text) == 0 {
		t.Fatal(err)
	}
	good, err := two.certified(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	own, err := two.current.Load().sign(useRenewal, wanted.Text)
	if err != nil {
		t.Fatal(err)
	}
	replaced := wanted
	replaced.Text = own.Cert
	foreign := newCluster(t)
	strange, err := foreign.issuer.current.Load().sign(useRenewal, wanted.Text)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]signed{"its own": own, "another text": replaced, "another cluster's": strange, "an answer": good, "nothing": {}} {
		if _, err := two.certified(t.Context(), s); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("request, %s: %v", name, err)
		}
	}
	byTwo, err := two.current.Load().sign(useIssued, good.Text)
	if err != nil {
		t.Fatal(err)
	}
	changed := good
	changed.Text = append([]byte(" "), good.Text...)
	was := host.Identity().Until
	for name, s := range map[string]signed{"signed by a conductor": byTwo, "changed": changed, "a request": wanted, "nothing": {}} {
		if err := two.ask(t.Context(), at, http.MethodPut, "/v1/renewal", s, nil); fault.KindOf(err) != fault.Invalid {
			t.Errorf("answer, %s: %v", name, err)
		}
	}
	if host.Identity().Until != was {
		t.Error("a forged answer was taken")
	}
	if err := two.ask(t.Context(), at, http.MethodPut, "/v1/renewal", good, nil); err != nil {
		t.Error(err)
	}
	if err := two.ask(t.Context(), at, http.MethodPut, "/v1/renewal", good, nil); fault.KindOf(err) != fault.BadState && fault.KindOf(err) != fault.Invalid {
		t.Errorf("the same answer again: %v", err)
	}
	if err := api.Carry(t.Context(), at); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a server that is no conductor carries: %v", err)
	}
}

// TestTheDenyListIsCarried: a boot host refuses who was revoked as soon as a conductor has told it, and one that was
// revoked gets no renewal.
func TestTheDenyListIsCarried(t *testing.T) {
	cl := newCluster(t)
	host, at := cl.bootHost("boot1")
	two, three := cl.joined("two", Conductor), cl.joined("three", Conductor)
	if _, err := three.Pushed(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	cl.revoke("three", cl.clock.now())
	if err := two.readDenied(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := two.Carry(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if _, err := three.Pushed(t.Context(), at); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a revoked conductor lists: %v", err)
	}
	if err := two.ask(t.Context(), at, http.MethodPut, "/v1/denied", map[string]time.Time{"three": {}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := three.Pushed(t.Context(), at); err == nil {
		t.Error("an older revocation takes a newer one off the list")
	}
	cl.clock.move(life * 3 / 5)
	for _, p := range []*Peer{cl.issuer, two} {
		if err := p.renewIfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var wanted signed
	if err := two.ask(t.Context(), at, http.MethodGet, "/v1/renewal", nil, &wanted); err != nil || len(wanted.Text) == 0 {
		t.Fatal(err)
	}
	cl.revoke("boot1", cl.clock.now())
	if _, err := two.certified(t.Context(), wanted); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a revoked boot host is renewed: %v", err)
	}
	if host.Identity().Until.After(cl.clock.now().Add(life)) {
		t.Error("it was renewed")
	}
}
