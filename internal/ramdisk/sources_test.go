package ramdisk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
)

func TestHostSources(t *testing.T) {
	const stanza = "Types: deb deb-src\nURIs: http://archive.example/debian\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main contrib\nSigned-By: /k.gpg\n"
	for _, c := range []struct {
		name string
		file string
		text string
		want []string // in the result; none: fault.Unavailable
		not  []string
	}{
		{"deb822", "debian.sources", "# a comment\n" + stanza, []string{"types: deb\n", "suites: bookworm bookworm-updates\n", "components: main\n", "signed-by: /k.gpg\n"}, []string{"backports", "contrib", "deb-src"}},
		{"two stanzas", "debian.sources", stanza + "\n" + strings.Replace(stanza, "bookworm", "trixie", 3), []string{"bookworm"}, []string{"trixie"}},
		{"a key in the stanza", "debian.sources", strings.Replace(stanza, "/k.gpg", "\n -----BEGIN\n .\n xyz", 1), []string{"signed-by: \n -----BEGIN\n .\n xyz\n"}, nil},
		{"switched off", "debian.sources", "Enabled: no\n" + stanza, nil, nil},
		{"another distribution's", "other.sources", strings.Replace(stanza, "main", "stable", 1), nil, nil},
		{"one line", "a.list", "deb http://archive.example/debian bookworm main contrib # why\n", []string{"uris: http://archive.example/debian\n", "suites: bookworm\n"}, []string{"contrib"}},
		{"one line with options", "a.list", "deb [arch=amd64 signed-by=/k.gpg] http://archive.example/debian-security bookworm-security main\n", []string{"suites: bookworm-security\n", "signed-by: /k.gpg\n"}, nil},
		{"one line, broken", "a.list", "deb [arch=amd64 http://archive.example/debian bookworm main\n", nil, nil},
		{"one line, source only", "a.list", "deb-src http://archive.example/debian bookworm main\n", nil, nil},
		{"not read by apt", "debian.sources.off", stanza, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "sources.list.d", c.file), []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := HostSources(dir, "bookworm")
			if len(c.want) == 0 {
				if fault.KindOf(err) != fault.Unavailable {
					t.Fatalf("got %q, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("%q is not in %q", w, got)
				}
			}
			for _, n := range c.not {
				if strings.Contains(got, n) {
					t.Errorf("%q is in %q", n, got)
				}
			}
		})
	}
}
