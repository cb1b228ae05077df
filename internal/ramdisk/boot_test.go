package ramdisk

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat16"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
)

// Where Debian's ovmf package keeps firmware with Microsoft's keys enrolled.
const (
	firmware = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	keys     = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
)

// TestBootsUnderSecureBoot builds a ramdisk from Debian's packages with a probe as its agent, boots its
// ISO as a CD in QEMU, with a hostile disk beside it, and reads what the probe found.
func TestBootsUnderSecureBoot(t *testing.T) {
	if os.Getenv("INGOT_LAB") != "1" {
		t.Skip("boots a machine in QEMU and fetches packages: set INGOT_LAB=1")
	}
	for _, need := range []string{"qemu-system-x86_64", "apt-get", "dpkg-deb", firmware, keys} {
		if _, err := exec.LookPath(need); err != nil && !strings.HasPrefix(need, "/") {
			t.Skipf("%s is not installed", need)
		} else if _, err := os.Stat(need); err != nil && strings.HasPrefix(need, "/") {
			t.Skipf("%s is not there: install ovmf", need)
		}
	}
	dir := t.TempDir()
	o := Options{Agent: buildProbe(t, dir), Out: filepath.Join(dir, "out"), Work: os.Getenv("INGOT_RAMDISK_WORK"),
		Say: func(line string) { t.Log(line) }}
	m, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if f, _ := m.File(depot.InitramfsName); f.Size > maxInitramfs || len(m.MissingModules) > 0 {
		t.Errorf("initramfs of %d bytes, missing modules %v", f.Size, m.MissingModules)
	}
	iso := filepath.Join(dir, "one.iso")
	overlayTo(t, o.Out, iso)
	disk := filepath.Join(dir, "disk")
	hostileDisk(t, disk)
	begin := time.Now()
	serial := bootCD(t, dir, iso, disk)
	t.Logf("%s from power-on to power-off", time.Since(begin).Round(100*time.Millisecond))
	for line := range strings.Lines(serial) {
		if strings.HasPrefix(line, "probe: ") {
			t.Log(strings.TrimSpace(line))
		}
	}
	for _, want := range []string{
		`node=3f1c7e1e-boot-test err=<nil>`,
		`network=\{"links":\[\],"networks":\[\],"services":\[\]\} err=<nil>`,
		`cmdline=BOOT_IMAGE=/boot/vmlinuz ` + regexp.QuoteMeta(depot.BaseKernelParams+" "+kernelParams) + `\s`,
		`secureboot=true err=<nil>`,
		`lockdown=none \[integrity\] confidentiality`,
		`interfaces=.*\beth0\b`,
		`disks=.*\bvda\b`,
		`modules loaded=1[0-9][0-9] `,
	} {
		if !regexp.MustCompile("probe: " + want).MatchString(serial) {
			t.Errorf("the machine did not say %q", want)
		}
	}
	for _, unwanted := range []string{"bond0", "HOSTILE", "Loading of unsigned module", "Unknown symbol"} {
		if strings.Contains(serial, unwanted) {
			t.Errorf("the machine said %q", unwanted)
		}
	}
	if t.Failed() {
		t.Logf("serial console:\n%s", serial)
	}
}

// buildProbe compiles testdata/init as a static program.
func buildProbe(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(dir, "probe")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, b)
	}
	return out
}

// kernelParams of the test: on a busy host an emulated timer is late, and the kernel takes it for a broken
// one and panics ("IO-APIC + timer doesn't work"). It skips that check by itself only under KVM.
const kernelParams = "no_timer_check ingot.test=yes"

// overlayTo writes the ISO of one boot to a file.
func overlayTo(t *testing.T, dir, path string) {
	t.Helper()
	template, err := depot.OpenBootISO(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer template.Close()
	r, _, err := template.Overlay(agentapi.BootConfig{Version: 1, NodeUUID: "3f1c7e1e-boot-test"}, kernelParams)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, b)
}

// hostileDisk is what a former tenant may leave: a disk with our label and everything a CD's GRUB could
// search for.
func hostileDisk(t *testing.T, path string) {
	t.Helper()
	const size = 16 << 20
	write(t, path, make([]byte, size))
	back, err := file.OpenFromPath(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	fs, err := fat16.Create(back, size, 0, 512, "CONFIG-2", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/.disk", "/boot", "/boot/grub", "/ingot"} {
		if err := fs.Mkdir(dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"/.disk/info": "HOSTILE\n", "/ingot/boot.json": `{"node_uuid":"HOSTILE"}`,
		"/boot/grub/grub.cfg": "echo HOSTILE\nhalt\n"} {
		f, err := fs.OpenFile(name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// bootCD runs a machine of 512 MiB with Secure Boot on until it switches itself off, and gives what its
// serial console said.
func bootCD(t *testing.T, dir, iso, disk string) string {
	t.Helper()
	vars, serial := filepath.Join(dir, "vars.fd"), filepath.Join(dir, "serial.log")
	if err := copyFile(vars, keys); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // 20 s on an idle machine without KVM
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,smm=on", "-m", "512",
		"-global", "driver=cfi.pflash01,property=secure,value=on", "-nodefaults", "-display", "none", "-vga", "std",
		"-no-reboot", "-serial", "file:"+serial,
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+firmware,
		"-drive", "if=pflash,format=raw,unit=1,file="+vars,
		"-drive", "if=none,id=cd,media=cdrom,readonly=on,format=raw,file="+iso, "-device", "ide-cd,drive=cd,bus=ide.0,bootindex=0",
		"-drive", "if=none,id=disk,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=disk",
		"-nic", "user,model=virtio-net-pci,restrict=on")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	err := cmd.Run()
	said, readErr := os.ReadFile(serial)
	if err != nil || readErr != nil {
		t.Fatalf("the machine: %v %v\n%s\nserial console:\n%s", err, readErr, complaints.String(), said)
	}
	return string(said)
}
