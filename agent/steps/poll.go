package steps

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// maxNodeInfo bounds what poll.node_info tells: a node without its config drive, bytes.
const maxNodeInfo = 4 << 20

// nodeInfo takes what an agent that nobody told who it is would have learnt by a lookup. It may come again, newer: a
// conductor that took over tells it too. It never makes this machine another node: the boot was of one.
func (s *Steps) nodeInfo(_ context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	if !s.Standalone {
		return nil, server.Error("InvalidCommandError", "this agent asks its control plane which node it is, and is told by nobody else")
	}
	told, err := parseNodeInfo(raw)
	if err != nil {
		return nil, server.Error("InvalidCommandParamsError", "%v", err)
	}
	if known := s.currentNode().UUID; known != "" && !strings.EqualFold(known, told.Node.UUID) {
		return nil, server.Error("InvalidCommandParamsError", "node_info is of node %s, and this boot is of another", told.Node.UUID)
	}
	s.setNode(told.Node, nil)
	s.Log.Info("node is told", "node", told.Node.UUID, "heartbeat_timeout", told.Config.HeartbeatTimeout)
	if s.Clock != nil {
		s.Clock(told.Config.Time)
	}
	return nil, nil
}

// parseNodeInfo reads the command's parameters. Its errors hold nothing of them.
func parseNodeInfo(raw json.RawMessage) (agentapi.LookupAnswer, error) {
	var p struct {
		NodeInfo *agentapi.LookupAnswer `json:"node_info"`
	}
	if len(raw) > maxNodeInfo {
		return agentapi.LookupAnswer{}, errors.New("node_info is too large")
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return agentapi.LookupAnswer{}, errors.New("node_info is not the answer of a lookup")
	}
	if p.NodeInfo == nil || !printableID(p.NodeInfo.Node.UUID) {
		return agentapi.LookupAnswer{}, errors.New("node_info names no node")
	}
	return *p.NodeInfo, nil
}

// printableID tells whether a node's UUID can be one: it goes into the log and into answers.
func printableID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "0123456789abcdefABCDEFghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ-_.") == ""
}
