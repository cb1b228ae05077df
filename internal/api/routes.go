package api

import (
	"net/http"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
)

// route is one method of one path.
type route struct {
	method string
	path   string // as net/http's mux takes it; always with /v1 (or /ingot/v1) and without trailing slash
	rule   policy.Rule
	min    int    // minor of the first microversion that has it; 0 is 1.1
	below  int    // status for older requests; 0 is 404
	first  bool   // the first version has it, too
	takes  string // query parameters; for actions, keys of the body as well
	limit  size   // of the body
	hosted bool   // that no live conductor serves the node is 400 instead of 404; source: rest-api reference, "Status codes" and §3
	untold bool   // the body is JSON although the request does not say so
	do     func(*call) (answer, error)
}

const (
	get    = http.MethodGet
	post   = http.MethodPost
	put    = http.MethodPut
	patch  = http.MethodPatch
	del    = http.MethodDelete
	paged  = "limit marker sort_key sort_dir"
	chosen = paged + " fields detail"
)

// nodeFilters are the parameters of node lists; nodeQuery reads them. Source: rest-api reference §2.1.
const nodeFilters = "instance_uuid chassis_uuid associated maintenance retired provision_state driver resource_class fault " +
	"conductor_group conductor owner lessee project description_contains shard sharded include_children parent_node instance_name os_definition"

const portFilters = "node node_uuid address portgroup shard description_contains conductor_groups"

const portgroupFilters = "node address shard conductor_groups"

const provisionArgs = "target configdrive clean_steps deploy_steps service_steps rescue_password rescue_ssh_keys rescue_callback_timeout disable_ramdisk runbook secrets boot_roles " +
	"os_definition force_variant os_parameters os_parameters_private os_parameters_secret execution_mode safe_install personalization_url personalization_user personalization_password " +
	"os_import_url os_import_user os_import_password"

// discovery is what both doors have.
var discovery = []route{
	{method: get, path: "/{$}", rule: "public_api", do: (*call).root},
	{method: get, path: "/v1", rule: "public_api", do: (*call).v1},
}

