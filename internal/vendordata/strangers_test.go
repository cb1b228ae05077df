package vendordata

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
	lab "ingot/lab/vendordata"
)

// quick are times that a test can wait for.
func quick(c *Config, _ *Options) {
	c.VendordataDynamicTotalTimeout, c.VendordataDynamicReadTimeout = 150*time.Millisecond, 10*time.Second
}

// TestRequirement03Deadlines: neither drips nor silence nor size hold a caller.
func TestRequirement03Deadlines(t *testing.T) {
	for _, c := range []struct {
		fault  lab.Fault
		change func(*Config, *Options)
		want   string
	}{
		{lab.Fault{Name: lab.Drip, DelayMS: 5}, quick, "vendordata_dynamic_total_timeout"},
		{lab.Fault{Name: lab.NoAnswer}, quick, "vendordata_dynamic_total_timeout"},
		{lab.Fault{Name: lab.NoAnswer}, func(c *Config, _ *Options) { c.VendordataDynamicReadTimeout = 50 * time.Millisecond }, "vendordata_dynamic_read_timeout"},
		{lab.Fault{Name: lab.Drip, DelayMS: 60000}, func(c *Config, _ *Options) { c.VendordataDynamicReadTimeout = 50 * time.Millisecond }, "vendordata_dynamic_read_timeout"},
		{lab.Fault{Name: lab.Oversize}, nil, "larger than 1024 KiB"},
		{lab.Fault{Name: lab.Oversize, Size: 1 << 10}, func(c *Config, _ *Options) { c.VendordataDynamicMaxSize = 1 }, "larger than 1 KiB"},
	} {
		g := newRig(t, lab.Config{}, c.change)
		g.faults(c.fault)
		a := g.fetch()
		if !strings.Contains(a.Why(), `target "x"`) || !strings.Contains(a.Why(), c.want) {
			t.Errorf("%+v: %s", c.fault, a.Why())
		}
		if string(a.VendorData2(nil)) != `{"x":{}}` {
			t.Errorf("%+v: %.100s", c.fault, a.VendorData2(nil))
		}
		_ = g.lab.Close()
	}
	g := newRig(t, lab.Config{}, nil)
	g.lab.SetAnswer("/x", []byte(`"`+strings.Repeat("x", 1<<20-2)+`"`))
	if a := g.fetch(); a.Why() != "" {
		t.Errorf("an answer of just the size: %s", a.Why())
	}
}

