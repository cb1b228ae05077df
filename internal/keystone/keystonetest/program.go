package keystonetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // switches the databases to WAL

	"ingot/lab/ports"
)

// Python is Debian's own: another one on the path has not its packages.
const Python = "/usr/bin/python3"

// StartLimit is how long a program may take until it answers: a busy host starts Python slowly.
const StartLimit = 2 * time.Minute

// Folder is where the programs of one test live.
type Folder struct {
	T   *testing.T
	Dir string
}

// Write writes a file, and gives its path.
func (f Folder) Write(name, text string) string {
	f.T.Helper()
	file := filepath.Join(f.Dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		f.T.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.T.Fatal(err)
	}
	return file
}

// Keys makes a folder with the next key and the one in use, as Keystone has them.
func (f Folder) Keys(folder string) {
	f.T.Helper()
	for _, name := range []string{"0", "1"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		f.Write(filepath.Join(folder, name), base64.URLEncoding.EncodeToString(key))
	}
}

// Database makes an empty file in which readers do not lock out a writer.
func (f Folder) Database(name string) {
	f.T.Helper()
	db, err := sql.Open("sqlite", filepath.Join(f.Dir, name))
	if err != nil {
		f.T.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(f.T.Context(), "PRAGMA journal_mode = WAL"); err != nil {
		f.T.Fatal(err)
	}
}

// FreePort is a free one.
func (f Folder) FreePort() string {
	f.T.Helper()
	a, err := ports.Free("127.0.0.1")
	if err != nil {
		f.T.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(a)
	return port
}

// Run runs a program to its end.
func (f Folder) Run(program string, args ...string) {
	f.T.Helper()
	ctx, cancel := context.WithTimeout(f.T.Context(), StartLimit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		f.T.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Serve starts a program of Python's and waits until it answers at a URL. It ends with the test, or when stop is called.
func (f Folder) Serve(name, url string, environ []string, args ...string) (stop func()) {
	f.T.Helper()
	out, err := os.Create(filepath.Join(f.Dir, name+".out"))
	if err != nil {
		f.T.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(Python, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = f.Dir, append(os.Environ(), environ...), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		f.T.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	stop = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	f.T.Cleanup(stop)
	limit := time.After(StartLimit)
	for {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return stop
		}
		select {
		case <-ended:
			f.T.Fatalf("%s ended at once:\n%s", name, f.Said(name))
		case <-limit:
			f.T.Fatalf("%s does not answer:\n%s", name, f.Said(name))
		case <-time.After(50 * time.Millisecond): // between two looks
		}
	}
}

// Said is the end of what a program wrote.
func (f Folder) Said(name string) string {
	var all bytes.Buffer
	for _, file := range []string{name + ".out", name + ".log"} {
		b, _ := os.ReadFile(filepath.Join(f.Dir, file))
		all.Write(b[max(0, len(b)-3000):])
	}
	return all.String()
}
