package ramdisk

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

// maxInitramfs is the limit of issue 2, in bytes: a ramdisk that grows past it would no longer boot on
// small machines or load in bearable time over a BMC's virtual CD.
const maxInitramfs = 40_000_000

// emptyDirs are where the agent mounts kernel file systems, and media.
var emptyDirs = []string{"proc", "sys", "run", "tmp", "mnt"}

// fill puts everything into the archive that the agent finds at start.
func fill(a *archive, agent string, certificates []byte, tree *moduleTree, s selection) error {
	if err := checkStatic(agent); err != nil {
		return err
	}
	for _, dir := range emptyDirs {
		a.add(entry{name: dir, mode: modeDir})
	}
	// The kernel gives /init its console before anything could mount /dev (source: kernel, init/main.c).
	a.add(entry{name: "dev/console", mode: modeChar, major: 5, minor: 1})
	a.add(entry{name: "dev/null", mode: modeChar | 0o066, major: 1, minor: 3})
	a.add(entry{name: "init", mode: modeExec, source: agent})
	a.add(entry{name: "etc/ssl/certs/ca-certificates.crt", mode: modeFile, data: certificates})
	a.add(entry{name: "etc/ingot/release", mode: modeFile, data: []byte(tree.release + "\n")})
	var list bytes.Buffer
	for _, name := range s.load {
		file := path.Join("lib/modules", tree.release, tree.files[name])
		a.add(entry{name: file, mode: modeFile, source: path.Join(tree.dir, tree.files[name])})
		fmt.Fprintln(&list, strings.TrimSpace("/"+file+" "+params[name]))
	}
	a.add(entry{name: "etc/ingot/modules", mode: modeFile, data: list.Bytes()})
	return nil
}

// checkStatic refuses an agent that would need libraries: the kernel would panic with "no working init".
func checkStatic(agent string) error {
	f, err := elf.Open(agent)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The agent %s is not a Linux program: give the one to use with --agent.", agent)
	}
	defer f.Close() // read-only: nothing is lost
	if f.Machine != elf.EM_X86_64 {
		return fault.New(fault.Invalid, "The agent %s is for %s; the ramdisk is for x86-64.", agent, f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fault.New(fault.Invalid, "The agent %s is not static: build it with CGO_ENABLED=0.", agent)
		}
	}
	return nil
}

// pack compresses an archive into a file of at most limit bytes; it returns the unpacked size in bytes.
func pack(a *archive, out string, limit int64) (int64, error) {
	f, err := os.Create(out)
	if err != nil {
		return 0, err
	}
	defer f.Close() // the Close that counts is below
	// One goroutine, because the blocks of several depend on the machine. The kernel unpacks any window
	// of zstd up to 128 MiB (source: kernel, lib/decompress_unzstd.c). The best level takes five times as
	// long and saves a tenth.
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	unpacked, err := a.write(z)
	if err != nil {
		return 0, err
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	if err := pad(f); err != nil {
		return 0, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if size > limit {
		return 0, fault.New(fault.TooLarge, "The initramfs is %d bytes, more than the %d that are possible.", size, limit)
	}
	return unpacked, f.Close()
}

// pad fills a file with zeros to a multiple of four bytes: what a boot loader puts behind it, the kernel looks for there only,
// and iPXE under UEFI adds none (source: kernel, init/initramfs.c).
func pad(f *os.File) error {
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, (4-at%4)%4))
	return err
}