// TestRequirement04AtTheSameTime: all targets are asked before one has answered; the result is in their order.
func TestRequirement04AtTheSameTime(t *testing.T) {
	g := newRig(t, lab.Config{}, func(c *Config, _ *Options) {
		at := strings.TrimPrefix(c.VendordataDynamicTargets[0], "x@")
		c.VendordataDynamicTargets = nil
		for _, name := range []string{"c", "a", "b"} {
			c.VendordataDynamicTargets = append(c.VendordataDynamicTargets, name+"@"+at+name)
		}
	})
	for _, name := range []string{"a", "b", "c"} {
		g.lab.SetAnswer("/x"+name, []byte(`"`+name+`"`))
	}
	g.faults(lab.Fault{Name: lab.Held})
	done := make(chan Answers)
	go func() {
		a, err := g.Fetch(t.Context(), example)
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	if err := g.lab.Wait(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	g.faults()
	a := <-done
	if got := string(a.VendorData2(nil)); got != `{"a":"a","b":"b","c":"c"}` {
		t.Errorf("%s", got)
	}
	var order []string
	for _, r := range g.Report(a) {
		order = append(order, r.Name)
	}
	if strings.Join(order, "") != "cab" {
		t.Errorf("the order is %v", order)
	}
	g.asked(3)
}

// TestRequirement05Redirects: nothing follows one to another server; on the same server the same is posted again, not for ever.
func TestRequirement05Redirects(t *testing.T) {
	elsewhere := lab.New(lab.Config{})
	if err := elsewhere.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = elsewhere.Close() }()
	signed := func(c *Config, o *Options) { o.Signer, c.VendordataDynamicAllowHTTPAuth = &keys{}, true }
	g := newRig(t, lab.Config{}, signed)
	here := strings.TrimPrefix(g.lab.URL(), "http://")
	for _, to := range []string{elsewhere.URL() + "/canary", "//" + strings.TrimPrefix(elsewhere.URL(), "http://") + "/", "https://" + here, "http://user:canary@" + here, "ftp://" + here,
		"http://[::1/canary", "file:///etc/passwd", "mailto:canary"} {
		g.faults(lab.Fault{Name: lab.Redirect, Location: to, Times: 1})
		before := g.lab.Count()
		a := g.fetch()
		if r := g.Report(a)[0]; r.Failed != Redirected && r.Failed != Broken || strings.Contains(r.Why, "canary") {
			t.Errorf("%s: %+v", to, r)
		}
		g.asked(before + 1)
	}
	if elsewhere.Count() != 0 {
		t.Errorf("the other server saw %+v", elsewhere.Requests())
	}

	g = newRig(t, lab.Config{}, signed)
	g.faults(lab.Fault{Name: lab.RedirectHere, Times: 2})
	if a := g.fetch(); a.Why() != "" || number(a) != 1 {
		t.Errorf("redirects on the same server: %s", a.Why())
	}
	all := g.lab.Requests()
	if len(all) != 3 || all[2].Path != "/moved/moved/x" || all[2].Body != all[0].Body || all[2].Header.Get("X-Auth-Token") != "token-a" {
		t.Errorf("they were followed with %+v", all)
	}
	g.faults(lab.Fault{Name: lab.RedirectHere})
	if a := g.fetch(); g.Report(a)[0].Failed != Redirected {
		t.Error("redirects without end are followed")
	}
	g.asked(3 + 1 + maxRedirects)
}

// A target that does not know who asks any more gets one more request, with a renewed proof.
func TestRenewedOnce(t *testing.T) {
	signed := func(c *Config, o *Options) { o.Signer, c.VendordataDynamicAllowHTTPAuth = &keys{}, true }
	g := newRig(t, lab.Config{Token: "token-b"}, signed)
	if a := g.fetch(); a.Why() != "" {
		t.Error(a.Why())
	}
	g.asked(2)
	g = newRig(t, lab.Config{Token: "another"}, signed)
	if a := g.fetch(); g.Report(a)[0].Failed != Refused || g.Report(a)[0].Status != 401 {
		t.Errorf("%+v", g.Report(a))
	}
	g.asked(2)
	g = newRig(t, lab.Config{Token: "another"}, nil)
	g.fetch()
	g.asked(1)
	for err, want := range map[error]string{errors.New("canary"): "See the log", fault.New(fault.Unavailable, "Keystone is away."): "Keystone is away"} {
		g = newRig(t, lab.Config{}, func(c *Config, o *Options) { o.Signer, c.VendordataDynamicAllowHTTPAuth = refusing{err}, true })
		if r := g.Report(g.fetch())[0]; r.Failed != Unsigned || !strings.Contains(r.Why, want) || strings.Contains(r.Why, "canary") {
			t.Errorf("%+v", r)
		}
		g.asked(0)
	}
}

type refusing struct{ err error }

func (r refusing) Sign(context.Context, *http.Request, []byte) error { return r.err }
func (refusing) Renew(context.Context, *http.Request) bool           { return false }

func TestTLS(t *testing.T) {
	cert, err := lab.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, lab.Config{Certificate: &cert}, nil)
	if a := g.fetch(); a.Why() != "" {
		t.Error(a.Why())
	}
	g.faults(lab.Fault{Name: lab.WrongTLS})
	if r := g.Report(g.fetch())[0]; r.Failed != Untrusted {
		t.Errorf("another certificate: %+v", r)
	}
	g.asked(1)
	g = newRig(t, lab.Config{Certificate: &cert}, func(c *Config, _ *Options) { c.VendordataDynamicSSLCertfile = "" })
	if r := g.Report(g.fetch())[0]; r.Failed != Untrusted {
		t.Errorf("a CA that this host does not know: %+v", r)
	}
	g = newRig(t, lab.Config{}, func(c *Config, _ *Options) {
		c.VendordataDynamicTargets[0] = strings.Replace(c.VendordataDynamicTargets[0], "http:", "https:", 1)
	})
	if r := g.Report(g.fetch())[0]; r.Failed != Untrusted {
		t.Errorf("a server without TLS: %+v", r)
	}
	other, err := lab.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	g = newRig(t, lab.Config{Certificate: &other}, nil)
	for _, c := range []struct {
		file tls.Certificate
		word string
	}{{cert, Untrusted}, {other, ""}} { // a new file counts without a restart
		if err := os.WriteFile(g.config.VendordataDynamicSSLCertfile, lab.PEM(c.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := g.Report(g.fetch())[0]; r.Failed != c.word {
			t.Errorf("%+v, want %q", r, c.word)
		}
	}
	c := configured("x@https://127.0.0.1/")
	for _, bad := range []string{"/nonexistent/ca.pem", "/dev/null"} {
		c.VendordataDynamicSSLCertfile = bad
		if _, err := New(c, Options{}, quiet()); err == nil || !strings.Contains(err.Error(), "vendordata_dynamic_ssl_certfile") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A client certificate is asked for by the target and given by Options.
func TestClientCertificateIsShown(t *testing.T) {
	server, err := lab.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	g := newRig(t, lab.Config{Certificate: &server, ClientCAs: pool(t, server)}, func(_ *Config, o *Options) {
		o.ClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked++
			return &tls.Certificate{}, nil
		}
	})
	if r := g.Report(g.fetch())[0]; r.Failed == "" || asked == 0 {
		t.Errorf("without a certificate: %+v, asked %d times", r, asked)
	}
}

// TestRequirement06EveryFault: in hard mode each fault of a target is an error that names target and reason, and nothing else.
func TestRequirement06EveryFault(t *testing.T) {
	words := map[string]string{lab.Drip: Late, lab.Oversize: TooLarge, lab.Redirect: Redirected, lab.RedirectHere: Redirected, lab.BadJSON: NotJSON, lab.HTML: NotJSON, lab.Deep: NotJSON,
		lab.Status500: Refused, lab.Status401: Refused, lab.Unasked304: Redirected, lab.WrongTLS: Untrusted, lab.NoAnswer: Late, lab.Held: Late, lab.Cut: Broken, lab.Gone: Broken, lab.Garbage: Broken,
		lab.Status204: "", lab.Empty: ""}
	cert, err := lab.NewCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range lab.FaultNames() {
		word, known := words[name]
		if !known {
			t.Errorf("%s: a fault that nobody tests", name)
		}
		g := newRig(t, lab.Config{Certificate: &cert}, func(c *Config, o *Options) {
			quick(c, o)
			if word != Late {
				c.VendordataDynamicTotalTimeout = 20 * time.Second
			}
			c.VendordataDynamicFailureFatal = true
		})
		g.faults(lab.Fault{Name: name})
		a, err := g.Fetch(t.Context(), example)
		if word == "" {
			if err != nil || string(a.VendorData2(nil)) != `{"x":{}}` || strings.Contains(g.logs.String(), "WARN") {
				t.Errorf("%s: %v, %s, %s", name, err, a.VendorData2(nil), g.logs)
			}
			continue
		}
		public, _ := fault.PublicOf(err)
		if fault.KindOf(err) != fault.Unavailable || !strings.HasPrefix(public, `The vendordata target "x" `) || g.Report(a)[0].Failed != word {
			t.Errorf("%s: %v, %+v", name, err, g.Report(a))
		}
		_ = g.lab.Close()
	}
}

// TestRequirement16NothingIsTold: whatever goes wrong, errors, reports and the log have no word of what was sent or answered.
func TestRequirement16NothingIsTold(t *testing.T) {
	r := Request{ProjectID: "p", InstanceID: "i", Hostname: "h", UserData: secret.New("user-canary"), Metadata: map[string]string{"k": "meta-canary"}}
	for _, name := range append(lab.FaultNames(), "none") {
		g := newRig(t, lab.Config{Caching: lab.Caching{CacheControl: "max-age=60, stale-if-error=60"}}, func(c *Config, o *Options) {
			quick(c, o)
			o.Signer, c.VendordataDynamicAllowHTTPAuth = refusing{}, true
			c.VendordataDynamicTargets[0] = strings.Replace(c.VendordataDynamicTargets[0], "http://", "http://url-canary:url-canary@", 1) + "?token=url-canary"
		})
		if name != "none" {
			g.faults(lab.Fault{Name: name, Location: "http://answer-canary.invalid/"})
		}
		g.lab.SetAnswer("/x", json.RawMessage(`"answer-canary"`))
		a, err := g.Fetch(t.Context(), r)
		fresh, freshErr := g.Fresh(t.Context(), "i", r, older(a, 61*time.Second))
		report, _ := json.Marshal(g.Report(fresh))
		all := fmt.Sprintf("%v %+v %#v %s %v %v %+v %s %s", a, a, a, a.Why(), err, freshErr, fresh, report, g.logs)
		if i := strings.Index(all, "canary"); i >= 0 && !strings.Contains(a.Why(), "host name") {
			t.Errorf("%s: …%s…", name, all[max(0, i-100):min(len(all), i+100)])
		}
		if head := g.lab.Requests(); len(head) > 0 && head[0].Header.Get("Authorization") == "" {
			t.Errorf("%s: the user in the URL is not shown to the target", name)
		}
		_ = g.lab.Close()
	}
}

// When the caller's time ends nobody has failed.
func TestTheCallersEndIsNoFailure(t *testing.T) {
	g := newRig(t, lab.Config{}, func(c *Config, _ *Options) { c.VendordataDynamicFailureFatal = true })
	g.faults(lab.Fault{Name: lab.NoAnswer})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_ = g.lab.Wait(ctx, 1)
		cancel()
	}()
	if a, err := g.Fetch(ctx, example); !errors.Is(err, context.Canceled) || len(a.Failed()) != 0 {
		t.Errorf("%v, %v", err, a.Failed())
	}
	if g.logs.String() != "" {
		t.Errorf("logged: %s", g.logs)
	}
}

// A target that is down is logged once, not for each instance, and once when it is back.
func TestADownTargetIsLoggedOnce(t *testing.T) {
	var told []string
	g := newRig(t, lab.Config{}, func(_ *Config, o *Options) {
		o.Watch = func(target, outcome string, _ time.Duration) { told = append(told, target+" "+outcome) }
	})
	g.faults(lab.Fault{Name: lab.Status500, Times: 3})
	for range 5 {
		g.fetch()
	}
	if log := g.logs.String(); strings.Count(log, "level=WARN") != 1 || strings.Count(log, "level=INFO") != 1 {
		t.Errorf("logged:\n%s", log)
	}
	if got := strings.Join(told, ", "); got != "x status, x status, x status, x asked, x asked" {
		t.Errorf("counted: %s", got)
	}
}
