package ops

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// A machine that installs itself needs a medium, and neither scripts nor an image; what is wrong with it is refused before anything is
// promised.
func TestREQ29And30SelfInstallNeedsAMediumOnly(t *testing.T) {
	r := newOSRig(t)
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "redfish", Interfaces: map[string][]string{"deploy": {metal.DeployOS}, "power": {"redfish"}}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	iso := map[string]any{"boot_iso": "https://installers.example/i.iso"}
	with := func(more map[string]any) map[string]any {
		out := map[string]any{}
		for _, m := range []map[string]any{iso, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	for _, c := range []struct {
		what string
		info map[string]any
		ask  OSInstall
		kind fault.Kind
		want string // "": it is taken
	}{
		{"no medium", map[string]any{"image_source": "http://images.example/i.raw"}, OSInstall{}, fault.Invalid, "set boot_iso"},
		{"a kernel", map[string]any{"kernel": "http://x/k", "ramdisk": "http://x/r", "image_source": "http://x/i"}, OSInstall{}, fault.Invalid, "boots a whole ISO: set boot_iso"},
		{"nothing", nil, OSInstall{}, fault.Invalid, "nothing to install from"},
		{"no URL", map[string]any{"boot_iso": "/etc/passwd"}, OSInstall{}, fault.Invalid, "not an http or https URL"},
		{"a user in it", map[string]any{"boot_iso": "https://u:p@h/i.iso"}, OSInstall{}, fault.Invalid, "has a user in its URL"},
		{"an image, too", with(map[string]any{"image_source": "http://x/i"}), OSInstall{}, fault.Invalid, "remove image_source"},
		{"a bad checksum", with(map[string]any{"boot_iso_checksum": "12"}), OSInstall{}, fault.Invalid, "checksum"},
		{"an import", iso, OSInstall{Definition: "confined+12", Import: "https://exports.example/e/"}, fault.Invalid, "execution mode is install"},
		{"a medium", iso, OSInstall{}, 0, ""},
		{"with a package", iso, OSInstall{Package: "https://x/p.tgz", Parameters: osdef.Classes{Public: map[string]string{"any": "name"}, Secret: values("some", "canary")}}, 0, ""},
		{"with an untrusted definition without untrusted scripts", iso, OSInstall{Definition: "host+12"}, 0, ""},
	} {
		err := r.db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(r.node.UUID)
			if err != nil {
				return err
			}
			if err := tx.Supersede(n.ID, "the next case"); err != nil {
				return err
			}
			n.ProvisionState, n.Interfaces["deploy"], n.InstanceInfo = metal.Available, metal.DeployOS, secret.NewMap(c.info)
			return tx.SaveNode(n)
		})
		if err != nil {
			t.Fatal(err)
		}
		c.ask.Mode = osdef.ModeSelfInstall
		err = r.s.SetProvision(t.Context(), caller, r.node.UUID, Provision{Verb: metal.VerbActive, OS: &c.ask})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			continue
		}
		if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	// A rebuild repeats the mode that is kept.
	before := &store.OSInstall{Mode: osdef.ModeSelfInstall, Safe: true, Package: "https://x/p.tgz"}
	r.saveInfo(iso)
	if again, err := r.judge(metal.VerbRebuild, &OSInstall{}, before); err != nil || again.Mode != osdef.ModeSelfInstall || again.Package != before.Package {
		t.Errorf("REQ-29: a rebuild has %+v, %v", again, err)
	}
}

func (r *osRig) saveInfo(info map[string]any) {
	r.Helper()
	err := r.db.Write(r.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(r.node.UUID)
		if err != nil {
			return err
		}
		n.InstanceInfo = secret.NewMap(info)
		return tx.SaveNode(n)
	})
	if err != nil {
		r.Fatal(err)
	}
}
