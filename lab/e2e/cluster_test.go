package e2e

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/store/pgtest"
)

// cluster is servers as processes of their own on one PostgreSQL: "one" has the API and issues certificates, the
// others join it. Other servers reach it only through wire.
type cluster struct {
	t    *testing.T
	url  string // of the database
	one  *server
	wire *line
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, url: pgtest.Empty(t)}
	c.one = serve(t, "127.0.0.1")
	peers := free(t, "127.0.0.1")
	c.wire = tap(t, peers)
	c.ingot("peer", "init", "--data", c.one.data, "--name", "one", "--roles", "api")
	c.one.args = []string{"--roles", "api", "--database", c.url, "--peer-listen", peers, "--peer-url", "https://" + c.wire.at}
	c.one.start()
	return c
}

// ingot runs a command that must succeed and gives what it printed.
func (c *cluster) ingot(args ...string) string {
	c.t.Helper()
	var out, wrong bytes.Buffer
	cmd := exec.Command(program(c.t, "ingot"), args...)
	cmd.Env = append(os.Environ(), "INGOT_ENDPOINT=http://"+c.one.api)
	cmd.Stdout, cmd.Stderr = &out, &wrong
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("ingot %s: %v\n%s%s", strings.Join(args, " "), err, &out, &wrong)
	}
	return out.String()
}

// conductor starts another server, which joins with a token, and waits until it is there.
func (c *cluster) conductor(name string, options ...string) *server {
	c.t.Helper()
	return c.conductorOn(c.url, name, options...)
}

// conductorOn is conductor for one that reaches the database by another way.
func (c *cluster) conductorOn(database, name string, options ...string) *server {
	c.t.Helper()
	s := serve(c.t, "127.0.0.1", options...)
	token := c.ingot("peer", "invite", name, "--data", c.one.data, "--roles", "conductor,agent-api", "--url", "https://"+c.wire.at)
	key, err := os.ReadFile(filepath.Join(c.one.data, "ingot.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	for path, b := range map[string][]byte{filepath.Join(s.data, "token"): []byte(token), filepath.Join(s.data, "ingot.key"): key} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	s.noAPI = true
	s.args = []string{"--roles", "conductor,agent-api", "--database", database, "--join-token-file", filepath.Join(s.data, "token")}
	s.ramdisk()
	s.start()
	c.present(name)
	return s
}

// present waits until a server has given a sign of life.
func (c *cluster) present(name string) {
	c.t.Helper()
	await(c.t, 30*time.Second, "server "+name, func() (bool, error) {
		all, err := c.one.Conductors(c.t.Context())
		for _, s := range all {
			if s.Hostname == name && s.Alive {
				return true, nil
			}
		}
		return false, err
	})
}

// line is a TCP connection's way between two servers, and keeps everything that goes over it.
type line struct {
	at string

	mu      sync.Mutex
	streams []*bytes.Buffer // one per direction of each connection
	open    map[net.Conn]bool
	broken  bool // nothing passes
}

// tap makes a wire to an address where somebody may listen later.
func tap(t *testing.T, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &line{at: l.Addr().String(), open: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.carry(from, to) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return w
}

func (w *line) carry(from net.Conn, to string) {
	defer from.Close()
	network := "tcp"
	if strings.HasPrefix(to, "/") {
		network = "unix"
	}
	up, err := net.Dial(network, to)
	if err != nil {
		return
	}
	defer up.Close()
	w.mu.Lock()
	if w.broken {
		w.mu.Unlock()
		return
	}
	w.open[from], w.open[up] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.open, from)
		delete(w.open, up)
	}()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, up}, {up, from}} {
		kept := &bytes.Buffer{}
		w.mu.Lock()
		w.streams = append(w.streams, kept)
		w.mu.Unlock()
		both.Go(func() {
			_, _ = io.Copy(way[1], io.TeeReader(way[0], keeping{w, kept})) // an end is an end
			_ = way[1].(interface{ CloseWrite() error }).CloseWrite()
		})
	}
	both.Wait()
}

// keeping writes into a buffer that others read.
type keeping struct {
	w *line
	b *bytes.Buffer
}

func (k keeping) Write(p []byte) (int, error) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return k.b.Write(p)
}

// seen is what went over the wire until now, by direction and connection.
func (w *line) seen() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([][]byte, len(w.streams))
	for i, b := range w.streams {
		out[i] = bytes.Clone(b.Bytes())
	}
	return out
}

// cut breaks the line: what is open ends, and nothing new passes until mend.
func (w *line) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = true
	for c := range w.open {
		_ = c.Close() // that is the point
	}
}

func (w *line) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = false
}

// throughLine gives the database's URL by way of a line that can be cut.
func (c *cluster) throughLine() (string, *line) {
	c.t.Helper()
	u, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	l := tap(c.t, filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"))
	return "postgres://ingot@" + l.at + u.Path + "?sslmode=disable", l
}
