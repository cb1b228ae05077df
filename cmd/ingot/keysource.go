package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/store"
)

// keyVariable is the environment variable that may hold the key, in hexadecimal or base64; newKeyVariable that of a
// rotation to another.
const (
	keyVariable    = "INGOT_SEALING_KEY"
	newKeyVariable = "INGOT_NEW_SEALING_KEY"
)

// keySource is where this process gets the key that opens private values: a command, the environment, or a file.
type keySource struct {
	command store.KeyCommand
	file    string
	fromEnv bool
	env     store.Key // what the environment held, if it did
	seen    string    // stamp of what was read last
}

// keySourceOf finds out which; a key in the environment is taken out of it.
func keySourceOf(c config.Database, keyFile, data string) (*keySource, error) {
	s := &keySource{file: keyFile}
	if s.file == "" {
		s.file = filepath.Join(data, "ingot.key")
	}
	var err error
	if s.fromEnv, s.env, err = keyInEnvironment(keyVariable); err != nil {
		return nil, err
	}
	if len(c.KeyCommand) > 0 {
		s.command = store.KeyCommand{Argv: c.KeyCommand, Wrapped: c.WrappedKeyFile, Limit: c.KeyCommandTimeout}
	}
	var given []string
	for name, is := range map[string]bool{keyVariable: s.fromEnv, "[database] key_command": len(c.KeyCommand) > 0, "--key-file": keyFile != ""} {
		if is {
			given = append(given, name)
		}
	}
	if slices.Sort(given); len(given) > 1 {
		return nil, fmt.Errorf("the key is given twice, by %s and %s: leave one", given[0], given[1])
	}
	return s, nil
}

// keyInEnvironment takes a key out of the environment: of what children inherit, and of the memory where the kernel shows
// it (/proc/PID/environ).
func keyInEnvironment(name string) (bool, store.Key, error) {
	text, set := os.LookupEnv(name)
	if !set {
		return false, store.Key{}, nil
	}
	given := []byte(text)
	forgetVariable(name)
	if err := os.Unsetenv(name); err != nil {
		return false, store.Key{}, err
	}
	k, err := store.KeyOf(given, "the variable "+name)
	return true, k, err
}

// forgetVariable overwrites a variable where the kernel shows it, which is not where Go keeps its copy. Where it cannot, the
// process refuses dumps all the same, and only root may look there. Source: proc_pid_stat(5), env_start and env_end.
func forgetVariable(name string) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	if len(fields) < 49 {
		return
	}
	from, err1 := strconv.ParseInt(fields[47], 10, 64)
	to, err2 := strconv.ParseInt(fields[48], 10, 64)
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if errors.Join(err, err1, err2) != nil || to <= from || to-from > environLimit {
		return
	}
	defer memory.Close()
	environ := make([]byte, to-from)
	defer clear(environ)
	if _, err := memory.ReadAt(environ, from); err != nil {
		return
	}
	for at := 0; at < len(environ); {
		variable, _, _ := bytes.Cut(environ[at:], []byte{0})
		if value, is := bytes.CutPrefix(variable, []byte(name+"=")); is {
			_, _ = memory.WriteAt(make([]byte, len(value)), from+int64(at+len(name)+1)) // it is gone, or root alone may see it
		}
		at += len(variable) + 1
	}
}

// environLimit is bytes of an environment. Source: execve(2), a quarter of the stack's limit at most.
const environLimit = 64 << 20

// where says for people where the key comes from.
func (s *keySource) where() string {
	switch {
	case len(s.command.Argv) > 0:
		return "[database] key_command"
	case s.fromEnv:
		return "the variable " + keyVariable
	}
	return s.file
}

// key gets the key. For a database file that is there, a missing key file is not made anew; database is "" otherwise.
func (s *keySource) key(ctx context.Context, database string) (store.Key, error) {
	s.seen = s.stamp()
	switch {
	case len(s.command.Argv) > 0:
		return s.command.Key(ctx)
	case s.fromEnv:
		return s.env, nil
	case database != "":
		return store.KeyFor(database, s.file)
	}
	return store.LoadKey(s.file)
}

// have is key that makes nothing.
func (s *keySource) have(ctx context.Context) (store.Key, error) {
	if !s.isFile() {
		return s.key(ctx, "")
	}
	s.seen = s.stamp()
	if _, err := os.Stat(s.file); err != nil {
		return store.Key{}, cli.Hint(fmt.Errorf("the key file: %w", err), "--key-file names the key; without it the database is worth nothing")
	}
	return store.LoadKey(s.file)
}

func (s *keySource) isFile() bool { return len(s.command.Argv) == 0 && !s.fromEnv }

// stamp changes with the file that the key, or the wrapped key, is in; "" for a key that cannot change.
func (s *keySource) stamp() string {
	path := s.file
	switch {
	case len(s.command.Argv) > 0:
		path = s.command.Wrapped
	case s.fromEnv:
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	out := fmt.Sprint(info.ModTime().UnixNano(), info.Size())
	if raw, ok := info.Sys().(*syscall.Stat_t); ok { // another file of the same size within one tick of the clock
		out += fmt.Sprint(" ", raw.Ino)
	}
	return out
}

// wrongKeyHint says what to do about a key that is not the database's.
func wrongKeyHint(err error, s *keySource) error {
	var wrong *store.WrongKey
	switch {
	case errors.As(err, &wrong):
		return cli.Hint(err, "the key came from %s; give the key %s instead: from your backup of keys, or from a server that runs. \"ingot keys show\" lists the database's keys", s.where(), wrong.Opens[0])
	case errors.Is(err, store.ErrSealed):
		return cli.Hint(err, "the key came from %s; servers that share a database share its key: copy it from the first server, or name it with --key-file", s.where())
	}
	return err
}

// keyWatch is how often a server looks whether its keys are being rotated.
const keyWatch = 2 * time.Second

// watchKeys learns of rotations until ctx ends: the database's keys, and a new key in the file.
func (s *server) watchKeys(ctx context.Context) error {
	tick := time.NewTicker(keyWatch)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-s.db.KeysMissed():
		}
		look, cancel := context.WithTimeout(ctx, signOfLife)
		fresh, err := s.db.RefreshKeys(look)
		cancel()
		if now := s.keySource.stamp(); now != s.keySource.seen && now != "" {
			fresh = s.takeKey(ctx) || fresh
		}
		switch {
		case err != nil && !errors.Is(ctx.Err(), context.Canceled):
			s.log.Warn("server cannot read the keys of the database", "error", err)
		case fresh:
			s.log.Info("the keys of the database have changed", "key", s.db.KeyID(), "seals", s.db.SealsWith())
			if err := s.members.sign(ctx, s); err != nil {
				return err
			}
		}
	}
}

// takeKey uses the key that has come into the file, if it opens the database; it tells whether that is another one.
func (s *server) takeKey(ctx context.Context) (another bool) {
	before := s.db.KeyID()
	k, err := s.keySource.have(ctx)
	if err == nil {
		look, cancel := context.WithTimeout(ctx, signOfLife)
		defer cancel()
		err = s.db.GiveKey(look, k)
	}
	switch {
	case err == nil:
		return before != s.db.KeyID()
	case errors.Is(err, store.ErrSealed): // a file that was put there before the rotation began: looked at again
		s.keySource.seen = ""
	}
	if ctx.Err() == nil {
		s.log.Warn("the new key cannot be used; the one before stays in use", "from", s.keySource.where(), "error", err)
	}
	return false
}
