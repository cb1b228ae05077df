package steps

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/agent/erase"
	"ingot/agent/plugin"
	"ingot/agent/raid"
	"ingot/internal/agentapi"
)

// arrayed is a bench with two disks that an array md0 is on, whose name is data, and one that it is not on. What
// mdadm was asked is in asked.
func arrayed(t *testing.T) (b *bench, asked *[]string) {
	t.Helper()
	b, asked = newBench(t), &[]string{}
	b.Patience.Quiet, b.Patience.Limit = 1, 1
	for _, name := range []string{"sda", "sdb", "sdc"} {
		b.disk(t, name, 8<<10)
	}
	b.disk(t, "md0", 16)
	super := make([]byte, 4096+256)
	copy(super[4096:], "\xfc\x4e\x2b\xa9\x01\x00\x00\x00")
	copy(super[4096+32:], "any:data")
	for _, p := range []string{"sda1", "sdb1"} {
		b.plant(t, "sys/block/"+p[:3]+"/"+p+"/partition", "1")
		b.plant(t, "sys/class/block/"+p+"/size", "4096")
		b.plant(t, "dev/"+p, string(super))
		b.plant(t, "sys/block/md0/slaves/"+p+"/x", "")
	}
	b.plant(t, "sys/block/md0/md/level", "raid1")
	b.RAID = raid.Arrays{Machine: b.Machine, Log: b.Log, Tool: func(_ context.Context, args ...string) (string, error) {
		*asked = append(*asked, strings.Join(args, " "))
		if args[0] == "--stop" {
			return "", os.RemoveAll(filepath.Join(b.root, "sys/block/md0"))
		}
		return "", nil
	}}
	return b, asked
}

func software(more map[string]any) map[string]any {
	one := map[string]any{"controller": "software", "raid_level": "1", "size_gb": "MAX", "volume_name": "data"}
	for k, v := range more {
		one[k] = v
	}
	return map[string]any{"logical_disks": []any{one}}
}

func TestArraysThatAreToStay(t *testing.T) {
	b, asked := arrayed(t)
	node := agentapi.Node{UUID: "n", TargetRAIDConfig: software(nil)}
	got, failure := b.run(t, cleanStep, "erase_devices_metadata", node, nil)
	if failure != nil || got["/dev/md0"].How != erase.Wiped || got["/dev/sda"].How != "left alone: it holds /dev/md0, which is erased in its place" || got["/dev/sdc"].How != erase.Wiped {
		t.Errorf("%v %v", got, failure)
	}
	if b.clean(t, "sda") || b.clean(t, "sdb") || !b.clean(t, "md0") || !b.clean(t, "sdc") || len(*asked) != 0 {
		t.Errorf("the wrong disks were erased, or arrays touched: %v", *asked)
	}
	b, asked = arrayed(t)
	node = agentapi.Node{UUID: "n", Properties: map[string]any{"skip_block_devices": []any{map[string]any{"volume_name": "data"}}}}
	got, failure = b.run(t, cleanStep, "erase_devices_metadata", node, nil)
	if failure != nil || got["/dev/md0"].How != "left alone: it is in skip_block_devices" || !strings.Contains(got["/dev/sdb"].How, "it holds the volume data") {
		t.Errorf("%v %v", got, failure)
	}
	if b.clean(t, "md0") || b.clean(t, "sda") || !b.clean(t, "sdc") || len(*asked) != 0 {
		t.Errorf("the volume to be kept was touched: %v", *asked)
	}
	if _, failure = b.run(t, cleanStep, "delete_configuration", node, nil); failure == nil || !strings.Contains(failure.Details, "skip_block_devices keeps volumes") {
		t.Errorf("%+v", failure)
	}
}

// skipping excludes disks by their serial numbers.
func skipping(names ...string) map[string]any {
	var list []any
	for _, n := range names {
		list = append(list, map[string]any{"serial": "S-" + n})
	}
	return map[string]any{"skip_block_devices": list}
}

func TestArraysOnDisksThatAreLeftAlone(t *testing.T) {
	for _, skip := range [][]string{{"sda", "sdb"}, {"sdb"}} {
		b, _ := arrayed(t)
		node := agentapi.Node{UUID: "n", Properties: skipping(skip...), TargetRAIDConfig: software(map[string]any{"is_root_volume": true})}
		got, failure := b.run(t, cleanStep, "erase_devices_metadata", node, nil)
		if failure != nil || b.clean(t, "md0") || b.clean(t, "sda") || b.clean(t, "sdb") || !b.clean(t, "sdc") {
			t.Errorf("without %v: %v %v", skip, got, failure)
		}
		if how := got["/dev/md0"].How; how != "left alone: it has a part on a disk in skip_block_devices" {
			t.Errorf("without %v: md0 %s", skip, how)
		}
		image := map[string]any{"image_info": map[string]any{"id": "i", "urls": []string{"http://i"}, "os_hash_algo": "sha256", "os_hash_value": "00"}}
		if _, failure = b.run(t, "deploy.execute_deploy_step", "write_image", node, image); failure != nil || len(b.written) != 1 || b.written[0] != "sdc" {
			t.Errorf("without %v: wrote %v, %v", skip, b.written, failure)
		}
	}
	b, asked := arrayed(t)
	_, failure := b.run(t, cleanStep, "delete_configuration", agentapi.Node{UUID: "n", Properties: skipping("sdb")}, nil)
	if failure == nil || !strings.Contains(failure.Details, "/dev/md0 has a part on /dev/sdb too") || b.clean(t, "md0") || b.clean(t, "sda") || len(*asked) != 0 {
		t.Errorf("half of an array deleted: %v %v", *asked, failure)
	}
}

