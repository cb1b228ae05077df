package disk

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// BenchmarkWriteImage writes a 24 MiB image to a file, flushes included. lab/bench/imagebench compares a
// larger one with other tools.
func BenchmarkWriteImage(b *testing.B) {
	for _, how := range []string{"raw", "gzip", "zstd"} {
		b.Run(how, func(b *testing.B) {
			served := pack(how, gptImage())
			path, url := oldDisk(b, diskSize), serve(b, served, nil)
			b.SetBytes(imageSize)
			for b.Loop() {
				if _, err := WriteImage(context.Background(), request(path, url, served)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

const childEnv = "INGOT_DISK_TEST_CHILD"

// TestMemory writes an image of 384 MiB with a window of 64 MiB, the largest accepted, in a process of
// its own and looks at its peak.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 384 MiB")
	}
	if url := os.Getenv(childEnv); url != "" {
		writeAndTellPeak(t, url)
		return
	}
	img := make([]byte, 384*mib)
	for at := mib; at < len(img); at += 96 * mib {
		copy(img[at:], content()[mib:9*mib])
	}
	imagetest.GPT(img, 512, imagetest.Part{Type: image.TypeLinuxRoot, First: 2048, Last: 383*2048 - 1})
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(image.MaxWindow), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	served := w.EncodeAll(img, nil)
	img = nil
	runtime.GC()
	child := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
	sum := request("", "", served).Image.HashValue
	child.Env = append(os.Environ(), childEnv+"="+serve(t, served, nil)+" "+sum)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, after, _ := strings.Cut(string(out), "peak KiB: ")
	peak, err := strconv.Atoi(strings.Fields(after + " none")[0])
	if err != nil || peak > 192<<10 {
		t.Errorf("the peak was %d KiB, %v; want under 192 MiB", peak, err)
	}
	t.Logf("peak %d MiB", peak>>10)
}

func writeAndTellPeak(t *testing.T, env string) {
	url, sum, _ := strings.Cut(env, " ")
	path := memoryDir(t) + "/disk"
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(400 * mib); err != nil {
		t.Fatal(err)
	}
	r := request(path, url, nil)
	r.Image.HashValue = sum
	if _, err := WriteImage(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	t.Logf("peak KiB: %s", strings.Fields(after)[0])
}
