package inventory

import (
	"os"
	"path/filepath"
	"testing"
)

func TestStable(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"dev/disk/by-id", "dev/disk/by-path"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sda", "sda1", "sdb", "vda", "vdb", "nvme0n1"} {
		if err := os.WriteFile(filepath.Join(root, "dev", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"by-id/ata-MODEL_S1": "sda", "by-id/wwn-0x5000": "sda", "by-id/wwn-0x5000-part1": "sda1", "by-path/pci-0000:00:1f.2-ata-1": "sda",
		"by-path/pci-0000:00:1f.2-ata-2": "sdb", "by-id/virtio-S3": "vda", "by-id/nvme-MODEL_S4": "nvme0n1", "by-id/nvme-eui.0025": "nvme0n1", "by-id/broken": "gone",
	} {
		if err := os.Symlink("../../"+to, filepath.Join(root, "dev/disk", link)); err != nil {
			t.Fatal(err)
		}
	}
	m := Machine{Root: root}
	for disk, want := range map[string]string{
		"/dev/sda": "/dev/disk/by-id/wwn-0x5000", "/dev/sdb": "/dev/disk/by-path/pci-0000:00:1f.2-ata-2", "/dev/vda": "/dev/disk/by-id/virtio-S3",
		"/dev/nvme0n1": "/dev/disk/by-id/nvme-eui.0025", "/dev/vdb": "/dev/vdb", "/dev/gone": "/dev/gone",
	} {
		if got := m.Stable(disk); got != want {
			t.Errorf("%s is %s, want %s", disk, got, want)
		}
	}
	if got := (Machine{Root: t.TempDir()}).Stable("/dev/sda"); got != "/dev/sda" {
		t.Error(got)
	}
}
