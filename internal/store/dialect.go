package store

import (
	"strconv"
	"strings"
)

// dialect is all that differs between database engines. SQL is written with ? placeholders and the
// tokens below.
type dialect struct {
	name    string // goose's name of it
	serial  string // an id column that counts by itself
	bytes   string // a column of bytes
	now     string // database time, microseconds since 1970 UTC
	skip    string // suffix that lets claims pass rows others are claiming
	dollars bool   // placeholders are $1, $2, …
}

var sqliteDialect = dialect{
	name:   "sqlite3",
	serial: "INTEGER PRIMARY KEY AUTOINCREMENT",
	bytes:  "BLOB",
	now:    "CAST(unixepoch('subsec') * 1000000 AS INTEGER)", // subsec: SQLite 3.42
}

// sql gives a query in the engine's own words.
func (d *dialect) sql(query string) string {
	if strings.Contains(query, "{{") {
		query = strings.NewReplacer("{{now}}", d.now, "{{skip}}", d.skip).Replace(query)
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
