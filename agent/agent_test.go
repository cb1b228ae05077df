package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/agent/inventory"
	"ingot/agent/journal"
	"ingot/agent/server"
	"ingot/agent/steps"
	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

const (
	token  = "0123456789012345678901234567890123456789abc"
	nodeID = "6c6b1a52-8a4e-4e0c-9c38-3f2b0e7c4f11"
	mib    = 1 << 20
)

// plane is a control plane: a real HTTPS server that answers lookups and takes heartbeats.
type plane struct {
	*httptest.Server
	ca     string
	answer string // token in the lookup answer
	asked  chan *http.Request
	beats  chan agentapi.Heartbeat
}

func newPlane(t *testing.T) *plane {
	p := &plane{answer: secret.Mask, asked: make(chan *http.Request, 10), beats: make(chan agentapi.Heartbeat, 10)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"default_version":{"version":"1.115"}}`)
	})
	mux.HandleFunc("GET /v1/lookup", func(w http.ResponseWriter, r *http.Request) {
		p.asked <- r
		answer := agentapi.LookupAnswer{Node: agentapi.Node{UUID: nodeID, Properties: map[string]any{"root_device": map[string]any{"serial": "second"}}},
			Config: agentapi.LookupConfig{HeartbeatTimeout: 300, AgentToken: p.answer, Time: "2031-02-03T04:05:06Z"}}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /v1/heartbeat/"+nodeID, func(w http.ResponseWriter, r *http.Request) {
		var h agentapi.Heartbeat
		if err := json.NewDecoder(r.Body).Decode(&h); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
		p.beats <- h
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	p.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
	return p
}

// machine is a made-up machine with one NIC and two disks of 8 MiB, which are files full of old data.
func machine(t *testing.T) inventory.Machine {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"sys/class/net/eth0/address":             "52:54:00:aa:bb:01\n",
		"sys/class/net/eth0/device/vendor":       "0x1af4\n",
		"sys/block/vda/size":                     "16384\n",
		"sys/block/vda/serial":                   "first\n",
		"sys/block/vdb/size":                     "16384\n",
		"sys/block/vdb/serial":                   "second\n",
		"sys/block/vdb/vdb1/partition":           "1\n",
		"sys/block/vdb/vdb1/start":               "12288\n", // 6 MiB
		"sys/block/vdb/vdb1/size":                "1\n",
		"sys/block/vdb/queue/logical_block_size": "512\n",
		"proc/mounts":                            "none\n",
		"dev/vda":                                strings.Repeat("old data", mib),
		"dev/vdb":                                strings.Repeat("old data", mib),
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return inventory.Machine{Root: root, Addresses: func(string) []netip.Addr { return nil }}
}

// lived is an agent that runs, with what it did to its machine.
type lived struct {
	*agentapi.Client
	machine inventory.Machine
	clock   time.Time
	did     chan string
	ended   chan error
	ring    *journal.Ring
}

func config(t *testing.T, p *plane) (Config, *lived) {
	l := &lived{machine: machine(t), did: make(chan string, 10), ended: make(chan error, 1), ring: journal.NewRing(1 << 20)}
	note := func(what string) func() error { return func() error { l.did <- what; return nil } }
	c := Config{
		Boot:    agentapi.BootConfig{Version: 1, APIURL: p.URL, CA: p.ca, NodeUUID: nodeID, AgentToken: token},
		Machine: l.machine, Listen: "127.0.0.1:0", Version: "1.2.3",
		SetClock: func(t time.Time) error { l.clock = t; return nil },
		Log:      slog.New(slog.NewTextHandler(l.ring, nil)),
		Steps: steps.Config{
			Patience: inventory.Patience{Quiet: 1, Limit: time.Second, Every: time.Millisecond},
			Write: func(_ context.Context, device string, i agentapi.ImageInfo, drive string, progress func(agentapi.Progress)) (steps.Written, error) {
				l.did <- fmt.Sprintf("write %s %s %s", filepath.Base(device), i.URLs[0], drive)
				if i.ID == "bad" {
					return steps.Written{}, server.Error("ImageChecksumError", "it is another")
				}
				return steps.Written{RootUUID: "R", ESPUUID: "E"}, nil
			},
			InstallLoader: func(_ context.Context, device string) error { l.did <- "loader " + filepath.Base(device); return nil },
			Logs: func(hide []secret.Secret) ([]byte, error) {
				return journal.Collect(journal.Sources{Root: l.machine.Root, Ring: l.ring, Dmesg: []byte("kernel says " + token), Hide: hide,
					Inventory: func() (any, error) { return l.machine.Collect() }})
			},
			Sync:     func() { l.did <- "sync" },
			PowerOff: note("power off"), Reboot: note("reboot"),
		},
	}
	return c, l
}

// start runs an agent until the test ends, and waits for its first heartbeat.
func start(t *testing.T) (*plane, *lived) {
	t.Helper()
	p := newPlane(t)
	c, l := config(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { l.ended <- Run(ctx, c); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if strings.Contains(string(l.ring.Text()), token) {
			t.Errorf("the token is in the log:\n%s", l.ring.Text())
		}
	})
	select {
	case h := <-p.beats:
		if h.AgentToken != token || h.AgentVersion != "1.2.3" || !strings.HasPrefix(h.CallbackURL, "https://127.0.0.1:") {
			t.Errorf("%+v", h)
		}
		var err error
		if l.Client, err = agentapi.NewClient(h.CallbackURL, secret.New(token), h.AgentVerifyCA); err != nil {
			t.Fatal(err)
		}
	case err := <-l.ended:
		t.Fatalf("%v\n%s", err, l.ring.Text())
	}
	t.Cleanup(l.Client.Close)
	return p, l
}

// ask runs a command to its end.
func (l *lived) ask(t *testing.T, name string, params any) agentapi.Result {
	t.Helper()
	r, err := l.Run(t.Context(), name, params, true)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

func (l *lived) must(t *testing.T, name string, params any, want string) {
	t.Helper()
	r := l.ask(t, name, params)
	var short bytes.Buffer
	if err := json.Compact(&short, r.CommandResult); r.CommandStatus != agentapi.Succeeded || err != nil || short.String() != want {
		t.Errorf("%s: %s %+v %s, want %s", name, r.CommandStatus, r.CommandError, r.CommandResult, want)
	}
}

// lists asks for steps, and sees that these are among them, in the form conductors read. All of them are
// listed in the steps' own tests.
func (l *lived) lists(t *testing.T, command string, params any, begin string, steps ...string) {
	t.Helper()
	r := l.ask(t, command, params)
	for _, want := range append(steps, begin, `]},"hardware_manager_version":{"ingot_agent":"`) {
		if r.CommandStatus != agentapi.Succeeded || !strings.Contains(string(r.CommandResult), want) {
			t.Errorf("%s: %s %v %s lacks %s", command, r.CommandStatus, r.CommandError, r.CommandResult, want)
		}
	}
}

