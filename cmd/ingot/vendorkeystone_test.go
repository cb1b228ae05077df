package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/keystone/keystonetest"
)

// keystoneRig is a server whose callers log in at a real Keystone, with a vendordata target behind the real keystonemiddleware.
type keystoneRig struct {
	t        *testing.T
	k        *keystonetest.Cloud
	target   *keystonetest.Target
	r        *running
	metadata string // the URL that a proxy of instances asks
	node     string // UUID
	sent     []string
}

const proxySecret = "between-proxy-and-server"

func newKeystoneRig(t *testing.T) *keystoneRig {
	t.Helper()
	g := &keystoneRig{t: t, k: keystonetest.Start(t)}
	g.target = g.k.Target()
	g.k.Grant("ingot", "service", "service")
	g.k.Grant("vendor", "service", "reader")
	g.k.Grant("worker", "blue", "member", "mail-operator")
	dir := t.TempDir()
	at, err := free()
	if err != nil {
		t.Fatal(err)
	}
	g.metadata = "http://" + at
	user := func(section, name string) []string {
		return []string{"[" + section + "]", "auth_url = " + g.k.URL + "/v3", "username = " + name, "password = " + keystonetest.Password}
	}
	lines := slices.Concat([]string{"[DEFAULT]", "debug = true", "enabled_hardware_types = fake-hardware", "auth_strategy = keystone", "[conductor]", "automated_clean = false",
		"[api]", "vendordata_providers = DynamicJSON", "vendordata_dynamic_targets = site@" + g.target.URL + "/x", "vendordata_dynamic_allow_http_auth = true",
		"vendordata_dynamic_failure_fatal = true", "vendordata_dynamic_default_max_age = 0", "vendordata_dynamic_read_timeout = 60", "vendordata_dynamic_total_timeout = 60",
		"[neutron]", "service_metadata_proxy = true", "metadata_proxy_shared_secret = " + proxySecret}, user("keystone_authtoken", "ingot"), user("vendordata_dynamic_auth", "vendor"))
	conf := filepath.Join(dir, "ingot.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.r = serving(t, dir, "--config", conf, "--data", filepath.Join(dir, "data"), "--metadata-listen", at)
	return g
}

// call speaks to the API with a token.
func (g *keystoneRig) call(token, method, path string, body any, want int) []byte {
	g.t.Helper()
	g.sent = append(g.sent, token)
	var in bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&in).Encode(body); err != nil {
			g.t.Fatal(err)
		}
	}
	return g.send(method, g.r.url+path, &in, want, "X-Auth-Token", token, "X-OpenStack-Ironic-API-Version", "latest", "Content-Type", "application/json")
}

func (g *keystoneRig) send(method, url string, in io.Reader, want int, headers ...string) []byte {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, url, in)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		g.t.Fatalf("%s %s: %s, %v\n%s\n%s", method, url, resp.Status, err, out, g.r.log)
	}
	return out
}

// verb moves the node, and waits until it is there.
func (g *keystoneRig) verb(token string, body object, state string) {
	g.t.Helper()
	g.call(token, "PUT", "/v1/nodes/"+g.node+"/states/provision", body, 202)
	patiently(g.t, "the state "+state, func() bool {
		var n struct {
			State  string `json:"provision_state"`
			Target any    `json:"target_provision_state"`
			Why    string `json:"last_error"`
		}
		if err := json.Unmarshal(g.call(token, "GET", "/v1/nodes/"+g.node, nil, 200), &n); err != nil {
			g.t.Fatal(err)
		}
		if strings.HasSuffix(n.State, "failed") || n.State == "error" {
			g.t.Fatalf("%s: %s", n.State, n.Why)
		}
		return n.State == state && n.Target == nil
	})
}

// told is what a target answered: who it saw, and for whom it was asked.
type told struct {
	Site struct {
		Saw   map[string]string `json:"who"`
		Asked struct {
			Roles    string `json:"boot-roles"`
			Project  string `json:"project-id"`
			Instance string `json:"instance-id"`
		} `json:"asked"`
	} `json:"site"`
}

// instance asks the metadata service as the instance does, through a proxy that signs. What it sends of its own is nobody's business.
func (g *keystoneRig) instance(project, token string) told {
	g.t.Helper()
	mac := hmac.New(sha256.New, []byte(proxySecret))
	mac.Write([]byte(g.node))
	text := g.send("GET", g.metadata+"/openstack/latest/vendor_data2.json", nil, 200, "X-Instance-ID", g.node, "X-Tenant-ID", project,
		"X-Instance-ID-Signature", hex.EncodeToString(mac.Sum(nil)), "X-Auth-Token", token)
	var out told
	if err := json.Unmarshal(text, &out); err != nil {
		g.t.Fatalf("%v: %s", err, text)
	}
	return out
}

