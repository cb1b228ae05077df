package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ingot/agent/confine/confinetest"
	"ingot/internal/depot"
	"ingot/internal/ramdisk"
)

// TestREQ14InTheRamdisk boots the Debian ramdisk with a program in the agent's place that runs a stranger's scripts as the agent does:
// all of confinetest's attacks, what an honest script needs, and what uses up memory, processes, files and time.
func TestREQ14InTheRamdisk(t *testing.T) {
	labOnly(t)
	dir := t.TempDir()
	add := filepath.Join(dir, "add")
	static(t, "./testdata/confined", filepath.Join(dir, "probe"))
	static(t, "ingot/agent/confine/testdata/attacks", filepath.Join(add, "usr/local/lib/attacks/attacks"))
	out := filepath.Join(dir, "out")
	makeRamdisk(t, ramdisk.Options{Kind: depot.KindDebian, Agent: filepath.Join(dir, "probe"), Out: out, Add: []string{add}})
	said := boots(t, dir, out)
	for line := range strings.Lines(said) {
		if _, probe, found := strings.Cut(line, "probe: "); found {
			t.Log(strings.TrimSpace(probe))
		}
	}
	for _, wrong := range confinetest.Judge(part(said, "confined"), false) {
		t.Error("confined: ", wrong)
	}
	for _, wrong := range confinetest.Judge(part(said, "trusted"), true) {
		t.Error("trusted: ", wrong)
	}
	const dead = `left of it: 0 processes`
	for _, want := range []string{
		`check err=<nil>`,
		`confined code=0 err=<nil>`,
		`trusted code=0 err=<nil>`,
		`trusted\| attack device: BMC: ok`, // the machine has one, and the ramdisk knows it
		`partition\| file system made`,
		`partitions\| installed`, `partitions\| .*User: +1000 `, `partitions\| written`, `partitions\| ::/kernel`,
		`forks\| .*Cannot fork`, `forks code=-1 err=its time is over`, `forks took .*` + dead,
		`daemons code=-1 err=its time is over`, `daemons took .*` + dead,
		`memory code=-1 err=The script was killed: it used more than`, `memory took .*` + dead,
		`fill\| /tmp is full`, `fill code=0 err=<nil>`, `fill took .*` + dead,
		`files\| no more than`, `files took .*` + dead,
		`everything code=-1 err=`, `everything took .*` + dead,
		`talk code=-1 err=its time is over`, `talk took .*` + dead,
		`done`,
	} {
		if !regexp.MustCompile("probe: " + want).MatchString(said) {
			t.Errorf("the machine did not say %q", want)
		}
	}
	if strings.Contains(said, "Kernel panic") || strings.Contains(said, "memory|survived") {
		t.Error("the machine did not live through it")
	}
	if t.Failed() {
		t.Logf("serial console:\n%s", said[max(0, len(said)-8000):])
	}
}

// part is what one script said.
func part(said, name string) string {
	var b strings.Builder
	for line := range strings.Lines(said) {
		if _, text, found := strings.Cut(line, "probe: "+name+"| "); found {
			b.WriteString(text)
		}
	}
	return b.String()
}

// static builds a program that needs no libraries.
func static(t *testing.T, what, out string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, what)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", what, err, b)
	}
}

// boots runs a machine of 1 GiB with two disks and a BMC until it switches itself off, and gives what its console said.
func boots(t *testing.T, dir, out string) string {
	t.Helper()
	serial := filepath.Join(dir, "serial.log")
	args := []string{"-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35", "-m", "1024", "-smp", "2", "-nodefaults", "-display", "none",
		"-no-reboot", "-serial", "file:" + serial, "-device", "virtio-rng-pci", "-device", "ipmi-bmc-sim,id=bmc", "-device", "isa-ipmi-kcs,bmc=bmc",
		"-kernel", filepath.Join(out, depot.KernelName), "-initrd", filepath.Join(out, depot.InitramfsName),
		"-append", "console=ttyS0,115200 no_timer_check", "-nic", "user,restrict=on,model=virtio-net-pci"}
	for _, name := range []string{"a", "b"} {
		disk := filepath.Join(dir, name)
		if err := os.WriteFile(disk, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(disk, 256<<20); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=virtio,format=raw,cache=unsafe,file="+disk)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute) // a busy host; five on an idle one
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	err := cmd.Run()
	said, readErr := os.ReadFile(serial)
	if err != nil || readErr != nil {
		t.Fatalf("the machine: %v %v\n%s\nserial console:\n%s", err, readErr, complaints.String(), said)
	}
	return string(said)
}
