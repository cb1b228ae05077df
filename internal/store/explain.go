package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"ingot/internal/fault"
)

// uniqueness says in words what each unique rule means; the caller's layer may name the value.
var uniqueness = map[string]string{
	"nodes.uuid":            "A node with this UUID already exists.",
	"nodes.name":            "A node with this name already exists.",
	"nodes.instance_uuid":   "This instance is already associated with a node.",
	"ports.uuid":            "A port with this UUID already exists.",
	"ports.address":         "A port with this MAC address already exists.",
	"ports.name":            "A port with this name already exists.",
	"deploy_templates.uuid": "A deploy template with this UUID already exists.",
	"deploy_templates.name": "A deploy template with this name already exists.",
	"inspection_rules.uuid": "An inspection rule with this UUID already exists.",
	"portgroups.uuid":       "A portgroup with this UUID already exists.",
	"portgroups.address":    "A portgroup with this MAC address already exists.",
	"portgroups.name":       "A portgroup with this name already exists.",
	"chassis.uuid":          "A chassis with this UUID already exists.",

	"volume_connectors.uuid":         "A volume connector with this UUID already exists.",
	"volume_connectors.connector_id": "A volume connector with this type and connector_id already exists.",
	"volume_targets.uuid":            "A volume target with this UUID already exists.",
	"volume_targets.boot_index":      "A volume target with this boot_index already exists for the node.",

	"os_definitions.uuid": "An OS definition with this UUID already exists.",
	"os_definitions.name": "An OS definition with this name already exists.",
	"allocations.uuid":    "An allocation with this UUID already exists.",
	"allocations.name":    "An allocation with this name already exists.",
	"allocations.node_id": "The node already has an allocation.",
	"runbooks.uuid":       "A runbook with this UUID already exists.",
	"runbooks.name":       "A runbook with this name already exists.",
	"operations.node_id":  "The node is locked by another operation, please retry after the current operation is completed.",
}

// explain turns what an engine says into a fault, where callers can do something about it.
func (db *DB) explain(err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if rule := db.dialect.broken(err); uniqueness[rule] != "" {
		k := fault.Conflict
		if rule == "operations.node_id" {
			k = fault.Locked
		}
		return fault.Wrap(k, err, "%s", uniqueness[rule])
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return explainCode(pe)
	}
	if lost(err) {
		return fault.Wrap(fault.Unavailable, err, "The database cannot be reached at the moment; please retry.")
	}
	return err
}

// explainCode turns PostgreSQL's error codes into faults. Source: PostgreSQL manual, appendix A.
func explainCode(pe *pgconn.PgError) error {
	switch pe.Code {
	case "40001", "40P01": // serialization failure, deadlock: the closure may not run twice, so the caller asks again
		return fault.Wrap(fault.Unavailable, pe, "Another request changed the same things at the same time; please retry.")
	case "55P03", "57014": // lock or statement timeout
		return fault.Wrap(fault.Unavailable, pe, "The database is busy; please retry.")
	case "22021": // PostgreSQL has no NUL in texts
		return fault.Wrap(fault.Invalid, pe, "A text holds a character that cannot be stored.")
	case "25006", "53300", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04":
		return fault.Wrap(fault.Unavailable, pe, "The database cannot be reached at the moment; please retry.")
	}
	if strings.HasPrefix(pe.Code, "08") {
		return fault.Wrap(fault.Unavailable, pe, "The database cannot be reached at the moment; please retry.")
	}
	return pe
}

// lost tells whether an error is a connection that broke or could not be made.
func lost(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	if strings.Contains(err.Error(), "conn busy") { // a defect of ours: a query among the rows of another
		return false
	}
	return errors.As(err, &connect) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err) ||
		errors.As(err, &network) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// brokenInSQLite gives the unique rule that a statement broke, "" if that was not it.
func brokenInSQLite(err error) string {
	var se *sqlite.Error
	if !errors.As(err, &se) || se.Code()&0xff != 19 { // SQLITE_CONSTRAINT
		return ""
	}
	for rule := range uniqueness {
		if strings.Contains(err.Error(), rule) {
			return rule
		}
	}
	return ""
}

// brokenInPostgres is the same for PostgreSQL, which names rules nodes_uuid_key.
func brokenInPostgres(err error) string {
	var pe *pgconn.PgError
	switch {
	case !errors.As(err, &pe) || pe.Code != "23505":
		return ""
	case pe.ConstraintName == "operations_one_live":
		return "operations.node_id"
	}
	return pe.TableName + "." + strings.TrimSuffix(strings.TrimPrefix(pe.ConstraintName, pe.TableName+"_"), "_key")
}
