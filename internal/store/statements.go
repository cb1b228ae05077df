package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// statementsKept is how many prepared statements a connection keeps. The store has about sixty queries of
// its own; lists add one per combination of filters and sort keys, and what does not fit is parsed each time.
const statementsKept = 200

// preparing opens SQLite connections that parse each query once: parsing costs several times what running
// a small query does.
type preparing struct{ driver.Connector }

// Connect opens one connection.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver's %T cannot prepare statements", c), c.Close())
	}
	return &preparedConn{sqliteConn: inner, kept: map[string]*preparedStmt{}}, nil
}

// sqliteConn is what the driver's connections can do that this one passes on.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// preparedConn is a connection with its statements by query. As every driver.Conn it has one user at a time.
type preparedConn struct {
	sqliteConn
	kept map[string]*preparedStmt
}

type preparedStmt struct {
	driver.Stmt
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	busy  bool // its rows are being read: running it again would end them
}

// ExecContext runs a query that gives no rows.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.exec.ExecContext(ctx, args)
}

// QueryContext runs a query that gives rows.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.query.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &preparedRows{Rows: rows, s: s}, nil
}

// statement gives the kept statement of a query; nil if it is busy or there is no room for it.
func (c *preparedConn) statement(ctx context.Context, query string) (*preparedStmt, error) {
	if s := c.kept[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if len(c.kept) >= statementsKept {
		return nil, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &preparedStmt{Stmt: prepared}
	var can [2]bool
	s.exec, can[0] = prepared.(driver.StmtExecContext)
	s.query, can[1] = prepared.(driver.StmtQueryContext)
	if can != [2]bool{true, true} {
		return nil, prepared.Close()
	}
	c.kept[query] = s
	return s, nil
}

// Close ends the statements and the connection.
func (c *preparedConn) Close() error {
	var errs []error
	for _, s := range c.kept {
		errs = append(errs, s.Stmt.Close())
	}
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// preparedRows frees its statement for the next use when it is closed.
type preparedRows struct {
	driver.Rows
	s *preparedStmt
}

// Close ends the reading.
func (r *preparedRows) Close() error {
	r.s.busy = false
	return r.Rows.Close()
}
