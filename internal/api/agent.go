package api

import (
	"net/http"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/ops"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// lookup tells an agent which node it runs on. Invalid addresses are ignored, as upstream does: machines
// have NICs with stranger ones.
func (c *call) lookup() (answer, error) {
	var macs []string
	for _, v := range c.query["addresses"] {
		for a := range strings.SplitSeq(v, ",") {
			if mac, ok := wire.ParseMAC(strings.TrimSpace(a)); ok {
				macs = append(macs, mac)
			}
		}
	}
	if len(macs) > 256 {
		return answer{}, invalid("More than 256 addresses were given.")
	}
	id := c.param("node_uuid")
	if id != "" && !wire.IsUUID(id) {
		return answer{}, invalid("Expected UUID for node_uuid.")
	}
	found, err := c.s.Lookup(c.r.Context(), ops.LookupQuestion{Addresses: macs, NodeUUID: id, Minor: c.minor,
		Token: secret.New(c.r.Header.Get(agentapi.TokenHeader))})
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, private: true, json: c.lookedUp(found)}, nil
}

// lookedUp is the body of a lookup's answer.
func (c *call) lookedUp(found *agentapi.LookupAnswer) any {
	type node struct {
		agentapi.Node
		Links []wire.Link `json:"links"`
	}
	return struct {
		Node   node                  `json:"node"`
		Config agentapi.LookupConfig `json:"config"`
	}{node{found.Node, wire.Links(c.base(), "nodes/"+found.Node.UUID)}, found.Config}
}

func (c *call) heartbeat() (answer, error) {
	args, err := c.args("callback_url agent_token agent_version agent_verify_ca agent_status agent_status_message")
	if err != nil {
		return answer{}, err
	}
	if args["agent_status"] != nil || args["agent_status_message"] != nil {
		return answer{}, fault.New(fault.NotSupported, "agent_status belongs to a kind of deployment that this server does not have.")
	}
	if _, ok := args["callback_url"]; !ok {
		return answer{}, invalid("Missing mandatory parameter: callback_url")
	}
	var hb agentapi.Heartbeat
	for name, at := range map[string]*string{"callback_url": &hb.CallbackURL, "agent_token": &hb.AgentToken,
		"agent_version": &hb.AgentVersion, "agent_verify_ca": &hb.AgentVerifyCA} {
		if *at, err = textArg(args, name, false); err != nil {
			return answer{}, err
		}
	}
	if err := c.s.Heartbeat(c.r.Context(), c.node(), hb); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted}, nil
}

// agentsOff is the answer to an agent where the operator serves none.
func (c *call) agentsOff() (answer, error) {
	return answer{}, fault.New(fault.Forbidden, "This server does not serve agents: [api] enable_ramdisk_endpoints is off.")
}

// agentsPolled is the answer to an agent where all are only polled.
func (c *call) agentsPolled() (answer, error) {
	return answer{}, fault.New(fault.Forbidden, "This server does not serve agents: [api] disable_agent_api is on.")
}
