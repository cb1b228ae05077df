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

// TestRolesShareTheDebianRamdisk boots installations by OS definitions from what rescues boot from, and nothing else.
func TestRolesShareTheDebianRamdisk(t *testing.T) {
	debian := t.TempDir()
	boot := func(_ context.Context, node, role string) (agentapi.BootConfig, string, error) {
		return agentapi.BootConfig{Version: 1, NodeUUID: node, Role: agentapi.Role(role)}, "", nil // the generation says the role here
	}
	s := newStand(t, Options{})
	s.open(t, Options{Key: testKey, Boot: boot, RoleDirs: map[agentapi.Role]string{agentapi.RoleRescue: debian, agentapi.RoleInstall: debian}})
	if said, _ := fault.PublicOf(errorOf(s.BootISO(agentapi.RoleInstall))); !strings.Contains(said, "install by OS definitions") || !strings.Contains(said, "--kind debian") {
		t.Errorf("nothing is built: %q", said)
	}
	writeTemplateOf(t, debian, KindDebian)
	rescue, err := s.BootISO(agentapi.RoleRescue)
	if err != nil {
		t.Fatal(err)
	}
	install, err := s.BootISO(agentapi.RoleInstall)
	if err != nil || install != rescue {
		t.Errorf("two templates of one folder: %v, %v, %v", install == rescue, install, err)
	}
	own, err := os.ReadFile(filepath.Join(debian, ISOName))
	if err != nil {
		t.Fatal(err)
	}
	path, err := s.Offer(Offer{Node: "n1", Generation: "install", Role: agentapi.RoleInstall, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if res, got := s.fetch(t, "GET", path, ""); res.StatusCode != 200 || len(got) != len(own) || string(got[:2048]) != string(own[:2048]) {
		t.Errorf("an installation's boot ISO: %s", res.Status)
	}
	if _, err := s.Offer(Offer{Node: "n1", Generation: "install", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Errorf("a deploy's boot ISO: %v", err)
	}
}

func errorOf[T any](_ T, err error) error { return err }

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
