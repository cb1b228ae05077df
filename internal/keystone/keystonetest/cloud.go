package keystonetest

import (
	"bytes"
	_ "embed" // the program
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:embed keystone.py
var program string

// Admin may do everything, in the system and in the project service. Its domain is Default, as that of everybody here.
const Admin = "root"

// Password is that of all users.
const Password = "not-a-secret"

// Object is a JSON object.
type Object = map[string]any

// Cloud is a Keystone. Its region is "here".
type Cloud struct {
	Folder
	URL  string // without /v3
	Stop func()

	conf  string
	token string // Admin's, of the project service
}

// Installed tells whether Keystone is.
func Installed() bool {
	return exec.Command(Python, "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('keystone'))").Run() == nil
}

// Start starts one, or skips.
func Start(t *testing.T) *Cloud {
	t.Helper()
	if !Installed() {
		t.Skip("Keystone is not installed: scripts/prepare.sh installs it")
	}
	c := &Cloud{Folder: Folder{T: t, Dir: t.TempDir()}}
	port := c.FreePort()
	c.URL = "http://127.0.0.1:" + port
	c.conf = c.Write("keystone.conf", fmt.Sprintf("[DEFAULT]\nlog_file = %[1]s/keystone.log\n[database]\nconnection = sqlite:///%[1]s/keystone.db\n[fernet_tokens]\nkey_repository = %[1]s/fernet\n[fernet_receipts]\nkey_repository = %[1]s/fernet\n"+
		"[credential]\nkey_repository = %[1]s/credential\n[token]\nprovider = fernet\nallow_expired_window = 3600\n[identity]\npassword_hash_rounds = 4\n", c.Dir))
	c.Keys("fernet")
	c.Keys("credential")
	c.Database("keystone.db")
	c.Run("keystone-manage", "--config-file", c.conf, "db_sync")
	c.Run("keystone-manage", "--config-file", c.conf, "bootstrap", "--bootstrap-username", Admin, "--bootstrap-password", Password,
		"--bootstrap-project-name", "service", "--bootstrap-public-url", c.URL+"/v3/", "--bootstrap-internal-url", c.URL+"/v3/", "--bootstrap-region-id", "here")
	c.Stop = c.Serve("keystone", c.URL+"/v3/", nil, "-c", program, port, c.conf)
	c.Login()
	return c
}

// Hasty is another Keystone on the same database and keys, whose tokens live for a few seconds.
func (c *Cloud) Hasty(life time.Duration) *Cloud {
	c.T.Helper()
	text, err := os.ReadFile(c.conf)
	if err != nil {
		c.T.Fatal(err)
	}
	h := *c
	port := c.FreePort()
	h.URL = "http://127.0.0.1:" + port
	h.conf = c.Write("hasty.conf", strings.Replace(string(text), "[token]\n", fmt.Sprintf("[token]\nexpiration = %d\n", int(life.Seconds())), 1))
	h.Stop = h.Serve("hasty", h.URL+"/v3/", nil, "-c", program, port, h.conf)
	return &h
}

// Login takes a new token for the calls below.
func (c *Cloud) Login() {
	c.T.Helper()
	c.login(Password)
}

// login takes tokens until one is good: Keystone knows seconds only, and takes none of the second in which it revoked others.
func (c *Cloud) login(password string) {
	c.T.Helper()
	for limit := time.Now().Add(StartLimit); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		c.token = c.tokenOf(Admin, "service", password)
		if c.Good(c.token) {
			return
		}
	}
	c.T.Fatal("Keystone gives no token that it takes")
}

// AdminToken is a token of Admin's in the project service.
func (c *Cloud) AdminToken() string { return c.token }

// Token logs a user in to a project, or to the "system".
func (c *Cloud) Token(user, scope string) string {
	c.T.Helper()
	return c.tokenOf(user, scope, Password)
}

func (c *Cloud) tokenOf(user, scope, password string) string {
	c.T.Helper()
	in := Object{"system": Object{"all": true}}
	if scope != "system" {
		in = Object{"project": Object{"name": scope, "domain": Object{"name": "Default"}}}
	}
	return c.CallAs("", http.MethodPost, c.URL+"/v3/auth/tokens", Object{"auth": Object{"scope": in, "identity": Object{"methods": []string{"password"},
		"password": Object{"user": Object{"name": user, "domain": Object{"name": "Default"}, "password": password}}}}}, nil).Get("X-Subject-Token")
}

