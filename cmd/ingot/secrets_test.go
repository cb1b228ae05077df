package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestSecretsStayInside plants a secret in every field that can hold one, takes machines through their whole life with a real server
// that logs everything, and looks for them wherever somebody else may look: nothing shows any of them, in any form. What may have
// one because it is there for that is named in own, and each place has to show a word that is no secret.
func TestSecretsStayInside(t *testing.T) {
	program := plainAgent(t)
	for name, open := range map[string]func(*testing.T) engine{"sqlite": onSQLite, "postgres": onPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := open(t)
			g := newAviary(t, program, e.options...)
			g.short = e.short
			e.prepare(g)
			g.start()
			g.keys()
			g.enrol()
			g.everybody("enrolled")
			g.lives()
			g.bundle()
			e.database(g)
			g.stop()
			g.otherDoors()
			g.dies()
			g.left()
			if !g.short {
				g.everyFieldWasUsed()
			}
		})
	}
}

// keys learns what the server made for itself.
func (g *aviary) keys() {
	g.t.Helper()
	data := filepath.Join(g.dir, "ingot-data")
	key, err := os.ReadFile(filepath.Join(data, "ingot.key"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.learn(canary{"sealing key", string(key)})
	door, err := os.ReadFile(filepath.Join(data, "agent-door.key"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.learn(keyOf(g.t, "agents' door's key", door))
	k, err := store.LoadKey(filepath.Join(data, "ingot.key"))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, purpose := range derived {
		g.learn(canary{"key for " + purpose, k.Derive(purpose).Expose()})
	}
}

// enrol makes what there is, with canaries in all of it.
func (g *aviary) enrol() {
	g.t.Helper()
	info := object{"redfish_address": g.machine.bmc.URL(), "redfish_username": "admin", "redfish_password": g.plant("BMC password"),
		"redfish_certificate_fingerprint": g.machine.bmc.Fingerprint(), "nobodys_key": g.plantOdd("driver_info nobodys_key"),
		"deep": object{"er": []any{g.plantOdd("driver_info, deep inside")}}}
	g.call("POST", "/v1/nodes", object{"driver": "redfish", "name": "real", "description": witness, "owner": "blue", "lessee": "red", "extra": object{"public": witness},
		"driver_info": info, "network_data": g.instanceNetwork(), "boot_interface": "redfish-virtual-media", "network_interface": "noop", "inspect_interface": "agent", "rescue_interface": "agent",
		"properties": object{"cpu_arch": "x86_64", "root_device": object{"serial": "first"}}}, 201)
	g.call("POST", "/v1/ports", object{"node_uuid": g.uuid("real"), "address": g.machine.MACs()[0]}, 201)
	for driver, keys := range secretKeys() {
		info := object{}
		for _, key := range keys {
			info[key] = g.plantOdd("driver_info " + key + " of " + driver)
		}
		for _, address := range []string{"redfish_address", "ipmi_address"} {
			info[address] = "127.0.0.1:1"
		}
		g.call("POST", "/v1/nodes", object{"driver": driver, "name": "a-" + driver, "owner": "blue", "lessee": "red", "driver_info": info, "network_interface": "noop", "description": witness}, 201)
	}
	g.call("POST", "/v1/nodes", object{"driver": "redfish", "name": "shut-out", "network_interface": "noop", "driver_info": object{"redfish_address": g.machine.bmc.URL(), "redfish_username": "admin",
		"redfish_password": g.plantOdd("wrong BMC password"), "redfish_certificate_fingerprint": g.machine.bmc.Fingerprint()}}, 201)
	g.call("POST", "/v1/nodes", object{"driver": "fake-hardware", "name": "wired", "network_interface": "flat", "owner": "blue", "automated_clean": false}, 201)
	g.call("POST", "/v1/volume/targets", object{"node_uuid": g.uuid("a-fake-hardware"), "volume_type": "iscsi", "boot_index": 0, "volume_id": witness,
		"properties": object{"auth_method": "CHAP", "auth_username": witness, "auth_password": g.plantOdd("volume's CHAP password"), "deep": object{"secret": g.plant("volume's deeper secret")}}}, 201)
	g.call("POST", "/v1/volume/connectors", object{"node_uuid": g.uuid("a-fake-hardware"), "type": "iqn", "connector_id": witness}, 201)
	g.call("POST", "/v1/chassis", object{"description": witness}, 201)
	g.call("POST", "/v1/portgroups", object{"node_uuid": g.uuid("a-fake-hardware"), "name": witness}, 201)
	licence := func(key, value string) []any {
		return []any{object{"interface": "deploy", "step": "licence", key: 70, "args": object{"password": value}}}
	}
	g.call("POST", "/v1/deploy_templates", object{"name": "CUSTOM_CANARY", "steps": licence("priority", g.plantTyped("template's argument"))}, 201)
	g.call("POST", "/v1/runbooks", object{"name": "CUSTOM_CANARY_BOOK", "public": true, "steps": licence("order", g.plantTyped("runbook's argument"))}, 201)
	g.call("PUT", "/v1/runbooks/CUSTOM_CANARY_BOOK/traits/CUSTOM_CANARY_BOOK", nil, 204)
	g.call("POST", "/v1/os_definitions", object{"name": "canary-os", "description": witness, "bundle": goldenOS, "os_parameters_private": object{"token": g.plantOdd("private default of an OS definition")}}, 201)
	for _, trait := range []string{"CUSTOM_CANARY", "CUSTOM_CANARY_BOOK"} {
		g.call("PUT", "/v1/nodes/real/traits/"+trait, nil, 204)
	}
}

// rule makes a sensitive inspection rule, and gives its UUID.
func (g *aviary) rule(actions ...any) string {
	g.t.Helper()
	var made struct{ UUID string }
	if err := json.Unmarshal(g.call("POST", "/v1/inspection_rules", object{"description": witness, "sensitive": true, "actions": actions}, 201), &made); err != nil {
		g.t.Fatal(err)
	}
	return made.UUID
}

func op(name string, args object) object { return object{"op": name, "args": args} }

// lives takes the machines through their lives.
func (g *aviary) lives() {
	g.t.Helper()
	g.call("PUT", "/v1/nodes/shut-out/states/provision", object{"target": "manage"}, 202)
	g.call("PUT", "/v1/nodes/wired/states/provision", object{"target": "manage"}, 202)
	g.toys()
	g.inmate()
	g.verb("real", object{"target": "manage"}, "manageable")
	if !g.short {
		g.inspected()
	}
	g.cleaned()
	g.deployed()
	g.everybody("deployed")
	g.serviced()
	g.rescued()
	if !g.short {
		g.rebuilt()
	}
	g.installs()
	g.verb("real", object{"target": "deleted"}, "available")
	g.everybody("at the end")
	if !g.short {
		g.unshown()
	}
	g.until("shut-out", "enroll")
	g.call("DELETE", "/v1/nodes/shut-out", nil, 204) // what is deleted leaves nothing in the database's files
	g.call("PUT", "/v1/nodes/real/states/provision", object{"target": "manage"}, 202)
	g.until("real", "manageable")
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.strange < 5 {
		g.t.Errorf("a stranger tried at %d boots only", g.strange)
	}
}

// inspected has the machine inspected by rules that know secrets: one says one when it fails, others use them.
func (g *aviary) inspected() {
	g.t.Helper()
	bad := g.rule(op("fail", object{"msg": g.plantOdd("words of a sensitive rule")}))
	g.call("PUT", "/v1/nodes/real/states/provision", object{"target": "inspect"}, 202)
	g.until("real", "inspect failed")
	g.call("DELETE", "/v1/inspection_rules/"+bad, nil, 204)
	call := g.rule(op("api-call", object{"url": g.parrot.URL + "/?token=" + g.plant("token in a rule's URL"), "headers": object{"X-Auth-Token": g.plant("rule's header")}, "retries": 0}))
	g.verb("real", object{"target": "manage"}, "manageable")
	g.call("PUT", "/v1/nodes/real/states/provision", object{"target": "inspect"}, 202)
	g.until("real", "inspect failed")
	g.call("DELETE", "/v1/inspection_rules/"+call, nil, 204)
	g.rule(op("set-attribute", object{"path": "/driver_info/vault", "value": g.plantOdd("driver_info that a rule sets")}))
	g.verb("real", object{"target": "manage"}, "manageable")
	g.verb("real", object{"target": "inspect"}, "manageable")
	// A folder has no firmware; its BMC knows UEFI only.
	g.call("PATCH", "/v1/nodes/real", []any{object{"op": "add", "path": "/properties/capabilities", "value": "boot_mode:uefi"}}, 200)
}

// secretStep is a step of the machine's that is given a secret.
func secretStep(value string, fails bool) object {
	args := object{"password": object{"secret": "pw"}}
	if fails {
		args["mode"] = "fail-now"
	}
	return object{"interface": "deploy", "step": "licence", "args": args}
}

func (g *aviary) cleaned() {
	g.t.Helper()
	failing, good := g.plantTyped("clean step's argument, failing"), g.plantTyped("clean step's argument")
	g.call("PUT", "/v1/nodes/real/states/provision", object{"target": "clean", "clean_steps": []any{secretStep(failing, true)}, "secrets": object{"pw": failing}}, 202)
	g.until("real", "clean failed")
	g.call("DELETE", "/v1/nodes/real/maintenance", nil, 202)
	g.verb("real", object{"target": "manage"}, "manageable")
	g.verb("real", object{"target": "clean", "clean_steps": []any{secretStep(good, false)}, "secrets": object{"pw": good}}, "manageable")
	g.machine.wasGiven(good)
	g.verb("real", object{"target": "clean", "runbook": "CUSTOM_CANARY_BOOK"}, "manageable")
	g.machine.wasGiven(g.planted["runbook's argument"].value)
	g.verb("real", object{"target": "provide"}, "available")
}

// deployed deploys twice: first with a step that fails and tells everything, then well.
func (g *aviary) deployed() {
	g.t.Helper()
	g.call("PUT", "/v1/os_definitions/canary-os/trust", object{"digest": goldenDigest}, 200)
	g.call("PUT", "/v1/nodes/real/states/provision", object{"target": "active", "os_definition": "canary-os+12", "os_parameters_private": object{"token": g.plantOdd("private OS parameter of a refused deployment")},
		"os_parameters_secret": object{"mirror": g.plantOdd("secret OS parameter of a refused deployment")}, "personalization_url": "https://192.0.2.1/p.tgz",
		"personalization_user": witness, "personalization_password": g.plantOdd("password for a personalization package, refused"),
		"os_import_url": "https://192.0.2.1/exports/n1", "os_import_user": witness, "os_import_password": g.plantOdd("password for an export, refused")}, 400)
	image := strings.Replace(g.images.URL, "://", "://user:"+g.plant("credentials in the image's URL")+"@", 1) + "/closed.raw"
	g.call("PATCH", "/v1/nodes/real", []any{object{"op": "add", "path": "/instance_info", "value": object{"image_source": image, "image_os_hash_algo": "sha256", "image_os_hash_value": sum256(g.image),
		"admin_password": g.plantOdd("instance_info password"), "image_url": g.plantOdd("instance_info image_url"), "deep": object{"auth_token": g.plantOdd("instance_info, deep inside")},
		"image_pull_secret": "user:" + g.plant("instance_info image_pull_secret"), "display_name": witness, "traits": []string{"CUSTOM_CANARY"}}}}, 200)
	drive := object{"meta_data": object{"hostname": witness}, "user_data": g.plantOdd("user data")}
	step := func(value string, fails bool) []any {
		s := secretStep(value, fails)
		s["priority"] = 70
		return []any{s}
	}
	failing, good := g.plantTyped("deploy step's argument, failing"), g.plantTyped("deploy step's argument")
	g.call("PUT", "/v1/nodes/real/states/provision", object{"target": "active", "configdrive": drive, "deploy_steps": step(failing, true), "secrets": object{"pw": failing}}, 202)
	g.until("real", "deploy failed")
	g.verb("real", object{"target": "active", "configdrive": drive, "deploy_steps": step(good, false), "secrets": object{"pw": good}}, "active")
	g.machine.wasGiven(good)
	g.onDisk("user data", "answer of vault", "static vendordata")
	g.instance()
}

func (g *aviary) serviced() {
	g.t.Helper()
	good := g.plantTyped("service step's argument")
	g.verb("real", object{"target": "service", "service_steps": []any{secretStep(good, false)}, "secrets": object{"pw": good}}, "active")
	g.machine.wasGiven(good)
}

// rescued has the machine rescued with the command, and by a request, and back.
func (g *aviary) rescued() {
	g.t.Helper()
	file := filepath.Join(g.t.TempDir(), "password")
	g.write(file, g.plantOdd("rescue password")+"\n")
	g.ingot("node", "rescue", "real", "--password-file", file, "--wait")
	g.machine.letIn("rescue password", g.planted["rescue password"].value, g)
	g.everybody("rescued")
	g.verb("real", object{"target": "unrescue"}, "active")
	g.machine.refuses(true)
	g.call("PUT", "/v1/nodes/real/states/provision", object{"target": "rescue", "rescue_password": g.plantOdd("password of the rescue that fails")}, 202)
	g.until("real", "rescue failed")
	g.machine.refuses(false)
	g.verb("real", object{"target": "unrescue"}, "active")
}

// rebuilt rebuilds the machine with the other forms of a config drive.
func (g *aviary) rebuilt() {
	g.t.Helper()
	packed := g.plant("user data in a packed drive")
	g.plant("user data behind a URL")
	g.verb("real", object{"target": "rebuild", "configdrive": g.packedDrive(packed)}, "active")
	g.onDisk("user data in a packed drive")
	g.machine.wasGiven(g.planted["template's argument"].value)
	url := strings.Replace(g.images.URL, "://", "://user:"+g.plant("credentials in a config drive's URL")+"@", 1) + "/drive"
	g.verb("real", object{"target": "rebuild", "configdrive": url}, "active")
	g.onDisk("user data behind a URL")
}

// packedDrive is a config drive as clients make one: an image, packed, in base64. This one is small and no file system.
func (g *aviary) packedDrive(text string) string {
	return base64.StdEncoding.EncodeToString(gzipped(g.t, text+strings.Repeat("\x00", 4096)))
}

// toys takes the fake machine through what fake interfaces alone do: virtual media, RAID and BIOS steps, a template and a runbook.
func (g *aviary) toys() {
	g.t.Helper()
	const toy = "a-fake-hardware"
	g.verb(toy, object{"target": "manage"}, "manageable")
	g.call("POST", "/v1/nodes/"+toy+"/vmedia", object{"device_type": "cdrom", "image_download_source": "http",
		"image_url": "http://user:" + g.plant("virtual media's credentials") + "@127.0.0.1:1/a.iso?token=" + g.plant("virtual media's token")}, 204)
	g.untilField(toy, "reservation", nil)
	g.verb(toy, object{"target": "clean", "secrets": object{"a": g.plantOdd("RAID step's argument"), "b": g.plantOdd("BIOS step's argument")}, "clean_steps": []any{
		object{"interface": "raid", "step": "apply_configuration", "args": object{"raid_config": object{"logical_disks": []any{object{"size_gb": 10, "raid_level": "1", "volume_name": object{"secret": "a"}}}}}},
		object{"interface": "bios", "step": "apply_configuration", "args": object{"settings": []any{object{"name": "AdminPassword", "value": object{"secret": "b"}}}}}}}, "manageable")
	g.verb(toy, object{"target": "provide"}, "available")
	g.call("PATCH", "/v1/nodes/"+toy, []any{object{"op": "add", "path": "/resource_class", "value": "toys"}}, 200)
	g.call("POST", "/v1/allocations", object{"name": witness, "resource_class": "toys"}, 201)
	g.untilField(toy, "provision_state", "available")
}

// onDisk sees that the machine's disk has secrets of its user, in the config drive, and no others.
func (g *aviary) onDisk(names ...string) {
	g.t.Helper()
	disk, err := os.ReadFile(filepath.Join(g.machine.root, "dev/vda"))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range g.all().in(disk) {
		if !slices.Contains(names, f.name) {
			g.t.Errorf("the machine's disk, which has %q, shows the %s", names, f)
		}
	}
	for _, name := range names {
		if !bytes.Contains(disk, g.begin(name)) {
			g.t.Errorf("the machine's disk does not have the %s: its config drive does not work, or the search does not", name)
		}
	}
}

// begin is how a canary begins, in letters that nothing escapes.
func (g *aviary) begin(name string) []byte { return []byte(g.value(name)[:len(mark)+6]) }

// withKey shows that what is private is in the database, for whoever has the key and for nobody else.
func (g *aviary) withKey(open func(store.Key) (*store.DB, error)) {
	g.t.Helper()
	read := func(file string) (n *metal.Node, err error) {
		key, err := store.LoadKey(file)
		if err != nil {
			g.t.Fatal(err)
		}
		db, err := open(key)
		if err != nil {
			return nil, err
		}
		defer db.Close()
		err = db.Read(g.t.Context(), func(tx *store.Tx) (err error) {
			n, err = tx.Node("real")
			return err
		})
		return n, err
	}
	if n, err := read(filepath.Join(g.dir, "ingot-data", "ingot.key")); err != nil || n.DriverInfo.Public("redfish_password") != g.planted["BMC password"].value {
		g.t.Errorf("with the key the password should be there: %v", err)
	}
	if n, err := read(filepath.Join(g.t.TempDir(), "another.key")); err == nil {
		g.t.Errorf("with another key the node can be read: %v", n.DriverInfo)
	}
}

// everyFieldWasUsed sees that what secretHolders speaks of was planted.
func (g *aviary) everyFieldWasUsed() {
	g.t.Helper()
	for holder, names := range secretHolders {
		for name := range strings.SplitSeq(names, "; ") {
			if _, ok := g.planted[name]; !ok && !strings.HasPrefix(name, "elsewhere: ") {
				g.t.Errorf("%s: the canary %q was not planted", holder, name)
			}
		}
	}
}

func holds(t *testing.T, where, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%s should hold %q", where, w)
		}
	}
}
