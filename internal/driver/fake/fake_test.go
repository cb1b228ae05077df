package fake_test

import (
	"testing"

	"ingot/internal/driver/drivertest"
	"ingot/internal/driver/fake"
	"ingot/internal/metal"
)

func TestContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Bench {
		d, n := fake.New(nil), &metal.Node{UUID: "a5c2a0f2-7d7e-4b43-9f0e-2b9d8a4f3f10"}
		bios := metal.Step{Interface: "bios", Step: "apply_configuration", Args: map[string]any{
			"settings": []any{map[string]any{"name": "turbo", "value": "on"}, map[string]any{"name": "smt", "value": "off"}}}}
		if _, err := d.RunStep(t.Context(), n, metal.CleanSteps, bios, "key"); err != nil { // a machine that was told none has none
			t.Fatal(err)
		}
		return drivertest.Bench{Type: metal.HardwareType{Name: "fake-hardware"}, Validator: d, Power: d, Boot: d, Inspector: d, Firmware: d, Drives: d,
			Settings: d, Components: d, Terminal: d, Lights: d, Vendor: d,
			Call:   metal.VendorCall{Method: "third_method_sync", HTTP: "POST", Args: map[string]any{"bar": "meow"}},
			Answer: true,
			Images: [2]string{"http://192.0.2.1/a.iso", "http://192.0.2.1/b.iso"},
			Node:   n}
	})
}

func TestMachinesAreSeparate(t *testing.T) {
	d := fake.New(nil)
	one, two := &metal.Node{UUID: "one"}, &metal.Node{UUID: "two"}
	if err := d.SetPower(t.Context(), one, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	if p, err := d.Power(t.Context(), two); p != metal.PowerOff || err != nil {
		t.Errorf("the other machine is %q, %v", p, err)
	}
	a, _ := d.Inspect(t.Context(), one)
	b, _ := d.Inspect(t.Context(), two)
	if a.MACs[0] == b.MACs[0] {
		t.Errorf("two machines share %s", a.MACs[0])
	}
}

func TestOneBootUsesUpItsDevice(t *testing.T) {
	d, n := fake.New(nil), &metal.Node{UUID: "one"}
	if err := d.SetBootDevice(t.Context(), n, metal.BootDevice{Device: "pxe"}); err != nil {
		t.Fatal(err)
	}
	if err := d.SetPower(t.Context(), n, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	if dev, err := d.BootDevice(t.Context(), n); err != nil || dev.Device != "disk" {
		t.Errorf("after the boot: %v, %v", dev, err)
	}
}
