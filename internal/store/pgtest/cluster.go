package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Cluster is a database server.
type Cluster struct {
	settings []string
	dir, bin string
	major    int
	attr     *syscall.SysProcAttr
	guard    *exec.Cmd
	alive    io.Closer // the guard ends the server when this closes, which the end of the process does too
}

// startLimit is how long a server may take to answer: the machine may be busy with other tests.
const startLimit = 60 * time.Second

// binaries finds the newest PostgreSQL of Debian's packages.
func binaries() (dir string, major int) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, f := range found {
		d := filepath.Dir(f)
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(d))); err == nil && n > major {
			dir, major = d, n
		}
	}
	return dir, major
}

// NewCluster makes and starts a cluster of the test's own, for tests that stop it or need other settings
// ("fsync=on"); it is gone at the test's end.
func NewCluster(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	bin, _ := binaries()
	if bin == "" {
		t.Skip("skipped: there is no PostgreSQL in /usr/lib/postgresql (Debian's package postgresql)")
	}
	c, err := newCluster(settings...)
	if err != nil {
		t.Fatalf("a private PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		c.Stop()
		_ = os.RemoveAll(c.dir)
	})
	return c
}

func newCluster(more ...string) (*Cluster, error) {
	c := &Cluster{settings: slices.Concat(settings, more)}
	c.bin, c.major = binaries()
	var err error
	if c.dir, err = os.MkdirTemp("", "pg-"); err != nil {
		return nil, err
	}
	if len(c.dir) > 70 { // a socket's path has room for 107 bytes
		_ = os.RemoveAll(c.dir)
		if c.dir, err = os.MkdirTemp("/tmp", "pg-"); err != nil {
			return nil, err
		}
	}
	if err = c.unprivileged(); err == nil {
		err = c.initialise()
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		_ = os.RemoveAll(c.dir)
		return nil, err
	}
	return c, nil
}

// unprivileged lets root run the server as somebody else: PostgreSQL refuses root.
func (c *Cluster) unprivileged() error {
	c.attr = &syscall.SysProcAttr{Setpgid: true} // an interrupt of the terminal is for the tests
	if os.Geteuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err1 := strconv.Atoi(who.Uid)
	gid, err2 := strconv.Atoi(who.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	c.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids of the system
	return os.Chown(c.dir, uid, gid)
}

// initialise makes the cluster. Its default order of texts is a language's, where that can be had: what needs
// the order of bytes must say so.
func (c *Cluster) initialise() error {
	args := []string{"-D", c.data(), "-U", "ingot", "--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"}
	if c.major >= 15 {
		args = append(args, "--locale-provider=icu", "--icu-locale=en-US")
	}
	cmd := exec.Command(filepath.Join(c.bin, "initdb"), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, c.attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// settings make it quick and private; what it holds need not survive.
var settings = []string{"listen_addresses=", "fsync=off", "full_page_writes=off", "autovacuum=off",
	"wal_level=minimal", "max_wal_senders=0", "max_connections=200", "shared_buffers=64MB", "jit=off", "log_min_messages=warning"}

// guardScript runs the server, ends it when its input ends, and removes the folder unless told to keep it.
const guardScript = `"$0" "$@" </dev/null >>log 2>&1 & pid=$!
read word
kill -QUIT $pid; wait $pid 2>/dev/null
[ "$word" = keep ] || { cd /; rm -rf "$DIR"; }`

// Start starts the server and waits until it answers.
func (c *Cluster) Start() error {
	args := []string{"-c", guardScript, filepath.Join(c.bin, "postgres"), "-D", c.data(), "-k", c.dir}
	for _, s := range c.settings {
		args = append(args, "-c", s)
	}
	c.guard = exec.Command("/bin/sh", args...)
	c.guard.Dir, c.guard.SysProcAttr, c.guard.Env = c.dir, c.attr, append(os.Environ(), "DIR="+c.dir)
	in, err := c.guard.StdinPipe()
	if err != nil {
		return err
	}
	c.alive = in
	if err := c.guard.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			c.Stop()
			return fmt.Errorf("it does not answer: %w: %s", err, log)
		}
		time.Sleep(20 * time.Millisecond) // it tells nobody when it is ready
	}
}

// Stop ends the server at once, as a crash would; Start goes on with the same data.
func (c *Cluster) Stop() {
	if c.guard == nil {
		return
	}
	_, _ = io.WriteString(c.alive.(io.Writer), "keep\n")
	_ = c.alive.Close()
	_ = c.guard.Wait()
	c.guard = nil
}

// URL is that of a database in the cluster.
func (c *Cluster) URL(database string) string {
	return "postgres://ingot@/" + database + "?host=" + c.dir
}

// Exec runs statements in a database.
func (c *Cluster) Exec(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for s := range slices.Values(statements) {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
