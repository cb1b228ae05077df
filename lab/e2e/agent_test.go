package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/internal/ramdisk"
)

// guestToken is the token of an agent that nobody but the test knows.
const guestToken = "0123456789abcdef0123456789abcdef0123456789a"

// booted is the deploy ramdisk in QEMU, without firmware between: kernel and initramfs are given to it. It has a
// CD with boot.json that names no control plane, and disks of many kinds; the test speaks to its agent.
type booted struct {
	t      *testing.T
	http   *http.Client
	base   string
	serial string
	disks  map[string]string // files by what the disk is
	args   []string          // of QEMU
	cmd    *exec.Cmd
	ended  chan struct{} // closed when QEMU has
}

const mebi = 1 << 20

// TestAgentOnHardware boots the real ramdisk with hardware that no other test has: NVMe, SATA, and disks to make
// an array of.
func TestAgentOnHardware(t *testing.T) {
	if os.Getenv("INGOT_LAB") != "1" {
		t.Skip("skipped: it starts a QEMU machine; set INGOT_LAB=1")
	}
	takePlace(t)
	dir := t.TempDir()
	extra := filepath.Join(dir, "extra")
	firmwareCheck(t, extra, `{"priority":95,"rules":[]}`)
	out := filepath.Join(dir, "ramdisk")
	addedRamdisk(t, out, extra)
	g := bootGuest(t, dir, out, map[string]int64{"nvme": 64, "sata": 64, "vda": 1536, "vdb": 1536, "vdc": 1536})
	for _, part := range []struct {
		name string
		run  func(*booted, *testing.T)
	}{
		{"plugins offer steps", (*booted).plugins},
		{"disks are erased as each can", (*booted).erases},
		{"arrays are made, kept, erased and removed", (*booted).arrays},
		{"logs", (*booted).logs}, // arrays are in them
	} {
		if !t.Run(part.name, func(t *testing.T) {
			began := time.Now()
			part.run(g, t)
			t.Logf("%.0f s", time.Since(began).Seconds())
		}) {
			return
		}
	}
}

func addedRamdisk(t *testing.T, out, extra string) {
	t.Helper()
	m := makeRamdisk(t, ramdisk.Options{Agent: program(t, "ingot-agent"), Out: out, Add: []string{extra}})
	for _, f := range m.Files {
		t.Logf("%s %d bytes", f.Name, f.Size)
	}
	t.Logf("%d bytes unpacked", m.UnpackedSize)
}

