package store

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// sealedColumn is a place of private values: how to find them, and to what row and field each is bound.
type sealedColumn struct {
	what                string // for people
	table, column       string
	id                  string // what orders the rows: a number, or a text if named
	row, field          string // in SQL; the row is called t, and n its node if there is no uuid
	text, ofNode, empty bool   // in a column of text; n is needed; NULL is possible
	named               bool
}

// sealedColumns are all of them. A column of bytes that is not among them fails a test.
var sealedColumns = []sealedColumn{
	{what: "driver_info of nodes", table: "nodes", column: "driver_info", id: "id", row: "t.uuid", field: "'driver_info'"},
	{what: "instance_info of nodes", table: "nodes", column: "instance_info", id: "id", row: "t.uuid", field: "'instance_info'"},
	{what: "config drives", table: "configdrives", column: "sealed", id: "node_id", row: "n.uuid", field: "'configdrive'", ofNode: true},
	{what: "records of operations", table: "operations", column: "record", id: "id", row: "t.uuid", field: "'record'"},
	{what: "answers of operations", table: "operations", column: "result", id: "id", row: "t.uuid", field: "'result'", text: true},
	{what: "tokens of agents", table: "agents", column: "token", id: "node_id", row: "n.uuid", field: "'agent token ' || t.boot", ofNode: true},
	{what: "key pairs of boots", table: "agents", column: "pairs", id: "node_id", row: "n.uuid", field: "'agent pairs ' || t.boot", ofNode: true, empty: true},
	{what: "network boots", table: "network_boots", column: "body", id: "node_id", row: "n.uuid", field: "'network boot ' || t.generation", ofNode: true},
	{what: "seeds of instances", table: "instances", column: "seed", id: "node_id", row: "n.uuid", field: "'" + seedField + "'", ofNode: true},
	{what: "vendordata of instances", table: "instances", column: "answers", id: "node_id", row: "n.uuid", field: "'" + answersField + "'", ofNode: true},
	{what: "vendordata requests of instances", table: "instances", column: "request", id: "node_id", row: "n.uuid", field: "'" + requestField + "'", ofNode: true},
	{what: "passwords of instances", table: "instance_passwords", column: "sealed", id: "node_id", row: "n.uuid", field: "'instance password ' || t.deploy", ofNode: true},
	{what: "inspection rules", table: "inspection_rules", column: "body", id: "id", row: "t.uuid", field: "'rule'"},
	{what: "steps of deploy templates", table: "deploy_templates", column: "steps", id: "id", row: "t.uuid", field: "'steps'"},
	{what: "properties of volume targets", table: "volume_targets", column: "properties", id: "id", row: "t.uuid", field: "'properties'"},
	{what: "steps of runbooks", table: "runbooks", column: "steps", id: "id", row: "t.uuid", field: "'steps'"},
	{what: "files of OS definitions", table: "os_definitions", column: "bundle", id: "id", row: "t.uuid", field: "'" + bundleField + "'"},
	{what: "private defaults of OS definitions", table: "os_definitions", column: "private", id: "id", row: "t.uuid", field: "'" + defaultsField + "'"},
	{what: "private OS parameters of nodes", table: "os_installs", column: "private", id: "node_id", row: "n.uuid", field: "'" + defaultsField + "'", ofNode: true},
	{what: "messages of machines that install themselves", table: "os_messages", column: "sealed", id: "id", row: "n.uuid", field: "'os message ' || t.deploy", ofNode: true},
	{what: "keys of erase certificates", table: "signing_keys", column: "sealed", id: "id", row: "t.id", field: "'" + signingField + "'", named: true},
	{what: "logs", table: "logs", column: "data", id: "id", row: "n.uuid", field: "'log ' || t.name", ofNode: true},
	{what: "mark of the key", table: "key_check", column: "sealed", id: "id", row: "'key_check'", field: "'sealed'"},
}

// from is the FROM clause.
func (c sealedColumn) from() string {
	if c.ofNode {
		return c.table + " t JOIN nodes n ON n.id = t.node_id"
	}
	return c.table + " t"
}

// start is before every row.
func (c sealedColumn) start() any {
	if c.named {
		return ""
	}
	return int64(-1)
}

// only is the condition that a row has a sealed value at all.
func (c sealedColumn) only() string {
	switch {
	case c.text:
		return "t." + c.column + " LIKE '" + sealedText + "%'"
	case c.empty:
		return "t." + c.column + " IS NOT NULL"
	}
	return "1 = 1"
}

// newestFirst is the query for a look at some: row, field and value.
func (c sealedColumn) newestFirst() string {
	return fmt.Sprintf("SELECT %s, %s, t.%s FROM %s WHERE %s ORDER BY t.%s DESC LIMIT ?", c.row, c.field, c.column, c.from(), c.only(), c.id)
}

// head is the SQL of how a value begins: its mark at least.
func (c sealedColumn) head() string {
	return fmt.Sprintf("substr(t.%s, 1, %d)", c.column, c.headSize())
}

func (c sealedColumn) headSize() int {
	if c.text {
		return len(sealedText) + base64.StdEncoding.EncodedLen(1+idSize)
	}
	return 1 + idSize
}

// in puts a sealed value into the column's form.
func (c sealedColumn) in(sealed []byte) any {
	if c.text {
		return sealedText + base64.StdEncoding.EncodeToString(sealed)
	}
	return sealed
}

// out takes one out of it.
func (c sealedColumn) out(value []byte) ([]byte, error) {
	if !c.text {
		return value, nil
	}
	digits, is := strings.CutPrefix(string(value), sealedText)
	if !is {
		return nil, errors.New("it is not sealed")
	}
	return base64.StdEncoding.DecodeString(digits)
}

// keyOf names the key of a value by its head; first is the id of the database's first key.
func (c sealedColumn) keyOf(head []byte, first string) string {
	mark, err := c.out(head)
	switch {
	case err != nil || len(mark) == 0:
		return ""
	case mark[0] == sealFirst:
		return first
	case mark[0] == sealNamed && len(mark) >= 1+idSize:
		return hex.EncodeToString(mark[1 : 1+idSize])
	}
	return ""
}
