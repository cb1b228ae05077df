// Package drivertest is the contract that every driver keeps with the conductor, as tests.
//
// It is for the tests of internal/driver/*, which call Run with a bench of their own; nothing in a product
// imports it. It declares the capabilities by shape, as the conductor does, so that a driver's tests need
// not import the conductor. What is particular to one protocol stays in that driver's tests.
package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// Canary is the password a bench's BMC should have: no error of any driver may show it.
const Canary = "c4nary pass/word\"<&>"

// Validator checks driver_info.
type Validator interface {
	Validate(n *metal.Node) error
}

// Power switches a machine.
type Power interface {
	Power(ctx context.Context, n *metal.Node) (metal.Power, error)
	SetPower(ctx context.Context, n *metal.Node, want metal.Power) error
}

// Boot chooses what a machine boots from.
type Boot interface {
	BootDevice(ctx context.Context, n *metal.Node) (metal.BootDevice, error)
	SetBootDevice(ctx context.Context, n *metal.Node, d metal.BootDevice) error
	BootDevices(ctx context.Context, n *metal.Node) ([]string, error)
}

// Media puts images into a virtual drive.
type Media interface {
	InsertMedia(ctx context.Context, n *metal.Node, url string) error
	EjectMedia(ctx context.Context, n *metal.Node) error
	Media(ctx context.Context, n *metal.Node) (string, error)
}

// Inspector describes a machine.
type Inspector interface {
	Inspect(ctx context.Context, n *metal.Node) (metal.HardwareInfo, error)
}

// Firmware reads and changes how a machine's firmware boots.
type Firmware interface {
	BootMode(ctx context.Context, n *metal.Node) (string, error)
	SetBootMode(ctx context.Context, n *metal.Node, mode string) (shown bool, err error)
	SecureBoot(ctx context.Context, n *metal.Node) (metal.SecureBoot, error)
	SetSecureBoot(ctx context.Context, n *metal.Node, on bool) (shown bool, err error)
	ResetSecureBootKeys(ctx context.Context, n *metal.Node, how metal.KeyReset) error
}

// Console gives what a machine printed.
type Console interface {
	ConsoleLog(ctx context.Context, n *metal.Node, limit int) ([]byte, error)
}

// Bench is one machine, off and untouched, and the driver for it. A nil capability is one the driver lacks.
type Bench struct {
	Type      metal.HardwareType
	Validator Validator
	Power     Power
	Boot      Boot
	Media     Media
	Drives    Drives
	Inspector Inspector
	Console   Console
	Firmware  Firmware // the bench's machine boots by UEFI, has keys and knows both modes

	Settings   Settings
	Components Components
	Terminal   Terminal
	Lights     Lights
	Vendor     Vendor

	Node *metal.Node
	// Images are two URLs that the machine's BMC can fetch; needed with Media and Drives.
	Images [2]string
	// Call is a vendor method's, and Answer what it gives; needed with Vendor.
	Call   metal.VendorCall
	Answer any
	// Printed is part of what the machine has printed; needed with Console.
	Printed string
}

// settle is how long a bench's machine may take to be where it was sent.
const settle = 10 * time.Second

// Run runs the contract; setup makes a new bench for every part of it.
func Run(t *testing.T, setup func(t *testing.T) Bench) {
	parts := []struct {
		name string
		run  func(*testing.T, Bench)
	}{
		{"type", describes}, {"validate", validates}, {"power", switches}, {"boot", boots},
		{"media", media}, {"drives", drives}, {"inspect", inspects}, {"console", prints}, {"firmware", firmware},
		{"settings", settings}, {"components", components}, {"terminal", terminal}, {"lights", lights}, {"vendor", vendor},
		{"ended context", endedContext},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) { p.run(t, setup(t)) })
	}
}

func describes(t *testing.T, b Bench) {
	if b.Type.Name == "" {
		t.Error("the type has no name")
	}
	for _, f := range b.Type.Fields {
		if f.Name == "" || f.Description == "" {
			t.Errorf("field %q is not described", f.Name)
		}
		if f.Secret && b.Type.Shows(f.Name) {
			t.Errorf("secret field %s is shown", f.Name)
		}
	}
}

// validates: the bench's node passes, and without a required field it does not, and is told which.
func validates(t *testing.T, b Bench) {
	if err := b.Validator.Validate(b.Node); err != nil {
		t.Fatalf("the bench's own node: %v", err)
	}
	for _, f := range b.Type.Fields {
		if !f.Required {
			continue
		}
		info := b.Node.DriverInfo.Expose()
		delete(info, f.Name)
		n := *b.Node
		n.DriverInfo = secret.NewMap(info)
		err := b.Validator.Validate(&n)
		told, _ := fault.PublicOf(err)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(told, f.Name) {
			t.Errorf("without %s: %v", f.Name, err)
		}
		Clean(t, err)
	}
}

func switches(t *testing.T, b Bench) {
	is(t, b, metal.PowerOff)
	for _, want := range []metal.Power{metal.PowerOff, metal.PowerOn, metal.PowerOn, metal.PowerOff, metal.PowerOn, metal.SoftPowerOff} {
		if err := b.Power.SetPower(t.Context(), b.Node, want); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if want == metal.PowerOn {
			is(t, b, metal.PowerOn)
		} else {
			is(t, b, metal.PowerOff)
		}
	}
	err := b.Power.SetPower(t.Context(), b.Node, "sideways")
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("a power state that is none: %v", err)
	}
}

