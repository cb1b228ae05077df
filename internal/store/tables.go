package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// What follows knows the tables by asking the database, so that a new migration needs no line here.

// table is one of the schema's, without goose's own.
type table struct {
	name    string
	columns []string
	needs   []string // tables that its rows refer to
	counts  bool     // its id counts by itself
}

// raw is a transaction as the maintenance of whole tables uses it.
type raw struct {
	tx  *sql.Tx
	d   *dialect
	ctx context.Context //nolint:containedctx // as Tx
}

// look runs f in a transaction that sees one consistent state. There is no limit: tables may be large.
func (db *DB) look(ctx context.Context, f func(raw) error) error {
	tx, err := db.read.BeginTx(ctx, &sql.TxOptions{Isolation: db.dialect.reading, ReadOnly: true})
	if err != nil {
		return db.explain(fmt.Errorf("begin transaction: %w", err))
	}
	if db.dialect == &postgresDialect { // what is read may go a slow way
		_, err = tx.ExecContext(ctx, "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true)")
	}
	if err == nil {
		err = f(raw{tx, db.dialect, ctx})
	}
	return db.explain(errors.Join(err, ignoreDone(tx.Rollback())))
}

func (r raw) list(query string, args ...any) (out []string, err error) {
	rows, err := r.tx.QueryContext(r.ctx, r.d.sql(query), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// catalog are the questions about tables, in each engine's words.
type catalog struct{ tables, columns, needs, counts string }

var sqliteCatalog = catalog{
	tables:  "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version' ORDER BY name",
	columns: "SELECT name FROM pragma_table_info(?) ORDER BY cid",
	needs:   `SELECT DISTINCT "table" FROM pragma_foreign_key_list(?)`,
	counts:  "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ? AND sql LIKE '%AUTOINCREMENT%'",
}

var postgresCatalog = catalog{
	tables:  "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name <> 'goose_db_version' ORDER BY 1",
	columns: "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position",
	needs:   "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid = CAST(CAST(? AS TEXT) AS regclass)",
	counts:  "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ? AND is_identity = 'YES'",
}

// tables lists all tables, those that others refer to first.
func (r raw) tables() ([]table, error) {
	names, err := r.list(r.d.catalog.tables)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	var rest, out []table
	for _, name := range names {
		t := table{name: name}
		var counts []string
		var errs [3]error
		t.columns, errs[0] = r.list(r.d.catalog.columns, name)
		t.needs, errs[1] = r.list(r.d.catalog.needs, name)
		counts, errs[2] = r.list(r.d.catalog.counts, name)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("look at table %s: %w", name, err)
		}
		t.counts = len(counts) > 0
		rest = append(rest, t)
	}
	for len(rest) > 0 {
		i := slices.IndexFunc(rest, func(t table) bool {
			return !slices.ContainsFunc(rest, func(o table) bool { return o.name != t.name && slices.Contains(t.needs, o.name) })
		})
		if i < 0 {
			return nil, errors.New("the tables refer to each other in a circle")
		}
		out, rest = append(out, rest[i]), slices.Delete(rest, i, i+1)
	}
	return out, nil
}

// sum is what the rows of a table come to, in whatever order: how many there are, and a hash of all.
type sum struct {
	rows int
	hash [sha256.Size]byte
}

func (s *sum) add(values []any) {
	h := sha256.New()
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			h.Write([]byte("n;"))
		case []byte:
			fmt.Fprintf(h, "b%d:%s;", len(v), v)
		case string:
			fmt.Fprintf(h, "s%d:%s;", len(v), v)
		default:
			fmt.Fprintf(h, "v%v;", v)
		}
	}
	s.rows++
	for i, b := range h.Sum(nil) {
		s.hash[i] ^= b
	}
}

// each gives every row of a table to f. The values are f's own.
func (r raw) each(t table, f func(values []any) error) error {
	rows, err := r.tx.QueryContext(r.ctx, "SELECT "+strings.Join(t.columns, ", ")+" FROM "+t.name)
	if err != nil {
		return fmt.Errorf("read table %s: %w", t.name, err)
	}
	defer rows.Close()
	for rows.Next() {
		values := make([]any, len(t.columns))
		into := make([]any, len(values))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read table %s: %w", t.name, err)
		}
		if err := f(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r raw) sum(t table) (sum, error) {
	var s sum
	err := r.each(t, func(values []any) error { s.add(values); return nil })
	return s, err
}

func (r raw) count(name string) (n int, err error) {
	err = r.tx.QueryRowContext(r.ctx, "SELECT count(*) FROM "+name).Scan(&n)
	return n, err
}

// lastID is the last id that a table's counter gave; 0: none.
func (r raw) lastID(t table) (int64, error) {
	query := "SELECT seq FROM sqlite_sequence WHERE name = ?"
	if r.d == &postgresDialect {
		query = "SELECT last_value FROM pg_sequences WHERE format('%I.%I', schemaname, sequencename) = pg_get_serial_sequence(?, 'id')"
	}
	var n sql.NullInt64
	err := r.tx.QueryRowContext(r.ctx, r.d.sql(query), t.name).Scan(&n)
	return n.Int64, noRowsIsFine(err)
}

// setLastID lets a table's counter go on behind an id.
func (r raw) setLastID(t table, id int64) error {
	var statements []string
	switch {
	case id == 0:
		return nil
	case r.d == &postgresDialect:
		statements = []string{"SELECT setval(pg_get_serial_sequence('" + t.name + "', 'id'), ?)"}
	default:
		if _, err := r.tx.ExecContext(r.ctx, "DELETE FROM sqlite_sequence WHERE name = '"+t.name+"'"); err != nil {
			return err
		}
		statements = []string{"INSERT INTO sqlite_sequence (name, seq) VALUES ('" + t.name + "', ?)"}
	}
	for _, s := range statements {
		if _, err := r.tx.ExecContext(r.ctx, r.d.sql(s), id); err != nil {
			return fmt.Errorf("set the counter of %s: %w", t.name, err)
		}
	}
	return nil
}

// version is the schema version; 0 for a database that holds nothing of ours.
func (r raw) version() (int64, error) {
	query := "SELECT count(*) FROM sqlite_master WHERE name = 'goose_db_version'"
	if r.d == &postgresDialect {
		query = "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'goose_db_version'"
	}
	var n int
	if err := r.tx.QueryRowContext(r.ctx, query).Scan(&n); err != nil || n == 0 {
		return 0, err
	}
	var v int64
	err := r.tx.QueryRowContext(r.ctx, "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version").Scan(&v)
	return v, err
}

// current refuses a database whose schema is not this program's: whole tables are copied only between equals.
func (r raw) current() error {
	v, err := r.version()
	switch {
	case err != nil:
		return err
	case v > newest():
		return tooNew(v, newest())
	case v == 0:
		return fault.New(fault.NotFound, "This is no database of Ingot: it has none of its tables.")
	case v < newest():
		return fault.New(fault.Conflict, "The database has schema version %d and this program version %d: start this program's server on it once, which migrates it, or use the program that wrote it.", v, newest())
	}
	return nil
}
