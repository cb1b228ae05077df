package osinstall

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/osdef"
)

// dav is a server that takes files by PUT and gives them again, for one user.
type dav struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte
	asked []string
	// fault answers in the place of the server, if it says so.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func newDav(t *testing.T) *dav {
	t.Helper()
	d := &dav{files: map[string][]byte{}}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *dav) serve(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	d.mu.Lock()
	d.asked = append(d.asked, r.Method+" "+r.URL.Path)
	d.mu.Unlock()
	switch {
	case d.fault != nil && d.fault(w, r):
		return
	case user != "backup" || password != "canary-password":
		http.Error(w, "who are you", http.StatusUnauthorized)
	case r.Method == http.MethodPut:
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // what is not whole is not kept
		}
		d.put(path.Base(r.URL.Path), b)
		w.WriteHeader(http.StatusCreated)
	default:
		d.mu.Lock()
		b, there := d.files[path.Base(r.URL.Path)]
		d.mu.Unlock()
		if !there {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

func (d *dav) put(name string, b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = b
}

func (d *dav) file(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.files[name])
}

func (d *dav) streams() *agentapi.OSStreams {
	return &agentapi.OSStreams{URL: d.URL + "/exports/n1/", User: "backup", Password: "canary-password"}
}

func (d *dav) folder(t *testing.T) *folder {
	t.Helper()
	f, err := openFolder(d.streams())
	if err != nil {
		t.Fatal(err)
	}
	f.o.Backoff = time.Millisecond
	t.Cleanup(f.close)
	return f
}

var testDisks = []osdef.Disk{{Path: "/dev/disk/by-id/one", Bytes: 1 << 30}, {Path: "/dev/disk/by-id/two", Bytes: 2 << 30}}

// says is a script that exports text.
func says(text string, code error) script {
	return func(_ context.Context, _ io.Reader, out io.Writer, files ...*os.File) error {
		if len(files) > 0 {
			fmt.Fprintf(files[0], "%d\n", len(text))
		}
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		return code
	}
}

func sum(text string) string {
	b := sha256.Sum256([]byte(text))
	return hex.EncodeToString(b[:])
}

func TestAnExportIsWholeOrNone(t *testing.T) {
	text := strings.Repeat("dump ", 300_000)
	exit := errors.New("the script export of the OS definition debian ended with code 3")
	for _, c := range []struct {
		name  string
		run   script
		limit int64
		fault func(http.ResponseWriter, *http.Request) bool
		says  string // "": it succeeds
	}{
		{name: "whole", run: says(text, nil)},
		{name: "within its bound", run: says(text, nil), limit: int64(len(text))},
		{name: "over its bound", run: says(text, nil), limit: int64(len(text) - 1), says: "more than 1499999 bytes ([os_install] max_export_bytes)"},
		{name: "a script that fails at its end", run: says(text, exit), says: exit.Error()},
		{name: "a script that says nothing", run: says("", nil), says: "said nothing of disk 0"},
		{name: "a full server", run: says(text, nil), says: "507", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				_, _ = io.CopyN(io.Discard, r.Body, 1000)
				w.WriteHeader(http.StatusInsufficientStorage)
			}
			return r.Method == http.MethodPut
		}},
		// Its buffers decide whether it answers before it has taken all, or does not have what it took.
		{name: "a server that says yes too early", run: says(text, nil), says: "disk-0", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusCreated)
			}
			return r.Method == http.MethodPut
		}},
		{name: "a server that keeps less", run: says(text, nil), says: "does not have the 1500000 bytes", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				w.Header().Set("Content-Length", "7")
			}
			return r.Method == http.MethodHead
		}},
		{name: "a server that is another's door", run: says(text, nil), says: "307", fault: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
			return true
		}},
		{name: "a server that goes away", run: says(text, nil), says: "the connection was lost", fault: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDav(t)
			d.fault = c.fault
			var done, total int64
			got, err := d.folder(t).exportDisk(t.Context(), 0, testDisks[0], c.limit, c.run, func(d, of int64) { done, total = d, of })
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "canary") {
					t.Fatalf("it ended with %v, want %q", err, c.says)
				}
				return
			}
			want := agentapi.OSDump{Name: "disk-0", Bytes: int64(len(text)), SHA256: sum(text), DiskSize: 1 << 30}
			if err != nil || got != want || d.file("disk-0") != text {
				t.Fatalf("%+v, %v: want %+v, and %d bytes at the server: %d", got, err, want, len(text), len(d.file("disk-0")))
			}
			if done != want.Bytes || total != 0 && total != want.Bytes {
				t.Errorf("told %d of %d bytes", done, total)
			}
		})
	}
}

