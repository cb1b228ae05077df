package main

import (
	"context"
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
func openStore(ctx context.Context, f serveFlags, c config.Config, keys *keySource) (*store.DB, store.Key, error) {
	if where := database(f, c); !where.Empty() {
		key, err := keys.key(ctx, "")
		if err != nil {
			return nil, store.Key{}, err
		}
		db, err := store.OpenPostgres(ctx, where, key)
		return db, key, wrongKeyHint(err, keys)
	}
	path := filepath.Join(f.data, "ingot.db")
	key, err := keys.key(ctx, path)
	if err != nil {
		return nil, store.Key{}, err
	}
	db, err := store.OpenSQLite(ctx, path, key)
	return db, key, wrongKeyHint(err, keys)
}

// database is the URL of the PostgreSQL database; empty for the data folder's own.
func database(f serveFlags, c config.Config) secret.Secret {
	if f.database != "" {
		return secret.New(f.database)
	}
	return c.Database.Connection
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
