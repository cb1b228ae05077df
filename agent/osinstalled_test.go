package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/agent/journal"
	"ingot/agent/osinstall"
	"ingot/agent/osinstall/osinstalltest"
	"ingot/internal/agentapi"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// startInstalling runs an agent that was booted for an OS definition. Its disks are as of machine.
func startInstalling(t *testing.T) *lived {
	t.Helper()
	p := newPlane(t)
	c, l := config(t, p)
	c.Boot.Role = agentapi.RoleInstall
	kept, runner := &osinstall.Logs{}, &osinstalltest.Processes{}
	c.Steps.OS = &osinstall.Installer{Runner: runner, Temp: t.TempDir(), Host: runner.Host, Logs: kept}
	c.Steps.Logs = func(hide []secret.Secret) ([]byte, error) {
		return journal.Collect(journal.Sources{Root: l.machine.Root, Ring: l.ring, Hide: hide, More: kept.Files(), Inventory: func() (any, error) { return l.machine.Collect() }})
	}
	c.Log = slog.New(slog.NewTextHandler(l.ring, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { l.ended <- Run(ctx, c) }()
	t.Cleanup(func() {
		cancel()
		if err := <-l.ended; err != nil {
			t.Error(err)
		}
	})
	h := <-p.beats
	var err error
	if l.Client, err = agentapi.NewClient(h.CallbackURL, secret.New(token), h.AgentVerifyCA); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Client.Close)
	return l
}

// packedDefinition is a definition with a create that is confined.
func packedDefinition(t *testing.T, create string) *agentapi.OSDefinition {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range map[string]string{"ganeti_api_version": "20", "parameters.list": "token\nplace", "untrusted/create": create, "verify": "exit 0", "export": "exit 0", "import": "exit 0", "rename": "exit 0"} {
		mode := int64(0o644)
		if !strings.Contains(name, "_") && !strings.Contains(name, ".") {
			mode, text = 0o755, "#!/bin/sh\n"+text+"\n"
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bundle, err := osdef.Read(&b, osdef.Usual)
	if err != nil {
		t.Fatal(err)
	}
	return &agentapi.OSDefinition{Name: "thing", Digest: bundle.Digest(), Bundle: bundle.Tar()}
}

// TestREQ17AFailureThatAConductorSees: by the protocol, on the disk that the node's hints mean, with nothing of the values in results, lists and logs.
func TestREQ17AFailureThatAConductorSees(t *testing.T) {
	l := startInstalling(t)
	w := agentapi.OSWork{Machine: agentapi.OSMachine{Name: "node"}, Parameters: []agentapi.OSParameter{
		{Name: "token", Value: "SECR-canary of the agent", Class: "secret"}, {Name: "place", Value: "PRIV-canary", Class: "private"}}}
	w.Definition = packedDefinition(t, `printf written > "$DISK_0_PATH"; echo "$DISK_COUNT disks, $OSP_TOKEN"; test "$OSP_PLACE" != PRIV-canary`)
	r := l.ask(t, agentapi.CommandOSVerify, w)
	if r.CommandStatus != agentapi.Succeeded || !strings.Contains(string(r.CommandResult), `"name":"verify","confined":true,"code":0`) {
		t.Fatalf("%+v %+v", r, r.CommandError)
	}
	r = l.ask(t, agentapi.CommandOSInstall, w)
	if r.CommandStatus != agentapi.Failed || r.CommandError.Type != "OSInstallError" ||
		!strings.HasSuffix(r.CommandError.Details, "the script untrusted/create of the OS definition thing ended with code 1.\nWhat untrusted/create said last:\n2 disks, ******") ||
		!strings.Contains(string(r.CommandResult), `"code":1`) {
		t.Errorf("%+v %+v %s", r, r.CommandError, r.CommandResult)
	}
	if r.Progress == nil || r.Progress.What != "untrusted/create: running" || r.Progress.Unit != "percent" {
		t.Errorf("%+v", r.Progress)
	}
	disk, err := os.ReadFile(filepath.Join(l.machine.Root, "dev/vdb"))
	if err != nil || !strings.HasPrefix(string(disk), "written") {
		t.Errorf("%v %.20q", err, disk)
	}
	var logs struct {
		SystemLogs string `json:"system_logs"`
	}
	if err := json.Unmarshal(l.ask(t, "log.collect_system_logs", nil).CommandResult, &logs); err != nil {
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
	archive, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(archive, []byte("os_install-02-untrusted_create")) || !bytes.Contains(archive, []byte("2 disks, ******\n")) {
		t.Errorf("%v %q", err, archive)
	}
	list, err := l.Commands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string][]byte{"logs": archive, "list": all, "own log": l.ring.Text()} {
		if bytes.Contains(text, []byte("-canary")) {
			t.Errorf("the %s hold a value: %s", where, text)
		}
	}
	w.Definition = packedDefinition(t, "exit 0")
	if r = l.ask(t, agentapi.CommandOSInstall, w); r.CommandStatus != agentapi.Succeeded {
		t.Errorf("once more: %+v", r.CommandError)
	}
}
