package origin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// registryServer is a registry, by the OCI distribution specification, that gives tokens to one user for one repository.
type registryServer struct {
	*httptest.Server
	cdn   *httptest.Server // where blobs are, without credentials
	files map[string][]byte
	open  bool // nobody need log in

	mu      sync.Mutex
	toldCDN []string
	spoil   func(path string, w http.ResponseWriter) bool
}

const (
	pullUser, pullPassword = "puller", "hunter2"
	pullToken              = "token-of-the-registry"
)

func newRegistry(t *testing.T) *registryServer {
	t.Helper()
	g := &registryServer{files: map[string][]byte{}}
	g.cdn = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.toldCDN = append(g.toldCDN, r.Header.Get("Authorization"))
		_, _ = w.Write(g.files[r.URL.Path])
	}))
	t.Cleanup(g.cdn.Close)
	g.Server = httptest.NewTLSServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *registryServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	spoil := g.spoil
	g.mu.Unlock()
	if spoil != nil && spoil(r.URL.Path, w) {
		return
	}
	if r.URL.Path == "/token" {
		if user, password, _ := r.BasicAuth(); user != pullUser || password != pullPassword || r.URL.Query().Get("scope") != "repository:disks/debian:pull" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": pullToken, "expires_in": 300})
		return
	}
	if !g.open && r.Header.Get("Authorization") != "Bearer "+pullToken {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="registry",scope="repository:disks/debian:pull"`, g.URL))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if strings.Contains(r.URL.Path, "/blobs/") {
		http.Redirect(w, r, g.cdn.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return
	}
	text, ok := g.files[r.URL.Path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`)
		return
	}
	var kind struct{ MediaType string }
	_ = json.Unmarshal(text, &kind)
	w.Header().Set("Content-Type", kind.MediaType)
	w.Header().Set("Docker-Content-Digest", digestOf(text))
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	_, _ = w.Write(text)
}

func digestOf(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// put keeps a manifest under its digest, and a tag unless it is "".
func (g *registryServer) put(doc map[string]any, tag string) (digest string, size int) {
	text, _ := json.Marshal(doc)
	digest = digestOf(text)
	g.files["/v2/disks/debian/manifests/"+digest] = text
	if tag != "" {
		g.files["/v2/disks/debian/manifests/"+tag] = text
	}
	return digest, len(text)
}

// disk keeps an image as a blob, with its manifest.
func (g *registryServer) disk(tag string, content []byte, layer map[string]any) (digest string, size int) {
	d := map[string]any{"mediaType": "application/vnd.example.disk", "digest": digestOf(content), "size": len(content)}
	for k, v := range layer {
		d[k] = v
	}
	g.files["/v2/disks/debian/blobs/"+digestOf(content)] = content
	return g.put(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digestOf([]byte("{}")), "size": 2},
		"layers": []any{d}}, tag)
}

func (g *registryServer) image(ref string) string {
	return "oci://" + strings.TrimPrefix(g.URL, "https://") + "/disks/debian" + ref
}

