package agentapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// serveTo is an agent that speaks to the holder of one certificate; the zero Certificate is everybody.
func serveTo(t *testing.T, own tls.Certificate, client *Certificate, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}}
	if client != nil {
		s.TLS.ClientAuth, s.TLS.VerifyConnection = tls.RequestClientCert, client.Verify
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestBothSidesShowTheirCertificates(t *testing.T) {
	agent, agentPEM := selfSigned(t, "192.0.2.1") // names another address: nobody looks
	_, otherPEM := selfSigned(t, "127.0.0.1")
	mine, minePEM := selfSigned(t, "192.0.2.2")
	stranger, _ := selfSigned(t, "192.0.2.2")
	expected, err := ParseCertificate(minePEM)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	base := serveTo(t, agent, &expected, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprint(w, `{"commands":[]}`)
	}))
	for _, c := range []struct {
		name string
		pin  Pin
		want error
	}{
		{"both right", Pin{agentPEM, &mine}, nil},
		{"another agent", Pin{otherPEM, &mine}, ErrCertificate},
		{"another client", Pin{agentPEM, &stranger}, ErrRefused},
		{"a client without one", Pin{agentPEM, nil}, ErrRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked = 0
			client, err := NewPinnedClient(base, secret.New(token), c.pin)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_, err = client.Commands(t.Context())
			if c.want == nil {
				if err != nil || asked != 1 {
					t.Fatalf("%v, asked %d times", err, asked)
				}
				return
			}
			if !errors.Is(err, c.want) || !errors.Is(err, ErrConnection) || fault.KindOf(err) != fault.Forbidden || asked != 0 {
				t.Errorf("%v, asked %d times, want %v", err, asked, c.want)
			}
			if strings.Contains(err.Error(), token) {
				t.Error("the error holds the token")
			}
		})
	}
}

func TestPinsThatAreNone(t *testing.T) {
	_, one := selfSigned(t, "127.0.0.1")
	for _, c := range []struct{ base, agent string }{
		{"https://192.0.2.1", ""}, {"https://192.0.2.1", "no PEM"}, {"https://192.0.2.1", one + one},
		{"https://192.0.2.1", one + "more"}, {"https://192.0.2.1", strings.Repeat(" ", maxCertificate) + one},
		{"https://192.0.2.1", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
		{"http://192.0.2.1", one}, {"192.0.2.1", one},
	} {
		if _, err := NewPinnedClient(c.base, secret.Secret{}, Pin{Agent: c.agent}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s %.20q: %v", c.base, c.agent, err)
		}
	}
	if (Certificate{}).Verify(tls.ConnectionState{}) == nil {
		t.Error("no certificate is taken for none")
	}
}

func TestACertificateIsLookedAtBeforeAnythingIsSent(t *testing.T) {
	agent, agentPEM := selfSigned(t, "192.0.2.1")
	base := serveTo(t, agent, nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("something was sent") }))
	got, err := ShownCertificate(t.Context(), base, nil)
	if err != nil || got != agentPEM {
		t.Errorf("%s %v", got, err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	if _, err := ShownCertificate(t.Context(), strings.Replace(plain.URL, "http", "https", 1), nil); !errors.Is(err, ErrConnection) {
		t.Error(err)
	}
}

func TestAwaitSaysHowLong(t *testing.T) {
	agent, agentPEM := selfSigned(t, "192.0.2.1")
	queries := make(chan string, 8)
	base := serveTo(t, agent, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries <- r.URL.Query().Get("wait") + " " + r.URL.Query().Get("timeout")
		if r.URL.Path == "/v1/status" {
			fmt.Fprint(w, `{"started_at":12.5,"version":"1"}`)
			return
		}
		fmt.Fprint(w, `{"commands":[{"id":"a","command_status":"RUNNING"}]}`)
	}))
	client, err := NewPinnedClient(base, secret.New(token), Pin{Agent: agentPEM})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for limit, want := range map[time.Duration]string{0: "true 30", 7 * time.Second: "true 7", 1: "true 1", time.Hour: "true 60"} {
		list, err := client.Await(t.Context(), limit)
		if got := <-queries; err != nil || got != want || len(list) != 1 {
			t.Errorf("%s: %q %v, want %q", limit, got, err, want)
		}
	}
	s, err := client.Status(t.Context())
	if got := <-queries; err != nil || s.Version != "1" || s.StartedAt != 12.5 || got != " " {
		t.Errorf("%+v %v %q", s, err, got)
	}
}
