package ramdisk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

// addition makes a folder with a plugin, a file for it, and a link between them.
func addition(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	plugin := filepath.Join(dir, "usr/lib/ingot/plugins/check")
	write(t, plugin, []byte("#!program"))
	write(t, filepath.Join(dir, "etc/ingot/check.json"), []byte("{}"))
	if err := errors.Join(os.Chmod(plugin, 0o711), os.Symlink("../../../../etc/ingot/check.json", plugin+".json")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFilesAreAdded(t *testing.T) {
	o := madeUp(t)
	o.Add = []string{addition(t)}
	m, err := Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	_, modes, content := readCPIO(t, unpacked(t, o.Out))
	for name, want := range map[string][2]string{
		"usr/lib/ingot/plugins/check":      {"100755 0:0", "#!program"},
		"usr/lib/ingot/plugins/check.json": {"120777 0:0", "../../../../etc/ingot/check.json"},
		"etc/ingot/check.json":             {"100644 0:0", "{}"},
		"usr/lib/ingot":                    {"40755 0:0", ""},
	} {
		if got := [2]string{modes[name], string(content[name])}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !slices.ContainsFunc(m.Inputs, func(f depot.File) bool {
		return f.Name == "add/usr/lib/ingot/plugins/check" && f.Size == 9 && len(f.SHA256) == 64
	}) {
		t.Errorf("%+v", m.Inputs)
	}
	// Elsewhere, with other rights of owner and group, it is the same.
	again := o
	again.Out, again.Add = filepath.Join(t.TempDir(), "again"), []string{addition(t)}
	if err := errors.Join(os.Chmod(filepath.Join(again.Add[0], "usr"), 0o700), os.Chmod(filepath.Join(again.Add[0], "etc/ingot/check.json"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), again); err != nil || !bytes.Equal(read(t, filepath.Join(o.Out, depot.InitramfsName)), read(t, filepath.Join(again.Out, depot.InitramfsName))) {
		t.Errorf("another ramdisk: %v", err)
	}
}

func TestWhatCannotBeAdded(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(dir string) error
		want  string
	}{
		"a link out":       {func(d string) error { return os.Symlink("../../etc/passwd", d+"/x") }, "leads out"},
		"an absolute link": {func(d string) error { return os.Symlink("/etc/passwd", d+"/x") }, "leads out"},
		"a pipe":           {func(d string) error { return syscall.Mkfifo(d+"/x", 0o600) }, "neither a file"},
		"another init":     {func(d string) error { return os.WriteFile(d+"/init", nil, 0o700) }, "/init is the ramdisk's own"},
		"a module": {func(d string) error {
			return errors.Join(os.MkdirAll(d+"/lib/modules", 0o700), os.WriteFile(d+"/lib/modules/x", nil, 0o600))
		}, "/lib/modules is"},
		"a device's name": {func(d string) error {
			return errors.Join(os.Mkdir(d+"/dev", 0o700), os.WriteFile(d+"/dev/sda", nil, 0o600))
		}, "/dev is"},
		"the modules' list": {func(d string) error {
			return errors.Join(os.MkdirAll(d+"/etc/ingot", 0o700), os.WriteFile(d+"/etc/ingot/modules", nil, 0o600))
		}, "/etc/ingot/modules is"},
		"a file for a folder": {func(d string) error { return os.WriteFile(d+"/etc", nil, 0o600) }, "/etc is there already"},
		"a set-user-ID bit": {func(d string) error {
			return errors.Join(os.WriteFile(d+"/x", nil, 0o700), os.Chmod(d+"/x", 0o700|os.ModeSetuid))
		}, "set-user-ID"},
		"a strange name": {func(d string) error { return os.WriteFile(d+"/a\nb", nil, 0o600) }, "control characters"},
	} {
		o := madeUp(t)
		o.Add = []string{t.TempDir()}
		if err := c.plant(o.Add[0]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err := Build(context.Background(), o)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := madeUp(t)
	for _, dir := range []string{"/nonexistent", o.Agent} {
		o.Add = []string{dir}
		if _, err := Build(context.Background(), o); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "--add") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	// What two folders add may not be one file.
	o.Add = []string{addition(t), addition(t)}
	if _, err := Build(context.Background(), o); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Error(err)
	}
}
