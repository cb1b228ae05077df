package store

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// TestARotationThatCameTooLate: whoever read the keys before another rotation came to its end begins none with them, which would leave
// keys that no one key opens.
func TestARotationThatCameTooLate(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, dir)
	file := filepath.Join(dir, "ingot.db")
	late, err := OpenSQLite(t.Context(), file, testKey(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	next := testKey(t, t.TempDir())
	rotateAlone(t, db, next)
	if fresh, err := late.BeginRotation(t.Context(), testKey(t, t.TempDir())); fresh || !errors.Is(err, ErrSealed) {
		t.Errorf("begun with a key that opens nothing any more: %v, %v", fresh, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSQLite(t.Context(), file, next)
	if err != nil {
		t.Fatalf("with the key of the rotation that was done: %v", err)
	}
	defer again.Close()
	if wait, err := again.UseComing(t.Context(), time.Minute); err != nil || len(wait) > 0 {
		t.Errorf("something is coming: %v, %v", wait, err)
	}
}
