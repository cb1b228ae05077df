package api

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/policy"
)

// twoFaults are requests that are wrong in two ways: what the earlier check says is the answer, and once that is right what the
// later one says. Each row is one step of the order, and its second fault is the next's first.
// Source: provision verbs reference, "Order of checks".
var twoFaults = []struct {
	check       string
	state       metal.State
	maintenance bool
	minor       int
	body        string
	status      int
	says        string
}{
	{"1 types, before the verb's version", metal.Enroll, false, 3, `{"target": "manage", "clean_steps": 5}`, 400, "must be an array"},
	{"1 types, before the node's rights", metal.Enroll, false, 80, `{"target": 5}`, 400, "target"},
	{"2 version, before rights of steps", metal.Active, false, 37, `{"target": "rescue", "clean_steps": [{"interface": "bios", "step": "secret"}]}`, 406, "1.38"},
	{"3 rights of steps, before maintenance", metal.Available, true, 80, `{"target": "active", "deploy_steps": [{"interface": "bios", "step": "secret"}, {"interface": "raid", "step": "secret"}]}`, 403,
		"step:execute:bios.secret; Access was denied to the following resource: baremetal:step:execute:raid.secret"},
	{"3 rights of steps, before their shape", metal.Manageable, false, 80, `{"target": "clean", "clean_steps": [5, {"interface": "bios", "step": "secret"}]}`, 403, "bios.secret"},
	{"3 rights of steps, before the state", metal.Enroll, false, 87, `{"target": "manage", "service_steps": [{"interface": "bios", "step": "x"}]}`, 403, "set_provision_state:service_steps"},
	{"3 rights of boot roles, before maintenance", metal.Available, true, 80, `{"target": "active", "boot_roles": ["member"]}`, 403, "ingot:node:boot_roles"},
	{"4 maintenance, before the state", metal.Enroll, true, 80, `{"target": "active"}`, 400, "maintenance mode"},
	{"4 maintenance, of rebuild", metal.Enroll, true, 80, `{"target": "rebuild"}`, 400, "maintenance mode"},
	{"5 state, before the maintenance of deploy", metal.Enroll, true, 80, `{"target": "deploy"}`, 400, "can not be performed"},
	{"5 state, before the config drive", metal.Enroll, false, 80, `{"target": "provide", "configdrive": "aGk="}`, 400, "can not be performed"},
	{"6 config drive: target, before its form", metal.Manageable, false, 80, `{"target": "provide", "configdrive": "not base64!"}`, 400, "only supported when setting"},
	{"6 config drive: form, before its version", metal.Available, false, 55, `{"target": "active", "configdrive": {"other": 1}}`, 400, "Unexpected arguments: other"},
	{"6 config drive, before the runbook", metal.Available, false, 80, `{"target": "active", "configdrive": "not base64!", "runbook": "nobody"}`, 400, "base64"},
	{"7 runbook: version, before disable_ramdisk", metal.Available, false, 80, `{"target": "active", "runbook": "nobody", "disable_ramdisk": true}`, 406, "1.92"},
	{"7 runbook: nobody's, before disable_ramdisk", metal.Available, false, 92, `{"target": "active", "runbook": "nobody", "disable_ramdisk": true}`, 404, "Runbook nobody"},
	{"8 disable_ramdisk, before clean_steps", metal.Available, false, 80, `{"target": "active", "disable_ramdisk": true, "clean_steps": [{"interface": "bios", "step": "x"}]}`, 400, "disable_ramdisk"},
	{"8 disable_ramdisk: version, before the steps' form", metal.Manageable, false, 69, `{"target": "clean", "disable_ramdisk": true, "clean_steps": [5]}`, 406, "1.70"},
	{"9 clean_steps, before deploy_steps", metal.Manageable, false, 68, `{"target": "provide", "clean_steps": [{"interface": "bios", "step": "x"}], "deploy_steps": [5]}`, 400, "clean_steps is only valid"},
	{"10 deploy_steps: version, before the target", metal.Manageable, false, 68, `{"target": "provide", "deploy_steps": [5], "rescue_password": "x"}`, 406, "1.69"},
	{"10 deploy_steps: target, before the password", metal.Manageable, false, 69, `{"target": "provide", "deploy_steps": [5], "rescue_password": "x"}`, 400, "deploy_steps is only valid"},
	{"10 boot_roles: target, before the password", metal.Active, false, 80, `{"target": "rebuild", "boot_roles": ["member"], "rescue_password": "x"}`, 400, "boot_roles is only valid"},
	{"10 boot_roles: their form, before the password", metal.Available, false, 80, `{"target": "active", "boot_roles": ["a,admin"], "rescue_password": "x"}`, 400, "role 1 has a comma"},
	{"11 password, before the version of abort", metal.InspectWait, false, 40, `{"target": "abort", "rescue_password": "x"}`, 400, "rescue_password is only valid"},
	{"11 password, before clean without steps", metal.Manageable, false, 80, `{"target": "clean", "rescue_password": "x"}`, 400, "rescue_password is only valid"},
	{"12 abort: version, before service_steps", metal.InspectWait, false, 40, `{"target": "abort", "service_steps": [5]}`, 406, "1.41"},
	{"13 unhold: version", metal.CleanHold, false, 84, `{"target": "unhold"}`, 406, "1.85"},
	{"14 service_steps, before the version of service: another verb", metal.Active, false, 86, `{"target": "deleted", "service_steps": [5]}`, 400, "service_steps is only valid"},
	{"15 service: version, before what it cannot do without", metal.Active, false, 86, `{"target": "service"}`, 406, "1.87"},
	{"16 rescue without a password, before what is not built", metal.Active, false, 80, `{"target": "rescue", "rescue_password": ""}`, 400, "non-empty rescue_password"},
	{"16 clean without steps, before maintenance", metal.Manageable, true, 80, `{"target": "clean"}`, 400, "clean_steps is required"},
	{"16 service without steps, before maintenance", metal.Active, true, 87, `{"target": "service"}`, 400, "service_steps is required"},
	{"16 form of a step, before the list of refused ones", metal.Manageable, false, 80, `{"target": "clean", "clean_steps": [{"interface": "vendor", "step": "send_raw"}, {"interface": "bios"}]}`, 400, "entry 2: step is required"},
	{"16 refused steps, before maintenance", metal.Manageable, true, 80, `{"target": "clean", "clean_steps": [{"interface": "vendor", "step": "send_raw"}]}`, 400, "not allowed"},
	{"17 maintenance of clean", metal.Manageable, true, 80, `{"target": "clean", "clean_steps": [{"interface": "bios", "step": "x"}]}`, 400, "maintenance mode"},
	{"17 maintenance of deploy", metal.Available, true, 80, `{"target": "deploy"}`, 400, "maintenance mode"},
	{"17 maintenance: abort of a service", metal.ServiceFailed, true, 110, `{"target": "abort"}`, 409, "maintenance"},
}

