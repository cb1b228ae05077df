package api

import (
	"net/http"
	"strings"

	"ingot/internal/metal"
)

const othersID = "b3f1c7c2-2f6e-4f55-9f3d-0f6f0a0c9b21"

// prepare makes the objects that probes ask for.
func (m *matrixRig) prepare() {
	const mine = `"driver": "fake-hardware", "owner": "p-O", "lessee": "p-L"}`
	m.make("node", "/v1/nodes", `{"name": "mine", `+mine)
	m.make("active", "/v1/nodes", `{"name": "active", `+mine)
	m.make("spare", "/v1/nodes", `{"name": "spare", "instance_uuid": "5c9e3e4d-7a36-4a4c-9d51-7b0a3b4f6d10", `+mine)
	m.make("others", "/v1/nodes", `{"name": "others", "uuid": "`+othersID+`", "driver": "fake-hardware", "owner": "p-N"}`)
	m.state("active", metal.Active)
	for i, on := range []string{"node", "others"} {
		n := string(rune('1' + i))
		of := map[string]string{"node": "", "others": "others"}[on]
		m.make(of+"port", "/v1/ports", `{"node_uuid": "<`+on+`>", "address": "52:54:00:00:00:0`+n+`"}`)
		m.make(of+"portgroup", "/v1/portgroups", `{"node_uuid": "<`+on+`>", "name": "g`+n+`"}`)
		m.make(of+"connector", "/v1/volume/connectors", `{"node_uuid": "<`+on+`>", "type": "iqn", "connector_id": "iqn.`+n+`"}`)
		m.make(of+"target", "/v1/volume/targets", `{"node_uuid": "<`+on+`>", "volume_type": "iscsi", "volume_id": "v`+n+`", "boot_index": 0, "properties": {"k": "v"}}`)
		owner := map[string]string{"node": "p-O", "others": "p-N"}[on]
		m.make(of+"allocation", "/v1/allocations", `{"name": "a`+n+`", "resource_class": "x", "owner": "`+owner+`"}`)
	}
	m.make("chassis", "/v1/chassis", `{"description": "rack"}`)
	m.make("template", "/v1/deploy_templates", `{"name": "CUSTOM_T", "steps": [{"interface": "deploy", "step": "x", "args": {}, "priority": 1}]}`)
	m.make("runbook", "/v1/runbooks", `{"name": "CUSTOM_1", "owner": "p-O", "steps": `+bookSteps+`}`)
	m.make("othersrunbook", "/v1/runbooks", `{"name": "CUSTOM_2", "owner": "p-N", "steps": `+bookSteps+`}`)
	m.make("inspectionrule", "/v1/inspection_rules", `{"description": "r", "actions": [{"op": "fail", "args": {"msg": "no"}}], "conditions": []}`)
	m.make("hiddenos", "/v1/os_definitions", `{"name": "hiddenos", "hidden": true, "bundle": "`+packedOS("x")+`"}`)
	history := m.as("SA", get, m.url+"/v1/nodes/mine/history", "").json(m.t)["history"].([]any)
	m.objects["event"], _ = history[0].(map[string]any)["uuid"].(string)
}

// shows tells whether an answer has text in it; hides, whether it has not.
func shows(text string) func(reply) bool {
	return func(a reply) bool { return a.StatusCode < 300 && strings.Contains(string(a.body), text) }
}

func hides(text string) func(reply) bool {
	return func(a reply) bool { return !strings.Contains(string(a.body), text) }
}

// says tells whether an answer, a refusal too, has text in it.
func says(text string) func(reply) bool {
	return func(a reply) bool { return strings.Contains(string(a.body), text) }
}

// listed is an object of others that a list shows to who may list all.
func listed(name string) func(reply) bool { return shows(name) }

// set is a patch of one field.
func set(path, value string) string {
	return `[{"op": "add", "path": "` + path + `", "value": ` + value + `}]`
}

const aNode = "/v1/nodes/{node}"

