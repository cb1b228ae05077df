package seed

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// The EC2 tree is a document (ec2/latest/meta-data.json on a drive) that HTTP serves key by key. Source: metadata reference §3.

const (
	localIPv4    = "local-ipv4"
	ec2MetaFile  = "meta-data.json"
	ec2UserFile  = "user-data"
	ec2MetaTree  = "meta-data"
	keyName      = "_name" // of a public key, beside it in the document; never shown
	ec2OnDrive   = "2009-04-04"
	lengthOfEC2s = 17 // hexadecimal digits of EC2's long ids
)

// ec2Since are the keys of meta-data that came after version 1.0.
var ec2Since = map[string]string{
	"local-hostname": "2007-01-19", "public-hostname": "2007-01-19", "public-ipv4": "2007-01-19",
	"instance-type":        "2007-08-29",
	"block-device-mapping": "2007-12-15", "kernel-id": "2007-12-15", "ramdisk-id": "2007-12-15",
	"placement":       "2008-02-01",
	"instance-action": "2008-09-01",
}

// ec2Page answers a path below a version of the EC2 tree.
func (t tree) ec2Page(version string, steps []string) (Page, bool) {
	if !slices.Contains(EC2Versions, version) {
		return Page{}, false
	}
	user, hasUser := t.files[UserData]
	switch {
	case len(steps) == 0:
		var names []string
		if t.ec2 != nil {
			names = append(names, ec2MetaTree+"/")
		}
		if hasUser {
			names = append(names, ec2UserFile)
		}
		return listing(names), true
	case steps[0] == ec2UserFile && len(steps) == 1:
		return Page{Content: user, Type: TypeRaw}, hasUser
	case steps[0] != ec2MetaTree || t.ec2 == nil:
		return Page{}, false
	}
	doc, err := ec2Tree(t.ec2)
	if err != nil {
		return Page{}, false
	}
	maps.DeleteFunc(doc, func(key string, _ any) bool {
		since, late := ec2Since[key]
		return late && !has(EC2Versions, version, since)
	})
	return walk(doc, steps[1:])
}

// ec2Tree reads the document; numbers keep their form.
func ec2Tree(raw []byte) (map[string]any, error) {
	var doc map[string]any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	err := d.Decode(&doc)
	return doc, err
}

// walk goes down a document: objects are directories, all else is text. Below text there is nothing.
func walk(node any, steps []string) (Page, bool) {
	dir, isDir := node.(map[string]any)
	if len(steps) == 0 {
		if isDir {
			return listing(ec2Names(dir)), true
		}
		return Page{Content: []byte(ec2Text(node)), Type: TypeText}, node != nil
	}
	if !isDir || steps[0] == keyName {
		return Page{}, false
	}
	next, ok := dir[steps[0]]
	if !ok {
		return Page{}, false
	}
	return walk(next, steps[1:])
}

// ec2Names lists a directory: directories with a slash, a public key with its name.
func ec2Names(dir map[string]any) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(dir)) {
		sub, isDir := dir[name].(map[string]any)
		switch label, _ := sub[keyName].(string); {
		case name == keyName, dir[name] == nil:
		case isDir && label != "":
			names = append(names, name+"="+strings.TrimPrefix(label, name+"=")) // Nova's drives hold "0=name"
		case isDir:
			names = append(names, name+"/")
		default:
			names = append(names, name)
		}
	}
	return names
}

// ec2Text is a leaf: lists have one element a line.
func ec2Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		lines := make([]string, len(v))
		for i, one := range v {
			lines[i] = ec2Text(one)
		}
		return strings.Join(lines, "\n")
	}
	return fmt.Sprint(v)
}

// ec2Document writes the document for an instance of which meta_data.json is known. It has what a bare machine has.
// Where upstream puts a filler there is something better, or nothing: no key "ami-manifest-path: FIXME", no zone "None", no block
// devices by guessed names, which cloud-init would mount, and no public address or security group that nobody knows of.
func ec2Document(in Input, meta map[string]any) map[string]any {
	text := func(key string) string { s, _ := meta[key].(string); return s }
	host := cmp.Or(text("hostname"), text("name"))
	doc := map[string]any{
		"instance-id":       ec2ID("i-", cmp.Or(text("uuid"), in.UUID)),
		"reservation-id":    ec2ID("r-", cmp.Or(text("uuid"), in.UUID)),
		"ami-launch-index":  "0",
		"ami-manifest-path": "(unknown)", // EC2's own word for images that have none
		"instance-action":   "none",
		"hostname":          host, "local-hostname": host, "public-hostname": host,
	}
	set := func(key, value string) {
		if value != "" {
			doc[key] = value
		}
	}
	if at := meta["launch_index"]; at != nil {
		set("ami-launch-index", ec2Text(at))
	}
	if in.ImageID != "" {
		set("ami-id", ec2ID("ami-", in.ImageID))
	}
	set("instance-type", in.InstanceType)
	set(localIPv4, firstIPv4(in.NetworkData))
	if zone := text("availability_zone"); zone != "" {
		doc["placement"] = map[string]any{"availability-zone": zone}
	}
	if keys := ec2Keys(meta["public_keys"]); len(keys) > 0 {
		doc["public-keys"] = keys
	}
	return doc
}

// ec2ID is an id as EC2's clients expect one. Upstream counts instances; here it follows from what they are known by.
func ec2ID(prefix, of string) string {
	sum := sha256.Sum256([]byte(prefix + of))
	return prefix + hex.EncodeToString(sum[:])[:lengthOfEC2s]
}

// ec2Keys numbers public keys in the order of their names.
func ec2Keys(v any) map[string]any {
	var named map[string]string
	if raw, err := json.Marshal(v); err != nil || json.Unmarshal(raw, &named) != nil {
		return nil
	}
	keys := map[string]any{}
	for i, name := range slices.Sorted(maps.Keys(named)) {
		keys[fmt.Sprint(i)] = map[string]any{keyName: name, "openssh-key": named[name]}
	}
	return keys
}

// firstIPv4 is the first static address of its kind in network data, "" for none.
func firstIPv4(data map[string]any) string {
	networks, err := list(data["networks"])
	if err != nil {
		return ""
	}
	for _, n := range networks {
		text, _ := n["ip_address"].(string)
		text, _, _ = strings.Cut(text, "/")
		if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
			return a.String()
		}
	}
	return ""
}

// ec2OnDriveDocument is the document without the names of keys, which are not part of EC2's.
func (t tree) ec2OnDriveDocument() []byte {
	doc, err := ec2Tree(t.ec2)
	if err != nil {
		return t.ec2
	}
	keys, _ := doc["public-keys"].(map[string]any)
	for _, one := range keys {
		if key, ok := one.(map[string]any); ok {
			delete(key, keyName)
		}
	}
	b, err := marshal(doc)
	if err != nil {
		return t.ec2 // unreachable: it was JSON
	}
	return b
}
