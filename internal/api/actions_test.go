package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

func TestSetPower(t *testing.T) {
	r := newRig(t)
	for i, c := range []struct {
		minor  int
		query  string
		body   any
		status int
		says   string
	}{
		{80, "", `{"target": "power on"}`, 202, ""},
		{1, "", `{"target": "rebooting"}`, 202, ""},
		{80, "?target=power%20off", nil, 202, ""},
		{80, "", `{"target": "soft power off", "timeout": 30}`, 202, ""},
		{80, "", `{"target": "soft power off", "timeout": "30"}`, 202, ""},
		{26, "", `{"target": "soft power off"}`, 406, "1.27"},
		{26, "", `{"target": "power on", "timeout": 5}`, 406, "1.27"},
		{80, "", `{"target": "power on", "timeout": 0}`, 400, "timeout"},
		{80, "", `{"target": "power on", "timeout": 1.5}`, 400, "timeout"},
		{80, "", `{"target": "power on", "timeout": 1e300}`, 400, "timeout"},
		{80, "", `{"target": "explode"}`, 400, "explode"},
		{80, "", `{"target": 5}`, 400, "target: it must be a string"},
		{80, "", `{}`, 400, "Missing mandatory parameter: target"},
		{80, "", nil, 400, "Missing mandatory parameter: target"},
		{80, "", `{"target": "power on", "force": true}`, 400, "Unexpected arguments: force"},
		{80, "?force=1", `{"target": "power on"}`, 400, "Unexpected arguments: force"},
		{80, "", `{"target": `, 400, "not valid JSON"},
	} {
		name := fmt.Sprintf("n%d", i)
		id := r.node(name)
		if c.minor < 5 {
			name = id
		}
		a := r.do(put, "/v1/nodes/"+name+"/states/power"+c.query, c.minor, c.body).want(t, c.status, c.says)
		if c.status == 202 && (a.Header.Get("Location") != r.url+"/v1/nodes/"+name+"/states" || len(a.body) != 0 || a.Header.Get("Content-Type") != "") {
			t.Errorf("%v: %v %q", c.body, a.Header, a.body)
		}
	}
	r.do(put, "/v1/nodes/n0/states/power", 80, `{"target": "power off"}`).want(t, 409, "is locked by another operation (power on), please retry").wantNoRetry(t)
	r.do(get, "/v1/nodes/n0/states", 80, nil).want(t, 200, `"target_power_state":"power on"`)
	r.force("n6", func(n *metal.Node) { n.ProvisionState = metal.CleanWait })
	r.do(put, "/v1/nodes/n6/states/power", 80, `{"target": "power off"}`).want(t, 400, "clean wait")
	r.force("n7", func(n *metal.Node) { n.DisablePowerOff = true })
	r.do(put, "/v1/nodes/n7/states/power", 80, `{"target": "power off"}`).want(t, 409, "disable_power_off")
	r.do(put, "/v1/nodes/none/states/power", 80, `{"target": "power off"}`).want(t, 404, "none")
}

// wantNoRetry: the header keeps python-ironicclient from trying again.
func (a reply) wantNoRetry(t *testing.T) {
	t.Helper()
	if h := a.Header.Get("Retry-After"); h != "" {
		t.Errorf("%s: Retry-After %s", a.Request.URL, h)
	}
}

