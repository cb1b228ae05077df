package disk

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/filesystem/fat32"

	"ingot/internal/agentapi"
	"ingot/internal/image"
)

const (
	rootID    = "0d9ecdb0-8fa2-5fbb-adcb-a29f61692696"
	testESP   = 36 * mib
	partsDisk = testESP + (1+8+64+24+1)*mib // the least for a root of 24 MiB, swap of 8 and a config drive
)

// loaderFiles are a Debian's, small; what each holds is known by its name.
func loaderFiles() map[string]string {
	files := map[string]string{"etc/os-release": "NAME=\"Some Linux\"\nID=\"somelinux\"\n", "boot/grub/grub.cfg": "menuentry x {}\n",
		"etc/fstab": "# made by hand\nUUID=" + rootID + " / ext4 defaults 0 1\nUUID=1EB8-59BB /boot/efi vfat umask=0077 0 1\n" +
			"PARTUUID=b54a95ac-e2f1-513c-9925-0d87f0ea9ccc none swap sw 0 0\nbroken\n"}
	for _, name := range []string{"usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/mmx64.efi.signed", "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
		"usr/lib/shim/shimaa64.efi.signed", "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed"} {
		files[name] = name
	}
	return files
}

// rootImage is an ext4 of 16 MiB with these files.
func rootImage(t testing.TB, files map[string]string) []byte {
	t.Helper()
	tool, err := exec.LookPath("mke2fs")
	if err != nil {
		tool = "/sbin/mke2fs"
	}
	if _, err := os.Stat(tool); err != nil {
		t.Skip("there is no mke2fs here")
	}
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "fs")
	if out, err := exec.Command(tool, "-q", "-F", "-t", "ext4", "-b", "4096", "-U", rootID, "-d", dir, path, "16M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func partRequest(t testing.TB, device string, served []byte) Request {
	r := request(device, serve(t, served, nil), served)
	r.esp = testESP
	r.Image.ImageType, r.Image.DiskFormat = partitionType, ""
	r.Image.Partitions = &agentapi.Partitions{RootMB: 24, SwapMB: 8, BootMode: "uefi", DiskLabel: "gpt"}
	return r
}

// espFiles reads every file back, by the names that FAT gives.
func espFiles(t *testing.T, disk string, esp image.Partition) map[string]string {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dev := &device{f: f, size: esp.End()}
	fat, err := fat32.Read(&fatDisk{device: dev.window(esp.Start, esp.Size)}, esp.Size, 0, 512)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		entries, err := fat.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			name := strings.TrimPrefix(dir+"/"+e.Name(), "./")
			if e.Name() == "." || e.Name() == ".." {
				continue
			}
			if e.IsDir() {
				walk(name)
				continue
			}
			r, err := fat.OpenFile("/"+name, os.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			found[name] = string(b)
		}
	}
	walk(".")
	return found
}

