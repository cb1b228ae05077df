package osinstall

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// read makes a bundle of what came, and sees that it is the one that was meant.
func read(d *agentapi.OSDefinition) (*osdef.Bundle, *osdef.Definition, error) {
	bundle, err := osdef.Read(bytes.NewReader(d.Bundle), osdef.Usual)
	if err != nil {
		return nil, nil, err
	}
	if bundle.Digest() != d.Digest {
		return nil, nil, fmt.Errorf("the files of the OS definition have the digest %s, and not %s, which was asked for", bundle.Digest(), d.Digest)
	}
	definition, err := bundle.Definition()
	return bundle, definition, err
}

// classes sorts parameters.
func classes(parameters []agentapi.OSParameter) (osdef.Classes, error) {
	c := osdef.Classes{Public: map[string]string{}, Private: map[string]secret.Secret{}, Secret: map[string]secret.Secret{}}
	for _, p := range parameters {
		switch p.Class {
		case classPublic:
			c.Public[p.Name] = p.Value
		case classPrivate:
			c.Private[p.Name] = secret.New(p.Value)
		case classSecret:
			c.Secret[p.Name] = secret.New(p.Value)
		default:
			return c, fmt.Errorf("the OS parameter %.64q has a class that this agent does not know", p.Name)
		}
	}
	return c, c.Disjoint()
}

// The classes on the wire.
const (
	classPublic  = "public"
	classPrivate = "private"
	classSecret  = "secret"
)

// start is what a script is started for.
func (s *session) start(j job) osdef.Run {
	d := s.work.Definition
	return osdef.Run{Action: s.action, Name: d.Name, Variant: d.Variant, Definition: s.definition, Machine: s.machine(), Parameters: s.classes,
		Reinstall: s.work.Reinstall, Disk: j.disk, SizeFD: j.sizeFD, OldName: s.work.OldName}
}

// machine is what scripts are told of this one.
func (s *session) machine() osdef.Machine {
	m := s.work.Machine
	out := osdef.Machine{Name: m.Name, UUID: m.UUID, Created: time.Unix(m.Created, 0), Modified: time.Unix(m.Modified, 0), Debug: m.Debug, Disks: s.disks}
	for _, n := range m.NICs {
		nic := osdef.NIC{MAC: n.MAC, UUID: n.UUID, Name: n.Name, IP: n.IP, Link: n.Link}
		if n.Network != nil {
			network := osdef.Network(*n.Network)
			nic.Network = &network
		}
		out.NICs = append(out.NICs, nic)
	}
	return out
}

// unpack writes a bundle's files into a folder below top, where nobody but this process's user comes. Files and folders are read-only.
func unpack(top string, files []osdef.File) (string, error) {
	folder := filepath.Join(top, "definition")
	if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // G301: whoever a script runs as reads it; top keeps others out
		return "", err
	}
	for _, f := range files {
		at := filepath.Join(folder, filepath.FromSlash(f.Name)) // osdef lets no name lead out
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return "", err
		}
		mode := fs.FileMode(0o444)
		if f.Executable {
			mode = 0o555
		}
		if err := create(at, f.Content, mode); err != nil {
			return "", err
		}
	}
	return folder, chmodFolders(folder, 0o555)
}

// create writes a file that is not there yet. Its writer is closed before anybody runs it.
func create(name string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Close()) // whatever the umask is
}

func chmodFolders(top string, mode fs.FileMode) error {
	return filepath.WalkDir(top, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return os.Chmod(name, mode) //nolint:gosec // G122: nobody else makes files there, before the scripts or after them
	})
}

// remove removes a folder with what is in it, also for one who is not root.
func remove(top string) error {
	return errors.Join(chmodFolders(top, 0o700), os.RemoveAll(top))
}
