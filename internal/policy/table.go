package policy

import "strings"

// object is what a rule is judged on.
type object int

const (
	nothing      object = iota // the caller alone: api judges the rule before it does anything
	inOps                      // the caller alone, but ops judges it beside another rule, either of which may suffice
	aNode                      // a node, or the node that owns a port, port group or volume: ops judges it
	anAllocation               // ops judges it
	aRunbook                   // ops judges it
)

func (o object) String() string { return [...]string{"", "", "node", "allocation", "runbook"}[o] }

// scope is what a token is for. A rule without one takes tokens for the system and for projects.
type scope string

const (
	system  scope = "system"
	project scope = "project"
	domain  scope = "domain"
)

// row is a rule as the table has it. Its default is who has the right: people, in the codes of clauses below, or a
// check string where codes do not say it.
type row struct {
	on    object
	scope scope  // "" is system or project
	who   string // codes; "" if text says it
	text  string // a check string
}

// table is every rule. The names are Ironic's (ironic/common/policy.py), and so is who has the right
// (RBAC reference §4); those under "ingot:" are ours: reading is for readers of the system and of the project that
// owns the node, changing for administrators of the system.
var table = map[Rule]row{
	// Nodes.
	"node:create":                            {inOps, "", "SA SS", ""},
	"node:create:self_owned_node":            {inOps, "", "*A *S", ""},
	"node:list":                              {inOps, "", "*R *S", ""},
	"node:list_all":                          {inOps, "", "SR SS SV", ""},
	"node:get":                               {aNode, "", "SR SS SV OR OS LR", ""},
	"node:get:filter_threshold":              {aNode, "", "SR SS SV", ""},
	"node:get:last_error":                    {aNode, "", "SR SS SV OR OS", ""},
	"node:get:reservation":                   {aNode, "", "SR SS SV OR OS", ""},
	"node:get:driver_internal_info":          {aNode, "", "SR SS SV OR OS", ""},
	"node:get:driver_info":                   {aNode, "", "SR SS SV OR OS", ""},
	"node:update:driver_info":                {aNode, "", "SM SS SV OM OS", ""},
	"node:update:properties":                 {aNode, "", "SM SS SV OM OS", ""},
	"node:update:chassis_uuid":               {aNode, "", "SA", ""},
	"node:update:instance_uuid":              {aNode, "", "SM SS SV OM OS", ""},
	"node:update:lessee":                     {aNode, "", "SM SS SV OM OS", ""},
	"node:update:owner":                      {aNode, "", "SM SV", ""},
	"node:update:driver_interfaces":          {aNode, "", "SM SS SV OG OS", ""},
	"node:update:network_data":               {aNode, "", "SM SS SV OM OS", ""},
	"node:update:conductor_group":            {aNode, "", "SM SV", ""},
	"node:update:name":                       {aNode, "", "SM SS SV OM OS", ""},
	"node:update:retired":                    {aNode, "", "SM SS SV OM OS", ""},
	"node:update":                            {aNode, "", "SM SS SV OM LM", ""},
	"node:update_extra":                      {aNode, "", "SM SS SV OM LM", ""},
	"node:update_instance_info":              {aNode, "", "SM SS SV OM OS LG", ""},
	"node:update_owner_provisioned":          {aNode, system, "SA", ""},
	"node:delete":                            {aNode, "", "SA", ""},
	"node:delete:self_owned_node":            {aNode, "", "OA", ""},
	"node:validate":                          {aNode, "", "SM SS SV OM OS LG", ""},
	"node:set_maintenance":                   {aNode, "", "SM SS SV OM OS LG", ""},
	"node:clear_maintenance":                 {aNode, "", "SM SS SV OM OS LG", ""},
	"node:get_boot_device":                   {aNode, "", "SM SS SV OG OS", ""},
	"node:set_boot_device":                   {aNode, "", "SM SS SV OG OS", ""},
	"node:get_indicator_state":               {aNode, "", "SR SS SV OR OS LR", ""},
	"node:set_indicator_state":               {aNode, "", "SM SS SV OM OS", ""},
	"node:inject_nmi":                        {aNode, "", "SM SS SV OG OS", ""},
	"node:get_states":                        {aNode, "", "SR SS SV OR OS LR", ""},
	"node:set_power_state":                   {aNode, "", "SM SS SV OM LM", ""},
	"node:set_boot_mode":                     {aNode, "", "SM SS SV OM LM", ""},
	"node:set_secure_boot":                   {aNode, "", "SM SS SV OM LM", ""},
	"node:set_provision_state":               {aNode, "", "SM SS SV OM OS LG", ""},
	"node:set_provision_state:clean_steps":   {aNode, "", "SM SS SV OM OS LG", ""},
	"node:set_provision_state:service_steps": {aNode, "", "SM SS SV OM OS LG", ""},
	"node:set_raid_state":                    {aNode, "", "SM SS SV OM OS", ""},
	"node:get_console":                       {aNode, "", "SM SS SV OM OS", ""},
	"node:set_console_state":                 {aNode, "", "SM SS SV OM OS", ""},
	"node:vif:list":                          {aNode, "", "SR SS SV OR OS LR", ""},
	"node:vif:attach":                        {aNode, "", "SM SS SV OM OS LG", ""},
	"node:vif:detach":                        {aNode, "", "SM SS SV OM OS LG", ""},
	"node:traits:list":                       {aNode, "", "SR SS SV OR OS LR", ""},
	"node:traits:set":                        {aNode, "", "SM SS SV OG OS", ""},
	"node:traits:delete":                     {aNode, "", "SM SS SV OG OS", ""},
	"node:bios:get":                          {aNode, "", "SR SS SV OR OS LR", ""},
	"node:disable_cleaning":                  {aNode, "", "SA", ""},
	"node:history:get":                       {aNode, "", "SR SS SV OR OS", ""},
	"node:inventory:get":                     {aNode, "", "SR SS SV OR OS", ""},
	"node:update:shard":                      {aNode, "", "SA", ""},
	"shards:get":                             {nothing, "", "SR SS SV", ""},
	"node:update:parent_node":                {aNode, "", "SM SV", ""},
	"node:update:disable_power_off":          {aNode, "", "SA", ""},
	"node:firmware:get":                      {aNode, "", "SR SS SV OR OS LR", ""},
	"node:vmedia:attach":                     {aNode, "", "SM SS SV OM LM", ""},
	"node:vmedia:detach":                     {aNode, "", "SM SS SV OM LM", ""},
	"node:vmedia:get":                        {aNode, "", "SR SS SV OR OS LR", ""},

	// Ports.
	"port:get":      {aNode, "", "SR SS SV OR OS LR", ""},
	"port:list":     {inOps, "", "*R *S", ""},
	"port:list_all": {inOps, "", "SR SS SV", ""},
	"port:create":   {aNode, "", "SA SS OG OS", ""},
	"port:delete":   {aNode, "", "SA SS OG OS", ""},
	"port:update":   {aNode, "", "SM SS SV OG OS", ""},

	// Portgroups.
	"portgroup:get":      {aNode, "", "SR SS SV OR OS LR", ""},
	"portgroup:create":   {aNode, "", "SA SS OG OS", ""},
	"portgroup:delete":   {aNode, "", "SA SS OG OS", ""},
	"portgroup:update":   {aNode, "", "SM SS SV OG OS", ""},
	"portgroup:list":     {inOps, "", "*R *S", ""},
	"portgroup:list_all": {inOps, "", "SR SS SV", ""},

	// Chassis, drivers, vendor passthru, ramdisk.
	"chassis:get":           {nothing, system, "SR SS SV", ""},
	"chassis:create":        {nothing, system, "SA", ""},
	"chassis:delete":        {nothing, system, "SA", ""},
	"chassis:update":        {nothing, system, "SM SV", ""},
	"driver:get":            {nothing, system, "SR SS SV", ""},
	"driver:get_properties": {nothing, system, "SR SS SV", ""},
	"driver:get_raid_logical_disk_properties": {nothing, system, "SR SS SV", ""},
	"node:vendor_passthru":                    {aNode, "", "SA", ""},
	"driver:vendor_passthru":                  {nothing, system, "SA", ""},
	"node:ipa_heartbeat":                      {nothing, "", "", "@"},
	"driver:ipa_lookup":                       {nothing, "", "", "@"},
	"driver:ipa_continue_inspection":          {nothing, "", "", "@"},

	// Volumes, conductors, events.
	"volume:list_all":               {inOps, "", "SR SS SV", ""},
	"volume:list":                   {inOps, "", "*R *S", ""},
	"volume:get":                    {aNode, "", "SR SS SV OR OS LR", ""},
	"volume:create":                 {aNode, "", "SM SS SV OG OS LG", ""},
	"volume:delete":                 {aNode, "", "SM SS SV OG OS LG", ""},
	"volume:update":                 {aNode, "", "SM SS SV OM OS LG", ""},
	"volume:view_target_properties": {aNode, "", "*A SR SS SV", ""},
	"conductor:get":                 {nothing, "", "SR SS SV", ""},
	"events:post":                   {nothing, system, "SA", ""},

	// Allocations.
	"allocation:get":               {anAllocation, "", "SR SS SV OR", ""},
	"allocation:list":              {inOps, "", "*R *S", ""},
	"allocation:list_all":          {inOps, "", "SR SS SV", ""},
	"allocation:create":            {nothing, "", "*M SV", ""},
	"allocation:create_restricted": {nothing, "", "SM SV", ""},
	"allocation:delete":            {anAllocation, "", "SM SV OM", ""},
	"allocation:update":            {anAllocation, "", "SM SV OM", ""},
	"allocation:create_pre_rbac":   {nothing, project, "", "(rule:is_member and role:baremetal_admin) or (is_admin_project:True and role:admin)"},

	// Deploy templates, runbooks, inspection rules.
	"deploy_template:get":      {nothing, "", "SR SS SV", ""},
	"deploy_template:create":   {nothing, "", "SA", ""},
	"deploy_template:delete":   {nothing, "", "SA", ""},
	"deploy_template:update":   {nothing, "", "SA", ""},
	"runbook:get":              {aRunbook, "", "SR *S OR", ""},
	"runbook:list":             {inOps, "", "*R *S", ""},
	"runbook:list_all":         {inOps, "", "SR SS SV", ""},
	"runbook:create":           {nothing, "", "*G SM *S", ""},
	"runbook:delete":           {aRunbook, "", "SM *S OG", ""},
	"runbook:update":           {aRunbook, "", "SM *S OG", ""},
	"runbook:update:public":    {aRunbook, "", "SM SV", ""},
	"runbook:update:owner":     {aRunbook, "", "SM SV", ""},
	"runbook:use":              {aRunbook, "", "SM *S OG", ""},
	"inspection_rule:get":      {nothing, "", "SR SS SV", ""},
	"inspection_rule:list_all": {nothing, "", "SR SS SV", ""},
	"inspection_rule:create":   {nothing, "", "SA", ""},
	"inspection_rule:update":   {nothing, "", "SA", ""},
	"inspection_rule:delete":   {nothing, "", "SA", ""},

	// What masks secrets, also from callers who are trusted with everything else.
	"show_password":         {nothing, "", "", "!"},
	"show_instance_secrets": {nothing, "", "", "!"},

	// What other rules, of this table and of policy files, are made of.
	"public_api":          {nothing, "", "", "is_public_api:True"},
	"service_role":        {nothing, "", "", "role:service and project_name:%(config.service_project_name)s"},
	"admin_api":           {nothing, "", "", "role:admin or role:administrator"},
	"is_member":           {nothing, "", "", "(project_domain_id:default or project_domain_id:None) and (project_name:demo or project_name:baremetal)"},
	"is_observer":         {nothing, "", "", "rule:is_member and (role:observer or role:baremetal_observer)"},
	"is_admin":            {nothing, "", "", "rule:admin_api or (rule:is_member and role:baremetal_admin)"},
	"is_node_owner":       {aNode, "", "", "project_id:%(node.owner)s"},
	"is_node_lessee":      {aNode, "", "", "project_id:%(node.lessee)s"},
	"is_allocation_owner": {anAllocation, "", "", "project_id:%(allocation.owner)s"},

	// Ours.
	"ingot:node:why":             {aNode, "", "SR SS SV OR OS", ""},
	"ingot:node:events":          {aNode, "", "SR SS SV OR OS", ""},
	"ingot:node:logs":            {aNode, "", "SR SS SV OR OS", ""},
	"ingot:node:erasure":         {aNode, "", "SR SS SV OR OS", ""},
	"ingot:node:baseline":        {aNode, "", "SR SS SV OR OS", ""},
	"ingot:node:baseline:accept": {aNode, "", "SM SV OM", ""},
	"ingot:node:boot_roles":      {aNode, "", "SA SS SV", ""},
	"ingot:node:metadata":        {aNode, "", "SA OA LG", ""},
	"ingot:vendordata:test":      {aNode, "", "SM", ""},
	"ingot:erasure:keys":         {nothing, "", "*R *S", ""},
	"ingot:node:security":        {aNode, "", "SM SS SV OM OS", ""},
	"ingot:node:operation":       {aNode, "", "SR SS SV OR OS", ""},
	"ingot:operation:list":       {inOps, "", "*R *S", ""},
	"ingot:operation:list_all":   {inOps, "", "SR SS SV", ""},
	"ingot:events":               {inOps, "", "*R *S", ""},
	"ingot:events:list_all":      {inOps, "", "SR SS SV", ""},
	"ingot:doctor":               {inOps, "", "*R *S", ""},
	"ingot:doctor:all":           {inOps, "", "SR SS SV", ""},
	"ingot:debug":                {nothing, "", "SA", ""},
	"ingot:server:list":          {nothing, "", "SR SS SV", ""},
	"ingot:server:revoke":        {nothing, "", "SA", ""},
	"ingot:os:list":              {nothing, "", "*R *S", ""},
	"ingot:os:list_all":          {inOps, "", "SR SS SV", ""},
	"ingot:os:get":               {nothing, "", "*R *S", ""},
	"ingot:os:bundle":            {nothing, "", "SM SS SV", ""},
	"ingot:os:create":            {nothing, "", "SM SS SV", ""},
	"ingot:os:update":            {nothing, "", "SM SS SV", ""},
	"ingot:os:delete":            {nothing, "", "SM SS SV", ""},
	"ingot:os:trust":             {nothing, "", "SA", ""},
	"ingot:policy:list":          {nothing, "", "SR SS SV", ""},
	"ingot:policy:explain":       {nothing, "", "SR SS SV", ""},
}

// owners is the owner's name in check strings, by object.
var owners = map[object]string{aNode: "node.owner", anAllocation: "allocation.owner", aRunbook: "runbook.owner"}

// roles are the second letters of codes.
var roles = map[byte]string{'A': "admin", 'G': "manager", 'M': "member", 'R': "reader", 'S': "service"}

// clause is the part of a check string that one code stands for. The first letter is the scope: S the system, O the
// project that owns the object, L the project that leases the node, * anybody's; the second the least role. SV is a
// service that [DEFAULT] rbac_service_role_elevated_access lifts.
func clause(code string, on object) string {
	role := "role:" + roles[code[1]]
	switch {
	case code == "SV":
		return "rule:service_role"
	case code[0] == 'S':
		return "(" + role + " and system_scope:all)"
	case code[0] == 'O':
		return "(" + role + " and project_id:%(" + owners[on] + ")s)"
	case code[0] == 'L':
		return "(" + role + " and project_id:%(node.lessee)s)"
	}
	return role
}

// check is the default check string of a row.
func (r row) check() string {
	if r.who == "" {
		return r.text
	}
	var parts []string
	for _, code := range strings.Fields(r.who) {
		parts = append(parts, clause(code, r.on))
	}
	return strings.Join(parts, " or ")
}
