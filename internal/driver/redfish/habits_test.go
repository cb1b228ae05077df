package redfish_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

var cdrom = metal.BootDevice{Device: "cdrom"}

func TestSupermicroBootsFromUsbCd(t *testing.T) {
	for model, want := range map[string]string{"SYS-1029P": "UsbCd", "ARS-111GL-NHR": "Cd"} {
		s := newStub(t)
		mergeInto(s.docs[sys], doc{"Manufacturer": "Supermicro", "Model": model,
			"Boot": doc{"BootSourceOverrideTarget@Redfish.AllowableValues": []string{"None", "Hdd", "Cd", "UsbCd"}}})
		d := driver(t, quick())
		if err := d.SetBootDevice(t.Context(), s.node, cdrom); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.said(), `"BootSourceOverrideTarget":"`+want+`"`) || !strings.Contains(s.said(), `"BootSourceOverrideMode":"UEFI"`) {
			t.Errorf("%s: %s", model, s.said())
		}
		if got, err := d.BootDevice(t.Context(), s.node); err != nil || got != cdrom {
			t.Errorf("%s boots from %+v, %v", model, got, err)
		}
	}
}

func TestLenovoKeepsItsDiskOrder(t *testing.T) {
	s := newStub(t)
	s.docs[sys]["Manufacturer"] = "Lenovo"
	d := driver(t, quick())
	if err := d.SetBootDevice(t.Context(), s.node, metal.BootDevice{Device: "disk", Persistent: true}); err != nil || s.said() != "" {
		t.Errorf("%v: %s", err, s.said())
	}
	if err := d.SetBootDevice(t.Context(), s.node, cdrom); err != nil || s.said() == "" {
		t.Errorf("cdrom: %v: %s", err, s.said())
	}
}

// TestSettingsResource: the machine itself is read-only and names no targets, its settings do and take them.
func TestSettingsResource(t *testing.T) {
	s := newStub(t)
	mergeInto(s.docs[sys], doc{"@Redfish.Settings": doc{"SettingsObject": at(sys + "/Settings")}})
	s.docs[sys+"/Settings"] = doc{"Id": "Settings", "@odata.etag": `W/"7"`,
		"Boot": doc{"BootSourceOverrideTarget@Redfish.AllowableValues": []string{"None", "Cd"}}}
	s.on("PATCH "+sys, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "Boot is read-only") })
	d := driver(t, quick())
	if err := d.SetBootDevice(t.Context(), s.node, cdrom); err != nil || !strings.Contains(s.said(), "PATCH "+sys+"/Settings") {
		t.Errorf("%v: %s", err, s.said())
	}
	if got, err := d.BootDevices(t.Context(), s.node); err != nil || !reflect.DeepEqual(got, []string{"cdrom"}) {
		t.Errorf("devices: %v, %v", got, err)
	}
	told := is(t, d.SetBootDevice(t.Context(), s.node, metal.BootDevice{Device: "pxe"}), fault.Invalid)
	if !strings.Contains(told, "it offers None, Cd") {
		t.Errorf("a device it lacks: %q", told)
	}
}

// TestETagsThatNeverMatch: a weak tag that is wanted strong, and one that no If-Match equals.
func TestETagsThatNeverMatch(t *testing.T) {
	for name, accepts := range map[string]func(string) bool{
		"strong": func(tag string) bool { return tag == `"7"` },
		"none":   func(tag string) bool { return tag == "" },
	} {
		s := newStub(t)
		s.docs[sys]["@odata.etag"] = `W/"7"`
		s.on("PATCH "+sys, func(w http.ResponseWriter, r *http.Request) {
			if !accepts(r.Header.Get("If-Match")) {
				refuse(w, http.StatusPreconditionFailed, "etag does not match")
				return
			}
			var change doc
			body, _ := io.ReadAll(r.Body)
			_ = json.Unmarshal(body, &change)
			s.merge(sys, change)
			w.WriteHeader(http.StatusNoContent)
		})
		if err := driver(t, quick()).SetBootDevice(t.Context(), s.node, cdrom); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPersistentBecomesOnceWithAWarning(t *testing.T) {
	s := newStub(t)
	s.on("PATCH "+sys, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("Continuous")) {
			refuse(w, 400, "Continuous is not supported")
			return
		}
		var change doc
		_ = json.Unmarshal(body, &change)
		s.merge(sys, change)
	})
	var log bytes.Buffer
	cfg := quick()
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	d := driver(t, cfg)
	if err := d.SetBootDevice(t.Context(), s.node, metal.BootDevice{Device: "disk", Persistent: true}); err != nil {
		t.Fatal(err)
	}
	if got, err := d.BootDevice(t.Context(), s.node); err != nil || got != (metal.BootDevice{Device: "disk"}) {
		t.Errorf("boots from %+v, %v", got, err)
	}
	if !strings.Contains(log.String(), "no persistent boot device") {
		t.Errorf("log: %s", log.String())
	}
}

