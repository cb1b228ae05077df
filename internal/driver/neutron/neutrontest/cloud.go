package neutrontest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed" // the programs
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // switches the databases to WAL

	"ingot/lab/ports"
)

//go:embed keystone.py
var keystoneProgram string

//go:embed neutron.py
var neutronProgram string

//go:embed tables.py
var tablesProgram string

//go:embed ingot_binder.py
var binder string

// python is Debian's own: another one on the path has not its packages.
const python = "/usr/bin/python3"

// startLimit is how long a program may take until it answers: a busy host starts Python slowly.
const startLimit = 2 * time.Minute

// Password is that of the users of Keystone.
const Password = "not-a-secret"

// Cloud is a Neutron and its Keystone.
type Cloud struct {
	AuthURL string // of Keystone
	URL     string // of Neutron
	// User is one with the role admin in the project service, in the domain Default, with Password.
	User string

	t     *testing.T
	dir   string
	token string
}

// Installed tells whether both are.
func Installed() bool {
	return exec.Command(python, "-c", "import importlib.util as u, sys; sys.exit(not (u.find_spec('neutron') and u.find_spec('keystone')))").Run() == nil
}

// Start starts both, or skips.
func Start(t *testing.T) *Cloud {
	t.Helper()
	if !Installed() {
		t.Skip("Neutron or Keystone is not installed: scripts/prepare.sh installs them")
	}
	c := &Cloud{t: t, dir: t.TempDir(), User: "ingot"}
	c.keystone()
	c.neutron()
	return c
}

func (c *Cloud) keystone() {
	c.t.Helper()
	port := c.freePort()
	c.AuthURL = "http://127.0.0.1:" + port
	conf := c.write("keystone.conf", fmt.Sprintf("[DEFAULT]\nlog_file = %[1]s/keystone.log\n[database]\nconnection = sqlite:///%[1]s/keystone.db\n[fernet_tokens]\nkey_repository = %[1]s/fernet\n"+
		"[credential]\nkey_repository = %[1]s/credential\n[token]\nprovider = fernet\n[identity]\npassword_hash_rounds = 4\n", c.dir))
	c.keys("fernet")
	c.keys("credential")
	c.database("keystone.db")
	c.run("keystone-manage", "--config-file", conf, "db_sync")
	c.run("keystone-manage", "--config-file", conf, "bootstrap", "--bootstrap-username", c.User, "--bootstrap-password", Password,
		"--bootstrap-project-name", "service", "--bootstrap-public-url", c.AuthURL+"/v3/", "--bootstrap-internal-url", c.AuthURL+"/v3/", "--bootstrap-region-id", "here")
	c.serve("keystone", c.AuthURL+"/v3/", nil, "-c", keystoneProgram, port, conf)
	c.Login()
}

// neutronConf is Neutron with ML2 alone.
const neutronConf = `[DEFAULT]
state_path = %[1]s
log_file = %[1]s/neutron.log
bind_host = 127.0.0.1
bind_port = %[2]s
core_plugin = ml2
service_plugins = segments
auth_strategy = keystone
api_paste_config = %[1]s/api-paste.ini
transport_url = fake://
rpc_workers = 0
api_workers = 0
rpc_state_report_workers = 0
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
[oslo_messaging_notifications]
driver = noop
[database]
connection = sqlite:///%[1]s/neutron.db
[oslo_concurrency]
lock_path = %[1]s/lock
[ml2]
mechanism_drivers = ingot_binder
type_drivers = flat,vlan
tenant_network_types = vlan
extension_drivers = port_security
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199,physnet2:100:199
[quotas]
default_quota = -1
quota_network = -1
quota_subnet = -1
quota_port = -1
[keystone_authtoken]
auth_type = password
auth_url = %[3]s/v3
www_authenticate_uri = %[3]s/v3
username = %[4]s
password = %[5]s
project_name = service
user_domain_id = default
project_domain_id = default
service_token_roles_required = true
token_cache_time = -1
`