func TestToldSize(t *testing.T) {
	for said, want := range map[string]int64{"": 0, "5\n": 5, " 5 \nmore\n": 5, "-5\n": 0, "some\n": 0, "1500000": 1500000, strings.Repeat("1", 100) + "\n": 0} {
		if got := toldSize(strings.NewReader(said)); got != want {
			t.Errorf("%q is %d, want %d", said, got, want)
		}
	}
}

// A server that takes no more is given up, and the script that exports is stopped with it.
func TestAServerThatTakesNothingIsGivenUp(t *testing.T) {
	d := newDav(t)
	free := make(chan struct{})
	d.fault = func(http.ResponseWriter, *http.Request) bool { <-free; return true }
	defer close(free)
	f := d.folder(t)
	f.stall = 50 * time.Millisecond
	stopped := make(chan error, 1)
	endless := func(ctx context.Context, _ io.Reader, out io.Writer, _ ...*os.File) error {
		for {
			if _, err := out.Write(make([]byte, 1<<20)); err != nil {
				<-ctx.Done()
				stopped <- context.Cause(ctx)
				return context.Cause(ctx)
			}
		}
	}
	_, err := f.exportDisk(t.Context(), 0, testDisks[0], 0, endless, func(int64, int64) {})
	if err == nil || !strings.Contains(err.Error(), "took nothing for 50ms") {
		t.Errorf("it ended with %v", err)
	}
	if why := <-stopped; !errors.Is(why, err) {
		t.Errorf("the script was stopped for %v", why)
	}
}

// What is at the URL already is not overwritten, unless somebody says so or it is of an export that did not end.
func TestAnExportOverwritesNone(t *testing.T) {
	d := newDav(t)
	f := d.folder(t)
	m := &agentapi.OSManifest{Version: manifestVersion, Definition: "debian", Disks: []agentapi.OSDump{{Name: "disk-0", Bytes: 4, SHA256: sum("dump"), DiskSize: 9}}}
	if err := f.beginExport(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := readManifest([]byte(d.file(manifestFile)), 0); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("an export that has begun: %v", err)
	}
	if err := f.beginExport(t.Context(), false); err != nil {
		t.Errorf("again, after one that did not end: %v", err)
	}
	if err := f.endExport(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got, err := readManifest([]byte(d.file(manifestFile)), 0); err != nil || got.Disks[0] != m.Disks[0] {
		t.Errorf("read again: %+v, %v", got, err)
	}
	if err := f.beginExport(t.Context(), false); fault.KindOf(err) != fault.Conflict {
		t.Errorf("over one that is whole: %v", err)
	}
	if err := f.beginExport(t.Context(), true); err != nil || !strings.Contains(d.file(manifestFile), `"version": 0`) {
		t.Errorf("replaced: %v", err)
	}
	d.put(manifestFile, []byte("<html>"))
	if err := f.beginExport(t.Context(), false); fault.KindOf(err) != fault.Conflict {
		t.Errorf("over a file of another kind: %v", err)
	}
}

// A server that says that it took a manifest, and keeps what it had, has no export put beside it.
func TestAManifestIsReadAgain(t *testing.T) {
	old := `{"version":1,"definition":"debian","disks":[{"name":"disk-0","bytes":3,"sha256":"` + sum("old") + `","disk_size":9}]}`
	m := &agentapi.OSManifest{Version: manifestVersion, Definition: "debian", Disks: []agentapi.OSDump{{Name: "disk-0", Bytes: 4, SHA256: sum("dump"), DiskSize: 9}}}
	begin := func(f *folder) error { return f.beginExport(t.Context(), true) }
	end := func(f *folder) error { return f.endExport(t.Context(), m) }
	for _, c := range []struct {
		name, there string
		does        func(*folder) error
		gives       string // for a GET behind the PUT; "": what is there
		says        string
	}{
		{"the first, over a whole one", old, begin, "", "gives another"},
		{"the first, over nothing", "", begin, "", "does not have it"},
		{"the last, over the first", `{"version": 0}` + "\n", end, "", "gives another"},
		{"the last, over nothing", "", end, "", "does not have it"},
		{"one without an end", old, begin, strings.Repeat("x", maxManifest+1), "which is no manifest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDav(t)
			if c.there != "" {
				d.put(manifestFile, []byte(c.there))
			}
			put := false
			d.fault = func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case r.Method == http.MethodPut:
					put = true
					w.WriteHeader(http.StatusCreated)
					return true
				case put && c.gives != "":
					_, _ = io.WriteString(w, c.gives)
					return true
				}
				return false
			}
			err := c.does(d.folder(t))
			if err == nil || !put || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("it ended with %v", err)
			}
			d.fault = nil
			if err := c.does(d.folder(t)); err != nil {
				t.Errorf("with a server that keeps what it is given: %v", err)
			}
		})
	}
}

