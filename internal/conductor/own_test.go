package conductor

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestPolledImagesComeFromBootHosts: whatever the configuration says, and never from a listener of the control plane.
func TestPolledImagesComeFromBootHosts(t *testing.T) {
	empty := httptest.NewServer(http.NotFoundHandler()) // a server that does not answer is asked for a minute
	t.Cleanup(empty.Close)
	own := func(urls ...string) func(*world) {
		return func(w *world) {
			polled := w.tune
			w.tune = func(c *Config) { polled(c); c.Listeners = urls }
		}
	}
	instance := func(key string, v any) func(*world) {
		return func(w *world) { w.node.InstanceInfo = w.node.InstanceInfo.With(key, v) }
	}
	for name, c := range map[string]struct {
		change func(*world)
		says   string // "": it is deployed
	}{
		"as configured":                    {func(*world) {}, ""},
		"local":                            {instance("image_download_source", "local"), ""},
		"http":                             {instance("image_download_source", "http"), "from a boot host alone"},
		"http, by the node":                {func(w *world) { w.node.DriverInfo = w.node.DriverInfo.With("image_download_source", "http") }, "from a boot host alone"},
		"on our listener":                  {own("https://192.0.2.9:6385", "http://127.0.0.1:1"), "image_source is on 127.0.0.1:1"},
		"by another name":                  {own("http://localhost:1"), "image_source is on localhost:1"},
		"another port of ours":             {own("http://127.0.0.1:6387"), ""},
		"another server's":                 {another(false), "image_source is on 127.0.0.1:1"},
		"a boot host's":                    {another(true), ""},
		"a boot host that is us":           {own("http://192.0.2.77"), "the boot host offers it is on 192.0.2.77"},
		"the ISO's host is us":             {func(w *world) { w.images.at = "http://192.0.2.78"; own("http://192.0.2.77:80")(w) }, "the boot ISO as the boot host offers it is on"},
		"a config drive that is not there": {instance("configdrive", empty.URL+"/drive"), empty.Listener.Addr().String()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.polled()
			w.pushing()
			w.images = &imageHost{w: w, at: "http://192.0.2.77", held: map[string]Image{}}
			c.change(w)
			j := named(t, "deploy")
			j.start(w)
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if c.says == "" {
				j.arrived(t, w, name)
				if w.wrote != "["+w.images.at+"/pushed/image]" {
					t.Errorf("written from %s", w.wrote)
				}
				return
			}
			if n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, c.says) || w.counters["insert"] != 0 || len(w.images.held)+len(w.host.pushed) != 0 {
				t.Errorf("state %s, last_error %q, done %v, left %d and %d", n.ProvisionState, n.LastError, w.counters, len(w.images.held), len(w.host.pushed))
			}
		})
	}
}

// another is a server whose boot listener is where the image is.
func another(visited bool) func(*world) {
	return func(w *world) {
		w.write(func(tx *store.Tx) error {
			return tx.SaveServer(store.Server{Name: "s2", Place: "p", Roles: []string{"conductor"}, BootURL: "http://127.0.0.1:1", Visited: visited}, time.Minute)
		})
	}
}

func TestConfigDrivesAreFetched(t *testing.T) {
	raw := append([]byte("\x00\x01CD001"), make([]byte, 100)...)
	text := base64.StdEncoding.EncodeToString(raw)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/raw":
			_, _ = w.Write(raw)
		case "/text":
			_, _ = io.WriteString(w, text+"\n")
		case "/large":
			_, _ = io.Copy(w, io.LimitReader(bytes.NewReader(make([]byte, agentapi.MaxConfigDrive+2)), agentapi.MaxConfigDrive+2))
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	for path, want := range map[string]string{"/raw": text, "/text": text} {
		if got, err := fetched(t, t.Context(), s.URL+path); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
	for path, want := range map[string]fault.Kind{"/large": fault.TooLarge, "/none": fault.Invalid} {
		if got, err := fetched(t, t.Context(), s.URL+path); fault.KindOf(err) != want {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := fetched(t, gone, s.URL+"/raw"); err == nil {
		t.Error("a step that was ended fetched on")
	}
}

func fetched(t *testing.T, ctx context.Context, at string) (string, error) {
	t.Helper()
	w := newWorld(t)
	r, op := &runner{c: w.conductor("c1", nil), log: slog.New(slog.DiscardHandler)}, &Op{row: liveRow(), Node: w.node, Rec: record{Ramdisk: true}}
	_, err := r.fetchDrive(ctx, op, at)
	return op.Rec.ConfigDrive, err
}
