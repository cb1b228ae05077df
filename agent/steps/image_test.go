package steps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/agent/inventory"
	"ingot/internal/agentapi"
)

// TestPartitionNeedsUEFI: nothing is written to a machine that could not boot from it.
func TestPartitionNeedsUEFI(t *testing.T) {
	s := &Steps{Config: Config{}}
	s.Machine = inventory.Machine{Root: t.TempDir()}
	if err := s.checkPartition(&agentapi.ImageInfo{ImageType: "whole-disk"}, "/dev/vda"); err != nil {
		t.Errorf("a whole disk: %v", err)
	}
	if err := s.checkPartition(&agentapi.ImageInfo{ImageType: "partition"}, "/dev/vda"); err == nil || !strings.Contains(err.Error(), "BIOS") {
		t.Errorf("with a BIOS: %v", err)
	}
	for _, dir := range []string{"sys/firmware/efi/efivars", "sys/block/vda"} {
		if err := os.MkdirAll(filepath.Join(s.Machine.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.checkPartition(&agentapi.ImageInfo{ImageType: "partition"}, "/dev/vda"); err != nil {
		t.Errorf("with UEFI: %v", err)
	}
}
