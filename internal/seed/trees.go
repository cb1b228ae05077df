package seed

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Seed is a set of rendered files. The zero Seed has none. It never changes, so it is safe for concurrent use; its files
// are reachable by method only, so it cannot be printed.
type Seed struct{ reveal func() tree }

// tree is what a seed is made of; all paths of all versions follow from it. Nobody changes one that is in a Seed.
type tree struct {
	files    map[string][]byte // of openstack/latest, by name
	content  map[string][]byte // of openstack/content, by name
	ec2      []byte            // ec2/latest/meta-data.json, with the names of keys under "_name"; nil for none
	password []byte            // nil: the tree has no password
}

func newSeed(t tree) *Seed { return &Seed{reveal: func() tree { return t }} }

func (s *Seed) tree() tree {
	if s == nil || s.reveal == nil {
		return tree{}
	}
	return s.reveal()
}

// Get answers a path as it is asked for by HTTP, such as "/openstack/latest/meta_data.json", "/latest/meta-data/hostname"
// or "/". What is absent is fault.NotFound. The content must not be changed.
func (s *Seed) Get(asked string) (Page, error) {
	if page, ok := Listing(asked); ok {
		return page, nil
	}
	t, steps := s.tree(), split(asked)
	page, ok := Page{}, false
	switch {
	case steps[0] == "ec2":
		page, ok = t.ec2Page(steps[1], steps[2:])
	case steps[1] == "content" && len(steps) == 3:
		page.Content, ok = t.content[steps[2]]
		page.Type = TypeRaw
	case len(steps) == 2:
		page, ok = t.openStackListing(steps[1])
	case len(steps) == 3:
		page, ok = t.openStackFile(steps[1], steps[2])
	}
	if !ok {
		return Page{}, fault.New(fault.NotFound, "This instance has nothing at that path.")
	}
	return page, nil
}

// Names lists the files of openstack/latest, sorted.
func (s *Seed) Names() []string { return slices.Sorted(maps.Keys(s.tree().files)) }

// File gives a copy of one file of openstack/latest, and whether there is one.
func (s *Seed) File(name string) ([]byte, bool) {
	b, ok := s.tree().files[name]
	return bytes.Clone(b), ok
}

// Size is about how much memory the seed holds, in bytes.
func (s *Seed) Size() int {
	t := s.tree()
	n := len(t.ec2) + len(t.password)
	for _, files := range []map[string][]byte{t.files, t.content} {
		for name, b := range files {
			n += len(name) + len(b) + 64 // the entry of the map
		}
	}
	return n
}

// WithVendorData2 is the seed with the answers of vendordata's targets, a JSON object by provider, in vendor_data2.json.
// They win over what the seed has under the same names (Shadowed). The static document among them is vendor_data.json,
// too, as upstream has it: without one there is no such file of the operator's. What is no object changes nothing.
func (s *Seed) WithVendorData2(raw json.RawMessage) *Seed {
	var news map[string]json.RawMessage
	if json.Unmarshal(raw, &news) != nil || news == nil {
		return s
	}
	t := s.tree()
	t.files = maps.Clone(t.files)
	if t.files == nil {
		t.files = map[string][]byte{}
	}
	all := t.vendorNames()
	maps.Copy(all, news)
	b, err := marshal(all)
	if err != nil {
		return s // unreachable: every part was JSON
	}
	t.files[VendorData2] = b
	if static, ok := news[static]; ok {
		t.files[VendorData] = static
	}
	return newSeed(t)
}

// Shadowed are the names in the seed's own vendor data that WithVendorData2 would give another value, sorted.
func (s *Seed) Shadowed(raw json.RawMessage) []string {
	var news map[string]json.RawMessage
	if json.Unmarshal(raw, &news) != nil {
		return nil
	}
	var out []string
	for name, value := range s.tree().vendorNames() {
		if other, ok := news[name]; ok && compact(other) != compact(value) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// static is the key of vendor_data2.json for the operator's own document.
const static = "static"

// vendorNames are the parts of vendor_data2.json, by name.
func (t tree) vendorNames() map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	if json.Unmarshal(t.files[VendorData2], &all) != nil || all == nil {
		return map[string]json.RawMessage{}
	}
	return all
}

func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// WithPassword is the seed with the file password, which may be empty, in every version that knows it.
func (s *Seed) WithPassword(posted []byte) *Seed {
	t := s.tree()
	t.password = append([]byte{}, posted...)
	return newSeed(t)
}

// WithAddress is the seed of an instance that was seen at an address: EC2's local-ipv4, where no static one is known.
func (s *Seed) WithAddress(a netip.Addr) *Seed {
	t := s.tree()
	var doc map[string]any
	if a = a.Unmap(); !a.Is4() || json.Unmarshal(t.ec2, &doc) != nil || doc == nil || doc[localIPv4] != nil {
		return s
	}
	doc[localIPv4] = a.String()
	b, err := marshal(doc)
	if err != nil {
		return s // unreachable: it was JSON
	}
	t.ec2 = b
	return newSeed(t)
}

// String masks, so that a seed in a log line stays private.
func (*Seed) String() string { return secret.Mask }

// GoString masks too.
func (*Seed) GoString() string { return secret.Mask }

// fits tells whether a name may be that of a file here: it goes into directories of file systems that have few
// characters and no cases, and never means another directory.
func fits(name string) bool {
	const most = 30 // ISO 9660 at its longest, less its version number
	if name == "" || len(name) > most || name[0] == '.' || strings.HasSuffix(name, ".") {
		return false
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
