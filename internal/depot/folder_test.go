package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// TestEachRoleHasItsRamdisk boots a rescue from its own folder, and says how to build it where it is missing.
func TestEachRoleHasItsRamdisk(t *testing.T) {
	rescue := filepath.Join(t.TempDir(), "ramdisk-debian")
	role := agentapi.RoleRescue
	boot := func(_ context.Context, node, _ string) (agentapi.BootConfig, string, error) {
		return agentapi.BootConfig{Version: 1, NodeUUID: node, Role: role}, "", nil
	}
	s := newStand(t, Options{})
	s.open(t, Options{Key: testKey, Boot: boot, RoleDirs: map[agentapi.Role]string{agentapi.RoleRescue: rescue}})
	offer := Offer{Node: "n1", Generation: "7", Role: agentapi.RoleRescue, Expires: time.Now().Add(time.Hour)}

	_, err := s.Offer(offer)
	if said, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Unavailable || !strings.Contains(said, "ingot ramdisk build --kind debian") {
		t.Errorf("nothing is built: %v", err)
	}
	if _, _, err := s.Ramdisk(agentapi.RoleRescue); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--kind debian") {
		t.Errorf("nothing is built, from the network: %v", err)
	}
	if err := os.Mkdir(rescue, 0o755); err != nil {
		t.Fatal(err)
	}
	writeTemplate(t, rescue)
	if _, err := s.Offer(offer); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "of the kind deploy") {
		t.Errorf("a deploy ramdisk in the rescue's folder: %v", err)
	}
	if _, _, err := s.Ramdisk(agentapi.RoleRescue); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a deploy ramdisk in the rescue's folder, from the network: %v", err)
	}
	writeTemplateOf(t, rescue, KindDebian)
	path, err := s.Offer(offer)
	if err != nil {
		t.Fatal(err)
	}
	res, got := s.fetch(t, "GET", path, "")
	own, err := os.ReadFile(filepath.Join(rescue, ISOName))
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || len(got) != len(own) || string(got[:2048]) != string(own[:2048]) {
		t.Errorf("the rescue's boot ISO: %s, and it is the other one: %v", res.Status, string(got[:2048]) != string(own[:2048]))
	}
	role = agentapi.RoleDeploy // the boot was for a rescue, and its node does something else by now
	if res, _ := s.fetch(t, "GET", path, ""); res.StatusCode != 404 {
		t.Errorf("another role's boot from the rescue's address: %s", res.Status)
	}
	offer.Role = agentapi.RoleDeploy
	if path, err = s.Offer(offer); err != nil {
		t.Fatal(err)
	}
	if res, got := s.fetch(t, "GET", path, ""); res.StatusCode != 200 || string(got[:2048]) == string(own[:2048]) {
		t.Errorf("the deploy's boot ISO: %s", res.Status)
	}
}

// TestNetworkBootOfARole gives a boot the files of its role's folder.
func TestNetworkBootOfARole(t *testing.T) {
	rescue := t.TempDir()
	d, err := New(t.TempDir(), Options{Key: testKey, RoleDirs: map[agentapi.Role]string{agentapi.RoleRescue: rescue}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rescue, KernelName), []byte("rescue kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("rescue kernel"))
	b := &metal.NetworkBoot{Role: string(agentapi.RoleRescue), Kernel: metal.BootFile{Name: KernelName, Size: 13, SHA256: hex.EncodeToString(sum[:])}}
	files := d.NetFiles(nil, nil)
	f, err := files.Open(b, NetKernel, NetPlace{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Size != 13 {
		t.Errorf("%d bytes", f.Size)
	}
	b.Role = ""
	if _, err := files.Open(b, NetKernel, NetPlace{}); err == nil {
		t.Error("a deploy's boot got the rescue's kernel")
	}
}