func TestLookup(t *testing.T) {
	p, l := start(t)
	r := <-p.asked
	if q := r.URL.RawQuery; q != "addresses=52%3A54%3A00%3Aaa%3Abb%3A01&node_uuid="+nodeID {
		t.Error(q)
	}
	if r.Header.Get(agentapi.TokenHeader) != token {
		t.Error("the boot token was not shown")
	}
	if l.clock.Format(time.RFC3339) != "2031-02-03T04:05:06Z" {
		t.Errorf("clock set to %v", l.clock)
	}
}

func TestCleaning(t *testing.T) {
	_, l := start(t)
	node := map[string]any{"uuid": nodeID, "properties": map[string]any{"skip_block_devices": []any{map[string]string{"serial": "first"}}},
		"instance_info": map[string]any{}, "driver_internal_info": map[string]any{"disk_erasure_concurrency": 2}}
	l.lists(t, "clean.get_clean_steps", map[string]any{"node": node, "ports": []any{}}, `{"clean_steps":{"IngotHardwareManager":[`,
		`{"interface":"deploy","step":"erase_devices_metadata","priority":99,"reboot_requested":false,"abortable":true}`,
		`{"interface":"deploy","step":"erase_devices","priority":10,"reboot_requested":false,"abortable":true,"argsinfo":{"verify":`)
	params := func(step string, version map[string]string) map[string]any {
		return map[string]any{"step": map[string]any{"step": step, "interface": "deploy", "priority": 99, "zz": 1, "requires_ramdisk": true},
			"node": node, "ports": []any{}, "clean_version": version}
	}
	device := filepath.Join(l.machine.Root, "dev/vdb")
	meta := l.ask(t, "clean.execute_clean_step", params("erase_devices_metadata", map[string]string{"ingot_agent": "2"}))
	for _, want := range []string{`{"clean_result":{"/dev/vda":{"serial":"first","size":8388608,"how":"left alone: it is in skip_block_devices"},`,
		`"/dev/vdb":{"serial":"second","size":8388608,"how":"metadata wiped","proof":{"method":"metadata only","partial":true,"passes":1,"began":"`,
		`}},"clean_step":{"interface":"deploy","priority":99,"step":"erase_devices_metadata"}}`} {
		if meta.CommandStatus != agentapi.Succeeded || !strings.Contains(string(meta.CommandResult), want) {
			t.Errorf("%s %v %s lacks %s", meta.CommandStatus, meta.CommandError, meta.CommandResult, want)
		}
	}
	disk, err := os.ReadFile(device)
	if err != nil || len(bytes.Trim(disk[:4*mib], "\x00")) != 0 || len(bytes.Trim(disk[6*mib:6*mib+512], "\x00")) != 0 || disk[5*mib] != 'o' {
		t.Error("metadata was not wiped as it should be")
	}
	r := l.ask(t, "clean.execute_clean_step", params("erase_devices", nil))
	if r.CommandStatus != agentapi.Succeeded || r.Progress == nil || r.Progress.Done != 8*mib || r.Progress.Total != 8*mib {
		t.Errorf("%+v %+v %+v", r, r.CommandError, r.Progress)
	}
	if disk, err = os.ReadFile(device); err != nil || len(bytes.Trim(disk, "\x00")) != 0 {
		t.Error("the disk is not clean")
	}
	if kept, err := os.ReadFile(filepath.Join(l.machine.Root, "dev/vda")); err != nil || !strings.HasPrefix(string(kept), "old data") {
		t.Error("the disk to be skipped was touched")
	}
	for _, c := range []struct {
		params map[string]any
		status string
		class  string
	}{
		{params("erase_devices", map[string]string{"ingot_agent": "0"}), agentapi.VersionMismatch, "VersionMismatch"},
		{params("write_image", nil), agentapi.Failed, "CleaningError"},
		{map[string]any{"step": map[string]any{}}, agentapi.Failed, "InvalidCommandParamsError"},
		{map[string]any{}, agentapi.Failed, "InvalidCommandParamsError"},
		{map[string]any{"step": map[string]any{"step": 1}}, agentapi.Failed, "InvalidCommandParamsError"},
	} {
		if r := l.ask(t, "clean.execute_clean_step", c.params); r.CommandStatus != c.status || r.CommandError == nil || r.CommandError.Type != c.class {
			t.Errorf("%v: %+v %+v", c.params, r, r.CommandError)
		}
	}
}

