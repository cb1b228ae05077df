package agentapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

const token = "0123456789012345678901234567890123456789abc"

// selfSigned makes a certificate as an agent does: no CA flag, one IP address.
func selfSigned(t *testing.T, ip string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shape := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func serveTLS(t *testing.T, cert tls.Certificate, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestClientPinsTheCertificate(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"commands":[]}`) })
	good, goodPEM := selfSigned(t, "127.0.0.1")
	_, otherPEM := selfSigned(t, "127.0.0.1")
	elsewhere, elsewherePEM := selfSigned(t, "192.0.2.1")
	for _, c := range []struct {
		name string
		cert tls.Certificate
		pem  string
		fail bool
	}{
		{"its own", good, goodPEM, false},
		{"another key", good, otherPEM, true},
		{"another address", elsewhere, elsewherePEM, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serveTLS(t, c.cert, ok)
			client, err := NewClient(s.URL, secret.New(token), c.pem)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_, err = client.Commands(t.Context())
			if c.fail != (err != nil) {
				t.Fatalf("error %v, want one: %v", err, c.fail)
			}
			if c.fail && (!errors.Is(err, ErrConnection) || fault.KindOf(err) != fault.Unavailable) {
				t.Errorf("error %v is not ErrConnection", err)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Errorf("token in %v", err)
			}
		})
	}
}

func TestNewClientRefuses(t *testing.T) {
	_, pem := selfSigned(t, "127.0.0.1")
	for _, c := range []struct{ base, ca string }{
		{"https://192.0.2.1:9999", ""},
		{"http://192.0.2.1:9999", pem},
		{"https://192.0.2.1:9999", "rubbish"},
		{"ftp://192.0.2.1", ""},
		{"http://", ""},
		{"http://user:pw@192.0.2.1", ""},
		{"http://192.0.2.1/?x=y", ""},
		{"\x7f", ""},
	} {
		if _, err := NewClient(c.base, secret.Secret{}, c.ca); fault.KindOf(err) != fault.Invalid {
			t.Errorf("NewClient(%q): %v", c.base, err)
		}
	}
}

func TestRunSendsWhatTheProtocolWants(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 1000)
		n, _ := r.Body.Read(body)
		got = fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.URL.RawQuery, body[:n])
		fmt.Fprint(w, `{"id":"1","command_name":"sync","command_status":"SUCCEEDED","command_error":null,"command_result":null,"new":1}`)
	}))
	defer s.Close()
	c, err := NewClient(s.URL+"/", secret.New("T"), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Run(t.Context(), "standby.sync", nil, true)
	if err != nil || r.CommandStatus != Succeeded {
		t.Fatal(r, err)
	}
	want := `POST /v1/commands/ agent_token=T&wait=true {"name":"standby.sync","params":{}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFaultsAreToldApart(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   fault.Kind
		busy   bool
		text   string
	}{
		{409, `{"faultcode":"Client","faultstring":"Agent is busy: executing command sync"}`, fault.Locked, true, "executing command sync"},
		{400, `{"faultcode":"Client","faultstring":"Agent is busy: x"}`, fault.Locked, true, "busy"},
		{400, `{"faultcode":"Client","faultstring":"Invalid command: Unknown command: x"}`, fault.Invalid, false, "Unknown command: x"},
		{401, `{"faultcode":"Client","faultstring":"401 Unauthorized: Token invalid."}`, fault.Forbidden, false, "Token invalid"},
		{404, `{"faultstring":"Not found"}`, fault.NotFound, false, "Not found"},
		{500, `<html>`, fault.Internal, false, "HTTP status 500"},
		{500, "{\"faultstring\":\"a\\u001b[31mb\"}", fault.Internal, false, "a[31mb"},
		{302, ``, fault.Invalid, false, "HTTP status 302"},
		{200, `not json`, fault.Internal, false, "not its protocol"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		client, err := NewClient(s.URL, secret.New(token), "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Run(t.Context(), "standby.sync", nil, true)
		if fault.KindOf(err) != c.kind || errors.Is(err, ErrBusy) != c.busy || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%d %s: %v (%v)", c.status, c.body, err, fault.KindOf(err))
		}
		s.Close()
	}
}

func TestTokenIsInNoError(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer slow.Close()
	defer close(hang)
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, "{")
	}))
	defer cut.Close()
	for _, base := range []string{gone.URL, slow.URL, cut.URL} {
		c, err := NewClient(base, secret.New(token), "")
		if err != nil {
			t.Fatal(err)
		}
		c.limit = 50 * time.Millisecond // an agent whose machine lost its power says nothing, for ever
		_, err = c.Run(t.Context(), "standby.power_off", nil, false)
		if !errors.Is(err, ErrConnection) {
			t.Errorf("%v", err)
		}
		_, err = c.Commands(t.Context())
		if !errors.Is(err, ErrConnection) || strings.Contains(err.Error(), token) || strings.Contains(fmt.Sprintf("%+v %#v", c, err), token) {
			t.Errorf("%v", err)
		}
	}
}

func TestCommandIsBounded(t *testing.T) {
	asked := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer s.Close()
	c, err := NewClient(s.URL, secret.Secret{}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Run(t.Context(), "deploy.execute_deploy_step", map[string]string{"configdrive": strings.Repeat("A", MaxBody)}, false)
	if fault.KindOf(err) != fault.TooLarge || asked {
		t.Errorf("error %v, sent %v", err, asked)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 1<<20)
		for range MaxBody>>20 + 1 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	c, err := NewClient(s.URL, secret.Secret{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Commands(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 69632 KiB") {
		t.Errorf("error %v", err)
	}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 64 KiB") {
		t.Errorf("status: error %v", err)
	}
	c.AtMost(3 << 20)
	if _, err := c.Commands(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 3072 KiB") {
		t.Errorf("bounded: error %v", err)
	}
}
