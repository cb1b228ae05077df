package seed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// The files of a seed, by the names OpenStack gives them.
const (
	MetaData    = "meta_data.json"
	NetworkData = "network_data.json"
	UserData    = "user_data"
	VendorData  = "vendor_data.json"  // the static document
	VendorData2 = "vendor_data2.json" // by provider; the static one under "static"
)

// Versions are the directories under openstack/ that hold the files, all with the same bytes: cloud-init
// takes the newest date it knows. Source: metadata reference §1.
var Versions = []string{"2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
	"2017-02-22", "2018-08-27", "2020-10-14", "2025-04-04", "latest"}

// Input is everything a seed is rendered from. Empty parts are left out of it, except UUID and Name.
type Input struct {
	UUID             string // instance (here: node) UUID; cloud-init runs its first-boot work once per UUID
	Name             string // display name
	Hostname         string
	ProjectID        string
	AvailabilityZone string
	PublicKeys       map[string]string // key name to OpenSSH public key line
	Meta             map[string]string // the user's own key-values
	RandomSeed       []byte            // entropy for the instance; nil leaves it out
	Extra            map[string]any    // more keys of meta_data.json; they do not override the ones above
	UserData         secret.Secret     // cloud-config, script or anything else, byte for byte
	NetworkData      map[string]any    // links, networks, services, as Nova's network_data.json
	VendorData       map[string]any    // static vendor data
	VendorData2      map[string]any    // vendor data by provider name
}

// Seed is a set of rendered files. The zero Seed has none. It is safe for concurrent use and must be
// treated as private: its files are reachable by method only, so it cannot be printed.
type Seed struct{ reveal func() map[string][]byte }

// Render makes the files. It fails with fault.Invalid when network data has the wrong shape or a part
// cannot be written as JSON.
func Render(in Input) (*Seed, error) {
	files := map[string][]byte{}
	network, err := checkNetwork(in.NetworkData)
	if err != nil {
		return nil, err
	}
	parts := map[string]map[string]any{MetaData: in.metaData(), NetworkData: network, VendorData: in.VendorData, VendorData2: in.vendorData2()}
	for name, part := range parts {
		if len(part) == 0 {
			continue
		}
		if files[name], err = marshal(part); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The %s of the config drive cannot be written as JSON.", name)
		}
	}
	if user := in.UserData.Expose(); user != "" {
		files[UserData] = []byte(user)
	}
	return newSeed(files), nil
}

func newSeed(files map[string][]byte) *Seed {
	return &Seed{reveal: func() map[string][]byte { return files }}
}

// metaData follows Nova's meta_data.json (metadata reference §2.1) for the fields a bare machine has.
func (in Input) metaData() map[string]any {
	m := maps.Clone(in.Extra)
	if m == nil {
		m = map[string]any{}
	}
	set := func(key string, value any, present bool) {
		if present {
			m[key] = value
		}
	}
	set("uuid", in.UUID, true)
	set("name", in.Name, true)
	set("launch_index", 0, true)
	set("hostname", in.Hostname, in.Hostname != "")
	set("project_id", in.ProjectID, in.ProjectID != "")
	set("availability_zone", in.AvailabilityZone, in.AvailabilityZone != "")
	set("meta", in.Meta, len(in.Meta) > 0)
	set("random_seed", in.RandomSeed, len(in.RandomSeed) > 0) // JSON makes it base64, as Nova does
	set("public_keys", in.PublicKeys, len(in.PublicKeys) > 0)
	set("keys", in.keys(), len(in.PublicKeys) > 0)
	return m
}

func (in Input) keys() []map[string]string {
	var keys []map[string]string
	for _, name := range slices.Sorted(maps.Keys(in.PublicKeys)) {
		keys = append(keys, map[string]string{"name": name, "type": "ssh", "data": in.PublicKeys[name]})
	}
	return keys
}

// vendorData2 is the answer by provider, with static vendor data under its reserved name (§8.4).
func (in Input) vendorData2() map[string]any {
	if len(in.VendorData) == 0 {
		return in.VendorData2
	}
	m := maps.Clone(in.VendorData2)
	if m == nil {
		m = map[string]any{}
	}
	m["static"] = in.VendorData
	return m
}

// marshal writes JSON without HTML escapes: an ssh key comment or a script may hold < and &.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// checkNetwork completes network data so that the three lists its schema requires are there. Without a
// link it is left out: an instance given an empty list would configure no network at all, while one given
// nothing asks DHCP.
func checkNetwork(data map[string]any) (map[string]any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	full := maps.Clone(data)
	for _, key := range []string{"links", "networks", "services"} {
		if full[key] == nil {
			full[key] = []any{}
		}
		items, err := list(full[key])
		if err != nil {
			return nil, fault.New(fault.Invalid, "%q in the config drive's network_data must be a list of objects.", key)
		}
		if key == "links" && len(items) == 0 {
			return nil, nil
		}
	}
	return full, nil
}

// list gives a JSON list of objects, however the caller built it.
func list(v any) ([]map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var items []map[string]any
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, fmt.Errorf("not a list of objects: %w", err)
	}
	return items, nil
}

// Names lists the files, sorted.
func (s *Seed) Names() []string {
	if s == nil || s.reveal == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.reveal()))
}

// File gives a copy of one file's bytes by name, and whether there is one.
func (s *Seed) File(name string) ([]byte, bool) {
	if s == nil || s.reveal == nil {
		return nil, false
	}
	b, ok := s.reveal()[name]
	return bytes.Clone(b), ok
}

// String masks, so that a seed in a log line stays private.
func (*Seed) String() string { return secret.Mask }

// GoString masks too.
func (*Seed) GoString() string { return secret.Mask }
