package conductor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// peripheralJourneys are the plans that go on after their caller was answered.
var peripheralJourneys = []journey{
	{"attach media", metal.PlanAttachMedia, metal.Active, "", `{"ask":{"medium":{"kind":"cdrom","url":"http://192.0.2.1/b.iso"}}}`, metal.Active, metal.Active, true, true, "user data"},
	{"detach media", metal.PlanDetachMedia, metal.Active, "", `{"ask":{"media_kinds":["cdrom"]}}`, metal.Active, metal.Active, true, true, "user data"},
	{"detach all media", metal.PlanDetachMedia, metal.Manageable, "", `{"ask":{}}`, metal.Manageable, metal.Manageable, false, false, "user data"},
	{"start console", metal.PlanConsole, metal.Active, "", `{"ask":{"console":true}}`, metal.Active, metal.Active, true, true, "user data"},
	{"stop console", metal.PlanConsole, metal.Active, "", `{"ask":{"console":false}}`, metal.Active, metal.Active, true, true, "user data"},
}

// peripherals are what a world's machine has beside its disks: what is in its drives, by kind, and its console.
type peripherals struct {
	drives  map[string]string
	console bool
}

// peripheralEnds are what the journeys leave; others leave what newPeripherals gives.
var peripheralEnds = map[string]peripherals{
	"attach media":     {map[string]string{"cdrom": "http://192.0.2.1/b.iso", "floppy": "http://192.0.2.1/f.img"}, true},
	"detach media":     {map[string]string{"floppy": "http://192.0.2.1/f.img"}, true},
	"detach all media": {map[string]string{}, true},
	"stop console":     {map[string]string{"cdrom": "http://192.0.2.1/a.iso", "floppy": "http://192.0.2.1/f.img"}, false},
}

func newPeripherals(j journey) peripherals {
	return peripherals{map[string]string{"cdrom": "http://192.0.2.1/a.iso", "floppy": "http://192.0.2.1/f.img"}, j.name != "start console"}
}

func (w *world) peripheralsArrived(j journey, n *metal.Node, label string) {
	w.t.Helper()
	want, own := peripheralEnds[j.name]
	if !own {
		want = newPeripherals(journey{})
	}
	if !maps.Equal(w.side.drives, want.drives) || w.side.console != want.console || n.ConsoleEnabled != want.console {
		w.t.Errorf("%s: drives and console %+v, shown %v; want %+v", label, w.side, n.ConsoleEnabled, want)
	}
	if j.plan != metal.PlanVerify && j.plan != metal.PlanClean {
		return
	}
	var settings []metal.BIOSSetting
	var parts []metal.FirmwareComponent
	w.write(func(tx *store.Tx) (err error) {
		if settings, err = tx.BIOSSettings(n.ID); err == nil {
			parts, err = tx.FirmwareComponents(n.ID)
		}
		return err
	})
	if len(settings) != 1 || settings[0].Name != "turbo" || len(parts) != 1 || parts[0].Current != "1.0" {
		w.t.Errorf("%s: settings %+v, components %+v", label, settings, parts)
	}
}

// As a driver has it, what is so already is not done again.

func (w *world) AttachMedia(_ context.Context, _ *metal.Node, m metal.Medium) error {
	if w.side.drives[m.Kind] != m.URL {
		w.count("attach " + m.Kind)
		w.side.drives[m.Kind] = m.URL
	}
	return nil
}

func (w *world) DetachMedia(_ context.Context, _ *metal.Node, kinds []string) error {
	for kind := range w.side.drives {
		if len(kinds) == 0 || slices.Contains(kinds, kind) {
			w.count("detach " + kind)
			delete(w.side.drives, kind)
		}
	}
	return nil
}

func (w *world) MediaDevices(context.Context, *metal.Node) ([]metal.MediaDevice, error) {
	return nil, nil
}

func (w *world) StartConsole(context.Context, *metal.Node) error { return w.setConsole(true) }
func (w *world) StopConsole(context.Context, *metal.Node) error  { return w.setConsole(false) }

