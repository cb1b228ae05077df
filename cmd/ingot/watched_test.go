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
	rf, fk := redfish.New(redfish.Defaults()), fake.New()
	defer rf.Close()
	var calls []string
	watch := func(ctx context.Context, driver, call string) (context.Context, func(error)) {
		calls = append(calls, driver+" "+call)
		return ctx, func(error) {}
	}
	full := conductor.Hardware{Type: fk.Type(), Validator: fk, Power: fk, Boot: fk, Media: rf, Mode: rf, Secure: rf, Inspector: fk, Console: rf, Steps: fk}
	for h, has := range map[*conductor.Hardware]bool{&full: true, {Type: fk.Type()}: false} {
		before, after := reflect.ValueOf(*h), reflect.ValueOf(watched(*h, watch))
		for i := range before.NumField() {
			name := before.Type().Field(i).Name
			if name == "Type" || name == "Validator" {
				continue
			}
			if has && before.Field(i).IsNil() {
				t.Fatalf("this test does not know the capability %s: give full one, and wrap it in watched.go", name)
			}
			if got := after.Field(i); has && got.Elem().Type() == before.Field(i).Elem().Type() || got.IsNil() == has {
				t.Errorf("%s is not watched: %v", name, got)
			}
		}
	}
	n := &metal.Node{UUID: "n", Driver: "fake-hardware"}
	if _, err := watched(full, watch).Power.Power(t.Context(), n); err != nil || len(calls) != 1 || calls[0] != "fake-hardware read power" {
		t.Errorf("%q, %v", calls, err)
	}
}