var nodeProbes = []probe{
	{"node:list", get, "/v1/nodes", "", nil},
	{"node:list_all", get, "/v1/nodes", "", listed(`"others"`)},
	{"node:list", get, "/v1/nodes/detail", "", nil},
	{"node:list_all", get, "/v1/nodes/detail", "", listed(`"others"`)},
	{"node:create", post, "/v1/nodes", `{"driver": "fake-hardware"}`, nil},
	{"node:create:self_owned_node", post, "/v1/nodes", `{"driver": "fake-hardware"}`, nil},
	{"node:validate", get, "/v1/nodes/validate?node=mine", "", func(a reply) bool { return a.StatusCode != http.StatusNotFound }},
	{"node:get", get, aNode, "", nil},
	{"node:get:last_error", get, aNode, "", hides(noLastError)},
	{"node:get:reservation", get, aNode, "", hides(noReservation)},
	{"node:get:driver_internal_info", get, aNode, "", hides(noInternalInfo)},
	{"node:get:driver_info", get, aNode, "", hides(noDriverInfo)},
	{"node:update", patch, aNode, set("/description", `"x"`), nil},
	{"node:update_extra", patch, aNode, set("/extra/k", `1`), nil},
	{"node:update_instance_info", patch, aNode, set("/instance_info/k", `1`), nil},
	{"node:update:driver_info", patch, aNode, set("/driver_info/k", `1`), nil},
	{"node:update:properties", patch, aNode, set("/properties/k", `1`), nil},
	{"node:update:chassis_uuid", patch, aNode, set("/chassis_uuid", `"<chassis>"`), nil},
	{"node:update:instance_uuid", patch, aNode, set("/instance_uuid", `null`), nil},
	{"node:update:lessee", patch, aNode, set("/lessee", `"p-L"`), nil},
	{"node:update:owner", patch, aNode, set("/owner", `"p-O"`), nil},
	{"node:update_owner_provisioned", patch, "/v1/nodes/{node=active}", set("/owner", `"p-N"`), func(a reply) bool { return a.StatusCode != http.StatusConflict }},
	{"node:update:driver_interfaces", patch, aNode, set("/power_interface", `"fake"`), nil},
	{"node:update:driver_interfaces", patch, aNode, set("/driver", `"fake-hardware"`), nil},
	{"node:update:network_data", patch, aNode, set("/network_data", `{}`), nil},
	{"node:update:conductor_group", patch, aNode, set("/conductor_group", `""`), nil},
	{"node:update:name", patch, aNode, set("/name", `"mine"`), nil},
	{"node:update:retired", patch, aNode, set("/retired", `false`), nil},
	{"node:update:shard", patch, aNode, set("/shard", `"s1"`), nil},
	{"node:update:parent_node", patch, aNode, set("/parent_node", `null`), nil},
	{"node:update:disable_power_off", patch, aNode, set("/disable_power_off", `false`), nil},
	{"node:disable_cleaning", patch, aNode, set("/automated_clean", `false`), nil},
	{"node:validate", get, aNode + "/validate", "", nil},
	{"node:get_states", get, aNode + "/states", "", nil},
	{"node:set_power_state", put, aNode + "/states/power", `{"target": "power on"}`, nil},
	{"node:set_provision_state", put, aNode + "/states/provision", `{"target": "abort"}`, nil},
	{"node:set_provision_state:clean_steps", put, aNode + "/states/provision", `{"target": "clean", "clean_steps": [{"interface": "deploy", "step": "x"}]}`, nil},
	{"node:set_provision_state:service_steps", put, aNode + "/states/provision", `{"target": "service", "service_steps": [{"interface": "deploy", "step": "x"}]}`, nil},
	{"ingot:node:boot_roles", put, aNode + "/states/provision", `{"target": "active", "boot_roles": ["member"]}`, nil},
	{"node:set_boot_mode", put, aNode + "/states/boot_mode", `{"target": "uefi"}`, nil},
	{"node:set_secure_boot", put, aNode + "/states/secure_boot", `{"target": true}`, nil},
	{"node:set_maintenance", put, aNode + "/maintenance", `{"reason": "x"}`, nil},
	{"node:clear_maintenance", del, aNode + "/maintenance", "", nil},
	{"node:get_boot_device", get, aNode + "/management/boot_device", "", nil},
	{"node:set_boot_device", put, aNode + "/management/boot_device", `{"boot_device": "disk"}`, nil},
	{"node:get_boot_device", get, aNode + "/management/boot_device/supported", "", nil},
	{"node:history:get", get, aNode + "/history", "", nil},
	{"node:history:get", get, aNode + "/history/detail", "", nil},
	{"node:history:get", get, aNode + "/history/{uuid=event}", "", nil},
	{"node:inventory:get", get, aNode + "/inventory", "", nil},
	{"node:traits:list", get, aNode + "/traits", "", nil},
	{"node:traits:set", put, aNode + "/traits", `{"traits": []}`, nil},
	{"node:traits:set", put, aNode + "/traits/{trait=CUSTOM_X}", "", nil},
	{"node:traits:delete", del, aNode + "/traits/{trait=CUSTOM_X}", "", nil},
	{"node:traits:delete", del, aNode + "/traits", "", nil},
	{"node:get", get, aNode + "/children", "", nil},
	{"ingot:node:why", get, "/ingot/v1/nodes/{node}/why", "", nil},
	{"ingot:node:security", get, "/ingot/v1/nodes/{node}/security", "", nil},
	{"ingot:node:baseline", get, "/ingot/v1/nodes/{node}/baseline", "", nil},
	{"ingot:node:baseline:accept", put, "/ingot/v1/nodes/{node}/baseline", "", nil},
	{"ingot:node:metadata", get, "/ingot/v1/nodes/{node}/metadata", "", says("has no instance")},
	{"ingot:node:metadata", get, "/ingot/v1/nodes/{node}/metadata/page", "", says("has no instance")},
	{"ingot:vendordata:test", post, "/ingot/v1/nodes/{node}/vendordata/test", "", nil},
	{"ingot:node:erasure", get, "/ingot/v1/nodes/{node}/erasure", "", nil},
	{"ingot:node:events", get, "/ingot/v1/nodes/{node}/events", "", nil},
	{"ingot:node:logs", get, "/ingot/v1/nodes/{node}/logs", "", nil},
	{"ingot:node:logs", get, "/ingot/v1/nodes/{node}/logs/{name=console}", "", nil},
	{"ingot:node:operation", get, aNode + "/operation", "", nil},
}

