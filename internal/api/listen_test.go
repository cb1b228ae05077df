package api

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a self-signed one for 127.0.0.1 with this serial number, and gives a pool that trusts it.
func certificate(t *testing.T, dir string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	save(t, filepath.Join(dir, "cert"), chain)
	save(t, filepath.Join(dir, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return pool
}

func save(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// served is a listener with TLS as the options say, and its address.
func served(t *testing.T, o TLSOptions) string {
	t.Helper()
	c, err := ListenTLS(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Server(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }), slog.New(slog.DiscardHandler))
	serve(t, s, tls.NewListener(Crowd(l, 100), c))
	return l.Addr().String()
}

func serve(t *testing.T, s *http.Server, l net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// shake makes a TLS connection and gives its state.
func shake(at string, c *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.Dial("tcp", at, c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	// In TLS 1.3 a server's refusal comes with the first read.
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		return tls.ConnectionState{}, err
	}
	return conn.ConnectionState(), nil
}

func TestTLSVersionsAndCiphers(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir, 1)
	files := TLSOptions{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	newest := served(t, files)
	files.MinVersion, files.Ciphers = "1.2", "ECDHE-ECDSA-AES256-GCM-SHA384:TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
	older := served(t, files)
	is := func(v uint16, suites ...uint16) *tls.Config {
		return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: v, CipherSuites: suites}
	}
	for _, x := range []struct {
		what, at string
		c        *tls.Config
		ok       bool
	}{
		{"1.3", newest, is(tls.VersionTLS13), true},
		{"1.2 where 1.3 is the least", newest, is(tls.VersionTLS12), false},
		{"1.2", older, is(tls.VersionTLS12), true},
		{"1.1", older, is(tls.VersionTLS11), false},
		{"1.0", older, is(tls.VersionTLS10), false},
		{"a cipher of the list", older, is(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), true},
		{"a safe one that is not of the list", older, is(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), false},
		{"an old one", older, is(tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA), false},
		{"somebody who does not trust it", newest, &tls.Config{}, false},
	} {
		if _, err := shake(x.at, x.c); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.what, err)
		}
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	old := certificate(t, dir, 1)
	log := &logText{}
	at := served(t, TLSOptions{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key"), Log: slog.New(slog.NewTextHandler(log, nil))})
	if _, err := shake(at, &tls.Config{RootCAs: old}); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	fresh := certificate(t, dir, 2)
	newKey, err := os.ReadFile(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(dir, "key"), key) // the certificate is there, its key not yet
	for range 2 {
		if _, err := shake(at, &tls.Config{RootCAs: old}); err != nil {
			t.Fatalf("half a change: %v", err)
		}
	}
	if n := strings.Count(log.String(), "stays in use"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
	save(t, filepath.Join(dir, "key.new"), newKey)
	if err := os.Rename(filepath.Join(dir, "key.new"), filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	s, err := shake(at, &tls.Config{RootCAs: fresh})
	if err != nil || s.PeerCertificates[0].SerialNumber.Int64() != 2 {
		t.Errorf("the new one is not used: %v", err)
	}
}

func TestTLSRefusals(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir, 1)
	c, k := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for _, x := range []struct {
		o    TLSOptions
		want string
	}{
		{TLSOptions{CertFile: c}, "both cert_file and key_file"},
		{TLSOptions{CertFile: c, KeyFile: c}, "certificate " + c},
		{TLSOptions{CertFile: c, KeyFile: k, MinVersion: "1.1"}, "neither 1.2 nor 1.3"},
		{TLSOptions{CertFile: c, KeyFile: k, Ciphers: "ECDHE-RSA-AES128-GCM-SHA256"}, "cannot be chosen"},
		{TLSOptions{CertFile: c, KeyFile: k, MinVersion: "1.2", Ciphers: "HIGH:!aNULL"}, `"HIGH" is no cipher`},
		{TLSOptions{CertFile: c, KeyFile: k, MinVersion: "1.2", Ciphers: "ECDHE-RSA-AES128-SHA"}, "no cipher of TLS 1.2 that is still safe"},
	} {
		if _, err := ListenTLS(x.o); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("got %v, want %s", err, x.want)
		}
	}
}

// A full house lets the next one in by sending away whoever has been idle longest, and never one that is at work.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	working, finish := make(chan struct{}), make(chan struct{})
	s := Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			working <- struct{}{}
			<-finish
		}
		_, _ = w.Write([]byte("ok"))
	}), slog.New(slog.DiscardHandler))
	serve(t, s, Crowd(l, 3))

	busy := dial(t, l)
	send(t, busy, "/slow")
	<-working
	first, second := dial(t, l), dial(t, l) // both say nothing, or nothing more
	send(t, first, "/")
	answered(t, first)
	send(t, second, "/")
	answered(t, second)
	for range 20 {
		one := dial(t, l)
		send(t, one, "/")
		answered(t, one)
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && err == nil {
		t.Error("the longest idle connection is still open")
	}
	finish <- struct{}{}
	answered(t, busy)

	// All at work: the next waits, and comes in when one is done.
	var all []net.Conn
	for range 3 {
		c := dial(t, l)
		send(t, c, "/slow")
		<-working
		all = append(all, c)
	}
	late := dial(t, l)
	send(t, late, "/")
	for range 3 {
		finish <- struct{}{}
	}
	answered(t, late)
	for _, c := range all[1:] { // the first may have made room, once answered
		answered(t, c)
	}
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, path string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

func answered(t *testing.T, c net.Conn) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v %v", resp.Status, err)
	}
}

// A client that does not read its answer is cut off, and its place is free again.
func TestSlowReadersAreCutOff(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.AnswerLimit = 200 * time.Millisecond
		o.Dumps = map[string]func() ([]byte, error){"big": func() ([]byte, error) { return make([]byte, 64<<20), nil }}
	})
	at := strings.TrimPrefix(r.url, "http://")
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /ingot/v1/debug/big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r.logged(t, "request answered", "/ingot/v1/debug/big") // told after the write was given up
	n, err := io.Copy(io.Discard, c)
	if n >= 64<<20 {
		t.Errorf("all %d bytes came: %v", n, err)
	}
}

// logged waits until one line of the access log has all the words.
func (r *rig) logged(t *testing.T, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		for line := range strings.Lines(r.log.String()) {
			all := true
			for _, w := range words {
				all = all && strings.Contains(line, w)
			}
			if all {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never logged: %v", words)
}

// A client that sends its headers or its body a byte at a time is cut off.
func TestSlowWritersAreCutOff(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequestLimit = 200 * time.Millisecond })
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/nodes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 400 {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestTrapDeeplyNestedJSON(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Body = BodyLimits{Depth: 3, Size: 100, Provision: 200} })
	r.do(post, "/v1/nodes", 80, map[string]any{"driver": strings.Repeat("x", 100)}).want(t, 413)
	r.do(post, "/v1/nodes", 80, map[string]any{"a": map[string]any{"b": map[string]any{"c": map[string]any{}}}}).want(t, 400, "nested too deeply: at most 3")
	r.do(put, "/v1/nodes/x/states/provision", 80, map[string]any{"target": "active", "configdrive": strings.Repeat("x", 100)}).want(t, 404)
	r.do(put, "/v1/nodes/x/states/provision", 80, map[string]any{"target": "active", "configdrive": strings.Repeat("x", 200)}).want(t, 413)
}
