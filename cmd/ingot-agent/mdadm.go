package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"ingot/agent/child"
	"ingot/agent/inventory"
	"ingot/agent/raid"
	"ingot/agent/system"
)

const (
	mdadm       = "/sbin/mdadm"
	raidModules = "/etc/ingot/modules.raid"
	mdadmLimit  = 5 * time.Minute
	mdadmWords  = 8 << 10 // bytes of what it says that are kept
)

// arrays works on software RAID, in a ramdisk that has mdadm. Only the first process does: a plain process must not
// touch the arrays of the machine it happens to run on.
func arrays(m inventory.Machine, children *child.Children, log *slog.Logger) raid.Arrays {
	a := raid.Arrays{Machine: m, Log: log}
	if _, err := os.Stat(mdadm); err != nil {
		return a
	}
	var once sync.Once
	a.Tool = func(ctx context.Context, args ...string) (string, error) {
		once.Do(func() {
			if _, err := system.LoadModules(log, "/", raidModules); err != nil {
				log.Error("modules for arrays not loaded", "error", err)
			}
		})
		ctx, cancel := context.WithTimeoutCause(ctx, mdadmLimit, fmt.Errorf("mdadm took longer than %s", mdadmLimit))
		defer cancel()
		said := &child.Tail{Limit: mdadmWords}
		// There is no udev that would make devices and that mdadm would wait for.
		code, err := children.Run(ctx, child.Program{Path: mdadm, Args: args, Dir: "/", Stdout: said, Stderr: said,
			Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "MDADM_NO_UDEV=1", "MDADM_NO_SYSTEMCTL=1"}})
		if err == nil && code != 0 {
			err = fmt.Errorf("mdadm ended with code %d", code)
		}
		return strings.Join(strings.Fields(said.String()), " "), err
	}
	return a
}