func TestVolumesThatAreKeptNeedNotRun(t *testing.T) {
	for what, tool := range map[string]bool{"mdadm cannot start it": true, "the ramdisk has no mdadm": false} {
		b, _ := arrayed(t)
		if err := os.RemoveAll(filepath.Join(b.root, "sys/block/md0")); err != nil {
			t.Fatal(err)
		}
		if !tool {
			b.RAID = raid.Arrays{}
		}
		node := agentapi.Node{UUID: "n", Properties: map[string]any{"skip_block_devices": []any{map[string]any{"volume_name": "data"}}}}
		got, failure := b.run(t, cleanStep, "erase_devices_metadata", node, nil)
		if failure != nil || b.clean(t, "sda") || b.clean(t, "sdb") || !b.clean(t, "sdc") || !strings.Contains(got["/dev/sda"].How, "it holds the volume data") {
			t.Errorf("%s: %v %v", what, got, failure)
		}
		image := map[string]any{"image_info": map[string]any{"id": "i", "urls": []string{"http://i"}, "os_hash_algo": "sha256", "os_hash_value": "00"}}
		if _, failure = b.run(t, "deploy.execute_deploy_step", "write_image", node, image); failure != nil || len(b.written) != 1 || b.written[0] != "sdc" {
			t.Errorf("%s: wrote %v, %v", what, b.written, failure)
		}
	}
}

func TestArraysThatNobodyWants(t *testing.T) {
	b, asked := arrayed(t)
	got, failure := b.run(t, cleanStep, "erase_devices_metadata", agentapi.Node{UUID: "n"}, nil)
	if _, still := got["/dev/md0"]; failure != nil || still || got["/dev/sda"].How != erase.Wiped {
		t.Errorf("%v %v", got, failure)
	}
	if !b.clean(t, "sda") || !b.clean(t, "sdb") || len(*asked) != 1 || (*asked)[0] != "--stop /dev/md0" {
		t.Errorf("%v", *asked)
	}
	b, asked = arrayed(t)
	node := agentapi.Node{UUID: "n", Properties: map[string]any{"skip_block_devices": []any{map[string]any{"serial": "S-sda"}, map[string]any{"serial": "S-sdb"}}}}
	if _, failure = b.run(t, cleanStep, "erase_devices_metadata", node, nil); failure != nil || len(*asked) != 0 || b.clean(t, "sda") || !b.clean(t, "sdc") {
		t.Errorf("an array of disks that are left out: %v %v", *asked, failure)
	}
	b, asked = arrayed(t)
	if r := b.did(t, "delete_configuration", nil); r["arrays"] != 1.0 || r["parts"] != 2.0 || len(*asked) != 3 || !b.clean(t, "sda") || b.clean(t, "sdc") {
		t.Errorf("%v %v", *asked, r)
	}
}

func TestTheRootVolume(t *testing.T) {
	image := map[string]any{"image_info": map[string]any{"id": "i", "urls": []string{"http://i"}, "os_hash_algo": "sha256", "os_hash_value": "00"}}
	for _, c := range []struct {
		config map[string]any
		want   string
	}{
		{software(map[string]any{"is_root_volume": true}), "md0"},
		{software(nil), "sdc"}, // the smallest that no array is on; the array itself has no 4 GiB
		{nil, "sda"},
	} {
		b, _ := arrayed(t)
		_, failure := b.run(t, "deploy.execute_deploy_step", "write_image", agentapi.Node{UUID: "n", RAIDConfig: c.config}, image)
		if failure != nil || len(b.written) != 1 || b.written[0] != c.want {
			t.Errorf("%v: wrote %v, %+v", c.config, b.written, failure)
		}
		b.plant(t, "sys/firmware/efi/x", "")
		b.InstallLoader = func(context.Context, string) error { return errors.New("asked") }
		_, err := b.installBootloader(t.Context(), []byte("{}"), nil)
		if want := map[bool]string{true: "firmware cannot read /dev/md0", false: "asked"}[c.want == "md0"]; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestRAIDSteps(t *testing.T) {
	b, _ := arrayed(t)
	for kind, want := range map[string]string{
		plugin.Clean:   " raid.delete_configuration:0 raid.create_configuration:0 raid.apply_configuration:0",
		plugin.Deploy:  " raid.apply_configuration:0",
		plugin.Service: " raid.delete_configuration:0 raid.create_configuration:0 raid.apply_configuration:0",
	} {
		if got, _ := b.listed(t, kind); !strings.HasSuffix(got[manager], want) {
			t.Errorf("%s: %s", kind, got[manager])
		}
	}
	for step, args := range map[string]map[string]any{"create_configuration": nil, "apply_configuration": {"raid_config": software(map[string]any{"controller": "perc"})}} {
		if _, failure := b.run(t, cleanStep, step, agentapi.Node{UUID: "n"}, args); failure == nil || failure.Type != "SoftwareRAIDError" {
			t.Errorf("%s: %+v", step, failure)
		}
	}
	if b.clean(t, "sda") {
		t.Error("a configuration that cannot be took the old one with it")
	}
}
