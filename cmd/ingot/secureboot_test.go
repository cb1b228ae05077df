package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestSecureBootIsAskedFor is the rules of Secure Boot, one a part, told to Debian's client where it has a command: properties
// declare, the instance or states/secure_boot asks, and what cannot be is refused.
func TestSecureBootIsAskedFor(t *testing.T) {
	if _, err := exec.LookPath("baremetal"); err != nil {
		t.Skip("the command baremetal is not installed; Debian has it in python3-ironicclient")
	}
	t.Setenv("INGOT_DEFAULT__ENABLED_MANAGEMENT_INTERFACES", "fake,noop,redfish")
	r := serving(t, t.TempDir())
	available := func(t *testing.T, name string) {
		t.Helper()
		r.ingot(t, "node", "create", "--driver", "fake-hardware", "--name", name)
		r.verb(t, name, "manage", "manageable")
		r.verb(t, name, "provide", "available")
	}
	is := func(t *testing.T, name, want string) {
		t.Helper()
		if out := r.ingot(t, "node", "show", name, "-o", "json"); !strings.Contains(out, `"secure_boot": `+want) {
			t.Errorf("secure_boot of %s is not %s:\n%s", name, want, out)
		}
	}
	t.Run("properties alone never turn it on", func(t *testing.T) {
		available(t, "declared")
		r.told(t, "node set declared --property capabilities=secure_boot:true")
		r.verb(t, "declared", "active", "active")
		is(t, "declared", "null")
	})
	t.Run("the instance asks", func(t *testing.T) {
		available(t, "asked")
		r.told(t, "node set asked --property capabilities=secure_boot:true --instance-info capabilities={\"secure_boot\":\"true\"}")
		r.verb(t, "asked", "active", "active")
		is(t, "asked", "true")
		r.verb(t, "asked", "deleted", "available")
		is(t, "asked", "false")
	})
	t.Run("the operator asks, and takes it back", func(t *testing.T) {
		available(t, "switched")
		for command, want := range map[string]string{"node secure boot on switched": "true", "node secure boot off switched": "false"} {
			r.told(t, command)
			r.ingot(t, "node", "secure-boot", map[string]string{"true": "on", "false": "off"}[want], "switched", "--wait", "--timeout", "1m") // a second time, to wait for it
			is(t, "switched", want)
		}
	})
	t.Run("with boot mode bios it is refused", func(t *testing.T) {
		available(t, "old")
		r.told(t, "node boot mode set old bios")
		r.ingot(t, "node", "boot-mode", "set", "old", "bios", "--wait", "--timeout", "1m")
		available(t, "older")
		session(t, r, `
			node secure boot on old -> Secure Boot needs boot mode uefi, and node -> boots in mode bios: set the boot mode to uefi first. (HTTP 400)
			node secure boot off old
			node set older --property capabilities=boot_mode:bios,secure_boot:true
			node secure boot on older -> Secure Boot needs boot mode uefi -> (HTTP 400)
			node set older --instance-info capabilities=secure_boot:true,boot_mode:bios
			node deploy older -> capability secure_boot:true goes with boot_mode:uefi only. (HTTP 400)
			node set older --instance-info capabilities=secure_boot:true
			node deploy older -> wants boot mode uefi and the node's properties.capabilities say bios. (HTTP 400)
			node set older --instance-info capabilities=secure_boot:perhaps
			node deploy older -> is neither true nor false. (HTTP 400)`)
		is(t, "older", "null")
	})
	t.Run("a driver without it refuses", func(t *testing.T) {
		available(t, "plain")
		r.ingot(t, "node", "set", "plain", "management_interface=noop")
		session(t, r, `
			node secure boot on plain -> does not support Secure Boot with the management interface "noop" -> (HTTP 400)
			node set plain --instance-info capabilities=secure_boot:true
			node deploy plain -> does not support Secure Boot with the management interface "noop" -> (HTTP 400)`)
		if said := string(r.call(t, "GET", "/ingot/v1/nodes/plain/security", nil, 501)); !strings.Contains(said, "tells nothing of a machine's security") {
			t.Errorf("its security: %s", said)
		}
	})
}

// verb sends a verb and waits for the state.
func (r *running) verb(t *testing.T, name, verb, state string) {
	t.Helper()
	r.call(t, "PUT", "/v1/nodes/"+name+"/states/provision", map[string]any{"target": verb}, 202)
	r.until(t, name, state)
}