var hangProbes = []probe{
	{"port:list", get, "/v1/ports", "", nil},
	{"port:list_all", get, "/v1/ports", "", listed("52:54:00:00:00:02")},
	{"port:list", get, "/v1/ports/detail", "", nil},
	{"", get, aNode + "/ports", "", nil},
	{"", get, aNode + "/ports/detail", "", nil},
	{"", post, aNode + "/ports", `{}`, nil},
	{"port:create", post, "/v1/ports", `{"node_uuid": "<node>", "address": "52:54:00:00:00:99"}`, nil},
	{"port:get", get, "/v1/ports/{port}", "", nil},
	{"port:update", patch, "/v1/ports/{port}", set("/extra/k", `1`), nil},
	{"portgroup:list", get, "/v1/portgroups", "", nil},
	{"portgroup:list_all", get, "/v1/portgroups", "", listed(`"g2"`)},
	{"portgroup:list", get, "/v1/portgroups/detail", "", nil},
	{"", get, aNode + "/portgroups", "", nil},
	{"", get, aNode + "/portgroups/detail", "", nil},
	{"", post, aNode + "/portgroups", `{}`, nil},
	{"portgroup:create", post, "/v1/portgroups", `{"node_uuid": "<node>", "name": "g9"}`, nil},
	{"portgroup:get", get, "/v1/portgroups/{portgroup}", "", nil},
	{"portgroup:update", patch, "/v1/portgroups/{portgroup}", set("/extra/k", `1`), nil},
	{"", get, "/v1/portgroups/{portgroup}/ports", "", nil},
	{"", get, "/v1/portgroups/{portgroup}/ports/detail", "", nil},
	{"", post, "/v1/portgroups/{portgroup}/ports", `{}`, nil},
	{"", get, "/v1/volume", "", nil},
	{"", get, aNode + "/volume", "", nil}, // as upstream: without a node, and so for the system only
	{"", get, aNode + "/volume/connectors", "", nil},
	{"", post, aNode + "/volume/connectors", `{}`, nil},
	{"", get, aNode + "/volume/targets", "", nil},
	{"", post, aNode + "/volume/targets", `{}`, nil},
	{"volume:list", get, "/v1/volume/connectors", "", nil},
	{"volume:list_all", get, "/v1/volume/connectors", "", listed(`"iqn.2"`)},
	{"volume:create", post, "/v1/volume/connectors", `{"node_uuid": "<node>", "type": "iqn", "connector_id": "iqn.9"}`, nil},
	{"volume:get", get, "/v1/volume/connectors/{uuid=connector}", "", nil},
	{"volume:update", patch, "/v1/volume/connectors/{uuid=connector}", set("/extra/k", `1`), nil},
	{"volume:list", get, "/v1/volume/targets", "", nil},
	{"volume:list_all", get, "/v1/volume/targets", "", listed(`"v2"`)},
	{"volume:create", post, "/v1/volume/targets", `{"node_uuid": "<node>", "volume_type": "iscsi", "volume_id": "v9", "boot_index": 9}`, nil},
	{"volume:get", get, "/v1/volume/targets/{uuid=target}", "", nil},
	{"volume:update", patch, "/v1/volume/targets/{uuid=target}", set("/extra/k", `1`), nil},
	{"chassis:get", get, "/v1/chassis", "", nil},
	{"chassis:get", get, "/v1/chassis/detail", "", nil},
	{"chassis:create", post, "/v1/chassis", `{}`, nil},
	{"chassis:get", get, "/v1/chassis/{uuid=chassis}", "", nil},
	{"chassis:update", patch, "/v1/chassis/{uuid=chassis}", set("/extra/k", `1`), nil},
	{"", get, "/v1/chassis/{uuid=chassis}/nodes", "", nil},
	{"", get, "/v1/chassis/{uuid=chassis}/nodes/detail", "", nil},
	{"shards:get", get, "/v1/shards", "", nil},
	{"events:post", post, "/v1/events", `{"events": [{"event": "network.bind_port", "port_id": "<port>", "mac_address": "52:54:00:00:00:01", "status": "ACTIVE"}]}`, nil},
}

