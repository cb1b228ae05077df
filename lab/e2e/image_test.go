package e2e

import (
	"bytes"
	"io"
	"testing"

	"ingot/internal/image/imagetest"
	"ingot/internal/metal"
)

// TestBadImages deploys what must not be deployed, and then, on the same machine, what may.
func TestBadImages(t *testing.T) {
	beside(t)
	good := wholeDisk(16 * mib)
	for _, c := range []struct {
		name, sum string
		early     bool // found before the machine is touched
		cause     []string
	}{
		{"good", sum([]byte("another image")), false, []string{"has the sha256 checksum " + sum(good), sum([]byte("another image")) + " was expected"}},
		{"truncated", sum(good), false, []string{"download", "failed", "sent less than it announced"}},
		{"large", sum(good), false, []string{"larger than the disk", "50331648"}},
		{"qcow2", sum(qcow2()), true, []string{"qcow2"}},
		{"noise", sum(noise(3*mib, 7)), true, []string{"image"}},
		{"absent", sum(good), true, []string{"404"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, n := simulated(t)
			n.available(soon)
			i := serveImages(t, "127.0.0.1", good, diskSize+mib)
			n.wants(i.url+c.name, c.sum)
			step := `step "write image"`
			if c.early {
				step = `step "check image"`
			}
			boots := len(m.Boots())
			n.failed(n.ends(metal.VerbActive, metal.DeployFailed, soon), append(c.cause, step)...)
			n.nothingLeft()
			unbootable(t, m.disk())
			if c.early && len(m.Boots()) != boots {
				t.Errorf("the machine was booted %d times for an image that could be known to be bad", len(m.Boots())-boots)
			}
			agent, console := n.kept()
			if !c.early && (!contains(agent, "image write starts") || !contains(console, "image write starts")) {
				t.Errorf("of the failure there is kept the agent's log %q, the console %q", agent, console)
			}

			next, packed := "good", good
			if c.name == "qcow2" { // and then one that is whole
				next, packed = "good.qcow2", imagetest.QCOW2{Packed: true, Zstd: true, Every: 3, Shuffle: 1}.Make(good)
				i.file(next, func() io.ReadSeeker { return bytes.NewReader(packed) })
			}
			n.wants(i.url+next, sum(packed))
			n.ends(metal.VerbActive, metal.Active, soon)
			n.deployed(m, good)
		})
	}
}

// unbootable sees that no firmware would start this disk: both ends are zero, so there is no partition table.
func unbootable(t *testing.T, disk []byte) {
	t.Helper()
	if len(bytes.Trim(disk[:mib], "\x00")) > 0 || len(bytes.Trim(disk[len(disk)-mib:], "\x00")) > 0 {
		t.Error("the ends of the disk are not empty")
	}
	if i := bytes.Index(disk, []byte("EFI PART")); i >= 0 {
		t.Errorf("a GPT's header is on the disk, at byte %d", i)
	}
}

// clean sees that nothing is on the disk, the former tenant's data least of all.
func (m *machine) clean() {
	m.t.Helper()
	if disk := m.disk(); len(disk) != diskSize || len(bytes.Trim(disk, "\x00")) > 0 {
		m.t.Errorf("the disk is not clean (%d bytes, %d of old data)", len(disk), bytes.Count(disk, []byte(oldData)))
	}
}

// deployed sees that the image is on the disk and that the machine was started from it with an empty drive.
func (n *node) deployed(m *machine, image []byte) {
	n.t.Helper()
	disk := m.disk()
	if !bytes.Equal(disk[:440], image[:440]) || !bytes.Equal(disk[mib:len(image)-mib], image[mib:len(image)-mib]) {
		n.t.Error("what is on the disk is not the image")
	}
	if !bytes.HasPrefix(disk[512:], []byte("EFI PART")) || !bytes.HasPrefix(disk[len(disk)-512:], []byte("EFI PART")) {
		n.t.Error("the disk has no partition table, or no backup of it at its end")
	}
	boots := m.Boots()
	if last := boots[len(boots)-1]; !m.Powered() || last.First != "Hdd" || last.Media != "" {
		n.t.Errorf("the machine runs: %v; its last boot was %+v", m.Powered(), last)
	}
}
