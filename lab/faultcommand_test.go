package lab

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/lab/bmc"
)

func TestParseFaults(t *testing.T) {
	got, err := parseFaults([]string{"slow", "503-then-ok:5"})
	if err != nil || len(got) != 2 || got[0] != (bmc.Fault{Name: "slow"}) || got[1] != (bmc.Fault{Name: "503-then-ok", Times: 5}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"slow:", "slow:0", "slow:often"} {
		if _, err := parseFaults([]string{bad}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestFaultCommand plants, shows and heals through a BMC that shows strangers another certificate meanwhile.
func TestFaultCommand(t *testing.T) {
	b, err := bmc.New(bmc.Config{User: "admin", Password: "right", Machine: bmc.NewFakeMachine()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := newMachine(MachineState{Name: "m1", BMCURL: b.URL(), User: "admin", PasswordFile: secret, Fingerprint: b.Fingerprint()})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]bmc.Fault{{{Name: bmc.NewKey}, {Name: bmc.Busy, Times: 5}}, {}} {
		m.client.CloseIdleConnections()
		if err := m.SetFaults(t.Context(), list...); err != nil {
			t.Fatal(err)
		}
		m.client.CloseIdleConnections()
		got, err := m.Faults(t.Context())
		want, _ := json.Marshal(list)
		if have, _ := json.Marshal(got); err != nil || !bytes.Equal(have, want) {
			t.Errorf("planted %s, %v; want %s", have, err, want)
		}
	}
	help := faultCommand().Long
	for _, name := range bmc.FaultNames() {
		if !strings.Contains(help, name) {
			t.Errorf("%s is not in the help", name)
		}
	}
}
