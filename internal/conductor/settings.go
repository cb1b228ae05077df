package conductor

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// readLimit is how long a machine's settings and components may take to be read on the way of a plan: they are
// there to be looked at, no plan fails for them.
const readLimit = 30 * time.Second

// readSettings keeps what the driver tells of the firmware's settings and of the parts that have firmware.
func (r *runner) readSettings(ctx context.Context, op *Op) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	if r.hw.Settings != nil && !lacks(op, "bios") {
		list, err := r.hw.Settings.BIOSSettings(ctx, op.Node)
		if err != nil {
			r.log.Warn("BIOS settings cannot be read", "error", err)
		} else {
			r.hideSettings(ctx, op, list)
			op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.SaveBIOSSettings(n.ID, list) })
		}
	}
	if r.hw.Components != nil && !lacks(op, "firmware") {
		list, err := r.hw.Components.FirmwareComponents(ctx, op.Node)
		if err != nil {
			r.log.Warn("firmware components cannot be read", "error", err)
		} else {
			op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.SaveFirmwareComponents(n.ID, list) })
		}
	}
}

// cacheSettings is readSettings as a step.
func (r *runner) cacheSettings(ctx context.Context, op *Op) (Outcome, error) {
	r.readSettings(ctx, op)
	return done, nil
}

// changed keeps what a step of the driver's has made of the machine.
func (r *runner) changed(ctx context.Context, op *Op, s metal.Step) {
	switch s.Interface {
	case "bios", "firmware":
		r.readSettings(ctx, op)
	case "raid":
		if r.hw.RAID == nil {
			return
		}
		config, err := r.hw.RAID.RAIDConfig(ctx, op.Node)
		if err != nil {
			r.log.Warn("RAID configuration cannot be read", "error", err)
			return
		}
		r.keepRAID(ctx, op, config)
	}
}

// built keeps what a RAID step of the agent's has made, as its result says. Source: lifecycle reference §6.5, and
// agent protocol reference §12.7.
func (r *runner) built(ctx context.Context, op *Op, s metal.Step, res agentapi.Result) {
	if s.Interface != "raid" || !slices.Contains([]string{"create_configuration", "apply_configuration", "delete_configuration"}, s.Step) {
		return
	}
	var result struct {
		Result json.RawMessage `json:"clean_result"`
		Deploy json.RawMessage `json:"deploy_result"`
		Serve  json.RawMessage `json:"service_result"`
	}
	var config map[string]any
	if json.Unmarshal(res.CommandResult, &result) == nil {
		for _, raw := range []json.RawMessage{result.Result, result.Deploy, result.Serve} {
			if len(raw) > 0 {
				_ = json.Unmarshal(raw, &config) // a result that is no object tells of no configuration
			}
		}
	}
	if s.Step == "delete_configuration" {
		config = nil
	}
	r.keepRAID(ctx, op, config)
}

// hideSettings takes out what nobody is shown: passwords, should a BMC tell one, and the secret values of the operation.
func (r *runner) hideSettings(ctx context.Context, op *Op, list []metal.BIOSSetting) {
	for i, s := range list {
		switch {
		case s.Value == nil:
		case s.Registry.Type == passwordSetting || strings.Contains(strings.ToLower(s.Name), "password"):
			list[i].Value = nil
		default:
			said := r.scrubbed(ctx, op, *s.Value)
			list[i].Value = &said
		}
	}
}

// passwordSetting is the type of settings that are passwords. Source: Redfish, AttributeRegistry, AttributeType.
const passwordSetting = "Password"

// keepRAID shows the machine's logical disks and since when.
func (r *runner) keepRAID(ctx context.Context, op *Op, config map[string]any) {
	shown := map[string]any{}
	if len(config) > 0 {
		maps.Copy(shown, r.scrubbedObject(ctx, op, config))
		shown["last_updated"] = time.Now().UTC().Format("2006-01-02T15:04:05.000000")
	}
	op.Change(func(n *metal.Node) { n.RAIDConfig = shown })
}
