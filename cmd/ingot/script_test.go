package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ingot/lab/bmc"
	"ingot/lab/ports"
)

// TestMain makes the test binary itself the program ingot of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ingot": gated})
}

// The scripts in testdata/offline need no server. Those in testdata/server start one, on loopback and in
// their own folder: exec ingot serve --data data --listen $API --agent-listen $AGENT --boot-listen $BOOT &
// then up. $IMAGE is the URL of a disk image with its checksum file beside it, $BMC that of an emulated BMC.
// $WEB/files is the folder web of the script. $TARGET is one more address, free for a vendordata target.
func TestScripts(t *testing.T) {
	for _, kind := range []string{"offline", "server"} {
		t.Run(kind, func(t *testing.T) {
			testscript.Run(t, testscript.Params{Dir: "testdata/" + kind, Setup: setup,
				Cmds: map[string]func(*testscript.TestScript, bool, []string){"up": up, "until": until, "fault": plantFault}})
		})
	}
}

func setup(e *testscript.Env) error {
	image := disk()
	files := http.StripPrefix("/files/", http.FileServer(http.Dir(filepath.Join(e.WorkDir, "web"))))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/disk.raw":
			_, _ = w.Write(image)
		case r.URL.Path == "/disk.raw.sha256":
			_, _ = fmt.Fprintf(w, "%x  disk.raw\n", sha256.Sum256(image))
		case strings.HasPrefix(r.URL.Path, "/files/"):
			files.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	}))
	e.Defer(h.Close)
	e.Setenv("IMAGE", h.URL+"/disk.raw")
	e.Setenv("WEB", h.URL)
	b, err := bmc.New(bmc.Config{User: "admin", Password: "canary-bmc", Machine: bmc.NewFakeMachine()})
	if err != nil {
		return err
	}
	if err := b.Start("127.0.0.1:0"); err != nil {
		return err
	}
	e.Defer(func() { _ = b.Close() })
	e.Setenv("BMC", b.URL())
	e.Values[bmcKey{}] = b
	e.Setenv("TZ", "UTC")
	for _, name := range []string{"API", "AGENT", "BOOT", "TARGET"} {
		address, err := free()
		if err != nil {
			return err
		}
		e.Setenv(name, address)
	}
	e.Setenv("INGOT_ENDPOINT", "http://"+e.Getenv("API"))
	return nil
}

type bmcKey struct{}

// plantFault: the emulated BMC has these faults from now on, and no others.
func plantFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: fault [NAME...]")
	}
	var list []bmc.Fault
	for _, name := range args {
		list = append(list, bmc.Fault{Name: name})
	}
	ts.Check(ts.Value(bmcKey{}).(*bmc.BMC).SetFaults(list...))
}

// free finds a loopback address where nobody listens now.
func free() (string, error) { return ports.Free("127.0.0.1") }

// disk is the smallest thing that is a whole-disk image: a partition table with one partition, and 2 MiB.
func disk() []byte {
	b := make([]byte, 2<<20)
	entry := b[446:]
	entry[4] = 0x83                             // Linux
	copy(entry[8:], []byte{0, 8, 0, 0})         // first sector 2048, little endian
	copy(entry[12:], []byte{0, 8, 0, 0})        // 2048 sectors
	copy(b[510:], []byte{0x55, 0xaa})           // signature
	copy(b[440:], []byte{0x12, 0x34, 0x56, 78}) // disk signature
	return b
}

// up: waits until the API answers that the script has started with `exec ingot serve … &`.
func up(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: up")
	}
	ts.Check(answering(ts.Getenv("INGOT_ENDPOINT")))
}

// until NODE STATE: waits until the node is in the provision state.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until NODE STATE")
	}
	limit := time.After(30 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		var n struct {
			State string `json:"provision_state"`
		}
		req, err := http.NewRequest(http.MethodGet, ts.Getenv("INGOT_ENDPOINT")+"/v1/nodes/"+args[0], nil)
		ts.Check(err)
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(&n)
			_ = resp.Body.Close()
		}
		ts.Check(err)
		if n.State == args[1] {
			return
		}
		select {
		case <-limit:
			ts.Fatalf("node %s is %q, not %q", args[0], n.State, args[1])
		case <-look.C:
		}
	}
}

// answering waits until something answers at url.
func answering(url string) error {
	limit := time.After(20 * time.Second)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		resp, err := http.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.Body.Close()
		}
		select {
		case <-limit:
			return fmt.Errorf("no answer at %s: %w", url, err)
		case <-look.C:
		}
	}
}

// taken tells whether somebody listens at a loopback address.
func taken(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return true
	}
	_ = l.Close()
	return false
}
