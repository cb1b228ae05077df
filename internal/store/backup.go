package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// PlainSQLite opens a database file for Copy, Backup and Check: it must exist, nothing is migrated and no key is
// needed. A server may be running on it.
func PlainSQLite(ctx context.Context, path string) (*DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return plainSQLite(path)
}

func plainSQLite(path string) (*DB, error) {
	dsn := "file:" + path + "?_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)"
	write, err := openPool(dsn+"&_txlock=immediate", 1)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	read, err := openPool(dsn, 2)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), write.Close())
	}
	return &DB{write: write, read: read, dialect: &sqliteDialect}, nil
}

// PlainPostgres is PlainSQLite for a PostgreSQL database. Nothing it does has a limit of time.
func PlainPostgres(ctx context.Context, where secret.Secret) (*DB, error) {
	config, err := postgresConfig(where)
	if err != nil {
		return nil, err
	}
	pool := postgresPool(unlimited(config), 2)
	db := &DB{write: pool, read: postgresPool(unlimited(config), 2), dialect: &postgresDialect}
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", named(config), unreached(db.explain(err))), db.Close())
	}
	return db, nil
}

// Backup writes all of a database into a new SQLite file, mode 0600: one consistent state, while servers run.
// Private values stay sealed in it: it is worth nothing without the key file. A file that exists is
// fault.Conflict.
func Backup(ctx context.Context, from *DB, path string) error {
	return newFile(path, func(part string) error {
		if from.dialect == &sqliteDialect {
			if err := from.look(ctx, func(r raw) error { _, err := r.version(); return err }); err != nil {
				return fmt.Errorf("back up: %w", err)
			}
			if _, err := from.write.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
				return fmt.Errorf("back up: %w", err)
			}
			return nil
		}
		to, err := plainSQLite(part)
		if err != nil {
			return err
		}
		if err = to.migrate(ctx, to.write); err == nil {
			_, err = Copy(ctx, from, to)
		}
		return errors.Join(err, to.Close())
	})
}

// Restored makes a database file of a backup. A file that exists is fault.Conflict, and so is a backup of a newer
// program; one that is damaged is fault.Invalid.
func Restored(ctx context.Context, backup, path string) error {
	from, err := PlainSQLite(ctx, backup)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := whole(ctx, from); err != nil {
		return err
	}
	return Backup(ctx, from, path)
}

// RestoredTo fills an empty PostgreSQL database from a backup; an older one is brought up to date on the way.
func RestoredTo(ctx context.Context, backup string, to *DB) ([]Copied, error) {
	from, err := PlainSQLite(ctx, backup)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	if err := whole(ctx, from); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ingot-restore-") // mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	part := filepath.Join(dir, "ingot.db")
	if err := Backup(ctx, from, part); err != nil {
		return nil, err
	}
	migrated, err := PlainSQLite(ctx, part)
	if err != nil {
		return nil, err
	}
	defer migrated.Close()
	if err := migrated.migrate(ctx, migrated.write); err != nil {
		return nil, err
	}
	return Copy(ctx, migrated, to)
}

// whole refuses a file that is no database of ours, a newer program's, or damaged.
func whole(ctx context.Context, db *DB) error {
	return db.look(ctx, func(r raw) error {
		v, err := r.version()
		switch {
		case err != nil:
			return fault.Wrap(fault.Invalid, err, "The file cannot be read as a backup of Ingot.")
		case v == 0:
			return fault.New(fault.Invalid, "The file is no backup of Ingot: it has none of its tables.")
		case v > newest():
			return tooNew(v, newest())
		}
		damage, err := r.list("PRAGMA integrity_check(3)")
		if err != nil || len(damage) != 1 || damage[0] != "ok" {
			return fault.Wrap(fault.Invalid, errors.Join(err, fmt.Errorf("%v", damage)), "The backup is damaged: use another one.")
		}
		return nil
	})
}

// newFile makes a file beside its place and moves it there whole, never over another.
func newFile(path string, fill func(part string) error) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.Conflict, err, "The file %s exists and is not overwritten: move it away, or name another.", path)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".ingot-") // mode 0700: nobody else reads the part
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	part := filepath.Join(dir, "part")
	if err := fill(part); err != nil {
		return err
	}
	if err := os.Chmod(part, 0o600); err != nil {
		return err
	}
	if err := syncFile(part); err != nil {
		return err
	}
	if err := os.Link(part, path); err != nil {
		return fmt.Errorf("move the file to its place: %w", err)
	}
	return syncFile(filepath.Dir(path))
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
