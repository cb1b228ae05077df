package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func file(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func pack(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Whatever form a drive is in, what travels is base64 of a gzipped ISO, or a URL.
func TestReadyDrive(t *testing.T) {
	iso := make([]byte, 0x9000)
	copy(iso[0x8000:], "\x01CD001\x01")
	packed := pack(t, iso)
	text := base64.StdEncoding.EncodeToString(packed)
	for name, content := range map[string][]byte{"iso": iso, "gzip": packed, "base64": []byte(text + "\n")} {
		got, err := readyDrive(&cobra.Command{}, file(t, content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := base64.StdEncoding.DecodeString(got.(string))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if back, err := io.ReadAll(z); err != nil || !bytes.Equal(back, iso) {
			t.Errorf("%s: %d bytes came back, %v", name, len(back), err)
		}
	}
	if got, err := readyDrive(&cobra.Command{}, "https://drives.example/1"); err != nil || got != "https://drives.example/1" {
		t.Errorf("URL: %v, %v", got, err)
	}
	if _, err := readyDrive(&cobra.Command{}, file(t, nil)); err == nil {
		t.Error("an empty file was taken")
	}
}

func TestKeys(t *testing.T) {
	const blob = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5TxU3FNGDDzlQBHuQu+hTc/nDu0NtPnzJKZAxXTbCF"
	keys := map[string]any{}
	text := "# two people\n" + blob + " me at home\n\nno-pty " + blob + "\n" + blob + " me at home"
	if err := addKeys(&cobra.Command{}, file(t, []byte(text)), keys); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"me-at-home": blob + " me at home", "key": "no-pty " + blob, "me-at-home-2": blob + " me at home"}
	if len(keys) != len(want) {
		t.Errorf("got %v", keys)
	}
	for name, line := range want {
		if keys[name] != line {
			t.Errorf("%s: got %v, want %s", name, keys[name], line)
		}
	}
}

func TestInputIsBounded(t *testing.T) {
	c := &cobra.Command{}
	c.SetIn(strings.NewReader(strings.Repeat("x", secretLimit+1)))
	if _, err := readSecret(c, "-", "BMC password"); err == nil || !strings.Contains(err.Error(), "larger than the 4.0 KiB") {
		t.Errorf("got %v", err)
	}
	c.SetIn(strings.NewReader("  canary \r\n"))
	if s, err := readSecret(c, "-", "BMC password"); err != nil || s.Expose() != "  canary " {
		t.Errorf("got %q, %v", s.Expose(), err)
	}
	c.SetIn(strings.NewReader("\n"))
	if _, err := readSecret(c, "-", "BMC password"); err == nil {
		t.Error("an empty password was taken")
	}
}
