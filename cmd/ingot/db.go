package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/store"
)

// dbCommand is what operators do with the database itself. It speaks to no server.
func dbCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "db",
		Short: "Check, back up, restore and move the database",
		Long: `Check, back up, restore and move the database. --data, --database, --key-file and --config say which one, as for serve.

Private values are sealed in every copy: keep the key file with the same care, and in another place.`,
	}
	fl := c.PersistentFlags()
	fl.StringVar(&f.data, "data", "./ingot-data", "folder with the database and its key")
	fl.StringVar(&f.database, "database", "", "postgres://… for a database that several servers share (default: SQLite in --data)")
	fl.StringVar(&f.keyFile, "key-file", "", "key that seals private values (default: ingot.key in --data)")
	fl.StringVar(&f.config, "config", "", "configuration file")
	add := func(use, short, long, example string, args cobra.PositionalArgs, run func(context.Context, *dbWork, []string) error) {
		c.AddCommand(&cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
			loaded, err := config.Load(f.config, os.Environ())
			if err != nil {
				return err
			}
			return run(cmd.Context(), &dbWork{f: f, c: loaded.Config, say: func(format string, args ...any) {
				fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
			}}, args)
		}})
	}
	add("check", "Look whether the database is whole and the key fits",
		"Look at the schema, the integrity, the number of rows, and whether the key opens what is sealed. Servers may run.",
		"  ingot db check\n  ingot db check --database postgres://ingot@db.example.org/ingot", cobra.NoArgs,
		func(ctx context.Context, w *dbWork, _ []string) error { return w.check(ctx) })
	add("backup FILE", "Write all of the database into a file, while servers run",
		"Write one consistent state of the database into a new SQLite file with mode 0600, from either engine. Servers may run.",
		"  ingot db backup /var/backups/ingot-2026-11-26.db", cobra.ExactArgs(1),
		func(ctx context.Context, w *dbWork, args []string) error { return w.backup(ctx, args[0]) })
	add("restore FILE", "Make a database of a backup",
		"Make the database in --data, or fill an empty PostgreSQL database, from a backup. Nothing is overwritten, and no server may run.",
		"  ingot db restore /var/backups/ingot-2026-11-26.db --data ./restored", cobra.ExactArgs(1),
		func(ctx context.Context, w *dbWork, args []string) error { return w.restore(ctx, args[0]) })
	add("copy", "Copy the SQLite database of --data into an empty PostgreSQL database",
		"Copy everything from the SQLite database in --data into the empty PostgreSQL database that --database names, and compare every row. No server may run.",
		"  ingot db copy --data ./ingot-data --database postgres://ingot@db.example.org/ingot", cobra.NoArgs,
		func(ctx context.Context, w *dbWork, _ []string) error { return w.copy(ctx) })
	return c
}

// dbWork is one run of such a command.
type dbWork struct {
	f   serveFlags
	c   config.Config
	say func(format string, args ...any)
}

func (w *dbWork) shared() bool { return !database(w.f, w.c).Empty() }

func (w *dbWork) file() string { return filepath.Join(w.f.data, "ingot.db") }

// open opens the database as it is.
func (w *dbWork) open(ctx context.Context) (*store.DB, error) {
	if w.shared() {
		return store.PlainPostgres(ctx, database(w.f, w.c))
	}
	db, err := store.PlainSQLite(ctx, w.file())
	if errors.Is(err, os.ErrNotExist) {
		err = cli.Hint(err, "--data names the server's data folder, --database a PostgreSQL database")
	}
	return db, err
}

func (w *dbWork) check(ctx context.Context) error {
	source, err := keySourceOf(w.c.Database, w.f.keyFile, w.f.data)
	if err != nil {
		return err
	}
	key, err := source.have(ctx)
	if _, missing := os.Stat(w.f.data); errors.Is(missing, os.ErrNotExist) && err != nil {
		return cli.Hint(fmt.Errorf("the data folder: %w", missing), "--data names the server's data folder, --key-file its key if that is elsewhere")
	}
	if err != nil {
		return err
	}
	db, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	found, err := store.Check(ctx, db, key)
	bad := 0
	for _, f := range found {
		mark := "ok   "
		if f.Bad {
			mark, bad = "BAD  ", bad+1
		}
		w.say("%s%s", mark, f.Text)
	}
	if err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d things are wrong with the database", bad)
	}
	return nil
}

