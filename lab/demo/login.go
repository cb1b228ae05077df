package demo

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// login is a key made for one run and, once the machine is up, a connection with it.
type login struct {
	privateFile string
	publicFile  string
	signer      ssh.Signer
	client      *ssh.Client
}

// newLogin makes a key pair and keeps it in dir, in OpenSSH's form, so that a person can log in too.
func newLogin(dir string) (*login, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "ingot demo")
	if err != nil {
		return nil, fmt.Errorf("write the key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	l := &login{privateFile: filepath.Join(dir, "id_ed25519"), publicFile: filepath.Join(dir, "id_ed25519.pub"), signer: signer}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " ingot-demo\n"
	return l, errors.Join(os.WriteFile(l.privateFile, pem.EncodeToMemory(block), 0o600), os.WriteFile(l.publicFile, []byte(line), 0o644))
}

// dial tries until the machine lets us in or ctx ends; then the last reason is in the error. Before sshd is
// there nothing answers, and before cloud-init has put the key in place sshd refuses it: both are tried again.
func (l *login) dial(ctx context.Context, address string) error {
	config := &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(l.signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // the machine made its key a moment ago: nobody can know it
	}
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		client, err := dialOnce(ctx, net.JoinHostPort(address, "22"), config)
		if err == nil {
			l.client = client
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("log in at %s: %w (at last: %w)", address, ctx.Err(), err)
		case <-again.C:
		}
	}
}

func dialOnce(ctx context.Context, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	// An emulated machine that is starting services may need this long for a key exchange.
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })()
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}

// run runs one command on the machine and gives its trimmed standard output.
func (l *login) run(ctx context.Context, command string) (string, error) {
	s, err := l.client.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	// Closing the connection is what unblocks a command on a machine that is gone.
	defer context.AfterFunc(ctx, func() { l.client.Close() })()
	out, err := s.Output(command)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return strings.TrimSpace(string(out)), err
}

func (l *login) close() {
	if l != nil && l.client != nil {
		l.client.Close() // the machine is about to lose its power anyway
	}
}
