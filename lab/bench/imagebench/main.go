// Command imagebench measures how fast the agent writes an image to a file, beside dd and qemu-img convert
// on the same image in the same run, and the peak memory of each.
//
//	imagebench [-size MiB] [-rounds N] [-dir DIR]
//
// The image is generated: a third random, a third compressible, a third holes. The tools read it as a
// file; the agent's code fetches it over HTTP from this program, raw and zstd, and hashes it besides. Every
// run ends flushed to the disk, and runs in a process of its own. It prints a table of medians and exits 0
// unless the agent fails. "make bench" calls it; nothing else does.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"ingot/agent/disk"
	"ingot/internal/agentapi"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

const mib = 1 << 20

func main() {
	size := flag.Int64("size", 1024, "size of the image in MiB")
	rounds := flag.Int("rounds", 3, "how often each tool runs")
	dir := flag.String("dir", os.TempDir(), "where image and disks are put; needs 2.5 times the size")
	child := flag.String("child", "", "write this URL (internal)")
	sum := flag.String("sum", "", "its SHA-256 (internal)")
	flag.Parse()
	var err error
	if *child != "" {
		err = write(*child, *sum, *dir)
	} else {
		err = run(*size*mib, *rounds, *dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "imagebench:", err)
		os.Exit(1)
	}
}

// write is the child: the agent's code and nothing else. device exists and has its size.
func write(url, sum, device string) error {
	_, err := disk.WriteImage(context.Background(), disk.Request{Device: device,
		Image: agentapi.ImageInfo{ID: "bench", URLs: []string{url}, DiskFormat: "raw", HashAlgo: "sha256", HashValue: sum}})
	if err != nil {
		return err
	}
	fmt.Println(peakOf("self"))
	return nil
}

// contender is one way to get the image onto a disk.
type contender struct {
	name    string
	command []string
	rates   []float64 // MiB/s
	peak    int       // KiB
}

func run(size int64, rounds int, parent string) error {
	dir, err := os.MkdirTemp(parent, "imagebench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	raw, packed, target := filepath.Join(dir, "image.raw"), filepath.Join(dir, "image.zst"), filepath.Join(dir, "disk")
	rawSum, zstSum, err := generate(raw, packed, size)
	if err != nil {
		return err
	}
	base, stop, err := serve(dir)
	if err != nil {
		return err
	}
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	contenders := []*contender{
		{name: "dd bs=1M conv=fsync", command: []string{"dd", "if=" + raw, "of=" + target, "bs=1M", "conv=fsync,notrunc", "status=none"}},
		{name: "qemu-img convert", command: []string{"qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, target}},
		{name: "ingot-agent raw", command: []string{self, "-child", base + "/image.raw", "-sum", rawSum, "-dir", target}},
		{name: "ingot-agent zstd", command: []string{self, "-child", base + "/image.zst", "-sum", zstSum, "-dir", target}},
	}
	contenders = slices.DeleteFunc(contenders, func(c *contender) bool {
		_, err := exec.LookPath(c.command[0])
		if err != nil {
			fmt.Printf("%s is not installed and is left out\n", c.command[0])
		}
		return err != nil
	})
	for range rounds {
		for _, c := range contenders {
			if err := c.once(target, size); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	print(contenders, size)
	return nil
}

// once runs the command on a fresh disk, a MiB larger than the image.
func (c *contender) once(target string, size int64) error {
	os.Remove(target)
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(target, size+mib); err != nil {
		return err
	}
	exec.Command("sync").Run() // what earlier runs left is not this one's work
	var out strings.Builder
	cmd := exec.Command(c.command[0], c.command[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	peak, err := watch(cmd.Process.Pid, done)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out.String())
	}
	took := time.Since(began)
	if err := flush(target); err != nil {
		return err
	}
	if c.name == "qemu-img convert" {
		took = time.Since(began) // it leaves the flush to others
	}
	if told, err := strconv.Atoi(strings.TrimSpace(out.String())); err == nil {
		peak = told
	}
	c.rates = append(c.rates, float64(size)/mib/took.Seconds())
	c.peak = max(c.peak, peak)
	return nil
}

// watch looks at a process's peak memory until it ends: the kernel's own account of an ended child counts
// its parent's memory in.
func watch(pid int, done chan error) (int, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	peak := 0
	for {
		select {
		case err := <-done:
			return peak, err
		case <-tick.C:
			peak = max(peak, peakOf(strconv.Itoa(pid)))
		}
	}
}

// peakOf is a process's peak resident memory in KiB; 0 if it is gone.
func peakOf(pid string) int {
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	_, after, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0
	}
	kib, _ := strconv.Atoi(strings.Fields(after)[0])
	return kib
}

func flush(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// generate writes the image raw and zstd and gives the SHA-256 of both files.
func generate(raw, packed string, size int64) (rawSum, zstSum string, err error) {
	if size < 16*mib {
		return "", "", errors.New("the image must have at least 16 MiB")
	}
	r, err := os.Create(raw)
	if err != nil {
		return "", "", err
	}
	defer r.Close()
	p, err := os.Create(packed)
	if err != nil {
		return "", "", err
	}
	defer p.Close()
	rawHash, zstHash := sha256.New(), sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(p, zstHash), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return "", "", err
	}
	if err := pour(io.MultiWriter(r, rawHash, z), size); err != nil {
		return "", "", err
	}
	if err := errors.Join(z.Close(), r.Sync(), p.Sync()); err != nil {
		return "", "", err
	}
	return hex.EncodeToString(rawHash.Sum(nil)), hex.EncodeToString(zstHash.Sum(nil)), nil
}

// pour writes the image: in stretches of 4 MiB, random, compressible and empty by turns.
func pour(w io.Writer, size int64) error {
	random := rand.New(rand.NewSource(1))
	noise := make([]byte, 4*mib)
	text := []byte(strings.Repeat("a line of a file that compresses well, as most of a system does\n", 4*mib/64))
	empty := make([]byte, 4*mib)
	table := make([]byte, 16*mib)
	imagetest.GPT(table, 512, imagetest.Part{Type: image.TypeLinuxRoot, First: 2048, Last: 15 * 2048})
	if _, err := w.Write(table[:mib]); err != nil {
		return err
	}
	for at, n := int64(mib), 0; at < size; n++ {
		random.Read(noise)
		stretch := [][]byte{noise, text, empty}[n%3]
		stretch = stretch[:min(int64(len(stretch)), size-at)]
		if _, err := w.Write(stretch); err != nil {
			return err
		}
		at += int64(len(stretch))
	}
	return nil
}

func serve(dir string) (string, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() { s.Serve(l); close(ended) }()
	return "http://" + l.Addr().String(), func() { s.Close(); <-ended }, nil
}

func print(contenders []*contender, size int64) {
	fmt.Printf("image of %d MiB, a third each random, compressible and holes; medians, flush included\n", size/mib)
	fmt.Printf("%-22s %10s %10s %12s\n", "tool", "MiB/s", "peak MiB", "ratio to dd")
	var dd float64
	for _, c := range contenders {
		slices.Sort(c.rates)
		rate, ratio := c.rates[len(c.rates)/2], "-"
		if strings.HasPrefix(c.name, "dd ") {
			dd = rate
		}
		if dd > 0 {
			ratio = fmt.Sprintf("%.2f", rate/dd)
		}
		fmt.Printf("%-22s %10.0f %10.1f %12s\n", c.name, rate, float64(c.peak)/1024, ratio)
	}
}
