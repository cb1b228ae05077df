package beside

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// Host is what both servers call themselves: conductors are named after it, and Ironic calls its own by it.
const Host = "localhost"

// ErrNoIronic means that Debian's package is not installed.
var ErrNoIronic = errors.New("Debian's package ironic-common is not installed: scripts/oracle.sh and scripts/bench.sh install it")

// interfaces are those that both enable: defaults differ.
const interfaces = `enabled_hardware_types = fake-hardware
enabled_bios_interfaces = fake,no-bios
enabled_boot_interfaces = fake
enabled_console_interfaces = fake,no-console
enabled_deploy_interfaces = fake
enabled_inspect_interfaces = fake,no-inspect
enabled_management_interfaces = fake
enabled_network_interfaces = noop
enabled_power_interfaces = fake
enabled_raid_interfaces = fake,no-raid
enabled_rescue_interfaces = fake,no-rescue
enabled_storage_interfaces = fake,noop
enabled_vendor_interfaces = fake,no-vendor
`

// ironicConf is Ironic's configuration: its defaults but for what keeps it on loopback, on a file and on fake hardware.
var ironicConf = template.Must(template.New("").Parse(`[DEFAULT]
auth_strategy = noauth
host = {{.Host}}
my_ip = 127.0.0.1
rpc_transport = json-rpc
use_stderr = true
tempdir = {{.Dir}}
state_path = {{.Dir}}
{{.Interfaces}}[api]
host_ip = 127.0.0.1
port = {{.Port}}
[json_rpc]
auth_strategy = noauth
host_ip = 127.0.0.1
port = {{.RPC}}
[database]
connection = sqlite:///{{.Dir}}/ironic.sqlite
sqlite_synchronous = true
[oslo_concurrency]
lock_path = {{.Dir}}
`))

// StartIronic starts Debian's Ironic in dir, which must be empty. The API has its default number of workers.
func StartIronic(ctx context.Context, dir string) (*Server, error) {
	for _, program := range []string{"ironic-api", "ironic-conductor", "ironic-dbsync", "sqlite3"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, ErrNoIronic
		}
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	var conf bytes.Buffer
	if err := ironicConf.Execute(&conf, map[string]any{"Dir": dir, "Host": Host, "Port": ports[0], "RPC": ports[1], "Interfaces": interfaces}); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "ironic.conf")
	if err := os.WriteFile(file, conf.Bytes(), 0o600); err != nil {
		return nil, err
	}
	for _, command := range [][]string{
		{"ironic-dbsync", "--config-file", file, "create_schema"},
		{"sqlite3", filepath.Join(dir, "ironic.sqlite"), "pragma journal_mode=wal"}, // the file remembers it
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", command[0], err, out)
		}
	}
	s := &Server{Name: "Ironic", URL: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), Dir: dir}
	err = errors.Join(s.start("conductor", "ironic-conductor", "--config-file", file), s.start("api", "ironic-api", "--config-file", file))
	if err == nil {
		err = s.await(ctx, "/v1/drivers", "fake-hardware")
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// ingotConf is ours, alike.
const ingotConf = `[DEFAULT]
host = ` + Host + `
` + interfaces

// StartIngot starts our program in dir, which must be empty. More is put behind the configuration.
func StartIngot(ctx context.Context, program, dir, more string) (*Server, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "ingot.conf")
	if err := os.WriteFile(file, []byte(ingotConf+more), 0o600); err != nil {
		return nil, err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	s := &Server{Name: "Ingot", URL: "http://" + at(0), Dir: dir}
	err = s.start("ingot", program, "serve", "--config", file, "--data", filepath.Join(dir, "data"),
		"--listen", at(0), "--agent-listen", at(1), "--boot-listen", at(2))
	if err == nil {
		err = s.await(ctx, "/v1/drivers", "fake-hardware")
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// IronicVersion is the version of the installed package, for reports.
func IronicVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", "ironic-common").Output()
	if err != nil {
		return "an unknown version"
	}
	return strings.TrimSpace(string(out))
}
