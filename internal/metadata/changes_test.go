package metadata

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestRequirement17AnAddressThatChangesHands: after an undeploy, a rebuild, a lease that is another's or an address that is taken away,
// the next request sees it, on every server, however long things are kept in memory.
func TestRequirement17AnAddressThatChangesHands(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		second, _ := w.serve(Defaults(), nil, nil, slog.New(slog.NewTextHandler(w.log, nil)))
		is := func(from, want string) {
			t.Helper()
			for range 2 { // so that it is in memory
				for _, url := range []string{w.url, second} {
					got := w.askAt(url, from, "GET", "/openstack/latest/user_data", "")
					if got.status == http.StatusNotFound && want == "" {
						continue
					}
					if got.status != http.StatusOK || got.body != "#!user data of "+want {
						t.Errorf("%s gets %d %q, want that of %q", from, got.status, got.body, want)
					}
				}
			}
		}
		one, two := w.node(), w.node()
		w.deploy(one, "one", "p1", "127.0.0.11")
		w.deploy(two, "two", "p2")
		is("127.0.0.11", "one")
		w.write(func(tx *store.Tx) error { return tx.DropInstance(one.ID) })
		is("127.0.0.11", "")
		w.deploy(two, "another", "p2", "127.0.0.11")
		is("127.0.0.11", "another")
		w.deploy(two, "rebuilt", "p2", "127.0.0.11")
		is("127.0.0.11", "rebuilt")
		w.save(two, w.deploy(two, "moved", "p2"), "127.0.0.12")
		is("127.0.0.11", "")
		is("127.0.0.12", "moved")
		w.write(func(tx *store.Tx) error { return tx.RetireInstance(two) })
		is("127.0.0.12", "")

		w.deploy(one, "one", "p1")
		w.deploy(two, "two", "p2")
		w.lease("127.0.0.21", macOf(1))
		is("127.0.0.21", "one")
		w.write(func(tx *store.Tx) error { return tx.DropLease(at("127.0.0.21"), macOf(1), "") })
		is("127.0.0.21", "")
		w.lease("127.0.0.21", macOf(2))
		is("127.0.0.21", "two")
		w.state(two, metal.Deleting)
		is("127.0.0.21", "")
		w.write(func(tx *store.Tx) error { return tx.DeleteNode(two.ID) })
		is("127.0.0.21", "")
	})
}

// TestPassword: it is posted once, kept with the deployment, and nobody else's.
func TestPassword(t *testing.T) {
	each(t, Defaults(), func(t *testing.T, w *world) {
		n := w.node()
		other := w.node()
		w.deploy(n, "one", "p1", "127.0.0.11")
		w.deploy(other, "two", "p1", "127.0.0.12")
		const path = "/openstack/latest/password"
		post := func(from, path, body string, status int) {
			t.Helper()
			if got := w.ask(from, "POST", path, body); got.status != status {
				t.Errorf("POST %s of %d bytes: %d %q, want %d", path, len(body), got.status, got.body, status)
			}
		}
		is := func(from, want string) {
			t.Helper()
			if got := w.get(from, path, 200); got.body != want || !strings.HasPrefix(got.head.Get("Content-Type"), "text/plain") {
				t.Errorf("%s has %q, %q", from, got.body, got.head.Get("Content-Type"))
			}
		}
		is("127.0.0.11", "")
		post("127.0.0.1", path, "a stranger's", 404)
		if log := w.log.String(); !strings.Contains(log, "no instance that is known here") || !strings.Contains(log, "asker=127.0.0.1") {
			t.Errorf("the log does not name who asks in vain: %s", log)
		}
		post("127.0.0.11", path, "", 400)
		post("127.0.0.11", path, strings.Repeat("x", maxPassword+1), 400)
		post("127.0.0.11", "/openstack/2012-08-10/password", "too old a version", 404)
		post("127.0.0.11", "/openstack/1999-01-01/password", "no version", 404)
		post("127.0.0.11", "/openstack/2013-04-04/password/", strings.Repeat("x", maxPassword), 200)
		is("127.0.0.11", strings.Repeat("x", maxPassword))
		is("127.0.0.12", "")
		post("127.0.0.11", path, "another", 409)
		is("127.0.0.11", strings.Repeat("x", maxPassword))
		w.deploy(n, "rebuilt", "p1", "127.0.0.11")
		is("127.0.0.11", "")
		var won sync.Map
		var all sync.WaitGroup
		for _, text := range []string{"a", "b", "c", "d"} {
			all.Go(func() {
				if got := w.ask("127.0.0.11", "POST", path, text); got.status == 200 {
					won.Store(text, true)
				} else if got.status != 409 {
					t.Errorf("several at once: %d %s", got.status, got.body)
				}
			})
		}
		all.Wait()
		var who []string
		won.Range(func(k, _ any) bool { who = append(who, k.(string)); return true })
		if len(who) != 1 {
			t.Fatalf("of several at once won %q", who)
		}
		is("127.0.0.11", who[0])
		told := 0
		for _, e := range w.events(n) {
			if strings.Contains(e, "posted its password") {
				told++
			}
		}
		if told != 2 {
			t.Errorf("the node's history tells of %d passwords: %q", told, w.events(n))
		}
	})
}

