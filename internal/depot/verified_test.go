package depot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestNobodyWaitsForAnothersFile: while one file is being read, what another comes to is found.
func TestNobodyWaitsForAnothersFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) *os.File {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	long, other := file("an ISO of many GiB"), file("another installer")
	info, err := long.Stat()
	if err != nil {
		t.Fatal(err)
	}

	var h hashes
	begun, end := make(chan struct{}), make(chan struct{})
	go h.readings.Do(fmt.Sprint(identityOf(info)), func() (any, error) {
		close(begun)
		<-end
		return "what was read", nil
	})
	<-begun
	sum := sha256.Sum256([]byte("another installer"))
	if got, err := h.of(other); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Error(got, err)
	}
	close(end)
}
