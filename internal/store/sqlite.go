package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

var sqliteDialect = dialect{
	name:    "sqlite3",
	serial:  "INTEGER PRIMARY KEY AUTOINCREMENT",
	bytes:   "BLOB",
	pick:    "COALESCE(%[1]s ->> '%[2]s', '')",
	text:    "TEXT",
	now:     "CAST(unixepoch('subsec') * 1000000 AS INTEGER)", // subsec: SQLite 3.42
	catalog: sqliteCatalog,
	like:    "LIKE",
	broken:  brokenInSQLite,
	// One connection writes at a time, so rows need no locks and claims pass nothing over.
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
	if err := db.migrate(ctx, write); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, unusable(err)), write.Close())
	}
	if db.read, err = openPool(dsn+"&_pragma=query_only(1)", readers); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), write.Close())
	}
	if err := db.Write(ctx, (*Tx).openKeys); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, nil
}

// unusable adds what to do to the error of a file that SQLite cannot work with. Source: sqlite.org/rescode.html.
func unusable(err error) error {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code() & 0xff {
	case 11, 26: // SQLITE_CORRUPT, SQLITE_NOTADB
		return fmt.Errorf("%w: the file is damaged, or no database: move it away and restore a backup with \"ingot db restore\"", err)
	case 10, 13: // SQLITE_IOERR, SQLITE_FULL
		return fmt.Errorf("%w: see whether its disk is full or broken", err)
	}
	return err
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
