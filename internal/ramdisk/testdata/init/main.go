// Command init is the smallest program that proves a ramdisk: it loads the modules, reads boot.json from
// the CD and tells the serial console what it found. The boot test puts it in the agent's place.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	out := consoleOrDie()
	say := func(format string, args ...any) { fmt.Fprintf(out, "probe: "+format+"\r\n", args...) }
	start := time.Now()
	loaded, refused := loadModules(say)
	say("modules loaded=%d refused=%d in %s", loaded, refused, time.Since(start).Round(time.Millisecond))
	if err := unix.Mount("/dev/sr0", "/mnt", "iso9660", unix.MS_RDONLY, ""); err != nil {
		say("mount: %v", err)
	}
	var boot struct {
		NodeUUID string `json:"node_uuid"`
	}
	b, err := os.ReadFile("/mnt/ingot/boot.json")
	if err == nil {
		err = json.Unmarshal(b, &boot)
	}
	say("node=%s err=%v", boot.NodeUUID, err)
	network, err := os.ReadFile("/mnt/openstack/latest/network_data.json")
	say("network=%s err=%v", bytes.TrimSpace(network), err)
	cmdline, _ := os.ReadFile("/proc/cmdline")
	say("cmdline=%s", bytes.TrimSpace(cmdline))
	_ = unix.Mount("efivarfs", "/sys/firmware/efi/efivars", "efivarfs", 0, "")
	secure, err := os.ReadFile("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
	say("secureboot=%v err=%v", len(secure) == 5 && secure[4] == 1, err)
	_ = unix.Mount("securityfs", "/sys/kernel/security", "securityfs", 0, "")
	lockdown, _ := os.ReadFile("/sys/kernel/security/lockdown")
	say("lockdown=%s", bytes.TrimSpace(lockdown))
	say("interfaces=%s", names("/sys/class/net"))
	say("disks=%s", names("/sys/block"))
	say("memory=%s", memory())
	say("done")
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func consoleOrDie() *os.File {
	for _, m := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			fmt.Println("mount", m, err)
		}
	}
	f, err := os.OpenFile("/dev/ttyS0", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		panic(err)
	}
	return f
}

func loadModules(say func(string, ...any)) (loaded, refused int) {
	f, err := os.Open("/etc/ingot/modules")
	if err != nil {
		say("modules: %v", err)
		return 0, 0
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		begin := time.Now()
		path, params, _ := strings.Cut(lines.Text(), " ")
		err := load(path, params)
		if took := time.Since(begin); took > 200*time.Millisecond {
			say("slow module %s: %s", lines.Text(), took.Round(time.Millisecond))
		}
		switch {
		case err == nil:
			loaded++
		case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT):
			refused++
		default:
			refused++
			say("module %s: %v", lines.Text(), err)
		}
	}
	return loaded, refused
}

func load(path, params string) error {
	m, err := os.Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	return unix.FinitModule(int(m.Fd()), params, 0)
}

func names(dir string) string {
	var list []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, ",")
}

func memory() string {
	b, _ := os.ReadFile("/proc/meminfo")
	lines := strings.SplitN(string(b), "\n", 4)
	return strings.Join(strings.Fields(strings.Join(lines[:3], " ")), " ")
}
