package seed_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/seed"
)

// whole is a seed with every part there can be.
func whole(t *testing.T) *seed.Seed {
	t.Helper()
	in := input()
	in.ProjectID, in.AvailabilityZone, in.InstanceType, in.ImageID = "p1", "rack-7", "baremetal.large", "6b4bd6d5-5a5c-4d7c-8f33-8f0a1d1f3a11"
	in.RandomSeed, in.LaunchIndex = bytes.Repeat([]byte{7}, 512), 3
	in.Devices = []map[string]any{
		{"type": "nic", "mac": "52:54:00:00:00:01", "bus": "pci", "address": "0000:00:02.0", "tags": []any{"front"}, "vlan": 100, "vf_trusted": true},
		{"type": "nic", "mac": "52:54:00:00:00:02", "bus": "none", "address": "none", "vf_trusted": false},
		{"type": "nic", "mac": "52:54:00:00:00:03", "bus": "none", "address": "none", "vlan": 7},
		{"type": "disk", "bus": "scsi", "address": "1:0:0:0", "serial": "d1", "tags": []any{"db"}},
		{"type": "share", "share_id": "s1", "tag": "s"},
	}
	in.NetworkData["networks"] = []any{map[string]any{"id": "n0", "link": "l0", "network_id": "n0", "type": "ipv4", "ip_address": "192.0.2.10", "netmask": "255.255.255.0"}}
	s, err := seed.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *seed.Seed, path string) string {
	t.Helper()
	page, err := s.Get(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(page.Content)
}

// TestOpenStackVersions: which file is in which version, and is served just where it is listed.
func TestOpenStackVersions(t *testing.T) {
	s := whole(t)
	want := map[string]string{
		"2012-08-10": "meta_data.json user_data",
		"2013-04-04": "meta_data.json user_data",
		"2013-10-17": "meta_data.json user_data vendor_data.json",
		"2015-10-15": "meta_data.json user_data vendor_data.json network_data.json",
		"2016-06-30": "meta_data.json user_data vendor_data.json network_data.json",
	}
	all := strings.Fields(want["2016-06-30"] + " vendor_data2.json")
	for _, version := range seed.Versions {
		list := strings.Fields(get(t, s, "/openstack/"+version+"/"))
		expect := all
		if w, ok := want[version]; ok {
			expect = strings.Fields(w)
		}
		if fmt.Sprint(list) != fmt.Sprint(expect) {
			t.Errorf("%s lists %v, want %v", version, list, expect)
		}
		for _, name := range append(all, "password") {
			page, err := s.Get("/openstack/" + version + "/" + name)
			if (err == nil) != slices.Contains(list, name) {
				t.Errorf("%s/%s is listed: %v, served: %v", version, name, slices.Contains(list, name), err)
			}
			kind := seed.TypeJSON
			if name == "user_data" {
				kind = seed.TypeRaw
			}
			if err == nil && (page.Type != kind || page.Listing) {
				t.Errorf("%s/%s: %+v", version, name, page.Type)
			}
		}
	}
}

// TestMetaDataOfEachVersion: which key came with which version.
func TestMetaDataOfEachVersion(t *testing.T) {
	s := whole(t)
	devices := map[string]string{ // the serial or the end of the MAC, with what a NIC tells
		"2016-06-30": "01:tags d1", "2016-10-06": "01:tags d1",
		"2017-02-22": "01:tags,vlan 03:vlan d1",
		"2018-08-27": "01:tags,vf_trusted,vlan 02:vf_trusted 03:vlan d1", "2020-10-14": "01:tags,vf_trusted,vlan 02:vf_trusted 03:vlan d1",
		"2025-04-04": "01:tags,vf_trusted,vlan 02:vf_trusted 03:vlan d1 s1", "latest": "01:tags,vf_trusted,vlan 02:vf_trusted 03:vlan d1 s1",
	}
	since := map[string]string{"random_seed": "2013-04-04", "project_id": "2015-10-15", "devices": "2016-06-30", "dedicated_cpus": "2020-10-14"}
	entropy := map[string]bool{}
	for i, version := range seed.Versions {
		var m map[string]any
		if err := json.Unmarshal([]byte(get(t, s, "/openstack/"+version+"/meta_data.json")), &m); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"uuid", "name", "hostname", "launch_index", "availability_zone", "meta", "public_keys", "keys", "random_seed", "project_id", "devices", "dedicated_cpus"} {
			_, has := m[key]
			if want := i >= slices.Index(seed.Versions, since[key]); has != want {
				t.Errorf("%s: %s is there: %v", version, key, has)
			}
		}
		if text, ok := m["random_seed"].(string); ok {
			entropy[text] = true
			if len(text) != 684 {
				t.Errorf("%s: random_seed has %d characters", version, len(text))
			}
		}
		if got := told(m["devices"]); got != devices[version] {
			t.Errorf("%s: devices %s, want %s", version, got, devices[version])
		}
		if m["launch_index"] != 3.0 {
			t.Errorf("%s: launch_index %v", version, m["launch_index"])
		}
	}
	if len(entropy) != 1 {
		t.Errorf("%d random seeds in one build", len(entropy))
	}
}

