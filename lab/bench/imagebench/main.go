// Command imagebench measures how fast the agent writes an image to a disk, beside dd and qemu-img convert
// on the same image in the same run, and the peak memory of each.
//
//	imagebench [-size MiB] [-image FILE] [-rounds N] [-dir DIR]
//
// The image is generated, a third random, a third compressible, a third holes, unless a raw one is given. It is
// written from raw, from raw in zstd, and from qcow2: plain, zlib and zstd. The tools read it as a file; the agent's
// code fetches it over HTTP from this program and hashes it besides. Every run ends flushed to the disk, and runs in
// a process of its own. The disk is a loop device, or a file where there is none or the caller is not root. It prints
// a table of medians, each with its ratio to the tool that does the same, and exits 0 unless the agent fails.
// "make bench" calls it; nothing else does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ingot/agent/disk"
	"ingot/internal/agentapi"
)

const mib = 1 << 20

func main() {
	size := flag.Int64("size", 1024, "size of the image in MiB")
	given := flag.String("image", "", "a raw image to use instead of a generated one")
	rounds := flag.Int("rounds", 3, "how often each tool runs")
	dir := flag.String("dir", os.TempDir(), "where image and disks are put; needs 5 times the size")
	child := flag.String("child", "", "write this URL (internal)")
	sum := flag.String("sum", "", "its SHA-256 (internal)")
	flag.Parse()
	var err error
	if *child != "" {
		err = write(*child, *sum, *dir)
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // the loop device must go
		err = run(ctx, *size*mib, *given, *rounds, *dir)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "imagebench:", err)
		os.Exit(1)
	}
}

// write is the child: the agent's code and nothing else. device exists and has its size.
func write(url, sum, device string) error {
	debug.SetMemoryLimit(192 << 20) // as the agent's program has it
	_, err := disk.WriteImage(context.Background(), disk.Request{Device: device,
		Image: agentapi.ImageInfo{ID: "bench", URLs: []string{url}, HashAlgo: "sha256", HashValue: sum}})
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
	against *contender // that does the same; nil for none
	flushes bool       // the flush is not the tool's own, but counted
	rates   []float64  // MiB/s
	cpu     []float64  // seconds of processor time, which other work on the host changes least
	peak    int        // KiB
}

func run(ctx context.Context, size int64, given string, rounds int, parent string) error {
	dir, err := os.MkdirTemp(parent, "imagebench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if given != "" {
		info, err := os.Stat(given)
		if err != nil {
			return err
		}
		size = info.Size()
	}
	forms, err := prepare(dir, given, size)
	if err != nil {
		return err
	}
	base, stop, err := serve(dir)
	if err != nil {
		return err
	}
	defer stop()
	target, detach, err := openTarget(filepath.Join(dir, "disk"), size+mib)
	if err != nil {
		return err
	}
	defer detach()
	contenders, err := line(forms, base, target.path)
	if err != nil {
		return err
	}
	for range rounds {
		for _, c := range contenders {
			if err := c.once(ctx, target, size); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	print(contenders, size, target.what)
	return nil
}

// line puts the contenders in a row, each behind the one it is compared with.
func line(forms []form, base, target string) ([]*contender, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out []*contender
	add := func(name string, against *contender, flushes bool, command ...string) *contender {
		if _, err := exec.LookPath(command[0]); err != nil {
			fmt.Printf("%s is not installed and is left out\n", command[0])
			return nil
		}
		out = append(out, &contender{name: name, command: command, against: against, flushes: flushes})
		return out[len(out)-1]
	}
	var dd *contender
	for _, f := range forms {
		var tool *contender
		switch f.format {
		case "raw":
			dd = add("dd bs=1M conv=fsync", nil, false, "dd", "if="+f.path, "of="+target, "bs=1M", "conv=fsync,notrunc", "status=none")
			tool = dd
			add("qemu-img convert, "+f.name, dd, true, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", f.path, target)
		case "qcow2":
			tool = add("qemu-img convert, "+f.name, nil, true, "qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", f.path, target)
		default:
			tool = dd
		}
		add("ingot-agent, "+f.name, tool, false, self, "-child", base+"/"+filepath.Base(f.path), "-sum", f.sum, "-dir", target)
	}
	return out, nil
}

// once runs the command on a disk without data, a MiB larger than the image.
func (c *contender) once(ctx context.Context, t target, size int64) error {
	if err := t.empty(); err != nil {
		return err
	}
	exec.Command("sync").Run() // what earlier runs left is not this one's work
	var out strings.Builder
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
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
	if err := flush(t.path); err != nil {
		return err
	}
	if c.flushes {
		took = time.Since(began)
	}
	if told, err := strconv.Atoi(strings.TrimSpace(out.String())); err == nil {
		peak = told
	}
	c.rates = append(c.rates, float64(size)/mib/took.Seconds())
	c.cpu = append(c.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
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

func (c *contender) rate() float64 { return median(c.rates) }

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func print(contenders []*contender, size int64, what string) {
	fmt.Printf("image of %d MiB on %s; medians, flush included\n", size/mib, what)
	fmt.Printf("%-32s %8s %8s %10s   %s\n", "tool, image", "MiB/s", "CPU s", "peak MiB", "ratio of MiB/s")
	for _, c := range contenders {
		ratio := ""
		if c.against != nil {
			ratio = fmt.Sprintf("%.2f of %s", c.rate()/c.against.rate(), c.against.name)
		}
		fmt.Printf("%-32s %8.0f %8.2f %10.1f   %s\n", c.name, c.rate(), median(c.cpu), float64(c.peak)/1024, ratio)
	}
}
