package depot

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

func openTemplate(t *testing.T) (*BootISO, []byte) {
	t.Helper()
	dir := t.TempDir()
	base := writeTemplate(t, dir)
	iso, err := OpenBootISO(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = iso.Close() })
	return iso, base
}

// TestOverlayIsTheTemplateElsewhere: whatever is put in and however it is read, outside the placeholders
// the bytes are the template's, inside they are the content and newlines.
func TestOverlayIsTheTemplateElsewhere(t *testing.T) {
	iso, base := openTemplate(t)
	rapid.Check(t, func(t *rapid.T) {
		network, err := json.Marshal(map[string]string{"x": rapid.String().Draw(t, "network")})
		if err != nil {
			t.Fatal(err)
		}
		boot := agentapi.BootConfig{Version: 1, NodeUUID: rapid.String().Draw(t, "node"),
			AgentToken: rapid.String().Draw(t, "token"), NetworkData: network}
		params := rapid.StringMatching(`[a-z0-9=., -]{0,200}`).Draw(t, "params")
		r, size, err := iso.Overlay(boot, params)
		if err != nil {
			t.Fatal(err)
		}
		content, err := render(boot, params)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(base)
		for _, region := range iso.Manifest().Regions {
			field := want[region.Offset : region.Offset+region.Size]
			copy(field, bytes.Repeat([]byte{'\n'}, len(field)))
			copy(field, content[region.Path])
		}
		from := rapid.Int64Range(0, size).Draw(t, "from")
		n := rapid.Int64Range(0, size-from).Draw(t, "length")
		got := make([]byte, n)
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want[from:from+n]) {
			t.Fatalf("bytes %d to %d differ", from, from+n)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		whole, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(whole, want) {
			t.Fatalf("the whole differs (%v)", err)
		}
	})
}

func TestOverlayRefusesWhatDoesNotFit(t *testing.T) {
	iso, _ := openTemplate(t)
	big, err := json.Marshal(strings.Repeat("x", 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		boot   agentapi.BootConfig
		params string
		want   fault.Kind
	}{
		"network data": {agentapi.BootConfig{NetworkData: big}, "", fault.TooLarge},
		"CA":           {agentapi.BootConfig{CA: strings.Repeat("x", 64<<10)}, "", fault.TooLarge},
		"bad JSON":     {agentapi.BootConfig{NetworkData: json.RawMessage("{")}, "", fault.Invalid},
		"parameters":   {agentapi.BootConfig{}, strings.Repeat("x", MaxKernelParams+1), fault.Invalid},
	} {
		if _, _, err := iso.Overlay(c.boot, c.params); fault.KindOf(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestLongestParametersFit(t *testing.T) {
	iso, _ := openTemplate(t)
	if _, _, err := iso.Overlay(agentapi.BootConfig{}, strings.Repeat("x ", MaxKernelParams/2)); err != nil {
		t.Errorf("parameters that pass the check must fit, in their quotes too: %v", err)
	}
}

func TestKernelParams(t *testing.T) {
	for _, good := range []string{"", "nofb vga=normal", "console=ttyS1,115200n8 crashkernel=384M-:128M", "ip=[2001:db8::1]:x!~^%@()+/_"} {
		if err := CheckKernelParams(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"a'b", `a"b`, "a;b", "a$b", "a\nb", "a\rb", "a\tb", `a\b`, "a`b", "a|b", "a&b", "a{b", "a}b", "a#b",
		"a*", "a?", "a<b", "a>b", "\x00", "\x7f", "ä"} {
		if err := CheckKernelParams(bad); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v, want invalid", bad, err)
		}
	}
}

// FuzzKernelParams: what passes the check cannot become a command of GRUB's.
func FuzzKernelParams(f *testing.F) {
	f.Add("nofb vga=normal")
	f.Add("x' \nlinux /evil")
	f.Fuzz(func(t *testing.T, params string) {
		if CheckKernelParams(params) != nil {
			return
		}
		grub, err := grubConfig(params)
		if err != nil {
			t.Fatal(err)
		}
		script := string(grub)
		lines := strings.Split(script, "\n")
		if len(lines) != 4 || !strings.HasPrefix(lines[0], "linux /boot/vmlinuz ") || lines[1] != "initrd /boot/initrd" || lines[2] != "boot" {
			t.Fatalf("the script has another shape: %q", script)
		}
		if strings.Count(lines[0], "'") != 2*len(strings.Fields(params)) || strings.ContainsAny(script, "\"`;$\\|&<>{}*?#") {
			t.Fatalf("the script has a special character: %q", script)
		}
	})
}

func TestDamagedTemplateIsNotUsed(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"a bit of the ISO": func(dir string) error {
			return edit(filepath.Join(dir, ISOName), func(b []byte) []byte { b[0] ^= 1; return b })
		},
		"ISO cut": func(dir string) error {
			return edit(filepath.Join(dir, ISOName), func(b []byte) []byte { return b[:len(b)-1] })
		},
		"no ISO":             func(dir string) error { return os.Remove(filepath.Join(dir, ISOName)) },
		"manifest not JSON":  manifest(func(b string) string { return "{" }),
		"other version":      manifest(func(b string) string { return strings.Replace(b, `"version":1`, `"version":9`, 1) }),
		"placeholder moved":  manifest(func(b string) string { return strings.Replace(b, `"offset":2048`, `"offset":2049`, 1) }),
		"placeholder beyond": manifest(func(b string) string { return strings.Replace(b, `"offset":2048`, `"offset":999999999`, 1) }),
		"other placeholder":  manifest(func(b string) string { return strings.Replace(b, BootConfigPath, "/x", 1) }),
	} {
		dir := t.TempDir()
		writeTemplate(t, dir)
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenBootISO(dir); fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %v, want a conflict", name, err)
		}
	}
	if _, err := OpenBootISO(t.TempDir()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nothing there: %v, want unavailable", err)
	}
}

func edit(path string, change func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, change(b), 0o644)
}

func manifest(change func(string) string) func(dir string) error {
	return func(dir string) error {
		return edit(filepath.Join(dir, ManifestName), func(b []byte) []byte { return []byte(change(string(b))) })
	}
}