func TestTrapSettingsAcceptedAndNotApplied(t *testing.T) {
	s := newStub(t)
	s.on("PATCH "+sys, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	told := is(t, driver(t, quick()).SetBootDevice(t.Context(), s.node, cdrom), fault.Internal)
	if !strings.Contains(told, "still shows None") {
		t.Errorf("told: %q", told)
	}
}

func TestSessionsThatAreNotThere(t *testing.T) {
	for _, status := range []int{400, 404, 405, 501, 201} { // 201 without a token
		s := newStub(t)
		s.on("POST /redfish/v1/SessionService/Sessions", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		s.on("GET "+sys, func(w http.ResponseWriter, r *http.Request) {
			if u, p, ok := r.BasicAuth(); !ok || u != "admin" || p == "" {
				refuse(w, 401, "log in")
				return
			}
			_ = json.NewEncoder(w).Encode(doc{"PowerState": "On"})
		})
		if p, err := driver(t, quick()).Power(t.Context(), s.node); p != metal.PowerOn || err != nil {
			t.Errorf("%d: %q, %v", status, p, err)
		}
		n := *s.node
		n.DriverInfo = n.DriverInfo.With("redfish_auth_type", "session")
		if _, err := driver(t, quick()).Power(t.Context(), &n); err == nil {
			t.Errorf("%d: basic authentication although sessions were asked for", status)
		}
	}
}

func TestSeveralMachines(t *testing.T) {
	s := newStub(t)
	s.docs["/redfish/v1/Systems"] = list(sys, "/redfish/v1/Systems/2")
	s.docs["/redfish/v1/Systems/2"] = doc{"PowerState": "On"}
	d := driver(t, quick())
	_, err := d.Power(t.Context(), s.node)
	if told := is(t, err, fault.Invalid); !strings.Contains(told, "2 machines (1, 2): say which in redfish_system_id") {
		t.Errorf("told: %q", told)
	}
	for id, want := range map[string]metal.Power{"2": metal.PowerOn, sys: metal.PowerOff, sys + "/": metal.PowerOff} {
		n := *s.node
		n.DriverInfo = n.DriverInfo.With("redfish_system_id", id)
		if p, err := d.Power(t.Context(), &n); p != want || err != nil {
			t.Errorf("%s: %q, %v", id, p, err)
		}
	}
	n := *s.node
	n.DriverInfo = n.DriverInfo.With("redfish_system_id", "3")
	_, err = d.Power(t.Context(), &n)
	is(t, err, fault.Invalid)
	s.docs["/redfish/v1/Systems"] = list()
	_, err = driver(t, quick()).Power(t.Context(), s.node)
	is(t, err, fault.Unavailable)
}

func TestPowerStatesAndResets(t *testing.T) {
	for _, row := range []struct {
		state   any
		want    metal.Power
		offered []string
		reset   string // "" for none
	}{
		{"Off", metal.PowerOn, nil, "On"},
		{"Off", metal.PowerOn, []string{"ForceOn", "ForceOff"}, "ForceOn"},
		{"Off", metal.PowerOn, []string{"PushPowerButton"}, "PushPowerButton"},
		{"PoweringOn", metal.PowerOn, nil, ""},
		{"PoweringOff", metal.PowerOff, nil, "ForceOff"},
		{"PoweringOff", metal.SoftPowerOff, nil, ""},
		{"On", metal.SoftPowerOff, []string{"ForceOff", "PushPowerButton"}, "PushPowerButton"},
		{"Off", metal.PowerOff, nil, ""},
	} {
		s := newStub(t)
		s.docs[sys]["PowerState"] = row.state
		mergeInto(s.docs[sys], doc{"Actions": doc{"#ComputerSystem.Reset": doc{"ResetType@Redfish.AllowableValues": row.offered}}})
		s.on("POST "+sys+"/Reset", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		d := driver(t, quick())
		if button, err := d.ByButton(t.Context(), s.node, row.want); err != nil || button != (row.reset == "PushPowerButton") {
			t.Errorf("%s with %v: by button %v, %v", row.want, row.offered, button, err)
		}
		err := d.SetPower(t.Context(), s.node, row.want)
		asked := strings.Contains(s.said(), `"`+row.reset+`"`)
		if err != nil || (row.reset == "") != (s.said() == "") || row.reset != "" && !asked {
			t.Errorf("%v to %s with %v: %v, asked %q", row.state, row.want, row.offered, err, s.said())
		}
	}
	s := newStub(t)
	mergeInto(s.docs[sys], doc{"PowerState": "On", "Actions": doc{"#ComputerSystem.Reset": doc{"ResetType@Redfish.AllowableValues": []string{"On"}}}})
	d := driver(t, quick())
	is(t, d.SetPower(t.Context(), s.node, metal.PowerOff), fault.NotSupported)
	s.docs[sys]["PowerState"] = nil
	_, err := d.Power(t.Context(), s.node)
	is(t, err, fault.Unavailable)
}

// TestRefusedBecauseItIsSo: the answer to the first try got lost, and the second is refused.
func TestRefusedBecauseItIsSo(t *testing.T) {
	s := newStub(t)
	s.on("POST "+sys+"/Reset", func(w http.ResponseWriter, _ *http.Request) {
		s.merge(sys, doc{"PowerState": "On"})
		refuse(w, 400, "the machine is on already")
	})
	if err := driver(t, quick()).SetPower(t.Context(), s.node, metal.PowerOn); err != nil {
		t.Error(err)
	}
	if n := strings.Count(s.said(), "Reset"); n != 2 { // path and body of one request
		t.Errorf("asked: %s", s.said())
	}
}
