package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// shows asks until the answer holds a text: what is asynchronous takes a moment.
func (r *running) shows(t *testing.T, path, text string) string {
	t.Helper()
	var got string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if got = string(r.call(t, "GET", path, nil, 200)); strings.Contains(got, text) {
			return got
		}
	}
	t.Fatalf("%s is %s; want %q in it", path, got, text)
	return ""
}

// is compares an answer with JSON text.
func (r *running) is(t *testing.T, path, want string) {
	t.Helper()
	got := r.call(t, "GET", path, nil, 200)
	var a, b any
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &a); err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s is %s; want %s", path, got, want)
	}
}

// refused sends what must be refused, and looks at the reason.
func (r *running) refused(t *testing.T, method, path string, body any, status int, says string) {
	t.Helper()
	if got := string(r.call(t, method, path, body, status)); !strings.Contains(got, says) {
		t.Errorf("%s %s: %s; want %q in it", method, path, got, says)
	}
}

type object = map[string]any

// What a machine has beside its disks, on fake hardware through the real server.
func TestSubresources(t *testing.T) {
	r := serving(t, t.TempDir())
	r.ingot(t, "node", "create", "--driver", "fake-hardware", "--name", "n")
	r.call(t, "POST", "/v1/nodes", object{"driver": "fake-hardware", "name": "bare", "raid_interface": "no-raid", "console_interface": "no-console",
		"vendor_interface": "no-vendor", "bios_interface": "no-bios", "firmware_interface": "no-firmware", "management_interface": "noop"}, 201)
	for _, n := range []string{"n", "bare"} {
		r.call(t, "PUT", "/v1/nodes/"+n+"/states/provision", object{"target": "manage"}, 202)
		r.until(t, n, "manageable")
	}
	t.Run("settings", func(t *testing.T) { r.settings(t) })
	t.Run("media", func(t *testing.T) { r.virtualMedia(t) })
	t.Run("console", func(t *testing.T) { r.consoles(t) })
	t.Run("lights", func(t *testing.T) { r.lights(t) })
	t.Run("vendor", func(t *testing.T) { r.vendors(t) })
	t.Run("vifs", func(t *testing.T) { r.vifs(t) })
}

func (r *running) settings(t *testing.T) {
	r.is(t, "/v1/nodes/n/bios", `{"bios": []}`)
	firmware := r.shows(t, "/v1/nodes/n/firmware", `"component":"bmc"`)
	for _, want := range []string{`"initial_version":"1.0.0"`, `"last_version_flashed":null`, `"serial_number":null`, `"vendor":"Ingot"`} {
		if !strings.Contains(firmware, want) {
			t.Errorf("%s is missing in %s", want, firmware)
		}
	}
	disks := []any{object{"size_gb": "MAX", "raid_level": "1", "is_root_volume": true}, object{"size_gb": 100, "raid_level": "5"}}
	r.refused(t, "PUT", "/v1/nodes/bare/states/raid", object{"logical_disks": disks}, 404, "does not support raid")
	r.refused(t, "PUT", "/v1/nodes/n/states/raid", object{"logical_disks": []any{object{"size_gb": "MAX"}}}, 400, "raid_level is missing")
	r.call(t, "PUT", "/v1/nodes/n/states/raid", object{"logical_disks": disks}, 204)
	r.shows(t, "/v1/nodes/n/states", `"raid_level":"5"`)
	r.call(t, "PUT", "/v1/nodes/n/states/provision", object{"target": "clean", "clean_steps": []any{
		object{"interface": "raid", "step": "create_configuration", "args": object{"create_root_volume": false}},
		object{"interface": "bios", "step": "apply_configuration", "args": object{"settings": []any{object{"name": "HT", "value": "off"}}}},
		object{"interface": "firmware", "step": "update", "args": object{"settings": []any{object{"component": "bmc", "url": "http://192.0.2.1/2.1.0.bin"}}}},
	}}, 202)
	r.until(t, "n", "manageable")
	var n struct {
		Raid object `json:"raid_config"`
	}
	if err := json.Unmarshal(r.call(t, "GET", "/v1/nodes/n", nil, 200), &n); err != nil {
		t.Fatal(err)
	}
	if made := fmt.Sprint(n.Raid["logical_disks"]); made != "[map[raid_level:5 size_gb:100]]" || n.Raid["last_updated"] == nil {
		t.Errorf("raid_config %v", n.Raid)
	}
	setting := r.shows(t, "/v1/nodes/n/bios/HT", `"value":"off"`)
	if !strings.HasPrefix(setting, `{"HT":{`) || !strings.Contains(setting, `"attribute_type":"String"`) || !strings.Contains(setting, "/v1/nodes/n/bios/HT") {
		t.Errorf("setting %s", setting)
	}
	if short := string(r.call(t, "GET", "/v1/nodes/n/bios", nil, 200)); strings.Contains(short, "attribute_type") {
		t.Errorf("the short form: %s", short)
	}
	if chosen := string(r.call(t, "GET", "/v1/nodes/n/bios?fields=name,upper_bound", nil, 200)); !strings.Contains(chosen, `"upper_bound":null`) || strings.Contains(chosen, "value") || !strings.Contains(chosen, "created_at") {
		t.Errorf("chosen fields: %s", chosen)
	}
	r.refused(t, "GET", "/v1/nodes/n/bios/none", nil, 404, "none")
	r.refused(t, "GET", "/v1/nodes/n/bios?fields=nonsense", nil, 400, "nonsense")
	r.shows(t, "/v1/nodes/n/firmware", `"current_version":"2.1.0","last_version_flashed":"2.1.0"`)
	r.is(t, "/v1/nodes/bare/bios", `{"bios": []}`)
	r.is(t, "/v1/nodes/bare/firmware", `{"firmware": []}`)
	r.shows(t, "/v1/drivers/fake-hardware/raid/logical_disk_properties", `"raid_level"`)
	r.refused(t, "GET", "/v1/drivers/none/raid/logical_disk_properties", nil, 404, "none")
}

