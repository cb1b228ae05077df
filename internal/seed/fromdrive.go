package seed

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"ingot/internal/fault"
)

// FromDrive is the seed on a config drive that somebody else made, as Ironic's API takes one: base64 of an image, ISO
// 9660 or vfat, that may be gzipped. The files are those of openstack/latest, else of the newest dated version, byte for byte; older versions follow from
// them. Network data without a link is left out, as everywhere; what else of it the schema does not know is the drive's own affair. The EC2 tree is the drive's, or follows from
// meta_data.json. Files whose names cannot be ours are left out. A drive that cannot be read is fault.Invalid, one
// that holds more than 16 MiB is fault.TooLarge: it can be written to a disk, but nobody can be served of it.
func FromDrive(text string) (*Seed, error) {
	image, err := imageOf(text)
	if err != nil {
		return nil, err
	}
	return fromImage(image)
}

// imageOf is the image of a drive that is given as text.
func imageOf(text string) ([]byte, error) {
	if strings.Contains(text[:min(len(text), 64)], "://") {
		return nil, fault.New(fault.Invalid, "The config drive is at a URL, which is not read here.")
	}
	if len(text) > 2*MaxDrive {
		return nil, fault.New(fault.TooLarge, "The config drive is larger than 64 MiB.")
	}
	return unpacked(text)
}

func fromImage(image []byte) (*Seed, error) {
	v, err := openVolume(image)
	if err != nil {
		return nil, err
	}
	c := collector{volume: v, left: maxServed}
	openStack, newer := c.versions("openstack")
	ec2, older := c.versions("ec2")
	if c.err == nil && !newer && !older {
		return nil, fault.New(fault.Invalid, "The config drive has neither openstack/ nor ec2/ with a version in it.")
	}
	t := tree{files: c.files(openStack, newer)}
	if content, ok := c.dir("openstack", "content"); ok {
		t.content = c.files(content, true)
	}
	other := c.files(ec2, older)
	if c.err != nil {
		return nil, c.err
	}
	if user, ok := other[ec2UserFile]; ok && t.files[UserData] == nil {
		t.files[UserData] = user
	}
	return t.judged(other[ec2MetaFile])
}

// judged is the seed of a drive's files, once those of them that others rely on are what they should be.
func (t tree) judged(ec2 []byte) (*Seed, error) {
	meta, err := objectIn(t.files, MetaData)
	if err != nil {
		return nil, err
	}
	network, err := objectIn(t.files, NetworkData)
	if err == nil {
		network, err = completeNetwork(network)
	}
	if err != nil {
		return nil, err
	}
	if network == nil {
		delete(t.files, NetworkData)
	}
	if doc, err := ec2Tree(ec2); err == nil && doc != nil && len(ec2) <= maxParsed {
		t.ec2 = ec2
	} else if meta != nil {
		if t.ec2, err = marshal(ec2Document(Input{NetworkData: network}, meta)); err != nil {
			return nil, err
		}
	}
	return newSeed(t), nil
}

// objectIn parses a file that must be a JSON object; nil if there is none.
func objectIn(files map[string][]byte, name string) (map[string]any, error) {
	raw, ok := files[name]
	if !ok {
		return nil, nil
	}
	if len(raw) > maxParsed {
		return nil, fault.New(fault.TooLarge, "The config drive's %s has %d bytes; at most %d are read.", name, len(raw), maxParsed)
	}
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&object); err != nil || object == nil || d.More() {
		return nil, fault.Wrap(fault.Invalid, err, "The config drive's %s is not a JSON object.", name)
	}
	return object, nil
}

// collector reads a volume until something goes wrong.
type collector struct {
	volume volume
	left   int // bytes that may still be taken
	err    error
}

// dir goes down from the root.
func (c *collector) dir(path ...string) (entry, bool) {
	at := c.volume.root()
	for _, name := range path {
		next, ok, err := entry{}, false, c.err
		if err == nil {
			next, ok, err = find(c.volume, at, name, true)
		}
		if c.err = err; !ok {
			return entry{}, false
		}
		at = next
	}
	return at, true
}

var dated = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)

// versions is the directory of the newest version of a tree.
func (c *collector) versions(tree string) (entry, bool) {
	top, ok := c.dir(tree)
	if !ok {
		return entry{}, false
	}
	entries, err := c.volume.list(top)
	if err != nil {
		c.err = err
		return entry{}, false
	}
	newest := entry{}
	for _, e := range entries {
		if !e.isDir {
			continue
		}
		if same(c.volume, e.name, Latest) {
			return e, true
		}
		if dated.MatchString(e.name) && e.name > newest.name {
			newest = e
		}
	}
	return newest, newest.name != ""
}

// files takes the files of a directory. Of names that are one on some file system the first counts.
func (c *collector) files(dir entry, there bool) map[string][]byte {
	out := map[string][]byte{}
	if !there || c.err != nil {
		return out
	}
	entries, err := c.volume.list(dir)
	if err != nil {
		c.err = err
		return out
	}
	seen := map[string]bool{}
	for _, e := range entries {
		flat := strings.ReplaceAll(strings.ToLower(e.name), "-", "_")
		if e.isDir || !fits(e.name) || seen[flat] {
			continue
		}
		seen[flat] = true
		if c.left -= int(e.size); c.left < 0 {
			c.err = fault.New(fault.TooLarge, "The files of the config drive are larger than %d MiB: it is used as it is, and not served.", maxServed>>20)
			return out
		}
		b, err := c.volume.read(e)
		if err != nil {
			c.err = err
			return out
		}
		out[c.ours(e.name)] = bytes.Clone(b) // the image need not stay
	}
	return out
}

// ours is the name as we write it, on a file system on which case does not count.
func (c *collector) ours(name string) string {
	for _, known := range []string{MetaData, NetworkData, UserData, VendorData, VendorData2, ec2MetaFile, ec2UserFile} {
		if same(c.volume, known, name) {
			return known
		}
	}
	return name
}

// networkOn is the network data on a drive that is given as text, as NetworkDataOf has it.
func networkOn(text string) (json.RawMessage, error) {
	image, err := imageOf(text)
	if err != nil {
		return nil, err
	}
	v, err := openVolume(image)
	if err != nil {
		return nil, err
	}
	c := collector{volume: v}
	dir, ok := c.versions("openstack")
	if !ok {
		return nil, c.err
	}
	file, ok, err := find(v, dir, NetworkData, false)
	if !ok || err != nil {
		return nil, err
	}
	raw, err := v.read(file)
	if err != nil {
		return nil, err
	}
	data, err := objectIn(map[string][]byte{NetworkData: raw}, NetworkData)
	if err == nil {
		data, err = completeNetwork(data)
	}
	if data == nil || err != nil {
		return nil, err
	}
	return marshal(data)
}
