package ramdisk

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/secret"
	"ingot/lab/ports"
)

const (
	rescueLimit    = 15 * time.Minute // a busy host; half a minute to the agent's first answer on an idle one
	rescuePassword = "correct horse battery staple"
	// rescueHash is its sha512-crypt.
	rescueHash = "$6$saltsalt$CPgxBHZBXfhC6lX1yxpdEsbQfXmg3WXVj8AoVwyNFLfb5AtbfM8k6A8yehv1z6sgzoH/DUIs7YK9hVnGhTjhW/"
)

// TestRescue builds the Debian ramdisk, boots it in a machine of 1 GiB with two disks, hands the machine over by the agent's
// API, and logs in: what is there, what listens, what became of the disks.
func TestRescue(t *testing.T) {
	if os.Getenv("INGOT_LAB") != "1" {
		t.Skip("installs a Debian and boots a machine in QEMU: set INGOT_LAB=1")
	}
	if os.Geteuid() != 0 {
		t.Skip("mmdebstrap is run as root here")
	}
	for _, need := range []string{"qemu-system-x86_64", "mmdebstrap", "apt-get"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("%s is not installed", need)
		}
	}
	dir := t.TempDir()
	out := buildRescue(t, dir)
	nothingOfTheBuilder(t, out)
	m := bootRescue(t, dir, out)
	m.refuses(t)
	key := m.finalize(t)
	m.inside(t, key)
}