func (w *dbWork) backup(ctx context.Context, file string) error {
	db, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := store.Backup(ctx, db, file); err != nil {
		return err
	}
	copied, err := store.PlainSQLite(ctx, file)
	if err != nil {
		return err
	}
	defer copied.Close()
	key, err := keysOf(ctx, copied)
	if err != nil {
		return err
	}
	source, err := keySourceOf(w.c.Database, w.f.keyFile, w.f.data)
	if err != nil {
		return err
	}
	if key != "" {
		key = " " + key
	}
	w.say("The database is in %s. What is private in it stays sealed: to restore it you also need the key%s, from %s. Keep that in another place.", file, key, source.where())
	return nil
}

func (w *dbWork) restore(ctx context.Context, file string) error {
	if w.shared() {
		where := database(w.f, w.c)
		if err := store.MigratePostgres(ctx, where); err != nil {
			return err
		}
		to, err := store.PlainPostgres(ctx, where)
		if err != nil {
			return err
		}
		defer to.Close()
		tables, err := store.RestoredTo(ctx, file, to)
		if err != nil {
			return err
		}
		w.tell(tables)
		return w.needsKey(ctx, to)
	}
	unlock, err := lockData(w.f.data) // a running server has it
	if err != nil {
		return err
	}
	defer unlock()
	if err := store.Restored(ctx, file, w.file()); err != nil {
		return err
	}
	w.say("The database %s was made of %s.", w.file(), file)
	restored, err := store.PlainSQLite(ctx, w.file())
	if err != nil {
		return err
	}
	defer restored.Close()
	return w.needsKey(ctx, restored)
}

// needsKey says which key the database opens with, where that is not the one that is there.
func (w *dbWork) needsKey(ctx context.Context, db *store.DB) error {
	source, err := keySourceOf(w.c.Database, w.f.keyFile, w.f.data)
	if err != nil {
		return err
	}
	wanted, err := keysOf(ctx, db)
	if err != nil {
		return err
	}
	key, err := source.have(ctx)
	switch {
	case errors.Is(err, os.ErrNotExist):
		w.say("The key file %s is not there: put it there from where you keep it, mode 0600, before a server starts.", source.file)
	case err != nil:
		return err
	case wanted != "" && !strings.Contains(wanted, key.ID()):
		w.say("The key from %s is %s, and what was restored opens with %s: put that key there before a server starts.", source.where(), key.ID(), wanted)
		return nil
	}
	if wanted != "" {
		w.say("It opens with the key %s.", wanted)
	}
	return nil
}

func (w *dbWork) copy(ctx context.Context) error {
	if !w.shared() {
		return cli.Hint(errors.New("where to copy to is not said"), "--database postgres://… or [database] connection names the empty PostgreSQL database")
	}
	if _, err := os.Stat(w.file()); err != nil {
		return cli.Hint(fmt.Errorf("the database to copy: %w", err), "--data names the server's data folder")
	}
	unlock, err := lockData(w.f.data)
	if err != nil {
		return err
	}
	defer unlock()
	from, err := store.PlainSQLite(ctx, w.file())
	if err != nil {
		return err
	}
	defer from.Close()
	where := database(w.f, w.c)
	if err := store.MigratePostgres(ctx, where); err != nil {
		return err
	}
	to, err := store.PlainPostgres(ctx, where)
	if err != nil {
		return err
	}
	defer to.Close()
	tables, err := store.Copy(ctx, from, to)
	if err != nil {
		return err
	}
	w.tell(tables)
	w.say("Start the servers with --database and the same key, that of %s. The SQLite file was left as it is; do not serve from it any more.", cmp.Or(w.f.keyFile, filepath.Join(w.f.data, "ingot.key")))
	return nil
}

func (w *dbWork) tell(tables []store.Copied) {
	for _, t := range tables {
		w.say("%-16s %d rows, compared", t.Table, t.Rows)
	}
}