func TestWritePartition(t *testing.T) {
	root := rootImage(t, loaderFiles())
	rand.New(rand.NewSource(7)).Read(root[15*mib:]) // what no file of it refers to must arrive, too
	for _, how := range []string{"", "gzip", "zstd", "qcow2", "qcow2 zstd"} {
		t.Run("raw"+how, func(t *testing.T) {
			served, path := pack(how, root), oldDisk(t, partsDisk)
			r := partRequest(t, path, served)
			r.ConfigDrive = base64.StdEncoding.EncodeToString(pack("gzip", bytes.Repeat([]byte("drive"), 5000)))
			report, err := WriteImage(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			sgdisk(t, path)
			disk := readDisk(t, path)
			table, err := image.ParseTable(disk[:mib])
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range table.Partitions {
				names = append(names, p.Name)
			}
			if !slices.Equal(names, []string{"EFI system", "swap", "config-2", "root"}) || report.RootUUID != rootID || report.ESP == nil ||
				table.Partitions[1].UUID != "b54a95ac-e2f1-513c-9925-0d87f0ea9ccc" {
				t.Errorf("partitions %v, report %+v", names, report)
			}
			esp, swap, drive, last := table.Partitions[0], table.Partitions[1], table.Partitions[2], table.Partitions[3]
			if !bytes.Equal(disk[last.Start:last.Start+int64(len(root))], root) || last.Size != 24*mib {
				t.Error("the root partition differs from the image")
			}
			if !isZero(disk[last.End()-mib : last.End()]) {
				t.Error("old data ends the root partition")
			}
			if bytes.IndexByte(disk[esp.Start:esp.End()], old) >= 0 && bytes.Contains(disk[esp.Start:esp.End()], bytes.Repeat([]byte{old}, 16)) {
				t.Error("old data is in the EFI system partition")
			}
			if s := disk[swap.Start:]; string(s[4086:4096]) != "SWAPSPACE2" || le.Uint32(s[1024:]) != 1 || le.Uint32(s[1028:]) != 8*mib/4096-1 || string(s[1052:1057]) != "swap1" {
				t.Error("there is no swap space")
			}
			if d := disk[drive.Start:drive.End()]; !bytes.HasPrefix(d, []byte("drivedrive")) || !isZero(d[25000:mib]) || report.Drive == nil {
				t.Error("the config drive is not there, or old data behind it")
			}
			if serial := disk[esp.Start+67 : esp.Start+71]; !bytes.Equal(serial, []byte{0xbb, 0x59, 0xb8, 0x1e}) {
				t.Errorf("the EFI system partition is % x, not what fstab asks for", serial)
			}
			files := espFiles(t, path, esp)
			for name, text := range map[string]string{
				"EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed", "EFI/somelinux/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
				"EFI/BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "EFI/somelinux/mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
				"EFI/somelinux/grub.cfg": "search --no-floppy --fs-uuid --set=root " + rootID + "\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n",
			} {
				if files[name] != text {
					t.Errorf("%s is %q, not %q; there are %d files", name, files[name], text, len(files))
				}
			}
			fsck(t, disk[esp.Start:esp.End()])
		})
	}
}

// fsck has dosfstools judge a FAT, where they are installed.
func fsck(t *testing.T, esp []byte) {
	t.Helper()
	tool, err := exec.LookPath("fsck.vfat")
	if err != nil {
		t.Log("fsck.vfat is not installed: the FAT is only read back by the library that made it")
		return
	}
	path := filepath.Join(memoryDir(t), "esp")
	if err := os.WriteFile(path, esp, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-n", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "Invalid") || strings.Contains(string(out), "differ") {
		t.Errorf("fsck.vfat: %v\n%s", err, out)
	}
}

// TestRefusedPartitions: what cannot work leaves the disk as it was, if it can be known before the first write, and
// a disk without a partition table otherwise.
func TestRefusedPartitions(t *testing.T) {
	good := rootImage(t, loaderFiles())
	without := func(names ...string) []byte {
		files := loaderFiles()
		for _, n := range names {
			delete(files, n)
		}
		return rootImage(t, files)
	}
	for _, c := range []struct {
		name   string
		served []byte
		change func(*Request)
		kind   string
		says   string
		late   bool // found when the root partition is written
	}{
		{"root_gb too small", good, func(r *Request) { r.Image.Partitions.RootMB = 15 }, writeError, "partition", false},
		{"packed, root_gb too small", pack("zstd", good), func(r *Request) { r.Image.Partitions.RootMB = 15 }, writeError, "partition", false},
		{"qcow2, root_gb too small", pack("qcow2", good), func(r *Request) { r.Image.Partitions.RootMB = 15 }, writeError, "partition", false},
		{"no sizes", good, func(r *Request) { r.Image.Partitions = nil }, paramsError, "root_mb", false},
		{"root larger than the disk", good, func(r *Request) { r.Image.Partitions.RootMB = 2000 }, writeError, "too small", false},
		{"swap larger than the disk", good, func(r *Request) { r.Image.Partitions.SwapMB = maxPartMB }, writeError, "too small", false},
		{"sizes that overflow", good, func(r *Request) { r.Image.Partitions.SwapMB = 1 << 62 }, paramsError, "swap_mb", false},
		{"negative swap", good, func(r *Request) { r.Image.Partitions.SwapMB = -1 }, paramsError, "swap_mb", false},
		{"ephemeral", good, func(r *Request) { r.Image.Partitions.EphemeralMB = 1 }, paramsError, "Ephemeral", false},
		{"preserve", good, func(r *Request) { r.Image.Partitions.PreserveEphemeral = true }, paramsError, "preserve_ephemeral", false},
		{"bios", good, func(r *Request) { r.Image.Partitions.BootMode = "bios" }, paramsError, "UEFI", false},
		{"msdos", good, func(r *Request) { r.Image.Partitions.DiskLabel = "msdos" }, paramsError, "GPT", false},
		{"a whole disk", gptImage(), nil, invalidImage, "whole-disk", false},
		{"no file system", make([]byte, 16*mib), nil, invalidImage, "file system", false},
		{"cut short", good[:10*mib], nil, invalidImage, "cut short", false},
		{"packed and cut short", pack("zstd", good[:10*mib]), nil, invalidImage, "cut short", true},
		{"wrong checksum", good, func(r *Request) { r.Image.HashValue = strings.Repeat("0", 64) }, checksumError, "checksum", true},
		{"no shim", without("usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimaa64.efi.signed"), nil, invalidImage, "no boot loader", true},
		{"no GRUB", without("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed"), nil, invalidImage, "no boot loader", true},
		{"no grub.cfg", without("boot/grub/grub.cfg"), nil, invalidImage, "grub.cfg", true},
		{"no os-release", without("etc/os-release"), nil, invalidImage, "os-release", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := oldDisk(t, partsDisk)
			before := readDisk(t, path)
			r := partRequest(t, path, c.served)
			if c.change != nil {
				c.change(&r)
			}
			_, err := WriteImage(context.Background(), r)
			wantType(t, err, c.kind, c.says)
			after := readDisk(t, path)
			if !c.late && !bytes.Equal(before, after) {
				t.Error("the disk was touched")
			}
			if c.late {
				wantUnbootable(t, after)
				if at := int64(1+8)*mib + testESP; !isZero(after[at : at+mib]) {
					t.Error("the root's superblock is there")
				}
			}
		})
	}
}

