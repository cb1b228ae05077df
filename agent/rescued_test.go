package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/agent/rescue"
	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

const (
	rescueHash = "$6$canarycanary$0123456789012345678901234567890123456789012345678901234567890123456789012345678901234X"
	rescueKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAcanary tenant"
)

// TestAMachineIsHandedOver is the agent's part of a rescue, from the first word to the last, and looks for the hash in all that
// it said and wrote.
func TestAMachineIsHandedOver(t *testing.T) {
	p := newPlane(t)
	c, l := config(t, p)
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/shadow": "root:*:1::::::\n", "etc/systemd/system/ingot-rescue.target": "",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\nrescue:x:" + fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()) + "::/home/rescue:/bin/bash\n",
	} {
		at := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	host := rescue.Host{Root: root, Log: c.Log, Run: func(_ context.Context, program string, args ...string) error {
		l.did <- program + " " + strings.Join(args, " ")
		return nil
	}}
	c.Linger = time.Second // long enough to ask once more
	c.Boot.Role, c.Steps.Rescue = agentapi.RoleRescue, host.Finalize
	c.Log = slog.New(slog.NewTextHandler(l.ring, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { l.ended <- Run(ctx, c) }()
	h := <-p.beats
	var err error
	if l.Client, err = agentapi.NewPinnedClient(h.CallbackURL, secret.New(token), agentapi.Pin{Agent: h.AgentVerifyCA}); err != nil {
		t.Fatal(err)
	}
	defer l.Client.Close()

	for _, name := range []string{"clean.get_clean_steps", "deploy.execute_deploy_step", "standby.run_image", "system.lockdown"} {
		if _, err := l.Run(ctx, name, nil, false); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "booted for rescue") {
			t.Errorf("%s: %v", name, err)
		}
	}
	params := agentapi.FinalizeRescue{RescuePassword: rescueHash, Hashed: true, SSHKeys: []string{rescueKey}}
	wrong := params
	wrong.SSHKeys = []string{rescueKey + "\n" + rescueKey}
	if _, err := l.RunOnce(ctx, "1.finalize", agentapi.CommandRescue, wrong, false); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "canary") {
		t.Errorf("two keys in a line: %v", err)
	}
	r, err := l.RunOnce(ctx, "1.finalize", agentapi.CommandRescue, params, false)
	if err != nil || r.CommandStatus != agentapi.Succeeded {
		t.Fatalf("%v %+v", err, r.CommandError)
	}
	if did := <-l.did; did != "systemctl start ingot-rescue.target" {
		t.Error(did)
	}
	list, err := l.Commands(ctx)
	if err != nil || len(list) != 1 || list[0].Key != "1.finalize" {
		t.Fatalf("%+v %v", list, err)
	}
	if _, err := l.RunOnce(ctx, "2", "log.collect_system_logs", nil, false); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a command after the machine was handed over: %v", err)
	}
	select {
	case err = <-l.ended:
	case <-time.After(time.Minute):
		t.Fatal("the agent does not end")
	}
	if !errors.Is(err, ErrRescued) || !host.Handed() {
		t.Error(err)
	}
	if _, err := l.Commands(ctx); !errors.Is(err, agentapi.ErrConnection) {
		t.Errorf("it serves on: %v", err)
	}
	said, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"log": string(l.ring.Text()), "list": string(said)} {
		if strings.Contains(text, "canary") || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(rescueHash))) {
			t.Errorf("the %s holds the hash or the key:\n%s", what, text)
		}
	}
	shadow, err := os.ReadFile(filepath.Join(root, "etc/shadow"))
	if err != nil || !strings.Contains(string(shadow), "rescue:"+rescueHash+":") {
		t.Errorf("%s %v", shadow, err)
	}
}