func TestSetProvision(t *testing.T) {
	r := newRig(t)
	steps := `[{"interface": "deploy", "step": "erase_devices"}]`
	for i, c := range []struct {
		minor  int
		state  metal.State
		body   string
		status int
		says   string
	}{
		{80, metal.Enroll, `{"target": "manage"}`, 202, ""},
		{3, metal.Enroll, `{"target": "manage"}`, 406, "1.4"},
		{80, metal.Manageable, `{"target": "provide"}`, 202, ""},
		{80, metal.Available, `{"target": "active"}`, 202, ""},
		{80, metal.Available, `{"target": "deploy"}`, 202, ""},
		{72, metal.Available, `{"target": "deploy"}`, 406, "1.73"},
		{80, metal.Active, `{"target": "deleted"}`, 202, ""},
		{72, metal.Active, `{"target": "undeploy"}`, 202, ""},
		{80, metal.Enroll, `{"target": "active"}`, 400, `can not be performed on node`},
		{80, metal.Enroll, `{"target": "fly"}`, 400, "Verbs there are: abort, active"},
		{80, metal.Enroll, `{"target": "done"}`, 400, "can not be performed"},
		{80, metal.Enroll, `{}`, 400, "Missing mandatory parameter: target"},
		{80, metal.Enroll, `{"target": "manage", "haste": 1}`, 400, "Unexpected arguments: haste"},
		{80, metal.Enroll, `{"target": "manage", "configdrive": "aGk="}`, 400, "only supported when setting provision state to active"},
		{80, metal.Enroll, `{"target": "manage", "configdrive": ""}`, 202, ""},
		{80, metal.Available, `{"target": "active", "configdrive": "aGk="}`, 202, ""},
		{80, metal.Available, `{"target": "active", "configdrive": "https://h/drive"}`, 202, ""},
		{80, metal.Available, `{"target": "active", "configdrive": "not base64!"}`, 400, "base64"},
		{80, metal.Available, `{"target": "active", "configdrive": {"meta_data": {"hostname": "h"}, "user_data": "#!/bin/sh"}}`, 202, ""},
		{55, metal.Available, `{"target": "active", "configdrive": {"meta_data": {}}}`, 400, "1.56"},
		{58, metal.Available, `{"target": "active", "configdrive": {"vendor_data": {"a": 1}}}`, 400, "1.59"},
		{80, metal.Available, `{"target": "active", "configdrive": {"metadata": {}}}`, 400, "Unexpected arguments: metadata"},
		{80, metal.Available, `{"target": "active", "configdrive": {"meta_data": "x"}}`, 400, "meta_data must be an object"},
		{80, metal.Available, `{"target": "active", "configdrive": {"user_data": 5}}`, 400, "user_data must be"},
		{80, metal.Available, `{"target": "active", "configdrive": 5}`, 400, "configdrive must be"},
		{80, metal.Available, `{"target": "deploy", "configdrive": "aGk="}`, 400, "only supported when"},
		{34, metal.Active, `{"target": "rebuild", "configdrive": "aGk="}`, 400, "1.35"},
		{80, metal.Enroll, `{"target": "manage", "runbook": "r"}`, 406, "1.92"},
		{92, metal.Enroll, `{"target": "manage", "runbook": "r"}`, 404, "Runbook r could not be found"},
		{80, metal.Enroll, `{"target": "manage", "disable_ramdisk": true}`, 400, "clean and service"},
		{69, metal.Manageable, `{"target": "clean", "disable_ramdisk": true, "clean_steps": ` + steps + `}`, 406, "1.70"},
		{80, metal.Manageable, `{"target": "clean", "disable_ramdisk": true, "clean_steps": ` + steps + `}`, 202, ""},
		{80, metal.Manageable, `{"target": "clean", "disable_ramdisk": "maybe", "clean_steps": ` + steps + `}`, 400, "true or false"},
		{80, metal.Enroll, `{"target": "manage", "clean_steps": ` + steps + `}`, 400, "clean_steps is only valid"},
		{80, metal.Manageable, `{"target": "clean"}`, 400, "clean_steps is required"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": {}}`, 400, "must be an array"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [5]}`, 400, "entry 1 is not an object"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [{"interface": "deploy"}]}`, 400, "entry 1: step is required"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [{"interface": "boot", "step": "x"}]}`, 400, "interface must be one of"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [{"interface": "vendor", "step": "send_raw"}]}`, 400, "not allowed"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [{"interface": "deploy", "step": "x", "priority": 1}]}`, 400, "Unexpected arguments: priority"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [{"interface": "deploy", "step": "x", "order": -1}]}`, 400, "not negative"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": ` + steps + `}`, 202, ""},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [{"interface": "power", "step": "reboot", "execute_on_child_nodes": true}]}`, 501, "child nodes"},
		{80, metal.Manageable, `{"target": "clean", "clean_steps": [{"interface": "power", "step": "hold", "order": "1", "args": {}}]}`, 202, ""},
		{68, metal.Available, `{"target": "active", "deploy_steps": ` + steps + `}`, 406, "1.69"},
		{80, metal.Available, `{"target": "deploy", "deploy_steps": ` + steps + `}`, 400, "active or rebuild"},
		{80, metal.Available, `{"target": "active", "deploy_steps": ` + steps + `}`, 400, "args is required"},
		{80, metal.Available, `{"target": "active", "deploy_steps": [{"interface": "deploy", "step": "deploy", "args": {}, "priority": 5}]}`, 400, "priority 0"},
		{80, metal.Enroll, `{"target": "manage", "rescue_password": "x"}`, 400, "rescue_password is only valid"},
		{80, metal.Active, `{"target": "rescue", "rescue_password": " "}`, 400, "non-empty rescue_password"},
		{80, metal.Active, `{"target": "rescue", "rescue_password": "` + canary + `"}`, 400, "does not support rescue"},
		{37, metal.Active, `{"target": "rescue", "rescue_password": "x"}`, 406, "1.38"},
		{109, metal.DeployWait, `{"target": "abort"}`, 406, "1.110"},
		{40, metal.InspectWait, `{"target": "abort"}`, 406, "1.41"},
		{84, metal.CleanHold, `{"target": "unhold"}`, 406, "1.85"},
		{86, metal.Active, `{"target": "service", "service_steps": ` + steps + `}`, 406, "1.87"},
		{87, metal.Active, `{"target": "service"}`, 400, "service_steps is required"},
		{87, metal.Active, `{"target": "service", "service_steps": ` + steps + `}`, 202, ""},
		{107, metal.Active, `{"target": "service", "service_steps": ` + steps + `, "disable_ramdisk": true}`, 406, "1.108"},
		{108, metal.Active, `{"target": "service", "service_steps": ` + steps + `, "disable_ramdisk": true}`, 202, ""},
		{108, metal.ServiceFailed, `{"target": "service", "service_steps": ` + steps + `, "disable_ramdisk": true}`, 400, "disable_ramdisk cannot be used"},
		{87, metal.ServiceFailed, `{"target": "service", "service_steps": ` + steps + `}`, 202, ""},
		{87, metal.Active, `{"target": "service", "service_steps": [{"interface": "vendor", "step": "send_raw"}]}`, 400, "not allowed"},
		{87, metal.ServiceFailed, `{"target": "abort"}`, 202, ""},
		{110, metal.DeployWait, `{"target": "abort"}`, 409, "Nothing is under way"},
		{85, metal.DeployHold, `{"target": "unhold"}`, 409, "Nothing is under way"},
		{80, metal.Available, `{"target": "active", "deploy_steps": [{"interface": "bios", "step": "x", "args": {}, "priority": 5}, {"interface": "bios", "step": "x", "args": {}, "priority": 6}]}`, 400, "twice"},
		{80, metal.Available, `{"target": "active", "deploy_steps": [{"interface": "bios", "step": "x", "args": {}, "priority": "5"}]}`, 202, ""},
		{87, metal.Active, `{"target": "deleted", "service_steps": ` + steps + `}`, 400, "service_steps is only valid"},
	} {
		name := fmt.Sprintf("n%d", i)
		id := r.node(name)
		r.force(id, func(n *metal.Node) { n.ProvisionState = c.state })
		if c.minor < 5 {
			name = id
		}
		a := r.do(put, "/v1/nodes/"+name+"/states/provision", c.minor, c.body).want(t, c.status, c.says)
		if c.status == 202 && a.Header.Get("Location") != r.url+"/v1/nodes/"+name+"/states" {
			t.Errorf("%s: Location %q", c.body, a.Header.Get("Location"))
		}
	}
	r.force("n3", func(n *metal.Node) { n.Maintenance, n.ProvisionState = true, metal.Available })
	r.do(put, "/v1/nodes/n3/states/provision", 80, `{"target": "active"}`).want(t, 400, "maintenance mode")
	if strings.Contains(r.log.String(), canary) {
		t.Error("the log shows a secret")
	}
}

