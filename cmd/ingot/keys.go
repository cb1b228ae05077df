package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/store"
)

// keysCommand is what operators do with the keys that seal private values. It speaks to no server.
func keysCommand() *cobra.Command {
	w := &keysWork{}
	c := &cobra.Command{
		Use:   "keys",
		Short: "Show and replace the keys that seal private values",
		Long: `Show and replace the keys that seal private values in the database. --data, --database, --key-file and --config
say which database, as for serve. The key itself comes from the key file, from the variable INGOT_SEALING_KEY, or from
[database] key_command.`,
	}
	fl := c.PersistentFlags()
	fl.StringVar(&w.f.data, "data", "./ingot-data", "folder with the database and its key")
	fl.StringVar(&w.f.database, "database", "", "postgres://… for a database that several servers share (default: SQLite in --data)")
	fl.StringVar(&w.f.keyFile, "key-file", "", "key that opens private values (default: ingot.key in --data)")
	fl.StringVar(&w.f.config, "config", "", "configuration file")
	show := &cobra.Command{
		Use:   "show",
		Short: "List the keys, how old they are and how much each has sealed",
		Long: `List the keys of the database by their ids, which tell nothing of them: how old each is, how many values it has sealed, and
which keys, given to a server, open it. No key is needed. --backup looks into a file of "ingot db backup" instead.`,
		Example: "  ingot keys show\n  ingot keys show --backup /var/backups/ingot-2026-11-26.db",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return w.begin(c, w.show) },
	}
	show.Flags().StringVar(&w.backup, "backup", "", "look into this backup")
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the keys and seal everything anew, while servers run",
		Long: `Replace the key that servers are given, and the one that seals values, and seal every value anew. Servers may run, several of
them too: they learn the new keys by themselves and know both meanwhile. It may be interrupted anywhere, and killed:
run it again and it goes on.

A key file is replaced by a new one, and the old one kept beside it, for backups that were made before. Where servers have
copies of the file, give them the new one when you are asked to; they take it without a restart. A key in the
variable INGOT_SEALING_KEY is replaced by that in INGOT_NEW_SEALING_KEY, and one behind [database] key_command by what
unwrapping --new-wrapped-key gives.`,
		Example: "  ingot keys rotate\n  ingot keys rotate --data /var/lib/ingot --new-key-file safe/ingot.key",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return w.begin(c, w.rotate) },
	}
	rotate.Flags().StringVar(&w.newFile, "new-key-file", "", "file with the new key (default: one is made)")
	rotate.Flags().StringVar(&w.newWrapped, "new-wrapped-key", "", "file with the new wrapped key, for [database] key_command")
	rotate.Flags().DurationVar(&w.patience, "wait", time.Minute, "how long to wait for servers before giving up; run it again to go on")
	c.AddCommand(show, rotate)
	return c
}

// keysWork is one run of such a command.
type keysWork struct {
	f                           serveFlags
	backup, newFile, newWrapped string
	patience                    time.Duration

	c      config.Config
	source *keySource
	say    func(format string, args ...any)
}

func (w *keysWork) begin(cmd *cobra.Command, run func(context.Context) error) error {
	loaded, err := config.Load(w.f.config, os.Environ())
	if err != nil {
		return err
	}
	w.c = loaded.Config
	w.say = func(format string, args ...any) { fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...) }
	if w.source, err = keySourceOf(w.c.Database, w.f.keyFile, w.f.data); err != nil {
		return err
	}
	return run(cmd.Context())
}

// open opens the database plainly.
func (w *keysWork) open(ctx context.Context) (*store.DB, error) {
	if w.backup != "" {
		return store.PlainSQLite(ctx, w.backup)
	}
	return (&dbWork{f: w.f, c: w.c}).open(ctx)
}

func (w *keysWork) show(ctx context.Context) error {
	err := w.list(ctx)
	if err != nil && w.backup != "" {
		return cli.Hint(fmt.Errorf("--backup %s: %w", w.backup, err), "give a file that \"ingot db backup\" wrote")
	}
	return err
}