// TestPartitionLostOnTheWay: the download breaks for good in the middle.
func TestPartitionLostOnTheWay(t *testing.T) {
	good, path := rootImage(t, loaderFiles()), oldDisk(t, partsDisk)
	r := partRequest(t, path, good)
	r.Image.URLs = []string{serve(t, good, func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n > 0 {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		w.Header().Set("Content-Length", "16777216")
		w.Write(good[:9*mib])
		return true
	})}
	_, err := WriteImage(context.Background(), r)
	if err == nil {
		t.Fatal("half an image was enough")
	}
	wantUnbootable(t, readDisk(t, path))
}

// TestBootFolder: an image that keeps its EFI system partition as a folder, with names that no FAT should get.
func TestBootFolder(t *testing.T) {
	files := map[string]string{"boot/grub2/grub.cfg": "x", "boot/efi/EFI/BOOT/BOOTX64.EFI": "shim", "boot/efi/EFI/BOOT/BOOTAA64.EFI": "shim", "boot/efi/EFI/fedora/grubx64.efi": "grub",
		"boot/efi/EFI/fedora/grubaa64.efi": "grub", "boot/efi/EFI/fedora/GRUB.CFG": "the image's own", "boot/efi/EFI/fedora/bad\nname": "x", "boot/efi/EFI/fedora/what?": "x",
		"boot/efi/EFI/.hidden": "x", "boot/efi/EFI/a/b/c/deep": "x", "boot/efi/EFI/a/b/ok.efi": "deep enough"}
	e, err := image.OpenExt4(bytes.NewReader(rootImage(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := findBoot(e, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range b.files {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"EFI/BOOT/BOOTAA64.EFI", "EFI/BOOT/BOOTX64.EFI", "EFI/a/b/ok.efi", "EFI/fedora/grub.cfg", "EFI/fedora/grubaa64.efi", "EFI/fedora/grubx64.efi"}
	if !slices.Equal(names, want) || !strings.Contains(string(b.files["EFI/fedora/grub.cfg"]), "prefix=($root)/boot/grub2\n") {
		t.Errorf("files %q", names)
	}
	if _, err := findBoot(e, "riscv64"); err == nil {
		t.Error("loaders were found for a processor whose are not known")
	}
}

func TestManyBootFiles(t *testing.T) {
	files := loaderFiles()
	for i := range maxESPFiles + 1 {
		files["boot/efi/EFI/x/"+strings.Repeat("f", i+1)] = "x"
	}
	e, err := image.OpenExt4(bytes.NewReader(rootImage(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := findBoot(e, "amd64"); err == nil || !strings.Contains(err.Error(), "entries") {
		t.Errorf("%d files were taken: %v", maxESPFiles+1, err)
	}
}

func TestFstab(t *testing.T) {
	f := parseFstab("PARTUUID=B54A95AC-e2f1-513c-9925-0d87f0ea9ccc / ext4\n /dev/disk/by-uuid/AbCd-0123 /efi vfat x 0 0\n" +
		"LABEL=\"swap space\" none swap sw\n#UUID=1111-1111 /boot/efi vfat\nUUID=../../x /boot/efi vfat\nLABEL=UEFI none swap\n")
	if f.root.part.String() != "b54a95ac-e2f1-513c-9925-0d87f0ea9ccc" || string(f.esp.uuid) != "\xab\xcd\x01\x23" || f.swap.label != "UEFI" {
		t.Errorf("root %v, esp %v, swap %v", f.root, f.esp, f.swap)
	}
}

func FuzzFstab(f *testing.F) {
	f.Add("UUID=1EB8-59BB /boot/efi vfat\nPARTUUID=b54a95ac-e2f1-513c-9925-0d87f0ea9ccc / ext4\nLABEL=x none swap")
	f.Fuzz(func(t *testing.T, text string) {
		got := parseFstab(text)
		for _, id := range []fsID{got.root, got.esp, got.swap} {
			if n := len(id.uuid); n != 0 && n != 4 && n != 16 || len(id.label) > 11 {
				t.Errorf("%q gives %v", text, id)
			}
		}
	})
}
