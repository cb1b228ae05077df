package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// result is what the instances saw.
type result struct {
	Requests, Failed int
	Why              string // of one that failed
	Took             time.Duration
	P50, P99, Most   time.Duration
}

// pages are what cloud-init of Debian 12 asks for at a first boot, in its order. Source: seen with cloud-init 22.4.2.
var pages = []string{"/openstack", "/openstack", "/openstack/2018-08-27/meta_data.json", "/openstack/2018-08-27/user_data", "/openstack/2018-08-27/vendor_data.json",
	"/openstack/2018-08-27/vendor_data2.json", "/openstack/2018-08-27/network_data.json", "/latest/meta-data/"}

const requestLimit = time.Minute

// recorder counts requests of many goroutines.
type recorder struct {
	mu     sync.Mutex
	took   []time.Duration // guarded by mu
	failed int             // guarded by mu
	why    string          // guarded by mu
}

func (r *recorder) note(took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.took = append(r.took, took)
	if err != nil {
		r.failed++
		r.why = err.Error()
	}
}

// instances ask for what the argument says, and tell on standard output how it went.
func instances(ctx context.Context, o options) error {
	var r recorder
	began := time.Now()
	switch what := flag.Arg(0); what {
	case "boots":
		boots(ctx, o, &r)
	case "pages":
		random(ctx, o, &r)
	default:
		return fmt.Errorf("there is no %q", what)
	}
	out := result{Requests: len(r.took), Failed: r.failed, Why: r.why, Took: time.Since(began)}
	slices.Sort(r.took)
	if n := len(r.took); n > 0 {
		out.P50, out.P99, out.Most = r.took[n/2], r.took[n*99/100], r.took[n-1]
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// boots has each instance boot once. It makes a new connection for each request.
func boots(ctx context.Context, o options, r *recorder) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range o.workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < o.instances && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				c := client(i, false)
				for _, p := range pages {
					r.note(ask(ctx, c, o.child, p))
				}
			}
		})
	}
	all.Wait()
}

// random has as many instances at a time as there are workers ask for a hundred pages each over one connection.
func random(ctx context.Context, o options, r *recorder) {
	ctx, cancel := context.WithTimeout(ctx, o.time)
	defer cancel()
	var all sync.WaitGroup
	for range o.workers {
		all.Go(func() {
			for ctx.Err() == nil {
				c := client(rand.IntN(o.instances), true) //nolint:gosec // no secret
				for range 100 {
					took, err := ask(ctx, c, o.child, pages[rand.IntN(len(pages))]) //nolint:gosec // no secret
					if ctx.Err() != nil {
						break // the time is over
					}
					r.note(took, err)
				}
				c.CloseIdleConnections()
			}
		})
	}
	all.Wait()
}

// client asks as an instance, from its address.
func client(i int, keep bool) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addressOf(i))}}
	return &http.Client{Timeout: requestLimit, Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: !keep}}
}

func ask(ctx context.Context, c *http.Client, at, path string) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	res, err := c.Do(req)
	if err != nil {
		return time.Since(began), err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	took := time.Since(began)
	if err == nil && (res.StatusCode != http.StatusOK || len(body) == 0) {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return took, err
}
