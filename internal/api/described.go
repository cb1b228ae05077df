package api

import (
	"net/http"

	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/wire"
)

// description is what the documents say of a route beside its row in routes.
type description struct {
	about string // one sentence, for a reader who knows the resource
	body  schema // of the request, if it is not the keys the route takes
	gives schema // of the answer; none: it has no body
	ok    int    // status of success; 0: 201 for POST, 204 for DELETE, 202 for PUT, else 200
}

// success is the status of a request that did what it asked.
func (d description) success(method string) int {
	switch {
	case d.ok != 0:
		return d.ok
	case method == post:
		return http.StatusCreated
	case method == del:
		return http.StatusNoContent
	case method == put:
		return http.StatusAccepted
	}
	return http.StatusOK
}

// described has one row for each route: GET /openapi.json and docs/api.md are made of it and of routes.
// TestEveryRouteIsDescribed holds them against each other.
var described = withVendor(map[string]description{
	"GET /{$}":          {about: "The versions this server speaks. It needs no authentication.", gives: like[wire.Root]()},
	"GET /v1":           {about: "The resources there are at the version asked with. It needs no authentication.", gives: anObject},
	"GET /openapi.json": {about: "This API as an OpenAPI 3.1 document.", gives: anObject},

	"GET /v1/nodes":                 {about: "Lists nodes.", gives: page("nodes", wire.NodeFields)},
	"GET /v1/nodes/detail":          {about: "Lists nodes in full; an older spelling of detail=true.", gives: page("nodes", wire.NodeFields)},
	"POST /v1/nodes":                {about: "Creates a node: in enroll, or in available below 1.11.", body: made(wire.NodeFields, "driver", acceptedOnCreate...), gives: one(wire.NodeFields)},
	"GET /v1/nodes/validate":        {about: "Says for each interface of a node whether it could work; an older spelling of the path with the node in it.", gives: validation},
	"GET /v1/nodes/{node}":          {about: "Shows a node.", gives: one(wire.NodeFields)},
	"PATCH /v1/nodes/{node}":        {about: "Changes a node.", body: patches, gives: one(wire.NodeFields)},
	"DELETE /v1/nodes/{node}":       {about: "Deletes a node and all that hangs on it."},
	"GET /v1/nodes/{node}/validate": {about: "Says for each interface of the node whether it could work.", gives: validation},

	"GET /v1/nodes/{node}/states":                           {about: "Shows the states of a node.", gives: one(wire.NodeFields)},
	"PUT /v1/nodes/{node}/states/power":                     {about: "Asks for a power state."},
	"PUT /v1/nodes/{node}/states/provision":                 {about: "Sends a verb: deploy, clean, inspect and the like."},
	"PUT /v1/nodes/{node}/states/boot_mode":                 {about: "Asks for a boot mode: uefi or bios."},
	"PUT /v1/nodes/{node}/states/secure_boot":               {about: "Switches Secure Boot on or off."},
	"PUT /v1/nodes/{node}/maintenance":                      {about: "Sets a node to maintenance: nothing is done with it by itself."},
	"DELETE /v1/nodes/{node}/maintenance":                   {about: "Ends maintenance.", ok: http.StatusAccepted},
	"GET /v1/nodes/{node}/management/boot_device":           {about: "Asks the machine what it boots from.", gives: keys("boot_device", orNull(aText), "persistent", orNull(aBool))},
	"PUT /v1/nodes/{node}/management/boot_device":           {about: "Tells the machine what to boot from.", ok: http.StatusNoContent},
	"GET /v1/nodes/{node}/management/boot_device/supported": {about: "Lists what the machine can boot from.", gives: keys("supported_boot_devices", listOf(aText))},
	"GET /v1/nodes/{node}/history":                          {about: "Lists what became of a node.", gives: page("history", wire.HistoryFields)},
	"GET /v1/nodes/{node}/history/detail":                   {about: "Lists what became of a node, in full.", gives: page("history", wire.HistoryFields)},
	"GET /v1/nodes/{node}/history/{uuid}":                   {about: "Shows one entry of a node's history.", gives: one(wire.HistoryFields)},
	"GET /v1/nodes/{node}/inventory":                        {about: "Shows what the last inspection found.", gives: keys("inventory", anything, "plugin_data", anything)},
	"GET /v1/nodes/{node}/ports":                            {about: "Lists the ports of a node.", gives: page("ports", wire.PortFields)},
	"POST /v1/nodes/{node}/ports":                           {about: "Always refused: ports are created at /v1/ports.", ok: http.StatusBadRequest, body: anything, gives: failure},
	"GET /v1/nodes/{node}/ports/detail":                     {about: "Lists the ports of a node in full.", gives: page("ports", wire.PortFields)},
	"GET /v1/nodes/{node}/traits":                           {about: "Lists the traits of a node.", gives: keys("traits", listOf(aText))},
	"PUT /v1/nodes/{node}/traits":                           {about: "Replaces all traits of a node.", ok: http.StatusNoContent},
	"DELETE /v1/nodes/{node}/traits":                        {about: "Removes all traits of a node."},
	"PUT /v1/nodes/{node}/traits/{trait}":                   {about: "Adds a trait to a node.", ok: http.StatusNoContent},
	"DELETE /v1/nodes/{node}/traits/{trait}":                {about: "Removes a trait from a node."},

	"GET /v1/ports":           {about: "Lists ports.", gives: page("ports", wire.PortFields)},
	"GET /v1/ports/detail":    {about: "Lists ports in full; an older spelling of detail=true.", gives: page("ports", wire.PortFields)},
	"POST /v1/ports":          {about: "Creates a port.", body: made(wire.PortFields, "address", "node_ident"), gives: one(wire.PortFields)},
	"GET /v1/ports/{port}":    {about: "Shows a port.", gives: one(wire.PortFields)},
	"PATCH /v1/ports/{port}":  {about: "Changes a port.", body: patches, gives: one(wire.PortFields)},
	"DELETE /v1/ports/{port}": {about: "Deletes a port."},

	"GET /v1/deploy_templates":               {about: "Lists deploy templates.", gives: page("deploy_templates", wire.DeployTemplateFields)},
	"POST /v1/deploy_templates":              {about: "Creates a deploy template.", body: made(wire.DeployTemplateFields, "name steps", "description"), gives: one(wire.DeployTemplateFields)},
	"GET /v1/deploy_templates/{template}":    {about: "Shows a deploy template.", gives: one(wire.DeployTemplateFields)},
	"PATCH /v1/deploy_templates/{template}":  {about: "Changes a deploy template.", body: patches, gives: one(wire.DeployTemplateFields)},
	"DELETE /v1/deploy_templates/{template}": {about: "Deletes a deploy template."},

	"GET /v1/portgroups":                {about: "Lists port groups.", gives: page("portgroups", wire.PortgroupFields)},
	"GET /v1/portgroups/detail":         {about: "Lists port groups in full; an older spelling of detail=true.", gives: page("portgroups", wire.PortgroupFields)},
	"POST /v1/portgroups":               {about: "Creates a port group.", body: made(wire.PortgroupFields, "node_uuid"), gives: one(wire.PortgroupFields)},
	"GET /v1/portgroups/{portgroup}":    {about: "Shows a port group.", gives: one(wire.PortgroupFields)},
	"PATCH /v1/portgroups/{portgroup}":  {about: "Changes a port group.", body: patches, gives: one(wire.PortgroupFields)},
	"DELETE /v1/portgroups/{portgroup}": {about: "Deletes a port group."},

	"GET /v1/portgroups/{portgroup}/ports":        {about: "Lists the ports of a port group.", gives: page("ports", wire.PortFields)},
	"GET /v1/portgroups/{portgroup}/ports/detail": {about: "Lists the ports of a port group in full.", gives: page("ports", wire.PortFields)},
	"GET /v1/nodes/{node}/portgroups":             {about: "Lists the port groups of a node.", gives: page("portgroups", wire.PortgroupFields)},
	"GET /v1/nodes/{node}/portgroups/detail":      {about: "Lists the port groups of a node in full.", gives: page("portgroups", wire.PortgroupFields)},
	"POST /v1/portgroups/{portgroup}/ports":       {about: "Always refused: ports are created at /v1/ports.", ok: http.StatusBadRequest, body: anything, gives: failure},
	"POST /v1/nodes/{node}/portgroups":            {about: "Always refused: port groups are created at /v1/portgroups.", ok: http.StatusBadRequest, body: anything, gives: failure},
	"GET /v1/chassis":                             {about: "Lists chassis.", gives: page("chassis", wire.ChassisFields)},
	"GET /v1/chassis/detail":                      {about: "Lists chassis in full; an older spelling of detail=true.", gives: page("chassis", wire.ChassisFields)},
	"POST /v1/chassis":                            {about: "Creates a chassis.", body: made(wire.ChassisFields, ""), gives: one(wire.ChassisFields)},
	"GET /v1/chassis/{uuid}":                      {about: "Shows a chassis.", gives: one(wire.ChassisFields)},
	"PATCH /v1/chassis/{uuid}":                    {about: "Changes a chassis.", body: patches, gives: one(wire.ChassisFields)},
	"DELETE /v1/chassis/{uuid}":                   {about: "Deletes a chassis."},

	"GET /v1/chassis/{uuid}/nodes":        {about: "Lists the nodes of a chassis.", gives: page("nodes", wire.NodeFields)},
	"GET /v1/chassis/{uuid}/nodes/detail": {about: "Lists the nodes of a chassis in full.", gives: page("nodes", wire.NodeFields)},

	"GET /v1/volume":                          {about: "Says where volume connectors and targets are.", gives: keys("links", links, "connectors", links, "targets", links)},
	"GET /v1/nodes/{node}/volume":             {about: "Says where the volume connectors and targets of a node are.", gives: keys("links", links, "connectors", links, "targets", links)},
	"GET /v1/nodes/{node}/volume/connectors":  {about: "Lists the volume connectors of a node.", gives: page("connectors", wire.VolumeConnectorFields)},
	"GET /v1/nodes/{node}/volume/targets":     {about: "Lists the volume targets of a node.", gives: page("targets", wire.VolumeTargetFields)},
	"POST /v1/nodes/{node}/volume/connectors": {about: "Always refused: volume connectors are created at /v1/volume/connectors.", ok: http.StatusBadRequest, body: anything, gives: failure},
	"POST /v1/nodes/{node}/volume/targets":    {about: "Always refused: volume targets are created at /v1/volume/targets.", ok: http.StatusBadRequest, body: anything, gives: failure},
	"GET /v1/volume/connectors":               {about: "Lists volume connectors.", gives: page("connectors", wire.VolumeConnectorFields)},
	"POST /v1/volume/connectors":              {about: "Creates a volume connector.", body: made(wire.VolumeConnectorFields, "node_uuid type connector_id"), gives: one(wire.VolumeConnectorFields)},
	"GET /v1/volume/connectors/{uuid}":        {about: "Shows a volume connector.", gives: one(wire.VolumeConnectorFields)},
	"PATCH /v1/volume/connectors/{uuid}":      {about: "Changes a volume connector.", body: patches, gives: one(wire.VolumeConnectorFields)},
	"DELETE /v1/volume/connectors/{uuid}":     {about: "Deletes a volume connector."},

	"GET /v1/volume/targets":           {about: "Lists volume targets.", gives: page("targets", wire.VolumeTargetFields)},
	"POST /v1/volume/targets":          {about: "Creates a volume target.", body: made(wire.VolumeTargetFields, "node_uuid volume_type boot_index volume_id"), gives: one(wire.VolumeTargetFields)},
	"GET /v1/volume/targets/{uuid}":    {about: "Shows a volume target.", gives: one(wire.VolumeTargetFields)},
	"PATCH /v1/volume/targets/{uuid}":  {about: "Changes a volume target.", body: patches, gives: one(wire.VolumeTargetFields)},
	"DELETE /v1/volume/targets/{uuid}": {about: "Deletes a volume target."},

	"GET /v1/shards":                {about: "Counts the nodes of each shard.", gives: keys("shards", listOf(keys("name", aText, "count", schema{doc: doc{"type": "integer"}})))},
	"GET /v1/nodes/{node}/children": {about: "Lists the children of a node.", gives: keys("children", listOf(aText), "links", aLink)},

	"GET /v1/allocations":                 {about: "Lists allocations.", gives: page("allocations", wire.AllocationFields)},
	"POST /v1/allocations":                {about: "Creates an allocation.", body: made(wire.AllocationFields, "", "node"), gives: one(wire.AllocationFields)},
	"GET /v1/allocations/{allocation}":    {about: "Shows an allocation.", gives: one(wire.AllocationFields)},
	"PATCH /v1/allocations/{allocation}":  {about: "Changes an allocation.", body: patches, gives: one(wire.AllocationFields)},
	"DELETE /v1/allocations/{allocation}": {about: "Deletes an allocation."},

	"GET /v1/nodes/{node}/allocation":    {about: "Shows the allocation of a node.", gives: one(wire.AllocationFields)},
	"DELETE /v1/nodes/{node}/allocation": {about: "Deletes the allocation of a node."},

	"GET /v1/inspection_rules":           {about: "Lists inspection rules.", gives: page("inspection_rules", wire.InspectionRuleFields)},
	"POST /v1/inspection_rules":          {about: "Creates an inspection rule.", body: made(wire.InspectionRuleFields, "actions"), gives: one(wire.InspectionRuleFields)},
	"GET /v1/inspection_rules/{uuid}":    {about: "Shows an inspection rule.", gives: one(wire.InspectionRuleFields)},
	"PATCH /v1/inspection_rules/{uuid}":  {about: "Changes an inspection rule.", body: patches, gives: one(wire.InspectionRuleFields)},
	"DELETE /v1/inspection_rules/{uuid}": {about: "Deletes an inspection rule."},

	"GET /v1/runbooks":                             {about: "Lists runbooks.", gives: page("runbooks", wire.RunbookFields)},
	"POST /v1/runbooks":                            {about: "Creates a runbook.", body: made(wire.RunbookFields, "name steps"), gives: one(wire.RunbookFields)},
	"GET /v1/runbooks/{runbook}":                   {about: "Shows a runbook.", gives: one(wire.RunbookFields)},
	"PATCH /v1/runbooks/{runbook}":                 {about: "Changes a runbook.", body: patches, gives: one(wire.RunbookFields)},
	"DELETE /v1/runbooks/{runbook}":                {about: "Deletes a runbook."},
	"GET /v1/runbooks/{runbook}/traits":            {about: "Lists the traits of a runbook.", gives: keys("traits", listOf(aText))},
	"PUT /v1/runbooks/{runbook}/traits":            {about: "Replaces all traits of a runbook.", ok: http.StatusNoContent},
	"DELETE /v1/runbooks/{runbook}/traits":         {about: "Removes all traits of a runbook."},
	"PUT /v1/runbooks/{runbook}/traits/{trait}":    {about: "Adds a trait to a runbook.", ok: http.StatusNoContent},
	"DELETE /v1/runbooks/{runbook}/traits/{trait}": {about: "Removes a trait from a runbook."},

	"PUT /v1/nodes/{node}/states/raid":                       {about: "Says what RAID the node shall have; the next cleaning builds it.", body: anObject, ok: http.StatusNoContent},
	"GET /v1/nodes/{node}/states/console":                    {about: "Says whether and where the console is.", gives: keys("console_enabled", aBool, "console_info", orNull(anObject))},
	"PUT /v1/nodes/{node}/states/console":                    {about: "Switches the console on or off."},
	"PUT /v1/nodes/{node}/management/inject_nmi":             {about: "Sends the machine a non-maskable interrupt.", body: anObject, ok: http.StatusNoContent},
	"GET /v1/nodes/{node}/management/indicators":             {about: "Lists the indicators of the machine.", gives: keys("indicators", listOf(anObject))},
	"GET /v1/nodes/{node}/management/indicators/{indicator}": {about: "Shows the state of an indicator.", gives: keys("state", orNull(aText))},
	"PUT /v1/nodes/{node}/management/indicators/{indicator}": {about: "Sets an indicator.", ok: http.StatusNoContent},
	"GET /v1/nodes/{node}/vmedia":                            {about: "Lists the machine's virtual drives.", gives: listOf(anObject)},
	"POST /v1/nodes/{node}/vmedia":                           {about: "Puts an image into a virtual drive.", ok: http.StatusNoContent, body: anObject},
	"DELETE /v1/nodes/{node}/vmedia":                         {about: "Takes images out of the virtual drives."},
	"GET /v1/nodes/{node}/bios":                              {about: "Lists the BIOS settings of a node.", gives: keys("bios", listOf(one(wire.BIOSSettingFields)))},
	"GET /v1/nodes/{node}/bios/{setting}":                    {about: "Shows a BIOS setting, under its name.", gives: each(one(wire.BIOSSettingFields))},
	"GET /v1/nodes/{node}/firmware":                          {about: "Lists the firmware components of a node.", gives: keys("firmware", listOf(one(wire.FirmwareFields)))},
	"GET /v1/drivers/{driver}/raid/logical_disk_properties":  {about: "Says what a logical disk may have.", gives: each(aText)},
	"GET /v1/nodes/{node}/vendor_passthru/methods":           {about: "Lists the vendor methods of a node.", gives: each(anObject)},
	"GET /v1/drivers/{driver}/vendor_passthru/methods":       {about: "Lists the vendor methods of a hardware type.", gives: each(anObject)},

	"GET /v1/nodes/{node}/vifs":          {about: "Lists the virtual interfaces attached to a node.", gives: keys("vifs", listOf(keys("id", aText)))},
	"POST /v1/nodes/{node}/vifs":         {about: "Attaches a virtual interface.", body: anObject, ok: http.StatusNoContent},
	"DELETE /v1/nodes/{node}/vifs/{vif}": {about: "Detaches a virtual interface."},

	"GET /v1/drivers":                     {about: "Lists the hardware types that live conductors serve.", gives: page("drivers", wire.DriverFields)},
	"GET /v1/drivers/{driver}":            {about: "Shows a hardware type.", gives: one(wire.DriverFields)},
	"GET /v1/drivers/{driver}/properties": {about: "Says what a hardware type wants in driver_info.", gives: each(aText)},
	"GET /v1/conductors":                  {about: "Lists conductors.", gives: page("conductors", wire.ConductorFields)},
	"GET /v1/conductors/{hostname}":       {about: "Shows a conductor.", gives: one(wire.ConductorFields)},

	"POST /v1/events":              {about: "Takes events of a network service."},
	"GET /v1/lookup":               {about: "Tells an agent which node it runs on. It needs no authentication.", gives: keys("node", anObject, "config", anObject)},
	"POST /v1/heartbeat/{node}":    {about: "An agent says that it is there. It needs no authentication; the agent's token proves it.", ok: http.StatusAccepted},
	"POST /v1/continue_inspection": {about: "An agent brings what it found. It needs no authentication.", body: anObject, gives: anObject, ok: http.StatusAccepted},

	"GET /v1/os_definitions":                       {about: "Lists OS definitions.", gives: page("os_definitions", wire.OSDefinitionFields)},
	"POST /v1/os_definitions":                      {about: "Adds an OS definition: bundle is a tar file of its folder, plain or packed with gzip or zstd, in base64. Nobody trusts it yet.", body: made(wire.OSDefinitionFields, "name bundle", "bundle"), gives: one(wire.OSDefinitionFields)},
	"GET /v1/os_definitions/{definition}":          {about: "Shows an OS definition.", gives: one(wire.OSDefinitionFields)},
	"PATCH /v1/os_definitions/{definition}":        {about: "Changes what is kept of an OS definition beside its files.", body: patches, gives: one(wire.OSDefinitionFields)},
	"DELETE /v1/os_definitions/{definition}":       {about: "Removes an OS definition that no node is installed with."},
	"GET /v1/os_definitions/{definition}/bundle":   {about: "The files of an OS definition, as the tar file that its digest is of.", gives: aText},
	"PUT /v1/os_definitions/{definition}/bundle":   {about: "Puts other files in the place of an OS definition's. Trust ends with the files that it was of.", gives: one(wire.OSDefinitionFields), ok: http.StatusOK},
	"PUT /v1/os_definitions/{definition}/trust":    {about: "Trusts the files of an OS definition that have this digest: their scripts may run unconfined.", gives: one(wire.OSDefinitionFields), ok: http.StatusOK},
	"DELETE /v1/os_definitions/{definition}/trust": {about: "Ends the trust in an OS definition."},

	"GET /ingot/v1/policy":                        {about: "Lists the rules that are in force.", gives: keys("rules", listOf(like[policy.Listed]()))},
	"GET /ingot/v1/policy/explain":                {about: "Says whether a caller has a right, and why.", gives: keys("allowed", aBool, "why", listOf(like[policy.Why]()))},
	"GET /ingot/v1/servers":                       {about: "Lists the servers of this installation.", gives: keys("servers", listOf(like[serverView]()))},
	"DELETE /ingot/v1/servers/{server}":           {about: "Ends the trust in a server's certificates."},
	"GET /ingot/v1/nodes/{node}/why":              {about: "Says what a node is doing, and what it waits for.", gives: like[metal.Why]()},
	"GET /ingot/v1/nodes/{node}/security":         {about: "Says what the machine's BMC tells of its security: an answer (yes, no, unknown) and advice to each question, and the certificates of Secure Boot.", gives: like[metal.SecurityReport]()},
	"GET /ingot/v1/nodes/{node}/events":           {about: "The feed of a node's events; a stream, if the request accepts text/event-stream.", gives: feedSchema},
	"GET /v1/nodes/{node}/operation":              {about: "Shows the live operation of a node, or the last.", gives: like[metal.Operation]()},
	"GET /v1/operations":                          {about: "Lists the live operations, oldest first.", gives: keys("operations", listOf(like[metal.Operation]()))},
	"GET /v1/events":                              {about: "The feed of all events; a stream, if the request accepts text/event-stream.", gives: feedSchema},
	"GET /v1/doctor":                              {about: "Says what is wrong with the set-up.", gives: keys("findings", listOf(like[metal.Finding]()))},
	"GET /ingot/v1/debug/{dump}":                  {about: "What the process tells of its own inside, as text.", gives: aText},
	"GET /ingot/v1/nodes/{node}/metadata":         {about: "Says what a node's instance reads at its first boot: which files, and what vendordata failed with.", gives: like[metal.InstanceData]()},
	"GET /ingot/v1/nodes/{node}/metadata/page":    {about: "The bytes that a node's instance gets at a path of the metadata service. User data may hold secrets.", gives: aText},
	"POST /ingot/v1/nodes/{node}/vendordata/test": {about: "Asks the vendordata targets what a node's deployment asks them, and says what came of it. What they answered is not told.", gives: like[metal.VendordataTest](), ok: http.StatusOK},
	"GET /ingot/v1/nodes/{node}/erasure":          {about: "Lists a node's erase certificates, newest first: each to read, and in an envelope to verify.", gives: keys("certificates", listOf(like[metal.ErasureRecord]()))},
	"GET /ingot/v1/nodes/{node}/baseline":         {about: "Shows a node's firmware baseline, what the last cleaning saw, and how they differ.", gives: like[metal.Baseline]()},
	"PUT /ingot/v1/nodes/{node}/baseline":         {about: "Makes what the last cleaning saw of a node's firmware its baseline."},
	"GET /ingot/v1/erasure/keys":                  {about: "Lists the public keys that erase certificates are signed with, newest first.", gives: keys("keys", listOf(like[metal.SigningKey]()))},
	"GET /ingot/v1/nodes/{node}/logs":             {about: "Lists the logs that agents left.", gives: keys("logs", listOf(anObject))},
	"GET /ingot/v1/nodes/{node}/logs/{name}":      {about: "The newest log of that name, as it is.", gives: aText},
})

// withVendor adds the vendor methods: whatever a driver has is called in the same way with every HTTP method.
func withVendor(m map[string]description) map[string]description {
	for _, rt := range vendorRoutes() {
		d := description{about: "Calls a vendor method; its driver says what it takes and gives. A method that goes on after the answer gives 202.",
			gives: anything, ok: http.StatusOK}
		if rt.method != get && rt.method != del {
			d.body = anything
		}
		m[rt.key()] = d
	}
	return m
}

var (
	validation = each(schema{doc: doc{"type": "object", "required": []string{"result"},
		"properties": doc{"result": doc{"type": []string{"boolean", "null"}}, "reason": doc{"type": "string"}}, "additionalProperties": false}})
	feedSchema = keys("events", listOf(like[metal.HistoryEvent]()), "next", aText)
	failure    = schema{name: "Error", doc: doc{"type": "object", "required": []string{"error_message"}, "properties": doc{
		"error_message": doc{"type": "string", "description": "A JSON document in a string: {faultcode, faultstring, debuginfo}, or {code, title, description} for what never reached a handler."}}}}
)

// key is how a route is named in tables beside routes.
func (rt route) key() string { return rt.method + " " + rt.path }
