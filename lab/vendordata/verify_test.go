package vendordata_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ours "ingot/internal/vendordata"
	"ingot/lab/vendordata"
)

// key is a line of a key file, and its secret half.
func key(name string) (line, half string) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	half = base64.StdEncoding.EncodeToString(raw)
	return name + ":" + half + "\n", half
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// asks is a server of ours that asks one target.
func asks(t *testing.T, url string, p ours.ProofConfig, said io.Writer, change func(*ours.Config)) *ours.Service {
	t.Helper()
	log := slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o, err := ours.Prove(ours.AuthDefaults(), p, log)
	if err != nil {
		t.Fatal(err)
	}
	c := ours.Defaults()
	c.VendordataProviders, c.VendordataDynamicTargets, c.VendordataDynamicAllowHTTPAuth = []string{ours.DynamicJSON}, ours.TargetList{"x@" + url}, true
	if change != nil {
		change(&c)
	}
	s, err := ours.New(c, o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func fetch(t *testing.T, s *ours.Service) string {
	t.Helper()
	a, err := s.Fetch(t.Context(), ours.Request{ProjectID: "p1", InstanceID: "i1", Hostname: "web1", BootRoles: []string{"member"}})
	if err != nil {
		t.Fatal(err)
	}
	return a.Why()
}

// TestSignedRequests: a target with the verifier takes what our server signs. Keys are replaced on both sides without a restart and
// without a moment in which nothing works.
func TestSignedRequests(t *testing.T) {
	dir := t.TempDir()
	here, there := filepath.Join(dir, "server"), filepath.Join(dir, "target")
	old, oldHalf := key("2026-06")
	fresh, freshHalf := key("2026-12")
	write(t, here, old)
	write(t, there, old)
	var check func(*http.Request, []byte) error
	target := vendordata.New(vendordata.Config{Accept: func(r *http.Request, body []byte) error { return check(r, body) }})
	if err := target.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = target.Close() })
	v, err := vendordata.NewVerifier(there, strings.TrimPrefix(target.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	check = v.Check
	var said bytes.Buffer
	s := asks(t, target.URL()+"/a%2Fb?c=d&e=%20", ours.ProofConfig{VendordataDynamicSigningKeyfile: here}, &said, nil)
	signedBy := func(when, name string) {
		t.Helper()
		if why := fetch(t, s); why != "" {
			t.Errorf("%s: %s", when, why)
		}
		all := target.Requests()
		head := all[len(all)-1].Header
		if got := head.Get(ours.SignatureHeader); !strings.Contains(got, "key="+name+",") {
			t.Errorf("%s: %s", when, got)
		}
		if head.Get("X-Auth-Token") != "" || head.Get("Authorization") != "" {
			t.Errorf("%s: there is a token, too", when)
		}
	}
	signedBy("at first", "2026-06")
	signedBy("again", "2026-06")
	write(t, there, old+fresh)
	signedBy("the target knows both", "2026-06")
	write(t, here, fresh+old)
	signedBy("the server signs with the new one", "2026-12")
	write(t, there, fresh)
	signedBy("the target forgot the old one", "2026-12")
	write(t, here, "this is no key file\n")
	signedBy("the server's file is broken", "2026-12")
	write(t, here, old)
	before := target.Count()
	if why := fetch(t, s); !strings.Contains(why, "401") || target.Count() != before+1 {
		t.Errorf("a key that the target does not know: %s, asked %d times", why, target.Count()-before)
	}
	for _, half := range []string{oldHalf, freshHalf, "this is no"} {
		if strings.Contains(said.String(), half) {
			t.Error("what is in the key file is in the log")
		}
	}
	for _, r := range target.Requests() {
		if strings.Contains(said.String(), r.Header.Get(ours.SignatureHeader)) {
			t.Error("a signature is in the log")
		}
	}
}

// TestVerifierRefuses: whatever is changed in a signed request makes it worthless, and so does sending it again.
func TestVerifierRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	line, _ := key("k")
	write(t, file, line)
	var taken *http.Request
	var body []byte
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		taken = r
		_, _ = io.WriteString(w, "{}")
	}))
	defer target.Close()
	host := strings.TrimPrefix(target.URL, "http://")
	if why := fetch(t, asks(t, target.URL+"/a?b=c", ours.ProofConfig{VendordataDynamicSigningKeyfile: file}, io.Discard, nil)); why != "" {
		t.Fatal(why)
	}
	said := taken.Header.Get(ours.SignatureHeader)
	verifier := func() *vendordata.Verifier {
		v, err := vendordata.NewVerifier(file, host, "other.example.org")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := verifier()
	if err := v.Check(taken, body); err != nil {
		t.Fatalf("as it came: %v", err)
	}
	if err := v.Check(taken, body); err == nil || !strings.Contains(err.Error(), "before") {
		t.Errorf("sent again: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*http.Request) []byte
		says   string
	}{
		"method":           {func(r *http.Request) []byte { r.Method = "PUT"; return body }, "wrong"},
		"path":             {func(r *http.Request) []byte { r.RequestURI = "/b?b=c"; return body }, "wrong"},
		"query":            {func(r *http.Request) []byte { r.RequestURI = "/a?b=d"; return body }, "wrong"},
		"body":             {func(*http.Request) []byte { return append([]byte(" "), body...) }, "wrong"},
		"host":             {func(r *http.Request) []byte { r.Host = "other.example.org"; return body }, "wrong"},
		"foreign host":     {func(r *http.Request) []byte { r.Host = "192.0.2.1"; return body }, "another host"},
		"none":             {func(r *http.Request) []byte { r.Header.Del(ours.SignatureHeader); return body }, "once"},
		"two":              {func(r *http.Request) []byte { r.Header.Add(ours.SignatureHeader, said); return body }, "once"},
		"another key":      {sets("key=k,", "key=l,"), "not known"},
		"another version":  {sets("version=1", "version=2"), "version 1"},
		"a field twice":    {sets("version=1", "version=1, version=1"), "twice"},
		"a field more":     {sets("version=1", "version=1, a=b"), "version 1"},
		"a field less":     {sets("version=1, ", ""), "version 1"},
		"another time":     {sets("time=", "time=1"), "wrong"},
		"another nonce":    {sets("nonce=", "nonce=0"), "wrong"},
		"no hex":           {sets("signature=", "signature=x"), "wrong"},
		"half a signature": {func(r *http.Request) []byte { r.Header.Set(ours.SignatureHeader, said[:len(said)-2]); return body }, "wrong"},
	} {
		r := taken.Clone(t.Context())
		sent := c.change(r)
		if err := verifier().Check(r, sent); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := vendordata.NewVerifier(file); err == nil {
		t.Error("a verifier that knows no host")
	}
	if _, err := vendordata.NewVerifier(filepath.Join(t.TempDir(), "none"), host); err == nil {
		t.Error("a verifier without keys")
	}
}

// sets changes the signature's header.
func sets(from, to string) func(*http.Request) []byte {
	return func(r *http.Request) []byte {
		r.Header.Set(ours.SignatureHeader, strings.Replace(r.Header.Get(ours.SignatureHeader), from, to, 1))
		return nil
	}
}

// TestMutualTLS: a target that wants a certificate is shown the one of the file, from the next connection on the new one.
func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	own, err := vendordata.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cas := x509.NewCertPool()
	target := vendordata.New(vendordata.Config{Certificate: &own, ClientCAs: cas})
	if err := target.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = target.Close() })
	ca, certFile, keyFile := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write(t, ca, string(vendordata.PEM(own)))
	certificate := func() tls.Certificate {
		t.Helper()
		c, err := vendordata.NewClientCertificate("ingot")
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		write(t, certFile, string(vendordata.PEM(c)))
		write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
		return c
	}
	known := certificate()
	cas.AppendCertsFromPEM(vendordata.PEM(known))
	trusting := func(c *ours.Config) { c.VendordataDynamicSSLCertfile, c.VendordataDynamicAllowHTTPAuth = ca, false }
	if why := fetch(t, asks(t, target.URL()+"/a", ours.ProofConfig{}, io.Discard, trusting)); why == "" {
		t.Error("the target took one without a certificate")
	}
	s := asks(t, target.URL()+"/a", ours.ProofConfig{VendordataDynamicClientCertfile: certFile, VendordataDynamicClientKeyfile: keyFile}, io.Discard, trusting)
	if why := fetch(t, s); why != "" {
		t.Error(why)
	}
	certificate()
	if why := fetch(t, s); why == "" {
		t.Error("the target took a certificate that it does not know: the old one was shown")
	}
	write(t, certFile, string(vendordata.PEM(known)))
	if why := fetch(t, s); why == "" {
		t.Error("a certificate whose key is another one was shown")
	}
	if target.Count() != 1 {
		t.Errorf("the target was asked %d times", target.Count())
	}
}

// FuzzVerifier gives the verifier headers of strangers.
func FuzzVerifier(f *testing.F) {
	file := filepath.Join(f.TempDir(), "keys")
	line, _ := key("k")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		f.Fatal(err)
	}
	v, err := vendordata.NewVerifier(file, "h")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fmt.Sprintf("version=1, key=k, time=%d, nonce=%s, signature=%s", time.Now().Unix(), strings.Repeat("0", 32), strings.Repeat("0", 64)), "/a", "{}")
	f.Add("version=1,,,,,,,key", "", "")
	f.Fuzz(func(t *testing.T, said, path, body string) {
		r := &http.Request{Method: http.MethodPost, Host: "h", RequestURI: path, Header: http.Header{"X-Ingot-Signature": {said}}}
		if v.Check(r, []byte(body)) == nil {
			t.Error("a signature by nobody is good")
		}
	})
}
