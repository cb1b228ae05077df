package redfish_test

import (
	"bytes"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/driver/drivertest"
	"ingot/internal/driver/redfish"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/lab/bmc"
)

// rig is an emulated BMC with a machine, a driver, and the node that joins them.
type rig struct {
	*redfish.Driver
	bmc     *bmc.BMC
	machine *bmc.FakeMachine
	node    *metal.Node
	log     *bytes.Buffer
}

// quick are limits for a BMC on loopback.
func quick() redfish.Config {
	return redfish.Config{RetryWait: time.Millisecond, EffectWait: 50 * time.Millisecond, ReadLimit: 5 * time.Second,
		ActLimit: 5 * time.Second, CallLimit: 10 * time.Second}
}

func newRig(t *testing.T, cfg redfish.Config) *rig {
	return rigOf(t, cfg, func(*bmc.Inventory) {})
}

// rigOf is a rig whose machine pretends to be of another make.
func rigOf(t *testing.T, cfg redfish.Config, change func(*bmc.Inventory)) *rig {
	t.Helper()
	m := bmc.NewFakeMachine().Pretend(change)
	b, err := bmc.New(bmc.Config{User: "admin", Password: drivertest.Canary, Machine: m})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r := &rig{bmc: b, machine: m, log: &bytes.Buffer{}}
	cfg.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.IPMIPort, err = strconv.Atoi(b.URL()[strings.LastIndex(b.URL(), ":")+1:]); err != nil {
		t.Fatal(err)
	}
	r.Driver = redfish.New(cfg)
	r.node = node(b.URL(), map[string]any{"redfish_certificate_fingerprint": b.Fingerprint()})
	t.Cleanup(func() {
		if err := r.Driver.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func node(url string, more map[string]any) *metal.Node {
	info := map[string]any{"redfish_address": url, "redfish_username": "admin", "redfish_password": drivertest.Canary}
	maps.Copy(info, more)
	return &metal.Node{UUID: "5d0c8f0e-5f0b-4c7c-9a3b-0f3d5f1c2a11", DriverInfo: secret.NewMap(info)}
}

// with is the rig's node with other driver_info; nil takes a key away.
func (r *rig) with(key string, v any) *metal.Node {
	n := *r.node
	info := n.DriverInfo.Expose()
	if info[key] = v; v == nil {
		delete(info, key)
	}
	n.DriverInfo = secret.NewMap(info)
	return &n
}

func (r *rig) plant(t *testing.T, faults ...bmc.Fault) {
	t.Helper()
	if err := r.bmc.SetFaults(faults...); err != nil {
		t.Fatal(err)
	}
}

// is fails the test unless err is of that kind and shows no secret; it gives the public sentence.
func is(t *testing.T, err error, want fault.Kind) string {
	t.Helper()
	public, ok := fault.PublicOf(err)
	if err == nil || fault.KindOf(err) != want || !ok {
		t.Errorf("error is %v (%v), want a fault of kind %v", err, fault.KindOf(err), want)
	}
	drivertest.Clean(t, err)
	return public
}

func TestContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Bench {
		r := rigOf(t, quick(), func(i *bmc.Inventory) { i.Legacy = true })
		r.machine.Print("Linux version 6.1\nlogin: ")
		return drivertest.Bench{Type: metal.HardwareType{Name: "redfish", Fields: redfish.Fields()}, Validator: r, Power: r, Boot: r, Media: r, Drives: r, Inspector: r, Console: r, Firmware: r,
			Node: r.node, Printed: "Linux version 6.1",
			Images: [2]string{"http://192.0.2.1/one.iso?sig=1", "http://192.0.2.1/two.iso?sig=2"}}
	})
}
