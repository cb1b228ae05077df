package osinstall

import (
	"context"
	"fmt"
	"io"
	"os"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/osdef"
)

// Export has the definition's export say a dump of each disk, and sends the dumps to where the work says. The manifest is written last: what
// broke off before it is no export.
func (i *Installer) Export(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return i.do(ctx, osdef.Export, w, progress, func(ctx context.Context, s *session) error {
		d, part, f, err := s.streams()
		if err != nil {
			return err
		}
		defer f.close()
		if err := f.beginExport(ctx, s.work.Streams.Replace); err != nil {
			return err
		}
		m := &agentapi.OSManifest{Version: manifestVersion, Definition: d.Name, Digest: d.Digest, Variant: d.Variant}
		for n, disk := range s.disks {
			run := func(ctx context.Context, _ io.Reader, out io.Writer, files ...*os.File) error {
				return s.run(ctx, job{part: part, disk: n, stdout: out, files: files, sizeFD: sizeFD})
			}
			dump, err := f.exportDisk(ctx, n, disk, s.work.Streams.MaxBytes, run, dumping(progress, "exporting", n, len(s.disks)))
			if err != nil {
				return fmt.Errorf("disk %d: %w", n, err)
			}
			m.Disks = append(m.Disks, dump)
		}
		if err := f.endExport(ctx, m); err != nil {
			return err
		}
		s.result.Manifest = m
		return nil
	})
}

// Import has the definition's import put each dump of an export on its disk. The manifest is read and held against the machine before
// anything is written.
func (i *Installer) Import(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return i.do(ctx, osdef.Import, w, progress, func(ctx context.Context, s *session) error {
		_, part, f, err := s.streams()
		if err != nil {
			return err
		}
		defer f.close()
		there, err := f.manifest(ctx)
		if err == errGone {
			return fault.New(fault.Invalid, "There is no export at the URL: it has no %s.", manifestFile)
		}
		if err != nil {
			return err
		}
		m, err := readManifest(there, s.work.Streams.MaxBytes)
		if err != nil {
			return err
		}
		if err := f.checkImport(ctx, m, s.disks); err != nil {
			return err
		}
		for n, d := range m.Disks {
			run := func(ctx context.Context, in io.Reader, _ io.Writer, _ ...*os.File) error {
				return s.run(ctx, job{part: part, disk: n, stdin: in})
			}
			if err := f.importDisk(ctx, d, run, dumping(progress, "importing", n, len(m.Disks))); err != nil {
				return fmt.Errorf("disk %d: %w", n, err)
			}
		}
		s.result.Manifest = m
		return s.overlay(ctx)
	})
}

// Rename has the definition's rename tell the system its new name, which is that of the work's machine.
func (i *Installer) Rename(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return i.do(ctx, osdef.Rename, w, progress, func(ctx context.Context, s *session) error {
		if len(s.parts) == 0 {
			return fault.New(fault.Invalid, "There is no OS definition to rename with.")
		}
		return s.runParts(ctx)
	})
}

// streams is what a dump goes through: of a definition that has two scripts for it one runs, see osdef.Definition.Streamed.
func (s *session) streams() (*agentapi.OSDefinition, osdef.Part, *folder, error) {
	d := s.work.Definition
	if d == nil {
		return nil, osdef.Part{}, nil, fault.New(fault.Invalid, "There is no OS definition to %s with.", s.action)
	}
	part, err := s.definition.Streamed(s.action, d.Trusted)
	if err != nil {
		return nil, osdef.Part{}, nil, err
	}
	f, err := openFolder(s.work.Streams)
	return d, part, f, err
}

// dumping tells how far a dump is, in bytes.
func dumping(progress func(agentapi.Progress), what string, n, of int) func(done, total int64) {
	what = fmt.Sprintf("%s disk %d of %d", what, n+1, of)
	return func(done, total int64) {
		progress(agentapi.Progress{What: what, Done: done, Total: max(total, 0), Unit: "bytes"})
	}
}
