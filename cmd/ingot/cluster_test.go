package main

import (
	"log/slog"
	"path/filepath"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/store"
)

// TestAServerWhoseNameWasTakenEnds: while it was frozen another place took its name; it must not go on beside that one.
func TestAServerWhoseNameWasTakenEnds(t *testing.T) {
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &server{log: slog.New(slog.DiscardHandler)}
	m := &members{db: db, self: store.Server{Name: "one", Place: "here"}}
	if err := m.sign(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	taken := func(tx *store.Tx) error { return tx.SaveServer(store.Server{Name: "one", Place: "there"}, 0) } // 0: its limit is over
	if err := db.Write(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	if err := m.sign(t.Context(), s); fault.KindOf(err) != fault.Conflict {
		t.Errorf("it goes on: %v", err)
	}
	db.Close()
	if err := m.sign(t.Context(), s); err != nil {
		t.Errorf("a database that is away ends it: %v", err)
	}
}
