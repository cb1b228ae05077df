package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ingot/agent/erase"
	"ingot/agent/inventory"
	"ingot/internal/agentapi"
)

// bench is the commands of a made-up machine; what they wrote is in written.
type bench struct {
	*Steps
	root    string
	written []string
}

func newBench(t *testing.T) *bench {
	b := &bench{root: t.TempDir()}
	b.plant(t, "sys/kernel/x", "")
	b.Steps = New(Config{Machine: inventory.Machine{Root: b.root}, Log: slog.New(slog.DiscardHandler),
		Write: func(_ context.Context, device string, _ agentapi.ImageInfo, drive string, _ func(agentapi.Progress)) (Written, error) {
			b.written = append(b.written, filepath.Base(device))
			return Written{}, nil
		}}, agentapi.Node{})
	return b
}

func (b *bench) plant(t *testing.T, path, content string) {
	path = filepath.Join(b.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Error(err)
	}
}

// disk plugs in a disk: a sparse file of mib MiB that begins with old data. Its size comes last.
func (b *bench) disk(t *testing.T, name string, mib int64) {
	b.plant(t, "dev/"+name, "old data")
	b.plant(t, "sys/block/"+name+"/serial", "S-"+name)
	if err := os.Truncate(filepath.Join(b.root, "dev", name), mib<<20); err != nil {
		t.Error(err)
	}
	b.plant(t, "sys/block/"+name+"/size", string(jsonOf(t, mib<<20/512)))
}

func (b *bench) clean(t *testing.T, name string) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(b.root, "dev", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := make([]byte, 4096)
	if _, err := f.Read(head); err != nil {
		t.Fatal(err)
	}
	return len(bytes.Trim(head, "\x00")) == 0
}

func jsonOf(t *testing.T, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// run executes a step, and gives its result by disk and the class and words of its error.
func (b *bench) run(t *testing.T, command, step string, node agentapi.Node, args map[string]any) (map[string]agentapi.Erased, *agentapi.CommandError) {
	t.Helper()
	params := jsonOf(t, agentapi.StepParams{Step: agentapi.Step{Interface: "deploy", Step: step, Args: args}, Node: node})
	v, err := b.Commands()[command].Run(t.Context(), params, func(agentapi.Progress) {})
	if err != nil {
		var e *agentapi.CommandError
		if !errors.As(err, &e) {
			t.Fatalf("an error without a class: %v", err)
		}
		return nil, e
	}
	var result struct {
		Clean map[string]agentapi.Erased `json:"clean_result"`
	}
	if err := json.Unmarshal(jsonOf(t, v), &result); err != nil {
		t.Fatal(err)
	}
	return result.Clean, nil
}

const cleanStep = "clean.execute_clean_step"

func TestErasingWaitsForEveryDisk(t *testing.T) {
	for _, step := range []string{"erase_devices", "erase_devices_metadata"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.disk(t, "sda", 8)
			time.AfterFunc(2*time.Second, func() { b.disk(t, "sdb", 6) })
			time.AfterFunc(6*time.Second, func() { b.disk(t, "sdc", 6) })
			got, failure := b.run(t, cleanStep, step, agentapi.Node{UUID: "n"}, nil)
			how := erase.Wiped
			if step == "erase_devices" {
				how = erase.Discarded
			}
			want := map[string]agentapi.Erased{"/dev/sda": {Serial: "S-sda", Size: 8 << 20, How: how},
				"/dev/sdb": {Serial: "S-sdb", Size: 6 << 20, How: how}, "/dev/sdc": {Serial: "S-sdc", Size: 6 << 20, How: how}}
			for name, e := range got {
				if p := e.Proof; p == nil || p.Partial != (step == "erase_devices_metadata") || p.ReadBack.Samples < 2 || p.ReadBack.Zero != p.ReadBack.Samples || p.Ended.Before(p.Began) {
					t.Errorf("%s: %s: no proof, or a wrong one: %+v", step, name, p)
				}
				e.Proof = nil
				got[name] = e
			}
			if failure != nil || !maps.Equal(got, want) {
				t.Fatalf("%s: %v %v, want %v", step, got, failure, want)
			}
			for _, name := range []string{"sda", "sdb", "sdc"} {
				if !b.clean(t, name) {
					t.Errorf("%s: %s still has its data", step, name)
				}
			}
			start := time.Now()
			if _, failure := b.run(t, cleanStep, step, agentapi.Node{UUID: "n"}, nil); failure != nil || time.Since(start) != 0 {
				t.Errorf("%s: the second step waited %s: %v", step, time.Since(start), failure)
			}
		})
	}
}

func TestErasingNothingIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		for command, class := range map[string]string{cleanStep: "CleaningError", "deploy.execute_deploy_step": "DeploymentError"} {
			_, failure := b.run(t, command, "erase_devices_metadata", agentapi.Node{UUID: "n"}, nil)
			if failure == nil || failure.Type != class || !strings.Contains(failure.Details, "no disk found to erase") || !strings.Contains(failure.Details, "automated_clean") {
				t.Errorf("%s: %+v", command, failure)
			}
		}
		b.disk(t, "sda", 6) // after the limit: it is seen all the same
		if got, failure := b.run(t, cleanStep, "erase_devices", agentapi.Node{UUID: "n"}, nil); failure != nil || len(got) != 1 {
			t.Errorf("%v %v", got, failure)
		}
	})
}

func TestADiskThatAppearsWhileOthersAreErasedIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.disk(t, "sda", 6)
		wipe := func(ctx context.Context, disks []erase.Disk, o erase.Options) (map[string]erase.Result, error) {
			how, err := erase.Metadata(ctx, disks, o)
			b.disk(t, "sdb", 6)
			return how, err
		}
		_, err := b.eraseDisks(t.Context(), wipe, nil)
		if err == nil || !strings.Contains(err.Error(), "/dev/sdb") {
			t.Error(err)
		}
	})
}

func TestReadOnlyAndExcludedDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		for _, name := range []string{"sda", "sdb", "sdc"} {
			b.disk(t, name, 6)
		}
		b.plant(t, "sys/block/sdb/ro", "1\n")
		node := agentapi.Node{UUID: "n", Properties: map[string]any{"skip_block_devices": []any{map[string]any{"serial": "S-sdc"}}}}
		for _, step := range []string{"erase_devices", "erase_devices_metadata"} {
			_, failure := b.run(t, cleanStep, step, node, nil)
			if failure == nil || failure.Type != "BlockDeviceEraseError" || !strings.Contains(failure.Details, "sdb: the disk is write-protected") {
				t.Errorf("%s: %+v", step, failure)
			}
		}
		node.InternalInfo = map[string]any{"agent_erase_skip_read_only": true}
		got, failure := b.run(t, cleanStep, "erase_devices", node, nil)
		if failure != nil || got["/dev/sdb"].How != erase.Skipped || got["/dev/sdc"].How != excluded || got["/dev/sda"].How != erase.Discarded {
			t.Errorf("%v %v", got, failure)
		}
		if !b.clean(t, "sda") || b.clean(t, "sdb") || b.clean(t, "sdc") {
			t.Error("the wrong disks were erased")
		}
	})
}

func TestRootDiskDoesNotDependOnProbing(t *testing.T) {
	image := map[string]any{"image_info": map[string]any{"id": "i", "urls": []string{"http://i"}, "os_hash_algo": "sha256", "os_hash_value": "00"}}
	hint := map[string]any{"root_device": map[string]any{"serial": "S-sdb"}}
	for _, c := range []struct {
		name  string
		node  agentapi.Node
		late  time.Duration // of sdb, the smaller one
		wrote string        // "" if it fails
	}{
		{"the smallest comes 3 s late", agentapi.Node{UUID: "n"}, 3 * time.Second, "sdb"},
		{"the one that is meant comes late", agentapi.Node{UUID: "n", Properties: hint}, 4 * time.Second, "sdb"},
		{"and later still", agentapi.Node{UUID: "n", Properties: hint}, 20 * time.Second, "sdb"},
		{"never in time", agentapi.Node{UUID: "n", Properties: hint}, time.Hour, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.disk(t, "sda", 9<<10)
			timer := time.AfterFunc(c.late, func() { b.disk(t, "sdb", 8<<10) })
			defer timer.Stop()
			_, failure := b.run(t, "deploy.execute_deploy_step", "write_image", c.node, image)
			want := []string{c.wrote}
			if c.wrote == "" {
				want = nil
			}
			if !slices.Equal(b.written, want) || (failure == nil) != (c.wrote != "") || failure != nil && failure.Type != "DeviceNotFound" {
				t.Errorf("%s: wrote %v, %+v", c.name, b.written, failure)
			}
		})
	}
}