// A server that leads a PUT to a page of its own, as one that wants a log-in, has taken nothing, however well it answers then.
func TestARedirectedPutIsNotTaken(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther} {
		d := newDav(t)
		d.fault = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodPut:
				_, _ = io.Copy(io.Discard, r.Body)
				http.Redirect(w, r, "/login", status)
			case r.URL.Path == "/login":
				_, _ = io.WriteString(w, "<form>log in</form>")
			case r.Method == http.MethodHead: // it does not tell
				w.WriteHeader(http.StatusMethodNotAllowed)
			default:
				return false
			}
			return true
		}
		f := d.folder(t)
		if err := f.beginExport(t.Context(), true); err == nil || !strings.Contains(err.Error(), "redirects to another page") {
			t.Errorf("%d: the manifest: %v", status, err)
		}
		says := func(_ context.Context, _ io.Reader, out io.Writer, _ ...*os.File) error {
			_, err := io.WriteString(out, "a dump")
			return err
		}
		if _, err := f.exportDisk(t.Context(), 0, testDisks[0], 0, says, func(int64, int64) {}); err == nil || !strings.Contains(err.Error(), "redirects to another page") {
			t.Errorf("%d: the dump: %v", status, err)
		}
		if d.file("disk-0") != "" {
			t.Errorf("%d: something was kept", status)
		}
	}
}

func TestReadManifest(t *testing.T) {
	good := `{"version":1,"definition":"debian","digest":"sha256:1","disks":[{"name":"disk-0","bytes":4,"sha256":"` + sum("dump") + `","disk_size":9},{"name":"disk-1","bytes":0,"sha256":"` + sum("") + `","disk_size":9}]}`
	if m, err := readManifest([]byte(good), 4); err != nil || len(m.Disks) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, c := range []struct{ old, new, says string }{
		{good, "<html>", "not JSON"},
		{`"version":1`, `"version":0`, "did not end"},
		{`"version":1`, `"version":2`, "of version 2"},
		{`"disk-0"`, `"../disk-0"`, "and not in disk-0"},
		{`"disk-1"`, `"disk-0"`, "and not in disk-1"},
		{`"bytes":4`, `"bytes":5`, "at most 4 may be"},
		{`"bytes":4`, `"bytes":-4`, "has -4 bytes"},
		{`"bytes":4`, `"bytes":0`, "has 0 bytes"},
		{sum("dump"), "abc", "no SHA-256"},
		{sum("dump"), strings.ToUpper(sum("dump")), "no SHA-256"},
		{`"disk_size":9`, `"disk_size":0`, "of a disk of 0"},
		{good, `{"version":1}`, "has 0 disks"},
	} {
		if _, err := readManifest([]byte(strings.Replace(good, c.old, c.new, 1)), 4); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s → %s: %v, want %q", c.old, c.new, err, c.says)
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"disks":[{"name":"disk-0","bytes":4,"sha256":"` + sum("dump") + `","disk_size":9}]}`))
	f.Add([]byte(`{"version":0}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readManifest(b, 1<<40)
		if err != nil {
			return
		}
		for i, d := range m.Disks {
			if d.Name != dumpName(i) || d.Bytes < 0 || d.Bytes > 1<<40 || len(d.SHA256) != 64 {
				t.Errorf("accepted %+v", d)
			}
		}
	})
}

