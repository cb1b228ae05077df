package neutrontest

import (
	_ "embed" // the programs
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"ingot/internal/keystone/keystonetest"
)

//go:embed neutron.py
var neutronProgram string

//go:embed tables.py
var tablesProgram string

//go:embed ingot_binder.py
var binder string

// Password is that of the users of Keystone.
const Password = keystonetest.Password

// Cloud is a Neutron and its Keystone.
type Cloud struct {
	*keystonetest.Cloud
	AuthURL string // of Keystone
	URL     string // of Neutron
	// User is one with the role admin in the project service, in the domain Default, with Password.
	User string
}

// Installed tells whether both are.
func Installed() bool {
	return exec.Command(keystonetest.Python, "-c", "import importlib.util as u, sys; sys.exit(not (u.find_spec('neutron') and u.find_spec('keystone')))").Run() == nil
}

// Start starts both, or skips.
func Start(t *testing.T) *Cloud {
	t.Helper()
	if !Installed() {
		t.Skip("Neutron or Keystone is not installed: scripts/prepare.sh installs them")
	}
	c := start(t)
	c.neutron()
	return c
}

// start starts Keystone.
func start(t *testing.T) *Cloud {
	t.Helper()
	k := keystonetest.Start(t)
	return &Cloud{Cloud: k, AuthURL: k.URL, User: keystonetest.Admin}
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
	c.T.Helper()
	port := c.FreePort()
	c.URL = "http://127.0.0.1:" + port
	c.Write("api-paste.ini", paste)
	conf := c.Write("neutron.conf", fmt.Sprintf(neutronConf, c.Dir, port, c.AuthURL, c.User, Password))
	c.Write("plugins/ingot_binder.py", binder)
	c.Write("plugins/ingot_binder-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: ingot-binder\nVersion: 1\n")
	c.Write("plugins/ingot_binder-1.dist-info/entry_points.txt", "[neutron.ml2.mechanism_drivers]\ningot_binder = ingot_binder:Binder\n")
	c.Database("neutron.db")
	c.Run(keystonetest.Python, "-c", tablesProgram, "sqlite:///"+filepath.Join(c.Dir, "neutron.db"))
	c.Serve("neutron", c.URL+"/", []string{"PYTHONPATH=" + filepath.Join(c.Dir, "plugins")}, "-c", neutronProgram, "--config-file", conf)
	c.Publish("network", "neutron", c.URL)
}

// Publish writes a service into Keystone's catalogue, of the region "here".
func (c *Cloud) Publish(kind, name, url string) {
	c.T.Helper()
	var made struct{ Service struct{ ID string } }
	c.Call(http.MethodPost, "/services", object{"service": object{"type": kind, "name": name}}, &made)
	c.Call(http.MethodPost, "/endpoints", object{"endpoint": object{"service_id": made.Service.ID, "region_id": "here", "interface": "public", "url": url}}, nil)
	c.Login() // a token from now on has the service in its catalogue
}