// TestRequirement09WithKeystone: a user deploys, loses a role, and the instance boots again and again: its target sees this server's own
// token and never the user's, and the roles that the user had when it deployed.
func TestRequirement09WithKeystone(t *testing.T) {
	t.Parallel()
	g := newKeystoneRig(t)
	blue := g.k.Project("blue")
	root, worker := g.k.Token(keystonetest.Admin, "system"), g.k.Token("worker", "blue")
	var made struct{ UUID string }
	if err := json.Unmarshal(g.call(root, "POST", "/v1/nodes", object{"driver": "fake-hardware", "name": "one", "owner": blue, "instance_info": object{"image_source": "http://198.51.100.1/i", "image_checksum": strings.Repeat("0", 64)}}, 201), &made); err != nil {
		t.Fatal(err)
	}
	g.node = made.UUID
	g.verb(root, object{"target": "manage"}, "manageable")
	g.verb(root, object{"target": "provide"}, "available")

	// The deployment asks the target once. Nobody waits with a token by then: an instance's first boot has no user.
	g.verb(worker, object{"target": "active"}, "active")
	seen := g.target.Seen()
	if len(seen) != 1 || seen[0].Status != 200 {
		t.Fatalf("the target was asked %d times by a deployment", len(seen))
	}
	const roles = "mail-operator,member,reader"
	check := func(when string, got told) {
		t.Helper()
		in := strings.Split(got.Site.Asked.Roles, ",")
		slices.Sort(in)
		if strings.Join(in, ",") != roles || got.Site.Asked.Project != blue || got.Site.Asked.Instance != g.node {
			t.Errorf("%s: the target was told %+v", when, got.Site.Asked)
		}
		if got.Site.Saw["user_name"] != "vendor" || got.Site.Saw["project_name"] != "service" || got.Site.Saw["identity_status"] != "Confirmed" {
			t.Errorf("%s: the target saw %v", when, got.Site.Saw)
		}
	}
	check("the first boot", g.instance(blue, worker))

	// The role is taken away: Keystone's tokens of the user have it no more. The instance keeps what it was deployed with.
	g.k.Deny("worker", "blue", "mail-operator")
	worker = g.k.Token("worker", "blue")
	if now := g.k.Roles(worker); slices.Contains(now, "mail-operator") {
		t.Fatalf("the user has %v still", now)
	}
	check("after the role was taken away", g.instance(blue, worker))
	before := len(g.target.Seen())
	g.verb(worker, object{"target": "rebuild"}, "active")
	if now := g.target.Seen()[before:]; len(now) != 1 || !strings.Contains(now[0].Body, "mail-operator") {
		t.Errorf("a rebuild asked %d times, or forgot the roles", len(now))
	}
	check("after a rebuild", g.instance(blue, worker))

	// A token that is revoked is replaced; the instance does not notice.
	last := g.target.Seen()
	g.k.Revoke(last[len(last)-1].Headers["x_auth_token"])
	check("after this server's token was revoked", g.instance(blue, worker))
	if now := g.target.Seen()[len(last):]; len(now) != 2 || now[0].Status != 401 || now[1].Status != 200 {
		t.Errorf("after a revoked token: %d requests", len(now))
	}
	g.noneOfTheUsers()
}

// noneOfTheUsers looks for the users' tokens in what came to the target, and for all tokens in the log.
func (g *keystoneRig) noneOfTheUsers() {
	g.t.Helper()
	log := g.r.log.String()
	for _, one := range g.target.Seen() {
		all := fmt.Sprint(one)
		for _, token := range g.sent {
			if strings.Contains(all, token) {
				g.t.Error("the target saw a user's token")
			}
		}
		if strings.Contains(log, one.Headers["x_auth_token"]) {
			g.t.Error("this server's token is in its log")
		}
		if one.Headers["x_service_token"] != "" {
			g.t.Error("the target saw a service token beside the token")
		}
	}
	for _, hidden := range append(g.sent, keystonetest.Password, proxySecret) {
		if strings.Contains(log, hidden) {
			g.t.Error("a user's token, a password or the proxy's secret is in the log")
		}
	}
}
