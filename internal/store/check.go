package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Finding is one thing that Check looked at, in words.
type Finding struct {
	Text string
	Bad  bool
}

// sampled is how many of each kind of sealed value Check opens, the newest first.
const sampled = 1000

// Check looks at a database that was opened plainly: its schema, its integrity, how many rows there are, and
// whether the key opens what is sealed. The error is for what stops the looking.
func Check(ctx context.Context, db *DB, key Key) (out []Finding, err error) {
	defer func() { err = unusable(err) }()
	say := func(bad bool, format string, args ...any) {
		out = append(out, Finding{fmt.Sprintf(format, args...), bad})
	}
	err = db.look(ctx, func(r raw) error {
		v, err := r.version()
		if err != nil {
			return err
		}
		switch {
		case v == 0:
			say(true, "the database has none of Ingot's tables")
			return nil
		case v > newest():
			say(true, "schema version %d is newer than this program knows (%d)", v, newest())
			return nil
		case v < newest():
			say(false, "schema version %d; this program's server will bring it to %d", v, newest())
			return r.integrity(say)
		}
		say(false, "schema version %d, this program's", v)
		if err := r.integrity(say); err != nil {
			return err
		}
		if err := r.counts(say); err != nil {
			return err
		}
		return r.sealed(key, say)
	})
	return out, err
}

func (r raw) integrity(say func(bool, string, ...any)) error {
	if r.d == &postgresDialect {
		invalid, err := r.list("SELECT conrelid::regclass::text || ' ' || conname FROM pg_constraint WHERE NOT convalidated")
		for _, name := range invalid {
			say(true, "the rule %s was never checked by PostgreSQL", name)
		}
		if len(invalid) == 0 && err == nil {
			say(false, "rows refer to rows that exist: PostgreSQL keeps that")
		}
		return err
	}
	damage, err := r.list("PRAGMA integrity_check(20)")
	if err != nil {
		return fmt.Errorf("check the file: %w", err)
	}
	if len(damage) == 1 && damage[0] == "ok" {
		say(false, "the file is whole")
	} else {
		say(true, "the file is damaged: %s", strings.Join(damage, "; "))
	}
	orphans, err := r.list("SELECT \"table\" || ' (row ' || rowid || ') refers to a row of ' || parent || ' that is gone' FROM pragma_foreign_key_check LIMIT 20")
	for _, o := range orphans {
		say(true, "%s", o)
	}
	if len(orphans) == 0 && err == nil {
		say(false, "rows refer to rows that exist")
	}
	return err
}

func (r raw) counts(say func(bool, string, ...any)) error {
	tables, err := r.tables()
	if err != nil {
		return err
	}
	var words []string
	for _, t := range tables {
		n, err := r.count(t.name)
		if err != nil {
			return err
		}
		words = append(words, fmt.Sprintf("%s %d", t.name, n))
	}
	say(false, "rows: %s", strings.Join(words, ", "))
	return nil
}

func (r raw) sealed(key Key, say func(bool, string, ...any)) error {
	var mark []byte
	err := r.tx.QueryRowContext(r.ctx, "SELECT sealed FROM key_check WHERE id = 1").Scan(&mark)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		say(false, "no server has been started on it yet")
		return nil
	case err != nil:
		return err
	}
	if err := r.learn(key); errors.Is(err, ErrSealed) {
		say(true, "the key does not open this database: %v", err)
		return nil
	} else if err != nil {
		return err
	}
	if _, err := key.open(mark, "key_check", "sealed"); err != nil {
		say(true, "the key does not open this database: it was written with another key file")
		return nil
	}
	say(false, "the key is this database's")
	for _, c := range sealedColumns {
		if err := r.sample(key, c, say); err != nil {
			return err
		}
	}
	return nil
}

func (r raw) sample(key Key, c sealedColumn, say func(bool, string, ...any)) error {
	rows, err := r.tx.QueryContext(r.ctx, r.d.sql(c.newestFirst()), sampled)
	if err != nil {
		return err
	}
	defer rows.Close()
	good, bad := 0, 0
	for rows.Next() {
		var row, field string
		var value []byte
		if err := rows.Scan(&row, &field, &value); err != nil {
			return err
		}
		value, err := c.out(value)
		if err == nil {
			_, err = key.open(value, row, field)
		}
		if err != nil {
			if bad++; bad <= 3 {
				say(true, "%s: a value of %s does not open: it was altered, or moved from another row", c.what, row)
			}
			continue
		}
		good++
	}
	if bad > 3 {
		say(true, "%s: %d values do not open", c.what, bad)
	}
	say(false, "%s: %d opened", c.what, good)
	return rows.Err()
}