// TestTrapRawIPMICommands: whoever may clean, deploy or service cannot send a BMC raw commands, by no list of steps.
func TestTrapRawIPMICommands(t *testing.T) {
	r := newRig(t)
	id := r.node("raw")
	step := `{"interface": "vendor", "step": "send_raw", "args": {"raw_bytes": "0x06 0x02"}`
	for _, c := range []struct {
		state metal.State
		body  string
	}{
		{metal.Manageable, `{"target": "clean", "clean_steps": [` + step + `}]}`},
		{metal.Active, `{"target": "service", "service_steps": [` + step + `}]}`},
		{metal.Available, `{"target": "active", "deploy_steps": [` + step + `, "priority": 10}]}`},
		{metal.Active, `{"target": "rebuild", "deploy_steps": [` + step + `, "priority": 10}]}`},
	} {
		r.force(id, func(n *metal.Node) { n.ProvisionState = c.state })
		r.do(put, "/v1/nodes/raw/states/provision", 87, c.body).want(t, 400, "not allowed")
	}
	r.do(post, "/v1/deploy_templates", 87, `{"name": "CUSTOM_RAW", "steps": [`+step+`, "priority": 10}]}`).want(t, 400, "not allowed")
	r.do(post, "/v1/runbooks", 112, `{"name": "raw", "steps": [`+step+`, "order": 1}]}`).want(t, 400, "not allowed")
}