// buildRescue makes the ramdisk with the agent of this tree. The packages are kept in the user's cache: they take minutes.
func buildRescue(t *testing.T, dir string) string {
	t.Helper()
	agent := filepath.Join(dir, "ingot-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", agent, "ingot/cmd/ingot-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, b)
	}
	work := os.Getenv("INGOT_RAMDISK_WORK")
	if work == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = "/var/cache"
		}
		work = filepath.Join(cache, "ingot", "ramdisk") // as the end-to-end tests have it
	}
	tool := filepath.Join(dir, "add")
	if err := os.MkdirAll(filepath.Join(tool, "usr/local/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tool, "usr/local/bin/our-tool"), []byte("#!/bin/sh\necho it works\n"))
	if err := os.Chmod(filepath.Join(tool, "usr/local/bin/our-tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	m, err := Build(t.Context(), Options{Kind: depot.KindDebian, Agent: agent, Out: out, Work: work, Add: []string{tool}, Say: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Packages {
		if p.Version == "" || len(p.SHA256) != 64 {
			t.Errorf("package %+v", p)
		}
	}
	f, _ := m.File(depot.InitramfsName)
	t.Logf("initramfs %d MB, %d MB in memory, %d packages", f.Size/1_000_000, m.UnpackedSize/1_000_000, len(m.Packages))
	if m.Kind != depot.KindDebian || m.UnpackedSize > 300_000_000 || f.Size > 150_000_000 {
		t.Errorf("kind %q, %d bytes in memory, %d packed: the guide says less", m.Kind, m.UnpackedSize, f.Size)
	}
	return out
}

// nothingOfTheBuilder unpacks the initramfs and looks for what is this host's.
func nothingOfTheBuilder(t *testing.T, out string) {
	t.Helper()
	tree := t.TempDir()
	cmd := exec.Command("sh", "-c", `zstd -dc "$0" | cpio -id --quiet --no-absolute-filenames`, filepath.Join(out, depot.InitramfsName))
	cmd.Dir = tree
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("unpack: %v\n%s", err, b)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := HostSources(AptDir, must(t, hostSuite, "/etc/os-release"))
	if err != nil {
		t.Fatal(err)
	}
	// The archives that the packages came from, in any file that is not one of a package's own.
	archives := regexp.MustCompile(`(?m)^uris: \w+://([^/\s]+)`).FindAllStringSubmatch(sources, -1)
	ours := [][]byte{[]byte("PRIVATE KEY")}
	if len(host) > 3 {
		ours = append(ours, []byte(host))
	}
	for _, a := range archives {
		ours = append(ours, []byte(a[1]))
	}
	err = filepath.WalkDir(tree, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(tree, p)
		if err != nil {
			return err
		}
		for _, not := range []string{"sources.list", "resolv.conf", "authorized_keys", "known_hosts", "ssh_host_", "boot.json", "_history", "random-seed", "hostnqn"} {
			if strings.HasPrefix(d.Name(), not) && !d.IsDir() && !strings.HasPrefix(name, "usr/") {
				t.Errorf("%s is in the ramdisk", name)
			}
		}
		if top, _, _ := strings.Cut(name, "/"); !d.Type().IsRegular() || top != "etc" && top != "var" && top != "root" && top != "home" && top != "ingot" ||
			strings.HasPrefix(name, "var/lib/dpkg/info/") {
			return nil
		}
		data, err := os.ReadFile(p)
		for _, not := range ours {
			if bytes.Contains(data, not) {
				t.Errorf("%s holds %q", name, not)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func must[A, B any](t *testing.T, f func(A) (B, error), a A) B {
	t.Helper()
	b, err := f(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rescued is a machine that runs the ramdisk.
type rescued struct {
	agent  *agentapi.Client
	ssh    string // address of its sshd, on this host
	api    string // of its agent's API
	serial string // file with what its console said
}

// bootRescue starts the machine with the boot's configuration as a second initramfs, as a boot from the network has it, and
// waits until its agent answers.
func bootRescue(t *testing.T, dir, out string) *rescued {
	t.Helper()
	pair := func(name string) agentapi.Pair {
		p, err := agentapi.NewPair(name, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	theirs, mine := pair("agent"), pair("commander")
	token := strings.Repeat("tok3n", 9)
	config, err := json.Marshal(agentapi.BootConfig{Version: 1, NodeUUID: "3f1c7e1e-rescue-test", AgentToken: token, Role: agentapi.RoleRescue, PollOnly: true,
		Certificate: theirs.Certificate, Key: theirs.Key.Expose(), Client: mine.Certificate, Time: time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		t.Fatal(err)
	}
	archive, err := depot.ConfigArchive(config)
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(dir, "initrd")
	// The kernel takes an archive that is not packed at a multiple of four bytes only; boot loaders see to it.
	packed := read(t, filepath.Join(out, depot.InitramfsName))
	packed = append(packed, make([]byte, -len(packed)&3)...)
	write(t, initrd, append(packed, archive...))
	m := &rescued{ssh: freePort(t), api: freePort(t), serial: filepath.Join(dir, "serial.log")}
	args := []string{"-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35", "-m", "1024", "-smp", "2", "-nodefaults", "-display", "none",
		"-no-reboot", "-serial", "file:" + m.serial, "-device", "virtio-rng-pci",
		"-kernel", filepath.Join(out, depot.KernelName), "-initrd", initrd, "-append", "console=ttyS0,115200 boot_method=initramfs no_timer_check",
		"-nic", "user,restrict=on,model=virtio-net-pci,hostfwd=tcp:" + m.api + "-:9999,hostfwd=tcp:" + m.ssh + "-:22"}
	for _, name := range []string{"a", "b"} {
		disk := filepath.Join(dir, name)
		write(t, disk, nil)
		if err := os.Truncate(disk, 96<<20); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=virtio,format=raw,cache=unsafe,file="+disk)
	}
	cmd := exec.Command("qemu-system-x86_64", args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(m.serial)
			t.Logf("serial console:\n%s%s", said[max(0, len(said)-12000):], complaints.String())
		}
		_ = cmd.Process.Kill()
		<-ended
	})
	own, err := mine.TLS()
	if err != nil {
		t.Fatal(err)
	}
	if m.agent, err = agentapi.NewPinnedClient("https://"+m.api, secret.New(token), agentapi.Pin{Agent: theirs.Certificate, Client: &own}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.agent.Close)
	ctx, cancel := context.WithTimeout(t.Context(), rescueLimit)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, err = m.agent.Commands(ctx); err == nil {
			t.Logf("the agent answers %s after power on", time.Since(began).Round(time.Second))
			return m
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("the machine ended: %v", err)
		case <-ctx.Done():
			t.Fatalf("the agent does not answer: %v", err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	a, err := ports.Free("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// refuses: before the machine is handed over nobody logs in, and of the agent's commands there are rescue's.
func (m *rescued) refuses(t *testing.T) {
	t.Helper()
	for _, name := range []string{"clean.get_clean_steps", "deploy.execute_deploy_step", "standby.run_image", "image.install_bootloader"} {
		r, err := m.agent.Run(t.Context(), name, map[string]any{"node": map[string]any{}, "ports": []any{}}, true)
		if err == nil && r.CommandStatus == agentapi.Succeeded {
			t.Errorf("%s was done in a rescue", name)
		}
	}
	if c, err := ssh.Dial("tcp", m.ssh, &ssh.ClientConfig{User: "rescue", HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second}); err == nil ||
		strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("sshd runs before the machine is handed over: %v %v", c, err)
	}
	if said := read(t, m.serial); bytes.Contains(said, []byte(" login:")) {
		t.Error("there is a login on the console")
	}
}

// finalize hands the machine over, with a password and a key.
func (m *rescued) finalize(t *testing.T) ssh.Signer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.agent.Run(t.Context(), agentapi.CommandRescue, agentapi.FinalizeRescue{RescuePassword: rescueHash, Hashed: true,
		SSHKeys: []string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))}}, true)
	if err != nil || r.CommandStatus != agentapi.Succeeded {
		t.Fatalf("finalize: %v %+v %+v", err, r, r.CommandError)
	}
	if _, err := m.agent.Commands(t.Context()); err != nil { // whoever has fetched the result lets the agent go
		t.Errorf("the result cannot be fetched: %v", err)
	}
	return signer
}

// login logs in as the user rescue.
func (m *rescued) login(how ssh.AuthMethod) (*ssh.Client, error) {
	return ssh.Dial("tcp", m.ssh, &ssh.ClientConfig{User: "rescue", Auth: []ssh.AuthMethod{how}, Timeout: 2 * time.Minute,
		HostKeyCallback: ssh.InsecureIgnoreHostKey()}) // made by this boot: nobody can know it
}

// inside looks around in the machine that was handed over.
func (m *rescued) inside(t *testing.T, key ssh.Signer) {
	t.Helper()
	if c, err := m.login(ssh.Password("another")); err == nil {
		c.Close()
		t.Error("a wrong password lets in")
	}
	byPassword, err := m.login(ssh.Password(rescuePassword))
	if err != nil {
		t.Fatalf("log in with the password: %v", err)
	}
	byPassword.Close()
	c, err := m.login(ssh.PublicKeys(key))
	if err != nil {
		t.Fatalf("log in with the key: %v", err)
	}
	defer c.Close()
	steps := []struct{ script, want, not string }{
		{"id -un; sudo id -un; hostname; our-tool", "rescue\nroot\nrescue\nit works\n", ""},
		{"ping -c 1 -W 3 127.0.0.1", "1 received", ""},
		{"sudo awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow", "^rescue\n$", ""},
		{"cat /proc/mdstat 2>/dev/null; ls /dev/mapper; sed 1d /proc/swaps; findmnt -rno TARGET -t ext4,xfs,btrfs,vfat,iso9660", "", "active|vg|/mnt|/dev/"},
		{"free -m", "Mem:", ""},
		{"systemctl --failed --no-legend", "^\\s*$", ""},
		// A system on a volume on an array, with /boot beside it.
		{prepareDisks, "prepared", ""},
		{"sudo sh -c 'udevadm trigger --action=add --subsystem-match=block; udevadm settle'; cat /proc/mdstat; ls /dev/mapper", "", "active|vg-root"},
		{"sudo sh -c 'sha256sum /dev/vda /dev/vdb' >before; rescue-disks", "sudo rescue-disks", "Disks:"},
		{"sudo rescue-disks", `raid1[\s\S]*vg-root[\s\S]*\(read-only\)[\s\S]*Installed systems:\n  /dev/mapper/vg-root: Old Linux 1\n`, ""},
		{"sudo rescue-disks mount", `/mnt: Old Linux 1 from /dev/mapper/vg-root, read-only\n/mnt/home: left out: "server:/x" is no disk of this machine\n/mnt/boot: /dev/vda2, read-only\n/mnt/boot/efi: left out`, ""},
		{"cat /mnt/boot/kernel; sudo touch /mnt/x; sudo touch /mnt/boot/x; findmnt -no OPTIONS /mnt", "a kernel\n[\\s\\S]*Read-only[\\s\\S]*Read-only[\\s\\S]*(noload|norecovery)", ""},
		{"sudo rescue-disks mount", "in use", "RAID:"},
		{"sudo rescue-disks umount; sudo sh -c 'sha256sum /dev/vda /dev/vdb' >after; cmp before after && echo untouched", "untouched", ""},
		{"sudo rescue-disks mount --rw && echo repaired | sudo tee /mnt/etc/repaired && sudo rescue-disks umount", "for writing[\\s\\S]*repaired", ""},
		{"sudo rescue-disks mount /dev/mapper/vg-root && cat /mnt/etc/repaired && sudo rescue-disks umount", "repaired\n", ""},
	}
	for _, s := range steps {
		m.ask(t, c, s.script, s.want, s.not)
	}
	// The agent lingers until its answer was fetched; then it listens no more.
	end := time.Now().Add(3 * time.Minute)
	for !m.alone(t, c) && time.Now().Before(end) && t.Context().Err() == nil {
		m.ask(t, c, "sleep 2", "", "")
	}
	m.ask(t, c, "ss -Htulpn 2>/dev/null; sudo ss -Htulpn", `:22 `, `:(9999|53|67|68|111|5353|5355) `)
	if said := string(read(t, m.serial)); !strings.Contains(said, "SHA256:") || strings.Contains(said, "$6$") {
		t.Error("the console shows no host keys, or the hash")
	}
	m.ask(t, c, "sudo journalctl -b | grep -c -F '$6$'; sudo grep -rlF tok3ntok3n /ingot /run /etc /var/log 2>/dev/null | grep -v ^/run/log/journal; true", "^0\n$", "")
}

// alone tells whether every listener is sshd.
func (m *rescued) alone(t *testing.T, c *ssh.Client) bool {
	t.Helper()
	for line := range strings.Lines(m.ask(t, c, "sudo ss -Htulpn", "", "")) {
		if !strings.Contains(line, `"sshd"`) {
			return false
		}
	}
	return true
}

// ask runs a script and compares what it said.
func (m *rescued) ask(t *testing.T, c *ssh.Client, script, want, not string) string {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.CombinedOutput(script)
	said := string(b)
	var exit *ssh.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v\n%s", script, err, said)
	}
	t.Logf("%.200s\n%s", script, said)
	if !regexp.MustCompile(want).MatchString(said) {
		t.Errorf("%s: it said %q, want %q (%v)", script, said, want, err)
	}
	if not != "" && regexp.MustCompile(not).MatchString(said) {
		t.Errorf("%s: it said %q", script, said)
	}
	return said
}

// prepareDisks is a script that installs next to nothing: an array of two disks, a volume on it, a root with an fstab.
var prepareDisks = fmt.Sprintf(`set -e; sudo -i sh -eux <<'END' 2>&1
for d in /dev/vda /dev/vdb; do printf 'size=60M\nsize=16M\n' | sfdisk -q $d; done; udevadm settle
mdadm -q --create /dev/md/old --run --metadata=1.2 --level=1 --raid-devices=2 /dev/vda1 /dev/vdb1
mdadm --wait /dev/md/old || true
pvcreate -q /dev/md/old; vgcreate -q vg /dev/md/old; lvcreate -q -y -n root -L 32M vg
mkfs.ext4 -q /dev/vg/root; mkfs.ext4 -q -L boot /dev/vda2
mount /dev/vg/root /mnt; mkdir -p /mnt/etc /mnt/boot
mount /dev/vda2 /mnt/boot; mkdir /mnt/boot/efi; echo a kernel >/mnt/boot/kernel
echo 'PRETTY_NAME="%s"' >/mnt/etc/os-release
printf '/dev/vg/root / ext4 defaults 0 1\nLABEL=boot /boot ext4 defaults 0 2\nUUID=AB-CD /boot/efi vfat defaults 0 2\nserver:/x /home nfs defaults 0 0\n' >/mnt/etc/fstab
umount -R /mnt; vgchange -q -an vg; mdadm -q --stop /dev/md/old
echo prepared
END`, "Old Linux 1")