// routes is everything operators and their tools may ask for. Paths without /v1 are served as if they had
// it. Paths that upstream has and this server has not are in absent.go.
var routes = slices.Concat(discovery, vendorRoutes(), []route{
	{method: get, path: "/openapi.json", rule: "public_api", do: (*call).openapi},

	{method: get, path: "/v1/nodes", rule: "node:list", takes: chosen + " " + nodeFilters, do: (*call).listNodes},
	{method: get, path: "/v1/nodes/detail", rule: "node:list", takes: paged + " " + nodeFilters, do: (*call).detailNodes},
	{method: post, path: "/v1/nodes", rule: "node:create", hosted: true, do: (*call).createNode},
	{method: get, path: "/v1/nodes/validate", rule: "node:validate", takes: "node node_uuid", do: (*call).validateNamed},
	{method: get, path: "/v1/nodes/{node}", rule: "node:get", takes: "fields", do: (*call).showNode},
	{method: patch, path: "/v1/nodes/{node}", rule: "node:update", takes: "reset_interfaces", hosted: true, do: (*call).patchNode},
	{method: del, path: "/v1/nodes/{node}", rule: "node:delete", do: (*call).deleteNode},
	{method: get, path: "/v1/nodes/{node}/validate", rule: "node:validate", do: (*call).validateNode},

	{method: get, path: "/v1/nodes/{node}/states", rule: "node:get_states", do: (*call).showStates},
	{method: put, path: "/v1/nodes/{node}/states/power", rule: "node:set_power_state", takes: "target timeout", do: (*call).setPower},
	{method: put, path: "/v1/nodes/{node}/states/provision", rule: "node:set_provision_state", takes: provisionArgs, limit: provisionSize, do: (*call).setProvision},
	{method: put, path: "/v1/nodes/{node}/states/boot_mode", rule: "node:set_boot_mode", min: 76, takes: "target", do: (*call).setBootMode},
	{method: put, path: "/v1/nodes/{node}/states/secure_boot", rule: "node:set_secure_boot", min: 76, takes: "target", do: (*call).setSecureBoot},
	{method: put, path: "/v1/nodes/{node}/states/raid", rule: "node:set_raid_state", min: 12, below: http.StatusNotAcceptable, do: (*call).setRAID},
	{method: get, path: "/v1/nodes/{node}/states/console", rule: "node:get_console", do: (*call).console},
	{method: put, path: "/v1/nodes/{node}/states/console", rule: "node:set_console_state", takes: "enabled", do: (*call).setConsole},
	{method: put, path: "/v1/nodes/{node}/maintenance", rule: "node:set_maintenance", takes: "reason", do: (*call).setMaintenance},
	{method: del, path: "/v1/nodes/{node}/maintenance", rule: "node:clear_maintenance", do: (*call).clearMaintenance},
	{method: get, path: "/v1/nodes/{node}/management/boot_device", rule: "node:get_boot_device", do: (*call).bootDevice},
	{method: put, path: "/v1/nodes/{node}/management/boot_device", rule: "node:set_boot_device", takes: "boot_device persistent", do: (*call).setBootDevice},
	{method: get, path: "/v1/nodes/{node}/management/boot_device/supported", rule: "node:get_boot_device", do: (*call).bootDevices},
	{method: put, path: "/v1/nodes/{node}/management/inject_nmi", rule: "node:inject_nmi", min: 29, do: (*call).injectNMI},
	{method: get, path: "/v1/nodes/{node}/management/indicators", rule: "node:get_indicator_state", do: (*call).listIndicators},
	{method: get, path: "/v1/nodes/{node}/management/indicators/{indicator}", rule: "node:get_indicator_state", do: (*call).showIndicator},
	{method: put, path: "/v1/nodes/{node}/management/indicators/{indicator}", rule: "node:set_indicator_state", takes: "state", do: (*call).setIndicator},
	{method: get, path: "/v1/nodes/{node}/vifs", rule: "node:vif:list", min: 28, hosted: true, do: (*call).listVIFs},
	{method: post, path: "/v1/nodes/{node}/vifs", rule: "node:vif:attach", min: 28, hosted: true, do: (*call).attachVIF},
	{method: del, path: "/v1/nodes/{node}/vifs/{vif}", rule: "node:vif:detach", min: 28, hosted: true, do: (*call).detachVIF},
	{method: get, path: "/v1/nodes/{node}/vmedia", rule: "node:vmedia:get", min: 93, hosted: true, do: (*call).listMedia},
	{method: post, path: "/v1/nodes/{node}/vmedia", rule: "node:vmedia:attach", min: 89, hosted: true, do: (*call).attachMedia},
	{method: del, path: "/v1/nodes/{node}/vmedia", rule: "node:vmedia:detach", min: 89, takes: "device_types", hosted: true, do: (*call).detachMedia},
	{method: get, path: "/v1/nodes/{node}/bios", rule: "node:bios:get", min: 40, takes: "fields detail", do: (*call).listBIOS},
	{method: get, path: "/v1/nodes/{node}/bios/{setting}", rule: "node:bios:get", min: 40, do: (*call).showBIOS},
	{method: get, path: "/v1/nodes/{node}/firmware", rule: "node:firmware:get", min: 86, takes: "fields detail", do: (*call).listFirmware},
	{method: get, path: "/v1/nodes/{node}/history", rule: "node:history:get", min: 78, takes: paged + " detail", do: (*call).listHistory},
	{method: get, path: "/v1/nodes/{node}/history/detail", rule: "node:history:get", min: 78, takes: paged, do: (*call).detailHistory},
	{method: get, path: "/v1/nodes/{node}/history/{uuid}", rule: "node:history:get", min: 78, do: (*call).showHistory},
	{method: get, path: "/v1/nodes/{node}/inventory", rule: "node:inventory:get", min: 81, do: (*call).inventory},
	{method: get, path: "/v1/nodes/{node}/ports", rule: "port:list", takes: chosen, do: (*call).nodePorts},
	{method: post, path: "/v1/nodes/{node}/ports", rule: "port:create", do: (*call).malformed},
	{method: get, path: "/v1/nodes/{node}/ports/detail", rule: "port:list", takes: paged, do: (*call).nodePortsDetail},

	{method: get, path: "/v1/nodes/{node}/portgroups", rule: "portgroup:list", min: 24, takes: chosen, do: (*call).nodePortgroups},
	{method: post, path: "/v1/nodes/{node}/portgroups", rule: "portgroup:create", min: 24, do: (*call).malformed},
	{method: get, path: "/v1/nodes/{node}/portgroups/detail", rule: "portgroup:list", min: 24, takes: paged, do: (*call).nodePortgroupsDetail},
	{method: get, path: "/v1/nodes/{node}/volume", rule: "volume:get", min: 32, do: (*call).volume},
	{method: get, path: "/v1/nodes/{node}/volume/connectors", rule: "volume:list", min: 32, takes: chosen, do: (*call).listConnectors},
	{method: post, path: "/v1/nodes/{node}/volume/connectors", rule: "volume:create", min: 32, do: (*call).malformed},
	{method: get, path: "/v1/nodes/{node}/volume/targets", rule: "volume:list", min: 32, takes: chosen, do: (*call).listTargets},
	{method: post, path: "/v1/nodes/{node}/volume/targets", rule: "volume:create", min: 32, do: (*call).malformed},
	{method: get, path: "/v1/nodes/{node}/children", rule: "node:get", min: 83, do: (*call).children},

	{method: get, path: "/v1/portgroups", rule: "portgroup:list", min: 23, takes: chosen + " " + portgroupFilters, do: (*call).listPortgroups},
	{method: get, path: "/v1/portgroups/detail", rule: "portgroup:list", min: 23, takes: paged + " " + portgroupFilters, do: (*call).detailPortgroups},
	{method: post, path: "/v1/portgroups", rule: "portgroup:create", min: 23, do: (*call).createPortgroup},
	{method: get, path: "/v1/portgroups/{portgroup}", rule: "portgroup:get", min: 23, takes: "fields", do: (*call).showPortgroup},
	{method: patch, path: "/v1/portgroups/{portgroup}", rule: "portgroup:update", min: 23, do: (*call).patchPortgroup},
	{method: del, path: "/v1/portgroups/{portgroup}", rule: "portgroup:delete", min: 23, do: (*call).deletePortgroup},
	{method: get, path: "/v1/portgroups/{portgroup}/ports", rule: "port:list", min: 24, takes: chosen, do: (*call).portgroupPorts},
	{method: post, path: "/v1/portgroups/{portgroup}/ports", rule: "port:create", min: 24, do: (*call).malformed},
	{method: get, path: "/v1/portgroups/{portgroup}/ports/detail", rule: "port:list", min: 24, takes: paged, do: (*call).portgroupPortsDetail},

	{method: get, path: "/v1/chassis", rule: "chassis:get", takes: chosen, do: (*call).listChassis},
	{method: get, path: "/v1/chassis/detail", rule: "chassis:get", takes: paged, do: (*call).detailChassis},
	{method: post, path: "/v1/chassis", rule: "chassis:create", do: (*call).createChassis},
	{method: get, path: "/v1/chassis/{uuid}", rule: "chassis:get", takes: "fields", do: (*call).showChassis},
	{method: patch, path: "/v1/chassis/{uuid}", rule: "chassis:update", do: (*call).patchChassis},
	{method: del, path: "/v1/chassis/{uuid}", rule: "chassis:delete", do: (*call).deleteChassis},
	{method: get, path: "/v1/chassis/{uuid}/nodes", rule: "node:list", takes: chosen + " " + nodeFilters, do: (*call).chassisNodes},
	{method: get, path: "/v1/chassis/{uuid}/nodes/detail", rule: "node:list", takes: paged + " " + nodeFilters, do: (*call).chassisNodesDetail},

	{method: get, path: "/v1/volume", rule: "volume:get", min: 32, do: (*call).volume},
	{method: get, path: "/v1/volume/connectors", rule: "volume:list", min: 32, takes: chosen + " node", do: (*call).listConnectors},
	{method: post, path: "/v1/volume/connectors", rule: "volume:create", min: 32, do: (*call).createConnector},
	{method: get, path: "/v1/volume/connectors/{uuid}", rule: "volume:get", min: 32, takes: "fields", do: (*call).showConnector},
	{method: patch, path: "/v1/volume/connectors/{uuid}", rule: "volume:update", min: 32, do: (*call).patchConnector},
	{method: del, path: "/v1/volume/connectors/{uuid}", rule: "volume:delete", min: 32, do: (*call).deleteConnector},
	{method: get, path: "/v1/volume/targets", rule: "volume:list", min: 32, takes: chosen + " node", do: (*call).listTargets},
	{method: post, path: "/v1/volume/targets", rule: "volume:create", min: 32, do: (*call).createTarget},
	{method: get, path: "/v1/volume/targets/{uuid}", rule: "volume:get", min: 32, takes: "fields", do: (*call).showTarget},
	{method: patch, path: "/v1/volume/targets/{uuid}", rule: "volume:update", min: 32, do: (*call).patchTarget},
	{method: del, path: "/v1/volume/targets/{uuid}", rule: "volume:delete", min: 32, do: (*call).deleteTarget},

	{method: get, path: "/v1/shards", rule: "shards:get", min: 82, do: (*call).listShards},

	{method: get, path: "/v1/ports", rule: "port:list", takes: chosen + " " + portFilters, do: (*call).listPorts},
	{method: get, path: "/v1/ports/detail", rule: "port:list", takes: paged + " " + portFilters, do: (*call).detailPorts},
	{method: post, path: "/v1/ports", rule: "port:create", do: (*call).createPort},
	{method: get, path: "/v1/ports/{port}", rule: "port:get", takes: "fields", do: (*call).showPort},
	{method: patch, path: "/v1/ports/{port}", rule: "port:update", do: (*call).patchPort},
	{method: del, path: "/v1/ports/{port}", rule: "port:delete", do: (*call).deletePort},

	{method: get, path: "/v1/nodes/{node}/traits", rule: "node:traits:list", min: 37, below: http.StatusNotAcceptable, do: (*call).listTraits},
	{method: put, path: "/v1/nodes/{node}/traits", rule: "node:traits:set", min: 37, below: http.StatusMethodNotAllowed, takes: "traits", do: (*call).setTraits},
	{method: del, path: "/v1/nodes/{node}/traits", rule: "node:traits:delete", min: 37, do: (*call).clearTraits},
	{method: put, path: "/v1/nodes/{node}/traits/{trait}", rule: "node:traits:set", min: 37, below: http.StatusMethodNotAllowed, do: (*call).addTrait},
	{method: del, path: "/v1/nodes/{node}/traits/{trait}", rule: "node:traits:delete", min: 37, do: (*call).dropTrait},

	{method: get, path: "/v1/allocations", rule: "allocation:list", min: 52, takes: paged + " fields " + allocationFilters, do: (*call).listAllocations},
	{method: post, path: "/v1/allocations", rule: "allocation:create", min: 52, below: http.StatusMethodNotAllowed, do: (*call).createAllocation},
	{method: get, path: "/v1/allocations/{allocation}", rule: "allocation:get", min: 52, takes: "fields", do: (*call).showAllocation},
	{method: patch, path: "/v1/allocations/{allocation}", rule: "allocation:update", min: 57, below: http.StatusMethodNotAllowed, do: (*call).patchAllocation},
	{method: del, path: "/v1/allocations/{allocation}", rule: "allocation:delete", min: 52, below: http.StatusMethodNotAllowed, do: (*call).deleteAllocation},
	{method: get, path: "/v1/nodes/{node}/allocation", rule: "allocation:get", min: 52, takes: "fields", do: (*call).nodeAllocation},
	{method: del, path: "/v1/nodes/{node}/allocation", rule: "allocation:delete", min: 52, do: (*call).deleteNodeAllocation},

	{method: get, path: "/v1/runbooks", rule: "runbook:list", min: 92, takes: chosen + " project", do: (*call).listRunbooks},
	{method: post, path: "/v1/runbooks", rule: "runbook:create", min: 92, below: http.StatusMethodNotAllowed, do: (*call).createRunbook},
	{method: get, path: "/v1/runbooks/{runbook}", rule: "runbook:get", min: 92, takes: "fields", do: (*call).showRunbook},
	{method: patch, path: "/v1/runbooks/{runbook}", rule: "runbook:update", min: 92, below: http.StatusMethodNotAllowed, do: (*call).patchRunbook},
	{method: del, path: "/v1/runbooks/{runbook}", rule: "runbook:delete", min: 92, below: http.StatusMethodNotAllowed, do: (*call).deleteRunbook},
	{method: get, path: "/v1/runbooks/{runbook}/traits", rule: "runbook:get", min: 112, do: (*call).listRunbookTraits},
	{method: put, path: "/v1/runbooks/{runbook}/traits", rule: "runbook:update", min: 112, takes: "traits", do: (*call).setRunbookTraits},
	{method: del, path: "/v1/runbooks/{runbook}/traits", rule: "runbook:update", min: 112, do: (*call).clearRunbookTraits},
	{method: put, path: "/v1/runbooks/{runbook}/traits/{trait}", rule: "runbook:update", min: 112, do: (*call).addRunbookTrait},
	{method: del, path: "/v1/runbooks/{runbook}/traits/{trait}", rule: "runbook:update", min: 112, do: (*call).dropRunbookTrait},

	{method: get, path: "/v1/deploy_templates", rule: "deploy_template:get", min: 55, takes: chosen, do: (*call).listTemplates},
	{method: post, path: "/v1/deploy_templates", rule: "deploy_template:create", min: 55, below: http.StatusMethodNotAllowed, do: (*call).createTemplate},
	{method: get, path: "/v1/deploy_templates/{template}", rule: "deploy_template:get", min: 55, takes: "fields", do: (*call).showTemplate},
	{method: patch, path: "/v1/deploy_templates/{template}", rule: "deploy_template:update", min: 55, below: http.StatusMethodNotAllowed, do: (*call).patchTemplate},
	{method: del, path: "/v1/deploy_templates/{template}", rule: "deploy_template:delete", min: 55, below: http.StatusMethodNotAllowed, do: (*call).deleteTemplate},

	{method: get, path: "/v1/inspection_rules", rule: "inspection_rule:list_all", min: 96, takes: chosen + " phase", do: (*call).listRules},
	{method: post, path: "/v1/inspection_rules", rule: "inspection_rule:create", min: 96, below: http.StatusMethodNotAllowed, do: (*call).createRule},
	{method: get, path: "/v1/inspection_rules/{uuid}", rule: "inspection_rule:get", min: 96, takes: "fields", do: (*call).showRule},
	{method: patch, path: "/v1/inspection_rules/{uuid}", rule: "inspection_rule:update", min: 96, below: http.StatusMethodNotAllowed, do: (*call).patchRule},
	{method: del, path: "/v1/inspection_rules/{uuid}", rule: "inspection_rule:delete", min: 96, below: http.StatusMethodNotAllowed, do: (*call).deleteRule},

	{method: get, path: "/v1/drivers", rule: "driver:get", takes: "type detail fields", do: (*call).listDrivers},
	{method: get, path: "/v1/drivers/{driver}", rule: "driver:get", takes: "fields", do: (*call).showDriver},
	{method: get, path: "/v1/drivers/{driver}/properties", rule: "driver:get_properties", do: (*call).driverProperties},
	{method: get, path: "/v1/drivers/{driver}/raid/logical_disk_properties", rule: "driver:get_raid_logical_disk_properties", min: 12, below: http.StatusNotAcceptable, do: (*call).logicalDiskProperties},
	{method: get, path: "/v1/nodes/{node}/vendor_passthru/methods", rule: "node:vendor_passthru", do: (*call).vendorMethods},
	{method: get, path: "/v1/drivers/{driver}/vendor_passthru/methods", rule: "driver:vendor_passthru", do: (*call).driverVendorMethods},
	{method: get, path: "/v1/conductors", rule: "conductor:get", min: 49, takes: chosen, do: (*call).listConductors},
	{method: get, path: "/v1/conductors/{hostname}", rule: "conductor:get", min: 49, takes: "fields", do: (*call).showConductor},

	// Ours. Their version is in the path; microversions do not change them.
	{method: get, path: "/ingot/v1/policy", rule: "ingot:policy:list", do: (*call).listPolicy},
	{method: get, path: "/ingot/v1/policy/explain", rule: "ingot:policy:explain", takes: "rule node user roles project system", do: (*call).explain},
	{method: get, path: "/ingot/v1/servers", rule: "ingot:server:list", do: (*call).listServers},
	{method: del, path: "/ingot/v1/servers/{server}", rule: "ingot:server:revoke", do: (*call).revokeServer},
	{method: get, path: "/ingot/v1/nodes/{node}/why", rule: "ingot:node:why", do: (*call).why},
	{method: get, path: "/ingot/v1/nodes/{node}/events", rule: "ingot:node:events", takes: "after limit", do: (*call).events},
	{method: get, path: "/v1/nodes/{node}/operation", rule: "ingot:node:operation", do: (*call).operation},
	{method: get, path: "/v1/os_definitions", rule: "ingot:os:list", takes: chosen, do: (*call).listOS},
	{method: post, path: "/v1/os_definitions", rule: "ingot:os:create", limit: bundleSize, do: (*call).createOS},
	{method: get, path: "/v1/os_definitions/{definition}", rule: "ingot:os:get", takes: "fields", do: (*call).showOS},
	{method: patch, path: "/v1/os_definitions/{definition}", rule: "ingot:os:update", do: (*call).patchOS},
	{method: del, path: "/v1/os_definitions/{definition}", rule: "ingot:os:delete", do: (*call).deleteOS},
	{method: get, path: "/v1/os_definitions/{definition}/bundle", rule: "ingot:os:bundle", do: (*call).bundleOS},
	{method: put, path: "/v1/os_definitions/{definition}/bundle", rule: "ingot:os:update", takes: "bundle", limit: bundleSize, do: (*call).replaceOS},
	{method: put, path: "/v1/os_definitions/{definition}/trust", rule: "ingot:os:trust", takes: "digest", do: (*call).trustOS},
	{method: del, path: "/v1/os_definitions/{definition}/trust", rule: "ingot:os:trust", do: (*call).distrustOS},
	{method: get, path: "/v1/operations", rule: "ingot:operation:list", takes: "limit marker provision_state waiting_for holder", do: (*call).operations},
	{method: get, path: "/v1/events", rule: "ingot:events", takes: "node after limit", do: (*call).allEvents},
	{method: get, path: "/v1/doctor", rule: "ingot:doctor", do: (*call).doctor},
	{method: get, path: "/ingot/v1/debug/{dump}", rule: "ingot:debug", do: (*call).dump},
	{method: post, path: "/v1/events", rule: "events:post", min: 54, do: (*call).networkEvents},
	{method: get, path: "/ingot/v1/nodes/{node}/logs", rule: "ingot:node:logs", do: (*call).logs},
	{method: get, path: "/ingot/v1/nodes/{node}/logs/{name}", rule: "ingot:node:logs", do: (*call).logData},
	{method: get, path: "/ingot/v1/nodes/{node}/security", rule: "ingot:node:security", do: (*call).security},
	{method: get, path: "/ingot/v1/nodes/{node}/metadata", rule: "ingot:node:metadata", do: (*call).instanceData},
	{method: get, path: "/ingot/v1/nodes/{node}/metadata/page", rule: "ingot:node:metadata", takes: "path", do: (*call).instancePage},
	{method: post, path: "/ingot/v1/nodes/{node}/vendordata/test", rule: "ingot:vendordata:test", takes: "fresh", do: (*call).testVendordata},
	{method: get, path: "/ingot/v1/nodes/{node}/erasure", rule: "ingot:node:erasure", do: (*call).erasure},
	{method: get, path: "/ingot/v1/nodes/{node}/baseline", rule: "ingot:node:baseline", do: (*call).baseline},
	{method: put, path: "/ingot/v1/nodes/{node}/baseline", rule: "ingot:node:baseline:accept", do: (*call).acceptBaseline},
	{method: get, path: "/ingot/v1/erasure/keys", rule: "ingot:erasure:keys", do: (*call).erasureKeys},
})

