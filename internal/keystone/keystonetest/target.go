package keystonetest

import (
	_ "embed" // the program
	"net/http"
	"os/exec"
)

//go:embed target.py
var targetProgram string

// Target is a web service behind keystonemiddleware that answers a POST on any path with who asks, as the middleware says, under "who"
// and with the body under "asked".
type Target struct {
	URL string

	c *Cloud
}

// Seen is one request that came to a Target, and what was answered.
type Seen struct {
	Path    string            `json:"path"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"` // as they came, in the names of CGI: x_auth_token
	Body    string            `json:"body"`
}

// Target starts one. It asks Keystone as the user "checker", each time about each token.
func (c *Cloud) Target() *Target {
	c.T.Helper()
	if exec.Command(Python, "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('keystonemiddleware'))").Run() != nil {
		c.T.Skip("keystonemiddleware is not installed: scripts/prepare.sh installs it")
	}
	c.Grant("checker", "service", "service")
	port := c.FreePort()
	t := &Target{URL: "http://127.0.0.1:" + port, c: c}
	c.Serve("target", t.URL+"/seen", nil, "-c", targetProgram, port, c.URL, "checker", Password)
	return t
}

// Seen is all that came.
func (t *Target) Seen() (all []Seen) {
	t.c.T.Helper()
	t.c.CallAs("", http.MethodGet, t.URL+"/seen", nil, &all)
	return all
}
