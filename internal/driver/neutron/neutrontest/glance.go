package neutrontest

import (
	"bytes"
	_ "embed" // the program
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"ingot/internal/keystone/keystonetest"
)

//go:embed glance.py
var glanceProgram string

// GlanceInstalled tells whether Glance and Keystone are.
func GlanceInstalled() bool {
	return exec.Command(keystonetest.Python, "-c", "import importlib.util as u, sys; sys.exit(not (u.find_spec('glance') and u.find_spec('keystone')))").Run() == nil
}

// Glance is a Glance and its Keystone.
type Glance struct {
	*Cloud
	At string // its URL
}

// glanceConf is Glance with files as its store.
const glanceConf = `[DEFAULT]
log_file = %[1]s/glance.log
enabled_backends = files:file
enabled_import_methods = []
[glance_store]
default_backend = files
[files]
filesystem_store_datadir = %[1]s/store
[os_glance_staging_store]
filesystem_store_datadir = %[1]s/staging
[os_glance_tasks_store]
filesystem_store_datadir = %[1]s/tasks
[database]
connection = sqlite:///%[1]s/glance.db
[oslo_messaging_notifications]
driver = noop
[paste_deploy]
flavor = keystone
[keystone_authtoken]
auth_type = password
auth_url = %[2]s/v3
www_authenticate_uri = %[2]s/v3
username = %[3]s
password = %[4]s
project_name = service
user_domain_id = default
project_domain_id = default
service_token_roles_required = true
token_cache_time = -1
`

// glancePaste is which filters stand before the API.
const glancePaste = `[pipeline:glance-api-keystone]
pipeline = versionnegotiation authtoken context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
`

// StartGlance starts both, or skips.
func StartGlance(t *testing.T) *Glance {
	t.Helper()
	if !GlanceInstalled() {
		t.Skip("Glance or Keystone is not installed: scripts/prepare.sh installs them")
	}
	g := &Glance{Cloud: start(t)}
	port := g.FreePort()
	g.At = "http://127.0.0.1:" + port
	g.Write("glance/glance-api.conf", fmt.Sprintf(glanceConf, g.Dir, g.AuthURL, g.User, Password))
	g.Write("glance/glance-api-paste.ini", glancePaste)
	g.Database("glance.db")
	g.Serve("glance", g.At+"/", nil, "-c", glanceProgram, port, filepath.Join(g.Dir, "glance"), "sqlite:///"+filepath.Join(g.Dir, "glance.db"))
	g.Publish("image", "glance", g.At)
	return g
}

// Image makes an image with content, nil for one that is not active yet, and gives its id. what is its fields.
func (g *Glance) Image(what map[string]any, content []byte) string {
	g.T.Helper()
	var made struct{ ID string }
	g.call(http.MethodPost, g.At+"/v2/images", what, &made)
	if content == nil {
		return made.ID
	}
	r, err := http.NewRequestWithContext(g.T.Context(), http.MethodPut, g.At+"/v2/images/"+made.ID+"/file", bytes.NewReader(content))
	if err != nil {
		g.T.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	r.Header.Set("X-Auth-Token", g.AdminToken())
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		g.T.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		g.T.Fatalf("Glance took no content: %s\n%s", answer.Status, g.Said("glance"))
	}
	return made.ID
}
