package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

// plainAgent builds the agent that runs scripts of OS definitions beside it, with a folder in the place of a machine.
func plainAgent(t *testing.T) string {
	t.Helper()
	return agentProgram(t, "-tags", "processes")
}

// scripted are the files of a definition whose create is given; it speaks the newest version and has verify.
func scripted(t *testing.T, create string, more map[string]string) *osdef.Bundle {
	t.Helper()
	tree := fstest.MapFS{"ganeti_api_version": {Data: []byte("20\n")}, "parameters.list": {Data: []byte("mirror public\ntoken private\nroot-key secret\nlicence default\n")},
		"variants.list": {Data: []byte("12\n13\n")}, "create": {Data: []byte(create), Mode: 0o755}}
	for _, name := range []string{"export", "import", "rename", "verify"} {
		tree[name] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	}
	for name, text := range more {
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o755}
	}
	b, err := osdef.FromFS(tree, osdef.Usual, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packedBundle is a bundle as requests have it.
func packedBundle(b *osdef.Bundle) string { return base64.StdEncoding.EncodeToString(b.Tar()) }

// doomed is a machine that is installed by OS definition, with the real agent as a process, and the servers of it, which are killed
// and started anew where they were. The machine lives on.
type doomed struct {
	*killable
	machine *cagedMachine
	files   *packageServer
	image   []byte
}

// doomedCreate installs nothing: it says what it was given, keeps how often it was run, and waits while it is held.
const doomedCreate = `#!/bin/sh
set -eu
root=${DISK_0_PATH%/dev/*}
echo begun >> "$root/ran"
echo "the token is $OSP_TOKEN and the key ${OSP_ROOT_KEY-none}"
printf '%s %s' "$OSP_TOKEN" "${OSP_ROOT_KEY-none}" > "$root/given"
while [ -e "$root/held" ]; do sleep 0.05; done
echo ended >> "$root/ran"
`

const (
	doomedUser     = "packager"
	doomedPassword = "canary-of-the-package"
	doomedToken    = "canary-of-the-token"
	doomedKey      = "canary-of-the-root-key"
)

// doomedEnv is the servers'.
var doomedEnv = []string{"INGOT_DEFAULT__ENABLED_HARDWARE_TYPES=redfish", "INGOT_CONDUCTOR__AUTOMATED_CLEAN=false", "INGOT_DEFAULT__DEBUG=true"}

// newDoomed gives servers by one of the makers of killable ones, and a machine that is available.
func newDoomed(t *testing.T, program string, servers func(*testing.T, string, []string, func(string)) *killable) *doomed {
	t.Helper()
	d := &doomed{killable: servers(t, "deploy", doomedEnv, func(data string) {
		cagedRamdisk(t, filepath.Join(data, "ramdisk"), filepath.Join(data, "ramdisk-debian"))
	})}
	if d.image = bootable(); mounts() {
		d.image = mountable(t)
	}
	d.files = newPackageServer(t, d.image)
	d.machine = newCagedMachine(t, program, playedPassword, func(agentapi.BootConfig) {})
	r := d.front
	bundle := scripted(t, doomedCreate, nil)
	r.call(t, "POST", "/v1/os_definitions", object{"name": "doomed", "bundle": packedBundle(bundle), "os_parameters": object{"mirror": "http://mirror.example"}}, 201)
	r.call(t, "PUT", "/v1/os_definitions/doomed/trust", object{"digest": bundle.Digest()}, 200)
	r.call(t, "POST", "/v1/nodes", object{"driver": "redfish", "name": "inmate", "deploy_interface": "os-install", "boot_interface": "redfish-virtual-media", "network_interface": "noop",
		"driver_info": object{"redfish_address": d.machine.bmc.URL(), "redfish_username": "admin", "redfish_password": playedPassword, "redfish_certificate_fingerprint": d.machine.bmc.Fingerprint()},
		"properties":  object{"cpu_arch": "x86_64", "capabilities": "boot_mode:uefi", "root_device": object{"serial": "first"}}}, 201)
	r.call(t, "POST", "/v1/ports", object{"node_uuid": r.uuid(t, "inmate"), "address": d.machine.MACs()[0]}, 201)
	for _, step := range [][2]string{{"manage", "manageable"}, {"provide", "available"}} {
		r.call(t, "PUT", "/v1/nodes/inmate/states/provision", object{"target": step[0]}, 202)
		r.until(t, "inmate", step[1])
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the last server:\n%.40000s", d.servers[len(d.servers)-1].log)
		}
	})
	return d
}

// asking is the body of a deployment or rebuild, with what is kept nowhere. Variant 13 has a package.
func (d *doomed) asking(kind has) object {
	body := object{"os_definition": "doomed+12", "os_parameters_private": object{"token": doomedToken}}
	if kind != noValues {
		body["os_parameters_secret"] = object{"root-key": doomedKey}
	}
	if kind == withPackage {
		body["os_definition"] = "doomed+13"
		body["personalization_url"], body["personalization_user"], body["personalization_password"] = d.files.URL+"/p.tar.gz", doomedUser, doomedPassword
	}
	return body
}