// TestMethodsAndPages: GET and HEAD, and POST of a password; whatever else is not a page's is refused before anybody is looked for.
func TestMethodsAndPages(t *testing.T) {
	onSQLite(t, Defaults(), func(w *world) {
		n := w.node()
		w.deploy(n, "one", "p1", "127.0.0.11")
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "JUNK"} {
			for _, path := range []string{"/", "/openstack/latest/meta_data.json", "/latest/meta-data/", "/openstack/latest/passwords", "/no/such/page"} {
				if got := w.ask("127.0.0.11", method, path, ""); got.status != 405 || got.head.Get("Allow") != "GET, HEAD" {
					t.Errorf("%s %s: %d, Allow %q", method, path, got.status, got.head.Get("Allow"))
				}
			}
		}
		if got := w.ask("127.0.0.11", "DELETE", "/openstack/latest/password", ""); got.status != 405 || got.head.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("DELETE of a password: %d, Allow %q", got.status, got.head.Get("Allow"))
		}
		for path, kind := range map[string]string{"/": "text/plain", "/openstack": "text/plain", "/openstack/latest/meta_data.json": "application/json", "//openstack//latest/./user_data": "text/plain",
			"/openstack/2012-08-10/": "text/plain", "/ec2/2009-04-04/meta-data/": "text/plain", "/latest/../latest/user-data": "text/plain", "/openstack/latest/vendor_data.json": "application/json"} {
			get := w.get("127.0.0.11", path, 200)
			if !strings.HasPrefix(get.head.Get("Content-Type"), kind) {
				t.Errorf("%s is %q", path, get.head.Get("Content-Type"))
			}
			head := w.ask("127.0.0.11", "HEAD", path, "")
			if head.status != 200 || head.body != "" || head.head.Get("Content-Length") != get.head.Get("Content-Length") || head.head.Get("Content-Type") != get.head.Get("Content-Type") {
				t.Errorf("HEAD %s: %d, %v, and GET %v", path, head.status, head.head, get.head)
			}
		}
		for _, path := range []string{"/openstack/latest/network_data.json", "/openstack/1999-01-01/meta_data.json", "/latest/meta-data/hostname/x", "/openstack/content", "/healthz", "/metrics",
			"/openstack/latest/..%2f..%2fetc/passwd", "/%00", "/" + strings.Repeat("a/", 2000)} {
			w.get("127.0.0.11", path, 404)
		}
		// Whoever asks may see that the service is there, and no more: cloud-init takes /openstack for the promise of an instance.
		if root := w.get("127.0.0.1", "/", 200); !strings.Contains(root.body, "2009-04-04\nlatest") {
			t.Errorf("the root is %q", root.body)
		}
		for _, path := range []string{"/openstack", "/openstack/", "/ec2", "/latest", "/openstack/latest"} {
			w.get("127.0.0.1", path, 404)
		}
		if got := w.get("127.0.0.11", "/latest/meta-data/local-ipv4", 200); got.body != "127.0.0.11" {
			t.Errorf("its address is %q", got.body)
		}
	})
}