func (r *running) virtualMedia(t *testing.T) {
	const path = "/v1/nodes/n/vmedia"
	for says, body := range map[string]object{
		"device_type": {"image_url": "http://192.0.2.1/a.iso", "image_download_source": "http"},
		"tape":        {"device_type": "tape", "image_url": "http://192.0.2.1/a.iso", "image_download_source": "http"},
		"image_url":   {"device_type": "cdrom", "image_url": "ftp://192.0.2.1/a.iso", "image_download_source": "http"},
		"boot":        {"device_type": "cdrom", "image_url": "http://192.0.2.1/a.iso", "boot": true},
		"Swift":       {"device_type": "cdrom", "image_url": "http://192.0.2.1/a.iso", "image_download_source": "swift"},
	} {
		r.refused(t, "POST", path, body, 400, says)
	}
	r.refused(t, "POST", "/v1/nodes/bare/vmedia", object{"device_type": "cdrom", "image_url": "http://192.0.2.1/a.iso", "image_download_source": "http"}, 400, "does not support")
	r.call(t, "POST", path, object{"device_type": "cdrom", "image_url": "http://u:canary@192.0.2.1/a.iso", "image_download_source": "http"}, 204)
	if in := r.shows(t, path, `"inserted":true`); strings.Contains(in, "canary") || !strings.Contains(in, `{"media_types":["CD","DVD"],"inserted":true,"image":"http://u:******@192.0.2.1/a.iso"}`) {
		t.Errorf("media %s", in)
	}
	r.call(t, "POST", path, object{"device_type": "floppy", "image_url": "http://192.0.2.1/b.img", "image_download_source": "http"}, 204)
	r.shows(t, path, "b.img")
	r.refused(t, "DELETE", path+"?device_types=tape", nil, 400, "tape")
	r.call(t, "DELETE", path+"?device_types=cdrom,disk", nil, 204)
	r.shows(t, path, `"inserted":false,"image":null}`)
	r.shows(t, path, "b.img")
	r.call(t, "DELETE", path, nil, 204)
	r.shows(t, path, `{"media_types":["Floppy"],"inserted":false,"image":null}`)
}

func (r *running) consoles(t *testing.T) {
	const path = "/v1/nodes/n/states/console"
	r.is(t, path, `{"console_enabled": false, "console_info": null}`)
	r.refused(t, "PUT", path, object{}, 400, "enabled")
	r.call(t, "PUT", path, object{"enabled": "true"}, 202)
	r.shows(t, path, `{"console_enabled":true,"console_info":{}}`)
	r.shows(t, "/v1/nodes/n/states", `"console_enabled":true`)
	r.refused(t, "PATCH", "/v1/nodes/n", []any{object{"op": "replace", "path": "/driver", "value": "redfish"}}, 409, "console is enabled")
	r.call(t, "PUT", path, object{"enabled": false}, 202)
	r.shows(t, path, `"console_enabled":false`)
	for method, body := range map[string]any{"GET": nil, "PUT": object{"enabled": true}} {
		r.refused(t, method, "/v1/nodes/bare/states/console", body, 400, "does not support console")
	}
	r.untilField(t, "bare", "last_error", nil) // who asked was told
}

func (r *running) lights(t *testing.T) {
	const path = "/v1/nodes/n/management/indicators"
	r.refused(t, "PUT", "/v1/nodes/n/management/inject_nmi", object{}, 400, "does not support inject_nmi")
	list := r.shows(t, path, `{"name":"led-0@chassis","component":"chassis","readonly":true,"states":["off","on"],"links":[`)
	if !strings.Contains(list, "/v1/nodes/n/management/indicators/led@system") {
		t.Errorf("indicators %s", list)
	}
	r.is(t, path+"/led@system", `{"state": "on"}`)
	r.call(t, "PUT", path+"/led@system", object{"state": "BLINKING"}, 204)
	r.is(t, path+"/led@system", `{"state": "blinking"}`)
	r.refused(t, "PUT", path+"/led-0@chassis", object{"state": "off"}, 400, "read-only")
	r.refused(t, "PUT", path+"/led@system", object{"state": "purple"}, 400, "purple")
	r.refused(t, "GET", path+"/led", nil, 400, "NAME@COMPONENT")
	r.refused(t, "GET", path+"/led@nic", nil, 400, "no indicator")
	r.refused(t, "GET", "/v1/nodes/bare/management/indicators", nil, 400, "does not support")
}

