package bmc

import "net/http"

// setting is something of the firmware's that is changed for the next boot.
type setting struct {
	now  bool // in this boot, or the last
	next bool // in the next
}

// settled is a setting that no boot will change.
func settled(v bool) setting { return setting{v, v} }

// shown is what a BMC tells of a setting. Some tell what the next boot will do, others what the last did: Dell's
// iDRAC changes these by a job that the next boot runs (openstack/ironic, redfish/management.py).
func (s setting) shown(atReset bool) bool {
	if atReset {
		return s.now
	}
	return s.next
}

// set changes a setting for the next boot, with the faults that settings may have.
func (b *BMC) set(s *setting, to bool, property string) error {
	on := b.cfg.Machine.Powered() // before the lock: a machine that starts holds its own and wants ours
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.next == to {
		return nil
	}
	if on && b.faults.has(NeedsOff) {
		return problem{http.StatusBadRequest, "PropertyNotUpdated", "The property " + property + " can be changed only while the system is off."}
	}
	b.counters.add("Set." + property)
	if _, ok := b.faults.strike(PatchIgnored); !ok {
		s.next = to
	}
	return nil
}

// applySettings is what the firmware does at a boot; the lock is held.
func (b *BMC) applySettings() {
	if b.legacy.now == b.legacy.next && b.secure.now == b.secure.next && b.keys.now == b.keys.next {
		return
	}
	if _, ok := b.faults.strike(NotApplied); ok {
		return
	}
	b.legacy.now, b.keys.now = b.legacy.next, b.keys.next
	if !b.keys.now.has() {
		b.secure.next = false // without a platform key the firmware is in setup mode and enforces nothing
	}
	b.secure.now = b.secure.next && !b.legacy.now
}

func (b *BMC) bootModes() []string {
	if b.cfg.Machine.Inventory().Legacy {
		return []string{"UEFI", "Legacy"}
	}
	return []string{"UEFI"}
}

func modeWord(legacy bool) string {
	if legacy {
		return "Legacy"
	}
	return "UEFI"
}

// The ways to reset keys (DSP2046, SecureBoot, ResetKeysType).
const (
	resetKeysToDefault = "ResetAllKeysToDefault"
	deleteAllKeys      = "DeleteAllKeys"
	deletePlatformKey  = "DeletePK"
)

func (b *BMC) getSecureBoot(*http.Request) (doc, error) {
	b.mu.Lock()
	secure, keys := b.secure, b.keys.now.has()
	b.mu.Unlock()
	current, mode := "Disabled", "SetupMode"
	if secure.now {
		current = "Enabled"
	}
	if keys {
		mode = "UserMode"
	}
	d := doc{"@odata.id": SecureBootPath, "@odata.type": "#SecureBoot.v1_1_0.SecureBoot",
		"Id": "SecureBoot", "Name": "UEFI Secure Boot", "SecureBootEnable": secure.shown(b.faults.has(AtReset)),
		"SecureBootCurrentBoot": current, "SecureBootMode": mode,
		"Actions": doc{"#SecureBoot.ResetKeys": doc{"target": SecureBootPath + "/Actions/SecureBoot.ResetKeys",
			"ResetKeysType@Redfish.AllowableValues": []string{resetKeysToDefault, deleteAllKeys, deletePlatformKey}}}}
	if !b.faults.has(NoDatabases) {
		d["SecureBootDatabases"] = link(databasesPath)
	}
	return d, nil
}

func (b *BMC) patchSecureBoot(r *http.Request) (reply, error) {
	var ask struct{ SecureBootEnable *bool }
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if ask.SecureBootEnable == nil {
		return reply{}, problem{http.StatusBadRequest, "PropertyMissing", "The property SecureBootEnable is required in a PATCH of this resource."}
	}
	b.mu.Lock()
	keys, legacy := b.keys.next.has(), b.legacy.next
	b.mu.Unlock()
	if *ask.SecureBootEnable && (!keys || legacy) {
		return reply{}, problem{http.StatusBadRequest, "PropertyValueConflict",
			"SecureBootEnable cannot be true: the system has no platform key, or its boot mode is Legacy."}
	}
	return reply{status: http.StatusNoContent}, b.set(&b.secure, *ask.SecureBootEnable, "SecureBootEnable")
}

func (b *BMC) resetKeys(r *http.Request) (reply, error) {
	var ask struct{ ResetKeysType string }
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	switch ask.ResetKeysType {
	case resetKeysToDefault, deleteAllKeys, deletePlatformKey:
	default:
		return reply{}, problem{http.StatusBadRequest, "ActionParameterValueNotInList",
			"The value for the parameter ResetKeysType in the action SecureBoot.ResetKeys is not in the list of acceptable values."}
	}
	return reply{status: http.StatusNoContent}, b.setKeys(func(k *KeyStore) error {
		switch ask.ResetKeysType {
		case resetKeysToDefault:
			*k = *b.factory
		case deleteAllKeys:
			*k = KeyStore{}
		default:
			k.PK = nil
		}
		return nil
	})
}
