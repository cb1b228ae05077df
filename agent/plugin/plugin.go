package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ingot/agent/child"
	"ingot/internal/agentapi"
)

// Dir is where plugins are in a ramdisk.
const Dir = "/usr/lib/ingot/plugins"

const (
	protocol   = 1
	maxPlugins = 32
	// describeLimit is short: a conductor waits no longer than a minute for all of them.
	describeLimit = 20 * time.Second
	stepLimit     = time.Hour
	memory        = 256 << 20 // bytes of private memory
	complaints    = 16 << 10  // bytes of standard error that are kept
	maxLogged     = 200       // lines of a plugin's log in one run
	// notHere is the exit code that says: not for this machine.
	notHere = 3
)

// ErrNotHere: the plugin has nothing to do with this machine.
var ErrNotHere = errors.New("not for this machine")

// Plugin is one that described itself.
type Plugin struct {
	Name, Version string
	// Support is how well it knows the hardware: 1 like the agent itself, 2 a kind of hardware, 3 and more a
	// machine of one maker.
	Support int
	Steps   map[string][]Step // by kind
	path    string
}

// Kinds of steps.
const (
	Clean   = "clean"
	Deploy  = "deploy"
	Service = "service"
)

// About is what a plugin is told of the machine. It holds no secrets.
type About struct {
	Node      json.RawMessage    `json:"node"`
	Ports     json.RawMessage    `json:"ports"`
	Inventory agentapi.Inventory `json:"inventory"`
}

// request is what a plugin reads.
type request struct {
	Protocol int    `json:"protocol"`
	Command  string `json:"command"`
	About
	Kind string   `json:"kind,omitempty"`
	Step *ordered `json:"step,omitempty"`
}

type ordered struct {
	Interface string          `json:"interface"`
	Step      string          `json:"step"`
	Args      json.RawMessage `json:"args"`
}

// Folder is the plugins of a machine.
type Folder struct {
	Path     string
	Children *child.Children
	Log      *slog.Logger
	// Memory bounds a plugin's private memory, bytes; 0: 256 MiB.
	Memory uint64
	// Hide masks secrets in what a plugin says for people; its result is the caller's to mask. May be nil.
	Hide func(string) string
}

// Describe asks every plugin what it offers, in the order of their names. One that says that it is not for this
// machine is left out; one that fails is an error, because a check that silently does not happen is none.
func (f Folder) Describe(ctx context.Context, about About) ([]Plugin, error) {
	paths, err := f.programs()
	if err != nil {
		return nil, err
	}
	plugins, errs := make([]*Plugin, len(paths)), make([]error, len(paths))
	done := make(chan struct{})
	for i, path := range paths {
		go func() {
			defer func() { done <- struct{}{} }()
			p, err := f.describe(ctx, path, about)
			switch {
			case errors.Is(err, ErrNotHere):
				f.Log.Info("plugin is not for this machine", "plugin", filepath.Base(path))
			case err != nil:
				errs[i] = fmt.Errorf("plugin %s: %w", filepath.Base(path), err)
			default:
				plugins[i] = &p
			}
		}()
	}
	for range paths {
		<-done
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var all []Plugin
	for _, p := range plugins {
		if p == nil {
			continue
		}
		if slices.ContainsFunc(all, func(other Plugin) bool { return other.Name == p.Name }) {
			return nil, fmt.Errorf("two plugins have the name %s", p.Name)
		}
		all = append(all, *p)
	}
	return all, nil
}

// programs are the executable files of the folder. Links and everything else are left out, a folder that is not
// there is empty.
func (f Folder) programs() ([]string, error) {
	entries, err := os.ReadDir(f.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list plugins: %w", err)
	}
	var paths []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		paths = append(paths, filepath.Join(f.Path, e.Name()))
	}
	if len(paths) > maxPlugins {
		return nil, fmt.Errorf("there are %d plugins, more than %d", len(paths), maxPlugins)
	}
	return paths, nil
}

