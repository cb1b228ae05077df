package conductor

import (
	"context"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// imageHost has images for machines, as conductors know who does.
type imageHost struct {
	w      *world
	at     string
	busy   int // how often somebody else is bringing it
	err    error
	held   map[string]Image // by node
	brings int
	here   bool // machines fetch from this server

	validated []Image
}

func (h *imageHost) Hosts() bool { return !h.here }

func (h *imageHost) BootFile(i Image) (metal.BootFile, error) {
	return metal.BootFile{Name: "shelf-" + i.As, Size: int64(len(i.URL)), SHA256: i.Hex}, nil
}

func (h *imageHost) Bring(_ context.Context, node string, i Image, until time.Time) (string, string, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.brings++
	switch {
	case h.busy > 0:
		h.busy--
		return "", "", fault.New(fault.Conflict, "it is being pushed")
	case h.err != nil:
		return "", "", h.err
	case time.Until(until) < time.Hour:
		return "", "", fault.New(fault.Invalid, "until %s", until)
	}
	h.held[node] = i
	return h.at + "/pushed/image", "on boot host one", nil
}

func (h *imageHost) Validate(_ context.Context, _ string, i Image) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.busy > 0 {
		h.busy--
		return fault.New(fault.Conflict, "it is being fetched")
	}
	h.validated = append(h.validated, i)
	return h.err
}

func (h *imageHost) Drop(_ context.Context, node string) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	delete(h.held, node)
	return nil
}

// fetching begins a deployment whose image comes from source.
func fetching(t *testing.T, source string) (*world, *imageHost) {
	w := newWorld(t)
	w.images = &imageHost{w: w, at: "http://192.0.2.77", held: map[string]Image{}}
	w.node.InstanceInfo = w.node.InstanceInfo.With("image_download_source", source)
	return named(t, "deploy").start(w), w.images
}

// TestImagesAreBrought kills the conductor at saves of a deployment whose image comes from a boot host: the machine gets
// it there, and nothing is left there in the end.
func TestImagesAreBrought(t *testing.T) {
	j := named(t, "deploy")
	for kill, dead := -1, true; dead; kill += 3 {
		w, h := fetching(t, "local")
		seen, label := 0, ""
		dead = false
		w.run(w.conductor("c1", func(where string) error {
			if dead {
				return errStop
			}
			if where != "dead?" {
				if seen++; seen == kill+1 {
					dead, label = true, where
					return errStop
				}
			}
			return nil
		}))
		j.arrived(t, w, "killed "+label)
		if w.wrote != "[http://192.0.2.77/pushed/image]" || len(h.held) != 0 {
			t.Errorf("killed %s: written from %s, left %v", label, w.wrote, h.held)
		}
		w.close()
		if kill < 0 {
			dead = true
		}
	}
}

// TestAnImageThatCannotBeBrought fails while the machine is as it was.
func TestAnImageThatCannotBeBrought(t *testing.T) {
	w, h := fetching(t, "local")
	h.err = fault.New(fault.TooLarge, "There is no room for pushed files.")
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); !strings.Contains(n.LastError, `"bring image": There is no room for pushed files`) || w.counters["insert"] != 0 || w.counters["off"] != 0 {
		t.Errorf("last_error %q, %v", n.LastError, w.counters)
	}
	w.close()

	w, _ = fetching(t, "swift")
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); !strings.Contains(n.LastError, "set it to http or local") {
		t.Errorf("last_error %q", n.LastError)
	}
}

// TestTrapDirectImagesNotInspected reads an image whole before the machine is touched, though the machine fetches it itself.
func TestTrapDirectImagesNotInspected(t *testing.T) {
	w, h := fetching(t, "http")
	w.tune = func(c *Config) { c.ValidateImages = true }
	w.node.InstanceInfo = w.node.InstanceInfo.With("image_disk_format", "raw")
	h.busy = 2
	w.run(w.conductor("c1", nil))
	named(t, "deploy").arrived(t, w, "validated")
	if len(h.validated) != 1 || h.validated[0].URL != "http://127.0.0.1:1/i.raw" || h.validated[0].Hex != testHash || h.brings != 0 || strings.Contains(w.wrote, "pushed") {
		t.Errorf("validated %+v, brought %d times, written from %s", h.validated, h.brings, w.wrote)
	}
	w.close()

	w, h = fetching(t, "http")
	w.tune = func(c *Config) { c.ValidateImages = true }
	h.err = fault.New(fault.Invalid, "Image i.raw is refused. The image is a VMware disk (vmdk), which is not supported.")
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, `Image i.raw is refused. The image is a VMware disk (vmdk)`) ||
		w.counters["insert"] != 0 || w.counters["off"] != 0 {
		t.Errorf("%s, last_error %q, %v", n.ProvisionState, n.LastError, w.counters)
	}
	w.close()
}

// TestBroughtImagesGoInTheEnd looks at what a machine that is under way has, and takes it away by an abort; and at a place
// that is gone when the machine comes for its image.
func TestBroughtImagesGoInTheEnd(t *testing.T) {
	w, h := fetching(t, "local")
	h.busy, w.silent = 2, true
	w.untilItWaits(w.conductor("c1", nil))
	if i := h.held[w.node.UUID]; i.URL != "http://127.0.0.1:1/i.raw" || i.Hex != testHash || i.Algorithm != "sha256" || h.brings != 3 {
		t.Errorf("held %+v after %d tries", i, h.brings)
	}
	w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
	w.run(w.conductor("c1", nil))
	if len(h.held) != 0 {
		t.Errorf("after the abort: %v", h.held)
	}
	w.close()

	w, h = fetching(t, "local")
	w.silent = true
	c := w.conductor("c1", nil)
	w.untilItWaits(c)
	w.dead, h.at, w.silent = []string{"192.0.2.77"}, "http://192.0.2.78", false
	w.run(c)
	named(t, "deploy").arrived(t, w, "from another boot host")
	if w.wrote != "[http://192.0.2.78/pushed/image]" || w.counters["lost image"] != 1 || len(h.held) != 0 {
		t.Errorf("written from %s, %v, left %v", w.wrote, w.counters, h.held)
	}
}
