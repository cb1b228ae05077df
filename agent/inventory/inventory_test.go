package inventory

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/agentapi"
)

// plant makes a tree: a value that begins with "-> " is a symbolic link, else the content of a file.
func plant(t *testing.T, tree map[string]string) Machine {
	t.Helper()
	root := t.TempDir()
	for path, content := range tree {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, isLink := strings.CutPrefix(content, "-> "); isLink {
			if err = os.MkdirAll(filepath.Join(filepath.Dir(full), to), 0o755); err == nil {
				err = os.Symlink(to, full)
			}
		} else {
			err = os.WriteFile(full, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return Machine{Root: root, Addresses: func(nic string) []netip.Addr {
		if nic != "eth0" {
			return nil
		}
		return []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("192.0.2.11")}
	}}
}

// block describes a disk at a place in /sys/devices.
func block(tree map[string]string, name, place, size string, files map[string]string) {
	at := "sys/devices/" + place + "/block/" + name
	tree["sys/block/"+name] = "-> ../devices/" + place + "/block/" + name
	tree[at+"/size"] = size + "\n"
	tree[at+"/queue/rotational"] = "0\n"
	tree[at+"/queue/logical_block_size"] = "512\n"
	tree[at+"/queue/physical_block_size"] = "4096\n"
	for f, v := range files {
		tree[at+"/"+f] = v
	}
}

func machine(t *testing.T) Machine {
	tree := map[string]string{
		"proc/cmdline":                "quiet BOOTIF=01-52-54-00-aa-bb-01\n",
		"proc/meminfo":                "MemTotal:         500000 kB\nMemFree: 1 kB\n",
		"proc/cpuinfo":                "processor\t: 0\nmodel name\t: A CPU\ncpu MHz\t\t: 2000.5\nphysical id\t: 0\nflags\t\t: fpu sse\n\nprocessor\t: 1\nphysical id\t: 1\n",
		"sys/firmware/efi/runtime":    "x",
		secureBootVar:                 "\x06\x00\x00\x00\x01",
		"sys/class/dmi/id/sys_vendor": "QEMU\n", "sys/class/dmi/id/product_name": "Standard PC\n", "sys/class/dmi/id/product_serial": "S1\n",
		"sys/class/dmi/id/bios_vendor": "EDK II\n", "sys/class/dmi/id/bios_version": "1\n", "sys/class/dmi/id/bios_date": "02/06/2024\n",
		"sys/class/net/lo/address":   "00:00:00:00:00:00\n",
		"sys/class/net/eth0":         "-> ../../devices/pci0000:00/0000:00:02.0/virtio0/net/eth0",
		"sys/class/net/eth1/address": "52:54:00:aa:bb:02\n",
	}
	nic := "sys/devices/pci0000:00/0000:00:02.0/virtio0/net/eth0"
	tree[nic+"/address"], tree[nic+"/carrier"], tree[nic+"/speed"] = "52:54:00:AA:BB:01\n", "1\n", "10000\n"
	tree[nic+"/device"] = "-> ../../../virtio0"
	dev := "sys/devices/pci0000:00/0000:00:02.0/virtio0"
	tree[dev+"/vendor"], tree[dev+"/device"], tree[dev+"/driver"] = "0x1af4\n", "0x0001\n", "-> ../../../drivers/virtio_net"
	block(tree, "sda", "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0", "41943040", map[string]string{
		"device/type": "0\n", "device/model": "Samsung SSD 860 \n", "device/vendor": "ATA     \n", "device/wwid": "naa.5002538e40a00001\n",
		"device/vpd_pg80": "\x00\x80\x00\x04S3Z9rubbish", "device/scsi_device/0:0:0:0/uevent": "", "queue/rotational": "1\n", "removable": "0\n",
		"sda1/partition": "1\n", "sda1/start": "4096\n", "sda1/size": "1\n", "sda10/partition": "10\n", "sda10/start": "2048\n", "sda10/size": "8\n"})
	block(tree, "sdaa", "pci0000:00/0000:00:03.0/host1/rport-1:0-0/target1:0:0/1:0:0:5", "8388608", map[string]string{
		"device/wwid": "naa.60002ac0000000000000000100000001\n", "device/scsi_device/1:0:0:5/uevent": "", "ro": "1\n"})
	block(tree, "sdb", "pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host2/target2:0:0/2:0:0:0", "2880", map[string]string{
		"device/model": "Virtual Floppy\n", "removable": "1\n"})
	block(tree, "sr0", "pci0000:00/0000:00:1f.2/ata2/host3/target3:0:0/3:0:0:0", "1000", map[string]string{"device/type": "5\n"})
	block(tree, "nvme0n1", "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1x", "8388608", map[string]string{
		"device/model": "NVMe thing\n", "device/serial": "N1\n", "wwid": "eui.0025385b71b00001\n"})
	block(tree, "nvme0c0n1", "pci0000:00/0000:01:00.0/nvme/nvme0/nvme0c0n1x", "8388608", map[string]string{"hidden": "1\n"})
	block(tree, "vda", "pci0000:00/0000:00:05.0/virtio1", "20971520", map[string]string{"serial": "V1\n"})
	for _, name := range []string{"loop0", "ram0", "zram0", "fd0", "dm-0", "md127", "mmcblk0boot0"} {
		block(tree, name, "virtual/"+name, "1000", nil)
	}
	block(tree, "vdb", "pci0000:00/0000:00:06.0/virtio2", "0", nil)
	return plant(t, tree)
}

func TestDisks(t *testing.T) {
	disks, err := machine(t).Disks()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]agentapi.Disk{}
	var names []string
	for _, d := range disks {
		got[d.Name] = d
		names = append(names, d.Name)
	}
	if want := "/dev/nvme0n1 /dev/sda /dev/sdaa /dev/vda"; strings.Join(names, " ") != want {
		t.Fatalf("%v, want %s", names, want)
	}
	for _, c := range []struct{ disk, want string }{
		{"/dev/sda", `{"name":"/dev/sda","model":"Samsung SSD 860","size":21474836480,"rotational":true,"wwn":"0x5002538e40a00001","serial":"S3Z9","vendor":"ATA",` +
			`"wwn_with_extension":"0x5002538e40a00001","wwn_vendor_extension":null,"hctl":"0:0:0:0","by_path":"/dev/disk/by-path/pci-0000:00:1f.2-ata-1",` +
			`"logical_sectors":512,"physical_sectors":4096,"tran":"sata","read_only":false,"removable":false}`},
		{"/dev/sdaa", `{"name":"/dev/sdaa","model":"","size":4294967296,"rotational":false,"wwn":"0x60002ac000000000","serial":null,"vendor":null,` +
			`"wwn_with_extension":"0x60002ac0000000000000000100000001","wwn_vendor_extension":"0x0000000100000001","hctl":"1:0:0:5",` +
			`"by_path":"/dev/disk/by-path/pci-0000:00:03.0-scsi-0:0:0:5","logical_sectors":512,"physical_sectors":4096,"tran":"fc","read_only":true,"removable":false}`},
		{"/dev/nvme0n1", `{"name":"/dev/nvme0n1","model":"NVMe thing","size":4294967296,"rotational":false,"wwn":"eui.0025385b71b00001","serial":"N1","vendor":null,` +
			`"wwn_with_extension":"eui.0025385b71b00001","wwn_vendor_extension":null,"hctl":null,"by_path":"/dev/disk/by-path/pci-0000:01:00.0-nvme-1",` +
			`"logical_sectors":512,"physical_sectors":4096,"tran":"nvme","read_only":false,"removable":false}`},
		{"/dev/vda", `{"name":"/dev/vda","model":"","size":10737418240,"rotational":false,"wwn":null,"serial":"V1","vendor":null,` +
			`"wwn_with_extension":null,"wwn_vendor_extension":null,"hctl":null,"by_path":"/dev/disk/by-path/pci-0000:00:05.0",` +
			`"logical_sectors":512,"physical_sectors":4096,"tran":"virtio","read_only":false,"removable":false}`},
	} {
		have, err := json.Marshal(got[c.disk])
		if err != nil || string(have) != c.want {
			t.Errorf("got  %s %v\nwant %s", have, err, c.want)
		}
	}
}

func TestPartitions(t *testing.T) {
	parts, err := machine(t).Partitions("/dev/sda")
	if want := []Span{{1 << 20, 4096}, {2 << 20, 512}}; err != nil || !slices.Equal(parts, want) {
		t.Errorf("%v %v, want %v", parts, err, want)
	}
	if parts, err = machine(t).Partitions("/dev/vda"); err != nil || len(parts) != 0 {
		t.Errorf("%v %v", parts, err)
	}
}

func TestCollect(t *testing.T) {
	m := machine(t)
	if err := os.MkdirAll(m.path("sys/firmware/dmi/tables"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path("sys/firmware/dmi/tables/DMI"), modules(t), 0o644); err != nil {
		t.Fatal(err)
	}
	inv, err := m.Collect()
	if err != nil {
		t.Fatal(err)
	}
	inv.Disks, inv.Hostname, inv.CPU.Architecture = nil, "h", "a"
	got, err := json.Marshal(inv)
	want := `{"interfaces":[{"name":"eth0","mac_address":"52:54:00:aa:bb:01","ipv4_address":"192.0.2.10","ipv6_address":"fe80::1","has_carrier":true,"lldp":null,` +
		`"vendor":"0x1af4","product":"0x0001","client_id":null,"biosdevname":null,"speed_mbps":10000,"pci_address":"0000:00:02.0","driver":"virtio_net"}],` +
		`"cpu":{"model_name":"A CPU","frequency":"2000.5","count":2,"architecture":"a","flags":["fpu","sse"],"socket_count":2},"disks":null,` +
		`"memory":{"total":512000000,"physical_mb":41472},"bmc_address":null,"bmc_v6address":null,` +
		`"system_vendor":{"product_name":"Standard PC","serial_number":"S1","manufacturer":"QEMU","firmware":{"vendor":"EDK II","version":"1","build_date":"02/06/2024"}},` +
		`"boot":{"current_boot_mode":"uefi","pxe_interface":"01-52-54-00-aa-bb-01","secure_boot":true},"hostname":"h"}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}

func TestBareMachine(t *testing.T) {
	inv, err := plant(t, map[string]string{"sys/kernel/x": ""}).Collect()
	if err != nil || inv.Boot.CurrentBootMode != "bios" || inv.Memory.PhysicalMB != nil || len(inv.Disks) != 0 || inv.Disks == nil {
		t.Errorf("%+v %v", inv, err)
	}
	if _, err := (Machine{Root: t.TempDir()}).Collect(); err == nil {
		t.Error("no sysfs is no error")
	}
}

// modules is a table of memory devices without an end mark: 8 GiB, 32 GiB in the extended field, 512 KiB,
// an empty slot, 512 MiB.
func modules(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, m := range []struct {
		size     uint16
		extended uint32
	}{{8192, 0}, {0x7fff, 32768}, {0x8000 | 512, 0}, {0, 0}, {512, 0}} {
		s := make([]byte, 34)
		s[0], s[1] = 17, 34
		s[12], s[13] = byte(m.size), byte(m.size>>8)
		s[28], s[29], s[30], s[31] = byte(m.extended), byte(m.extended>>8), byte(m.extended>>16), byte(m.extended>>24)
		b.Write(append(s, 0, 0))
	}
	return b.Bytes()
}

func FuzzModules(f *testing.F) {
	f.Add([]byte{17, 34, 0, 0})
	f.Add([]byte{17, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, tables []byte) {
		if n := moduleMiB(bytes.NewReader(tables)); n < 0 {
			t.Errorf("%d MiB", n)
		}
	})
}
