package keystone

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"ingot/internal/watched"
)

// retryPause is the pause before the first retry; each later one is twice as long.
const retryPause = 250 * time.Millisecond

// transport makes the HTTP client for Keystone and the section's service: bounded in time and in what it reads.
func (c *Client) transport() error {
	l := c.login
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: l.Insecure} // #nosec G402 -- the operator's explicit choice, for trials
	if l.CAFile != "" {
		pem, err := os.ReadFile(l.CAFile)
		if err != nil {
			return fmt.Errorf("[%s] cafile: %w", c.o.Section, err)
		}
		t.RootCAs, c.ca = x509.NewCertPool(), string(pem)
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("[%s] cafile: there is no certificate in %s", c.o.Section, l.CAFile)
		}
	}
	if l.CertFile != "" {
		own, err := watched.Certificate(l.CertFile, l.KeyFile, c.o.Log)
		if err != nil {
			return fmt.Errorf("[%s] certfile and keyfile: %w", c.o.Section, err)
		}
		t.GetClientCertificate = own
	}
	if l.Insecure {
		c.o.Log.Warn("certificates are not checked: whoever is between can be anybody, and learns what this server logs in with", "option", "["+c.o.Section+"] insecure")
	}
	r := http.DefaultTransport.(*http.Transport).Clone()
	r.TLSClientConfig, r.Proxy = t, nil
	if c.o.AtOnce > 0 {
		r.MaxIdleConnsPerHost, r.MaxConnsPerHost = c.o.AtOnce, c.o.AtOnce
	}
	c.http = &http.Client{Transport: short{r, c.o.Answer}, Timeout: c.o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("a redirect, and tokens go nowhere else: give the final URL in the configuration")
	}}
	return nil
}

// short bounds the answers of a server: what is longer ends in an error.
type short struct {
	http.RoundTripper
	limit int64
}

// RoundTrip makes a request.
func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, s.limit), answer.Body}
	}
	return answer, err
}

// retry tells whether a request that failed is sent again: nil. One that the service may have begun to do is not, unless doing it
// twice is doing it once.
func (c *Client) retry(ctx context.Context, method, _ string, _ *gophercloud.RequestOpts, err error, failed uint) error {
	if int(failed) > c.o.Retries || ctx.Err() != nil { // #nosec G115 -- a small count
		return err
	}
	var code gophercloud.ErrUnexpectedResponseCode
	var dial *net.OpError
	unsent := errors.As(err, &dial) && dial.Op == "dial"
	switch {
	case errors.As(err, &code):
		if code.Actual != http.StatusServiceUnavailable && (method == http.MethodPost || code.Actual < 500) {
			return err
		}
	case method == http.MethodPost && !unsent:
		return err
	}
	pause := time.NewTimer(retryPause << min(failed-1, 6))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return err
	}
}
