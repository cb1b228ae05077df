package metal

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The boot modes, in Ironic's words.
const (
	UEFI = "uefi"
	BIOS = "bios"
)

// SecureBoot is how UEFI Secure Boot stands on a machine.
type SecureBoot struct {
	On     bool  // the setting: what the next boot is to enforce
	Booted *bool // what this boot enforces, or the last did; nil where the BMC does not say
	Setup  bool  // the firmware has no platform key: it enforces nothing, whatever the setting
}

// KeyReset is what becomes of the keys that Secure Boot goes by.
type KeyReset string

// The resets of keys: to those of the factory, or to none at all.
const (
	DefaultKeys KeyReset = "default"
	NoKeys      KeyReset = "none"
)

// BootWish is how an instance wants its machine to boot; the zero one wants nothing in particular.
type BootWish struct {
	Mode       string // UEFI, BIOS or ""
	SecureBoot bool
}

// Capabilities reads what Ironic calls capabilities: an object, the same as JSON text, or text "key:value,key:value".
// Values become text. Nil is none.
func Capabilities(v any) (map[string]string, error) {
	out := map[string]string{}
	switch c := v.(type) {
	case nil:
		return out, nil
	case map[string]any:
		for k, value := range c {
			switch value := value.(type) {
			case string:
				out[k] = value
			case bool, float64, json.Number, int, int64:
				out[k] = fmt.Sprint(value)
			default:
				return nil, fmt.Errorf("capability %q is neither text nor a number nor a truth value", k)
			}
		}
		return out, nil
	case string:
		return capabilityText(c)
	}
	return nil, fmt.Errorf("capabilities must be an object or text like boot_mode:uefi,secure_boot:true")
}

func capabilityText(s string) (map[string]string, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "{") {
		var object map[string]any
		if err := json.Unmarshal([]byte(s), &object); err != nil {
			return nil, fmt.Errorf("capabilities begin like a JSON object and are none")
		}
		return Capabilities(object)
	}
	out := map[string]string{}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		k, v, ok := strings.Cut(part, ":")
		if !ok || k == "" {
			return nil, fmt.Errorf("capability %q is not of the form key:value", part)
		}
		out[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return out, nil
}

// WishOf finds how a node's instance is to boot. Secure Boot asks for UEFI; then the instance's boot_mode rules, then
// deploy_boot_mode, then the node's own capability. Source: images reference §10.
func WishOf(n *Node) (BootWish, error) {
	info := n.InstanceInfo.Expose()
	own, err := Capabilities(info["capabilities"])
	if err != nil {
		return BootWish{}, fmt.Errorf("instance_info: %w", err)
	}
	general, err := Capabilities(n.Properties["capabilities"])
	if err != nil {
		return BootWish{}, fmt.Errorf("properties: %w", err)
	}
	wish := BootWish{Mode: strings.ToLower(own["boot_mode"])}
	if wish.SecureBoot, err = truth(own["secure_boot"]); err != nil {
		return BootWish{}, fmt.Errorf("instance_info: capability secure_boot %w", err)
	}
	if wish.Mode == "" && wish.SecureBoot {
		wish.Mode = UEFI
	}
	if wish.Mode == "" {
		old, _ := info["deploy_boot_mode"].(string)
		wish.Mode = strings.ToLower(old)
	}
	rack := strings.ToLower(general["boot_mode"])
	if wish.Mode == "" {
		wish.Mode = rack
	}
	switch {
	case wish.Mode != "" && wish.Mode != UEFI && wish.Mode != BIOS:
		return BootWish{}, fmt.Errorf("boot mode %q is neither uefi nor bios", wish.Mode)
	case wish.SecureBoot && wish.Mode == BIOS:
		return BootWish{}, fmt.Errorf("capability secure_boot:true goes with boot_mode:uefi only")
	case rack != "" && wish.Mode != rack:
		return BootWish{}, fmt.Errorf("the instance wants boot mode %s and the node's properties.capabilities say %s", wish.Mode, rack)
	}
	return wish, nil
}

func truth(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "", "false", "no", "off", "0":
		return false, nil
	case "true", "yes", "on", "1":
		return true, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}
