package vendordata

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/keystone/keystonetest"
	"ingot/internal/secret"
)

// proven is a target behind keystonemiddleware that is asked by a server with a user of its own, "ingot".
type proven struct {
	*keystonetest.Cloud
	target *keystonetest.Target
	said   *bytes.Buffer // the log, with everything
}

// service asks targets. keystone is where it logs in.
func (p *proven) service(t *testing.T, keystone string, change func(*Config, *AuthConfig), targets ...string) *Service {
	t.Helper()
	auth := AuthDefaults()
	auth.AuthURL, auth.Username, auth.Password = keystone, "ingot", secret.New(keystonetest.Password)
	c := configured(targets...)
	c.VendordataDynamicAllowHTTPAuth = true
	c.VendordataDynamicReadTimeout, c.VendordataDynamicTotalTimeout = time.Minute, time.Minute
	if change != nil {
		change(&c, &auth)
	}
	log := slog.New(slog.NewJSONHandler(p.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o, err := Prove(auth, ProofConfig{}, log)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// fetch asks once; the target must take it.
func (p *proven) fetch(t *testing.T, s *Service) (who map[string]string, seen []keystonetest.Seen) {
	t.Helper()
	before := len(p.target.Seen())
	a, err := s.Fetch(t.Context(), example)
	if err != nil || len(a.Failed()) > 0 {
		t.Fatalf("%v, %s", err, a.Why())
	}
	var all struct {
		X struct {
			Who   map[string]string
			Asked struct {
				Roles string `json:"boot-roles"`
			}
		}
	}
	if err := json.Unmarshal(a.VendorData2(nil), &all); err != nil {
		t.Fatal(err)
	}
	if all.X.Asked.Roles != "member,reader" {
		t.Errorf("the target was told the roles %q", all.X.Asked.Roles)
	}
	return all.X.Who, p.target.Seen()[before:]
}

// TestRequirement05WithKeystone is a target behind the real keystonemiddleware, asked by nobody's request but a deployment's: it sees
// the token of this server's own user, and no other; the token goes nowhere else. Everything is one test: making a Keystone takes seconds.
func TestRequirement05WithKeystone(t *testing.T) {
	t.Parallel()
	p := &proven{Cloud: keystonetest.Start(t), said: &bytes.Buffer{}}
	p.target = p.Target()
	p.Grant("ingot", "service", "reader")
	t.Run("first boot", p.firstBoot)
	t.Run("expired", p.expired)
	t.Run("revoked", p.revoked)
	t.Run("redirected", p.redirected)
	t.Run("refused", p.refused)
	t.Run("down", p.down) // last: it ends Keystone
	for _, one := range p.target.Seen() {
		if token := one.Headers["x_auth_token"]; token == "" || strings.Contains(p.said.String(), token) {
			t.Errorf("no token, or one that is in the log: status %d", one.Status)
		}
	}
	if strings.Contains(p.said.String(), keystonetest.Password) {
		t.Error("the password is in the log")
	}
}

// No user asks, and the target takes it: the service's own user does.
func (p *proven) firstBoot(t *testing.T) {
	s := p.service(t, p.URL, nil, "X@"+p.target.URL+"/x")
	who, seen := p.fetch(t, s)
	if who["user_name"] != "ingot" || who["project_name"] != "service" || who["identity_status"] != "Confirmed" || !strings.Contains(who["roles"], "reader") {
		t.Errorf("the target sees %v", who)
	}
	if len(seen) != 1 || seen[0].Headers["x_service_token"] != "" || seen[0].Headers["authorization"] != "" || who["service_identity_status"] != "" {
		t.Errorf("more was sent than one token: %d requests", len(seen))
	}
	if _, again := p.fetch(t, s); again[0].Headers["x_auth_token"] != seen[0].Headers["x_auth_token"] {
		t.Error("two requests, two log-ins")
	}
	if code := post(t, p.target.URL+"/x", ""); code != http.StatusUnauthorized {
		t.Errorf("the target answers nobody with %d", code)
	}
	if code := post(t, p.target.URL+"/x", "gAAAAAB"+strings.Repeat("x", 100)); code != http.StatusUnauthorized {
		t.Errorf("the target answers a forged token with %d", code)
	}
}

func post(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", "nobody")
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Tokens that live for seconds are renewed before their end: the target refuses none.
func (p *proven) expired(t *testing.T) {
	h := p.Hasty(6 * time.Second)
	defer h.Stop()
	s := p.service(t, h.URL, nil, "X@"+p.target.URL+"/x")
	tokens := map[string]bool{}
	for len(tokens) < 2 {
		_, seen := p.fetch(t, s)
		if len(seen) != 1 {
			t.Fatalf("%d requests for one question", len(seen))
		}
		tokens[seen[0].Headers["x_auth_token"]] = true
		time.Sleep(50 * time.Millisecond) // some of the token's life
	}
}

// A token that is revoked is refused once; the request is sent again once, with another.
func (p *proven) revoked(t *testing.T) {
	s := p.service(t, p.URL, nil, "X@"+p.target.URL+"/x")
	_, first := p.fetch(t, s)
	p.Revoke(first[0].Headers["x_auth_token"])
	_, seen := p.fetch(t, s)
	if len(seen) != 2 || seen[0].Status != 401 || seen[1].Status != 200 || seen[0].Headers["x_auth_token"] != first[0].Headers["x_auth_token"] ||
		seen[1].Headers["x_auth_token"] == seen[0].Headers["x_auth_token"] || seen[0].Body != seen[1].Body {
		t.Errorf("%d requests", len(seen))
	}
}

// A target that sends elsewhere is not followed: no token comes there.
func (p *proven) redirected(t *testing.T) {
	came := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came++ }))
	defer elsewhere.Close()
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/x", http.StatusTemporaryRedirect)
	}))
	defer door.Close()
	a, err := p.service(t, p.URL, nil, "X@"+door.URL+"/x").Fetch(t.Context(), example)
	if err != nil || len(a.Failed()) != 1 || came != 0 {
		t.Errorf("%v, failed %v, %d requests came elsewhere", err, a.Failed(), came)
	}
}

