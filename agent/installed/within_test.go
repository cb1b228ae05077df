package installed

import (
	"context"
	"strings"
	"testing"
)

// What lies on a disk that is not allowed, in part or behind a volume, is left away; an array that is itself allowed is looked at no deeper.
func TestREQ14OnlyWhatLiesOnAllowedDisks(t *testing.T) {
	below := map[string]string{
		"/dev/a1": `{"path": "/dev/a1", "children": [{"path": "/dev/a"}]}`,
		"/dev/b1": `{"path": "/dev/b1", "children": [{"path": "/dev/b"}]}`,
		"/dev/v":  `{"path": "/dev/v", "children": [{"path": "/dev/a1", "children": [{"path": "/dev/a"}]}, {"path": "/dev/b1", "children": [{"path": "/dev/b"}]}]}`,
		"/dev/w":  `{"path": "/dev/w", "children": [{"path": "/dev/a1", "children": [{"path": "/dev/a"}]}]}`,
		"/dev/md": `{"path": "/dev/md", "children": [{"path": "/dev/c"}, {"path": "/dev/b"}]}`,
		"/dev/a":  `{"path": "/dev/a"}`,
		"/dev/no": ``,
	}
	w := work{run: func(_ context.Context, _ string, args ...string) ([]byte, error) {
		if !strings.Contains(strings.Join(args, " "), "--output NAME,") {
			t.Errorf("without names lsblk gives a flat list, in which nothing lies on anything: %q", args)
		}
		return []byte(`{"blockdevices": [` + below[args[len(args)-1]] + `]}`), nil
	}}
	var list []device
	for _, path := range []string{"/dev/a", "/dev/a1", "/dev/b1", "/dev/v", "/dev/w", "/dev/md", "/dev/no"} {
		list = append(list, device{Path: path})
	}
	got, err := w.within(t.Context(), list, func(path string) bool { return path == "/dev/a" || path == "/dev/md" })
	var left []string
	for _, d := range got {
		left = append(left, d.Path)
	}
	if want := "/dev/a /dev/a1 /dev/w /dev/md"; err != nil || strings.Join(left, " ") != want {
		t.Errorf("%q %v, want %q", left, err, want)
	}
}
