package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/pressly/goose/v3"

	"ingot/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

var wordText = regexp.MustCompile(`\bTEXT\b`)

// migrate brings the schema up to date. A database that a newer program wrote is refused: this one does not
// know what it would break.
func (db *DB) migrate(ctx context.Context, pool *sql.DB) error {
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
		own := wordText.ReplaceAllLiteralString(tokens.Replace(string(text)), db.dialect.text)
		files[filepath.Base(name)] = &fstest.MapFile{Data: []byte(own)}
	}
	// Numbers are given when work begins, and files land in another order.
	options := []goose.ProviderOption{goose.WithAllowOutofOrder(true)}
	if db.dialect.migrating != nil {
		options = append(options, goose.WithSessionLocker(db.dialect.migrating))
	}
	p, err := goose.NewProvider(goose.Dialect(db.dialect.name), pool, files, options...)
	if err != nil {
		return err
	}
	have, know, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read its schema version: %w", err)
	}
	if have > know {
		return tooNew(have, know)
	}
	if _, err = p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

func tooNew(have, know int64) error {
	return fault.New(fault.Conflict, "The database has schema version %d and this program knows versions up to %d: a newer ingot wrote it. "+
		"Start that one, or restore a backup from before the upgrade.", have, know)
}

// newest is the schema version that this program brings a database to.
func newest() int64 {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted by name
	if err != nil || len(files) == 0 {
		panic("store: no migrations are embedded")
	}
	number, _, _ := strings.Cut(filepath.Base(files[len(files)-1]), "_")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic("store: a migration's name does not begin with its number: " + files[len(files)-1])
	}
	return n
}