func (w *world) setConsole(on bool) error {
	if w.side.console != on {
		w.count("console")
		w.side.console = on
	}
	return nil
}

func (w *world) ConsoleInfo(context.Context, *metal.Node) (metal.ConsoleInfo, error) {
	return metal.ConsoleInfo{}, nil
}

func (w *world) BIOSSettings(context.Context, *metal.Node) ([]metal.BIOSSetting, error) {
	on := "on"
	return []metal.BIOSSetting{{Name: "turbo", Value: &on}}, nil
}

func (w *world) FirmwareComponents(context.Context, *metal.Node) ([]metal.FirmwareComponent, error) {
	return []metal.FirmwareComponent{{Component: "bmc", Current: "1.0"}}, nil
}

func (w *world) VendorMethods(*metal.Node) map[string]metal.VendorMethod {
	return map[string]metal.VendorMethod{"dance": {HTTP: []string{"POST"}, Async: true, Exclusive: true}}
}

func (w *world) CheckVendor(*metal.Node, metal.VendorCall) error { return nil }

func (w *world) CallVendor(context.Context, *metal.Node, metal.VendorCall) (any, error) {
	w.count("vendor")
	return nil, nil
}

var vendorJourney = journey{"vendor", metal.PlanVendor, metal.Active, "", `{"ask":{"vendor":{"method":"dance","http":"POST"}}}`, metal.Active, metal.Active, true, true, "user data"}

// TestVendorMethodsAreCalledOnce kills the conductor at every save of a call: it is never made twice, and when nobody
// knows whether it was made, last_error says so.
func TestVendorMethodsAreCalledOnce(t *testing.T) { onEach(t, testVendorMethodsAreCalledOnce) }

func testVendorMethodsAreCalledOnce(t *testing.T) {
	var p deathPlaces
	unknown := 0
	p.each(t, func() map[string]int {
		w := vendorJourney.begin(t)
		defer w.close()
		w.heir = p.mortal
		w.run(w.conductor("c1", p.mortal()))
		n, _ := w.state()
		doubt := strings.Contains(n.LastError, "nobody knows what became of it")
		if doubt {
			unknown++
		}
		if calls := w.counters["vendor"]; calls > 1 || calls == 0 && !doubt || n.LastError != "" && !doubt {
			t.Errorf("%s: called %d times, last_error %q", p.label(), calls, n.LastError)
		}
		if n.ProvisionState != metal.Active || n.Maintenance {
			t.Errorf("%s: state %s, maintenance %v", p.label(), n.ProvisionState, n.Maintenance)
		}
		return nil
	})
	if unknown == 0 {
		t.Error("no death left the call in doubt: the test kills nobody in it")
	}
}

// TestVendorCallFailing: the check's failure is the caller's answer alone, the call's is the node's last_error, and the
// next call works.
func TestVendorCallFailing(t *testing.T) {
	for name, shown := range map[string]string{"check": "", "call vendor method": "broken on purpose"} {
		w := vendorJourney.begin(t)
		c := w.conductor("c1", nil)
		c.tamper = breaking(name)
		w.run(c)
		if n, _ := w.state(); !strings.Contains(n.LastError, shown) || shown == "" && n.LastError != "" || w.counters["vendor"] != 0 {
			t.Errorf("%s: last_error %q, %d calls", name, n.LastError, w.counters["vendor"])
		}
		w.ask(vendorJourney.plan, "", vendorJourney.record)
		w.run(w.conductor("c1", nil))
		if n, _ := w.state(); n.LastError != "" || w.counters["vendor"] != 1 {
			t.Errorf("after %s: last_error %q, %d calls", name, n.LastError, w.counters["vendor"])
		}
	}
}

// refusal is what the caller of the last operation was told.
func (w *world) refusal() string {
	w.t.Helper()
	var last *store.Operation
	w.write(func(tx *store.Tx) (err error) { last, err = tx.LastOperation(w.node.ID); return err })
	return last.Error
}