// is waits until the machine is where it was sent: by asking again, as the conductor does.
func is(t *testing.T, b Bench, want metal.Power) {
	t.Helper()
	deadline := time.Now().Add(settle)
	for {
		got, err := b.Power.Power(t.Context(), b.Node)
		if err != nil {
			t.Fatalf("read power: %v", err)
		}
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("power is %q, want %q", got, want)
		}
	}
}

func boots(t *testing.T, b Bench) {
	devices, err := b.Boot.BootDevices(t.Context(), b.Node)
	if err != nil || !slices.Contains(devices, "disk") {
		t.Fatalf("boot devices: %v, %v", devices, err)
	}
	for _, persistent := range []bool{false, true} {
		for _, d := range devices {
			want := metal.BootDevice{Device: d, Persistent: persistent}
			for range 2 { // what is so already may be asked for again
				if err := b.Boot.SetBootDevice(t.Context(), b.Node, want); err != nil {
					t.Fatalf("boot from %+v: %v", want, err)
				}
			}
			if got, err := b.Boot.BootDevice(t.Context(), b.Node); err != nil || got != want {
				t.Errorf("boots from %+v, %v; want %+v", got, err, want)
			}
		}
	}
	err = b.Boot.SetBootDevice(t.Context(), b.Node, metal.BootDevice{Device: "gramophone"})
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("a device that is none: %v", err)
	}
}

func media(t *testing.T, b Bench) {
	if b.Media == nil {
		t.Skip("this driver has no virtual media")
	}
	holds := func(want string) {
		t.Helper()
		if got, err := b.Media.Media(t.Context(), b.Node); err != nil || got != want {
			t.Fatalf("in the drive: %q, %v; want %q", got, err, want)
		}
	}
	holds("")
	if err := b.Media.EjectMedia(t.Context(), b.Node); err != nil {
		t.Fatalf("eject from an empty drive: %v", err)
	}
	for _, image := range []string{b.Images[0], b.Images[0], b.Images[1]} { // again, and another over it
		if err := b.Media.InsertMedia(t.Context(), b.Node, image); err != nil {
			t.Fatalf("insert: %v", err)
		}
		holds(image)
	}
	for range 2 {
		if err := b.Media.EjectMedia(t.Context(), b.Node); err != nil {
			t.Fatalf("eject: %v", err)
		}
		holds("")
	}
	if err := b.Media.InsertMedia(t.Context(), b.Node, "not a url"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("an image that is none: %v", err)
	}
}

func inspects(t *testing.T, b Bench) {
	if b.Inspector == nil {
		t.Skip("this driver cannot inspect")
	}
	info, err := b.Inspector.Inspect(t.Context(), b.Node)
	if err != nil {
		t.Fatal(err)
	}
	if info.MemoryMiB <= 0 || info.CPUs <= 0 || len(info.MACs) == 0 {
		t.Errorf("memory, CPUs or MACs are missing: %+v", info)
	}
	for _, m := range info.MACs {
		if len(m) != 17 || m != strings.ToLower(m) || strings.Count(m, ":") != 5 {
			t.Errorf("MAC %q is not in lower case with colons", m)
		}
	}
	again, err := b.Inspector.Inspect(t.Context(), b.Node)
	if err != nil || fmt.Sprint(again.MACs) != fmt.Sprint(info.MACs) {
		t.Errorf("a second look sees %v, %v; the first %v", again.MACs, err, info.MACs)
	}
}

func prints(t *testing.T, b Bench) {
	if b.Console == nil {
		t.Skip("this driver has no console")
	}
	log, err := b.Console.ConsoleLog(t.Context(), b.Node, 64<<10)
	if err != nil || !strings.Contains(string(log), b.Printed) {
		t.Fatalf("console log %q, %v; want %q in it", log, err, b.Printed)
	}
	for _, limit := range []int{0, 1, 10} {
		if log, err := b.Console.ConsoleLog(t.Context(), b.Node, limit); err != nil || len(log) > limit {
			t.Errorf("limit %d gives %d bytes, %v", limit, len(log), err)
		}
	}
}

// endedContext: a call whose caller is gone does nothing and says so.
func endedContext(t *testing.T, b Bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Power.SetPower(ctx, b.Node, metal.PowerOn); !errors.Is(err, context.Canceled) {
		t.Errorf("set power: %v", err)
	}
	if _, err := b.Boot.BootDevice(ctx, b.Node); !errors.Is(err, context.Canceled) {
		t.Errorf("boot device: %v", err)
	}
	is(t, b, metal.PowerOff)
}

// ended: a call whose caller is gone says so.
func ended(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := do(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose caller is gone: %v", err)
	}
}

// Clean fails the test if err shows the Canary in any form it can be printed in.
func Clean(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		public, _ := fault.PublicOf(e)
		for _, text := range []string{e.Error(), public, fmt.Sprintf("%v %+v %#v %q", e, e, e, e)} {
			if strings.Contains(text, Canary) || strings.Contains(text, "c4nary") {
				t.Errorf("an error shows the password: %s", text)
			}
		}
	}
}
