package conductor

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
	"ingot/internal/metal"
	"ingot/internal/source"
	"ingot/internal/store"
)

// TestLookInto: what can be known to be wrong with an image is told before the machine is touched; a server
// that only this host cannot reach is no reason to fail.
func TestLookInto(t *testing.T) {
	disk := make([]byte, 2<<20)
	imagetest.GPT(disk, 512, imagetest.Part{Type: image.TypeLinuxData, First: 2048, Last: 4000})
	backed := imagetest.QCOW2{}.Make(disk)
	backed[15] = 200 // where the name of a backing file would be
	files := map[string][]byte{"/good.raw": disk, "/good.qcow2": imagetest.QCOW2{Packed: true}.Make(disk), "/backed.qcow2": backed,
		"/noise.raw": []byte(strings.Repeat("noise", 1000)), "/whole.qcow2": imagetest.QCOW2{}.Make(disk)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if r.URL.Path == "/whole.qcow2" {
			r.Header.Del("Range") // a server that sends whole files only
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	defer s.Close()
	w := newWorld(t)
	r := &runner{c: w.conductor("c1", nil), log: slog.New(slog.DiscardHandler)}
	for _, tc := range []struct {
		url, declared, format string // format "": it must be refused
		ok                    bool
	}{
		{s.URL + "/good.raw", "raw", "raw", true},
		{s.URL + "/good.raw", "", "raw", true},
		{s.URL + "/good.raw", "gpt", "raw", true},
		{s.URL + "/good.raw", "qcow2", "", false},
		{s.URL + "/good.qcow2", "raw", "", false},
		{s.URL + "/good.qcow2", "", "qcow2", true},
		{s.URL + "/good.qcow2", "qcow2", "qcow2", true},
		{s.URL + "/backed.qcow2", "", "", false},
		{s.URL + "/whole.qcow2", "", "", false},
		{s.URL + "/noise.raw", "raw", "", false},
		{s.URL + "/absent.raw", "raw", "", false},
		{"ftp://127.0.0.1/good.raw", "raw", "", false},
		{"http://127.0.0.1:1/good.raw", "", "", true},
		{"http://127.0.0.1:1/good.raw", "qcow2", "qcow2", true},
	} {
		format, err := r.lookInto(t.Context(), &Op{row: liveRow(), Node: w.node}, tc.url, lookLimit, image.Options{Declared: tc.declared}, source.Options{})
		if (err == nil) != tc.ok || format != tc.format || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s as %q: %q, %v (%v)", tc.url, tc.declared, format, err, fault.KindOf(err))
		}
	}
}

// TestAnImageThatIsSlowToShow is left to the machine, and refused where the operation itself ends.
func TestAnImageThatIsSlowToShow(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	w := newWorld(t)
	r := &runner{c: w.conductor("c1", nil), log: slog.New(slog.DiscardHandler)}
	op := &Op{row: liveRow(), Node: w.node}
	format, err := r.lookInto(t.Context(), op, s.URL+"/slow.qcow2", 50*time.Millisecond, image.Options{Declared: "qcow2"}, source.Options{})
	if err != nil || format != "qcow2" {
		t.Errorf("%q, %v", format, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := r.lookInto(ended, op, s.URL+"/slow.qcow2", lookLimit, image.Options{Declared: "qcow2"}, source.Options{}); err == nil {
		t.Error("the operation ended, and the image was taken for looked at")
	}
}

// TestARefusalNamesTheImage and what it is, and the operator's rules hold before the machine is touched.
func TestARefusalNamesTheImage(t *testing.T) {
	disk := make([]byte, 4<<20)
	imagetest.MBR(disk, 1, imagetest.Slot{Type: 0x83, First: 2048, Size: 2048})
	files := map[string][]byte{"/good.qcow2": imagetest.QCOW2{}.Make(disk), "/disk.vmdk": imagetest.StreamVMDK(), "/two.img": append([]byte("QED\x00"), disk[4:]...)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(files[r.URL.Path]))
	}))
	defer s.Close()
	w := newWorld(t)
	w.tune = func(c *Config) { c.ImageRules = image.Rules{Permitted: []image.Format{image.Raw}} }
	r := &runner{c: w.conductor("c1", nil), log: slog.New(slog.DiscardHandler)}
	for name, says := range map[string]string{
		"good.qcow2": "Image good.qcow2 is refused. The image is qcow2, and this format is not permitted",
		"disk.vmdk":  "Image disk.vmdk is refused. The image is a VMware disk (vmdk), which is not supported",
		"two.img":    "Image two.img is refused. The image is of several formats at once: qed, and raw",
	} {
		_, err := r.lookInto(t.Context(), &Op{row: liveRow(), Node: w.node}, s.URL+"/"+name+"?token=hunter2", lookLimit, image.Options{}, source.Options{})
		public, _ := fault.PublicOf(err)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(public, says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func liveRow() *store.Operation { return &store.Operation{UUID: "op", Exclusive: true} }

// TestAPanicIsOneOperationsAffair: a step that panics fails its operation and nothing else.
func TestAPanicIsOneOperationsAffair(t *testing.T) { onEach(t, testAPanicIsOneOperationsAffair) }

func testAPanicIsOneOperationsAffair(t *testing.T) {
	j := journeys[0]
	w := j.begin(t)
	c := w.conductor("c1", nil)
	c.tamper = func(steps []step) {
		steps[1].run = func(*runner, context.Context, *Op) (Outcome, error) { panic("a driver's defect") }
	}
	w.run(c)
	if n, _ := w.state(); n.ProvisionState != metal.Enroll || !strings.Contains(n.LastError, "panicked") || strings.Contains(n.LastError, "a driver's defect") {
		t.Errorf("state %q, last_error %q", n.ProvisionState, n.LastError)
	}
}

// TestAnUnreadableRecordStopsNobodyElse: the operation fails with a reason, the node rests.
func TestAnUnreadableRecordStopsNobodyElse(t *testing.T) {
	onEach(t, testAnUnreadableRecordStopsNobodyElse)
}

func testAnUnreadableRecordStopsNobodyElse(t *testing.T) {
	j := journeys[1]
	w := j.begin(t)
	w.write(func(tx *store.Tx) error {
		o, err := tx.Claim("c0", store.Scope{Drivers: []string{"test"}}, time.Minute)
		if err != nil {
			return err
		}
		o.Record, o.LeaseOwner, o.LeaseUntil = []byte("no JSON"), "", time.Time{}
		return tx.SaveOperation(o)
	})
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); n.ProvisionState != metal.CleanFailed || !strings.Contains(n.LastError, "record") {
		t.Errorf("state %q, last_error %q", n.ProvisionState, n.LastError)
	}
}

// TestDecidedOnce: what the configuration says in the middle of a clean does not turn it into nothing.
func TestDecidedOnce(t *testing.T) { onEach(t, testDecidedOnce) }

func testDecidedOnce(t *testing.T) {
	j := journeys[1]
	w := j.begin(t)
	w.later = func(c *Config) { c.AutomatedClean = false }
	saves := 0
	w.run(w.conductor("c1", func(where string) error {
		if where != "dead?" {
			saves++
		}
		if saves > 6 {
			return errStop
		}
		return nil
	}))
	j.arrived(t, w, "after automated_clean was switched off")
}