// A target that takes no token is asked twice, and after that Keystone is left alone for a while.
func (p *proven) refused(t *testing.T) {
	var tokens []string
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("X-Auth-Token"))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer door.Close()
	s := p.service(t, p.URL, nil, "X@"+door.URL+"/x")
	for range 2 {
		if a, err := s.Fetch(t.Context(), example); err != nil || len(a.Failed()) != 1 || !strings.Contains(a.Why(), "401") {
			t.Errorf("%v, %s", err, a.Why())
		}
	}
	if len(tokens) != 3 || tokens[0] == tokens[1] || tokens[1] != tokens[2] {
		t.Errorf("%d requests", len(tokens))
	}
}

// Without Keystone, or with a wrong password, the target has failed: it is not asked, and nothing escapes.
func (p *proven) down(t *testing.T) {
	wrong := p.service(t, p.URL, func(_ *Config, a *AuthConfig) { a.Password = secret.New("hunter2") }, "X@"+p.target.URL+"/x")
	known := p.service(t, p.URL, nil, "X@"+p.target.URL+"/x")
	p.fetch(t, known)
	before := len(p.target.Seen())
	check := func(name string, s *Service) {
		t.Helper()
		a, err := s.Fetch(t.Context(), example)
		if err != nil || len(a.Failed()) != 1 || string(a.VendorData2(nil)) != `{"X":{}}` || s.Report(a)[0].Failed != Unsigned {
			t.Errorf("%s: %v, %s", name, err, a.Why())
		}
		if n := len(p.target.Seen()) - before; n != 0 {
			t.Errorf("%s: the target was asked %d times", name, n)
		}
	}
	check("wrong password", wrong)
	if strings.Contains(p.said.String(), "hunter2") {
		t.Error("the wrong password is in the log")
	}
	p.Stop()
	check("down", p.service(t, p.URL, nil, "X@"+p.target.URL+"/x"))
	fatal := p.service(t, p.URL, func(c *Config, _ *AuthConfig) { c.VendordataDynamicFailureFatal = true }, "X@"+p.target.URL+"/x")
	_, err := fatal.Fetch(t.Context(), example)
	if public, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Unavailable || !strings.Contains(public, `"X"`) || !strings.Contains(public, "[vendordata_dynamic_auth]") || strings.Contains(public, "127.0.0.1") {
		t.Errorf("fatal: %v", err)
	}
	if n := strings.Count(p.said.String(), "there is no token for vendordata targets"); n != 3 {
		t.Errorf("told the log %d times for three services", n)
	}
}

// What is configured by half is told at the start.
func TestProveChecks(t *testing.T) {
	for _, c := range []struct {
		change func(*AuthConfig, *ProofConfig)
		says   string
	}{
		{func(a *AuthConfig, _ *ProofConfig) { a.AuthURL = "http://k" }, "[vendordata_dynamic_auth] username, password: not set"},
		{func(a *AuthConfig, _ *ProofConfig) { a.Username = "u" }, "[vendordata_dynamic_auth] auth_url, password: not set"},
		{func(a *AuthConfig, _ *ProofConfig) { a.AuthType, a.Username = "none", "u" }, ""},
		{func(_ *AuthConfig, p *ProofConfig) { p.VendordataDynamicClientKeyfile = "/k" }, "go together"},
		{func(_ *AuthConfig, p *ProofConfig) {
			p.VendordataDynamicClientKeyfile, p.VendordataDynamicClientCertfile = "/nonexistent", "/nonexistent"
		}, "[api] vendordata_dynamic_client_certfile: open"},
		{func(_ *AuthConfig, p *ProofConfig) { p.VendordataDynamicSigningKeyfile = "/nonexistent" }, "[api] vendordata_dynamic_signing_keyfile: open"},
		{func(*AuthConfig, *ProofConfig) {}, ""},
	} {
		a, p := AuthDefaults(), ProofConfig{}
		c.change(&a, &p)
		o, err := Prove(a, p, quiet())
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.says, err)
		}
		if err == nil && (o.Signer != nil || o.ClientCertificate != nil) {
			t.Errorf("%+v: something is shown", a.AuthType)
		}
	}
}

func TestKeyfiles(t *testing.T) {
	good := strings.Repeat("A", 43) + "="
	for text, says := range map[string]string{
		"":                          "no key in it",
		"# a comment\n\n":           "no key in it",
		good:                        "line 1 is no NAME:BASE64",
		"\na:***":                   "line 2 is no NAME:BASE64",
		"a:QUFB":                    "line 1: the key has less than 32 bytes",
		"a b:" + good:               "line 1: a key's name",
		":" + good:                  "line 1: a key's name",
		"a:" + good + "\na:" + good: "line 2: the name of its key is used before",
		"# old\n b:" + good + "\r\na:" + good + "\n": "",
	} {
		keys, err := parseKeys([]byte(text))
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "***")) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && (len(keys) != 2 || keys[0].name != "b") {
			t.Errorf("%d keys", len(keys))
		}
	}
}
