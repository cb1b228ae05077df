package lab

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/lab/bmc"
)

// TestGuestSeesSecureBoot boots a boot loader that nobody signed, with Secure Boot on, off, without keys, and on again.
// What the firmware says on the serial line tells whether it was refused.
func TestGuestSeesSecureBoot(t *testing.T) {
	if os.Getenv("INGOT_LAB") == "" {
		t.Skip("INGOT_LAB=1 runs it: it boots QEMU four times")
	}
	const unsigned = "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"
	for _, f := range []string{unsigned, codeSecure, varsSecure} {
		if _, err := os.Stat(f); err != nil {
			t.Skipf("%s is not installed", f)
		}
	}
	c := Defaults()
	c.Dir = t.TempDir()
	s := spec{Name: "m1", Dir: filepath.Join(c.Dir, "m1"), UUID: "3f0c3a55-8f3e-4d63-9f5c-1d0f4a7c2b11", Serial: "SB0001",
		MACs: []string{"52:54:00:fa:4e:01"}, Address: netip.MustParseAddr("198.18.77.11")}
	if err := s.prepare(&c); err != nil {
		t.Fatal(err)
	}
	iso := unsignedISO(t, unsigned)
	m := &machine{spec: s, config: &c, log: slog.New(slog.DiscardHandler)}
	for i, row := range []struct{ on, keys bool }{{true, true}, {false, true}, {false, false}, {true, true}} {
		if err := os.Truncate(s.console(), 0); err != nil {
			t.Fatal(err)
		}
		err := m.PowerOn(t.Context(), func() bmc.Boot { return bmc.Boot{First: "Cd", Media: iso, SecureBoot: row.on, Keys: row.keys} })
		if err != nil {
			t.Fatal(err)
		}
		refused := verdict(t, m)
		if refused != (row.on && row.keys) {
			t.Errorf("boot %d, Secure Boot %v, keys %v: refused %v\n%s", i, row.on, row.keys, refused, m.Console())
		}
		if err := m.PowerOff(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	n, err := os.ReadFile(s.file("vars.fd"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := readNVRAM(n)
	if err != nil {
		t.Fatalf("what the firmware wrote cannot be read: %v", err)
	}
	if order, ok := v.get(guidGlobal, "BootOrder"); !ok || len(order) < 2 {
		t.Errorf("the boot order is gone: %v", order)
	}
}

// verdict waits for the firmware's: a boot loader that was refused, or one that speaks.
func verdict(t *testing.T, m *machine) (refused bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		text := string(m.Console())
		switch {
		case strings.Contains(text, "Access Denied"), strings.Contains(text, "Security Violation"):
			return true
		case strings.Contains(text, "GNU GRUB"), strings.Contains(text, "grub>"):
			return false
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("the firmware says nothing of its boot loader:\n%s", text)
		}
	}
}

// unsignedISO puts a boot loader where UEFI looks for one on a CD.
func unsignedISO(t *testing.T, loader string) string {
	t.Helper()
	dir := t.TempDir()
	fat, iso := filepath.Join(dir, "efi.img"), filepath.Join(dir, "cd.iso")
	if err := os.WriteFile(fat, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mformat", "-i", fat, "::"}, {"mmd", "-i", fat, "::/EFI", "::/EFI/BOOT"}, {"mcopy", "-i", fat, loader, "::/EFI/BOOT/BOOTX64.EFI"},
		{"xorriso", "-as", "mkisofs", "-quiet", "-o", iso, "-e", "efi.img", "-no-emul-boot", dir},
	} {
		if _, err := exec.LookPath(args[0]); err != nil {
			t.Skipf("%s is not installed", args[0])
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return iso
}
