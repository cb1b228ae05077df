//go:build otel

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traced takes spans and keeps their names by trace, and all that was sent.
type traced struct {
	mu    sync.Mutex
	all   bytes.Buffer        // guarded by mu
	names map[string][]string // guarded by mu
}

func (c *traced) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body) // what is cut off does not parse
	var d tracepb.TracesData
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Write(b)
	if err := proto.Unmarshal(b, &d); err != nil {
		c.names["broken"] = append(c.names["broken"], err.Error())
	}
	for _, rs := range d.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				id := hex.EncodeToString(s.TraceId)
				c.names[id] = append(c.names[id], s.Name)
			}
		}
	}
}

// asks sends a request in a trace of the caller's.
func (r *running) asks(t *testing.T, trace, method, path string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 202 {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
}

// An operation is asked for in one process, which ends while a BMC keeps it waiting, and is gone on with by the next:
// the collector has one trace of it, under the caller's id. Of a deploy with secrets it has no secret.
func TestTraceGoesOnAfterARestart(t *testing.T) {
	c := &traced{names: map[string][]string{}}
	h := httptest.NewServer(c)
	defer h.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", h.URL)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	called := make(chan net.Conn, 100)
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			called <- conn
		}
	}()
	const verify, deploy = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319d"
	password, userData := plant("BMC password"), plant("user data")
	dir := t.TempDir()
	r := serving(t, dir)
	r.call(t, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "n1", "driver_info": map[string]any{"fake_password": password.value}}, 201)
	for _, v := range []string{"manage", "provide"} {
		r.ingot(t, "node", v, "n1", "--wait")
	}
	r.asks(t, deploy, "PUT", "/v1/nodes/n1/states/provision", map[string]any{"target": "active", "configdrive": map[string]any{"meta_data": map[string]any{}, "user_data": userData.value}})
	r.until(t, "n1", "active")
	r.call(t, "POST", "/v1/nodes", map[string]any{"driver": "redfish", "name": "mute", "driver_info": map[string]any{
		"redfish_address": "https://" + silent.Addr().String(), "redfish_username": "u", "redfish_password": password.value}}, 201)
	r.asks(t, verify, "PUT", "/v1/nodes/mute/states/provision", map[string]any{"target": "manage"})
	defer (<-called).Close()
	r.stop(t)
	r = serving(t, dir)
	held := <-called
	silent.Close()
	held.Close()
	r.until(t, "mute", "enroll")
	r.stop(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	count := func(trace, name string) (n int) {
		for _, s := range c.names[trace] {
			if s == name {
				n++
			}
		}
		return n
	}
	const asked = "PUT /v1/nodes/{node}/states/provision"
	if count(verify, asked) != 1 || count(verify, "verify: read power") < 2 || count(verify, "redfish: read power") < 2 || count(deploy, "deploy: finish deployment") != 1 || c.names["broken"] != nil {
		t.Errorf("the traces: %q %q; broken: %q", c.names[verify], c.names[deploy], c.names["broken"])
	}
	unseen(t, "the collector", c.all.Bytes(), password, userData)
}
