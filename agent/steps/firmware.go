package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/agent/efi"
	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// cleanNVRAM removes boot entries that operating systems left. On a BIOS machine there are none.
func (s *Steps) cleanNVRAM(_ context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	args := struct {
		Patterns []string `json:"match_patterns"`
	}{efi.DefaultPatterns}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	patterns, err := efi.Patterns(args.Patterns)
	if err != nil {
		return nil, server.Error("InvalidCommandParamsError", "match_patterns: %v", err)
	}
	if !s.Machine.UEFI() {
		return map[string]string{"result": "nothing to do: the machine was booted by a BIOS, which has no boot entries"}, nil
	}
	removed, kept, err := efi.Variables{Dir: s.Machine.Device("/sys/firmware/efi/efivars")}.Clean(patterns)
	s.Log.Info("boot entries removed", "removed", len(removed), "kept", kept)
	if err != nil {
		return nil, err
	}
	return map[string]any{"removed": removed, "kept": kept}, nil
}

const pstoreDir = "/sys/fs/pstore"

// erasePstore removes what kernels left in the firmware's memory when they crashed. Every file is tried; the
// errors are joined.
func (s *Steps) erasePstore(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	dir := s.Machine.Device(pstoreDir)
	if err := s.mountPstore(dir); errors.Is(err, fs.ErrNotExist) {
		return map[string]string{"result": "nothing to do: this kernel keeps nothing over a crash"}, nil
	} else if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	removed := 0
	for _, e := range entries {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	return map[string]int{"removed": removed}, errors.Join(errs...)
}

// mountPstore makes the store visible, on a machine whose first process is the agent. fs.ErrNotExist: there is
// none.
func (s *Steps) mountPstore(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	mounts, err := os.ReadFile(s.Machine.Device("/proc/mounts"))
	if err != nil {
		return err
	}
	if s.Machine.Root != "/" || strings.Contains(string(mounts), " "+pstoreDir+" pstore ") {
		return nil
	}
	if err := unix.Mount("pstore", dir, "pstore", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", pstoreDir, err)
	}
	return nil
}
