package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ingot/internal/cli"
	"ingot/internal/store"
)

// made is the file of a new key until it takes the old one's place.
func (w *keysWork) made() string { return w.source.file + ".new" }

// fits refuses a new key that does not come from where the one in use does: it would not be looked at.
func (w *keysWork) fits() error {
	inVariable := os.Getenv(newKeyVariable) != ""
	byCommand := len(w.source.command.Argv) > 0
	for _, n := range []struct {
		given, right bool
		what, needs  string
	}{
		{w.newWrapped != "", byCommand, "--new-wrapped-key", "--config names the configuration file with [database] key_command"},
		{w.newFile != "", w.source.isFile(), "--new-key-file", "the key in use would have to be in a file"},
		{inVariable, w.source.fromEnv, "the variable " + newKeyVariable, "the key in use would have to be in the variable " + keyVariable + "; unset it, or give that one too"},
	} {
		if n.given && !n.right {
			return cli.Hint(fmt.Errorf("%s cannot be used: the key in use comes from %s. Nothing was changed", n.what, w.source.where()), "%s", n.needs)
		}
	}
	return nil
}

// next gives the key that servers are to be given: the one the caller named, or one that is made. In a rotation that is under
// way and has replaced the key already it is the one that is given now.
func (w *keysWork) next(ctx context.Context, db *store.DB) (store.Key, error) {
	given, err := w.source.have(ctx)
	if err != nil {
		return store.Key{}, err
	}
	keys, err := store.ListKeys(ctx, db)
	if err != nil {
		return store.Key{}, err
	}
	underWay := store.Unfinished(keys)
	switch s := w.source; {
	case len(s.command.Argv) > 0:
		if w.newWrapped == "" {
			return given, w.unlessOver(underWay, "--new-wrapped-key names the file with the new wrapped key")
		}
		c := s.command
		c.Wrapped = w.newWrapped
		return c.Key(ctx)
	case s.fromEnv:
		set, k, err := keyInEnvironment(newKeyVariable)
		if err != nil || set {
			return k, err
		}
		return given, w.unlessOver(underWay, "the variable "+newKeyVariable+" gives the new key")
	case w.newFile != "":
		if _, err := os.Stat(w.newFile); err != nil {
			return store.Key{}, fmt.Errorf("--new-key-file: %w", err)
		}
		return store.LoadKey(w.newFile)
	}
	_, err = os.Stat(w.made())
	if underWay && errors.Is(err, fs.ErrNotExist) { // it has taken its place already, or lies elsewhere
		if len(keys[0].Masters) > 1 && !w.isNewest(keys, given.ID()) {
			return store.Key{}, cli.Hint(fmt.Errorf("a rotation to the key %s is under way, and that key is not in %s", newestMaster(keys), w.made()),
				"--new-key-file names its file")
		}
		return given, nil
	}
	return store.LoadKey(w.made())
}

// unlessOver refuses to begin without a new key; a rotation that is under way may be past the need for one.
func (w *keysWork) unlessOver(underWay bool, hint string) error {
	if underWay {
		return nil
	}
	return cli.Hint(errors.New("where the new key comes from is not said"), "%s", hint)
}

// newestMaster is the key that came last: keys list theirs in that order.
func newestMaster(keys []store.SealingKey) string {
	return keys[0].Masters[len(keys[0].Masters)-1]
}

func (w *keysWork) isNewest(keys []store.SealingKey, id string) bool { return newestMaster(keys) == id }

// finish puts the new key in the old one's place, waits for the servers to take it, and takes the old one its power.
func (w *keysWork) finish(ctx context.Context, db *store.DB, next store.Key) error {
	old := db.KeyID()
	if old != next.ID() && w.source.isFile() {
		if err := w.replaceFile(old); err != nil {
			return err
		}
	}
	if err := db.GiveKey(ctx, next); err != nil {
		return err
	}
	if !w.source.isFile() {
		w.say("%s", w.giveHint())
	}
	if err := w.wait(ctx, "use the key "+next.ID(), db.GivenOther); err != nil {
		return cli.Hint(err, "%s Then run this again, which takes the old key its power.", w.giveHint())
	}
	if err := w.wait(ctx, "use the key "+next.ID(), db.ForgetMasters); err != nil {
		return err
	}
	w.say("The database opens with the key %s only.", next.ID())
	if keys, err := store.ListKeys(ctx, db); err != nil || store.Unfinished(keys) {
		return errors.Join(err, cli.Hint(errors.New("the rotation is not finished"), "run it again to go on"))
	}
	return nil
}

// giveHint says how servers get the new key.
func (w *keysWork) giveHint() string {
	switch s := w.source; {
	case len(s.command.Argv) > 0:
		return fmt.Sprintf("Put the new wrapped key into the place of %s on every server.", s.command.Wrapped)
	case s.fromEnv:
		return "Start every server with the new key in " + keyVariable + "."
	}
	return fmt.Sprintf("Copy the new key file %s to every server that has a copy of the old one; it takes it without a restart.", w.source.file)
}

// replaceFile puts the new key file in the old one's place, which is there whole at every moment, and keeps the old one
// beside it.
func (w *keysWork) replaceFile(old string) error {
	from, at := w.made(), w.source.file
	if w.newFile != "" { // it stays the caller's
		text, err := os.ReadFile(w.newFile)
		if err != nil {
			return err
		}
		defer clear(text)
		if err := writeWhole(from, text); err != nil {
			return fmt.Errorf("put the new key into place: %w", err)
		}
	}
	if err := sameOwner(from, at); err != nil {
		return fmt.Errorf("give the new key to the owner of the old one: %w", err)
	}
	kept := at + ".old-" + old
	if err := os.Link(at, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keep the old key: %w", err)
	}
	if err := os.Rename(from, at); err != nil {
		return fmt.Errorf("put the new key into place: %w", err)
	}
	if err := syncFolder(filepath.Dir(at)); err != nil {
		return err
	}
	w.say("%s is the new key now; the old one is %s. Backups that were made until now need it: keep it with them, away from here, or destroy it.", at, kept)
	return nil
}

// sameOwner gives a file the owner of another: a server that is not root must be able to read what root rotated.
func sameOwner(path, as string) error {
	info, err := os.Stat(as)
	if err != nil {
		return err
	}
	is, err := os.Stat(path)
	if err != nil {
		return err
	}
	want, ok := info.Sys().(*syscall.Stat_t)
	have, ok2 := is.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || want.Uid == have.Uid && want.Gid == have.Gid {
		return nil
	}
	return os.Chown(path, int(want.Uid), int(want.Gid))
}

// writeWhole writes a private file that is there whole or not at all.
func writeWhole(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // only what is renamed stays
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// keysOf says which keys open a database or a backup, for people; "" if it does not count them.
func keysOf(ctx context.Context, db *store.DB) (string, error) {
	all, err := store.Masters(ctx, db)
	slices.Sort(all)
	return strings.Join(all, ", "), err
}