// paste is which filters stand before the API.
const paste = `[composite:neutron]
use = egg:Paste#urlmap
/: versions
/v2.0: api
[composite:api]
use = call:neutron.auth:pipeline_factory
noauth = request_id catch_errors extensions app
keystone = request_id catch_errors authtoken context extensions app
[composite:versions]
use = call:neutron.auth:pipeline_factory
noauth = list
keystone = list
[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory
[filter:catch_errors]
paste.filter_factory = oslo_middleware:CatchErrors.factory
[filter:context]
paste.filter_factory = neutron.auth:NeutronKeystoneContext.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
[filter:extensions]
paste.filter_factory = neutron.api.extensions:plugin_aware_extension_middleware_factory
[app:list]
paste.app_factory = neutron.pecan_wsgi.app:versions_factory
[app:app]
paste.app_factory = neutron.api.v2.router:APIRouter.factory
`

func (c *Cloud) neutron() {
	c.t.Helper()
	port := c.freePort()
	c.URL = "http://127.0.0.1:" + port
	c.write("api-paste.ini", paste)
	conf := c.write("neutron.conf", fmt.Sprintf(neutronConf, c.dir, port, c.AuthURL, c.User, Password))
	c.write("plugins/ingot_binder.py", binder)
	c.write("plugins/ingot_binder-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: ingot-binder\nVersion: 1\n")
	c.write("plugins/ingot_binder-1.dist-info/entry_points.txt", "[neutron.ml2.mechanism_drivers]\ningot_binder = ingot_binder:Binder\n")
	c.database("neutron.db")
	c.run(python, "-c", tablesProgram, "sqlite:///"+filepath.Join(c.dir, "neutron.db"))
	c.serve("neutron", c.URL+"/", []string{"PYTHONPATH=" + filepath.Join(c.dir, "plugins")}, "-c", neutronProgram, "--config-file", conf)
	c.Publish("network", "neutron", c.URL)
}

// Publish writes a service into Keystone's catalogue, of the region "here".
func (c *Cloud) Publish(kind, name, url string) {
	c.t.Helper()
	var made struct{ Service struct{ ID string } }
	c.call(http.MethodPost, c.AuthURL+"/v3/services", object{"service": object{"type": kind, "name": name}}, &made)
	c.call(http.MethodPost, c.AuthURL+"/v3/endpoints", object{"endpoint": object{"service_id": made.Service.ID, "region_id": "here", "interface": "public", "url": url}}, nil)
	c.Login() // a token from now on has the service in its catalogue
}

func (c *Cloud) write(name, text string) string {
	c.t.Helper()
	file := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// keys makes a folder with the next key and the one in use.
func (c *Cloud) keys(folder string) {
	c.t.Helper()
	for _, name := range []string{"0", "1"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		c.write(filepath.Join(folder, name), base64.URLEncoding.EncodeToString(key))
	}
}

// database makes an empty file in which readers do not lock out a writer.
func (c *Cloud) database(name string) {
	c.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(c.t.Context(), "PRAGMA journal_mode = WAL"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *Cloud) freePort() string {
	c.t.Helper()
	a, err := ports.Free("127.0.0.1")
	if err != nil {
		c.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(a)
	return port
}

func (c *Cloud) run(program string, args ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), startLimit)
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// serve starts a program and waits until it answers.
func (c *Cloud) serve(name, url string, environ []string, args ...string) {
	c.t.Helper()
	out, err := os.Create(filepath.Join(c.dir, name+".out"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(python, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, append(os.Environ(), environ...), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	c.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	limit := time.After(startLimit)
	for {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-ended:
			c.t.Fatalf("%s ended at once:\n%s", name, c.said(name))
		case <-limit:
			c.t.Fatalf("%s does not answer:\n%s", name, c.said(name))
		case <-time.After(50 * time.Millisecond): // between two looks
		}
	}
}

// said is the end of what a program wrote.
func (c *Cloud) said(name string) string {
	var all bytes.Buffer
	for _, file := range []string{name + ".out", name + ".log"} {
		b, _ := os.ReadFile(filepath.Join(c.dir, file))
		all.Write(b[max(0, len(b)-3000):])
	}
	return all.String()
}