// vendorRoutes are the calls of vendor methods: any of HTTP's, named in the path or in the query.
func vendorRoutes() (out []route) {
	for _, method := range []string{get, post, put, patch, del} {
		out = append(out,
			route{method: method, path: "/v1/nodes/{node}/vendor_passthru", rule: "node:vendor_passthru", takes: "method", do: (*call).callVendor},
			route{method: method, path: "/v1/nodes/{node}/vendor_passthru/{method}", rule: "node:vendor_passthru", do: (*call).callVendor},
			route{method: method, path: "/v1/drivers/{driver}/vendor_passthru", rule: "driver:vendor_passthru", takes: "method", do: (*call).callDriverVendor},
			route{method: method, path: "/v1/drivers/{driver}/vendor_passthru/{method}", rule: "driver:vendor_passthru", do: (*call).callDriverVendor})
	}
	return out
}

// agentRoutes is what agents in ramdisks ask for. They cannot log in: they prove themselves by the token of
// their boot, which ops checks.
var agentRoutes = []route{
	{method: get, path: "/v1/lookup", rule: "driver:ipa_lookup", min: 22, takes: "addresses node_uuid", do: (*call).lookup},
	{method: post, path: "/v1/heartbeat/{node}", rule: "node:ipa_heartbeat", min: 22,
		takes: "callback_url agent_token agent_version agent_verify_ca agent_status agent_status_message", do: (*call).heartbeat},
	{method: post, path: "/v1/continue_inspection", rule: "driver:ipa_continue_inspection", min: metal.SinceReportAnswer, first: true, takes: "node_uuid",
		limit: inspectionSize, untold: true, do: (*call).continueInspection},
}

// public tells whether the route needs no authentication.
func (rt route) public() bool {
	switch rt.rule {
	case "public_api", "driver:ipa_lookup", "node:ipa_heartbeat", "driver:ipa_continue_inspection":
		return true
	}
	return false
}

// hidden is the answer to a request that is older than the route.
func (rt route) hidden(c *call, e entry) error {
	switch rt.below {
	case http.StatusNotAcceptable:
		return tooOld(c.path, rt.min, c.minor)
	case http.StatusMethodNotAllowed:
		no := e.notAllowed(rt.method)
		no.text, no.known = tooOld(c.path, rt.min, c.minor).Public, true
		return no
	}
	return fault.New(fault.NotFound, "%s", tooOld(c.path, rt.min, c.minor).Public)
}

func notHere(text string) error { return &routeError{status: http.StatusNotFound, text: text} }

func badState(format string, args ...any) error { return fault.New(fault.BadState, format, args...) }

func invalid(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }
