package rescue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"ingot/agent/server"
	"ingot/internal/agentapi"
)

const (
	// marker says that the machine is its tenant's. Source: agent protocol reference §10, step 5.
	marker = "etc/.rescued"
	// target is what a ramdisk of ours starts then: sshd, with host keys of its own, and logins on its consoles.
	target = "ingot-rescue.target"
	// upstreamDir and upstreamFile are where units of Ironic's own ramdisks find the password.
	upstreamDir  = "etc/ipa-rescue-config"
	upstreamFile = "ipa-rescue-password"
	// runDir is where what belongs to this boot lies; it is in memory, and root's alone.
	runDir      = "run/ingot-agent"
	networkFile = "network_data.json"
	// startLimit is how long the target may take: sshd makes its host keys first. A conductor waits a minute for the answer.
	startLimit = 45 * time.Second
	// makeLimit is how long useradd may take, and stopping what was started.
	makeLimit = 20 * time.Second
)

// unitDirs are where systemd looks for units. Source: systemd.unit(5).
var unitDirs = []string{"etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"}

// Host is the ramdisk that runs.
type Host struct {
	Root string // where its files are
	// Run runs a program of the ramdisk to its end. Its error says what the program said.
	Run func(ctx context.Context, program string, args ...string) error
	Log *slog.Logger
}

// Handed tells whether the machine was handed over in this boot.
func (h Host) Handed() bool {
	_, err := os.Lstat(h.path(marker))
	return !errors.Is(err, fs.ErrNotExist) // in doubt it was: an agent that serves then is worse than one that does not
}

// NetworkData is what the tenant's network is to look like; nil if it is not said, or nothing was handed over.
func (h Host) NetworkData() ([]byte, error) {
	data, err := os.ReadFile(h.path(filepath.Join(runDir, networkFile)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Finalize hands the machine over. It does so whole or says why not; nothing of the parameters is in the error.
func (h Host) Finalize(ctx context.Context, p agentapi.FinalizeRescue) error {
	if err := Check(p); err != nil {
		return server.Error("InvalidCommandParamsError", "%v", err)
	}
	ours, upstreams := h.hasTarget(), h.isDir(upstreamDir)
	if !ours && !upstreams {
		return server.Error("CommandExecutionError", "this ramdisk lets nobody log in: it has neither %s nor /%s", target, upstreamDir)
	}
	if err := h.handOver(ctx, p, ours, upstreams); err != nil {
		if undo := h.undo(context.WithoutCancel(ctx), ours); undo != nil {
			h.Log.Error("rescue not taken back", "error", undo)
		}
		return server.Error("CommandExecutionError", "rescue: %v", err)
	}
	h.Log.Info("the machine is handed over", "user", user, "keys", len(p.SSHKeys), "password", p.RescuePassword != noPassword, "network_data", len(p.NetworkData) > 0)
	return nil
}

func (h Host) handOver(ctx context.Context, p agentapi.FinalizeRescue, ours, upstreams bool) error {
	making, cancel := context.WithTimeoutCause(ctx, makeLimit, fmt.Errorf("useradd took longer than %s", makeLimit))
	defer cancel()
	who, err := h.account(making)
	if err != nil {
		return err
	}
	if err := h.setKeys(who, p.SSHKeys); err != nil {
		return err
	}
	if err := h.setHash(p.RescuePassword); err != nil {
		return err
	}
	if err := os.MkdirAll(h.path(runDir), 0o700); err != nil {
		return err
	}
	if err := replace(h.path(filepath.Join(runDir, networkFile)), p.NetworkData, 0o600, nil); err != nil {
		return err
	}
	// Noted before anybody can log in: an agent that starts anew in between must not serve beside sshd.
	if err := replace(h.path(marker), nil, 0o644, nil); err != nil {
		return err
	}
	if upstreams && p.RescuePassword != noPassword {
		if err := replace(h.path(filepath.Join(upstreamDir, upstreamFile)), []byte(p.RescuePassword), 0o600, nil); err != nil {
			return err
		}
	}
	if !ours {
		return nil
	}
	starting, stop := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("systemd took longer than %s", startLimit))
	defer stop()
	if err := h.Run(starting, "systemctl", "start", target); err != nil {
		return fmt.Errorf("start %s: %w", target, err)
	}
	return nil
}

// undo locks the account again and forgets that the machine was handed over: the conductor is told that it was not.
func (h Host) undo(ctx context.Context, ours bool) error {
	errs := []error{h.setHash(locked)}
	if ours {
		ctx, cancel := context.WithTimeout(ctx, makeLimit)
		defer cancel()
		errs = append(errs, h.Run(ctx, "systemctl", "stop", target))
	}
	if who, err := h.findAccount(); err == nil {
		errs = append(errs, h.setKeys(who, nil))
	}
	for _, name := range []string{filepath.Join(upstreamDir, upstreamFile), filepath.Join(runDir, networkFile), marker} {
		if err := os.Remove(h.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (h Host) hasTarget() bool {
	for _, dir := range unitDirs {
		if _, err := os.Stat(h.path(filepath.Join(dir, target))); err == nil {
			return true
		}
	}
	return false
}

func (h Host) isDir(name string) bool {
	s, err := os.Stat(h.path(name))
	return err == nil && s.IsDir()
}

func (h Host) path(name string) string { return filepath.Join(h.Root, name) }
