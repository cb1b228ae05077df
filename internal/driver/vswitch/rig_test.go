package vswitch_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/driver/vswitch"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/lab/bmc"
	lab "ingot/lab/vswitch"
)

const (
	canary = "c4nary-token-of-the-switch"
	nodeA  = "aaaaaaaa-0000-4000-8000-000000000001"
	nodeB  = "bbbbbbbb-0000-4000-8000-000000000002"
)

// fabric is a switch that is a map. It can break for one port.
type fabric struct {
	mu     sync.Mutex
	at     map[string]string
	broken string // the port_id that cannot be connected with anything but breaks
	breaks string
}

func (f *fabric) Connect(_ context.Context, _, portID, network string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if portID == f.broken && network == f.breaks {
		return errors.New("the chip says no")
	}
	f.at[portID] = network
	return nil
}

func (f *fabric) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, p := range []string{"1", "2", "Eth 1/3"} {
		out = append(out, p+"="+f.at[p])
	}
	return strings.Join(out, " ")
}

// rig is a switch with three ports of one node, and the driver for it.
type rig struct {
	*vswitch.Driver
	t      *testing.T
	sw     *lab.Switch
	fabric *fabric
	node   *metal.Node
	wired  metal.Wiring
	log    *bytes.Buffer
}

func newRig(t *testing.T, adjust func(*vswitch.Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	cert, err := bmc.NewCertificate([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fabric: &fabric{at: map[string]string{}}, log: &bytes.Buffer{}}
	r.sw = startSwitch(t, r.fabric, cert)
	c := vswitch.Defaults()
	c.URL, c.TokenFile, c.CAFile = r.sw.URL(), filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	c.ApplyTimeout = time.Second
	c.ProvisioningNetwork, c.CleaningNetwork, c.RescuingNetwork = "provisioning", "cleaning", "rescuing"
	write(t, c.TokenFile, []byte(canary+"\n"))
	write(t, c.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	if adjust != nil {
		adjust(&c)
	}
	d, err := vswitch.New(c, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Close()
		if strings.Contains(r.log.String(), canary) {
			t.Errorf("the log shows the token: %s", r.log)
		}
	})
	r.Driver = d
	r.node = &metal.Node{UUID: nodeA}
	r.wired = metal.Wiring{Ports: []*metal.Port{nicAt("p1", "1", true), nicAt("p2", "2", false), nicAt("p3", "Eth 1/3", false)}}
	return r
}

func startSwitch(t *testing.T, f *fabric, cert tls.Certificate) *lab.Switch {
	t.Helper()
	sw, err := lab.New(t.Context(), lab.Config{Fabric: f, Token: canary, Certificate: cert,
		Networks: []lab.Network{{Name: "provisioning"}, {Name: "cleaning"}, {Name: "rescuing"}, {Name: "idle"}, {Name: "tenant-a", Tenant: true}, {Name: "tenant-b", Tenant: true}},
		Ports:    [][2]string{{"sw&1", "1"}, {"sw&1", "2"}, {"sw&1", "Eth 1/3"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := sw.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sw.Close() })
	return sw
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func nicAt(uuid, port string, pxe bool) *metal.Port {
	return &metal.Port{UUID: uuid, Address: "52:54:00:00:00:0" + uuid[1:], PXEEnabled: pxe,
		LocalLinkConnection: map[string]any{"switch_id": "sw&1", "port_id": port}}
}

func (r *rig) fault(list ...lab.Fault) {
	r.t.Helper()
	if err := r.sw.SetFaults(list...); err != nil {
		r.t.Fatal(err)
	}
}

// plug plugs, keeps what is to be noted, and shows where the ports are then.
func (r *rig) plug(role metal.NetworkRole) string {
	notes, waiting, err := r.Plug(r.t.Context(), r.node, r.wired, role)
	r.wired.Note(notes)
	return r.outcome(waiting, err)
}

func (r *rig) unplug(role metal.NetworkRole) string {
	notes, err := r.Unplug(r.t.Context(), r.node, r.wired, role)
	r.wired.Note(notes)
	return r.outcome("", err)
}

func (r *rig) outcome(waiting string, err error) string {
	out := r.fabric.String()
	if waiting != "" {
		out += "; waiting: " + waiting
	}
	if err != nil {
		out += "; error: " + err.Error()
		if strings.Contains(err.Error(), canary) {
			r.t.Errorf("an error shows the token: %v", err)
		}
	}
	return out
}

func (r *rig) owners() string {
	var out []string
	for _, p := range r.sw.Ports() {
		out = append(out, fmt.Sprintf("%.1s", p.Owner))
	}
	return strings.Join(out, ",")
}

func vif(id string) map[string]any { return map[string]any{"tenant_vif_port_id": id} }

func info(m map[string]any) secret.Map { return secret.NewMap(m) }

func (r *rig) is(what, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: %s; want %s", what, got, want)
	}
}

// says checks where the ports are, and that the error says something.
func (r *rig) says(what, got, at, sentence string) {
	r.t.Helper()
	if !strings.HasPrefix(got, at+"; error: ") || !strings.Contains(got, sentence) {
		r.t.Errorf("%s: %s; want %s; error: … %s", what, got, at, sentence)
	}
}