func (w *keysWork) list(ctx context.Context) error {
	db, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if masters, err := store.Masters(ctx, db); err != nil || len(masters) == 0 {
		return cmp.Or(err, errors.New("the database does not count its keys yet: a server of this version does when it starts"))
	}
	keys, err := store.ListKeys(ctx, db)
	if err != nil {
		return err
	}
	use, err := store.KeyUse(ctx, db)
	if err != nil {
		return err
	}
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTATE\tMADE\tVALUES\tOPENS WITH")
	for _, k := range keys {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", k.ID, k.State, k.CreatedAt.Format(time.RFC3339), use[k.ID], strings.Join(k.Masters, ", "))
		delete(use, k.ID)
	}
	for id, n := range use { // nobody has it any more
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", cmp.Or(id, "?"), "unknown", "-", n, "-")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	w.say("%s", strings.TrimSuffix(b.String(), "\n"))
	if store.Unfinished(keys) {
		w.say("A rotation is under way: \"ingot keys rotate\" goes on with it.")
	}
	return nil
}

// rotate does what is left to do of a rotation, from the beginning or from where another run ended.
func (w *keysWork) rotate(ctx context.Context) error {
	if err := w.fits(); err != nil {
		return err
	}
	given, err := w.source.have(ctx)
	if err != nil {
		return err
	}
	db, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := store.UnderKey(ctx, db, given); err != nil {
		return wrongKeyHint(err, w.source)
	}
	next, err := w.next(ctx, db)
	if err != nil {
		return err
	}
	fresh, err := db.BeginRotation(ctx, next)
	if err != nil { // somebody else's rotation may have come to its end a moment ago
		return wrongKeyHint(err, w.source)
	}
	if word := "goes on"; fresh || next.ID() != given.ID() {
		if fresh {
			word = "begins"
		}
		w.say("The rotation from key %s to key %s %s.", given.ID(), next.ID(), word)
	}
	if err := w.wait(ctx, "read the new keys", db.UseComing); err != nil {
		return err
	}
	if err := w.wait(ctx, "seal with the new key", db.SealingOther); err != nil {
		return err
	}
	if err := w.reseal(ctx, db); err != nil {
		return err
	}
	return w.finish(ctx, db, next)
}

// reseal seals until nothing is left.
func (w *keysWork) reseal(ctx context.Context, db *store.DB) error {
	keys, err := store.ListKeys(ctx, db)
	if err != nil || !slices.ContainsFunc(keys, func(k store.SealingKey) bool { return k.State == store.KeyOld }) {
		return err
	}
	for {
		sums := map[string]int{}
		all, err := db.Reseal(ctx, func(r store.Resealed) { sums[r.What] += r.Values })
		if err != nil {
			return err
		}
		w.say("%d values were sealed anew.", all.Values)
		if all.Broken > 0 {
			w.say("%d values open with no key, before as after: \"ingot db check\" says which.", all.Broken)
		}
		retired, err := db.RetireOld(ctx)
		if err != nil {
			return err
		}
		if len(retired) > 0 {
			w.say("Nothing is sealed with %s any more: retired.", strings.Join(retired, ", "))
			return nil
		}
	}
}

// wait asks again until no server lags behind.
func (w *keysWork) wait(ctx context.Context, what string, ask func(context.Context, time.Duration) ([]store.Lagging, error)) error {
	limit := time.After(w.patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; told = true {
		lagging, err := ask(ctx, lifeLimit)
		if err != nil || len(lagging) == 0 {
			return err
		}
		var names []string
		for _, l := range lagging {
			if l.Old {
				return cli.Hint(fmt.Errorf("the server %s is of a version that knows of no rotations", l.Name), "upgrade it, or end it, and run this again")
			}
			names = append(names, l.Name)
		}
		if !told {
			w.say("Waiting until these servers %s: %s", what, strings.Join(names, ", "))
		}
		select {
		case <-ctx.Done():
			return cli.Hint(ctx.Err(), "run it again to go on")
		case <-limit:
			return cli.Hint(fmt.Errorf("servers that do not %s within %s: %s", what, w.patience, strings.Join(names, ", ")), "see what is wrong with them, or end them, and run this again to go on")
		case <-tick.C:
		}
	}
}