var otherProbes = []probe{
	{"", get, "/{$}", "", nil},
	{"", get, "/openapi.json", "", nil},
	{"public_api", get, "/v1", "", nil},
	{"allocation:list", get, "/v1/allocations", "", nil},
	{"allocation:list_all", get, "/v1/allocations", "", listed(`"a2"`)},
	{"allocation:create", post, "/v1/allocations", `{"resource_class": "x"}`, nil},
	{"allocation:create_restricted", post, "/v1/allocations", `{"resource_class": "x", "owner": "p-N"}`, nil},
	{"allocation:get", get, "/v1/allocations/{allocation}", "", nil},
	{"allocation:update", patch, "/v1/allocations/{allocation}", set("/extra/k", `1`), nil},
	{"", get, aNode + "/allocation", "", nil},
	{"", del, aNode + "/allocation", "", nil},
	{"runbook:list", get, "/v1/runbooks", "", nil},
	{"runbook:list_all", get, "/v1/runbooks", "", listed(`"CUSTOM_2"`)},
	{"runbook:create", post, "/v1/runbooks", `{"name": "CUSTOM_3", "steps": ` + bookSteps + `}`, nil},
	{"runbook:get", get, "/v1/runbooks/{runbook}", "", nil},
	{"runbook:update", patch, "/v1/runbooks/{runbook}", set("/extra/k", `1`), nil},
	{"runbook:update:owner", patch, "/v1/runbooks/{runbook}", set("/owner", `"p-O"`), nil},
	{"runbook:update:public", patch, "/v1/runbooks/{runbook}", set("/public", `false`), nil},
	{"", put, aNode + "/states/provision", `{"target": "clean", "runbook": "<runbook>"}`, nil},
	{"runbook:get", get, "/v1/runbooks/{runbook}/traits", "", nil},
	{"runbook:update", put, "/v1/runbooks/{runbook}/traits", `{"traits": ["CUSTOM_A"]}`, nil},
	{"runbook:update", put, "/v1/runbooks/{runbook}/traits/{trait=CUSTOM_X}", "", nil},
	{"runbook:update", del, "/v1/runbooks/{runbook}/traits/{trait=CUSTOM_X}", "", nil},
	{"runbook:update", del, "/v1/runbooks/{runbook}/traits", "", nil},
	{"deploy_template:get", get, "/v1/deploy_templates", "", nil},
	{"deploy_template:create", post, "/v1/deploy_templates", `{"name": "CUSTOM_U", "steps": [{"interface": "deploy", "step": "x", "args": {}, "priority": 1}]}`, nil},
	{"deploy_template:get", get, "/v1/deploy_templates/{template}", "", nil},
	{"deploy_template:update", patch, "/v1/deploy_templates/{template}", set("/extra/k", `1`), nil},
	{"inspection_rule:list_all", get, "/v1/inspection_rules", "", nil},
	{"inspection_rule:create", post, "/v1/inspection_rules", `{"actions": [{"op": "fail", "args": {"msg": "no"}}]}`, nil},
	{"inspection_rule:get", get, "/v1/inspection_rules/{uuid=inspectionrule}", "", nil},
	{"inspection_rule:update", patch, "/v1/inspection_rules/{uuid=inspectionrule}", set("/description", `"x"`), nil},
	{"ingot:os:list", get, "/v1/os_definitions", "", nil},
	{"ingot:os:list_all", get, "/v1/os_definitions", "", listed(`"hiddenos"`)},
	{"ingot:os:create", post, "/v1/os_definitions", `{"name": "another", "bundle": "` + packedOS("x") + `"}`, nil},
	{"ingot:os:get", get, "/v1/os_definitions/{definition=hiddenos}", "", nil},
	{"ingot:os:update", patch, "/v1/os_definitions/{definition=hiddenos}", set("/description", `"x"`), nil},
	{"ingot:os:bundle", get, "/v1/os_definitions/{definition=hiddenos}/bundle", "", nil},
	{"ingot:os:update", put, "/v1/os_definitions/{definition=hiddenos}/bundle", `{"bundle": "` + packedOS("x") + `"}`, nil},
	{"ingot:os:trust", put, "/v1/os_definitions/{definition=hiddenos}/trust", `{"digest": "` + digestOS("x") + `"}`, nil},
	{"ingot:os:trust", del, "/v1/os_definitions/{definition=hiddenos}/trust", "", nil},
	{"driver:get", get, "/v1/drivers", "", nil},
	{"driver:get", get, "/v1/drivers/{driver=fake-hardware}", "", nil},
	{"driver:get_properties", get, "/v1/drivers/{driver=fake-hardware}/properties", "", nil},
	{"conductor:get", get, "/v1/conductors", "", nil},
	{"conductor:get", get, "/v1/conductors/{hostname=c1}", "", nil},
	{"ingot:policy:list", get, "/ingot/v1/policy", "", nil},
	{"ingot:policy:explain", get, "/ingot/v1/policy/explain?rule=node:get", "", nil},
	{"ingot:server:list", get, "/ingot/v1/servers", "", nil},
	{"ingot:erasure:keys", get, "/ingot/v1/erasure/keys", "", nil},
	{"ingot:server:revoke", del, "/ingot/v1/servers/{server=gone}", "", nil},
	{"ingot:operation:list", get, "/v1/operations", "", nil},
	{"ingot:events", get, "/v1/events", "", nil},
	{"ingot:events:list_all", get, "/v1/events", "", listed(othersID)},
	{"ingot:doctor", get, "/v1/doctor", "", nil},
	{"ingot:doctor:all", get, "/v1/doctor", "", shows(`"schema"`)},
	{"ingot:debug", get, "/ingot/v1/debug/{dump=none}", "", nil},
}

