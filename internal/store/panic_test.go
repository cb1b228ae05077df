package store

import (
	"context"
	"testing"
	"time"
)

// TestAPanicLeavesNoTransaction: the connection of a closure that panics is free at once, also on an engine that has only
// one for writing.
func TestAPanicLeavesNoTransaction(t *testing.T) { each(t, testAPanicLeavesNoTransaction) }

func testAPanicLeavesNoTransaction(t *testing.T, open opener) {
	db := open(t)
	for range writers + 1 {
		func() {
			defer func() { _ = recover() }()
			_ = db.Write(context.Background(), func(*Tx) error { panic("a defect") })
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := db.Write(ctx, func(tx *Tx) error { _, err := tx.Now(); return err }); err != nil {
		t.Error(err)
	}
}
