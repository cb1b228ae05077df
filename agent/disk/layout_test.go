package disk

import (
	"bytes"
	"context"
	"encoding/base64"
	"math/rand"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// driveISO looks enough like a config drive for everything but an instance.
func driveISO(size int, label string) []byte {
	b := make([]byte, size)
	rand.New(rand.NewSource(5)).Read(b[40000:])
	copy(b[32768:], "\x01CD001\x01")
	copy(b[32768+40:], label+strings.Repeat(" ", 32-len(label)))
	return b
}

func packDrive(b []byte) string { return base64.StdEncoding.EncodeToString(pack("gzip", b)) }

// writeWith writes img with a config drive on a disk of old data.
func writeWith(t *testing.T, img []byte, size int64, configDrive string) (Report, []byte, string, error) {
	t.Helper()
	path := oldDisk(t, size)
	r := request(path, serve(t, img, nil), img)
	r.ConfigDrive = configDrive
	report, err := WriteImage(context.Background(), r)
	return report, readDisk(t, path), path, err
}

func TestConfigDriveAtTheEnd(t *testing.T) {
	iso := driveISO(100_352, "config-2")
	withSpaces := packDrive(iso)
	withSpaces = withSpaces[:76] + "\r\n " + withSpaces[76:] + "\n"
	for kind, img := range map[string][]byte{"gpt": gptImage(), "mbr": mbrImage()} {
		report, disk, path, err := writeWith(t, img, diskSize+4096, withSpaces)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		p := report.Drive
		if p == nil || p.Size != 64*mib || p.Start%mib != 0 || p.End() < diskSize-2*mib || p.UUID == "" {
			t.Fatalf("%s: config drive = %+v", kind, p)
		}
		if !bytes.Equal(disk[p.Start:p.Start+int64(len(iso))], iso) {
			t.Errorf("%s: the config drive is not on the disk", kind)
		}
		if rest := disk[p.Start+int64(len(iso)) : p.End()]; bytes.Count(rest, []byte{0}) != len(rest) {
			t.Errorf("%s: old data is left in the config drive's partition", kind)
		}
		table, err := image.ParseTable(disk[:image.HeadSize])
		if err != nil || len(table.Partitions) != len(report.Partitions) || table.Kind != kind {
			t.Errorf("%s: table = %+v, %v", kind, table, err)
		}
		if kind == "gpt" {
			sgdisk(t, path)
		}
	}
}

func TestConfigDriveReusesItsPartition(t *testing.T) {
	iso := driveISO(100_352, "config-2")
	fat := imagetest.Part{Type: image.TypeLinuxData, First: 22 * 2048, Last: 23*2048 - 1, Name: "seed"}
	img := gptImage(fat)
	copy(img[22*mib+54:], "FAT16   ")
	copy(img[22*mib+43:], "CONFIG-2   ")
	report, disk, path, err := writeWith(t, img, diskSize, packDrive(iso))
	if err != nil || report.Drive == nil || report.Drive.Number != 3 || len(report.Partitions) != 3 {
		t.Fatalf("report = %+v, %v", report, err)
	}
	if !bytes.Equal(disk[22*mib:22*mib+len(iso)], iso) {
		t.Error("the config drive is not in the image's partition")
	}
	sgdisk(t, path)

	_, disk, _, err = writeWith(t, img, diskSize, packDrive(driveISO(2*mib, "config-2")))
	wantType(t, err, deployError, "own config-2 partition")
	wantUnbootable(t, disk)
}

func TestConfigDriveBelowTheFirstMiB(t *testing.T) {
	img := mbrImage(imagetest.Slot{Type: 0x0c, First: 63, Size: 1500})
	copy(img[63*512:], driveISO(100_352, "config-2")[:40000])
	iso := driveISO(200_704, "config-2")
	report, disk, _, err := writeWith(t, img, diskSize, packDrive(iso))
	if err != nil || report.Drive.Number != 2 || !bytes.Equal(disk[63*512:63*512+len(iso)], iso) {
		t.Errorf("report = %+v, %v, or the drive is not there", report, err)
	}
}

func TestConfigDriveRefused(t *testing.T) {
	small := packDrive(driveISO(100_352, "config-2"))
	twice := gptImage(imagetest.Part{Type: image.TypeLinuxData, First: 21 * 2048, Last: 22*2048 - 1},
		imagetest.Part{Type: image.TypeLinuxData, First: 22 * 2048, Last: 23*2048 - 1})
	copy(twice[21*mib:], driveISO(100_352, "config-2"))
	copy(twice[22*mib:], driveISO(100_352, "Config-2"))
	for _, c := range []struct {
		name  string
		img   []byte
		size  int64
		drive string
		says  string
	}{
		{"no room", gptImage(), 64 * mib, small, "no room"},
		{"two of them", twice, diskSize, small, "2 partitions"},
		{"too large", gptImage(), diskSize, packDrive(make([]byte, 64*mib+1)), "64 MiB"},
		{"empty", gptImage(), diskSize, packDrive(nil), "empty"},
		{"mbr full", mbrImage(imagetest.Slot{Type: 0x83, First: 21 * 2048, Size: 8}, imagetest.Slot{Type: 0x83, First: 22 * 2048, Size: 8},
			imagetest.Slot{Type: 0x83, First: 23 * 2048, Size: 8}), diskSize, small, "four primary"},
	} {
		_, disk, _, err := writeWith(t, c.img, c.size, c.drive)
		wantType(t, err, deployError, c.says)
		if disk[0] != old {
			wantUnbootable(t, disk)
		}
	}
}

func TestConfigDriveByURL(t *testing.T) {
	iso := driveISO(100_352, "config-2")
	for name, b := range map[string][]byte{"base64": []byte(packDrive(iso) + "\n"), "gzip": pack("gzip", iso), "plain": iso} {
		img := mbrImage()
		path := oldDisk(t, diskSize)
		url := serve(t, img, func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/drive" {
				w.Write(b)
			}
			return r.URL.Path == "/drive"
		})
		r := request(path, url, img)
		r.ConfigDrive = strings.TrimSuffix(url, "img") + "drive"
		report, err := WriteImage(context.Background(), r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if disk := readDisk(t, path); !bytes.Equal(disk[report.Drive.Start:report.Drive.Start+int64(len(iso))], iso) {
			t.Errorf("%s: the config drive is not on the disk", name)
		}
	}
}

