package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/lab/beside"
)

// agents is how many nodes wait for their agents.
const agents = 32

const (
	warmUp       = time.Second
	requestLimit = 2 * time.Minute // Ironic takes seconds for a list of a thousand
)

// kind is one kind of request.
type kind struct {
	name    string
	request func(i int64) (method, path, body string)
	status  int
}

// result is what a kind took.
type result struct {
	name     string
	count    int
	took     time.Duration
	p99      time.Duration
	cpu      time.Duration
	resident int64
}

func (r result) rate() float64 { return float64(r.count) / r.took.Seconds() }

func (r result) cpuEach() time.Duration { return r.cpu / time.Duration(r.count) }

func (r result) String() string {
	if r.count == 0 {
		return "| | "
	}
	return fmt.Sprintf("%.1f | %v | %v", r.rate(), round(r.p99), round(r.cpuEach()))
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

func nodeUUID(i int64) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

// kinds are what is measured. Nodes 0 to agents-1 wait for their agents. Creating comes last: lists are of -nodes.
func kinds(o options, tokens []string) []kind {
	n := int64(o.nodes)
	certificate := `-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`
	return []kind{
		{"get one node", func(i int64) (string, string, string) { return "GET", "/v1/nodes/" + nodeUUID(i%n), "" }, 200},
		{fmt.Sprintf("list %d with detail", o.nodes), func(int64) (string, string, string) { return "GET", "/v1/nodes/detail", "" }, 200},
		{"patch", func(i int64) (string, string, string) {
			return "PATCH", "/v1/nodes/" + nodeUUID(agents+i%(n-agents)), fmt.Sprintf(`[{"op":"add","path":"/extra/n","value":%d}]`, i)
		}, 200},
		{"lookup", func(i int64) (string, string, string) { return "GET", "/v1/lookup?node_uuid=" + nodeUUID(i%agents), "" }, 200},
		{"heartbeat", func(i int64) (string, string, string) {
			return "POST", "/v1/heartbeat/" + nodeUUID(i%agents), fmt.Sprintf(
				`{"callback_url":"https://127.0.0.1:9999","agent_version":"9.4.0","agent_token":%q,"agent_verify_ca":"%s"}`, tokens[i%agents], certificate)
		}, 202},
		{"create", func(i int64) (string, string, string) { return "POST", "/v1/nodes", nodeBody(1_000_000 + i) }, 201},
	}
}

func nodeBody(i int64) string {
	return fmt.Sprintf(`{"driver":"fake-hardware","uuid":"%s","name":"node-%d","resource_class":"baremetal","properties":{"cpus":"8","memory_mb":"65536","cpu_arch":"x86_64"},
		"driver_info":{"redfish_address":"https://192.0.2.1","redfish_username":"admin","redfish_password":"secret"},"extra":{"rack":"r%d"}}`, nodeUUID(i), i, i%40)
}

// client sends requests over as many connections as it has callers.
type client struct {
	http *http.Client
	base string
}

func newClient(s *beside.Server, connections int) *client {
	return &client{base: s.URL, http: &http.Client{Timeout: requestLimit,
		Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}}}
}

func (c *client) do(ctx context.Context, method, path, body string, want int) ([]byte, error) {
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(res.Body); err != nil {
		return nil, err
	}
	if res.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %.300s", method, path, res.Status, got.Bytes())
	}
	return got.Bytes(), nil
}

// fill makes the nodes.
func fill(ctx context.Context, s *beside.Server, o options) error {
	c := newClient(s, o.clients)
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(o.clients)
	for i := range int64(o.nodes) {
		all.Go(func() error {
			_, err := c.do(ctx, http.MethodPost, "/v1/nodes", nodeBody(i), http.StatusCreated)
			return err
		})
	}
	return all.Wait()
}

// tokens asks for the agents' tokens, as agents do.
func tokens(ctx context.Context, s *beside.Server) ([]string, error) {
	c := newClient(s, 1)
	var out []string
	for i := range int64(agents) {
		body, err := c.do(ctx, http.MethodGet, "/v1/lookup?node_uuid="+nodeUUID(i), "", http.StatusOK)
		if err != nil {
			return nil, err
		}
		var answer struct {
			Config struct {
				Token string `json:"agent_token"`
			} `json:"config"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, err
		}
		out = append(out, answer.Config.Token)
	}
	return out, nil
}

// load sends requests of one kind until the time is over, and lets those on their way finish.
func load(ctx context.Context, s *beside.Server, k kind, o options) (result, error) {
	c := newClient(s, o.clients)
	var next atomic.Int64
	send := func() error {
		method, path, body := k.request(next.Add(1) - 1)
		_, err := c.do(ctx, method, path, body, k.status)
		return err
	}
	if err := parallel(o.clients, warmUp, func(time.Duration) {}, send); err != nil {
		return result{}, err
	}
	before, err := s.Used()
	if err != nil {
		return result{}, err
	}
	var mu sync.Mutex
	var times []time.Duration
	began := time.Now()
	err = parallel(o.clients, o.time, func(d time.Duration) {
		mu.Lock()
		times = append(times, d)
		mu.Unlock()
	}, send)
	took := time.Since(began)
	if err != nil {
		return result{}, err
	}
	after, err := s.Used()
	if err != nil {
		return result{}, err
	}
	slices.Sort(times)
	return result{name: k.name, count: len(times), took: took, p99: times[len(times)*99/100], cpu: after.CPU - before.CPU, resident: after.Resident}, nil
}

// parallel calls send from n callers until the time is over.
func parallel(n int, limit time.Duration, took func(time.Duration), send func() error) error {
	var all errgroup.Group
	end := time.Now().Add(limit)
	for range n {
		all.Go(func() error {
			for start := time.Now(); start.Before(end); start = time.Now() {
				if err := send(); err != nil {
					return err
				}
				took(time.Since(start))
			}
			return nil
		})
	}
	return all.Wait()
}
