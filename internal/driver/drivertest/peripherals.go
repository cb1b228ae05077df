package drivertest

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Settings reads the settings of a machine's firmware.
type Settings interface {
	BIOSSettings(ctx context.Context, n *metal.Node) ([]metal.BIOSSetting, error)
}

// Components reads which parts of a machine have firmware.
type Components interface {
	FirmwareComponents(ctx context.Context, n *metal.Node) ([]metal.FirmwareComponent, error)
}

// Terminal makes a machine's console reachable.
type Terminal interface {
	StartConsole(ctx context.Context, n *metal.Node) error
	StopConsole(ctx context.Context, n *metal.Node) error
	ConsoleInfo(ctx context.Context, n *metal.Node) (metal.ConsoleInfo, error)
}

// Lights are the indicators of a machine.
type Lights interface {
	Indicators(ctx context.Context, n *metal.Node) ([]metal.Indicator, error)
	Indicator(ctx context.Context, n *metal.Node, id string) (state string, err error)
	SetIndicator(ctx context.Context, n *metal.Node, id, state string) error
}

// Vendor is what only one driver does.
type Vendor interface {
	VendorMethods(n *metal.Node) map[string]metal.VendorMethod
	CheckVendor(n *metal.Node, c metal.VendorCall) error
	CallVendor(ctx context.Context, n *metal.Node, c metal.VendorCall) (any, error)
}

// registryTypes are those of settings; "" is unknown.
var registryTypes = []string{"", "Enumeration", "String", "Integer", "Boolean", "Password"}

// settings: each has one name, a known type and an allowed value, and a second look sees the same.
func settings(t *testing.T, b Bench) {
	if b.Settings == nil {
		t.Skip("this driver does not read BIOS settings")
	}
	list, err := b.Settings.BIOSSettings(t.Context(), b.Node)
	if err != nil || len(list) == 0 {
		t.Fatalf("%d settings, %v; the bench's machine must have some", len(list), err)
	}
	seen := map[string]bool{}
	for _, s := range list {
		if s.Name == "" || seen[s.Name] {
			t.Errorf("setting %q has no name of its own", s.Name)
		}
		seen[s.Name] = true
		if !slices.Contains(registryTypes, s.Registry.Type) {
			t.Errorf("setting %s is of type %q", s.Name, s.Registry.Type)
		}
		if s.Registry.Type == "Password" && s.Value != nil {
			t.Errorf("setting %s shows a password", s.Name)
		}
		if s.Value != nil && len(s.Registry.Allowed) > 0 && !slices.Contains(s.Registry.Allowed, *s.Value) {
			t.Errorf("setting %s is %q, which is none of %v", s.Name, *s.Value, s.Registry.Allowed)
		}
	}
	if again, err := b.Settings.BIOSSettings(t.Context(), b.Node); err != nil || !reflect.DeepEqual(again, list) {
		t.Errorf("a second look sees %+v, %v; the first %+v", again, err, list)
	}
	ended(t, func(ctx context.Context) error { _, err := b.Settings.BIOSSettings(ctx, b.Node); return err })
}

// components: each has one name and a version, and a second look sees the same.
func components(t *testing.T, b Bench) {
	if b.Components == nil {
		t.Skip("this driver does not read firmware components")
	}
	list, err := b.Components.FirmwareComponents(t.Context(), b.Node)
	if err != nil || len(list) == 0 {
		t.Fatalf("%d components, %v; every machine has some", len(list), err)
	}
	seen := map[string]bool{}
	for _, c := range list {
		if c.Component == "" || seen[c.Component] || c.Current == "" {
			t.Errorf("a component without a name of its own, or without a version: %+v", c)
		}
		seen[c.Component] = true
		if c.Initial != "" || !c.CreatedAt.IsZero() || !c.UpdatedAt.IsZero() {
			t.Errorf("component %s tells what the server keeps: %+v", c.Component, c)
		}
	}
	if again, err := b.Components.FirmwareComponents(t.Context(), b.Node); err != nil || !reflect.DeepEqual(again, list) {
		t.Errorf("a second look sees %+v, %v; the first %+v", again, err, list)
	}
	ended(t, func(ctx context.Context) error { _, err := b.Components.FirmwareComponents(ctx, b.Node); return err })
}

