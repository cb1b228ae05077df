package seed

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Input is everything a seed is rendered from. Empty parts are left out of it, except UUID and Name and what every
// meta_data.json has. For FromObject it is what the object does not say.
type Input struct {
	UUID             string // instance UUID, else the node's; cloud-init runs its first-boot work once per UUID
	Name             string // display name
	Hostname         string // empty: the name
	ProjectID        string
	AvailabilityZone string
	LaunchIndex      int
	ImageID          string            // any text that tells images apart; EC2's ami-id is made of it
	InstanceType     string            // a bare machine's is its resource class
	PublicKeys       map[string]string // key name to OpenSSH public key line
	Meta             map[string]string // the user's own key-values
	Devices          []map[string]any  // as meta_data.json has them; older versions get those that they know
	RandomSeed       []byte            // entropy for the instance; nil leaves it out
	Extra            map[string]any    // more keys of meta_data.json; they do not override the ones above
	UserData         secret.Secret     // cloud-config, script or anything else, byte for byte
	NetworkData      map[string]any    // links, networks, services, as Nova's network_data.json
	VendorData       map[string]any    // the operator's static document; nil: there is none
	VendorData2      map[string]any    // vendor data by provider name
}

// Render makes the files. It fails with fault.Invalid when network data has the wrong shape or a part
// cannot be written as JSON.
func Render(in Input) (*Seed, error) {
	return in.render(in.metaData())
}

// render makes the files around a meta_data.json.
func (in Input) render(meta map[string]any) (*Seed, error) {
	network, err := checkNetwork(in.NetworkData)
	if err != nil {
		return nil, err
	}
	in.NetworkData = network
	t := tree{files: map[string][]byte{}}
	write := func(name string, part map[string]any) []byte {
		b, wrong := marshal(part)
		if wrong != nil && err == nil {
			err = fault.Wrap(fault.Invalid, wrong, "The %s of the config drive cannot be written as JSON.", name)
		}
		return b
	}
	t.files[MetaData] = write(MetaData, meta)
	if network != nil {
		t.files[NetworkData] = write(NetworkData, network)
	}
	if in.VendorData != nil {
		t.files[VendorData] = write(VendorData, in.VendorData)
	}
	if all := in.vendorData2(); len(all) > 0 {
		t.files[VendorData2] = write(VendorData2, all)
	}
	if user := in.UserData.Expose(); user != "" {
		t.files[UserData] = []byte(user)
	}
	t.ec2 = write(MetaData, ec2Document(in, meta))
	if err != nil {
		return nil, err
	}
	return newSeed(t), nil
}

// metaData follows Nova's meta_data.json (metadata reference §2.1) for the fields a bare machine has. It is that of the
// newest version: older ones are made from it (metaDataFor).
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
	host := cmp.Or(in.Hostname, in.Name)
	set("uuid", in.UUID, true)
	set("name", in.Name, true)
	set("launch_index", in.LaunchIndex, true)
	set("hostname", host, host != "")
	set("project_id", in.ProjectID, in.ProjectID != "")
	set("availability_zone", in.AvailabilityZone, in.AvailabilityZone != "")
	set("meta", in.Meta, len(in.Meta) > 0)
	set("random_seed", in.RandomSeed, len(in.RandomSeed) > 0) // JSON makes it base64, as Nova does
	set("public_keys", in.PublicKeys, len(in.PublicKeys) > 0)
	set("keys", in.keys(), len(in.PublicKeys) > 0)
	for key, none := range map[string]any{"availability_zone": nil, "devices": []any{}, "dedicated_cpus": []any{}} {
		if _, there := m[key]; !there {
			m[key] = none // clients may count on these
		}
	}
	set("devices", in.Devices, len(in.Devices) > 0)
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
	if in.VendorData == nil {
		return in.VendorData2
	}
	m := maps.Clone(in.VendorData2)
	if m == nil {
		m = map[string]any{}
	}
	m[static] = in.VendorData
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