func (f Folder) describe(ctx context.Context, path string, about About) (Plugin, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, describeLimit, fmt.Errorf("it does not describe itself within %s", describeLimit))
	defer cancel()
	result, err := f.call(ctx, path, request{Protocol: protocol, Command: "describe", About: about}, nil)
	if err != nil {
		return Plugin{}, err
	}
	d, err := parseDescription(result)
	if err != nil {
		return Plugin{}, err
	}
	return Plugin{Name: d.Name, Version: d.Version, Support: d.Support, path: path,
		Steps: map[string][]Step{Clean: d.Clean, Deploy: d.Deploy, Service: d.Service}}, nil
}

// Run runs a step of a plugin. args is a JSON object. The result is what the plugin gave, any JSON. ErrNotHere
// means that another manager's step of that name should be run.
func (f Folder) Run(ctx context.Context, p Plugin, kind string, step Step, args json.RawMessage, about About, progress func(agentapi.Progress)) (json.RawMessage, error) {
	for name, info := range step.ArgsInfo {
		var given map[string]json.RawMessage
		if _ = json.Unmarshal(args, &given); info.Required && given[name] == nil {
			return nil, fmt.Errorf("step %s needs the argument %s", step.Step, clean(name))
		}
	}
	limit := stepLimit
	if step.Limit > 0 {
		limit = time.Duration(step.Limit) * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	defer cancel()
	return f.call(ctx, p.path, request{Protocol: protocol, Command: "run", About: about, Kind: kind,
		Step: &ordered{step.Interface, step.Step, args}}, progress)
}

// call runs a plugin once and gives the one result it said.
func (f Folder) call(ctx context.Context, path string, r request, progress func(agentapi.Progress)) (json.RawMessage, error) {
	input, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "plugin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	h := hearing{log: f.Log.With("plugin", filepath.Base(path)), progress: progress, hide: f.Hide}
	if h.hide == nil {
		h.hide = func(s string) string { return s }
	}
	out, stderr := &talk{say: h.take}, &child.Tail{Limit: complaints}
	code, err := f.Children.Run(ctx, child.Program{Path: path, Args: []string{r.Command}, Dir: scratch, Stdin: append(input, '\n'), Memory: cmp.Or(f.Memory, memory),
		Env:    []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/", "TMPDIR=" + scratch},
		Stdout: out, Stderr: stderr})
	if err != nil {
		return nil, err
	}
	for l := range strings.Lines(stderr.String()) {
		h.logged(l)
	}
	if code == notHere {
		return nil, ErrNotHere
	}
	if err := out.end(); err != nil {
		return nil, err
	}
	return h.verdict(code, stderr.String())
}

// hearing is what a plugin said so far.
type hearing struct {
	log      *slog.Logger
	progress func(agentapi.Progress)
	hide     func(string) string
	lines    int
	result   json.RawMessage
	failure  *string
}

func (h *hearing) take(l line) error {
	if h.result != nil || h.failure != nil {
		return errors.New("it goes on after its result")
	}
	switch {
	case l.Progress != nil:
		if h.progress != nil {
			l.Progress.What, l.Progress.Unit = h.hide(l.Progress.What), h.hide(l.Progress.Unit)
			h.progress(*l.Progress)
		}
	case l.Log != nil:
		h.logged(*l.Log)
	case l.Error != nil:
		masked := h.hide(*l.Error)
		h.failure = &masked
	default:
		h.result = slices.Clone(l.Result)
	}
	return nil
}

// logged puts a line of the plugin's into the agent's log, the first ones of a run.
func (h *hearing) logged(text string) {
	if text = clean(h.hide(text)); text == "" {
		return
	}
	if h.lines++; h.lines <= maxLogged {
		h.log.Info("plugin says", "text", text)
	}
}

// verdict joins the exit code with what was said.
func (h *hearing) verdict(code int, stderr string) (json.RawMessage, error) {
	switch {
	case h.failure != nil && clean(*h.failure) != "":
		return nil, errors.New(clean(*h.failure))
	case code != 0:
		last := ""
		for l := range strings.Lines(stderr) {
			if l = clean(h.hide(l)); l != "" {
				last = ": " + l
			}
		}
		return nil, fmt.Errorf("it ended with code %d%s", code, last)
	case h.result == nil:
		return nil, errors.New("it ended without a result")
	}
	return h.result, nil
}
