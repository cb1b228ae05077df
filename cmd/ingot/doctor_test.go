package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/peer"
)

func TestCertificatesThatEnd(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]metal.Level{time.Hour: metal.Fine, 10 * time.Minute: metal.Warn, -time.Second: metal.Fail} {
		id := peer.Identity{Issued: now.Add(left - 2*time.Hour), Until: now.Add(left)}
		if f := examinePeer(id, now); f.Level != want {
			t.Errorf("%s left: %+v", left, f)
		}
	}
	for left, want := range map[time.Duration]metal.Level{90 * 24 * time.Hour: metal.Fine, time.Hour: metal.Warn} {
		if f := examineCertificate(tls.Certificate{Leaf: &x509.Certificate{NotAfter: now.Add(left)}}); f.Level != want {
			t.Errorf("%s left: %+v", left, f)
		}
	}
	if f := examineCertificate(tls.Certificate{}); f.Level != metal.Fail {
		t.Errorf("none: %+v", f)
	}
}

// A database whose key is gone, and a folder that others may read.
func TestDataThatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ingot.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	got := map[string]metal.Level{}
	for _, f := range examineData(dir) {
		got[f.Check] = f.Level
	}
	for check, want := range map[string]metal.Level{"data folder": metal.Fail, "key file": metal.Fail, "database file": metal.Fine} {
		if got[check] != want {
			t.Errorf("%s: %q, want %s", check, got[check], want)
		}
	}
}

// The file of users may be missing, right, open to others, or no such file at all.
func TestUsersThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	if got := examineUsers(dir, config.Defaults()); len(got) != 0 {
		t.Errorf("none: %+v", got)
	}
	file := filepath.Join(dir, "identity.yaml")
	const right = "users: [{name: bob, password: $2a$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW, system: [reader]}]\n"
	for text, want := range map[string]metal.Level{right: metal.Fine, right + "usres: []\n": metal.Fail} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := examineUsers(dir, config.Defaults()); len(got) != 1 || got[0].Level != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
	if err := os.WriteFile(file, []byte(right), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := examineUsers(dir, config.Defaults()); len(got) != 1 || got[0].Level != metal.Fail {
		t.Errorf("open to others: %+v", got)
	}
}