func TestGPTDoesNotFit(t *testing.T) {
	img := gptImage(imagetest.Part{Type: image.TypeLinuxData, First: 21 * 2048, Last: 24*2048 - 34})
	served := pack("gzip", img[:24*mib-33*512]) // as large as its partitions: no room for a backup table
	path := oldDisk(t, 24*mib-33*512)
	_, err := WriteImage(context.Background(), request(path, serve(t, served, nil), served))
	wantType(t, err, deployError, "does not fit")
	if readDisk(t, path)[0] != old {
		t.Error("the disk was written before the refusal")
	}
}

func TestLargeDisksInMBR(t *testing.T) {
	head := mbrImage()[:image.HeadSize]
	l, err := newLayout(head, 3<<40)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.addDrive()
	if err != nil || p.End() > mbrLimit || p.Start != mbrLimit-driveSize {
		t.Errorf("config drive = %+v, %v: want it below 2 TiB", p, err)
	}
}

func TestFourKSectors(t *testing.T) {
	b := make([]byte, imageSize)
	imagetest.GPT(b, 4096, imagetest.Part{Type: image.TypeLinuxRoot, First: 256, Last: 512})
	l, err := newLayout(b[:image.HeadSize], diskSize)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.addDrive()
	if err != nil || p.Start%mib != 0 || l.table.SectorSize != 4096 {
		t.Errorf("config drive = %+v, %v", p, err)
	}
	backup, at := l.seal()
	h, err := image.ParseGPTHeader(backup[len(backup)-4096:], 4096)
	if err != nil || at+int64(len(backup)) != diskSize || h.MyLBA != diskSize/4096-1 || h.OtherLBA != 1 || h.Array != uint64(at)/4096 {
		t.Errorf("backup at %d of %d bytes: %+v, %v", at, len(backup), h, err)
	}
}

// FuzzLayout gives a stranger's first MiB: it must be refused, or be a table that fits the disk.
func FuzzLayout(f *testing.F) {
	f.Add(gptImage()[:32<<10], int64(diskSize))
	f.Add(mbrImage()[:512], int64(diskSize))
	f.Fuzz(func(t *testing.T, start []byte, size int64) {
		if size < minDevice || size > 1<<56 {
			return
		}
		head := make([]byte, image.HeadSize)
		copy(head, start)
		l, err := newLayout(head, size)
		if err != nil {
			return
		}
		if _, err := l.addDrive(); err != nil {
			return
		}
		backup, at := l.seal()
		table, err := image.ParseTable(head)
		if err != nil {
			t.Fatalf("the sealed table does not read back: %v", err)
		}
		if l.gpt != nil && (at < table.End() || at+int64(len(backup)) > size || len(backup) > image.HeadSize) {
			t.Fatalf("backup of %d bytes at %d on a disk of %d, partitions end at %d", len(backup), at, size, table.End())
		}
	})
}
