package seed

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"maps"
	"slices"

	"ingot/internal/fault"
)

// Label is the volume label by which cloud-init finds a config drive.
const Label = "config-2"

// MaxDrive is the largest config drive, 64 MiB: agents make a partition of that size for it.
const MaxDrive = 64 << 20

// errTooLarge is said before anything of that size is made.
var errTooLarge = fault.New(fault.TooLarge, "The config drive would be larger than 64 MiB: make the user data smaller.")

// ISO gives the config drive: an ISO 9660 image with Rock Ridge and Joliet names, labelled config-2. It has both
// trees: openstack/<version>/ for each of Versions, openstack/content/, and ec2/. Equal files share their sectors, so the
// drive is about as large as the seed. Over MaxDrive it is fault.TooLarge.
func (s *Seed) ISO() ([]byte, error) { return writeISO(s.tree().drive(), Label) }

// The formats of a config drive, as Nova's option config_drive_format names them.
const (
	FormatISO  = "iso9660"
	FormatVFAT = "vfat"
)

// Drive gives the config drive in the form agents take it in write_image: base64 of gzip of ISO.
func (s *Seed) Drive() (string, error) { return s.DriveAs(FormatISO) }

// DriveAs is Drive in a format; "" is ISO 9660.
func (s *Seed) DriveAs(format string) (string, error) {
	var image []byte
	var err error
	switch format {
	case FormatISO, "":
		image, err = s.ISO()
	case FormatVFAT:
		image, err = s.VFAT()
	default:
		err = fault.New(fault.Invalid, "There is no format %.40q of config drives: %s and %s are known.", format, FormatISO, FormatVFAT)
	}
	if err != nil {
		return "", err
	}
	return Pack(image)
}

// Pack gives an image of a config drive in the form agents take it in write_image: base64 of gzip.
func Pack(image []byte) (string, error) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(image); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes()), nil
}

// drive is all that a config drive holds. Of the EC2 versions it has two, as upstream by its default. A password
// is none of it: a drive is never written to.
func (t tree) drive() *dir {
	t.password = nil
	root := newDir("")
	if t.ec2 != nil {
		top, doc := root.dir("ec2"), t.ec2OnDriveDocument()
		for _, version := range []string{ec2OnDrive, Latest} {
			dir := top.dir(version)
			dir.add(ec2MetaFile, doc)
			if user, ok := t.files[UserData]; ok {
				dir.add(ec2UserFile, user)
			}
		}
	}
	top := root.dir("openstack")
	for _, version := range Versions {
		dir := top.dir(version)
		for _, name := range t.openStackNames(version) {
			page, _ := t.openStackFile(version, name)
			dir.add(name, page.Content)
		}
	}
	if len(t.content) > 0 {
		dir := top.dir("content")
		for _, name := range slices.Sorted(maps.Keys(t.content)) {
			dir.add(name, t.content[name])
		}
	}
	return root
}

// dir is a directory to be written. Names are of this package or were judged by fits.
type dir struct {
	name  string
	dirs  []*dir
	files []file
	up    *dir // the root's is itself
}

// file is a name and its content.
type file struct {
	name    string
	content []byte
}

func newDir(name string) *dir { d := &dir{name: name}; d.up = d; return d }

// dir adds a directory.
func (d *dir) dir(name string) *dir {
	sub := newDir(name)
	sub.up = d
	d.dirs = append(d.dirs, sub)
	return sub
}

// add adds a file.
func (d *dir) add(name string, content []byte) { d.files = append(d.files, file{name, content}) }

// all lists a directory and what is below it, breadth first.
func (d *dir) all() []*dir {
	out := []*dir{d}
	for i := 0; i < len(out); i++ {
		out = append(out, out[i].dirs...)
	}
	return out
}
