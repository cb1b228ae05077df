package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// openStore opens the database: that of the data folder, which must be this process's own, or the PostgreSQL
// database that --database or [database] connection names, which servers may share with its key.
func openStore(ctx context.Context, f serveFlags, c config.Config) (*store.DB, store.Key, error) {
	keyFile := f.keyFile
	if keyFile == "" {
		keyFile = filepath.Join(f.data, "ingot.key")
	}
	if where := database(f, c); !where.Empty() {
		key, err := store.LoadKey(keyFile)
		if err != nil {
			return nil, store.Key{}, err
		}
		db, err := store.OpenPostgres(ctx, where, key)
		if errors.Is(err, store.ErrSealed) {
			err = cli.Hint(err, "servers that share a database share its key: copy %s from the first server, or name it with --key-file", keyFile)
		}
		return db, key, err
	}
	path := filepath.Join(f.data, "ingot.db")
	key, err := store.KeyFor(path, keyFile)
	if err != nil {
		return nil, store.Key{}, err
	}
	db, err := store.OpenSQLite(ctx, path, key)
	return db, key, err
}

// database is the URL of the PostgreSQL database; empty for the data folder's own.
func database(f serveFlags, c config.Config) secret.Secret {
	if f.database != "" {
		return secret.New(f.database)
	}
	return c.Database.Connection
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
