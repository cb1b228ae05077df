package steps

import (
	"context"
	"encoding/json"

	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// finalizeRescue hands the machine to its tenant. Its errors hold nothing of the parameters: there is the password's hash.
func (s *Steps) finalizeRescue(ctx context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	var p agentapi.FinalizeRescue
	if json.Unmarshal(raw, &p) != nil {
		return nil, server.Error("InvalidCommandParamsError", "the parameters are not those of a rescue")
	}
	return nil, s.Rescue(ctx, p)
}
