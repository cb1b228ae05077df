package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ingot/internal/fault"
)

// askLimit is how long a server may take to answer a question.
const askLimit = 10 * time.Second

// ask sends one request to another server and decodes its answer. Errors are faults: Unavailable if it cannot
// be reached or is not who it should be, else of the kind it said.
func (p *Peer) ask(ctx context.Context, to Server, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return exchange(ctx, dialTLS(p.current.Load(), to.Name, p.verified, p.now), to, method, path, in, out)
}

// exchange is ask with any credentials. A connection is made for the one request: what is asked is seldom, and
// nothing old is kept.
func exchange(ctx context.Context, c *tls.Config, to Server, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	res, done, err := send(ctx, c, to, method, path, bytes.NewReader(body), int64(len(body)), nil)
	if err != nil {
		return err
	}
	defer done()
	return answer(res, to, out)
}

// send makes the request. done must be called when the answer was read.
func send(ctx context.Context, c *tls.Config, to Server, method, path string, body io.Reader, size int64, header http.Header) (*http.Response, func(), error) {
	u, err := url.Parse(to.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, fault.New(fault.Unavailable, "Server %s has no address at which other servers reach it.", to.Name)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(to.URL, "/")+path, body)
	if err != nil {
		return nil, nil, err
	}
	req.ContentLength = size
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("Content-Type", "application/json")
	t := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSHandshakeTimeout: askLimit} // no proxy
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.CloseIdleConnections()
		return nil, nil, fault.Wrap(fault.Unavailable, err, "Server %s cannot be reached, or is not accepted.", to.Name)
	}
	return res, func() {
		_ = res.Body.Close()
		t.CloseIdleConnections()
	}, nil
}

// answer reads what came back.
func answer(res *http.Response, from Server, out any) error {
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxJSON+1))
	if err == nil && len(raw) > maxJSON {
		err = errors.New("the answer is too large")
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "Server %s did not answer to the end.", from.Name)
	}
	if res.StatusCode == http.StatusOK {
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(raw, out); err != nil {
			return fault.Wrap(fault.Unavailable, err, "Server %s gave an answer that cannot be read.", from.Name)
		}
		return nil
	}
	var p problem
	if json.Unmarshal(raw, &p) != nil || p.Error == "" {
		return fault.Wrap(fault.Unavailable, fmt.Errorf("status %s", res.Status), "Server %s gave an answer that cannot be read.", from.Name)
	}
	return fault.New(kindNamed(p.Kind), "Server %s: %s", from.Name, p.Error)
}

func kindNamed(name string) fault.Kind {
	for k := fault.Internal; k <= fault.NotSupported; k++ {
		if k.String() == name {
			return k
		}
	}
	return fault.Internal
}

// Hello asks another server who it is.
func (p *Peer) Hello(ctx context.Context, to Server) (Hello, error) {
	var h Hello
	return h, p.ask(ctx, to, http.MethodGet, "/v1/hello", nil, &h)
}
