package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// Copied is what Copy did with one table.
type Copied struct {
	Table string
	Rows  int
}

// copyAtOnce and copyBytes bound what one INSERT of a copy carries.
const (
	copyAtOnce = 100
	copyBytes  = 1 << 20
)

// Copy copies all tables from one database to another, in one transaction each: a consistent state, all of it
// or nothing. Values stay sealed as they are, so the copy needs the same key. A target that holds rows is
// fault.Conflict. Every row is read back and compared before the end.
func Copy(ctx context.Context, from, to *DB) ([]Copied, error) {
	var out []Copied
	err := from.look(ctx, func(source raw) error {
		if err := source.current(); err != nil {
			return fmt.Errorf("the source: %w", err)
		}
		tx, err := to.write.BeginTx(ctx, &sql.TxOptions{Isolation: to.dialect.writing})
		if err != nil {
			return to.explain(err)
		}
		out, err = copyAll(source, raw{tx, to.dialect, ctx})
		if err != nil {
			return errors.Join(to.explain(err), ignoreDone(tx.Rollback()))
		}
		return to.explain(tx.Commit())
	})
	return out, err
}

func copyAll(source, target raw) ([]Copied, error) {
	if err := target.current(); err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	tables, err := source.tables()
	if err != nil {
		return nil, err
	}
	if err := target.mustBeEmpty(tables); err != nil {
		return nil, err
	}
	var out []Copied
	for _, t := range tables {
		if _, err := target.tx.ExecContext(target.ctx, "DELETE FROM "+t.name); err != nil { // what migrations wrote
			return nil, fmt.Errorf("clear table %s: %w", t.name, err)
		}
		read, err := copyTable(source, target, t)
		if err != nil {
			return nil, err
		}
		if t.counts {
			last, err := source.lastID(t)
			if err == nil {
				err = target.setLastID(t, last)
			}
			if err != nil {
				return nil, err
			}
		}
		written, err := target.sum(t)
		if err != nil {
			return nil, err
		}
		if written != read {
			return nil, fmt.Errorf("table %s: %d rows were read and %d written, or not the same ones; nothing was kept", t.name, read.rows, written.rows)
		}
		out = append(out, Copied{t.name, read.rows})
	}
	return out, nil
}

// mustBeEmpty refuses a target with rows beyond those that migrations write, or with other tables.
func (r raw) mustBeEmpty(tables []table) error {
	have, err := r.tables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		i := slices.IndexFunc(have, func(o table) bool { return o.name == t.name })
		if i < 0 || !slices.Equal(slices.Sorted(slices.Values(have[i].columns)), slices.Sorted(slices.Values(t.columns))) {
			return fmt.Errorf("table %s is not the same in the two databases", t.name)
		}
	}
	fresh, err := freshCounts(r.ctx)
	if err != nil {
		return err
	}
	for _, t := range have {
		n, err := r.count(t.name)
		if err != nil {
			return err
		}
		if n > fresh[t.name] {
			return fault.New(fault.Conflict, "The target is not empty: its table %s has rows (%d). Give an empty database that no server has been started on.", t.name, n)
		}
	}
	return nil
}

// freshCounts is how many rows each table of a new database has.
func freshCounts(ctx context.Context) (map[string]int, error) {
	pool, err := openPool("file::memory:", 1)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	db := &DB{write: pool, read: pool, dialect: &sqliteDialect}
	if err := db.migrate(ctx, pool); err != nil {
		return nil, err
	}
	out := map[string]int{}
	err = db.look(ctx, func(r raw) error {
		all, err := r.tables()
		for _, t := range all {
			var e error
			out[t.name], e = r.count(t.name)
			err = errors.Join(err, e)
		}
		return err
	})
	return out, err
}

func copyTable(source, target raw, t table) (sum, error) {
	var read sum
	var args []any
	size, rows := 0, 0
	flush := func() error {
		if rows == 0 {
			return nil
		}
		one := "(" + marks(len(t.columns)) + ")"
		query := "INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ") VALUES " + strings.TrimSuffix(strings.Repeat(one+", ", rows), ", ")
		_, err := target.tx.ExecContext(target.ctx, target.d.sql(query), args...)
		args, size, rows = args[:0], 0, 0
		if err != nil {
			return fmt.Errorf("write table %s: %w", t.name, err)
		}
		return nil
	}
	err := source.each(t, func(values []any) error {
		read.add(values)
		for _, v := range values {
			switch v := v.(type) {
			case []byte:
				size += len(v)
			case string:
				size += len(v)
			}
		}
		args, rows = append(args, values...), rows+1
		if rows == copyAtOnce || size >= copyBytes {
			return flush()
		}
		return nil
	})
	if err != nil {
		return read, err
	}
	return read, flush()
}