func TestMaintenance(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	r.do(put, "/v1/nodes/web-1/maintenance", 80, `{"reason": "fan"}`).want(t, 202)
	r.do(get, "/v1/nodes/web-1", 80, nil).want(t, 200, `"maintenance":true,"maintenance_reason":"fan"`)
	r.do(del, "/v1/nodes/web-1/maintenance", 80, nil).want(t, 202)
	r.do(get, "/v1/nodes/web-1", 80, nil).want(t, 200, `"maintenance":false,"maintenance_reason":null`)
	r.do(put, "/v1/nodes/web-1/maintenance", 80, nil).want(t, 202)
	r.do(put, "/v1/nodes/web-1/maintenance", 80, `{"why": "fan"}`).want(t, 400, "Unexpected arguments: why")
	r.do(put, "/v1/nodes/web-1/maintenance", 80, map[string]string{"reason": strings.Repeat("x", 5000)}).want(t, 400, "4096")
	r.do(put, "/v1/nodes/none/maintenance", 80, nil).want(t, 404)
}

// TestNobodyAnswers: what needs a conductor says 503 when none comes, not 500.
func TestNobodyAnswers(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	for _, path := range []string{"/v1/nodes/web-1/validate", "/v1/nodes/validate?node=" + id, "/v1/nodes/web-1/management/boot_device",
		"/v1/nodes/web-1/management/boot_device/supported"} {
		r.do(get, path, 80, nil).want(t, 503, "retry").wantNoRetry(t)
	}
	r.do(put, "/v1/nodes/web-1/management/boot_device", 80, `{"persistent": true}`).want(t, 400, "Missing mandatory parameter: boot_device")
	r.do(put, "/v1/nodes/web-1/management/boot_device", 80, `{"boot_device": "pxe", "persistent": "later"}`).want(t, 400, "persistent")
	r.do(put, "/v1/nodes/web-1/management/boot_device", 80, `{"boot_device": "pxe", "persistent": "True"}`).want(t, 503)
	r.do(get, "/v1/nodes/validate", 80, nil).want(t, 400, "?node=")
	r.do(get, "/v1/nodes/validate?node=web-1", 4, nil).want(t, 406, "1.5")
}