// terminal: what runs may be started, and what does not may be stopped.
func terminal(t *testing.T, b Bench) {
	if b.Terminal == nil {
		t.Skip("this driver makes no console reachable")
	}
	stop, start := b.Terminal.StopConsole, b.Terminal.StartConsole
	for i, do := range []func(context.Context, *metal.Node) error{stop, start, start, stop, stop, start} {
		if err := do(t.Context(), b.Node); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	first, err := b.Terminal.ConsoleInfo(t.Context(), b.Node)
	if err != nil {
		t.Fatalf("a console that runs: %v", err)
	}
	if second, err := b.Terminal.ConsoleInfo(t.Context(), b.Node); err != nil || second != first {
		t.Errorf("reached at %+v, then at %+v, %v", first, second, err)
	}
	ended(t, func(ctx context.Context) error { return start(ctx, b.Node) })
	ended(t, func(ctx context.Context) error { return stop(ctx, b.Node) })
	if err := stop(t.Context(), b.Node); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// lights: each can be set to each of its states, unless it is read-only, and others are refused.
func lights(t *testing.T, b Bench) {
	if b.Lights == nil {
		t.Skip("this driver has no indicators")
	}
	list, err := b.Lights.Indicators(t.Context(), b.Node)
	if err != nil || len(list) == 0 {
		t.Fatalf("%d indicators, %v; the bench's machine must have some", len(list), err)
	}
	for _, l := range list {
		if l.Name == "" || !slices.Contains(metal.IndicatorComponents, l.Component) || len(l.States) == 0 {
			t.Errorf("indicator %+v", l)
		}
		for _, state := range l.States {
			before, err := b.Lights.Indicator(t.Context(), b.Node, l.ID())
			if err != nil || !slices.Contains(append([]string{"unknown"}, l.States...), before) {
				t.Fatalf("%s is %q, %v", l.ID(), before, err)
			}
			want := state
			if err = b.Lights.SetIndicator(t.Context(), b.Node, l.ID(), state); l.ReadOnly {
				want = before
			}
			if l.ReadOnly != (fault.KindOf(err) == fault.Invalid) || !l.ReadOnly && err != nil {
				t.Errorf("%s to %s: %v", l.ID(), state, err)
			}
			if got, err := b.Lights.Indicator(t.Context(), b.Node, l.ID()); err != nil || got != want {
				t.Errorf("%s is %q, %v; want %q", l.ID(), got, err, want)
			}
		}
		if err := b.Lights.SetIndicator(t.Context(), b.Node, l.ID(), "purple"); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s in a state that is none: %v", l.ID(), err)
		}
		ended(t, func(ctx context.Context) error { _, err := b.Lights.Indicator(ctx, b.Node, l.ID()); return err })
	}
	if _, err := b.Lights.Indicator(t.Context(), b.Node, "moon@chassis"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("an indicator that is none: %v", err)
	}
	if err := b.Lights.SetIndicator(t.Context(), b.Node, "moon@chassis", "on"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("switch an indicator that is none: %v", err)
	}
}

// vendor: methods are described, the bench's call passes the check and answers, and the list is the caller's own.
func vendor(t *testing.T, b Bench) {
	if b.Vendor == nil {
		t.Skip("this driver has no vendor methods")
	}
	methods := b.Vendor.VendorMethods(b.Node)
	for name, m := range methods {
		if name == "" || m.Description == "" || len(m.HTTP) == 0 {
			t.Errorf("method %q: %+v", name, m)
		}
		for _, verb := range m.HTTP {
			if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, verb) {
				t.Errorf("method %s takes %q", name, verb)
			}
		}
	}
	if m, known := methods[b.Call.Method]; !known || !slices.Contains(m.HTTP, b.Call.HTTP) {
		t.Fatalf("the bench calls %+v, which is none of %v", b.Call, methods)
	}
	if err := b.Vendor.CheckVendor(b.Node, b.Call); err != nil {
		t.Fatalf("check: %v", err)
	}
	answer, err := b.Vendor.CallVendor(t.Context(), b.Node, b.Call)
	if err != nil || !reflect.DeepEqual(answer, b.Answer) {
		t.Errorf("answers %v, %v; want %v", answer, err, b.Answer)
	}
	ended(t, func(ctx context.Context) error { _, err := b.Vendor.CallVendor(ctx, b.Node, b.Call); return err })
	delete(methods, b.Call.Method)
	if _, known := b.Vendor.VendorMethods(b.Node)[b.Call.Method]; !known {
		t.Error("the caller's copy of the list is the driver's own")
	}
}
