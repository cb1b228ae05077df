package policy

import "strings"

// patched says which rule stands over a field of a node; node:update stands over those that are not here, and over a
// patch of nothing. Source: RBAC reference §6.
var patched = map[string]Rule{
	"instance_info":     "node:update_instance_info",
	"instance_name":     "node:update_instance_info",
	"extra":             "node:update_extra",
	"driver_info":       "node:update:driver_info",
	"properties":        "node:update:properties",
	"chassis_uuid":      "node:update:chassis_uuid",
	"instance_uuid":     "node:update:instance_uuid",
	"lessee":            "node:update:lessee",
	"owner":             "node:update:owner",
	"driver":            "node:update:driver_interfaces",
	"network_data":      "node:update:network_data",
	"conductor_group":   "node:update:conductor_group",
	"name":              "node:update:name",
	"retired":           "node:update:retired",
	"retired_reason":    "node:update:retired",
	"shard":             "node:update:shard",
	"parent_node":       "node:update:parent_node",
	"disable_power_off": "node:update:disable_power_off",
}

// OfNodeField is the rule for changing a field of a node to a value, nil for removing it.
func OfNodeField(name string, value any) Rule {
	if rule, ok := patched[name]; ok {
		return rule
	}
	switch {
	case strings.HasSuffix(name, "_interface"):
		return "node:update:driver_interfaces"
	case name == "automated_clean" && falsy(value):
		return "node:disable_cleaning"
	}
	return "node:update"
}

// falsy tells whether clients may mean false by a value: those of booleans may be texts.
func falsy(v any) bool {
	switch v := v.(type) {
	case bool:
		return !v
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "0", "f", "false", "off", "n", "no":
			return true
		}
	case float64:
		return v == 0
	}
	return false
}
