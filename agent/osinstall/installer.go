package osinstall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

// Installer does the work of OS definitions. One command runs at a time, which agent/server sees to.
type Installer struct {
	Runner Runner
	// Disks are those that scripts may write to, the one that is booted from first.
	Disks func(context.Context) ([]osdef.Disk, error)
	// Settle waits until devices have the names by which they are looked for; it is called before Disks. Nil: they have.
	Settle func(context.Context) error
	// Lay puts what a trusted definition needs of its host at its place, of all the definition's files; it is called before the
	// scripts. Nil: nothing is.
	Lay func([]osdef.File) error
	// Temp is where bundles are unpacked, in memory and where programs may run; "": the usual place.
	Temp string
	// Host listens where trusted scripts find the channel; nil: they have none.
	Host func(context.Context) (net.Listener, error)
	// Overlay puts a package on what was installed; nil: this ramdisk cannot.
	Overlay Overlay
	// Logs keeps what scripts said. May be nil.
	Logs *Logs
	Log  *slog.Logger
}

// Overlay fetches a package and lays it over the system on the first of some disks, and writes to no others. Its errors are whole sentences. Credentials that are in them are taken out.
type Overlay func(ctx context.Context, p agentapi.OSPackage, disks []string, progress func(agentapi.Progress)) (agentapi.OSOverlay, error)

// Verify runs the definition's verify, confined, with the parameters and without disks. A definition that has none is content.
func (i *Installer) Verify(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return i.do(ctx, osdef.Verify, w, progress, func(ctx context.Context, s *session) error { return s.runParts(ctx) })
}

// Install runs create, in all its parts at once, and then lays the package over what that left. Either may be absent.
func (i *Installer) Install(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return i.do(ctx, osdef.Create, w, progress, func(ctx context.Context, s *session) error {
		if w.Definition == nil && w.Package == nil {
			return errors.New("there is nothing to install: neither a definition nor a package")
		}
		if err := s.runParts(ctx); err != nil {
			return err
		}
		return s.overlay(ctx)
	})
}

// words say what the actions do.
var words = map[osdef.Action]string{
	osdef.Verify: "verifying parameters", osdef.Create: "an installation", osdef.Export: "an export", osdef.Import: "an import", osdef.Rename: "renaming",
}

// session is the work of one command.
type session struct {
	installer *Installer
	action    osdef.Action
	work      agentapi.OSWork

	definition *osdef.Definition // nil: there is none
	folder     string            // where it is unpacked
	parts      []osdef.Part
	classes    osdef.Classes
	disks      []osdef.Disk // none for verify
	served     *served
	hide       *scrubber
	progress   *gauge
	result     agentapi.OSResult
	undo       []func() error // what is to be done at the end, last first
}

// do is the frame of every command: everything is judged and made ready, work runs, and whatever became of it nothing is left behind. An
// error is a failure, which has what the scripts said.
func (i *Installer) do(ctx context.Context, action osdef.Action, w agentapi.OSWork, progress func(agentapi.Progress), work func(context.Context, *session) error) (agentapi.OSResult, error) {
	s := &session{installer: i, action: action, work: w, hide: newScrubber(hidden(w))}
	s.progress = &gauge{report: progress, hide: s.hide}
	if w.Timeout > 0 {
		limit := time.Duration(w.Timeout) * time.Second
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s, which is the limit for %s", limit, words[action]))
		defer cancel()
	}
	err := s.begin(ctx)
	if err == nil {
		err = work(ctx, s)
	}
	if late := s.end(); err == nil && late != nil {
		err = fmt.Errorf("clean up behind the scripts: %w", late)
	}
	if err != nil {
		i.Log.Warn("work of an OS definition failed", "action", string(action), "error", s.hide.text(err.Error()))
		return agentapi.OSResult{}, s.failed(err)
	}
	return s.result, nil
}