// TestOrderOfChecks: of two faults the caller is told the earlier.
func TestOrderOfChecks(t *testing.T) {
	rules, err := policy.New(policy.Defaults(), policy.File{Name: "policy.yaml", Text: []byte(`
"baremetal:node:set_provision_state:service_steps": "!"
"baremetal:step:execute:bios.secret": "!"
"baremetal:step:execute:raid.secret": "!"
"ingot:node:boot_roles": "!"
`)})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Rules = func() *policy.Set { return rules } })
	open := newRig(t)
	for _, f := range twoFaults {
		rig := r
		if !strings.HasPrefix(f.check, "3") && !strings.HasPrefix(f.check, "2") {
			rig = open
		}
		id := rig.node("")
		rig.force(id, func(n *metal.Node) { n.ProvisionState, n.Maintenance = f.state, f.maintenance })
		t.Run(f.check, func(t *testing.T) {
			rig.do(put, "/v1/nodes/"+id+"/states/provision", f.minor, f.body).want(t, f.status, f.says)
		})
	}
}

// TestOrderOfTheNode: what the caller may see is judged after the types and before all else.
func TestOrderOfTheNode(t *testing.T) {
	rules, err := policy.New(policy.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	m := newMatrixRig(t, rules)
	url := m.url + m.fill("/v1/nodes/<node>/states/provision")
	m.as("XR", put, url, `{"target": 5}`).want(t, 400, "target")
	m.as("XR", put, url, `{"target": "fly"}`).want(t, 404, "could not be found")
	m.as("OR", put, url, `{"target": "fly"}`).want(t, 403, "node:set_provision_state")
	m.as("SA", put, url, `{"target": "fly"}`).want(t, 400, "can not be performed")
}

// TestStepsOnChildNodes: the shape of what a step says of child nodes, who may name which, and that nothing pretends to run there.
func TestStepsOnChildNodes(t *testing.T) {
	rules, err := policy.New(policy.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	m := newMatrixRig(t, rules)
	m.state("node", metal.Manageable)
	for _, c := range []struct {
		who, rest string
		status    int
		says      string
	}{
		{"OA", `"execute_on_child_nodes": "perhaps"`, 400, "must be true or false"},
		{"OA", `"execute_on_child_nodes": true, "limit_child_node_execution": "all"`, 400, "must be an array"},
		{"OA", `"limit_child_node_execution": 5`, 400, "must be an array"},
		{"OA", `"execute_on_child_nodes": true, "limit_child_node_execution": ["web-1"]`, 400, `"web-1" is none`},
		{"OA", `"execute_on_child_nodes": true, "limit_child_node_execution": ["<node>", 5]`, 400, `"5" is none`},
		{"OA", `"execute_on_child_nodes": true, "limit_child_node_execution": ["<others>"]`, 404, "could not be found"},
		{"OA", `"execute_on_child_nodes": true, "limit_child_node_execution": ["<node>"]`, 501, "does not run steps on child nodes"},
		{"OA", `"execute_on_child_nodes": true`, 501, "does not run steps on child nodes"},
		{"OA", `"execute_on_child_nodes": false, "limit_child_node_execution": ["web-1"]`, 202, ""},
	} {
		body := m.fill(`{"target": "clean", "clean_steps": [{"interface": "bios", "step": "x", ` + c.rest + `}]}`)
		m.as(c.who, put, m.url+m.fill("/v1/nodes/<node>/states/provision"), body).want(t, c.status, c.says)
	}
}

// TestWhatTheConductorWouldSay: what is judged last, by what it is answered with. Source: provision verbs reference,
// "Conductor-side synchronous errors".
func TestWhatTheConductorWouldSay(t *testing.T) {
	r := newRig(t)
	protected := func(n *metal.Node) { n.Protected = true }
	retired := func(n *metal.Node) { n.Retired = true }
	for _, c := range []struct {
		state  metal.State
		change func(*metal.Node)
		body   string
		status int
		says   string
	}{
		{metal.Active, protected, `{"target": "rebuild"}`, 403, "is protected"},
		{metal.Active, protected, `{"target": "deleted"}`, 403, "is protected"},
		{metal.Active, protected, `{"target": "undeploy"}`, 403, "is protected"},
		{metal.Active, protected, `{"target": "rescue", "rescue_password": ""}`, 400, "non-empty rescue_password"},
		{metal.Enroll, protected, `{"target": "deleted"}`, 400, "can not be performed"},
		{metal.Manageable, retired, `{"target": "provide"}`, 400, "is retired"},
		{metal.Available, retired, `{"target": "active"}`, 202, ""},
	} {
		id := r.node("")
		r.force(id, func(n *metal.Node) { n.ProvisionState = c.state; c.change(n) })
		r.do(put, "/v1/nodes/"+id+"/states/provision", 110, c.body).want(t, c.status, c.says)
	}
	id := r.node("")
	r.do(put, "/v1/nodes/"+id+"/states/provision", 110, `{"target": "manage"}`).want(t, 202)
	r.do(put, "/v1/nodes/"+id+"/states/provision", 110, `{"target": "manage", "rescue_password": "x"}`).want(t, 400, "can not be performed")
}
