package osinstall_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"sync"
	"testing"

	"ingot/internal/agentapi"
)

// backup is a server that keeps what is put.
type backup struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string
	puts  []string // names, in order
	deaf  bool     // it says that it takes manifests, and keeps what it has
}

func newBackup(t *testing.T) *backup {
	t.Helper()
	b := &backup{files: map[string]string{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		if r.Method == http.MethodPut {
			content, err := io.ReadAll(r.Body)
			if err == nil {
				b.mu.Lock()
				if b.puts = append(b.puts, name); name != "manifest.json" || !b.deaf {
					b.files[name] = string(content)
				}
				b.mu.Unlock()
			}
			return
		}
		b.mu.Lock()
		content, there := b.files[name]
		b.mu.Unlock()
		if !there {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, content)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backup) get(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files[name]
}

func (b *backup) streams() *agentapi.OSStreams { return &agentapi.OSStreams{URL: b.URL + "/web1"} }

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// dumper is a definition that dumps disks as they are, and puts them back.
func dumper(t *testing.T, more map[string]string) *agentapi.OSDefinition {
	t.Helper()
	scripts := map[string]string{
		"untrusted/create": "exit 0",
		"untrusted/export": `[ "$EXPORT_DEVICE" = "$EXPORT_DISK_PATH" ] || exit 4
eval "echo \$(wc -c < $EXPORT_DISK_PATH) >&$EXP_SIZE_FD"
echo "exports disk $EXPORT_INDEX of $DISK_COUNT with $OSP_TOKEN" >&2
cat "$EXPORT_DISK_PATH"`,
		"untrusted/import": `echo "imports disk $IMPORT_INDEX" ; cat > "$IMPORT_DISK_PATH"`,
		"untrusted/rename": `echo "from $OLD_INSTANCE_NAME to $INSTANCE_NAME"`,
	}
	for name, text := range more {
		scripts[name] = text
	}
	return definition(t, scripts)
}

func TestAMachineIsExportedAndAnotherImported(t *testing.T) {
	s, b := setUp(t), newBackup(t)
	one, two := strings.Repeat("first disk ", 100_000), "second disk"
	if err := os.WriteFile(s.disk, []byte(one), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.disk+"-2", []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	w := work(dumper(t, nil), agentapi.OSParameter{Name: "token", Value: "SECR-canary", Class: "secret"})
	digest := w.Definition.Digest
	w.Definition.Trusted = true // there are trusted ones, too, which do not run: a dump has one form
	w.Streams = b.streams()
	r, err := s.Export(t.Context(), w, s.tell)
	if err != nil {
		t.Fatal(err)
	}
	want := agentapi.OSManifest{Version: 1, Definition: "thing", Digest: digest, Disks: []agentapi.OSDump{
		{Name: "disk-0", Bytes: int64(len(one)), SHA256: hashed(one), DiskSize: 10 << 30}, {Name: "disk-1", Bytes: int64(len(two)), SHA256: hashed(two), DiskSize: 20 << 30}}}
	var written agentapi.OSManifest
	if err := json.Unmarshal([]byte(b.get("manifest.json")), &written); err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string]*agentapi.OSManifest{"the result": r.Manifest, "the manifest": &written} {
		if got, _ := json.Marshal(m); string(got) != mustJSON(t, want) {
			t.Errorf("%s is %s, want %s", what, got, mustJSON(t, want))
		}
	}
	if b.get("disk-0") != one || b.get("disk-1") != two || strings.Join(b.puts, " ") != "manifest.json disk-0 disk-1 manifest.json" {
		t.Errorf("the server has %d and %d bytes, put in the order %v", len(b.get("disk-0")), len(b.get("disk-1")), b.puts)
	}
	if len(r.Scripts) != 2 || !r.Scripts[0].Confined || strings.Join(r.Scripts[0].Lines, "\n") != "exports disk 0 of 2 with ******" {
		t.Errorf("the scripts: %+v", r.Scripts)
	}
	if last := s.said("exporting disk 1 of 2"); last.Done != int64(len(one)) || last.Total != 0 && last.Total != int64(len(one)) || last.Unit != "bytes" {
		t.Errorf("told %+v", last)
	}

	other := setUp(t)
	w = work(dumper(t, map[string]string{"untrusted/export": "exit 1"})) // its other files do not matter
	w.Streams = b.streams()
	r, err = other.Import(t.Context(), w, other.tell)
	if err != nil {
		t.Fatal(err)
	}
	if other.read(t, "disk") != one || other.read(t, "disk-2") != two || len(r.Scripts) != 2 || r.Manifest.Disks[1] != want.Disks[1] {
		t.Errorf("imported %d and %d bytes: %+v", len(other.read(t, "disk")), len(other.read(t, "disk-2")), r)
	}
	if last := other.said("importing disk 2 of 2"); last.Done != int64(len(two)) || last.Total != int64(len(two)) {
		t.Errorf("told %+v", last)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// said is the last that was told of something.
func (s *stage) said(what string) (last agentapi.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.told {
		if p.What == what {
			last = p
		}
	}
	return last
}

// An export that breaks off can never be imported, whatever was there before.
func TestREQ17HalfAnExportIsNone(t *testing.T) {
	for _, c := range []struct{ name, export, says string }{
		{"a script that fails at the second disk", `[ "$EXPORT_INDEX" = 0 ] || { echo "no file system with $OSP_TOKEN here" >&2; exit 7; }; cat "$EXPORT_DISK_PATH"`, "ended with code 7"},
		{"a script that is killed", `cat "$EXPORT_DISK_PATH"; kill -9 $$`, "code 137"},
		{"a dump that is too long", `cat /dev/zero`, "max_export_bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, b := setUp(t), newBackup(t)
			if err := os.WriteFile(s.disk+"-2", []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			b.files["manifest.json"] = `{"version":1,"definition":"thing","digest":"d","disks":[{"name":"disk-0","bytes":3,"sha256":"` + hashed("old") + `","disk_size":9}]}`
			b.files["disk-0"] = "old"
			w := work(dumper(t, map[string]string{"untrusted/export": c.export}), agentapi.OSParameter{Name: "token", Value: "SECR-canary", Class: "secret"})
			w.Streams = b.streams()
			w.Streams.MaxBytes = 8 << 20
			_, err := s.Export(t.Context(), w, s.tell)
			fails(t, err, "There is an export at")
			w.Definition = dumper(t, map[string]string{"untrusted/export": c.export})
			w.Streams.Replace = true
			_, err = s.Export(t.Context(), w, s.tell)
			if text := fails(t, err, "disk ", c.says); strings.Contains(text, "canary") {
				t.Errorf("it tells %q", text)
			}
			w = work(dumper(t, nil))
			w.Streams = b.streams()
			_, err = s.Import(t.Context(), w, s.tell)
			fails(t, err, "of an export that did not end")
			if _, ran := s.processes.Ran("untrusted/import"); ran {
				t.Error("half an export was imported")
			}
		})
	}
}

// Where the manifest of an older export cannot be taken away, nothing is put beside it.
func TestREQ17AnOlderManifestIsNotBelieved(t *testing.T) {
	s, b := setUp(t), newBackup(t)
	old := `{"version":1,"definition":"thing","digest":"d","disks":[{"name":"disk-0","bytes":3,"sha256":"` + hashed("old") + `","disk_size":9}]}`
	b.files["manifest.json"], b.files["disk-0"], b.deaf = old, "old", true
	w := work(dumper(t, nil))
	w.Streams = b.streams()
	w.Streams.Replace = true
	_, err := s.Export(t.Context(), w, s.tell)
	fails(t, err, "PUT ", "/web1/manifest.json", "it keeps what was there before")
	if _, ran := s.processes.Ran("untrusted/export"); ran || b.get("disk-0") != "old" || b.get("manifest.json") != old || strings.Join(b.puts, " ") != "manifest.json" {
		t.Errorf("the script ran: %v; put %v", ran, b.puts)
	}
}

func TestWhatIsNotImported(t *testing.T) {
	good := `{"version":1,"definition":"thing","digest":"d","disks":[{"name":"disk-0","bytes":4,"sha256":"` + hashed("dump") + `","disk_size":9}]}`
	for _, c := range []struct{ name, manifest, disk, script, says string }{
		{"nothing there", "", "dump", "", "no manifest.json"},
		{"more disks than there are", strings.Replace(good, `}]}`, `},{"name":"disk-1","bytes":0,"sha256":"`+hashed("")+`","disk_size":9},{"name":"disk-2","bytes":0,"sha256":"`+hashed("")+`","disk_size":9}]}`, 1), "dump", "", "of 3 disks, and the machine has 2"},
		{"a shorter file", good, "dum", "", "has 3 bytes, and its manifest says 4"},
		{"another file", good, "DUMP", "", "its SHA-256 is another"},
		{"a script that fails", good, "dump", "echo no room >&2; exit 3", "ended with code 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, b := setUp(t), newBackup(t)
			if c.manifest != "" {
				b.files["manifest.json"] = c.manifest
			}
			b.files["disk-0"] = c.disk
			more := map[string]string{}
			if c.script != "" {
				more["untrusted/import"] = c.script
			}
			w := work(dumper(t, more))
			w.Streams = b.streams()
			_, err := s.Import(t.Context(), w, s.tell)
			fails(t, err, c.says)
			if _, ran := s.processes.Ran("untrusted/import"); ran != (c.script != "" || c.disk == "DUMP") {
				t.Errorf("the script ran: %v", ran)
			}
		})
	}
}

func TestRename(t *testing.T) {
	s := setUp(t)
	w := work(trusted(dumper(t, map[string]string{"rename": `echo "trusted: $OLD_INSTANCE_NAME, $INSTANCE_NAME"`})))
	w.OldName, w.Machine.Name = "web1", "web2"
	r, err := s.Rename(t.Context(), w, s.tell)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, one := range r.Scripts {
		said[one.Name] = strings.Join(one.Lines, "\n")
	}
	if len(said) != 2 || said["untrusted/rename"] != "from web1 to web2" || said["rename"] != "trusted: web1, web2" {
		t.Errorf("they said %v", said)
	}
	_, err = s.Rename(t.Context(), agentapi.OSWork{}, s.tell)
	fails(t, err, "no OS definition to rename with")
	_, err = s.Export(t.Context(), agentapi.OSWork{}, s.tell)
	fails(t, err, "no OS definition to export with")
	w = work(dumper(t, nil))
	_, err = s.Import(t.Context(), w, s.tell)
	fails(t, err, "no URL of an export")
}
