package store

import (
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3/lock"
)

// dialect is all that differs between database engines. SQL is written with ? placeholders and the
// tokens below.
type dialect struct {
	name    string // goose's name of it
	serial  string // an id column that counts by itself
	bytes   string // a column of bytes
	text    string // a column of text that compares byte by byte
	now     string // database time, microseconds since 1970 UTC
	like    string // LIKE that knows no case of ASCII letters
	skip    string // suffix that locks rows and passes over those that others have locked
	hold    string // suffix that locks rows against other writers
	mutex   string // statement that holds a numbered lock until the transaction ends; "": one transaction writes at a time
	pick    string // a key (%[2]s) of the JSON in a column of text (%[1]s), "" if it is not there; compares byte by byte
	notify  string // statement that tells other processes of a commit by this one
	dollars bool   // placeholders are $1, $2, …

	catalog catalog // questions about its tables

	reading, writing sql.IsolationLevel

	limit     time.Duration      // how long a transaction may take, 0: its statements have limits of their own
	migrating lock.SessionLocker // lets one process migrate at a time
	broken    func(error) string // the unique rule that a statement broke, as in uniqueness
}

// sql gives a query in the engine's own words.
func (d *dialect) sql(query string) string {
	if strings.Contains(query, "{{") {
		for _, t := range [...]struct{ token, word string }{{"{{now}}", d.now}, {"{{skip}}", d.skip}, {"{{like}}", d.like}, {"{{hold}}", d.hold}} {
			query = strings.ReplaceAll(query, t.token, t.word)
		}
	}
	if !d.dollars {
		return query
	}
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
