package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	"ingot/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is how many transactions may read at a time.
const readers = 8

// DB is an open database.
type DB struct {
	write, read *sql.DB
	dialect     *dialect
	key         Key
	changed     changes
	types       sync.Map // host name to knownTypes
}

// OpenSQLite opens the database file, making and migrating it as needed. One connection writes; readers
// have their own. An accepted request survives a power cut (synchronous=FULL).
func OpenSQLite(ctx context.Context, path string, key Key) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	dsn := "file:" + path + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	write, err := openPool(dsn+"&_txlock=immediate", 1)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db := &DB{write: write, dialect: &sqliteDialect, key: key}
	if err := db.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate database %s: %w", path, err), write.Close())
	}
	if db.read, err = openPool(dsn+"&_pragma=query_only(1)", readers); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), write.Close())
	}
	if err := db.Write(ctx, (*Tx).checkKey); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, nil
}

// openPool gives connections that stay open: a new one costs a schema read and every statement's parsing.
func openPool(dsn string, conns int) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(preparing{c})
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

func (db *DB) migrate(ctx context.Context) error {
	files := fstest.MapFS{}
	tokens := strings.NewReplacer("{{serial}}", db.dialect.serial, "{{bytes}}", db.dialect.bytes)
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		files[filepath.Base(name)] = &fstest.MapFile{Data: []byte(tokens.Replace(string(text)))}
	}
	p, err := goose.NewProvider(goose.Dialect(db.dialect.name), db.write, files)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// checkKey opens what the first start sealed: a wrong key is found now, and not when a node is needed.
func (t *Tx) checkKey() error {
	const text = "ingot"
	var sealed []byte
	err := t.row("SELECT sealed FROM key_check WHERE id = 1").Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = t.exec("INSERT INTO key_check (id, sealed) VALUES (1, ?)", t.db.key.seal([]byte(text), "key_check", "sealed"))
		return err
	}
	if err == nil {
		_, err = t.db.key.open(sealed, "key_check", "sealed")
	}
	return err
}

// Close ends all connections.
func (db *DB) Close() error {
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
	wrote  bool
	moment time.Time
}

// Write runs f in a transaction that may change things; an error from f undoes it all.
func (db *DB) Write(ctx context.Context, f func(*Tx) error) error {
	return db.run(ctx, db.write, nil, f)
}

// Read runs f in a transaction that sees one consistent state and changes nothing.
func (db *DB) Read(ctx context.Context, f func(*Tx) error) error {
	return db.run(ctx, db.read, &sql.TxOptions{ReadOnly: true}, f)
}

func (db *DB) run(ctx context.Context, pool *sql.DB, o *sql.TxOptions, f func(*Tx) error) error {
	tx, err := pool.BeginTx(ctx, o)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	t := &Tx{tx: tx, db: db, ctx: ctx}
	if err := f(t); err != nil {
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
	res, err := t.tx.ExecContext(t.ctx, t.db.dialect.sql(query), args...)
	if err != nil {
		return nil, t.db.explain(err)
	}
	return res, nil
}

func (t *Tx) row(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, t.db.dialect.sql(query), args...)
}

func (t *Tx) rows(query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, t.db.dialect.sql(query), args...)
}

// explain turns a broken uniqueness rule into a fault that names what is there already.
func (db *DB) explain(err error) error {
	var se *sqlite.Error
	if !errors.As(err, &se) || se.Code()&0xff != 19 { // SQLITE_CONSTRAINT
		return err
	}
	for rule, sentence := range uniqueness {
		if strings.Contains(err.Error(), rule) {
			k := fault.Conflict
			if rule == "operations.node_id" {
				k = fault.Locked
			}
			return fault.Wrap(k, err, "%s", sentence)
		}
	}
	return err
}

// uniqueness says in words what each unique rule means; the caller's layer may name the value.
var uniqueness = map[string]string{
	"nodes.uuid":          "A node with this UUID already exists.",
	"nodes.name":          "A node with this name already exists.",
	"nodes.instance_uuid": "This instance is already associated with a node.",
	"ports.uuid":          "A port with this UUID already exists.",
	"ports.address":       "A port with this MAC address already exists.",
	"ports.name":          "A port with this name already exists.",
	"operations.node_id":  "The node is locked by another operation, please retry after the current operation is completed.",
}

// changes tells waiters of this process that something was committed.
type changes struct {
	mu sync.Mutex
	ch chan struct{}
}

func (c *changes) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ch != nil {
		close(c.ch)
		c.ch = nil
	}
}

// Changed gives a channel that is closed at the next commit that changed an operation. Ask for it before
// looking, or the change is missed.
func (db *DB) Changed() <-chan struct{} {
	db.changed.mu.Lock()
	defer db.changed.mu.Unlock()
	if db.changed.ch == nil {
		db.changed.ch = make(chan struct{})
	}
	return db.changed.ch
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