func TestDrivers(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		path   string
		minor  int
		status int
		says   string
	}{
		{"/v1/drivers", 1, 200, `{"drivers":[{"name":"fake-hardware","hosts":["c1"],"links":`},
		{"/v1/drivers?type=dynamic", 80, 200, `"type":"dynamic"`},
		{"/v1/drivers?type=classic", 80, 200, `{"drivers":[]}`},
		{"/v1/drivers?type=other", 80, 400, "classic, dynamic"},
		{"/v1/drivers?type=dynamic", 29, 406, "1.30"},
		{"/v1/drivers?detail=true", 29, 406, "1.30"},
		{"/v1/drivers?detail=true", 80, 200, `"default_power_interface":"fake","enabled_power_interfaces":["fake","noop"]`},
		{"/v1/drivers?fields=name", 76, 406, "1.77"},
		{"/v1/drivers?fields=name", 77, 200, `"name":"redfish"`},
		{"/v1/drivers?fields=name&detail=true", 77, 400, "Can not specify"},
		{"/v1/drivers/redfish", 80, 200, `"default_deploy_interface":"direct"`},
		{"/v1/drivers/none", 80, 404, "Could not find the following driver(s)"},
		{"/v1/drivers/redfish/properties", 80, 200, `"redfish_address":"URL of the BMC. Required."`},
		{"/v1/drivers/redfish/raid/logical_disk_properties", 80, 404, "raid"},
		{"/v1/conductors", 80, 200, `{"conductors":[{"hostname":"c1","conductor_group":"","alive":true,"links":`},
		{"/v1/conductors?detail=true", 80, 200, `"drivers":["fake-hardware","redfish"]`},
		{"/v1/conductors?marker=c1", 80, 200, `{"conductors":[]}`},
		{"/v1/conductors?marker=c0", 80, 404, "marker"},
		{"/v1/conductors?limit=1", 80, 200, "marker=c1"},
		{"/v1/conductors?sort_key=alive", 80, 400, "invalid field"},
		{"/v1/conductors/c1", 80, 200, `"hostname":"c1"`},
		{"/v1/conductors/c1?fields=alive", 80, 200, `{"alive":true,"links"`},
		{"/v1/conductors/c9", 80, 404, "c9"},
	} {
		r.do(get, c.path, c.minor, nil).want(t, c.status, c.says)
	}
}