// begin judges what came and makes it ready.
func (s *session) begin(ctx context.Context) (err error) {
	if s.classes, err = classes(s.work.Parameters); err != nil {
		return err
	}
	if s.action != osdef.Verify {
		if err := s.settle(ctx); err != nil {
			return err
		}
		if s.disks, err = s.installer.Disks(ctx); err != nil {
			return err
		}
		if len(s.disks) == 0 {
			return errors.New("this machine has no disk that scripts may write to")
		}
	}
	if s.work.Definition == nil {
		return nil
	}
	bundle, err := s.judge()
	if err != nil {
		return err
	}
	if len(s.parts) == 0 {
		return nil
	}
	if s.installer.Runner == nil {
		return errors.New("this ramdisk runs no scripts of OS definitions")
	}
	if at := s.installer.Temp; at != "" {
		if err := os.MkdirAll(at, 0o700); err != nil {
			return err
		}
	}
	top, err := os.MkdirTemp(s.installer.Temp, "os-definition-")
	if err != nil {
		return err
	}
	s.undo = append(s.undo, func() error { return remove(top) })
	if s.folder, err = unpack(top, bundle.Files()); err != nil {
		return err
	}
	if lay := s.installer.Lay; lay != nil && s.work.Definition.Trusted && s.action != osdef.Verify {
		if err := lay(bundle.Files()); err != nil {
			return err
		}
	}
	return s.serve(ctx, bundle)
}

// settle waits for devices. Those that never settle are used as they are.
func (s *session) settle(ctx context.Context) error {
	if s.installer.Settle == nil {
		return nil
	}
	if err := s.installer.Settle(ctx); err != nil {
		s.installer.Log.Warn("devices have not settled", "error", err)
	}
	return context.Cause(ctx)
}

// judge reads the bundle that came, and decides what of it runs.
func (s *session) judge() (*osdef.Bundle, error) {
	d := s.work.Definition
	bundle, definition, err := read(d)
	if err != nil {
		return nil, err
	}
	s.definition = definition
	if err := s.classes.Check(definition); err != nil {
		return nil, err
	}
	if _, err := definition.Variant(d.Variant, true); err != nil {
		return nil, err
	}
	if d.Unsafe && !d.Trusted {
		return nil, errors.New("the OS definition is not trusted: its scripts never run unconfined")
	}
	s.parts, err = definition.Parts(s.action, d.Trusted)
	return bundle, err
}

// end takes everything back: channel, folder, values.
func (s *session) end() error {
	var errs []error
	for i := len(s.undo) - 1; i >= 0; i-- {
		errs = append(errs, s.undo[i]())
	}
	if s.work.Definition != nil {
		clear(s.work.Definition.Bundle)
	}
	s.work, s.classes, s.undo = agentapi.OSWork{}, osdef.Classes{}, nil
	// Pages that nothing points into go back to the kernel, and what was in them with that.
	debug.FreeOSMemory()
	return errors.Join(errs...)
}

// overlay lays the package over what is installed.
func (s *session) overlay(ctx context.Context) error {
	p := s.work.Package
	switch {
	case p == nil:
		return nil
	case s.installer.Overlay == nil:
		return errors.New("this ramdisk cannot lay a personalization package over a system")
	}
	s.installer.Log.Info("personalization package is laid over the system")
	s.progress.say(agentapi.OSProgress{Stage: stagePackage})
	var disks []string
	for _, d := range s.disks {
		disks = append(disks, d.Path)
	}
	left, err := s.installer.Overlay(ctx, *p, disks, func(far agentapi.Progress) {
		one := agentapi.OSProgress{Stage: stagePackage, Message: far.What}
		if far.Total > 0 {
			one.Percent = int(100 * far.Done / far.Total)
		}
		s.progress.say(one)
	})
	switch cause := context.Cause(ctx); {
	case err != nil && cause != nil:
		return fmt.Errorf("personalization package: %w", cause)
	case err != nil:
		return err // which says what it is about
	}
	s.progress.say(agentapi.OSProgress{Stage: stagePackage, Percent: 100, Message: done})
	s.result.Package = &left
	return nil
}