// takes is a script that imports: it reads some of what comes, or all.
func takes(into *bytes.Buffer, n int64, code error) script {
	return func(_ context.Context, in io.Reader, _ io.Writer, _ ...*os.File) error {
		if n < 0 {
			n = 1 << 40
		}
		if _, err := io.CopyN(into, in, n); err != nil && err != io.EOF {
			return fmt.Errorf("read: %w", err)
		}
		return code
	}
}

func TestAnImportIsOfTheDumpOfItsManifest(t *testing.T) {
	text := strings.Repeat("dump ", 300_000)
	exit := errors.New("the script import of the OS definition debian ended with code 3")
	whole := agentapi.OSDump{Name: "disk-0", Bytes: int64(len(text)), SHA256: sum(text), DiskSize: 1 << 30}
	for _, c := range []struct {
		name  string
		dump  agentapi.OSDump
		takes int64
		code  error
		fault func(http.ResponseWriter, *http.Request) bool
		says  string
	}{
		{name: "whole", dump: whole, takes: -1},
		{name: "a script that has read enough", dump: whole, takes: 100},
		{name: "an empty one", dump: agentapi.OSDump{Name: "disk-0", SHA256: sum("")}, takes: -1},
		{name: "a script that fails", dump: whole, takes: -1, code: exit, says: exit.Error()},
		{name: "a script that fails at once", dump: whole, code: exit, says: exit.Error()},
		{name: "other bytes", dump: agentapi.OSDump{Name: "disk-0", Bytes: whole.Bytes, SHA256: sum("other")}, takes: -1, says: "its SHA-256 is another"},
		{name: "other bytes, which the script did not read", dump: agentapi.OSDump{Name: "disk-0", Bytes: whole.Bytes, SHA256: sum("other")}, takes: 1, says: "its SHA-256 is another"},
		{name: "fewer", dump: agentapi.OSDump{Name: "disk-0", Bytes: whole.Bytes + 1, SHA256: sum(text)}, takes: -1, says: "it must have 1500001"},
		{name: "none", dump: agentapi.OSDump{Name: "disk-1", Bytes: 5, SHA256: sum(text)}, takes: -1, says: "404"},
		{name: "a server that breaks off", dump: whole, takes: -1, says: "Download of", fault: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" { // it does not know ranges, and is another file now
				w.WriteHeader(http.StatusNotFound)
				return true
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = io.WriteString(w, text[:100_000])
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDav(t)
			d.put("disk-0", []byte(text))
			d.fault = c.fault
			var into bytes.Buffer
			err := d.folder(t).importDisk(t.Context(), c.dump, takes(&into, c.takes, c.code), func(int64, int64) {})
			switch {
			case c.says != "":
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("it ended with %v, want %q", err, c.says)
				}
			case err != nil:
				t.Fatal(err)
			case c.takes < 0 && int64(into.Len()) != c.dump.Bytes:
				t.Errorf("the script got %d bytes", into.Len())
			}
		})
	}
}