var deletingProbes = []probe{
	{"port:delete", del, "/v1/ports/{port}", "", nil},
	{"portgroup:delete", del, "/v1/portgroups/{portgroup}", "", nil},
	{"volume:delete", del, "/v1/volume/connectors/{uuid=connector}", "", nil},
	{"volume:delete", del, "/v1/volume/targets/{uuid=target}", "", nil},
	{"chassis:delete", del, "/v1/chassis/{uuid=chassis}", "", nil},
	{"allocation:delete", del, "/v1/allocations/{allocation}", "", nil},
	{"runbook:delete", del, "/v1/runbooks/{runbook}", "", nil},
	{"deploy_template:delete", del, "/v1/deploy_templates/{template}", "", nil},
	{"ingot:os:delete", del, "/v1/os_definitions/{definition=hiddenos}", "", nil},
	{"inspection_rule:delete", del, "/v1/inspection_rules/{uuid=inspectionrule}", "", nil},
	{"node:delete", del, "/v1/nodes/{node=spare}", "", nil},
	{"node:delete:self_owned_node", del, "/v1/nodes/{node=spare}", "", nil},
}

// agentProbes are for everybody: what is asked for need not be there.
var agentProbes = []probe{
	{"driver:ipa_lookup", get, "/v1/lookup?addresses=52:54:00:00:00:77", "", nil},
	{"node:ipa_heartbeat", post, "/v1/heartbeat/{node=0d4f5f0e-5a3c-4d60-b0c5-3f7f5f6b9a11}", `{"callback_url": "https://192.0.2.1:9999"}`, hides("denied")},
	{"driver:ipa_continue_inspection", post, "/v1/continue_inspection", `{}`, nil},
}
