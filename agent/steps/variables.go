package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/agent/efi"
	"ingot/internal/agentapi"
)

// cleanVariables removes what tenants may have left in the firmware's memory: boot entries of systems, and variables that
// the node's baseline does not have. Its result holds a proof, as that of a disk's erase.
func (s *Steps) cleanVariables(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	if !s.Machine.UEFI() {
		return map[string]any{agentapi.UEFIVariables: agentapi.Erased{How: "nothing to do: the machine was booted by a BIOS, which has no variables"}}, nil
	}
	known, err := knownVariables(s.currentNode())
	if err != nil {
		return nil, err
	}
	began := time.Now().UTC()
	vars := efi.Variables{Dir: s.Machine.Device("/sys/firmware/efi/efivars")}
	patterns, err := efi.Patterns(efi.DefaultPatterns)
	if err != nil {
		return nil, err
	}
	entries, _, failed := vars.Clean(patterns)
	removed, kept, err := vars.Sweep(known)
	s.Log.Info("firmware variables removed", "boot_entries", len(entries), "variables", removed, "kept", len(kept))
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	how := fmt.Sprintf("%d boot entries and %d variables removed", len(entries), len(removed))
	if len(removed) > 0 {
		how += " (" + strings.Join(removed, ", ") + ")"
	}
	if known == nil {
		how += "; there is no baseline yet, so that only those of operating systems were removed"
	}
	return map[string]any{agentapi.UEFIVariables: agentapi.Erased{How: how, Proof: &agentapi.Proof{Method: "removed", Passes: 1, Began: began, Ended: time.Now().UTC(),
		ReadBack: agentapi.ReadBack{Whole: true, Result: "listed again: none of those removed is there"}}}, agentapi.KeptVariables: kept}, nil
}

// knownVariables are the names from before the first tenant; nil: nobody noted them.
func knownVariables(n agentapi.Node) ([]string, error) {
	raw, ok := n.InternalInfo[agentapi.KnownVariables]
	if !ok || raw == nil {
		return nil, nil
	}
	list, ok := raw.([]any)
	known := []string{}
	for _, v := range list {
		name, isName := v.(string)
		ok = ok && isName
		known = append(known, name)
	}
	if !ok {
		return nil, fmt.Errorf("%s is not a list of names", agentapi.KnownVariables)
	}
	return known, nil
}
