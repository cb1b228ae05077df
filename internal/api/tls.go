package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// TLSOptions are how a listener speaks TLS.
type TLSOptions struct {
	CertFile, KeyFile string // PEM; the certificate's chain behind it
	MinVersion        string // "1.2" or "1.3"; "" is 1.3
	Ciphers           string // for TLS 1.2: names as OpenSSL or IANA write them, divided by colons, commas or spaces; "" is the safe ones
	Log               *slog.Logger
}

// ListenTLS reads certificate and key, and reads them again when they change. A pair that became wrong is told to the log, and
// what was read before stays in use: a certificate is replaced before its key is.
func ListenTLS(o TLSOptions) (*tls.Config, error) {
	if o.CertFile == "" || o.KeyFile == "" {
		return nil, errors.New("a certificate needs both cert_file and key_file")
	}
	c, err := TLSLimits(o.MinVersion, o.Ciphers)
	if err != nil {
		return nil, err
	}
	p := &pair{o: o}
	if p.o.Log == nil {
		p.o.Log = slog.New(slog.DiscardHandler)
	}
	if p.now, p.seen, err = p.read(); err != nil {
		return nil, err
	}
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.get(), nil }
	return c, nil
}

// TLSLimits is a configuration with these limits, and HTTP/1.1 only: one connection, one request at a time, which is what the
// limits of connections count.
func TLSLimits(minVersion, ciphers string) (*tls.Config, error) {
	c := &tls.Config{NextProtos: []string{"http/1.1"}}
	switch minVersion {
	case "", "1.3":
		c.MinVersion = tls.VersionTLS13
	case "1.2":
		c.MinVersion = tls.VersionTLS12
	default:
		return nil, fmt.Errorf("tls_minimum_version %q is neither 1.2 nor 1.3", minVersion)
	}
	names := strings.FieldsFunc(ciphers, func(r rune) bool { return strings.ContainsRune(":, ", r) })
	if len(names) > 0 && c.MinVersion == tls.VersionTLS13 {
		return nil, errors.New("tls_ciphers is for TLS 1.2, and tls_minimum_version is 1.3, whose ciphers are all safe and cannot be chosen: leave it out, or allow 1.2")
	}
	for _, name := range names {
		id, ok := suites()[strings.ToUpper(name)]
		if !ok {
			return nil, fmt.Errorf("tls_ciphers: %q is no cipher of TLS 1.2 that is still safe; name single ones such as ECDHE-ECDSA-AES256-GCM-SHA384", name)
		}
		c.CipherSuites = append(c.CipherSuites, id)
	}
	return c, nil
}

// suites are the ciphers of TLS 1.2 with forward secrecy and authenticated encryption, by both their names.
func suites() map[string]uint16 {
	out := map[string]uint16{}
	for _, s := range tls.CipherSuites() {
		rest, ok := strings.CutPrefix(s.Name, "TLS_ECDHE_")
		if !ok || strings.Contains(s.Name, "_CBC_") {
			continue
		}
		out[s.Name] = s.ID
		openssl := strings.NewReplacer("_WITH_AES_128_", "-AES128-", "_WITH_AES_256_", "-AES256-", "_WITH_CHACHA20_POLY1305_SHA256", "-CHACHA20-POLY1305", "_", "-").Replace(rest)
		out["ECDHE-"+openssl] = s.ID
	}
	return out
}

// pair is a certificate and its key, which change on disk.
type pair struct {
	o TLSOptions

	mu   sync.Mutex
	now  *tls.Certificate // guarded by mu
	seen [2]os.FileInfo   // of certificate and key, as they were when last read; guarded by mu
}

// get costs two stats a handshake, which costs a hundred times that.
func (p *pair) get() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.look()
	if unchanged(at[0], p.seen[0]) && unchanged(at[1], p.seen[1]) {
		return p.now
	}
	fresh, at, err := p.read()
	p.seen = at // told once for each change
	if err != nil {
		p.o.Log.Warn("a certificate that changed is not right, so the one before stays in use", "file", p.o.CertFile, "error", err.Error())
		return p.now
	}
	p.now = fresh
	p.o.Log.Info("a certificate that changed was read again", "file", p.o.CertFile)
	return p.now
}

// look is the state of both files; nil for one that is not there.
func (p *pair) look() (at [2]os.FileInfo) {
	for i, name := range []string{p.o.CertFile, p.o.KeyFile} {
		if info, err := os.Stat(name); err == nil {
			at[i] = info
		}
	}
	return at
}

func unchanged(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (p *pair) read() (*tls.Certificate, [2]os.FileInfo, error) {
	at := p.look() // before the read: a change while we read is seen next time
	c, err := tls.LoadX509KeyPair(p.o.CertFile, p.o.KeyFile)
	if err != nil {
		return nil, at, fmt.Errorf("certificate %s and key %s: %w", p.o.CertFile, p.o.KeyFile, err)
	}
	return &c, at, nil
}