func TestHistoryAndOurs(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	r.do(put, "/v1/nodes/web-1/states/provision", 80, `{"target": "manage"}`).want(t, 202)
	list := r.do(get, "/v1/nodes/web-1/history", 80, nil).want(t, 200).json(t)["history"].([]any)
	if len(list) != 2 {
		t.Fatalf("history: %v", list)
	}
	last := list[1].(map[string]any)
	if len(last) != 5 || last["severity"] != "INFO" || !strings.Contains(last["event"].(string), "manage") {
		t.Errorf("%v", last)
	}
	event := last["uuid"].(string)
	r.do(get, "/v1/nodes/web-1/history/"+event, 80, nil).want(t, 200, `"event_type":"manage"`, `"conductor":null,"user":"operator"`)
	r.do(get, "/v1/nodes/web-1/history/"+event, 115, nil).want(t, 200, `"state":"verifying"`)
	r.do(get, "/v1/nodes/web-1/history/"+event, 115, nil).want(t, 200, `"target_provision_state":"manageable"`, `"duration_seconds":null`)
	r.node("web-2")
	r.do(get, "/v1/nodes/web-2/history/"+event, 80, nil).want(t, 404, "history record")
	r.do(get, "/v1/nodes/web-1/history/"+id, 80, nil).want(t, 404, "history record")
	r.do(get, "/v1/nodes/web-1/history?limit=1&detail=true", 80, nil).want(t, 200, `"next":"`+r.url, "marker=")
	r.do(get, "/v1/nodes/web-1/history/detail", 80, nil).want(t, 200, `"event_type":"manage"`)
	r.do(get, "/v1/nodes/web-1/history?sort_key=user", 80, nil).want(t, 400, "invalid field")

	why := r.do(get, "/ingot/v1/nodes/web-1/why", 0, nil).want(t, 200).json(t)
	if why["provision_state"] != "verifying" || why["plan"] != "verify" || why["next"] == "" {
		t.Errorf("%v", why)
	}
	op := r.do(get, "/v1/nodes/web-1/operation", 0, nil).want(t, 200).json(t)
	for k, want := range map[string]any{"status": "live", "plan": "verify", "verb": "manage", "requested_by": "operator", "driver": "fake-hardware", "node": id} {
		if op[k] != want {
			t.Errorf("%s of the operation: %v, want %v", k, op[k], want)
		}
	}
	r.do(get, "/v1/nodes/web-2/operation", 0, nil).want(t, 404, "has had no operation")
	r.do(get, "/v1/operations", 0, nil).want(t, 200, `"node_name":"web-1"`)
	r.do(get, "/v1/operations?provision_state=verifying&limit=1", 0, nil).want(t, 200, op["uuid"].(string))
	r.do(get, "/v1/operations?holder=c9", 0, nil).want(t, 200, `{"operations":[]}`)
	r.do(get, "/v1/operations?provision_state=x", 0, nil).want(t, 400, "no provision state")
	events := r.do(get, "/ingot/v1/nodes/web-1/events", 0, nil).want(t, 200).json(t)["events"].([]any)
	if len(events) != 2 || events[1].(map[string]any)["uuid"] != event {
		t.Errorf("%v", events)
	}
	r.do(get, "/ingot/v1/nodes/web-1/events?after="+event, 0, nil).want(t, 200, `{"events":[],"next":"3"}`)
	r.do(get, "/ingot/v1/nodes/web-1/events?after=x", 0, nil).want(t, 400, "Expected UUID")
	r.do(get, "/ingot/v1/nodes/web-1/events?limit=1", 0, nil).want(t, 200, events[0].(map[string]any)["uuid"].(string))

	r.do(get, "/ingot/v1/nodes/web-1/logs", 0, nil).want(t, 200, `{"logs":[]}`)
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		if err := tx.AddLog(n, "", "console.log", []byte("<b>boot\n")); err != nil {
			return err
		}
		return tx.AddLog(n, "", "agent.bin", []byte{0xff, 0xfe})
	})
	if err != nil {
		t.Fatal(err)
	}
	r.do(get, "/ingot/v1/nodes/web-1/logs", 0, nil).want(t, 200, `"name":"console.log"`, `"size":8`)
	for name, kind := range map[string]string{"console.log": "text/plain; charset=utf-8", "agent.bin": "application/octet-stream"} {
		a := r.do(get, "/ingot/v1/nodes/web-1/logs/"+name, 0, nil).want(t, 200)
		if a.Header.Get("Content-Type") != kind || a.Header.Get("X-Content-Type-Options") != "nosniff" || len(a.body) == 0 {
			t.Errorf("%s: %v %q", name, a.Header, a.body)
		}
	}
	r.do(get, "/ingot/v1/nodes/web-1/logs/none", 0, nil).want(t, 404, "none")
}

