package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"ingot/internal/fault"
	"ingot/lab/bmc"
)

const (
	qemuProgram    = "qemu-system-x86_64"
	consoleLimit   = 16 << 20 // bytes; a longer log is started anew at the next power-on
	firmwareHint   = "apt-get install qemu-system-x86 ovmf ipxe-qemu"
	virtioSerialUp = 20 // bytes of a virtio-blk serial (virtio 1.2, 5.2.6.1)
)

// checkHost finds what this host lacks for a lab.
func checkHost(c *Config) error {
	if os.Geteuid() != 0 {
		return fault.New(fault.Forbidden, "The lab needs root: it makes a network namespace and tap devices. Run it with sudo.")
	}
	if _, err := exec.LookPath(qemuProgram); err != nil {
		return fault.Wrap(fault.Unavailable, err, "%s is not installed: %s", qemuProgram, firmwareHint)
	}
	code, vars := c.firmware()
	files := []string{code, vars}
	if c.Firmware == BIOS {
		files = append(files, nicROM)
	}
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return fault.Wrap(fault.Unavailable, err, "The firmware %s is not installed: %s", f, firmwareHint)
		}
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fault.Wrap(fault.Unavailable, err, "/dev/net/tun is missing: the kernel module tun is needed.")
	}
	return nil
}

// prepare makes a machine's folder anew: a blank disk, fresh firmware variables, an empty console.
func (s spec) prepare(c *Config) error {
	if err := os.RemoveAll(s.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	_, vars := c.firmware()
	fresh, err := os.ReadFile(vars)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.file("vars.fd"), fresh, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.console(), nil, 0o600); err != nil {
		return err
	}
	for _, path := range append([]string{s.disk()}, s.more(c)...) {
		if err := blank(path, c.DiskGiB); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(s.networkData(c), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.networkFile(), append(data, '\n'), 0o644)
}

// networkData offers the machine's address on the first network, in the form of Nova's network_data.json.
func (s spec) networkData(c *Config) map[string]any {
	return map[string]any{
		"links": []any{map[string]any{"id": "nic1", "type": "phy", "ethernet_mac_address": s.MACs[0], "mtu": 1500}},
		"networks": []any{map[string]any{"id": "network1", "network_id": c.bridge(1), "type": "ipv4", "link": "nic1",
			"ip_address": s.Address.String(), "netmask": "255.255.255.0",
			"routes": []any{map[string]any{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": c.address(1).String()}}}},
		"services": []any{},
	}
}

// qemuArgs is the command line of one boot. File descriptor 3 is the control connection.
func (s spec) qemuArgs(c *Config, boot bmc.Boot) []string {
	index := bootIndexes(boot.First)
	a := []string{
		"-name", c.Name + "-" + s.Name, "-nodefaults", "-no-user-config", "-display", "none",
		// All that TCG can emulate: hashing an image is several times faster with AVX2 than without.
		"-accel", "tcg,thread=multi", "-cpu", "max", "-m", strconv.Itoa(c.MemoryMiB), "-smp", strconv.Itoa(c.CPUs),
		"-uuid", s.UUID, "-smbios", fmt.Sprintf("type=1,manufacturer=Ingot,product=Lab Machine,serial=%s,uuid=%s", s.Serial, s.UUID),
		"-action", "reboot=shutdown", // a reset ends the process: the next boot is made by its own rules
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control",
		"-chardev", "socket,id=serial,path=console.sock,server=on,wait=off,logfile=console.log,logappend=on",
		"-serial", "chardev:serial",
		"-device", "virtio-rng-pci",
	}
	a = append(a, firmwareArgs(c, boot)...)
	a = append(a, diskArgs("disk", s.disk(), s.diskSerial(1), index["disk"])...)
	for i, path := range s.more(c) {
		a = append(a, diskArgs(fmt.Sprintf("disk%d", i+2), path, s.diskSerial(i+2), "")...)
	}
	cd := "ide-cd,id=cd,bus=ide.0"
	if boot.Media != "" {
		a = append(a, "-blockdev", blockdev(map[string]any{"driver": "raw", "node-name": "media", "read-only": true,
			"file": map[string]any{"driver": "file", "filename": boot.Media}}))
		cd += ",drive=media"
	}
	a = append(a, "-device", cd+index["cd"])
	for i, tap := range s.Taps {
		nic := fmt.Sprintf("virtio-net-pci,netdev=net%d,mac=%s%s", i+1, s.MACs[i], bootROM(boot, i))
		if i == 0 {
			nic += index["nic"]
		}
		a = append(a, "-netdev", fmt.Sprintf("tap,id=net%d,ifname=%s,script=no,downscript=no,vhost=off", i+1, tap), "-device", nic)
	}
	return a
}

// blank makes a disk that nobody has written to.
func blank(path string, gib int) error {
	disk, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := disk.Truncate(int64(gib) << 30); err != nil {
		disk.Close()
		return fmt.Errorf("make a disk of %d GiB: %w", gib, err)
	}
	return disk.Close()
}

// diskArgs are a disk's; index is where it is among what the firmware boots.
func diskArgs(id, path, serial, index string) []string {
	// The host's page cache outlives the machine, which is all that its power cuts may take; so the guest's
	// flushes need not wait for the host's disk.
	return []string{"-blockdev", blockdev(map[string]any{"driver": "raw", "node-name": id, "discard": "unmap", "detect-zeroes": "unmap",
		"cache": map[string]any{"no-flush": true},
		"file": map[string]any{"driver": "file", "filename": path, "discard": "unmap",
			"cache": map[string]any{"no-flush": true}}}),
		"-device", "virtio-blk-pci,drive=" + id + ",discard=on,write-zeroes=on,serial=" + serial + index}
}

// blockdev renders a block device as JSON: a path in it may hold commas.
func blockdev(v map[string]any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and booleans only
	}
	return string(b)
}

func (s spec) diskSerial(n int) string {
	id := fmt.Sprintf("%sD%d", s.Serial, n)
	return id[:min(len(id), virtioSerialUp)]
}

// process is one QEMU, which is one boot.
type process struct {
	cmd    *exec.Cmd
	qmp    *qmp
	exited chan struct{} // closed when it has ended and has said why
}

// launch starts QEMU and returns when it answers.
func (s spec) launch(c *Config, boot bmc.Boot) (*process, error) {
	control, theirs, err := qmpPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	out, err := os.OpenFile(s.file("qemu.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(qemuProgram, s.qemuArgs(c, boot)...)
	cmd.Dir = s.Dir // QEMU's own paths are relative: those of sockets may have 108 bytes only
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		control.conn.Close()
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	p := &process{cmd: cmd, qmp: control, exited: make(chan struct{})}
	theirs.Close() // QEMU's copy must be the last: its end closes the connection
	go func() {
		control.read()
		cmd.Wait() // how it ended is told by the control connection, or in qemu.log
		close(p.exited)
	}()
	return p, nil
}

// lastWords is the end of qemu.log.
func (s spec) lastWords() string {
	b, err := os.ReadFile(s.file("qemu.log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// trimConsole starts a console log anew when it has grown too long. No QEMU may be running.
func (s spec) trimConsole() error {
	st, err := os.Stat(s.console())
	if err != nil || st.Size() < consoleLimit {
		return err
	}
	if err := os.Rename(s.console(), s.console()+".1"); err != nil {
		return err
	}
	return os.WriteFile(s.console(), nil, 0o600)
}

// mediaDir is where a machine's BMC keeps what is in its drive.
func (s spec) mediaDir() string { return filepath.Join(s.Dir, "media") }
