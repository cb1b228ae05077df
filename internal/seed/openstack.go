package seed

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// The files of a seed, by the names OpenStack gives them.
const (
	MetaData    = "meta_data.json"
	NetworkData = "network_data.json"
	UserData    = "user_data"
	VendorData  = "vendor_data.json"  // the static document
	VendorData2 = "vendor_data2.json" // by provider; the static one under "static"
	password    = "password"
)

// openStackFiles are the files of a version in the order in which they are listed, each with the version that brought
// it. Two things are not as upstream: network_data.json is not served by versions that do not list it, and has its
// right type; and vendor_data.json is not listed when there is none. Source: metadata reference §2.
var openStackFiles = []struct{ name, since, kind string }{
	{MetaData, "2012-08-10", TypeJSON},
	{UserData, "2012-08-10", TypeRaw},
	{password, "2013-04-04", TypeRaw},
	{VendorData, "2013-10-17", TypeJSON},
	{NetworkData, "2015-10-15", TypeJSON},
	{VendorData2, "2016-10-06", TypeJSON},
}

// openStackListing is the directory of a version.
func (t tree) openStackListing(version string) (Page, bool) {
	if !slices.Contains(Versions, version) {
		return Page{}, false
	}
	return listing(t.openStackNames(version)), true
}

// openStackNames are the files of a version: those that are known in their order, then what else a drive had.
func (t tree) openStackNames(version string) []string {
	var names []string
	for _, f := range openStackFiles {
		if _, _, ok := t.openStack(version, f.name); ok {
			names = append(names, f.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		if !known(name) {
			names = append(names, name)
		}
	}
	return names
}

func known(name string) bool {
	for _, f := range openStackFiles {
		if f.name == name {
			return true
		}
	}
	return false
}

// openStackFile is one file as a version has it.
func (t tree) openStackFile(version, name string) (Page, bool) {
	b, kind, ok := t.openStack(version, name)
	if ok && name == MetaData {
		b = metaDataFor(version, b)
	}
	return Page{Content: b, Type: kind}, ok
}

// openStack is one file as the latest version has it, if the given one has it at all.
func (t tree) openStack(version, name string) ([]byte, string, bool) {
	if !slices.Contains(Versions, version) {
		return nil, "", false
	}
	if name == password {
		return t.password, TypeRaw, t.password != nil && has(Versions, version, "2013-04-04")
	}
	b, ok := t.files[name]
	for _, f := range openStackFiles {
		if f.name == name {
			return b, f.kind, ok && has(Versions, version, f.since)
		}
	}
	if strings.HasSuffix(name, ".json") {
		return b, TypeJSON, ok
	}
	return b, TypeRaw, ok
}

// metaSince are the keys of meta_data.json that some version brought. Source: metadata reference §2.1.
var metaSince = map[string]string{
	"random_seed":    "2013-04-04",
	"project_id":     "2015-10-15",
	"devices":        "2016-06-30",
	"dedicated_cpus": "2020-10-14",
}

// newestMeta is the version after which meta_data.json did not change for the machines we know.
const newestMeta = "2025-04-04"

// metaDataFor is meta_data.json as an older version has it, made from that of the newest.
func metaDataFor(version string, newest []byte) []byte {
	if has(Versions, version, newestMeta) {
		return newest
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(newest, &all) != nil {
		return newest // a drive may hold anything
	}
	before := len(all)
	maps.DeleteFunc(all, func(key string, _ json.RawMessage) bool {
		since, old := metaSince[key]
		return old && !has(Versions, version, since)
	})
	devices, changed := devicesFor(version, all["devices"])
	if changed {
		all["devices"] = devices
	}
	if len(all) == before && !changed {
		return newest
	}
	b, err := marshal(all)
	if err != nil {
		return newest // unreachable: every part was JSON
	}
	return b
}

// devicesFor drops of the devices what a version does not know: shares, and of a NIC its VLAN and whether its virtual
// function is trusted. A NIC of which nothing is left to say is dropped, too.
func devicesFor(version string, raw json.RawMessage) (json.RawMessage, bool) {
	var devices []map[string]any
	if len(raw) == 0 || json.Unmarshal(raw, &devices) != nil || len(devices) == 0 {
		return nil, false
	}
	kept := []map[string]any{}
	for _, d := range devices {
		if !has(Versions, version, "2018-08-27") {
			delete(d, "vf_trusted")
		}
		if !has(Versions, version, "2017-02-22") {
			delete(d, "vlan")
		}
		told := d["vf_trusted"] != nil || d["vlan"] != nil || d["tags"] != nil
		if d["type"] == "share" || d["type"] == "nic" && !told { // shares came with the newest
			continue
		}
		kept = append(kept, d)
	}
	b, err := marshal(kept)
	return b, err == nil
}
