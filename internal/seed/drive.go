package seed

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"

	"ingot/internal/fault"
)

// Label is the volume label by which cloud-init finds a config drive.
const Label = "config-2"

// MaxDrive is the largest config drive, 64 MiB: agents make a partition of that size for it.
const MaxDrive = 64 << 20

// ISO gives the config drive: an ISO 9660 image with Rock Ridge and Joliet names, labelled config-2, that
// has every file under openstack/<version>/ for each of Versions. The versions share their files'
// sectors, so the drive is about as large as the seed. Over MaxDrive it is fault.TooLarge.
func (s *Seed) ISO() ([]byte, error) {
	root := newDir("")
	top := root.dir("openstack")
	size := 0
	for _, version := range Versions {
		dir := top.dir(version)
		for _, name := range s.Names() {
			content := s.reveal()[name]
			dir.add(name, content)
			if version == Versions[0] {
				size += len(content)
			}
		}
	}
	if size > MaxDrive-1<<20 {
		return nil, fault.New(fault.TooLarge, "The config drive would be larger than 64 MiB: make the user data smaller.")
	}
	return writeISO(root, Label), nil
}

// Drive gives the config drive in the form agents take it in write_image: base64 of gzip of ISO.
func (s *Seed) Drive() (string, error) {
	iso, err := s.ISO()
	if err != nil {
		return "", err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(iso); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes()), nil
}