func TestDeployment(t *testing.T) {
	_, l := start(t)
	l.must(t, "standby.get_partition_uuids", nil, `{}`)
	l.lists(t, "deploy.get_deploy_steps", map[string]any{"node": map[string]any{}}, `{"deploy_steps":{"IngotHardwareManager":[`,
		`{"interface":"deploy","step":"erase_devices_metadata","priority":0,"reboot_requested":false}`,
		`{"interface":"deploy","step":"write_image","priority":0,"reboot_requested":false,"argsinfo":{`)
	write := func(id, sum string) map[string]any {
		return map[string]any{"step": map[string]any{"step": "write_image", "args": map[string]any{"configdrive": "H4sI",
			"image_info": map[string]any{"id": id, "urls": []string{"http://i"}, "os_hash_algo": "sha256", "os_hash_value": sum}}}}
	}
	r := l.ask(t, "deploy.execute_deploy_step", write("img", "00"))
	var result struct {
		DeployResult struct{ Result string } `json:"deploy_result"`
	}
	if err := json.Unmarshal(r.CommandResult, &result); err != nil || result.DeployResult.Result != "prepare_image: image (img) written to device /dev/vdb root_uuid=R" {
		t.Errorf("%+v %v %+v", result, err, r.CommandError)
	}
	if did := <-l.did; did != "write vdb http://i H4sI" { // the lookup's hints said which disk
		t.Error(did)
	}
	l.must(t, "standby.get_partition_uuids", nil, `{"efi system partition uuid":"E","root uuid":"R"}`)
	l.must(t, "image.install_bootloader", map[string]any{"root_uuid": "R"}, `null`) // BIOS: nothing to do
	if err := os.MkdirAll(filepath.Join(l.machine.Root, "sys/firmware/efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.must(t, "image.install_bootloader", map[string]any{"target_boot_mode": "uefi"}, `null`)
	if did := <-l.did; did != "loader vdb" {
		t.Error(did)
	}

	for _, c := range []struct{ id, sum, class string }{{"bad", "00", "ImageChecksumError"}, {"img", "", "InvalidCommandParamsError"}, {"", "00", "InvalidCommandParamsError"}} {
		if r := l.ask(t, "deploy.execute_deploy_step", write(c.id, c.sum)); r.CommandStatus != agentapi.Failed || r.CommandError.Type != c.class {
			t.Errorf("%+v: %+v", c, r.CommandError)
		}
	}
	<-l.did
	l.must(t, "standby.get_partition_uuids", nil, `{}`) // the write that failed left nothing to speak of

	l.must(t, "standby.sync", nil, `null`)
	l.must(t, "standby.power_off", nil, `null`)
	l.must(t, "standby.run_image", nil, `null`)
	for _, want := range []string{"sync", "sync", "power off", "sync", "reboot"} {
		if did := <-l.did; did != want {
			t.Errorf("did %q, want %q", did, want)
		}
	}
}

// A config drive of 20 MiB goes through the server and the client, and the list of commands stays short.
func TestLargeConfigDrive(t *testing.T) {
	_, l := start(t)
	drive := strings.Repeat("H4sI", 5*mib)
	args := map[string]any{"configdrive": drive, "image_info": map[string]any{"id": "img", "urls": []string{"http://i"}, "os_hash_algo": "sha256", "os_hash_value": "00"}}
	r, err := l.Run(t.Context(), "deploy.execute_deploy_step", agentapi.StepParams{Step: agentapi.Step{Interface: "deploy", Step: "write_image", Priority: 80, Args: args}}, true)
	if err != nil || r.CommandStatus != agentapi.Succeeded {
		t.Fatalf("%v %+v", err, r.CommandError)
	}
	if did := <-l.did; did != "write vdb http://i "+drive {
		t.Errorf("the drive arrived as %d bytes", len(did))
	}
	list, err := l.Commands(t.Context())
	if err != nil || len(list) != 1 || len(list[0].CommandResult) > 1<<10 {
		t.Fatalf("%v, %d bytes", err, len(list[0].CommandResult))
	}
	var result struct {
		Step agentapi.Step `json:"deploy_step"`
	}
	if err := json.Unmarshal(list[0].CommandResult, &result); err != nil {
		t.Fatal(err)
	}
	if s := result.Step; s.Interface != "deploy" || s.Step != "write_image" || s.Priority != 80 || s.Args["image_info"] == nil || s.Args["configdrive"] != nil {
		t.Errorf("%+v", s)
	}
}

func TestWhatItTells(t *testing.T) {
	_, l := start(t)
	r := l.ask(t, "poll.get_hardware_info", nil)
	var inv agentapi.Inventory
	if err := json.Unmarshal(r.CommandResult, &inv); err != nil || len(inv.Disks) != 2 || inv.Interfaces[0].MACAddress != "52:54:00:aa:bb:01" {
		t.Errorf("%+v %v", inv, err)
	}
	r = l.ask(t, "log.collect_system_logs", nil)
	var logs struct {
		SystemLogs string `json:"system_logs"`
	}
	if err := json.Unmarshal(r.CommandResult, &logs); err != nil {
		t.Fatal(err)
	}
	packed, err := base64.StdEncoding.DecodeString(logs.SystemLogs)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(data)
	}
	if files["dmesg"] != "kernel says ******" || files["mount"] != "none\n" || !strings.Contains(files["journal"], "node found") ||
		!strings.Contains(files["inventory.json"], `"serial": "second"`) {
		t.Errorf("%v", files)
	}
}

func TestLockdown(t *testing.T) {
	_, l := start(t)
	l.must(t, "system.lockdown", nil, `null`) // the answer arrives although the server stops
	if err := <-l.ended; !errors.Is(err, ErrLockdown) {
		t.Error(err)
	}
	if _, err := l.Commands(t.Context()); !errors.Is(err, agentapi.ErrConnection) {
		t.Errorf("still serves: %v", err)
	}
}

func TestTokens(t *testing.T) {
	long := strings.Repeat("y", 43)
	for _, c := range []struct {
		own, answered, want string
		err                 error
	}{
		{token, secret.Mask, token, nil},
		{token, long, token, nil},
		{"", long, long, nil},
		{"", secret.Mask, "", ErrTokenTaken},
		{"", "short", "", nil},
		{"", "", "", nil},
	} {
		got, err := chooseToken(secret.New(c.own), c.answered)
		if got.Expose() != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	p := newPlane(t)
	conf, _ := config(t, p)
	conf.Boot.AgentToken = ""
	if err := Run(t.Context(), conf); !errors.Is(err, ErrTokenTaken) {
		t.Error(err)
	}
}