// A script whose dump breaks off is stopped: it would take that for the end.
func TestAScriptWhoseDumpBreaksOffIsStopped(t *testing.T) {
	d := newDav(t)
	d.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half of it")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	stopped := false
	err := d.folder(t).importDisk(t.Context(), agentapi.OSDump{Name: "disk-0", Bytes: 100, SHA256: sum("")}, func(ctx context.Context, in io.Reader, _ io.Writer, _ ...*os.File) error {
		_, _ = io.Copy(io.Discard, in)
		stopped = ctx.Err() != nil
		return nil // as one would that only looks for the end
	}, func(int64, int64) {})
	if err == nil || !stopped {
		t.Errorf("it ended with %v, stopped %v", err, stopped)
	}
}

func TestWhatIsCheckedBeforeAnImport(t *testing.T) {
	d := newDav(t)
	d.put("disk-0", []byte("dump"))
	d.put("disk-1", []byte("dump"))
	m := func(sizes ...int64) *agentapi.OSManifest {
		var out agentapi.OSManifest
		for i, n := range sizes {
			out.Disks = append(out.Disks, agentapi.OSDump{Name: dumpName(i), Bytes: n, SHA256: sum("dump"), DiskSize: 1 << 40})
		}
		return &out
	}
	fixed := []osdef.Disk{testDisks[0], {Path: "/dev/two", Bytes: 9, ReadOnly: true}}
	for _, c := range []struct {
		name  string
		m     *agentapi.OSManifest
		disks []osdef.Disk
		says  string
	}{
		{"as it was", m(4, 4), testDisks, ""},
		{"a machine with more disks", m(4), testDisks, ""},
		{"a machine with fewer disks", m(4, 4, 4), testDisks, "of 3 disks, and the machine has 2"},
		{"a disk that cannot be written to", m(4, 4), fixed, "Disk 1 of the machine is read-only"},
		{"a file of another size", m(4, 5), testDisks, "disk-1 of the export has 4 bytes, and its manifest says 5"},
		{"a file that is not there", m(4, 4, 4), append(testDisks[:2:2], testDisks[0]), "has no file disk-2"},
	} {
		err := d.folder(t).checkImport(t.Context(), c.m, c.disks)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func TestOpenFolder(t *testing.T) {
	for _, c := range []struct {
		streams agentapi.OSStreams
		says    string
	}{
		{agentapi.OSStreams{URL: "ftp://h/x"}, "not that of a folder"},
		{agentapi.OSStreams{URL: "https://u:canary@h/x"}, "not that of a folder"},
		{agentapi.OSStreams{URL: "https://h/x?token=canary"}, "not that of a folder"},
		{agentapi.OSStreams{URL: "http://127.0.0.1/x", Refused: []string{"127.0.0.0/8"}}, "nothing is fetched from"},
		{agentapi.OSStreams{URL: "http://h/x", CA: "canary"}, "no PEM certificate"},
	} {
		if _, err := openFolder(&c.streams); err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%+v: %v, want %q", c.streams, err, c.says)
		}
	}
	if _, err := openFolder(nil); err == nil {
		t.Error("no URL is taken")
	}
	for at, want := range map[string]string{"http://h": "http://h/disk-1", "http://h/a/": "http://h/a/disk-1", "http://h/a%20b": "http://h/a%20b/disk-1"} {
		f, err := openFolder(&agentapi.OSStreams{URL: at})
		if err != nil || f.at("disk-1") != want {
			t.Errorf("%s: %v", at, err)
		}
	}
	d := newDav(t)
	f, _ := openFolder(&agentapi.OSStreams{URL: d.URL, User: "backup", Password: "canary-wrong"})
	if err := f.beginExport(t.Context(), false); err == nil || !strings.Contains(err.Error(), "a user and a password") || strings.Contains(err.Error(), "canary") {
		t.Errorf("with a wrong password: %v", err)
	}
	if b, err := json.Marshal(agentapi.OSResult{}); err != nil || string(b) != "{}" {
		t.Errorf("%s %v", b, err)
	}
}
