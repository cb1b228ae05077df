package steps

import (
	"strings"
	"testing"
	"testing/synctest"

	"ingot/agent/erase"
	"ingot/internal/agentapi"
)

func TestKnobs(t *testing.T) {
	s := New(Config{ParallelErase: 4}, agentapi.Node{})
	plain := erase.Options{Iterations: 1, Zeroize: true, ATA: true, NVMe: true, Parallel: 4}
	for _, c := range []struct {
		info map[string]any
		want func(*erase.Options)
	}{
		{nil, func(*erase.Options) {}},
		{map[string]any{knobIterations: 3.0, knobZeroize: false}, func(o *erase.Options) { o.Iterations, o.Zeroize = 3, false }},
		{map[string]any{knobIterations: 1e9, knobParallel: 0.0, knobZeroize: "no"}, func(*erase.Options) {}},
		{map[string]any{knobATA: false, knobNVMe: false, knobParallel: 2.0}, func(o *erase.Options) { o.ATA, o.NVMe, o.Parallel = false, false, 2 }},
		{map[string]any{knobContinueOld: true}, func(o *erase.Options) { o.Continue = true }},
		{map[string]any{knobContinueOld: true, knobContinue: false}, func(*erase.Options) {}},
		{map[string]any{knobUnguarded: false, knobSkipReadOnly: true}, func(o *erase.Options) { o.Unguarded, o.SkipReadOnly = true, true }},
	} {
		want := plain
		c.want(&want)
		got := s.eraseOptions(agentapi.Node{InternalInfo: c.info}, nil)
		if got.Iterations != want.Iterations || got.Zeroize != want.Zeroize || got.ATA != want.ATA || got.NVMe != want.NVMe || got.Continue != want.Continue ||
			got.SkipReadOnly != want.SkipReadOnly || got.Unguarded != want.Unguarded || got.Parallel != want.Parallel {
			t.Errorf("%v: %+v, want %+v", c.info, got, want)
		}
	}
}

func TestWhatADiskUnderstands(t *testing.T) {
	some := func(s string) *string { return &s }
	for _, c := range []struct {
		disk agentapi.Disk
		want erase.Kind
	}{
		{agentapi.Disk{Name: "/dev/nvme0n1"}, erase.NVMe},
		{agentapi.Disk{Name: "/dev/sda", Tran: some("sata")}, erase.ATA},
		{agentapi.Disk{Name: "/dev/sda", Tran: some("sas"), Vendor: some("ATA     ")}, erase.ATA},
		{agentapi.Disk{Name: "/dev/sda", Tran: some("sas"), Vendor: some("SEAGATE")}, erase.Plain},
		{agentapi.Disk{Name: "/dev/sda", Tran: some("usb"), Vendor: some("ATA")}, erase.Plain},
		{agentapi.Disk{Name: "/dev/vda"}, erase.Plain},
	} {
		if got := kindOf(c.disk); got != c.want {
			t.Errorf("%+v: %v, want %v", c.disk, got, c.want)
		}
	}
}

func TestNamespacesThatShareADrive(t *testing.T) {
	s := newBench(t)
	found := []agentapi.Disk{{Name: "/dev/nvme0n1"}, {Name: "/dev/nvme0n2"}, {Name: "/dev/nvme1n1"}, {Name: "/dev/sda"}}
	for _, c := range []struct {
		wanted []agentapi.Disk
		shared string
	}{{found, ""}, {found[:1], "nvme0n1"}, {found[1:3], "nvme0n2"}, {found[3:], ""}} {
		disks, err := s.toErase(found, c.wanted)
		if err != nil {
			t.Fatal(err)
		}
		shared := ""
		for _, d := range disks {
			if d.Shared {
				shared += strings.TrimPrefix(d.Path, s.root+"/dev/")
			}
		}
		if shared != c.shared {
			t.Errorf("%v: shared %q, want %q", c.wanted, shared, c.shared)
		}
	}
}

func TestTheResultTellsOfEveryDrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		for _, name := range []string{"sda", "sdb", "sr0"} {
			b.disk(t, name, 6)
		}
		node := agentapi.Node{UUID: "n"}
		got, failure := b.run(t, cleanStep, "erase_devices_express", node, nil)
		if failure != nil || len(got) != 3 || got["/dev/sr0"].How != "left alone: a CD drive" || got["/dev/sda"].How != erase.Wiped {
			t.Errorf("%v %v", got, failure)
		}
		got, failure = b.run(t, cleanStep, "erase_devices", node, map[string]any{"verify": "samples"})
		if failure != nil || got["/dev/sda"].How != erase.Sampled {
			t.Errorf("%v %v", got, failure)
		}
		if _, failure = b.run(t, cleanStep, "erase_devices", node, map[string]any{"verify": "none"}); failure == nil || failure.Type != "InvalidCommandParamsError" {
			t.Errorf("%+v", failure)
		}
		b.plant(t, "sys/block/sdb/ro", "1")
		_, failure = b.run(t, cleanStep, "erase_devices", node, nil)
		if failure == nil || !strings.Contains(failure.Details, "sdb: the disk is write-protected") || !strings.Contains(failure.Details, "; meanwhile: sda discarded") {
			t.Errorf("%+v", failure)
		}
	})
}
