// Command installer is the first process of a machine that installs itself, and of what it has installed: the same program, told apart by a word of
// the kernel's command line. It reads and reports by the metadata service alone.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/partition/gpt"
	"golang.org/x/sys/unix"

	"ingot/agent/network"
	"ingot/agent/system"
)

const (
	channel = "http://169.254.169.254/ganeti/latest/"
	disk    = "/dev/vda"
	mib     = 1 << 20
	noteAt  = 1 * mib // a partition of 1 MiB with what was told, and behind it the one that firmware boots
	espAt   = 2 * mib
)

var client = &http.Client{Timeout: 20 * time.Second}

func main() {
	if err := system.Mount(); err != nil {
		fmt.Println("INSTALLER mount:", err)
	}
	log := slog.New(slog.NewTextHandler(system.Consoles(), nil))
	if _, err := system.LoadModules(log, "/", "/etc/ingot/modules"); err != nil {
		log.Error("modules", "error", err)
	}
	if _, err := network.Up(context.Background(), log, nil); err != nil {
		log.Error("network", "error", err)
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		log.Error("command line", "error", err)
	}
	if strings.Contains(string(line), "lab.installed") {
		err = installed(log)
	} else {
		err = install(log)
	}
	if err != nil {
		log.Error("INSTALLER failed", "error", err)
		say(log, map[string]any{"stage": "failed", "percent": 0, "message": err.Error(), "final": true, "code": 1})
	}
	for {
		time.Sleep(time.Hour)
	}
}

// get asks until the service answers.
func get(log *slog.Logger, path string) (status int, body string) {
	for {
		res, err := client.Get(channel + path)
		if err == nil {
			b, readErr := io.ReadAll(io.LimitReader(res.Body, mib))
			res.Body.Close()
			if readErr == nil && res.StatusCode < 500 {
				return res.StatusCode, string(b)
			}
			err = fmt.Errorf("status %d: %w", res.StatusCode, readErr)
		}
		log.Info("the metadata service does not answer", "path", path, "error", err)
		time.Sleep(time.Second)
	}
}

func say(log *slog.Logger, what any) {
	b, ok := what.([]byte)
	if !ok {
		b, _ = json.Marshal(what)
	}
	for try := range 30 {
		res, err := client.Post(channel+"write", "application/octet-stream", bytes.NewReader(b))
		if err == nil {
			res.Body.Close()
			if res.StatusCode < 500 {
				log.Info("said", "what", string(b), "status", res.StatusCode)
				return
			}
		}
		log.Info("nobody hears", "try", try, "error", err)
		time.Sleep(time.Second)
	}
}

func install(log *slog.Logger) error {
	_, text := get(log, "os/parameters.json")
	var parameters map[string][2]string
	if err := json.Unmarshal([]byte(text), &parameters); err != nil {
		return fmt.Errorf("parameters %q: %w", text, err)
	}
	status, pkg := get(log, "os/package")
	say(log, map[string]any{"stage": "partition", "percent": 5, "message": "looking at " + disk})
	say(log, []byte("the installer runs, and was given "+parameters["pass"][0]+"\n"))
	if parameters["behave"][0] == "forever" {
		return nil // and says nothing more
	}
	d, err := diskfs.Open(disk)
	if err != nil {
		return err
	}
	esp, err := systemFrom(parameters["system"][0])
	if err != nil {
		return err
	}
	table := &gpt.Table{LogicalSectorSize: 512, PhysicalSectorSize: 512, ProtectiveMBR: true, Partitions: []*gpt.Partition{
		{Index: 1, Start: noteAt / 512, End: espAt/512 - 1, Size: espAt - noteAt, Type: gpt.LinuxFilesystem, Name: "note"},
		{Index: 2, Start: espAt / 512, End: (espAt+uint64(len(esp)))/512 - 1, Size: uint64(len(esp)), Type: gpt.EFISystemPartition, Name: "esp"},
	}}
	if err := d.Partition(table); err != nil {
		return fmt.Errorf("partition: %w", err)
	}
	if err := d.Close(); err != nil {
		return err
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("NOTE greeting=%s pass=%x package=%d %s\n", parameters["greeting"][0], sha256.Sum256([]byte(parameters["pass"][0])), status, pkg)
	if _, err := f.WriteAt([]byte(note), noteAt); err != nil {
		return err
	}
	for at := 0; at < len(esp); at += 8 * mib {
		if _, err := f.WriteAt(esp[at:min(at+8*mib, len(esp))], espAt+int64(at)); err != nil {
			return err
		}
		say(log, map[string]any{"stage": "write", "percent": at * 100 / len(esp)})
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	unix.Sync()
	say(log, map[string]any{"stage": "write", "percent": 100, "message": "all of it", "final": true, "code": 0})
	time.Sleep(2 * time.Second)
	return system.PowerOff()
}

// systemFrom is what is installed: what is at an address, if the installer is told one, and otherwise what is on its CD. An ISO that firmware
// fetched is in the firmware's memory, where this kernel does not look for it.
func systemFrom(address string) ([]byte, error) {
	if address == "" {
		return mounted("/mnt/esp.img")
	}
	res, err := (&http.Client{Timeout: 5 * time.Minute}).Get(address)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the system at %s: %s", address, res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, 256*mib))
}

// mounted reads a file of the CD.
func mounted(name string) ([]byte, error) {
	for try := 0; ; try++ {
		err := unix.Mount("/dev/sr0", "/mnt", "iso9660", unix.MS_RDONLY, "")
		if err == nil || try == 60 {
			if err != nil {
				return nil, fmt.Errorf("mount the CD: %w", err)
			}
			return os.ReadFile(name)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// installed is the system that runs from the disk ever after.
func installed(log *slog.Logger) error {
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	note := make([]byte, 4096)
	if _, err := f.ReadAt(note, noteAt); err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(note), "\n")
	status, greeting := get(log, "os/parameters/greeting")
	over, _ := get(log, "os/parameters/pass")
	fmt.Fprintf(system.Consoles(), "INSTALLED %s; greeting now %d %s; pass now %d; END\n", line, status, greeting, over)
	return nil
}
