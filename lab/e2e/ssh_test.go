package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	dialLimit  = 5 * time.Second
	loginLimit = 40 * time.Second // an emulated machine that starts services takes this long for a key exchange
)

// sshKey is a key made for one test, and the file with its public half.
func sshKey(t *testing.T) (auth ssh.AuthMethod, publicFile string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	publicFile = filepath.Join(t.TempDir(), "id_ed25519.pub")
	if err := os.WriteFile(publicFile, ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	return ssh.PublicKeys(signer), publicFile
}

// shell is a login over ssh.
type shell struct {
	t *testing.T
	c *ssh.Client
}

// logIn logs in to a machine from a namespace. It tries until the machine lets it in: nothing answers before sshd runs, and sshd
// refuses before the account is ready.
func (s space) logIn(t *testing.T, address, user string, auth ssh.AuthMethod, limit time.Duration) *shell {
	t.Helper()
	var (
		last error
		in   *shell
	)
	t.Cleanup(func() {
		if in == nil {
			t.Logf("log in to %s as %s: %v", address, user, last)
		}
	})
	await(t, limit, "a login at "+address+" as "+user, func() (bool, error) {
		var c *ssh.Client
		if c, last = s.logInOnce(address, user, auth); last != nil {
			return false, nil
		}
		in = &shell{t, c}
		t.Cleanup(in.close)
		return true, nil
	})
	return in
}

func (s space) logInOnce(address, user string, auth ssh.AuthMethod) (*ssh.Client, error) {
	conn, err := s.tryDial(net.JoinHostPort(address, "22"))
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(loginLimit)); err != nil {
		return nil, err
	}
	// The machine made its host key a moment ago: nobody can know it.
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{auth}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), conn.SetDeadline(time.Time{})
}

// tryDial is dial, for machines that may not be there.
func (s space) tryDial(to string) (c net.Conn, err error) {
	err = s.within(func() (err error) {
		c, err = net.DialTimeout("tcp4", to, dialLimit)
		return err
	})
	return c, err
}

// reaches tells whether somebody takes connections at an address.
func (s space) reaches(to string) bool {
	c, err := s.tryDial(to)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// answers is closed once somebody takes connections at an address. It looks beside whatever else is waited for: an agent that is
// about to hand its machine over listens for a second or two.
func (s space) answers(t *testing.T, to string) <-chan struct{} {
	t.Helper()
	yes := make(chan struct{})
	go func() {
		for again := time.NewTicker(20 * time.Millisecond); t.Context().Err() == nil; <-again.C {
			if s.reaches(to) {
				close(yes)
				return
			}
		}
	}()
	return yes
}

// try runs a command on the machine and gives all that it says.
func (s *shell) try(command string) (string, error) {
	session, err := s.c.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	hung := time.AfterFunc(later, s.close) // which unblocks a command on a machine that is gone
	defer hung.Stop()
	out, err := session.CombinedOutput(command)
	if err != nil {
		err = fmt.Errorf("%s: %w", command, err)
	}
	return strings.TrimSpace(string(out)), err
}

func (s *shell) run(command string) string {
	s.t.Helper()
	out, err := s.try(command)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// close ends it; the machine may be gone.
func (s *shell) close() { _ = s.c.Close() }
