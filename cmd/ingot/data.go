package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ingot/internal/cli"
	"ingot/internal/store"
)

// openStore opens the database of the data folder, which must be this process's own.
func openStore(ctx context.Context, data string) (*store.DB, store.Key, error) {
	path := filepath.Join(data, "ingot.db")
	key, err := store.KeyFor(path, filepath.Join(data, "ingot.key"))
	if err != nil {
		return nil, store.Key{}, err
	}
	db, err := store.OpenSQLite(ctx, path, key)
	return db, key, err
}

// refuseDumps keeps secrets out of core dumps.
func refuseDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("refuse core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // a pattern that pipes dumps ignores the limit
		return fmt.Errorf("refuse core dumps: %w", err)
	}
	return nil
}

// lockData makes the data folder this process's own: two servers on one SQLite file would both be the
// conductor of the same name.
func lockData(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, cli.Hint(fmt.Errorf("make the data folder: %w", err), "--data names the folder; it must be one that this user may write to")
	}
	l, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, cli.Hint(fmt.Errorf("lock the data folder: %w", err), "--data names the folder; it must be one that this user may write to")
	}
	if err := unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		l.Close()
		return nil, cli.Hint(fmt.Errorf("the data folder %s is in use by another server", dir), "end that server, or give this one a folder of its own with --data")
	}
	return func() { l.Close() }, nil
}
