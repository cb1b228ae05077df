package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ingot/internal/config"
	"ingot/internal/metal"
	"ingot/internal/policy"
)

// rulesPoll is how often the policy files are looked at.
const rulesPoll = time.Second

// rulebook is the rules that are in force: those of the policy files as they were when they last made sense.
type rulebook struct {
	c      config.Config
	folder string // of paths that are not absolute
	log    *slog.Logger
	rules  atomic.Pointer[policy.Set]

	mu      sync.Mutex
	stamp   string // of the files as they were last read; guarded by mu
	problem error  // why they are not in force; guarded by mu
}

// openRules reads the policy files. What is wrong with them keeps the server from starting.
func openRules(f serveFlags, c config.Config, log *slog.Logger) (*rulebook, error) {
	if !c.Policy.EnforceNewDefaults {
		return nil, errors.New("[oslo_policy] enforce_new_defaults: this server has no rules from before scopes and roles; " +
			"leave it true, and write the rules you miss into policy_file")
	}
	b := &rulebook{c: c, folder: f.data, log: log}
	if f.config != "" {
		b.folder = filepath.Dir(f.config)
	}
	set, stamp, err := b.read()
	if err != nil {
		return nil, fmt.Errorf("[oslo_policy] %w", err)
	}
	b.rules.Store(set)
	b.stamp = stamp
	return b, nil
}

// run puts the files in force when they change. Files that make no sense change nothing, and are complained of.
func (b *rulebook) run(ctx context.Context) error {
	tick := time.NewTicker(rulesPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			b.look()
		}
	}
}

// look reads the files if they changed.
func (b *rulebook) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stamp == b.stampOf(b.paths()) {
		return
	}
	set, stamp, err := b.read()
	b.stamp, b.problem = stamp, err
	if err != nil {
		b.log.Warn("the policy files changed and are not in force: the rules stay as they were", "error", err)
		return
	}
	b.rules.Store(set)
	b.log.Info("the policy files changed and are in force")
}

// read makes rules of the files as they are now. The stamp is taken first: a change while they are read is seen later.
func (b *rulebook) read() (*policy.Set, string, error) {
	paths := b.paths()
	stamp := b.stampOf(paths)
	var files []policy.File
	for _, p := range paths {
		text, err := readPolicy(p)
		if errors.Is(err, fs.ErrNotExist) && p == b.path(config.Defaults().Policy.PolicyFile) {
			continue
		}
		if err != nil {
			return nil, stamp, fmt.Errorf("policy_file: %w", err)
		}
		files = append(files, policy.File{Name: p, Text: text})
	}
	pc := policy.Defaults()
	pc.EnforceScope, pc.DefaultRule = b.c.Policy.EnforceScope, b.c.Policy.PolicyDefaultRule
	if b.c.Services.RBACServiceRoleElevatedAccess {
		pc.ServiceProject = b.c.Services.RBACServiceProjectName
	}
	set, err := policy.New(pc, files...)
	return set, stamp, err
}

// readPolicy reads a file, up to one byte more than a policy file may have.
func readPolicy(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, policy.MaxFile+1))
}

func (b *rulebook) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(b.folder, p)
}

// paths are the files there are now, in the order in which they are read. A folder that is not there has none.
func (b *rulebook) paths() []string {
	var out []string
	if p := b.c.Policy.PolicyFile; p != "" {
		out = append(out, b.path(p))
	}
	for _, dir := range b.c.Policy.PolicyDirs {
		found, err := os.ReadDir(b.path(dir)) // sorted
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			b.log.Warn("a folder of policy files cannot be read", "error", err)
		}
		for _, e := range found {
			if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) && !strings.HasPrefix(e.Name(), ".") {
				out = append(out, filepath.Join(b.path(dir), e.Name()))
			}
		}
	}
	return out
}

// stampOf changes when one of the files does.
func (b *rulebook) stampOf(paths []string) string {
	var s strings.Builder
	for _, p := range paths {
		if about, err := os.Stat(p); err == nil {
			fmt.Fprintf(&s, "%s %d %d\n", p, about.Size(), about.ModTime().UnixNano())
		}
	}
	return s.String()
}

// examine is what the doctor says of the files.
func (b *rulebook) examine() metal.Finding {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.problem != nil {
		return wrong(metal.Warn, "policy", "The policy files changed and are not in force: "+strings.ReplaceAll(b.problem.Error(), "\n", "; "),
			"Mend the files: they are read again when they change.")
	}
	return fine("policy", "The rules that are in force are those of the policy files.")
}