// bootGuest starts the machine and waits for its agent. Disks are sizes in MiB by what they are.
func bootGuest(t *testing.T, dir, ramdisk string, disks map[string]int64) *booted {
	t.Helper()
	g := &booted{t: t, serial: filepath.Join(dir, "serial.log"), disks: map[string]string{}}
	address := free(t, "127.0.0.1")
	g.base = "https://" + address
	// The agent's certificate is made as it starts, and nobody is told of it here.
	g.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	iso := filepath.Join(dir, "boot.iso")
	template, err := depot.OpenBootISO(ramdisk)
	if err != nil {
		t.Fatal(err)
	}
	defer template.Close()
	overlaid, _, err := template.Overlay(agentapi.BootConfig{Version: 1, AgentToken: guestToken}, "")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(iso)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, overlaid); err != nil {
		t.Fatal(err)
	}
	f.Close()
	_, port, _ := strings.Cut(address, ":")
	args := []string{"-accel", "tcg", "-machine", "q35", "-smp", "2", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "file:" + g.serial,
		"-kernel", filepath.Join(ramdisk, depot.KernelName), "-initrd", filepath.Join(ramdisk, depot.InitramfsName),
		"-append", depot.BaseKernelParams + " boot_method=vmedia no_timer_check console=ttyS0",
		"-drive", "if=none,id=cd,media=cdrom,readonly=on,format=raw,file=" + iso, "-device", "ide-cd,drive=cd,bus=ide.0",
		"-device", "virtio-rng-pci", "-nic", "user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:" + port + "-:9999"}
	// The kernel names disks in the order of their devices.
	for _, d := range [][2]string{{"nvme", "nvme,serial=NV1"}, {"sata", "ide-hd,bus=ide.1,serial=SATA1"}, {"vda", "virtio-blk-pci,serial=A"},
		{"vdb", "virtio-blk-pci,serial=B"}, {"vdc", "virtio-blk-pci,serial=C"}} {
		name, device := d[0], d[1]
		g.disks[name] = filepath.Join(dir, name)
		file, err := os.Create(g.disks[name])
		if err == nil {
			err = errors.Join(file.Truncate(disks[name]*mebi), file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=none,id="+name+",format=raw,discard=unmap,file="+g.disks[name], "-device", device+",drive="+name)
	}
	g.args = args
	t.Cleanup(func() {
		g.off()
		if text, err := os.ReadFile(g.serial); t.Failed() && err == nil {
			t.Logf("the machine's console:\n%s", text[max(0, len(text)-30_000):])
		}
	})
	g.on(t)
	return g
}

// on switches the machine on and waits for its agent.
func (g *booted) on(t *testing.T) {
	t.Helper()
	var complaints bytes.Buffer
	g.cmd, g.ended = exec.Command("qemu-system-x86_64", g.args...), make(chan struct{})
	g.cmd.Stderr = &complaints
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { g.cmd.Wait(); close(g.ended) }()
	began := time.Now()
	await(t, later, "the agent", func() (bool, error) {
		select {
		case <-g.ended:
			return false, fmt.Errorf("the machine ended: %s", complaints.String())
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := g.get(ctx, "/v1/status")
		return err == nil, nil
	})
	t.Logf("the agent answers %.0f s after power on", time.Since(began).Seconds())
}

// off takes the power away.
func (g *booted) off() {
	if g.cmd == nil || g.cmd.Process == nil {
		return
	}
	_ = g.cmd.Process.Kill() // it may have ended
	<-g.ended
	g.http.CloseIdleConnections()
}

func (g *booted) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// run runs a command to its end.
func (g *booted) run(t *testing.T, name string, params any) agentapi.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), later)
	defer cancel()
	body, err := json.Marshal(map[string]any{"name": name, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+"/v1/commands/?wait=true&agent_token="+guestToken, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := g.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var r agentapi.Result
	text, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v %s", name, resp.Status, err, text)
	}
	return r
}

// settled runs an asynchronous command and waits for its end.
func (g *booted) settled(t *testing.T, name string, params any) agentapi.Result {
	t.Helper()
	r := g.run(t, name, params)
	await(t, later, name, func() (bool, error) {
		if r.CommandStatus != agentapi.Running {
			return true, nil
		}
		text, err := g.get(t.Context(), "/v1/commands/"+r.ID+"?wait=true&agent_token="+guestToken)
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		return false, err
	})
	return r
}

// step runs a clean step; the result is into, unless it is nil: then it must fail, and the words are returned.
func (g *booted) step(t *testing.T, node map[string]any, iface, step string, args map[string]any, into any) string {
	t.Helper()
	node["uuid"] = "11111111-1111-4111-8111-111111111111"
	r := g.settled(t, "clean.execute_clean_step", map[string]any{"node": node, "ports": []any{}, "step": map[string]any{"interface": iface, "step": step, "args": args}})
	if into == nil {
		if r.CommandError == nil {
			t.Fatalf("%s: %s, and must fail: %s", step, r.CommandStatus, r.CommandResult)
		}
		return r.CommandError.Error()
	}
	if r.CommandError != nil {
		t.Fatalf("%s: %v", step, r.CommandError)
	}
	t.Logf("%s: %s", step, r.CommandResult)
	if err := json.Unmarshal(r.CommandResult, &struct {
		Clean any `json:"clean_result"`
	}{into}); err != nil {
		t.Fatalf("%s: %v", step, err)
	}
	return ""
}

