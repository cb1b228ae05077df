package overlay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/source"
)

var quick = source.Options{Backoff: time.Millisecond, Stall: 5 * time.Second, Tries: 2}

// copies counts packages in this program's memory.
func copies(t *testing.T) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "/memfd:personalization") {
			n++
		}
	}
	return n
}

func TestREQ26APackageThatWantsCredentialsAsksForThemAgain(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "PW-canary" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write(gzipped(t, packed(t, item{name: "/absolute"})))
	}))
	t.Cleanup(srv.Close)
	o := Overlay{options: quick}
	for _, c := range []struct {
		pkg  agentapi.OSPackage
		want string
	}{
		{agentapi.OSPackage{}, "answered 401 Unauthorized. Credentials of packages are kept nowhere: give personalization_user and personalization_password again."},
		{agentapi.OSPackage{User: "u", Password: "wrong-canary"}, "Give the right personalization_user and personalization_password."},
		{agentapi.OSPackage{User: "u", Password: "PW-canary"}, "absolute path"},
	} {
		c.pkg.URL = srv.URL + "/p.tgz?sig=query-canary"
		_, err := o.Apply(context.Background(), c.pkg, []string{"/dev/null"}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if n := copies(t); n != 0 {
		t.Errorf("%d copies of the package are left", n)
	}
}

func TestREQ26OnlyPackagesOfKnownFormAreFetched(t *testing.T) {
	o := Overlay{options: quick}
	for _, url := range []string{"http://127.0.0.1:1/p.zip", "http://u:p@127.0.0.1:1/p.tgz", "file:///p.tgz", "http://127.0.0.1:1/p.tgz#.tar.zst", "http://127.0.0.1:1/?p.tgz"} {
		if _, err := o.Apply(context.Background(), agentapi.OSPackage{URL: url, Refused: []string{"127.0.0.0/8"}}, []string{"/dev/null"}, nil); err == nil {
			t.Errorf("%s is fetched", url)
		}
	}
}

// The local copy is in memory without a name, and gone with its file, whatever became of it.
func TestREQ27TheLocalCopyIsGoneAfterFailure(t *testing.T) {
	good := gzipped(t, packed(t, item{name: "etc/a", content: strings.Repeat("a", 5000)}))
	var bad atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bad.Load() {
			w.Write(good[:20])
			return
		}
		w.Write(good)
	}))
	t.Cleanup(srv.Close)
	pkg := agentapi.OSPackage{URL: srv.URL + "/p.tar.gz"}
	o := Overlay{options: quick}
	var told []agentapi.Progress
	local, sum, err := o.fetch(context.Background(), pkg, func(p agentapi.Progress) { told = append(told, p) })
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(good)
	if got, err := io.ReadAll(io.NewSectionReader(local, 0, 1<<20)); err != nil || !bytes.Equal(got, good) || sum != hex.EncodeToString(want[:]) || copies(t) != 1 {
		t.Errorf("%d bytes, %v, digest %s, %d copies", len(got), err, sum, copies(t))
	}
	local.Close()
	if len(told) == 0 || told[0].Total != int64(len(good)) || told[0].Unit != "bytes" {
		t.Errorf("progress %+v", told)
	}
	// There is no disk of that name: it fails after all was fetched and judged.
	if _, err := o.Apply(context.Background(), pkg, []string{"/dev/no-such-disk"}, nil); err == nil || !strings.Contains(err.Error(), "is not applied") {
		t.Errorf("without a disk: %v", err)
	}
	bad.Store(true)
	if _, err := o.Apply(context.Background(), pkg, []string{"/dev/null"}, nil); err == nil || !strings.Contains(err.Error(), "refused as a whole") {
		t.Errorf("half a package: %v", err)
	}
	small := Overlay{options: quick, Limits: Limits{Packed: 10}}
	if _, err := small.Apply(context.Background(), pkg, []string{"/dev/null"}, nil); err == nil || !strings.Contains(err.Error(), "more than 10 bytes") {
		t.Errorf("too large: %v", err)
	}
	if n := copies(t); n != 0 {
		t.Errorf("%d copies of the package are left", n)
	}
}

func TestREQ27CredentialsStayAtTheirOrigin(t *testing.T) {
	var told atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told.Store(r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(other.Close)
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/p.tgz", http.StatusFound)
	}))
	t.Cleanup(first.Close)
	o := Overlay{options: quick}
	_, err := o.Apply(context.Background(), agentapi.OSPackage{URL: first.URL + "/p.tgz", User: "u", Password: "canary"}, []string{"/dev/null"}, nil)
	if err == nil || told.Load() != "" || !strings.Contains(err.Error(), "to no other") || strings.Contains(err.Error(), "canary") {
		t.Errorf("the other server was told %q: %v", told.Load(), err)
	}
}

func TestAPackageFromAServerWithItsOwnCA(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(gzipped(t, packed(t))) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	o := Overlay{options: quick}
	pkg := agentapi.OSPackage{URL: srv.URL + "/p.tgz"}
	if _, _, err := o.fetch(context.Background(), pkg, noProgress); err == nil || !strings.Contains(err.Error(), "not trusted") {
		t.Errorf("without its CA: %v", err)
	}
	pkg.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	local, _, err := o.fetch(context.Background(), pkg, noProgress)
	if err != nil {
		t.Fatal(err)
	}
	local.Close()
	pkg.Refused = []string{"127.0.0.1"}
	if _, _, err := o.fetch(context.Background(), pkg, noProgress); err == nil || !strings.Contains(err.Error(), "nothing is fetched from") {
		t.Errorf("from a refused network: %v", err)
	}
}
