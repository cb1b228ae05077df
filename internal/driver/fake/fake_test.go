package fake_test

import (
	"testing"

	"ingot/internal/driver/drivertest"
	"ingot/internal/driver/fake"
	"ingot/internal/metal"
)

func TestContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Bench {
		d := fake.New(nil)
		return drivertest.Bench{Type: metal.HardwareType{Name: "fake-hardware"}, Validator: d, Power: d, Boot: d, Inspector: d, Firmware: d, Drives: d,
			Images: [2]string{"http://192.0.2.1/a.iso", "http://192.0.2.1/b.iso"},
			Node:   &metal.Node{UUID: "a5c2a0f2-7d7e-4b43-9f0e-2b9d8a4f3f10"}}
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
