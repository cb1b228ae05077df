package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestTheNewKeyIsItsServers: root rotates, and a server that is another user can read the new key file as it could the old one.
func TestTheNewKeyIsItsServers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	file := filepath.Join(t.TempDir(), "ingot.key")
	for _, name := range []string{file, file + ".new"} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(file, 61234, 61235); err != nil {
		t.Fatal(err)
	}
	w := &keysWork{source: &keySource{file: file}, say: t.Logf}
	if err := w.replaceFile("0123"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != file+".new" {
		t.Fatalf("%q, %v", text, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if is := info.Sys().(*syscall.Stat_t); is.Uid != 61234 || is.Gid != 61235 || info.Mode().Perm() != 0o600 {
		t.Errorf("it is of %d:%d, mode %04o", is.Uid, is.Gid, info.Mode().Perm())
	}
}
