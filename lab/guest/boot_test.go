package guest

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/lab/ports"
)

// labOnly skips what needs root and an emulated machine, and says so.
func labOnly(t *testing.T) {
	t.Helper()
	switch {
	case os.Getenv("INGOT_LAB_FULL") != "1":
		t.Skip("skipped: set INGOT_LAB_FULL=1 to build and boot a real image; the demo deploys and boots the same")
	case os.Geteuid() != 0:
		t.Skip("skipped: building an image needs root")
	}
	for _, tool := range []string{"qemu-system-x86_64", "xorriso"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %s is not installed", tool)
		}
	}
}

// TestImageBoots builds the image and boots it with Secure Boot on, 512 MiB of memory and a config drive,
// then logs in and looks around.
func TestImageBoots(t *testing.T) {
	labOnly(t)
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Minute) // a cold build and an emulated boot, on a host that is busy with both
	defer cancel()
	dir := t.TempDir()
	began := time.Now()
	img, err := Build(ctx, Options{Out: filepath.Join(dir, "image"), Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %.0f s", img, time.Since(began).Seconds())

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	sshPublic, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	drive := configDrive(t, dir, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshPublic))))
	address := boot(t, ctx, dir, img.Raw, drive)

	config := &ssh.ClientConfig{
		User: "debian", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, Timeout: 30 * time.Second,
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // made at first boot: nobody can know it
	}
	client, err := ssh.Dial("tcp", address, config)
	if err != nil {
		t.Fatalf("ssh: %v", err)
	}
	defer client.Close()
	for _, c := range []struct{ command, want string }{
		{"hostname", "guest-1"},
		{"ip -4 -o addr show dev enp0s2", "10.0.2.50/24"},
		{"ip route show default", "default via 10.0.2.2"},
		{"resolvectl dns", "10.0.2.3"},
		{"mokutil --sb-state", "SecureBoot enabled"},
		{"cat /run/ingot-user-data-ran", "yes"},
		{"sudo cat /sys/kernel/security/lockdown", "[integrity]"},
		{"cloud-init status --long", "datasourceconfigdrive"},
		{"cloud-init status", "status: done"},
		{"sudo systemctl is-system-running --wait; sudo systemctl --failed --no-legend", "running"},
		{"sudo journalctl -k -b | grep -c 'Out of memory' ; true", "0"},
		{"ls /etc/ssh/ssh_host_ed25519_key.pub", "ssh_host_ed25519_key.pub"},
		{"cat /etc/apt/sources.list.d/*", "without an archive of its own"},
		{"findmnt -no SOURCE,UUID /", img.Root},
	} {
		got, err := ask(client, c.command)
		t.Logf("%s\n%s", c.command, strings.TrimSpace(got))
		if err != nil && !strings.Contains(got, c.want) {
			t.Errorf("%s: %v", c.command, err)
			continue
		}
		if !strings.Contains(strings.ToLower(got), strings.ToLower(c.want)) {
			t.Errorf("%s: got %q, want %q in it", c.command, got, c.want)
		}
	}
	for _, c := range []string{"free -m", "df -h /", "systemd-analyze", "systemd-analyze blame | head -12"} {
		got, _ := ask(client, c)
		t.Logf("%s\n%s", c, got)
	}
}

func ask(client *ssh.Client, command string) (string, error) {
	s, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	out, err := s.CombinedOutput(command)
	return string(out), err
}

// configDrive makes the ISO that cloud-init looks for, by its label, on any block device.
func configDrive(t *testing.T, dir, key string) string {
	t.Helper()
	latest := filepath.Join(dir, "drive", "openstack", "latest")
	if err := os.MkdirAll(latest, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"meta_data.json": fmt.Sprintf(`{"uuid": "6a1f6f0e-2f7c-4b7e-9c57-2d0f4c3b7a11", "hostname": "guest-1", "name": "guest-1",
			"public_keys": {"default": %q}}`, key),
		"network_data.json": `{
			"links": [{"id": "l0", "type": "phy", "ethernet_mac_address": "52:54:00:12:34:56", "mtu": 1500}],
			"networks": [{"id": "n0", "type": "ipv4", "link": "l0", "ip_address": "10.0.2.50", "netmask": "255.255.255.0",
				"routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.2.2"}]}],
			"services": [{"type": "dns", "address": "10.0.2.3"}]}`,
		"user_data": "#cloud-config\nruncmd:\n  - [sh, -c, 'echo yes > /run/ingot-user-data-ran']\n",
	} {
		if err := os.WriteFile(filepath.Join(latest, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	iso := filepath.Join(dir, "config.iso")
	out, err := exec.Command("xorriso", "-as", "mkisofs", "-quiet", "-J", "-r", "-V", "config-2", "-o", iso, filepath.Join(dir, "drive")).CombinedOutput()
	if err != nil {
		t.Fatalf("xorriso: %v: %s", err, out)
	}
	return iso
}

// boot starts the machine, waits until cloud-init says on the serial console that it is done, and gives the
// host's address of the machine's sshd. The machine is stopped when the test ends.
func boot(t *testing.T, ctx context.Context, dir, disk, drive string) string {
	t.Helper()
	vars, err := os.ReadFile("/usr/share/OVMF/OVMF_VARS_4M.ms.fd") // package ovmf: Microsoft's keys enrolled
	if err != nil {
		t.Skipf("skipped: no firmware: %v", err)
	}
	nvram := filepath.Join(dir, "vars.fd")
	if err := os.WriteFile(nvram, vars, 0o600); err != nil {
		t.Fatal(err)
	}
	address, err := ports.Free("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35,smm=on", "-accel", "tcg,thread=multi", "-m", "512", "-smp", "2",
		"-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-device", "virtio-rng-pci",
		"-global", "driver=cfi.pflash01,property=secure,value=on",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.ms.fd",
		"-drive", "if=pflash,format=raw,unit=1,file="+nvram,
		"-netdev", "user,id=n0,hostfwd=tcp:"+address+"-10.0.2.50:22", "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56,addr=2",
		"-drive", "if=virtio,format=raw,file="+disk, "-drive", "if=virtio,format=raw,readonly=on,file="+drive)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	console := filepath.Join(t.ArtifactDir(), "console.log") // go test -artifacts keeps it
	keep, err := os.Create(console)
	if err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); <-ended; cmd.Wait() })
	go func() {
		defer close(ended)
		defer keep.Close()
		lines := bufio.NewScanner(out)
		lines.Buffer(make([]byte, 0, 64<<10), 1<<20)
		for found := false; lines.Scan(); {
			fmt.Fprintf(keep, "%6.1f %s\n", time.Since(began).Seconds(), lines.Text())
			if !found && strings.Contains(lines.Text(), "Cloud-init v.") && strings.Contains(lines.Text(), "finished at") {
				found = true
				close(done)
			}
		}
	}()
	select {
	case <-done:
		t.Logf("cloud-init finished %.0f s after power on", time.Since(began).Seconds())
	case <-ended:
		text, _ := os.ReadFile(console)
		t.Fatalf("the machine stopped before cloud-init finished; the end of its console:\n%s", text[max(0, len(text)-3000):])
	}
	return address
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
