package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ingot/internal/fault"
)

// readers is how many transactions may read at a time.
const readers = 8

// DB is an open database.
type DB struct {
	write, read *sql.DB
	dialect     *dialect
	key         Key
	changed     changes
	types       sync.Map // host name to knownTypes
	stop        func()   // ends what runs beside; nil if nothing does
	watch       func(kind string, took time.Duration, err error)
}

// Watch has f told of every transaction: "read" or "write", how long it took, and how it ended. Call it before
// the first.
func (db *DB) Watch(f func(kind string, took time.Duration, err error)) { db.watch = f }

// Close ends all connections.
func (db *DB) Close() error {
	if db.stop != nil {
		db.stop()
	}
	err := db.write.Close()
	if db.read != nil {
		err = errors.Join(err, db.read.Close())
	}
	return err
}

// Tx is a transaction. Its methods are in the files of the things they keep.
type Tx struct {
	tx     *sql.Tx
	db     *DB
	ctx    context.Context //nolint:containedctx // a Tx lives no longer than the call it was made for
	writes bool            // made by Write: what it reads may be what it changes
	held   map[int64]bool  // nodes whose rows are locked
	wrote  bool
	moment time.Time
}

// Write runs f in a transaction that may change things; an error from f undoes it all. f runs once: what it
// changes outside the database is changed once too. Two that change the same node follow each other, for the
// first look at a node holds it until the end (see locks.go).
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error {
	return db.run(ctx, db.write, &sql.TxOptions{Isolation: db.dialect.writing}, f)
}

// Read runs f in a transaction that sees one consistent state and changes nothing.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error {
	return db.run(ctx, db.read, &sql.TxOptions{Isolation: db.dialect.reading, ReadOnly: true}, f)
}

func (db *DB) run(ctx context.Context, pool *sql.DB, o *sql.TxOptions, f func(*Tx) error) (err error) {
	if db.watch != nil {
		kind, begun := "write", time.Now()
		if o != nil && o.ReadOnly {
			kind = "read"
		}
		defer func() { db.watch(kind, time.Since(begun), err) }()
	}
	call := ctx
	if db.dialect.limit > 0 {
		var cancel context.CancelFunc
		call, cancel = context.WithTimeout(ctx, db.dialect.limit)
		defer cancel()
	}
	err = db.attempt(call, pool, o, f)
	if err != nil && ctx.Err() == nil && call.Err() != nil {
		return fault.Wrap(fault.Unavailable, err, "The database did not answer within %s; please retry.", db.dialect.limit)
	}
	return db.explain(err)
}

func (db *DB) attempt(ctx context.Context, pool *sql.DB, o *sql.TxOptions, f func(*Tx) error) error {
	tx, err := db.begin(ctx, pool, o)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing, unless f panics: its connection must not stay taken
	t := &Tx{tx: tx, db: db, ctx: ctx, writes: !o.ReadOnly}
	err = f(t)
	if err == nil && t.wrote && db.dialect.notify != "" {
		_, err = t.exec(db.dialect.notify, db.changed.self)
	}
	if err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if t.wrote {
		db.changed.announce()
	}
	return nil
}

// begin starts a transaction. After a server's restart every connection of the pool is dead and each is found
// so once; nothing has been done then, and the next may be alive.
func (db *DB) begin(ctx context.Context, pool *sql.DB, o *sql.TxOptions) (*sql.Tx, error) {
	for range pool.Stats().MaxOpenConnections {
		tx, err := pool.BeginTx(ctx, o)
		if err == nil || ctx.Err() != nil || !stale(err) {
			return tx, err
		}
	}
	return pool.BeginTx(ctx, o)
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Now is database time, the same for the whole transaction.
func (t *Tx) Now() (time.Time, error) {
	if t.moment.IsZero() {
		var us int64
		if err := t.row("SELECT {{now}}").Scan(&us); err != nil {
			return time.Time{}, fmt.Errorf("read database time: %w", err)
		}
		t.moment = fromMicros(us)
	}
	return t.moment, nil
}

func (t *Tx) exec(query string, args ...any) (sql.Result, error) {
	if err := noNul(args); err != nil {
		return nil, err
	}
	res, err := t.tx.ExecContext(t.ctx, t.db.dialect.sql(query), args...)
	if err != nil {
		return nil, t.db.explain(err)
	}
	return res, nil
}

func (t *Tx) row(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, t.db.dialect.sql(query), args...)
}

// insert runs an INSERT and gives the id of its row.
func (t *Tx) insert(into *int64, query string, args ...any) error {
	return t.returned(into, query, args...)
}

// returned runs a statement that gives one value of the row it changes; sql.ErrNoRows if it changes none.
func (t *Tx) returned(into any, query string, args ...any) error {
	if err := noNul(args); err != nil {
		return err
	}
	return t.db.explain(t.row(query, args...).Scan(into))
}

// noNul refuses texts that PostgreSQL cannot keep, on every engine.
func noNul(args []any) error {
	for _, a := range args {
		if s, ok := a.(string); ok && strings.IndexByte(s, 0) >= 0 {
			return fault.New(fault.Invalid, "A text holds a NUL character, which cannot be stored.")
		}
	}
	return nil
}

func (t *Tx) rows(query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, t.db.dialect.sql(query), args...)
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
