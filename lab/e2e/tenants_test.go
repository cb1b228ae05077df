package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"ingot/internal/metal"
	"ingot/lab"
	"ingot/lab/bmc"
)

// tenantData is what the first tenant leaves, on disks and in the firmware.
const tenantData = "what the first tenant must not leave to the second\n"

// tenantVars is a namespace that is nobody's.
var tenantVars = uuid.MustParse("0b5c7d1e-4a53-4f0e-9c7a-6d1f0a2b3c4d")

// TestTwoTenants gives one QEMU machine with two disks to two tenants in turn. What the first planted on both disks and in a UEFI
// variable is gone when the machine is available for the second, read from outside; certificates say so, and one that was
// changed does not verify.
func TestTwoTenants(t *testing.T) {
	labOnly(t)
	c := lab.Defaults()
	c.Name, c.Dir, c.DiskGiB, c.Disks, c.Program, c.SecureBoot = "tenants", t.TempDir(), 1, 2, program(t, "ingot"), false
	c.Subnet = netip.MustParsePrefix("198.18.93.0/24")
	l, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	m := l.Machines[0]
	t.Cleanup(func() {
		if text, err := m.Console(30_000); t.Failed() && err == nil {
			t.Logf("the machine's console:\n%s", text)
		}
	})
	s := serve(t, l.HostAddress.String())
	buildRamdisk(t, filepath.Join(s.data, "ramdisk"))
	s.start()
	networks, err := m.NetworkData()
	if err != nil {
		t.Fatal(err)
	}
	n := s.enrol(t, reach{m.BMCURL, m.User, m.Password.Expose(), m.Fingerprint}, map[string]any{"network_data": networks})
	began := time.Now()
	n.available(later)
	t.Logf("available to the first tenant after %.0f s", time.Since(began).Seconds())

	plantAsTenant(t, m)
	n.inBand(bmc.InBand{BIOS: map[string]any{"SriovGlobalEnable": "Enabled"}})
	n.ends(metal.VerbManage, metal.Manageable, later)
	began = time.Now()
	n.ends(metal.VerbProvide, metal.Available, later)
	t.Logf("available to the second tenant after %.0f s", time.Since(began).Seconds())

	for _, path := range append([]string{m.DiskPath}, m.MoreDisks...) {
		if at := holds(t, path); at >= 0 {
			t.Errorf("%s holds data at byte %d", filepath.Base(path), at)
		}
	}
	for _, name := range []string{"TenantSecret", "LoaderSystemToken"} {
		space := map[string]uuid.UUID{"TenantSecret": tenantVars, "LoaderSystemToken": uuid.MustParse("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")}[name]
		if value, there, err := m.Variable(space, name); err != nil || there {
			t.Errorf("UEFI variable %s is there still: %q, %v", name, value, err)
		}
	}
	n.driftTold()
	n.certified()
}

// plantAsTenant leaves data where a tenant can. The machine is off.
func plantAsTenant(t *testing.T, m *lab.Machine) {
	t.Helper()
	for _, path := range append([]string{m.DiskPath}, m.MoreDisks...) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < 1<<30; at += 97 * mib { // the start, the end, and odd places between
			if _, err := f.WriteAt([]byte(strings.Repeat(tenantData, 100)), at); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.WriteAt([]byte(tenantData), 1<<30-int64(len(tenantData))); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if holds(t, path) != 0 {
			t.Fatal("nothing was planted")
		}
	}
	for name, space := range map[string]uuid.UUID{"TenantSecret": tenantVars, "LoaderSystemToken": uuid.MustParse("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")} {
		if err := m.PlantVariable(space, name, []byte(tenantData)); err != nil {
			t.Fatal(err)
		}
		if value, there, err := m.Variable(space, name); err != nil || !there || string(value) != tenantData {
			t.Fatalf("variable %s was not planted: %v", name, err)
		}
	}
}

// holds is where a disk holds the first byte that is not zero, read from outside; -1: nowhere.
func holds(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block, zeros := make([]byte, mib), make([]byte, mib)
	for at := int64(0); ; at += mib {
		got, err := io.ReadFull(f, block)
		if !bytes.Equal(block[:got], zeros[:got]) {
			return at + int64(got-len(bytes.TrimLeft(block[:got], "\x00")))
		}
		if err != nil {
			return -1
		}
	}
}

// driftTold sees that the history tells of the attribute that the tenant changed.
func (n *node) driftTold() {
	n.t.Helper()
	for _, e := range n.history() {
		if e.Severity == "WARN" && strings.Contains(e.Why, "BIOS attribute SriovGlobalEnable is Enabled, and was Disabled") {
			return
		}
	}
	n.t.Error("nothing tells that the tenant changed a BIOS attribute")
}

// certified sees that the last cleaning gave a certificate for each disk and for the variables, that the command line verifies them with
// the server and with its key alone, and that it refuses one that was changed.
func (n *node) certified() {
	n.t.Helper()
	records, err := n.Erasures(n.t.Context(), n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	if len(records) != 6 { // two cleanings of two disks and of the variables
		n.t.Fatalf("%d certificates", len(records))
	}
	for _, r := range records {
		c := r.Certificate
		if c == nil || c.Partial || c.Node == "" || c.Agent == "" || !c.ReadBack.Whole || c.Ended.Before(c.Began) {
			n.t.Errorf("%+v", c)
		}
	}
	serial := ""
	for _, r := range records {
		if strings.HasPrefix(r.Certificate.Device.Name, "/dev/") {
			serial = r.Certificate.Device.Serial
		}
	}
	dir := n.t.TempDir()
	file, key, forged := filepath.Join(dir, "erasure.json"), filepath.Join(dir, "key.pub"), filepath.Join(dir, "forged.json")
	n.cli(0, file, "node", "erasure", n.name, "-o", "json")
	n.cli(0, key, "erasure", "key")
	n.cli(0, "", "erasure", "verify", file)
	n.cli(0, "", "erasure", "verify", file, "--key", key, "--serial", serial)
	text, err := os.ReadFile(file)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(forged, bytes.Replace(text, []byte(`"metadata_only": false`), []byte(`"metadata_only": true`), 1), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.cli(1, "", "erasure", "verify", forged, "--key", key)
}

// cli runs a command as a person would; its output goes into a file, unless that is "".
func (n *node) cli(want int, into string, args ...string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(n.t, "ingot"), args...)
	cmd.Env = append(os.Environ(), "INGOT_ENDPOINT=http://"+n.api)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	_ = cmd.Run() // its status says it
	if got := cmd.ProcessState.ExitCode(); got != want {
		n.t.Fatalf("ingot %s: status %d, want %d: %s%s", strings.Join(args, " "), got, want, out.String(), words.String())
	}
	if into != "" {
		if err := os.WriteFile(into, out.Bytes(), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}

// inBand changes the firmware behind the BMC's back, as a tenant does on the machine.
func (n *node) inBand(change bmc.InBand) {
	n.t.Helper()
	body, err := json.Marshal(change)
	if err != nil {
		n.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPut, n.bmc.url+"/lab/inband", bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth(n.bmc.user, n.bmc.password)
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // an emulator on this host
	answer, err := c.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		n.t.Fatalf("change in band: %s", answer.Status)
	}
}
