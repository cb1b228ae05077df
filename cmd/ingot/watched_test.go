package main

import (
	"context"
	"reflect"
	"testing"

	"ingot/internal/conductor"
	"ingot/internal/driver/fake"
	"ingot/internal/driver/redfish"
	"ingot/internal/metal"
)

// Whatever a hardware type can do is watched, and what it cannot do stays absent.
func TestEveryCapabilityIsWatched(t *testing.T) {
	rf, fk := redfish.New(redfish.Defaults()), fake.New(nil)
	defer rf.Close()
	var calls []string
	watch := func(ctx context.Context, driver, call string) (context.Context, func(error)) {
		calls = append(calls, driver+" "+call)
		return ctx, func(error) {}
	}
	full := conductor.Part{Validator: fk, Power: fk, Boot: fk, Media: rf, Mode: rf, Secure: rf, Inspector: fk, Facts: fk, Console: rf, Steps: fk,
		Settings: fk, Components: fk, Firmware: fk, Guard: rf, RAID: fk, Drives: fk, Terminal: fk, NMI: interrupter{}, Lights: fk, Vendor: fk, Network: cabling{}}
	named := metal.HardwareType{Name: "fake-hardware"}
	for _, c := range []struct {
		part conductor.Part
		has  bool
	}{{full, true}, {conductor.Part{}, false}} {
		h := watched(conductor.Hardware{Type: named, Part: c.part, Parts: conductor.Parts{"power": {"fake": c.part}}}, watch)
		for _, part := range []conductor.Part{h.Part, h.Parts["power"]["fake"]} {
			before, after := reflect.ValueOf(c.part), reflect.ValueOf(part)
			for i := range before.NumField() {
				name := before.Type().Field(i).Name
				if before.Field(i).Kind() != reflect.Interface || name == "Validator" {
					continue
				}
				if c.has && before.Field(i).IsNil() {
					t.Fatalf("this test does not know the capability %s: give full one, and wrap it in watched.go", name)
				}
				if got := after.Field(i); c.has && got.Elem().Type() == before.Field(i).Elem().Type() || got.IsNil() == c.has {
					t.Errorf("%s is not watched: %v", name, got)
				}
			}
		}
	}
	n := &metal.Node{UUID: "n", Driver: "fake-hardware"}
	if _, err := watched(conductor.Hardware{Type: named, Part: full}, watch).Power.Power(t.Context(), n); err != nil || len(calls) != 1 || calls[0] != "fake-hardware read power" {
		t.Errorf("%q, %v", calls, err)
	}
}

// cabling is a network interface of which nothing is asked here.
type cabling struct{ conductor.Network }

// interrupter is a capability that no driver here has yet.
type interrupter struct{}

func (interrupter) InjectNMI(context.Context, *metal.Node) error { return nil }
