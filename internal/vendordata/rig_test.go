package vendordata

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ingot/internal/secret"
	lab "ingot/lab/vendordata"
)

// rig is a Service whose one target "x", or whose targets, are the lab's server.
type rig struct {
	*Service
	t    *testing.T
	lab  *lab.Server
	logs *logs
}

// newRig takes the lab's part and changes to the configuration and the options.
func newRig(t *testing.T, c lab.Config, change func(*Config, *Options)) *rig {
	t.Helper()
	g := &rig{t: t, lab: lab.New(c), logs: &logs{}}
	if err := g.lab.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.lab.Close() })
	conf, o := configured("x@"+g.lab.URL()+"/x"), Options{}
	if c.Certificate != nil {
		conf.VendordataDynamicSSLCertfile = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(conf.VendordataDynamicSSLCertfile, lab.PEM(*c.Certificate), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(&conf, &o)
	}
	s, err := New(conf, o, slog.New(slog.NewTextHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	g.Service = s
	t.Cleanup(s.Close)
	return g
}

// fetch asks for a deploy.
func (g *rig) fetch() Answers {
	g.t.Helper()
	a, err := g.Fetch(g.t.Context(), example)
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// fresh asks for the service, and gives the number in target x's answer, 0 without, and where it came from.
func (g *rig) fresh(instance string, start Answers) (int, string) {
	g.t.Helper()
	a, err := g.Fresh(g.t.Context(), instance, example, start)
	if err != nil {
		g.t.Fatal(err)
	}
	return number(a), g.Report(a)[0].From
}

// number is what the lab's answers differ by.
func number(a Answers) int {
	var all struct {
		X struct {
			Number int `json:"number"`
		} `json:"x"`
	}
	_ = json.Unmarshal(a.VendorData2(nil), &all) // another type has none
	return all.X.Number
}

func (g *rig) faults(list ...lab.Fault) {
	g.t.Helper()
	if err := g.lab.SetFaults(list...); err != nil {
		g.t.Fatal(err)
	}
}

// asked checks how many requests there were.
func (g *rig) asked(want int) {
	g.t.Helper()
	if got := g.lab.Count(); got != want {
		g.t.Errorf("the target was asked %d times, want %d", got, want)
	}
}

// older gives answers as if they had been asked for earlier.
func older(a Answers, by time.Duration) Answers {
	out := Answers{id: a.id}
	for _, one := range a.list {
		one.asked = one.asked.Add(-by)
		out.list = append(out.list, one)
	}
	return out
}

// age makes what is in memory of an instance older.
func (g *rig) age(instance string, by time.Duration) {
	g.held.mu.Lock()
	defer g.held.mu.Unlock()
	one := g.held.of[instance].Value.(*holding)
	aged := map[string]answer{}
	for name, a := range one.answers {
		a.asked = a.asked.Add(-by)
		aged[name] = a
	}
	one.answers = aged
}

// logs is all that was logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func hidden(document json.RawMessage) secret.Secret { return secret.New(string(document)) }

// pool trusts one certificate.
func pool(t *testing.T, c tls.Certificate) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(lab.PEM(c)) {
		t.Fatal("no certificate")
	}
	return p
}
