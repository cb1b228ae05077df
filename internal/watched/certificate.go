package watched

import (
	"crypto/tls"
	"log/slog"
)

// certificateLimit is bytes of a certificate or key file: a chain of a few certificates is far smaller.
const certificateLimit = 256 << 10

// Certificate is what this server shows of itself to another, from a file with the chain and one with the key (they may be the
// same). It is of the form that tls.Config.GetClientCertificate has, so a new one counts from the next connection on.
func Certificate(certFile, keyFile string, log *slog.Logger) (func(*tls.CertificateRequestInfo) (*tls.Certificate, error), error) {
	f, err := OpenAll([]string{certFile, keyFile}, certificateLimit, log, func(texts [][]byte) (*tls.Certificate, error) {
		c, err := tls.X509KeyPair(texts[0], texts[1])
		return &c, err
	})
	if err != nil {
		return nil, err
	}
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.Get(), nil }, nil
}