func told(v any) string {
	var out []string
	items, _ := v.([]any)
	for _, one := range items {
		d := one.(map[string]any)
		switch d["type"] {
		case "nic":
			var keys []string
			for _, k := range []string{"tags", "vf_trusted", "vlan"} {
				if d[k] != nil {
					keys = append(keys, k)
				}
			}
			out = append(out, d["mac"].(string)[15:]+":"+strings.Join(keys, ","))
		case "disk":
			out = append(out, d["serial"].(string))
		default:
			out = append(out, d["share_id"].(string))
		}
	}
	return strings.Join(out, " ")
}

// TestRequirement10VendorDataWithoutStaticJSON: the static document is listed, served and on the drive only if there is one.
func TestRequirement10VendorDataWithoutStaticJSON(t *testing.T) {
	s, err := seed.Render(seed.Input{UUID: nodeUUID, Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	dynamic := s.WithVendorData2(json.RawMessage(`{"site": {"rack": "r1"}}`))
	if list := get(t, dynamic, "/openstack/latest"); list != "meta_data.json\nvendor_data2.json" {
		t.Errorf("listing = %q", list)
	}
	if _, err := dynamic.Get("/openstack/latest/vendor_data.json"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("vendor_data.json: %v", err)
	}
	if iso, err := dynamic.ISO(); err != nil || bytes.Contains(iso, []byte("vendor_data.json")) {
		t.Errorf("the drive has vendor_data.json, or none could be made: %v", err)
	}
	both := s.WithVendorData2(json.RawMessage(`{"static": {}, "site": {}}`))
	if got := get(t, both, "/openstack/latest/vendor_data.json"); got != "{}" {
		t.Errorf("vendor_data.json = %s: an empty document is one", got)
	}
	if list := get(t, both, "/openstack/2013-10-17"); list != "meta_data.json\nvendor_data.json" {
		t.Errorf("listing of 2013-10-17 = %q", list)
	}
}

// TestVendorDataWins: an operator's answers replace what a user gave under the same names, and nothing else.
func TestVendorDataWins(t *testing.T) {
	user, err := seed.FromObject(map[string]any{"vendor_data": map[string]any{"mine": 1, "site": "a", "static": "b", "same": map[string]any{"x": 1}}}, seed.Input{UUID: nodeUUID})
	if err != nil {
		t.Fatal(err)
	}
	raw := json.RawMessage(`{"site": {"rack": "<r1>"}, "static": {}, "same": {"x":  1}}`)
	s := user.WithVendorData2(raw)
	if got := get(t, s, "/openstack/latest/vendor_data2.json"); got != `{"mine":1,"same":{"x":1},"site":{"rack":"<r1>"},"static":{}}` {
		t.Errorf("vendor_data2.json = %s", got)
	}
	if got := fmt.Sprint(user.Shadowed(raw)); got != "[site static]" {
		t.Errorf("shadowed = %s", got)
	}
	if b, _ := user.File(seed.VendorData2); !strings.Contains(string(b), `"site":"a"`) {
		t.Errorf("the first seed has changed: %s", b)
	}
	for _, none := range []string{"", "null", "[]", "{"} {
		if user.WithVendorData2(json.RawMessage(none)) != user {
			t.Errorf("%q changes the seed", none)
		}
	}
}

// TestEC2Tree is the listing of every directory and the content of every leaf.
func TestEC2Tree(t *testing.T) {
	s := whole(t)
	want := map[string]string{
		"/latest":                     "meta-data/\nuser-data",
		"/latest/meta-data":           "ami-id\nami-launch-index\nami-manifest-path\nhostname\ninstance-action\ninstance-id\ninstance-type\nlocal-hostname\nlocal-ipv4\nplacement/\npublic-hostname\npublic-keys/\nreservation-id",
		"/latest/meta-data/placement": "availability-zone",
		"/latest/meta-data/placement/availability-zone": "rack-7",
		"/latest/meta-data/public-keys":                 "0=a\n1=b",
		"/latest/meta-data/public-keys/1":               "openssh-key",
		"/latest/meta-data/public-keys/1/openssh-key":   "ssh-ed25519 B <b&b>",
		"/latest/meta-data/hostname":                    "web1.example",
		"/latest/meta-data/instance-action":             "none",
		"/latest/meta-data/instance-type":               "baremetal.large",
		"/latest/meta-data/local-ipv4":                  "192.0.2.10",
		"/latest/meta-data/ami-launch-index":            "3",
		"/latest/user-data":                             "#cloud-config\npassword: hunter2\n",
		"/1.0/meta-data":                                "ami-id\nami-launch-index\nami-manifest-path\nhostname\ninstance-id\nlocal-ipv4\npublic-keys/\nreservation-id",
		"/2007-01-19/meta-data":                         "ami-id\nami-launch-index\nami-manifest-path\nhostname\ninstance-id\nlocal-hostname\nlocal-ipv4\npublic-hostname\npublic-keys/\nreservation-id",
		"/2008-02-01/meta-data":                         "ami-id\nami-launch-index\nami-manifest-path\nhostname\ninstance-id\ninstance-type\nlocal-hostname\nlocal-ipv4\nplacement/\npublic-hostname\npublic-keys/\nreservation-id",
	}
	for path, expect := range want {
		for _, asked := range []string{path, "/ec2" + path, path + "/", "/" + path, strings.ReplaceAll(path, "/", "//")} {
			page, err := s.Get(asked)
			if err != nil || string(page.Content) != expect {
				t.Errorf("%s = %q, %v, want %q", asked, page.Content, err, expect)
			}
		}
	}
	if id := get(t, s, "/latest/meta-data/instance-id"); !strings.HasPrefix(id, "i-") || len(id) != 19 {
		t.Errorf("instance-id = %q", id)
	}
	bare, _ := seed.Render(seed.Input{UUID: nodeUUID, Name: "n"})
	if got := get(t, bare, "/latest/meta-data"); got != "ami-launch-index\nami-manifest-path\nhostname\ninstance-action\ninstance-id\nlocal-hostname\npublic-hostname\nreservation-id" {
		t.Errorf("a bare machine has %q", got)
	}
	if got := get(t, bare, "/latest"); got != "meta-data/" {
		t.Errorf("without user data: %q", got)
	}
	if got := get(t, bare.WithAddress(netip.MustParseAddr("::ffff:192.0.2.77")), "/1.0/meta-data/local-ipv4"); got != "192.0.2.77" {
		t.Errorf("seen at an address: %q", got)
	}
	if got := get(t, s.WithAddress(netip.MustParseAddr("192.0.2.77")), "/1.0/meta-data/local-ipv4"); got != "192.0.2.10" {
		t.Errorf("a static address is known: %q", got)
	}
	if text := fmt.Sprint(bare.Get("/latest/meta-data/ami-manifest-path")); strings.Contains(text, "FIXME") {
		t.Error(text)
	}
}

// TestListings: what needs no instance, however it is written.
func TestListings(t *testing.T) {
	var none *seed.Seed
	for asked, first := range map[string]string{"": "1.0", "/": "1.0", "//": "1.0", "/ec2": "1.0", "/ec2/": "1.0", "/latest/..": "1.0", "/../..": "1.0",
		"/openstack": "2012-08-10", "//openstack/": "2012-08-10", "/openstack/latest/../": "2012-08-10", "/./openstack": "2012-08-10"} {
		page, ok := seed.Listing(asked)
		again, err := none.Get(asked)
		if !ok || err != nil || !page.Listing || !bytes.Equal(page.Content, again.Content) || !strings.HasPrefix(string(page.Content), first+"\n") || !strings.HasSuffix(string(page.Content), "\nlatest") {
			t.Errorf("%q: %+v %v", asked, page, ok)
		}
	}
	for _, asked := range []string{"/latest", "/openstack/latest", "/ec2/latest", "/x"} {
		if _, ok := seed.Listing(asked); ok {
			t.Errorf("%s needs an instance", asked)
		}
	}
}

// TestRequirement12NothingThere: unknown versions and files, and what is below a leaf.
func TestRequirement12NothingThere(t *testing.T) {
	for name, s := range map[string]*seed.Seed{"whole": whole(t), "nil": nil, "zero": new(seed.Seed)} {
		for _, path := range []string{
			"/latest/meta-data/hostname/x", "/latest/meta-data/hostname/x/y", "/latest/user-data/0", "/latest/user-data/0/1", "/latest/meta-data/security-groups/default",
			"/latest/meta-data/public-keys/0/openssh-key/x", "/latest/meta-data/public-keys/0/_name", "/latest/meta-data/public-keys/0=a", "/latest/meta-data/public-keys/9",
			"/latest/meta-data/none", "/1.0/meta-data/placement", "/1.0/meta-data/instance-type", "/latest/dynamic", "/1999-01-01", "/1999-01-01/meta-data", "/x",
			"/openstack/1999-01-01", "/openstack/1999-01-01/meta_data.json", "/openstack/latest/none", "/openstack/latest/meta_data.json/x", "/openstack/latest/password",
			"/openstack/content", "/openstack/content/", "/openstack/content/0000", "/openstack/content/0000/1", "/openstack/2012-08-10/network_data.json",
			"/openstack/2012-08-10/vendor_data.json", "/openstack/2016-06-30/vendor_data2.json", "/openstack/latest/..%2f", "/ec2/openstack/latest", "/latest\x00",
		} {
			if page, err := s.Get(path); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %s = %+v, %v", name, path, page, err)
			}
		}
	}
}

// TestPassword: the file is there once somebody says so, empty or not, in the versions that know it, and never on a drive.
func TestPassword(t *testing.T) {
	for _, posted := range []string{"", "secret"} {
		s := whole(t).WithPassword([]byte(posted))
		if got := get(t, s, "/openstack/2013-04-04/"); got != "meta_data.json\nuser_data\npassword" {
			t.Errorf("listing = %q", got)
		}
		if page, err := s.Get("/openstack/latest/password"); err != nil || string(page.Content) != posted || page.Type != seed.TypeRaw {
			t.Errorf("password = %+v, %v", page, err)
		}
		if _, err := s.Get("/openstack/2012-08-10/password"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("2012-08-10: %v", err)
		}
		with, err1 := s.ISO()
		without, err2 := whole(t).ISO()
		if err1 != nil || err2 != nil || !bytes.Equal(with, without) {
			t.Errorf("the drive knows the password: %v, %v", err1, err2)
		}
	}
}

// TestEncode: what comes back gives the same answer to every path.
func TestEncode(t *testing.T) {
	s := whole(t)
	back, err := seed.Decode(s.Encode())
	if err != nil {
		t.Fatal(err)
	}
	paths := walked(t, s, "/")
	if len(paths) < 100 {
		t.Errorf("only %d paths", len(paths))
	}
	for _, path := range paths {
		a, err1 := s.Get(path)
		b, err2 := back.Get(path)
		if err1 != nil || err2 != nil || !bytes.Equal(a.Content, b.Content) || a.Type != b.Type {
			t.Errorf("%s: %q %v, then %q %v", path, a.Content, err1, b.Content, err2)
		}
	}
	if one, _ := s.ISO(); true {
		if two, err := back.ISO(); err != nil || !bytes.Equal(one, two) {
			t.Errorf("another drive: %v", err)
		}
	}
	for _, wrong := range []string{"", "{}", `{"form":2}`, `{"form":1,"files":{"../x":""}}`, `{"form":1,"files":{"user_data":"*secret*"}}`} {
		if _, err := seed.Decode([]byte(wrong)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// walked is every path that a client finds by listings.
func walked(t *testing.T, s *seed.Seed, at string) []string {
	page, err := s.Get(at)
	if err != nil {
		t.Errorf("%s is listed: %v", at, err)
	}
	out := []string{at}
	if !page.Listing || len(page.Content) == 0 {
		return out
	}
	for _, name := range strings.Split(string(page.Content), "\n") {
		name, _, _ = strings.Cut(name, "=")
		out = append(out, walked(t, s, strings.TrimSuffix(at, "/")+"/"+strings.TrimSuffix(name, "/"))...)
	}
	if at == "/" {
		out = append(out, walked(t, s, "/openstack")...)
	}
	return out
}

// FuzzGet: any path has an answer, the same when asked for twice, and nothing but NotFound goes wrong.
func FuzzGet(f *testing.F) {
	for _, path := range []string{"/", "/openstack/latest/meta_data.json", "/latest/meta-data/public-keys/0/openssh-key", "//openstack/../ec2/./1.0", "/openstack/content/0000", "\x00", "/latest/meta-data/hostname/x"} {
		f.Add(path)
	}
	s, err := seed.Render(input())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path string) {
		a, err := s.Get(path)
		b, again := s.Get(path)
		if err != nil && fault.KindOf(err) != fault.NotFound || (err == nil) != (again == nil) || !bytes.Equal(a.Content, b.Content) {
			t.Errorf("%q: %v, %v", path, err, again)
		}
		if err == nil && a.Type == "" {
			t.Errorf("%q has no type", path)
		}
	})
}

// FuzzDecode: bytes of a stranger are refused or are a seed that answers.
func FuzzDecode(f *testing.F) {
	s, err := seed.Render(input())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Encode())
	f.Add([]byte(`{"form":1,"ec2":"bnVsbA=="}`))
	f.Add([]byte(`{"form":1,"files":{"meta_data.json":null},"ec2":"eyJhIjp7Il9uYW1lIjoieCJ9fQ=="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := seed.Decode(b)
		if err != nil {
			return
		}
		for _, path := range []string{"/openstack/2012-08-10/meta_data.json", "/latest/meta-data", "/openstack/latest"} {
			if _, err := s.Get(path); err != nil && fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", path, err)
			}
		}
		if _, err := s.WithVendorData2(json.RawMessage(`{"static":{}}`)).ISO(); err != nil && fault.KindOf(err) != fault.TooLarge {
			t.Error(err)
		}
	})
}
