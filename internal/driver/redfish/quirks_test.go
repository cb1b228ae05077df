package redfish_test

import (
	"net/http"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/lab/bmc"
)

func maker(name string) func(*bmc.Inventory) {
	return func(i *bmc.Inventory) { i.Manufacturer, i.Legacy = name, true }
}

// TestWholeBoot: AMI's BMCs refuse a change of Boot that lacks one of the three; the row spares the refusals.
func TestWholeBoot(t *testing.T) {
	for _, name := range []string{"AMI", "American Megatrends International", "ASRockRack"} {
		r := rigOf(t, quick(), maker(name))
		r.plant(t, bmc.Fault{Name: bmc.WholeBoot})
		if err := r.SetBootDevice(t.Context(), r.node, cdrom); err != nil {
			t.Errorf("%s: boot device: %v", name, err)
		}
		if shown, err := r.SetBootMode(t.Context(), r.node, metal.BIOS); err != nil || !shown {
			t.Errorf("%s: boot mode: shown %v, %v", name, shown, err)
		}
		if got, err := r.BootDevice(t.Context(), r.node); err != nil || got != cdrom {
			t.Errorf("%s: a change of mode made the device %+v, %v", name, got, err)
		}
		if n := r.bmc.Counters()["PATCH"]; n != 2 {
			t.Errorf("%s: %d PATCHes for two changes", name, n)
		}
	}
	r := rigOf(t, quick(), maker("somebody"))
	r.plant(t, bmc.Fault{Name: bmc.WholeBoot})
	if _, err := r.SetBootMode(t.Context(), r.node, metal.BIOS); err != nil {
		t.Errorf("a make without a row, which is tried in both forms: %v", err)
	}
}

// TestLateShow: Dell shows a change after the boot that applies it; nobody waits for it before.
func TestLateShow(t *testing.T) {
	cfg := quick()
	cfg.EffectWait = 1 << 40 // for ever: a wait would not end
	r := rigOf(t, cfg, maker("Dell Inc."))
	r.plant(t, bmc.Fault{Name: bmc.AtReset})
	if shown, err := r.SetSecureBoot(t.Context(), r.node, false); err != nil || !shown {
		t.Errorf("secure boot: shown %v, %v", shown, err)
	}
	if shown, err := r.SetBootMode(t.Context(), r.node, metal.BIOS); err != nil || !shown {
		t.Errorf("boot mode: shown %v, %v", shown, err)
	}
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	if s, err := r.SecureBoot(t.Context(), r.node); err != nil || s.On {
		t.Errorf("after the boot: %+v, %v", s, err)
	}
	if mode, err := r.BootMode(t.Context(), r.node); err != nil || mode != metal.BIOS {
		t.Errorf("after the boot: %s, %v", mode, err)
	}
}

// TestEmptyGhost: Supermicro goes on showing an image that was ejected, as not connected.
func TestEmptyGhost(t *testing.T) {
	r := rigOf(t, quick(), maker("Supermicro"))
	r.plant(t, bmc.Fault{Name: bmc.ImageRemains})
	for range 2 {
		if err := r.InsertMedia(t.Context(), r.node, iso); err != nil {
			t.Fatal(err)
		}
		if err := r.EjectMedia(t.Context(), r.node); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Media(t.Context(), r.node); err != nil || got != "" {
			t.Errorf("in the drive: %q, %v", got, err)
		}
	}
}

// TestLenovoSlots: an image goes into an EXT slot; the others are listed first and take none.
func TestLenovoSlots(t *testing.T) {
	s := newStub(t)
	s.docs[sys]["Manufacturer"] = "Lenovo"
	media := sys + "/VirtualMedia"
	s.docs[media] = list(media+"/RDOC1", media+"/Remote1", media+"/EXT1")
	for _, id := range []string{"RDOC1", "Remote1", "EXT1"} {
		s.docs[media+"/"+id] = doc{"Id": id, "MediaTypes": []string{"CD", "DVD"}, "Inserted": false}
	}
	if err := driver(t, quick()).InsertMedia(t.Context(), s.node, iso); err != nil {
		t.Fatal(err)
	}
	if said := s.said(); !strings.HasPrefix(said, "PATCH "+media+"/EXT1 ") || strings.Contains(said, "RDOC1") || strings.Contains(said, "Remote1") {
		t.Errorf("asked %s", said)
	}
}

