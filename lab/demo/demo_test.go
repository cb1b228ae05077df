package demo

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/ssh"

	"ingot/internal/fault"
)

func TestShown(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"node", "list"}, "node list"},
		{[]string{"a b", ""}, "'a b' ''"},
		{[]string{"it's"}, `'it'\''s'`},
		{[]string{"k=v", "http://198.18.77.2:8080/debian.raw.zst"}, "k=v http://198.18.77.2:8080/debian.raw.zst"},
	} {
		if got := shown(c.args); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// shell makes a demo whose program is a shell: what it does with a command's output and end is what is tested.
func shell(t *testing.T) (*demo, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	o, err := Options{Program: "/bin/sh", Dir: t.TempDir(), Out: &out}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return &demo{Options: o, began: time.Now()}, &out
}

func TestCommandsAreShownWithWhatTheySay(t *testing.T) {
	d, out := shell(t)
	got, err := d.ingot(t.Context(), "-c", "echo one; echo two >&2; echo $INGOT_ENDPOINT")
	if err != nil {
		t.Fatal(err)
	}
	if got != "one\nhttp://127.0.0.1:6385\n" {
		t.Errorf("standard output is %q", got)
	}
	for _, want := range []string{"$ ingot -c", "      one\n", "      two\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q was not shown in %q", want, out)
		}
	}
	if _, err := d.ingot(t.Context(), "-c", "echo so long >&2; exit 4"); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("got %v", err)
	}
	if _, err := d.quiet(t.Context(), "-c", "echo the reason >&2; exit 1"); err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.ingot(ctx, "-c", "exit 0"); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt: %v", err)
	}
}

func TestLongLinesDoNotBlock(t *testing.T) {
	d, _ := shell(t)
	_, err := d.ingot(t.Context(), "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
	if err == nil {
		t.Error("a line of three million characters was shown")
	}
}

func TestAServerThatEndsIsSaid(t *testing.T) {
	d, _ := shell(t)
	d.Program = filepath.Join(t.TempDir(), "ingot")
	if err := os.WriteFile(d.Program, []byte("#!/bin/sh\necho no such luck\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	d.Listen, d.hostAddr = "127.0.0.1:1", "127.0.0.1"
	_, err := d.startServer(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("got %v", err)
	}
	if err := d.server.stop(t.Context()); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
}

func TestPortInUseIsSaidBeforeAnythingIsRemoved(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, _ := shell(t)
	d.Listen = l.Addr().String()
	kept := filepath.Join(d.Dir, "data", "store")
	if err := os.MkdirAll(kept, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.prepare(); fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the running server's data: %v", err)
	}
}

func TestTail(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, []byte(strings.Repeat("old line\n", 20000)+"a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(name, 2); got != "b\nc" {
		t.Errorf("got %q", got)
	}
	if got := tail(name+".absent", 2); !strings.Contains(got, "no such file") {
		t.Errorf("got %q", got)
	}
}

// machineSSH is an ssh server that refuses the key until it was asked so many times, as a machine does whose
// cloud-init is not there yet. Every command answers with itself.
func machineSSH(t *testing.T, refusals int32) (net.Listener, *atomic.Int32) {
	t.Helper()
	_, host, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(host)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, _ ssh.PublicKey) (*ssh.Permissions, error) {
		if asked.Add(1) <= refusals || c.User() != user {
			return nil, errors.New("not yet")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(conn, config)
		}
	}()
	return l, &asked
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				r.Reply(r.Type == "exec", nil)
				if r.Type != "exec" {
					continue
				}
				var command struct{ Text string }
				ssh.Unmarshal(r.Payload, &command)
				channel.Write([]byte(command.Text + "\n"))
				channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{0}))
				channel.Close()
			}
		}()
	}
}

func TestLogin(t *testing.T) {
	dir := t.TempDir()
	l, err := newLogin(dir)
	if err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(l.privateFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.ParsePrivateKey(private); err != nil {
		t.Errorf("the key on disk: %v", err)
	}
	if info, err := os.Stat(l.privateFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v, %v", info, err)
	}
	listener, asked := machineSSH(t, 1)
	config := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(l.signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}
	if _, err := dialOnce(t.Context(), listener.Addr().String(), config); err == nil {
		t.Fatal("let in before its time")
	}
	if l.client, err = dialOnce(t.Context(), listener.Addr().String(), config); err != nil {
		t.Fatalf("asked %d times: %v", asked.Load(), err)
	}
	defer l.close()
	if out, err := l.run(t.Context(), "hostname"); out != "hostname" || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestDialGivesUpWithTheReason(t *testing.T) {
	l, err := newLogin(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	// 127.0.0.2: an address of this host where nothing listens on port 22 in a test; if sshd does, it refuses.
	if err := l.dial(ctx, "127.0.0.2"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRunNeedsRoot(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("skipped: this user is root")
	}
	if err := Run(t.Context(), Options{Dir: t.TempDir()}); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("got %v", err)
	}
}

func TestImageSize(t *testing.T) {
	name := filepath.Join(t.TempDir(), "i.zst")
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, c := range []struct {
		content []byte
		size    uint64
		fails   string
	}{
		{z.EncodeAll(make([]byte, 3<<20), nil), 3 << 20, ""},
		{[]byte("no such thing as a frame"), 0, "read"},
		{nil, 0, "read"},
	} {
		if err := os.WriteFile(name, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		size, err := imageSize(name)
		if size != c.size || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%.20q: %d, %v", c.content, size, err)
		}
	}
}