// Good tells whether Keystone takes a token.
func (c *Cloud) Good(token string) bool {
	c.T.Helper()
	r, err := http.NewRequestWithContext(c.T.Context(), http.MethodHead, c.URL+"/v3/auth/tokens", nil)
	if err != nil {
		c.T.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("X-Subject-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.T.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Roles are those that a token has now.
func (c *Cloud) Roles(token string) (out []string) {
	c.T.Helper()
	var is struct {
		Token struct{ Roles []struct{ Name string } }
	}
	if err := json.Unmarshal(c.about(http.MethodGet, token, http.StatusOK), &is); err != nil {
		c.T.Fatal(err)
	}
	for _, r := range is.Token.Roles {
		out = append(out, r.Name)
	}
	return out
}

// Revoke makes one token worthless.
func (c *Cloud) Revoke(token string) {
	c.T.Helper()
	c.about(http.MethodDelete, token, http.StatusNoContent)
}

// about asks Keystone about a token.
func (c *Cloud) about(method, token string, want int) []byte {
	c.T.Helper()
	r, err := http.NewRequestWithContext(c.T.Context(), method, c.URL+"/v3/auth/tokens", nil)
	if err != nil {
		c.T.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", c.token)
	r.Header.Set("X-Subject-Token", token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.T.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != want {
		c.T.Fatalf("%s of a token: %s", method, resp.Status)
	}
	return text
}

// RevokeAll makes every token of Admin's worthless, those of others who use it too; the calls below log in again.
func (c *Cloud) RevokeAll() {
	c.T.Helper()
	old, id := c.token, c.Find("users", Admin)
	for _, password := range []string{Password + "2", Password} { // a new password revokes what the old one gave
		c.Call(http.MethodPatch, "/users/"+id, Object{"user": Object{"password": password}}, nil)
		c.login(password)
	}
	if c.Good(old) {
		c.T.Fatal("Keystone still takes a token that is revoked")
	}
}

// Call speaks to Keystone as Admin; path is below /v3.
func (c *Cloud) Call(method, path string, body, out any) http.Header {
	c.T.Helper()
	return c.CallAs(c.token, method, c.URL+"/v3"+path, body, out)
}

// CallAs speaks to any service with a token.
func (c *Cloud) CallAs(token, method, url string, body, out any) http.Header {
	c.T.Helper()
	var in io.Reader
	if body != nil {
		j, err := json.Marshal(body)
		if err != nil {
			c.T.Fatal(err)
		}
		in = bytes.NewReader(j)
	}
	r, err := http.NewRequestWithContext(c.T.Context(), method, url, in)
	if err != nil {
		c.T.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.T.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		c.T.Fatalf("%s %s: %s %s", method, url, resp.Status, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			c.T.Fatal(err)
		}
	}
	return resp.Header
}

// Find is the id of what has a name: of users, projects or roles. It is "" if there is none.
func (c *Cloud) Find(kinds, name string) string {
	c.T.Helper()
	var found map[string]json.RawMessage
	c.Call(http.MethodGet, "/"+kinds+"?name="+name, nil, &found)
	var all []struct{ ID, Name string }
	if err := json.Unmarshal(found[kinds], &all); err != nil {
		c.T.Fatal(err)
	}
	if i := slices.IndexFunc(all, func(o struct{ ID, Name string }) bool { return o.Name == name }); i >= 0 {
		return all[i].ID
	}
	return ""
}

// make is the id of what has a name, made if it is not there.
func (c *Cloud) make(kind string, what Object) string {
	c.T.Helper()
	if id := c.Find(kind+"s", what["name"].(string)); id != "" {
		return id
	}
	var made map[string]struct{ ID string }
	c.Call(http.MethodPost, "/"+kind+"s", Object{kind: what}, &made)
	return made[kind].ID
}

// Project is the id of a project of the domain Default, made if it is not there.
func (c *Cloud) Project(name string) string {
	c.T.Helper()
	return c.make("project", Object{"name": name, "domain_id": "default"})
}

// Grant gives a user roles in a project, or in the "system". What is missing is made. Its tokens stay as they are.
func (c *Cloud) Grant(user, scope string, roles ...string) {
	c.T.Helper()
	for _, role := range roles {
		c.Call(http.MethodPut, c.grant(user, scope, role), nil, nil)
	}
}

// Deny takes a role away from a user.
func (c *Cloud) Deny(user, scope, role string) {
	c.T.Helper()
	c.Call(http.MethodDelete, c.grant(user, scope, role), nil, nil)
}

func (c *Cloud) grant(user, scope, role string) string {
	c.T.Helper()
	at := "/system"
	if scope != "system" {
		at = "/projects/" + c.Project(scope)
	}
	return at + "/users/" + c.make("user", Object{"name": user, "password": Password, "domain_id": "default"}) + "/roles/" + c.make("role", Object{"name": role})
}

// SwapKeys puts other keys in the place of those that tokens are made with, and gives what puts them back.
func (c *Cloud) SwapKeys() (back func()) {
	c.T.Helper()
	move := func(from, to string) {
		c.T.Helper()
		if err := os.Rename(filepath.Join(c.Dir, from), filepath.Join(c.Dir, to)); err != nil {
			c.T.Fatal(err)
		}
	}
	move("fernet", "own")
	c.Keys("fernet")
	return func() { move("fernet", "foreign"); move("own", "fernet") }
}
