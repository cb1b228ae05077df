package api

import (
	"net/http"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/wire"
)

// tooOld is the fault for a path that came with a later version.
func tooOld(path string, min, minor int) *fault.Error {
	return wire.TooNew("The resource "+clip(path), min, minor)
}

// absent answers every path that has no route.
type absent struct{}

func (absent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := w.(exchange).call
	c.r = r
	c.fail(c.absent(strings.Split(strings.Trim(c.path, "/"), "/")))
}

// absent says why there is nothing at a path, given as its segments.
func (c *call) absent(seg []string) error {
	if seg[0] != "v1" || len(seg) < 2 {
		return notHere("The resource could not be found: this API begins at /v1.")
	}
	if !c.agents && (seg[1] == "lookup" || seg[1] == "heartbeat" || seg[1] == "continue_inspection") {
		return notHere("Agents are served on a listener of their own; see agent_listen in the server's configuration.")
	}
	last := seg[len(seg)-1]
	switch {
	case seg[1] == "drivers" && len(seg) == 4 && c.r.Method == http.MethodGet:
		// Upstream's router takes one more segment as the argument fields; of nodes, below, as well.
		return invalid("Field %s is not a valid field.", clip(last))
	case seg[1] == "drivers" && len(seg) > 3:
		return notHere("This server has no " + clip(strings.Join(seg[3:], "/")) + " of drivers.")
	case (seg[1] == "portgroups" || seg[1] == "chassis") && len(seg) == 5 && (seg[3] == "ports" || seg[3] == "nodes"):
		return invalid("Malformed request URI: ask for it itself at /v1/%s/%s.", seg[3], clip(last))
	case seg[1] != "nodes" && seg[1] != "ports" && seg[1] != "portgroups" && seg[1] != "chassis" || len(seg) < 4:
		return notHere("The resource could not be found.")
	case (seg[3] == "ports" || seg[3] == "portgroups") && len(seg) == 5:
		return invalid("Malformed request URI: ask for it itself at /v1/%s/%s.", seg[3], clip(last))
	case seg[3] == "volume" && len(seg) == 6:
		return invalid("Malformed request URI: ask for it itself at /v1/volume/%s/%s.", clip(seg[4]), clip(last))
	case len(seg) == 4 && c.r.Method == http.MethodGet:
		return invalid("Field %s is not a valid field.", clip(last))
	}
	return notHere("The resource could not be found.")
}

// malformed answers a POST to a collection inside another resource, which upstream refuses by this name.
func (c *call) malformed() (answer, error) {
	_, inner, _ := strings.Cut(strings.TrimPrefix(c.route, "/v1/"), "}/")
	return answer{}, invalid("Malformed request URI: create them at /v1/%s, and say in the body what they are of.", inner)
}
