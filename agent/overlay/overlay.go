package overlay

import (
	"context"
	"errors"
	"log/slog"

	"ingot/agent/installed"
	"ingot/agent/server"
	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/source"
)

// Limits bound what a package may be. Zero values are those of Defaults.
type Limits struct {
	Packed  int64 // bytes, as it is fetched; never more than half of the memory that is free
	Bytes   int64 // of all its files together
	Entries int
}

// Defaults are the limits that hold if nothing else is said.
var Defaults = Limits{Packed: 512 << 20, Bytes: 8 << 30, Entries: 200_000}

// Overlay applies packages. The zero value can be used.
type Overlay struct {
	Limits Limits
	Log    *slog.Logger // nil: nothing is logged

	options source.Options // for tests: how patient the download is
}

// Apply fetches a package and lays it over the system that is installed on the first of some disks. It writes to no other disk than
// these, whatever the system's fstab says. progress may be nil.
func (o *Overlay) Apply(ctx context.Context, pkg agentapi.OSPackage, disks []string, progress func(agentapi.Progress)) (agentapi.OSOverlay, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if progress == nil {
		progress = func(agentapi.Progress) {}
	}
	local, sum, err := o.fetch(ctx, pkg, progress)
	if err != nil {
		return agentapi.OSOverlay{}, failure(pkg, err)
	}
	defer local.Close() // the memory it is in ends with this
	a := archive{file: local, url: pkg.URL, limits: o.limits()}
	found, err := a.judge(ctx)
	if err != nil {
		return agentapi.OSOverlay{}, failure(pkg, err)
	}
	log.Info("the package is fetched", "url", source.Safe(pkg.URL), "sha256", sum, "entries", found.entries, "bytes", found.bytes)
	system, err := installed.Open(ctx, disks)
	if err != nil {
		return agentapi.OSOverlay{}, failure(pkg, err)
	}
	log.Info("the installed system is mounted", "device", system.Device, "name", system.Name, "left", len(system.Left))
	done, err := a.lay(ctx, system.Root, system.Left, found, progress)
	if err := errors.Join(err, system.Close(ctx)); err != nil {
		return agentapi.OSOverlay{}, failure(pkg, err)
	}
	done.SHA256 = sum
	return done, nil
}

func (o *Overlay) limits() Limits {
	l := o.Limits
	if l.Packed <= 0 {
		l.Packed = Defaults.Packed
	}
	if l.Bytes <= 0 {
		l.Bytes = Defaults.Bytes
	}
	if l.Entries <= 0 {
		l.Entries = Defaults.Entries
	}
	return l
}

// lay holds the judged package against what is mounted at root, and writes it there.
func (a archive) lay(ctx context.Context, root string, left map[string]string, found verdict, progress func(agentapi.Progress)) (agentapi.OSOverlay, error) {
	t, err := newTree(root, left)
	if err != nil {
		return agentapi.OSOverlay{}, err
	}
	defer t.close()
	if err := a.look(ctx, t); err != nil {
		return agentapi.OSOverlay{}, err
	}
	return a.write(ctx, t, found, progress)
}

// failure is the error as the agent tells it.
func failure(pkg agentapi.OSPackage, err error) error {
	said := err.Error()
	if public, ok := fault.PublicOf(err); ok {
		said = public
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return server.Error("CommandExecutionError", "Laying the personalization package over the installed system was cancelled.")
	}
	return server.Error("DeploymentError", "The personalization package %s is not applied. %s", source.Safe(pkg.URL), said)
}
