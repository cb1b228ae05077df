package seed

import (
	"bytes"
	"encoding/json"
	"maps"
)

// Renamed is the seed of the same instance under another host name. The short name that an instance is shown by is the same one. Files that
// are no JSON objects stay as they are.
func (s *Seed) Renamed(host string) *Seed {
	t := s.tree()
	rename := func(raw []byte, keys ...string) []byte {
		var object map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if d.Decode(&object) != nil || object == nil {
			return raw
		}
		for _, key := range keys {
			if _, has := object[key]; has || key == "hostname" {
				object[key] = host
			}
		}
		b, err := marshal(object)
		if err != nil {
			return raw // unreachable: it was JSON
		}
		return b
	}
	if raw, has := t.files[MetaData]; has {
		t.files = maps.Clone(t.files)
		t.files[MetaData] = rename(raw, "hostname", "name")
	}
	if len(t.ec2) > 0 {
		t.ec2 = rename(t.ec2, "hostname", "local-hostname", "public-hostname")
	}
	return newSeed(t)
}
