package api

import (
	"fmt"
	"strings"
	"testing"

	"ingot/internal/courier"
	"ingot/internal/metal"
)

// Secret values are taken only where a step's argument names them, and no answer and no log line repeats one.
func TestSecretsOfSteps(t *testing.T) {
	const value = "canary-value"
	step := func(arg string) string {
		return `"service_steps": [{"interface": "deploy", "step": "x", "args": {"password": ` + arg + `}}]`
	}
	named, large := step(`{"secret": "pw"}`), strings.Repeat("x", courier.MaxValue+1)
	many := make([]string, courier.MaxNames+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"%d": "v"`, i)
	}
	r := newRig(t)
	for i, c := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"target": "service", ` + named + `}`, 400, "not given: pw"},
		{`{"target": "service", ` + named + `, "secrets": {"pw": "` + value + `", "other": "` + value + `"}}`, 400, "no step's argument names: other"},
		{`{"target": "service", ` + step(`"plain"`) + `, "secrets": {"pw": "` + value + `"}}`, 400, "no step's argument names: pw"},
		{`{"target": "deleted", "secrets": {"pw": "` + value + `"}}`, 400, "goes only with steps"},
		{`{"target": "service", ` + named + `, "secrets": "` + value + `"}`, 400, "must be an object"},
		{`{"target": "service", ` + named + `, "secrets": {"pw": ["` + value + `"]}}`, 400, "must be a string"},
		{`{"target": "service", ` + named + `, "secrets": {"pw": "` + large + `"}}`, 413, "at most 65536"},
		{`{"target": "service", ` + named + `, "secrets": {` + strings.Join(many, ",") + `}}`, 413, "at most 64"},
		{`{"target": "service", ` + named + `, "secrets": {"pw": "` + value + `"}}`, 501, "takes no secret values"}, // the rig keeps none
	} {
		name := fmt.Sprintf("n%d", i)
		id := r.node(name)
		r.force(id, func(n *metal.Node) { n.ProvisionState = metal.Active })
		a := r.do(put, "/v1/nodes/"+name+"/states/provision", 110, c.body).want(t, c.status, c.says)
		if strings.Contains(fmt.Sprint(a), value) {
			t.Errorf("%.80s: the answer repeats the value", c.body)
		}
	}
	if strings.Contains(r.log.String(), value) {
		t.Error("the log shows a value")
	}
}