func TestBodies(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	deep := func(n int) string {
		return `{"driver": "fake-hardware", "extra": ` + strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) + "}"
	}
	r.do(post, "/v1/nodes", 80, deep(24)).want(t, 201)
	r.do(post, "/v1/nodes", 80, deep(25)).want(t, 400, "nested too deeply")
	r.do(post, "/v1/nodes", 80, strings.Repeat("[", 1<<19)).want(t, 400, "nested too deeply")
	r.do(post, "/v1/nodes", 80, `{"driver": "fake-hardware", "extra": {"a": "`+strings.Repeat("[{", 100)+`"}}`).want(t, 201)
	big := `{"driver": "fake-hardware", "extra": {"a": "` + strings.Repeat("x", 1<<20) + `"}}`
	r.do(post, "/v1/nodes", 80, big).want(t, 413, "too large")
	r.do(patch, "/v1/nodes/web-1", 80, big).want(t, 413, "too large")
	r.force("web-1", func(n *metal.Node) { n.ProvisionState = metal.Available })
	drive := `{"target": "active", "configdrive": "` + strings.Repeat("A", 2<<20) + `"}`
	r.do(put, "/v1/nodes/web-1/states/provision", 80, drive).want(t, 202)

	for kind, status := range map[string]int{"text/plain": 400, "application/x-www-form-urlencoded": 400, "application/json; charset=utf-8": 201,
		"application/json-patch+json": 201} {
		h := http.Header{"Content-Type": {kind}}
		a := r.send(post, r.url+"/v1/nodes", h, `{"driver": "fake-hardware"}`).want(t, status)
		if status == 400 {
			a.want(t, 400, "Content-Type: application/json")
		}
	}
	h := http.Header{"Content-Type": {"text/plain"}}
	r.send(patch, r.url+"/v1/nodes/detail", h, `[]`).want(t, 405)

	// Patches must not build by steps what one body may not hold.
	id := r.node("tower")
	path, ops := "/extra/a", []string{}
	for range 40 {
		ops = append(ops, fmt.Sprintf(`{"op": "add", "path": "%s", "value": {}}`, path))
		path += "/a"
	}
	r.do(patch, "/v1/nodes/"+id, 80, "["+strings.Join(ops, ",")+"]").want(t, 400, "nested more than 25")
	half := `[{"op": "add", "path": "/extra/%s", "value": "` + strings.Repeat("x", 700<<10) + `"}]`
	r.do(patch, "/v1/nodes/"+id, 80, fmt.Sprintf(half, "one")).want(t, 200)
	r.do(patch, "/v1/nodes/"+id, 80, fmt.Sprintf(half, "two")).want(t, 400, "larger than 1024 KiB")
}

func TestPanic(t *testing.T) {
	r := newRig(t)
	a := newAPI(nil, Options{Log: nil}, []route{{method: get, path: "/v1/nodes/{node}", rule: "node:get", do: (*call).showNode}}, false)
	url := r.serve(a)
	got := r.send(get, url+"/v1/nodes/x", http.Header{"X-Openstack-Ironic-Api-Version": {"1.80"}}, nil).want(t, 500, "internal error")
	id := got.Header.Get("OpenStack-Request-Id")
	got.want(t, 500, id)
}

func TestSetFirmware(t *testing.T) {
	r := newRig(t)
	for i, c := range []struct {
		what   string
		minor  int
		body   string
		status int
		says   string
	}{
		{"boot_mode", 76, `{"target": "uefi"}`, 202, ""},
		{"boot_mode", 80, `{"target": "bios"}`, 202, ""},
		{"boot_mode", 75, `{"target": "uefi"}`, 404, "1.76"},
		{"boot_mode", 80, `{"target": "coreboot"}`, 400, "uefi or bios"},
		{"boot_mode", 80, `{}`, 400, "Missing mandatory parameter: target"},
		{"boot_mode", 80, `{"target": true}`, 400, "target"},
		{"secure_boot", 76, `{"target": true}`, 202, ""},
		{"secure_boot", 80, `{"target": "off"}`, 202, ""},
		{"secure_boot", 75, `{"target": true}`, 404, "1.76"},
		{"secure_boot", 80, `{"target": "perhaps"}`, 400, "true or false"},
		{"secure_boot", 80, `{}`, 400, "Missing mandatory parameter: target"},
		{"secure_boot", 80, `{"target": true, "keys": "default"}`, 400, "Unexpected arguments: keys"},
	} {
		name := fmt.Sprintf("n%d", i)
		r.node(name)
		r.do(put, "/v1/nodes/"+name+"/states/"+c.what, c.minor, c.body).want(t, c.status, c.says)
		if c.status == 202 { // it is held now, by the first
			r.do(put, "/v1/nodes/"+name+"/states/"+c.what, c.minor, c.body).want(t, 409, "is locked by")
		}
	}
	r.do(put, "/v1/nodes/none/states/secure_boot", 80, `{"target": true}`).want(t, 404)
}
