package metadata

import (
	"log/slog"
	"strings"
	"testing"

	"ingot/internal/secret"
	"ingot/internal/store/storetest"
)

// TestRequirement16NothingPrivateIsLogged: with everything logged that can be, whatever is asked and however it ends, no line has user
// data, what a target said or was shown, a signature, a password, or the secret.
func TestRequirement16NothingPrivateIsLogged(t *testing.T) {
	s := newTarget(t)
	v := vendor(t, s, true, "")
	w := newWorld(t, storetest.SQLite(t)(), Defaults(), v, nil)
	n := w.node()
	w.fetched(v, n, "canary-host", "127.0.0.11")
	c := Defaults()
	c.ServiceMetadataProxy, c.SharedSecret = true, secret.New("canary-secret")
	signed, _ := w.serve(c, v, nil, slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	good := sign("canary-secret", n.UUID)
	for _, fails := range []bool{false, true} {
		s.set("no-store", fails)
		for _, path := range []string{"/openstack/latest/user_data", "/openstack/latest/meta_data.json", vendor2, "/latest/user-data", "/openstack/latest/password", "/openstack/nothing"} {
			w.ask("127.0.0.11", "GET", path, "")
			w.askAt(signed, "127.0.0.1", "GET", path, "", "X-Instance-ID: "+n.UUID, "X-Tenant-ID: p1", "X-Instance-ID-Signature: "+good)
			w.askAt(signed, "127.0.0.1", "GET", path, "", "X-Instance-ID: "+n.UUID, "X-Tenant-ID: p2", "X-Instance-ID-Signature: "+good)
			w.askAt(signed, "127.0.0.1", "GET", path, "", "X-Instance-ID: "+n.UUID, "X-Tenant-ID: p1", "X-Instance-ID-Signature: canary-wrong-signature")
		}
		w.ask("127.0.0.11", "POST", "/openstack/latest/password", "canary-password")
		w.ask("127.0.0.11", "POST", "/openstack/latest/password", strings.Repeat("canary-password", 100))
		w.ask("127.0.0.11", "PUT", "/openstack/latest/user_data", "canary-body", "Authorization: canary-header")
	}
	log := w.log.String()
	if !strings.Contains(log, "metadata request answered") || !strings.Contains(log, "status=403") {
		t.Fatalf("nothing is logged, so this test shows nothing:\n%s", log)
	}
	for _, private := range []string{"#!user data", "canary", good, "of canary-host", "ssh-ed25519", "answer", "words of the target"} {
		if i := strings.Index(strings.ReplaceAll(log, "metadata request answered", ""), private); i >= 0 {
			t.Errorf("the log has %q: …%.120s", private, log[max(0, i-60):])
		}
	}
	for _, e := range w.events(n) {
		if strings.Contains(e, "canary") || strings.Contains(e, "words of the target") {
			t.Errorf("the history has %q", e)
		}
	}
}
