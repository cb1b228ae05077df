package main

import (
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"ingot/internal/config"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/netboot"
	"ingot/internal/store"
)

// TestLeasesOfTheDatabase: what netboot.Leases says holds for the store, and the conductor finds a machine by it.
func TestLeasesOfTheDatabase(t *testing.T) {
	dir := t.TempDir()
	key, err := store.KeyFor(dir+"/ingot.db", dir+"/ingot.key")
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), dir+"/ingot.db", key)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	leases := storeLeases{db}
	now := time.Now().Truncate(time.Microsecond).UTC()
	l := netboot.Lease{Network: "n", Address: netip.MustParseAddr("2001:db8::5"), MAC: "52:54:00:00:00:01", Client: "0001/01", Until: now.Add(time.Hour)}
	if err := leases.Hold(t.Context(), l, now); err != nil {
		t.Fatal(err)
	}
	if got, err := leases.Holder(t.Context(), l.Address, now); err != nil || got == nil || *got != l {
		t.Errorf("held: %v, %v", got, err)
	}
	if got, err := leases.List(t.Context(), "n"); err != nil || len(got) != 1 || got[0] != l {
		t.Errorf("listed: %v, %v", got, err)
	}
	if got, err := leases.Addresses(t.Context(), l.MAC); err != nil || len(got) != 1 || got[0] != l.Address {
		t.Errorf("where the machine is: %v, %v", got, err)
	}
	other := l
	other.MAC = "52:54:00:00:00:02"
	if err := leases.Hold(t.Context(), other, now); fault.KindOf(err) != fault.Conflict {
		t.Errorf("two machines have one address: %v", err)
	}
	if err := leases.Drop(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got, err := leases.Holder(t.Context(), l.Address, now); err != nil || got != nil {
		t.Errorf("dropped: %v, %v", got, err)
	}
}

// TestTheRoleNetbootServes: the program with networks in its configuration answers at its own listener, and refuses strangers.
func TestTheRoleNetbootServes(t *testing.T) {
	dir := t.TempDir()
	at, err := free()
	if err != nil {
		t.Fatal(err)
	}
	conf := "[netboot]\nnetworks_file = " + dir + "/networks.yaml\nhttp_listen = " + at + "\ntftp_listen = " + at + "\n"
	for name, text := range map[string]string{"networks.yaml": "networks: []\n", "ingot.conf": conf} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := serving(t, dir, "--config", dir+"/ingot.conf")
	c := http.Client{Timeout: 30 * time.Second}
	res, err := c.Get("http://" + at + "/grub/grub.cfg") //nolint:noctx // a test
	if err != nil {
		t.Fatalf("%v\nlog:\n%s", err, r.log)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("a stranger got %s", res.Status)
	}
	if code := r.stop(t); code != 0 {
		t.Errorf("ended with %d; its log:\n%s", code, r.log)
	}
}

// TestBootFiles: what machines cannot reach is told before they try.
func TestBootFiles(t *testing.T) {
	for _, c := range []struct{ listen, url, says string }{
		{"", "", "no HTTP listener without TLS"},
		{"", "http://127.0.0.1:6387", "the boot listener 127.0.0.1:6387 is on loopback"},
		{"", "http://[::1]:6387", "is on loopback"},
		{"", "http://localhost:6387", "is on loopback"},
		{"127.0.0.1:80", "http://192.0.2.1:6387", "http_listen 127.0.0.1:80 is on loopback"},
		{"", "http://192.0.2.1:6387", ""},
		{"", "http://boot.example/", ""},
		{"192.0.2.1:80", "http://127.0.0.1:6387", ""},
		{":80", "", ""},
	} {
		f := bootFiles(config.Netboot{HTTPListen: c.listen}, c.url)
		if (f.Level == metal.Fine) != (c.says == "") || !strings.Contains(f.Said, c.says) || f.Level != metal.Fine && f.Do == "" {
			t.Errorf("%q, %q: %+v", c.listen, c.url, f)
		}
	}
}
