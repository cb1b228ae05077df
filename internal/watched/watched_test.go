package watched

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// What a file says counts with the next look; what is wrong is told once, and changes nothing.
func TestAFileThatChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var said bytes.Buffer
	open := func() (*Files[string], error) {
		return Open(path, 8, slog.New(slog.NewTextHandler(&said, nil)), func(text []byte) (string, error) {
			if string(text) == "bad" {
				return "", errors.New("it is bad")
			}
			return string(text), nil
		})
	}
	if _, err := open(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	write(t, path, []byte("123456789"))
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file that is too large: %v", err)
	}
	write(t, path, []byte("one"))
	f, err := open()
	if err != nil || f.Get() != "one" {
		t.Fatalf("%v", err)
	}
	write(t, path, []byte("two"))
	if got := f.Get(); got != "two" {
		t.Errorf("after a change: %q", got)
	}
	said.Reset()
	write(t, path, []byte("bad"))
	for range 3 {
		if got := f.Get(); got != "two" {
			t.Errorf("after a bad change: %q", got)
		}
	}
	if n := strings.Count(said.String(), "it is bad"); n != 1 {
		t.Errorf("told %d times:\n%s", n, said.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := f.Get(); got != "two" {
		t.Errorf("without the file: %q", got)
	}
	write(t, path, []byte("three"))
	if got := f.Get(); got != "three" {
		t.Errorf("after it came back: %q", got)
	}
}

// pair makes a certificate and its key.
func pair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// A certificate and its key are replaced one after the other: until both are there the old ones are shown.
func TestACertificateThatChanges(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	cert, key := pair(t, "old")
	write(t, certFile, cert)
	write(t, keyFile, key)
	show, err := Certificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	shows := func(want string) {
		t.Helper()
		c, err := show(nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Leaf.Subject.CommonName != want {
			t.Errorf("shows %s, want %s", c.Leaf.Subject.CommonName, want)
		}
	}
	shows("old")
	cert, key = pair(t, "new")
	write(t, certFile, cert)
	shows("old")
	write(t, keyFile, key)
	shows("new")
	if _, err := Certificate(certFile, filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a key that is not there was no error")
	}
}
