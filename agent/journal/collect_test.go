package journal

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/secret"
)

// unpack reads an archive.
func unpack(t *testing.T, packed []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}

func TestCollect(t *testing.T) {
	root := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "proc"), 0o755), os.WriteFile(filepath.Join(root, "proc/mounts"), []byte("none / rootfs\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	ring := NewRing(1000)
	for _, line := range []string{"asked with canary-1-canary\n", `url=http://user:canary-2@host/image?sig=1` + "\n"} {
		if _, err := ring.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	s := Sources{Root: root, Ring: ring, Dmesg: []byte("Command line: quiet ipa-agent-token=canary-3 x=1"),
		Inventory: func() (any, error) { return map[string]string{"bmc_password": "canary-4", "name": "sda"}, nil },
		More:      []File{{"lsblk", []byte("sda Authorization: Basic canary-5 end")}, {"big", bytes.Repeat([]byte("x"), 3<<20)}},
		Hide:      []secret.Secret{secret.New("canary-1-canary"), secret.New("x"), {}}}
	for range 12 {
		s.More = append(s.More, File{"big", bytes.Repeat([]byte("x"), 3<<20)})
	}
	packed, err := Collect(s)
	if err != nil {
		t.Fatal(err)
	}
	files := unpack(t, packed)
	for name, want := range map[string]string{
		"mount": "none / rootfs\n", "dmesg": "Command line: quiet ipa-agent-token=****** x=1", "lsblk": "sda Authorization: Basic ****** end",
		"journal": "asked with ******\nurl=http://******@host/image?sig=1\n",
	} {
		if files[name] != want {
			t.Errorf("%s is %q, want %q", name, files[name], want)
		}
	}
	total := 0
	for _, text := range files {
		total += len(text)
	}
	if total > maxFiles || !strings.Contains(files["inventory.json"], `"name": "sda"`) || len(files["big"]) > maxFile {
		t.Errorf("%q, %d bytes", files["inventory.json"], len(files["big"]))
	}
	for name, text := range files {
		if strings.Contains(text, "canary") {
			t.Errorf("%s holds a secret: %s", name, text)
		}
	}
	s.Inventory = func() (any, error) { return nil, errors.New("no sysfs") }
	if packed, err = Collect(s); err != nil || unpack(t, packed)["inventory.json"] != "no sysfs\n" {
		t.Error(err)
	}
}

// The place where a long file is cut may be in the middle of a secret.
func TestHalfASecretIsNotLeft(t *testing.T) {
	const value = "first-half-canary-of-a-token"
	root := t.TempDir()
	long := append([]byte(value), bytes.Repeat([]byte("x\n"), maxFile/2-5)...)
	packed, err := Collect(Sources{Root: root, Ring: NewRing(10), Inventory: func() (any, error) { return nil, nil },
		More: []File{{"long", long}}, Hide: []secret.Secret{secret.New(value)}})
	if err != nil {
		t.Fatal(err)
	}
	if text := unpack(t, packed)["long"]; strings.Contains(text, "token") || len(text) > maxFile {
		t.Errorf("%.40q", text)
	}
}

func FuzzScrub(f *testing.F) {
	f.Add([]byte("a token=very-secret-value b"))
	f.Add([]byte("http://u:very-secret-value@h"))
	f.Fuzz(func(t *testing.T, b []byte) {
		hide := secret.New("very-secret-value")
		if got := scrub(bytes.Clone(b), []secret.Secret{hide}); bytes.Contains(got, []byte(hide.Expose())) {
			t.Errorf("%q", got)
		}
	})
}
