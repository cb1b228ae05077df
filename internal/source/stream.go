package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"time"
)

var errStalled = errors.New("no data within the stall limit")

// stream is the body of one response, ended when the server sends nothing for too long. The watch runs
// only during Read: a caller that is slow to write to its disk is not the server's fault.
type stream struct {
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	stall  time.Duration
}

func newStream(body io.ReadCloser, cancel context.CancelCauseFunc, stall time.Duration) *stream {
	return &stream{body: body, cancel: cancel, stall: stall}
}

func (s *stream) Read(p []byte) (int, error) {
	watch := time.AfterFunc(s.stall, func() { s.cancel(errStalled) })
	n, err := s.body.Read(p)
	if !watch.Stop() && err != nil && err != io.EOF {
		err = errStalled
	}
	return n, err
}

func (s *stream) close() {
	s.cancel(nil)
	s.body.Close()
}

// isTLS tells a certificate or handshake problem.
func isTLS(err error) bool {
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &name)
}