// resolver trusts the registry and its CDN.
func (g *registryServer) resolver(t *testing.T, change func(*Config)) *Resolver {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pemText(g.Server) + pemText(g.cdn)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Defaults()
	c.Registries.VerifyCA = file
	if change != nil {
		change(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.patience = source.Options{Tries: 1, Backoff: time.Millisecond}
	return r
}

func pemText(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func nodeWith(info, driver map[string]any) *metal.Node {
	return &metal.Node{UUID: "n", Properties: map[string]any{"cpu_arch": "x86_64"}, InstanceInfo: secret.NewMap(info), DriverInfo: secret.NewMap(driver)}
}

// wantRefused checks the kind of a refusal and what it says, and that it tells no secret.
func wantRefused(t *testing.T, what string, err error, kind fault.Kind, says string) {
	t.Helper()
	public, _ := fault.PublicOf(err)
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(public, says) || strings.Contains(public, pullPassword) || strings.Contains(public, pullToken) {
		t.Errorf("%s: %v (%s), want %s about %q", what, err, fault.KindOf(err), kind, says)
	}
}

func TestImagesOfARegistry(t *testing.T) {
	g := newRegistry(t)
	raw, arm, cow := []byte("raw of amd64"), []byte("raw of arm64"), []byte("qcow2 of amd64")
	entry := func(content []byte, arch, disktype string) map[string]any {
		d, size := g.disk("", content, nil)
		return map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": d, "size": size,
			"platform": map[string]any{"architecture": arch, "os": "linux"}, "annotations": map[string]any{"disktype": disktype}}
	}
	g.put(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
		"manifests": []any{entry(arm, "arm64", "raw"), entry(cow, "amd64", "qcow2"), entry(raw, "x86_64", "raw"), entry([]byte("x"), "amd64", "hyperv")}}, "12")
	single, _ := g.disk("latest", raw, map[string]any{"annotations": map[string]any{"disktype": "raw"}})
	r := g.resolver(t, nil)
	for ref, want := range map[string][]byte{":12": raw, "": raw, "@" + single: raw, ":12@" + single: raw} {
		n := nodeWith(map[string]any{"image_source": g.image(ref), "image_pull_secret": pullUser + ":" + pullPassword}, nil)
		f, err := r.Find(t.Context(), n)
		if err != nil || "sha256:"+f.Digest.Hex != digestOf(want) || f.Size != int64(len(want)) || f.Format != "raw" || f.Through {
			t.Fatalf("%s: %+v, %v", ref, f, err)
		}
		o, err := r.Access(t.Context(), n, f.Source, f.URL)
		if err != nil || Header(o) != "Bearer "+pullToken {
			t.Fatalf("%s: %v", ref, err)
		}
		o.Size, o.Tries = f.Size, 1
		body, err := source.Open(t.Context(), []string{f.URL}, o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != string(want) {
			t.Errorf("%s: %q, %v", ref, got, err)
		}
		_ = body.Close()
	}
	if told := strings.Join(g.toldCDN, ""); told != "" || len(g.toldCDN) == 0 {
		t.Errorf("the CDN was asked %d times and told %q", len(g.toldCDN), told)
	}
	n := nodeWith(map[string]any{"image_source": g.image(":12"), "image_pull_secret": pullToken}, nil)
	if f, err := r.Find(t.Context(), n); err != nil || f.Size != int64(len(raw)) {
		t.Errorf("with a bare token: %v", err)
	}
	n.Properties["cpu_arch"] = "aarch64"
	if f, err := r.Find(t.Context(), n); err != nil || "sha256:"+f.Digest.Hex != digestOf(arm) {
		t.Errorf("for arm64: %+v, %v", f, err)
	}
	n.Properties["cpu_arch"] = "riscv64"
	_, err := r.Find(t.Context(), n)
	wantRefused(t, "for riscv64", err, fault.Invalid, "cpu_arch")
}

func TestWhatARegistrySaysIsJudged(t *testing.T) {
	g := newRegistry(t)
	g.open = true
	layer := func(n int, kind string) []any {
		out := []any{}
		for range n {
			out = append(out, map[string]any{"mediaType": kind, "digest": digestOf(nil), "size": 1})
		}
		return out
	}
	manifest, index := "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
	g.put(map[string]any{"mediaType": manifest, "layers": layer(3, "application/vnd.oci.image.layer.v1.tar+gzip")}, "container")
	g.put(map[string]any{"mediaType": manifest, "layers": layer(1, "application/vnd.oci.image.layer.v1.tar+gzip")}, "tar")
	g.put(map[string]any{"mediaType": manifest, "layers": []any{map[string]any{"mediaType": "x/y", "digest": "md5:00112233445566778899aabbccddeeff", "size": 1}}}, "md5")
	g.put(map[string]any{"mediaType": manifest, "layers": []any{map[string]any{"mediaType": "x/y", "digest": digestOf(nil), "size": -1}}}, "negative")
	g.put(map[string]any{"mediaType": index, "manifests": []any{}}, "empty")
	d, size := g.put(map[string]any{"mediaType": index, "manifests": layer(1, manifest)}, "")
	g.put(map[string]any{"mediaType": index, "manifests": []any{map[string]any{"mediaType": index, "digest": d, "size": size}}}, "nested")
	g.put(map[string]any{"mediaType": index, "manifests": layer(1, manifest), "layers": layer(1, "x/y")}, "both")
	g.put(map[string]any{"mediaType": index, "manifests": layer(maxEntries+1, manifest)}, "long")
	g.put(map[string]any{"mediaType": "text/html"}, "html")
	good, _ := g.disk("good", []byte("good"), map[string]any{"annotations": map[string]any{"disktype": "raw"}})
	r := g.resolver(t, nil)
	find := func(ref string, more map[string]any) error {
		info := map[string]any{"image_source": g.image(ref)}
		for k, v := range more {
			info[k] = v
		}
		_, err := r.Find(t.Context(), nodeWith(info, nil))
		return err
	}
	for ref, says := range map[string]string{":container": "3 layers", ":tar": "container's file system", ":md5": "neither SHA-256", ":negative": "how large", ":empty": "no disk image",
		":nested": "another list", ":both": "at once", ":long": "more than", ":html": "no image manifest"} {
		wantRefused(t, ref, find(ref, nil), fault.Invalid, says)
	}
	wantRefused(t, "nothing", find(":none", nil), fault.NotFound, "no such image")
	wantRefused(t, "no reference", find(":a:b", nil), fault.Invalid, "oci://HOST/PATH")
	wantRefused(t, "another checksum", find(":good", map[string]any{"image_checksum": strings.Repeat("00", 32)}), fault.Invalid, "instance_info says "+strings.Repeat("00", 32))
	wantRefused(t, "another format", find(":good", map[string]any{"image_disk_format": "qcow2"}), fault.Invalid, "image_disk_format")
	if err := find(":good", map[string]any{"image_checksum": digestOf([]byte("good")), "image_disk_format": "raw"}); err != nil {
		t.Error(err)
	}
	g.spoil = func(path string, w http.ResponseWriter) bool {
		if strings.HasSuffix(path, good) {
			w.Header().Set("Content-Type", manifest)
			_, _ = io.WriteString(w, `{"mediaType": "`+manifest+`", "layers": []}`)
			return true
		}
		return false
	}
	wantRefused(t, "a manifest that is not its digest's", find("@"+good, nil), fault.Invalid, "not")
	g.spoil = func(_ string, w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", manifest)
		w.Header().Set("Content-Length", fmt.Sprint(maxManifest+1))
		w.Header().Set("Docker-Content-Digest", digestOf(nil))
		_, _ = w.Write(make([]byte, 1<<10))
		return true
	}
	wantRefused(t, "a huge manifest", find(":good", nil), fault.Invalid, "larger than 4 MiB")
}

func TestRegistriesThatRefuse(t *testing.T) {
	g := newRegistry(t)
	g.disk("latest", []byte("x"), nil)
	info := map[string]any{"image_source": g.image("")}
	host := strings.TrimPrefix(g.URL, "https://")
	r := g.resolver(t, nil)
	_, err := r.Find(t.Context(), nodeWith(info, nil))
	wantRefused(t, "nobody", err, fault.Invalid, "image_pull_secret")
	wrong := map[string]any{"image_source": g.image(""), "image_pull_secret": pullUser + ":wrong"}
	_, err = r.Find(t.Context(), nodeWith(wrong, nil))
	wantRefused(t, "a wrong password", err, fault.Invalid, "image_pull_secret")
	theirs := map[string]any{"image_pull_secret": pullUser + ":" + pullPassword}
	_, err = r.Find(t.Context(), nodeWith(info, theirs))
	wantRefused(t, "driver_info's, for a host that nobody named", err, fault.Invalid, "image_server_hosts does not name it")
	for _, named := range []string{host, "127.0.0.1"} {
		r = g.resolver(t, func(c *Config) { c.Servers.ImageServerHosts = []string{named} })
		if _, err := r.Find(t.Context(), nodeWith(info, theirs)); err != nil {
			t.Errorf("driver_info's, for %s: %v", named, err)
		}
	}
	r = g.resolver(t, func(c *Config) {
		c.Servers = Servers{ImageServerAuthStrategy: "http_basic", ImageServerUser: pullUser, ImageServerPassword: secret.New(pullPassword), ImageServerHosts: []string{host}}
	})
	if _, err := r.Find(t.Context(), nodeWith(info, nil)); err != nil {
		t.Errorf("the operator's: %v", err)
	}
	file := filepath.Join(t.TempDir(), "auth.json")
	auth := base64.StdEncoding.EncodeToString([]byte(pullUser + ":" + pullPassword))
	if err := os.WriteFile(file, []byte(`{"auths": {"`+host+`": {"auth": "`+auth+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r = g.resolver(t, func(c *Config) { c.Registries.AuthenticationConfig = file })
	if _, err := r.Find(t.Context(), nodeWith(info, nil)); err != nil {
		t.Errorf("the file's: %v", err)
	}
	r = g.resolver(t, func(c *Config) { c.Servers.RefusedImageNetworks = []string{"127.0.0.0/8"} })
	_, err = r.Find(t.Context(), nodeWith(info, nil))
	wantRefused(t, "a refused network", err, fault.Forbidden, "127.0.0.1")
	r = g.resolver(t, func(c *Config) { c.Registries.VerifyCA = "" })
	_, err = r.Find(t.Context(), nodeWith(info, nil))
	wantRefused(t, "an unknown authority", err, fault.Unavailable, "certificate")
}

// TestRealmsInRefusedNetworks: a registry does not choose who in our own network is told the user's password.
func TestRealmsInRefusedNetworks(t *testing.T) {
	g := newRegistry(t)
	g.spoil = func(_ string, w http.ResponseWriter) bool {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://169.254.169.254/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	n := nodeWith(map[string]any{"image_source": g.image(""), "image_pull_secret": pullUser + ":" + pullPassword}, nil)
	if _, err := g.resolver(t, nil).Find(t.Context(), n); err == nil || fault.KindOf(err) == fault.Unavailable {
		t.Errorf("a realm in a refused network: %v", err)
	}
	g.spoil = func(_ string, w http.ResponseWriter) bool {
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://127.0.0.1:1/token",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	if _, err := g.resolver(t, nil).Find(t.Context(), n); err == nil || fault.KindOf(err) == fault.Unavailable {
		t.Errorf("a realm by http: %v", err)
	}
}
