package depot

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"ingot/internal/fault"
)

// The names in a ramdisk folder.
const (
	KernelName    = "kernel"
	InitramfsName = "initramfs"
	ISOName       = "boot.iso"
	ManifestName  = "manifest.json"
)

// ManifestVersion is the form of the manifest and of the placeholders this server understands.
const ManifestVersion = 1

// The kinds of ramdisk. A manifest without one is of KindDeploy: before there was another it said nothing.
const (
	KindDeploy = "deploy" // kernel and agent alone: cleans, deploys, inspects
	KindDebian = "debian" // a Debian with tools, which a person logs in to (rescue) or scripts run in (install)
)

// VolumeLabel is the ISO's label: the agent protocol's for a boot ISO that carries network data.
const VolumeLabel = "config-2"

// The files of the boot ISO whose bytes are replaced when it is served.
const (
	BootConfigPath  = "/ingot/boot.json"
	GrubConfigPath  = "/boot/grub/grub.cfg"
	NetworkDataPath = "/openstack/latest/network_data.json"
)

// Placeholders gives each replaced file its fixed size in bytes. The order is the manifest's.
func Placeholders() []Region {
	return []Region{
		{Path: BootConfigPath, Size: 64 << 10},
		{Path: GrubConfigPath, Size: 4 << 10},
		{Path: NetworkDataPath, Size: 64 << 10},
	}
}

// Region is a range of the boot ISO that belongs to one file. Offset and Size are bytes.
type Region struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size"`
}

// Manifest says what a ramdisk folder holds and what it was made from. It holds no time and no place, so
// the same inputs give the same manifest.
type Manifest struct {
	Version        int       `json:"version"`
	Kind           string    `json:"kind,omitempty"`
	KernelRelease  string    `json:"kernel_release"`
	Files          []File    `json:"files"`             // of the folder: kernel, initramfs, boot.iso
	Loaders        []File    `json:"loaders,omitempty"` // of its folder "loaders": boot loaders for the network
	Inputs         []File    `json:"inputs"`            // what went in: what was added, agent, shim, grub, certificates
	Packages       []Package `json:"packages"`          // none, where files were given instead
	Modules        []string  `json:"modules"`           // names, in load order
	BuiltinModules []string  `json:"builtin_modules"`
	MissingModules []string  `json:"missing_modules"` // wanted, and this kernel has none
	UnpackedSize   int64     `json:"unpacked_size"`   // bytes of memory the unpacked initramfs takes
	VolumeLabel    string    `json:"volume_label"`
	KernelParams   string    `json:"kernel_params"` // what every boot starts with
	Regions        []Region  `json:"regions"`       // of boot.iso, replaced when served
}

// File is one file's identity. Size is bytes, SHA256 lower-case hex.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Package is one distribution package that was used.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"` // of the .deb
}

// File finds a file of the folder by name.
func (m *Manifest) File(name string) (File, bool) {
	i := slices.IndexFunc(m.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return File{}, false
	}
	return m.Files[i], true
}

// ReadManifest reads the manifest of a ramdisk folder. A folder without one is fault.Unavailable, one
// that does not fit this server fault.Conflict.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(fault.Unavailable, err, "There is no ramdisk to boot machines with: run \"ingot ramdisk build\".")
	}
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The ramdisk's manifest cannot be read.")
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, stale(err, "its manifest is not readable")
	}
	if m.Version != ManifestVersion {
		return nil, stale(nil, "it was made by another version")
	}
	return &m, m.check()
}

// check compares the placeholders with the ones this server fills.
func (m *Manifest) check() error {
	iso, ok := m.File(ISOName)
	want := Placeholders()
	if !ok || len(m.Regions) != len(want) {
		return stale(nil, "its manifest is incomplete")
	}
	for i, r := range m.Regions {
		if r.Path != want[i].Path || r.Size != want[i].Size || r.Offset < 0 || r.Offset > iso.Size-r.Size {
			return stale(nil, "its placeholder "+want[i].Path+" does not fit")
		}
	}
	return nil
}

func stale(cause error, why string) error {
	return fault.Wrap(fault.Conflict, cause, "The ramdisk cannot be used (%s): run \"ingot ramdisk build\" again.", why)
}