// ran is how often the script began and ended.
func (d *doomed) ran() (begun, ended int) {
	text, err := os.ReadFile(filepath.Join(d.machine.root, "ran"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.test.Error(err)
	}
	return strings.Count(string(text), "begun"), strings.Count(string(text), "ended")
}

// hold has the script wait before it ends, until the func that is given is called.
func (d *doomed) hold() (release func()) {
	held := filepath.Join(d.machine.root, "held")
	if err := os.WriteFile(held, nil, 0o600); err != nil {
		d.test.Fatal(err)
	}
	return sync.OnceFunc(func() { _ = os.Remove(held) })
}

// fresh makes the node available again.
func (d *doomed) fresh() {
	t := d.test
	t.Helper()
	if err := os.RemoveAll(filepath.Join(d.machine.root, "ran")); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(d.machine.root, "held"))
	if n := d.shown(); n.State != "available" {
		d.front.call(t, "PUT", "/v1/nodes/inmate/states/provision", object{"target": "deleted"}, 202)
		d.front.until(t, "inmate", "available")
	}
	info := object{"image_source": d.files.URL + "/disk.raw", "image_os_hash_algo": "sha256", "image_os_hash_value": sum256(d.image)}
	d.front.call(t, "PATCH", "/v1/nodes/inmate", []any{object{"op": "add", "path": "/instance_info", "value": info}}, 200)
}

// The moments that are no saves.
const (
	whenScripts = "scripts run"
	whenPackage = "the package is laid over" // half of it is fetched
)

// life installs the machine, whoever dies on the way, and gives how that ended. Scripts run once at most for one request.
func (d *doomed) life(dies death, kind has) (end string) {
	t := d.test
	t.Helper()
	d.fresh()
	release := func() {}
	switch dies.at {
	case whenScripts:
		release = d.hold()
	case whenPackage:
		release = d.files.hold()
	}
	defer release()
	d.arm(dies)
	dead := false
	n := d.brings("active", d.asking(kind), func() {
		begun, _ := d.ran()
		if !dead && (dies.at == whenScripts && begun > 0 || dies.at == whenPackage && d.files.held()) {
			dead = true
			d.dies(dies)
			release()
		}
	})
	begun, ended := d.ran()
	if begun > 1 {
		t.Errorf("%s: scripts ran %d times for one request", dies, begun)
	}
	switch {
	case n.State == "active":
		d.wasGiven(dies.String(), kind)
		if begun != 1 || ended != 1 || n.LastError != "" {
			t.Errorf("%s: active, and the script began %d times and ended %d; last_error %q", dies, begun, ended, n.LastError)
		}
	case n.State != "deploy failed" || kind == noValues || dies.who == "" || dies.who == conductorDies:
		t.Errorf("%s, %s: the node is %+v", dies, kind, n)
	default:
		d.asksAgain(dies, kind, n)
	}
	d.watching.Lock()
	defer d.watching.Unlock()
	if d.armed = false; dies.who != "" && !d.died {
		t.Errorf("%s: nobody died; saves: %v", dies, d.saves)
	}
	return n.State
}

// asksAgain: the failed node names what was lost, and no value; it is not touched without, and installed with it.
func (d *doomed) asksAgain(dies death, kind has, n restingNode) {
	t := d.test
	t.Helper()
	for what, lost := range map[string]bool{"root-key": true, "personalization_password": kind == withPackage} {
		if lost && !strings.Contains(n.LastError, what) {
			t.Errorf("%s: last_error does not ask for %s: %s", dies, what, n.LastError)
		}
	}
	if strings.Contains(n.LastError, "canary") {
		t.Errorf("%s: last_error has a value: %s", dies, n.LastError)
	}
	boots := len(d.machine.Boots())
	if status, answer := d.ask("PUT", "/v1/nodes/inmate/states/provision", object{"target": "rebuild"}); status != http.StatusBadRequest || !bytes.Contains(answer, []byte("root-key")) || bytes.Contains(answer, []byte("canary")) {
		t.Errorf("%s: a rebuild without the secrets is answered %d %s", dies, status, answer)
	}
	if now := len(d.machine.Boots()); now != boots {
		t.Errorf("%s: a refused rebuild booted the machine", dies)
	}
	body := d.asking(kind)
	for _, kept := range []string{"os_definition", "os_parameters_private", "personalization_url"} {
		delete(body, kept)
	}
	if n = d.brings("rebuild", body, func() {}); n.State != "active" || n.LastError != "" {
		t.Errorf("%s: with the secrets the node is %+v", dies, n)
	}
	d.wasGiven(dies.String()+", and again", kind)
}

// wasGiven sees that the last script had the values that were asked for, and that the system has what the package brought.
func (d *doomed) wasGiven(when string, kind has) {
	d.test.Helper()
	want := doomedToken + " none"
	if kind != noValues {
		want = doomedToken + " " + doomedKey
	}
	if kind == withPackage {
		d.hasPackage(when)
	}
	if text, err := os.ReadFile(filepath.Join(d.machine.root, "given")); err != nil || string(text) != want {
		d.test.Errorf("%s: the script was given %q, %v", when, text, err)
	}
}

// quiet sees that no log of the servers or of the machine has a value.
func (d *doomed) quiet() {
	d.test.Helper()
	logs := [][]byte{d.machine.Console()}
	for _, s := range d.servers {
		logs = append(logs, []byte(s.log.String()))
	}
	if b := slices.Concat(logs...); bytes.Contains(b, []byte("canary-of")) || len(b) < 1000 {
		d.test.Errorf("a log shows a value, or nothing: %d bytes", len(b))
	}
}