func (g *booted) plugins(t *testing.T) {
	var list agentapi.StepList
	r := g.run(t, "clean.get_clean_steps", map[string]any{"node": map[string]any{"uuid": "n"}, "ports": []any{}})
	if r.CommandError != nil {
		t.Fatal(r.CommandError)
	}
	if err := json.Unmarshal(r.CommandResult, &list); err != nil {
		t.Fatal(err)
	}
	if steps := list.CleanSteps["firmware_check"]; len(steps) != 1 || steps[0].Priority != 95 || !strings.HasPrefix(list.Versions["firmware_check"], "1+") {
		t.Fatalf("%s", r.CommandResult)
	}
	var passed struct {
		Firmware string `json:"firmware"`
		Checked  bool   `json:"checked"`
	}
	g.step(t, map[string]any{}, "firmware", "check_firmware", nil, &passed)
	if passed.Checked || passed.Firmware == "" {
		t.Errorf("%+v", passed)
	}
	if why := g.step(t, map[string]any{}, "firmware", "check_firmware", map[string]any{"versions": []string{"0"}}, nil); !contains(why, passed.Firmware, "must be one of: 0") {
		t.Error(why)
	}
	g.step(t, map[string]any{}, "firmware", "check_firmware", map[string]any{"versions": []string{passed.Firmware}}, &passed)
	if !passed.Checked {
		t.Errorf("%+v", passed)
	}
}

// old is where the test plants what a former tenant left, in MiB of each disk of 64.
var old = []int64{0, 13, 40, 63}

func (g *booted) erases(t *testing.T) {
	for _, name := range []string{"nvme", "sata", "vda"} {
		f, err := os.OpenFile(g.disks[name], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range old {
			if _, err := f.WriteAt(bytes.Repeat([]byte("what a former tenant left\n"), mebi/26), at*mebi); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	node := map[string]any{"properties": map[string]any{"skip_block_devices": []any{map[string]any{"serial": "B"}, map[string]any{"serial": "C"}}},
		"driver_internal_info": map[string]any{"disk_erasure_concurrency": 3}}
	var how map[string]agentapi.Erased
	g.step(t, node, "deploy", "erase_devices", nil, &how)
	for disk, want := range map[string]string{"/dev/nvme0n1": "NVMe format, user data erased, samples verified",
		"/dev/sda": "its own secure erase: not supported by this device: it has no ATA security", "/dev/vdb": "skip_block_devices", "/dev/sr0": "a CD drive"} {
		if !strings.Contains(how[disk].How, want) {
			t.Errorf("%s: %q, want %q", disk, how[disk].How, want)
		}
	}
	for _, name := range []string{"nvme", "sata", "vda"} {
		data, err := os.ReadFile(g.disks[name])
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.Trim(data, "\x00")) != 0 {
			t.Errorf("%s is not empty", name)
		}
	}
}

func (g *booted) logs(t *testing.T) {
	r := g.run(t, "log.collect_system_logs", map[string]any{})
	var body struct {
		Logs string `json:"system_logs"`
	}
	if err := json.Unmarshal(r.CommandResult, &body); err != nil {
		t.Fatal(err)
	}
	packed, err := base64.StdEncoding.DecodeString(body.Logs)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(guestToken)) {
			t.Errorf("%s holds the token", h.Name)
		}
		names = append(names, h.Name)
	}
	if all := strings.Join(names, " "); !contains(all, "journal", "dmesg", "inventory.json", "lsblk", "ip_addr", "mount", "efibootmgr", "mdstat") {
		t.Error(all)
	}
	t.Log(names)
}