func (r *running) vendors(t *testing.T) {
	const path = "/v1/nodes/n/vendor_passthru"
	r.shows(t, path+"/methods", `"third_method_sync":{"http_methods":["POST"],"async":false,"attach":false,`)
	r.is(t, "/v1/nodes/bare/vendor_passthru/methods", `{}`)
	for bar, want := range map[string]string{"meow": "true", "woof": "false"} {
		if got := string(r.call(t, "POST", path+"?method=third_method_sync", object{"bar": bar}, 200)); got != want {
			t.Errorf("bar %s: %s", bar, got)
		}
	}
	if got := string(r.call(t, "POST", path+"/fourth_method_shared_lock", object{"bar": "woof"}, 202)); got != "null" {
		t.Errorf("asynchronous: %s", got)
	}
	r.call(t, "POST", path+"?method=log_passthrough", object{"whatever": 1}, 202)
	r.untilField(t, "n", "reservation", nil)
	r.refused(t, "GET", path+"?method=third_method_sync", nil, 400, "does not support HTTP GET")
	r.refused(t, "PUT", path+"?method=none", object{}, 400, "No handler for method none")
	r.refused(t, "POST", path, object{}, 400, "method")
	for _, method := range []string{"second_method", "third_method_sync"} {
		r.refused(t, "POST", path+"?method="+method, object{}, 400, "Parameter 'bar'")
	}
	r.untilField(t, "n", "last_error", nil)
	r.refused(t, "POST", "/v1/nodes/bare/vendor_passthru?method=second_method", object{"bar": "x"}, 400, "No handler")
	r.is(t, "/v1/drivers/fake-hardware/vendor_passthru/methods", `{}`)
	r.refused(t, "POST", "/v1/drivers/fake-hardware/vendor_passthru?method=x", object{}, 400, "No handler for method x")
	r.refused(t, "GET", "/v1/drivers/none/vendor_passthru/methods", nil, 404, "none")
}

func (r *running) vifs(t *testing.T) {
	const vif, group = "8d7f1ad2-4c0f-4e92-9a9c-5d1c2bd4c8a1", "3c1d6f5e-0d0b-4c0e-8a55-0e5ac0a1d2b3"
	r.call(t, "POST", "/v1/nodes/n/vifs", object{"id": vif}, 204)
	r.is(t, "/v1/nodes/n/vifs", `{"vifs": []}`) // there is no network service
	r.call(t, "DELETE", "/v1/nodes/n/vifs/"+vif, nil, 204)

	r.call(t, "POST", "/v1/nodes", object{"driver": "fake-hardware", "name": "wired", "network_interface": "flat"}, 201)
	r.call(t, "POST", "/v1/portgroups", object{"node_uuid": r.uuid(t, "wired"), "uuid": group}, 201)
	for mac, more := range map[string]object{"52:54:00:00:00:01": {"pxe_enabled": false}, "52:54:00:00:00:02": {"portgroup_uuid": group}} {
		more["address"], more["node_uuid"] = mac, r.uuid(t, "wired")
		r.call(t, "POST", "/v1/ports", more, 201)
	}
	const path = "/v1/nodes/wired/vifs"
	for says, body := range map[string]object{
		"Missing mandatory parameter: id": {}, "UUID or name": {"id": "not a name"},
		"both":                 {"id": vif, "port_uuid": vif, "portgroup_uuid": vif},
		"not enough free":      {"id": vif, "port_uuid": vif},
		"Expected a UUID for ": {"id": vif, "port_uuid": "eth0"},
	} {
		r.refused(t, "POST", path, body, 400, says)
	}
	r.call(t, "POST", path, object{"id": vif, "whatever": 1}, 204)
	r.refused(t, "POST", path, object{"id": vif}, 409, "already attached to Ironic Portgroup "+group)
	r.call(t, "POST", path, object{"id": "second"}, 204)
	r.refused(t, "POST", path, object{"id": "third"}, 400, "not enough free physical ports")
	r.is(t, path, `{"vifs": [{"id": "second"}, {"id": "`+vif+`"}]}`)
	r.shows(t, "/v1/portgroups/"+group, `"tenant_vif_port_id":"`+vif+`"`)
	r.call(t, "DELETE", path+"/"+vif, nil, 204)
	r.refused(t, "DELETE", path+"/"+vif, nil, 400, "not attached")
	r.is(t, path, `{"vifs": [{"id": "second"}]}`)
}

// uuid is a node's.
func (r *running) uuid(t *testing.T, node string) string {
	t.Helper()
	var n struct{ UUID string }
	if err := json.Unmarshal(r.call(t, "GET", "/v1/nodes/"+node, nil, 200), &n); err != nil {
		t.Fatal(err)
	}
	return n.UUID
}