// TestLenovoBootMode: the machine's mode is a BIOS attribute; the override's would be for one boot.
func TestLenovoBootMode(t *testing.T) {
	s := newStub(t)
	mergeInto(s.docs[sys], doc{"Manufacturer": "Lenovo", "Bios": at(sys + "/Bios")})
	s.docs[sys+"/Bios"] = doc{"Attributes": doc{"BootModes_SystemBootMode": "UEFIMode"}, "@Redfish.Settings": doc{"SettingsObject": at(sys + "/Bios/Pending")}}
	s.docs[sys+"/Bios/Pending"] = doc{"Attributes": doc{}}
	d := driver(t, quick())
	if mode, err := d.BootMode(t.Context(), s.node); mode != metal.UEFI || err != nil {
		t.Errorf("%s, %v", mode, err)
	}
	if shown, err := d.SetBootMode(t.Context(), s.node, metal.BIOS); err != nil || !shown {
		t.Errorf("shown %v, %v", shown, err)
	}
	if said := s.said(); said != "PATCH "+sys+`/Bios/Pending {"Attributes":{"BootModes_SystemBootMode":"LegacyMode"}}` {
		t.Errorf("asked %s", said)
	}
}

// TestNotNow: a refusal because of POST, or of the BMC's last task, is worth another try, and says so.
func TestNotNow(t *testing.T) {
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.InPOST, Times: 1})
	if err := r.SetBootDevice(t.Context(), r.node, cdrom); err != nil {
		t.Errorf("POST that ends soon: %v", err)
	}
	r.plant(t, bmc.Fault{Name: bmc.InPOST})
	for name, err := range map[string]error{
		"boot":  r.SetBootDevice(t.Context(), r.node, metal.BootDevice{Device: "disk", Persistent: true}),
		"power": r.SetPower(t.Context(), r.node, metal.PowerOn),
		"media": r.InsertMedia(t.Context(), r.node, iso),
	} {
		if told := is(t, err, fault.Locked); !strings.Contains(told, "the machine is in POST") || !strings.Contains(told, "asked again") {
			t.Errorf("%s: %q", name, told)
		}
	}
	for _, id := range []string{"iLO.2.8.InvalidOperationForSystemState", "IDRAC.2.8.SYS518"} {
		s := newStub(t)
		s.on("PATCH "+sys, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error": {"code": "x", "message": "see there", "@Message.ExtendedInfo": [{"MessageId": "` + id + `"}]}}`))
		})
		is(t, driver(t, quick()).SetBootDevice(t.Context(), s.node, cdrom), fault.Locked)
	}
}

// TestInsertWords: what a BMC demands is said, to that BMC.
func TestInsertWords(t *testing.T) {
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.NeedTransfer})
	if err := r.InsertMedia(t.Context(), r.node, iso); err != nil {
		t.Fatal(err)
	}
	s := newStub(t)
	s.on("POST "+cd+"/Insert", func(w http.ResponseWriter, _ *http.Request) {
		s.merge(cd, doc{"Inserted": true, "Image": iso})
		w.WriteHeader(http.StatusNoContent)
	})
	if err := driver(t, quick()).InsertMedia(t.Context(), s.node, iso); err != nil || strings.Contains(s.said(), "Transfer") {
		t.Errorf("%v: %s", err, s.said())
	}
}

// TestTrapStaleVirtualMedia: what somebody left in the drive goes first; what does not go is an error that says so.
func TestTrapStaleVirtualMedia(t *testing.T) {
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.StaleMedia, Times: 1})
	if err := r.InsertMedia(t.Context(), r.node, iso); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Media(t.Context(), r.node); err != nil || got != iso {
		t.Errorf("in the drive: %q, %v", got, err)
	}
	r.plant(t, bmc.Fault{Name: bmc.EjectIgnored})
	if told := is(t, r.EjectMedia(t.Context(), r.node), fault.Internal); !strings.Contains(told, "still holds it") {
		t.Errorf("told %q", told)
	}
}

// TestGenericMakes: makes without a row work by what their answers show. OpenBMC and HPE are among them.
func TestGenericMakes(t *testing.T) {
	for _, name := range []string{"OpenBMC", "HPE", "Sushy Emulator", ""} {
		r := rigOf(t, quick(), maker(name))
		for _, err := range []error{
			r.InsertMedia(t.Context(), r.node, iso),
			r.SetBootDevice(t.Context(), r.node, cdrom),
			r.SetPower(t.Context(), r.node, metal.PowerOn),
		} {
			if err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if b := r.machine.Boots(); len(b) != 1 || b[0].First != "Cd" || b[0].Media != iso {
			t.Errorf("%q: boots %+v", name, b)
		}
	}
}