// arrays makes two volumes of three disks, cleans them as a node with and one without a RAID configuration is
// cleaned, and removes them.
func (g *booted) arrays(t *testing.T) {
	disks := []any{}
	for _, serial := range []string{"A", "B", "C"} {
		disks = append(disks, map[string]any{"serial": serial})
	}
	volume := func(level string, size any, name string) map[string]any {
		return map[string]any{"controller": "software", "raid_level": level, "size_gb": size, "volume_name": name, "physical_disks": disks}
	}
	config := map[string]any{"logical_disks": []any{volume("1", 1, "root"), volume("5", "MAX", "data")}}
	node := func() map[string]any {
		return map[string]any{"target_raid_config": config, "properties": map[string]any{"skip_block_devices": []any{map[string]any{"serial": "NV1"}, map[string]any{"serial": "SATA1"}}}}
	}
	if why := g.step(t, map[string]any{"target_raid_config": map[string]any{"logical_disks": []any{volume("5", "MAX", "x")}}}, "raid", "create_configuration", nil, nil); !contains(why, "first logical disk must have raid_level 1") {
		t.Error(why)
	}
	var made struct {
		Disks []struct {
			Device string `json:"ingot_device"`
			Name   string `json:"volume_name"`
		} `json:"logical_disks"`
	}
	g.step(t, node(), "raid", "create_configuration", nil, &made)
	if len(made.Disks) != 2 || made.Disks[0].Device != "/dev/md0" || made.Disks[0].Name != "root" || made.Disks[1].Device != "/dev/md1" {
		t.Fatalf("%+v", made)
	}
	head := func(name string) []byte {
		b := make([]byte, 16*mebi)
		f, err := os.Open(g.disks[name])
		if err == nil {
			_, err = f.ReadAt(b, 0)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	superblock := []byte("root\x00")
	for _, name := range []string{"vda", "vdb", "vdc"} {
		// The partition begins at 8 MiB, its superblock 4 KiB after that, with the name 32 bytes on.
		if b := head(name); !bytes.HasPrefix(b[512:], []byte("EFI PART")) || !bytes.Contains(b[8*mebi+4096:8*mebi+4096+64], superblock) {
			t.Errorf("%s has no table, or no part of the array", name)
		}
	}
	if why := g.step(t, node(), "raid", "create_configuration", nil, nil); !contains(why, "holds 2 partitions and 2 parts of arrays") {
		t.Error(why)
	}
	// The next boot has to put the arrays together again.
	g.run(t, "standby.sync", map[string]any{})
	g.off()
	g.on(t)
	var how map[string]agentapi.Erased
	g.step(t, node(), "deploy", "erase_devices_metadata", nil, &how)
	wiped := 0
	for name, e := range how {
		if strings.HasPrefix(name, "/dev/md") && e.How == "metadata wiped" {
			wiped++
		}
	}
	if wiped != 2 || !contains(how["/dev/vda"].How, "left alone: it holds /dev/md") {
		t.Errorf("%+v", how)
	}
	if b := head("vdb"); !bytes.Contains(b[8*mebi+4096:8*mebi+4096+64], superblock) {
		t.Error("the array was erased with its content")
	}
	var gone struct{ Arrays, Parts int }
	g.step(t, node(), "raid", "delete_configuration", nil, &gone)
	if gone.Arrays != 2 || gone.Parts != 6 {
		t.Errorf("%+v", gone)
	}
	for _, name := range []string{"vda", "vdb", "vdc"} {
		if len(bytes.Trim(head(name), "\x00")) != 0 {
			t.Errorf("%s still holds something", name)
		}
	}
	// Another level, by an argument; then a cleaning of a node that is to have no arrays.
	config["logical_disks"] = []any{volume("1", "MAX", "root")}
	g.step(t, map[string]any{}, "raid", "apply_configuration", map[string]any{"raid_config": config}, &made)
	plain := node()
	delete(plain, "target_raid_config")
	how = nil
	g.step(t, plain, "deploy", "erase_devices_metadata", nil, &how)
	if _, still := how["/dev/md0"]; still || len(how) != 6 || how["/dev/vdc"].How != "metadata wiped" {
		t.Errorf("%+v", how)
	}
}
