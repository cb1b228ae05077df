package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"ingot/agent/disk"
	"ingot/internal/agentapi"
	"ingot/internal/image"
	"ingot/internal/seed"
)

const (
	// memoryLimit is what cmd/ingot-agent sets, and memoryBound what the agent must stay under.
	memoryLimit = 192 * mib
	memoryBound = 256 * mib
	// formChild has the URL, checksum and device for the process that writes: TestDebianInEveryForm is run in it.
	formChild = "INGOT_E2E_FORM"
)

// TestDebianInEveryForm writes a real Debian image, as qcow2 (plain, zlib, zstd) and as raw in zstd, to a disk full of
// old data, with the agent's own code in a process of its own. Every sector within the image's size must be what
// `qemu-img convert` makes of it, but for a list that is printed.
func TestDebianInEveryForm(t *testing.T) {
	if job := os.Getenv(formChild); job != "" {
		writeForm(t, strings.Fields(job))
		return
	}
	labOnly(t)
	img := guestImage(t)
	dir := t.TempDir()
	web := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer web.Close()
	target := oldDisk(t, filepath.Join(dir, "disk"), img.Size+128*mib)
	for _, form := range [][]string{
		{"plain.qcow2"},
		{"zlib.qcow2", "-c"},
		{"zstd.qcow2", "-c", "-o", "compression_type=zstd"},
		{"raw.zst"},
	} {
		t.Run(form[0], func(t *testing.T) {
			path := filepath.Join(dir, form[0])
			want := filepath.Join(dir, "want.raw")
			if form[0] == "raw.zst" {
				tool(t, "cp", img.Zst, path)
				tool(t, "zstd", "-dqf", "--sparse", path, "-o", want)
			} else {
				tool(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, form[1:]...), img.Raw, path)...)
				tool(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, want)
			}
			defer os.Remove(path)
			defer os.Remove(want)
			fillOld(t, target, img.Size+128*mib)
			out := strings.Fields(tool(t, "sha256sum", path))
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDebianInEveryForm$", "-test.v")
			child.Env = append(os.Environ(), formChild+"="+web.URL+"/"+form[0]+" "+out[0]+" "+target)
			said, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			report := after(string(said), "report: ")
			peak, err := strconv.ParseInt(after(report, "peak KiB "), 10, 64)
			if err != nil || peak<<10 >= memoryBound {
				t.Errorf("the agent's memory was %d MiB at its peak, %v", peak>>10, err)
			}
			t.Logf("%s", report)
			compare(t, target, want, img.Size)
		})
	}
}

// writeForm is the child: the agent's code and nothing else.
func writeForm(t *testing.T, job []string) {
	debug.SetMemoryLimit(memoryLimit)
	s, err := seed.FromObject(map[string]any{"meta_data": map[string]any{"name": "forms"}}, seed.Input{UUID: "6f1a6e0e-2f5b-4c2c-9a55-0c1f4d8f2f10", Name: "forms"})
	if err != nil {
		t.Fatal(err)
	}
	drive, err := s.Drive()
	if err != nil {
		t.Fatal(err)
	}
	r, err := disk.WriteImage(context.Background(), disk.Request{Device: job[2], ConfigDrive: drive,
		Image: agentapi.ImageInfo{ID: "form", URLs: job[:1], HashAlgo: "sha256", HashValue: job[1]}})
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("report: %s, downloaded %d MiB, written %d MiB, holes %d MiB (zeroed by the device: %v), config drive at byte %d, %.1f s, peak KiB %s\n",
		r.Format, r.Downloaded/mib, r.Written/mib, r.Zeroed/mib, r.Punched, r.Drive.Start, r.Took.Seconds(), strings.Fields(after(string(status), "VmHWM:"))[0])
}

// after is the rest of the line behind a word.
func after(text, word string) string {
	_, rest, _ := strings.Cut(text, word)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// oldDisk is a loop device, or the file alone where there is none.
func oldDisk(t *testing.T, file string, size int64) string {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Logf("there is no loop device here (%v): the disk is a file", err)
		return file
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "--detach", device).Run() })
	return device
}

// fillOld covers the whole disk with what an earlier tenant left.
func fillOld(t *testing.T, device string, size int64) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte("old data of another tenant, 32 B "), mib/32)[:mib]
	for at := int64(0); at < size && err == nil; at += mib {
		_, err = f.WriteAt(block[:min(mib, size-at)], at)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// compare reads disk and image sector by sector and prints where they differ within the image's size. Only the GPT
// may: its header and protective MBR, the entry of the config drive, and its backup, which moved to the disk's end.
func compare(t *testing.T, device, want string, size int64) {
	t.Helper()
	a, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := os.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if info, err := b.Stat(); err != nil || info.Size() != size {
		t.Fatalf("qemu-img made %d bytes of an image of %d, %v", info.Size(), size, err)
	}
	const sector = 512
	table := []struct {
		name        string
		first, last int64 // sectors
	}{{"protective MBR", 0, 0}, {"GPT header", 1, 1}, {"GPT entries: the config drive's", 2, 33}, {"the image's own backup GPT", size/sector - 33, size/sector - 1}}
	differ := map[string]int{}
	one, other := make([]byte, mib), make([]byte, mib)
	old, wrong := 0, 0
	for at := int64(0); at < size; at += mib {
		n := min(mib, size-at)
		if _, err := io.ReadFull(a, one[:n]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(b, other[:n]); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(one[:n], other[:n]) {
			continue
		}
	sectors:
		for s := int64(0); s < n; s += sector {
			if bytes.Equal(one[s:s+sector], other[s:s+sector]) {
				continue
			}
			for _, e := range table {
				if number := (at + s) / sector; number >= e.first && number <= e.last {
					differ[e.name]++
					continue sectors
				}
			}
			if wrong++; wrong < 10 {
				t.Errorf("sector %d is not the image's", (at+s)/sector)
			}
			if bytes.Contains(one[s:s+sector], []byte("another tenant")) {
				old++
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d sectors are wrong, %d of them hold old data", wrong, old)
	}
	for _, e := range table {
		t.Logf("differs from qemu-img convert: %d sectors of %d to %d, %s", differ[e.name], e.first, e.last, e.name)
	}
	head := make([]byte, mib)
	if _, err := a.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	written, err := image.ParseTable(head)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range written.Partitions {
		if p.Name == "config-2" {
			if p.Start < size {
				t.Errorf("the config drive begins within the image, at byte %d", p.Start)
			}
			t.Logf("past the image: the config drive, %d sectors from %d", p.Size/sector, p.Start/sector)
			return
		}
	}
	t.Error("there is no config drive")
}
