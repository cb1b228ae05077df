package seed_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/filesystem"

	"ingot/internal/fault"
	"ingot/internal/secret"
	"ingot/internal/seed"
)

const nodeUUID = "6f2cbe05-9d0e-4d8f-a7dc-7d3e7d6a2b10"

func input() seed.Input {
	return seed.Input{UUID: nodeUUID, Name: "web 1", Hostname: "web1.example", PublicKeys: map[string]string{"b": "ssh-ed25519 B <b&b>", "a": "ssh-ed25519 A"},
		Meta: map[string]string{"role": "web"}, UserData: secret.New("#cloud-config\npassword: hunter2\n"),
		NetworkData: map[string]any{"links": []any{map[string]any{"id": "l0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}}},
		VendorData:  map[string]any{"a": 1}, VendorData2: map[string]any{"site": map[string]any{"rack": "r1"}}}
}

func decode(t *testing.T, s *seed.Seed, name string) map[string]any {
	t.Helper()
	b, ok := s.File(name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

func TestRender(t *testing.T) {
	s, err := seed.Render(input())
	if err != nil {
		t.Fatal(err)
	}
	meta := decode(t, s, seed.MetaData)
	want := map[string]any{"uuid": nodeUUID, "name": "web 1", "hostname": "web1.example", "launch_index": 0.0,
		"meta": map[string]any{"role": "web"}, "public_keys": map[string]any{"a": "ssh-ed25519 A", "b": "ssh-ed25519 B <b&b>"},
		"availability_zone": nil, "devices": []any{}, "dedicated_cpus": []any{},
		"keys": []any{map[string]any{"name": "a", "type": "ssh", "data": "ssh-ed25519 A"}, map[string]any{"name": "b", "type": "ssh", "data": "ssh-ed25519 B <b&b>"}}}
	if fmt.Sprint(meta) != fmt.Sprint(want) {
		t.Errorf("meta data\n got %v\nwant %v", meta, want)
	}
	raw, _ := s.File(seed.MetaData)
	if !bytes.Contains(raw, []byte("<b&b>")) {
		t.Errorf("the key's comment is escaped: %s", raw)
	}
	network := decode(t, s, seed.NetworkData)
	if len(network["links"].([]any)) != 1 || network["networks"] == nil || network["services"] == nil {
		t.Errorf("network data = %v, want all three lists", network)
	}
	if v := decode(t, s, seed.VendorData2); v["static"] == nil || v["site"] == nil {
		t.Errorf("vendor data 2 = %v", v)
	}
	if u, _ := s.File(seed.UserData); string(u) != "#cloud-config\npassword: hunter2\n" {
		t.Errorf("user data = %q", u)
	}
}

func TestEmptyPartsAreLeftOut(t *testing.T) {
	s, err := seed.Render(seed.Input{UUID: nodeUUID, Name: "n", NetworkData: map[string]any{"links": []any{}}, VendorData2: map[string]any{}})
	if err != nil || fmt.Sprint(s.Names()) != "[meta_data.json]" {
		t.Errorf("files = %v, %v", s.Names(), err)
	}
	if _, err := seed.Render(seed.Input{NetworkData: map[string]any{"links": "x"}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("links as a string: %v", err)
	}
}

func TestFromObject(t *testing.T) {
	for _, c := range []struct {
		name, object, files, user string
		ok                        bool
	}{
		{"empty", `{}`, "[meta_data.json]", "", true},
		{"string", `{"user_data": "#!/bin/sh"}`, "[meta_data.json user_data]", "#!/bin/sh", true},
		{"object", `{"user_data": {"a": [1]}}`, "[meta_data.json user_data]", `{"a":[1]}`, true},
		{"list", `{"user_data": ["x"]}`, "[meta_data.json user_data]", `["x"]`, true},
		{"null", `{"user_data": null, "vendor_data": {}}`, "[meta_data.json]", "", true},
		{"vendor", `{"vendor_data": {"k": "v"}}`, "[meta_data.json vendor_data2.json]", "", true},
		{"number", `{"user_data": 5}`, "", "", false},
		{"unknown key", `{"userdata": "x"}`, "", "", false},
		{"meta list", `{"meta_data": []}`, "", "", false},
	} {
		var object map[string]any
		if err := json.Unmarshal([]byte(c.object), &object); err != nil {
			t.Fatal(err)
		}
		s, err := seed.FromObject(object, seed.Input{UUID: nodeUUID, Name: "node-1"})
		if !c.ok {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v, want a refusal", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if u, _ := s.File(seed.UserData); string(u) != c.user || fmt.Sprint(s.Names()) != c.files {
			t.Errorf("%s: files %v, user data %q", c.name, s.Names(), u)
		}
		if m := decode(t, s, seed.MetaData); m["uuid"] != nodeUUID || m["name"] != "node-1" {
			t.Errorf("%s: meta data = %v", c.name, m)
		}
	}
	s, _ := seed.FromObject(map[string]any{"meta_data": map[string]any{"uuid": "mine", "hostname": "h"}}, seed.Input{UUID: nodeUUID, Name: "node-1"})
	if m := decode(t, s, seed.MetaData); fmt.Sprint(m) != "map[availability_zone:<nil> dedicated_cpus:[] devices:[] hostname:h launch_index:0 name:node-1 uuid:mine]" {
		t.Errorf("given meta data is kept: %v", m)
	}
}

// TestFromObjectIsBounded: what is kept of an instance is in memory several times over while it is prepared and served.
func TestFromObjectIsBounded(t *testing.T) {
	for size, ok := range map[int]bool{15 << 20: true, 16 << 20: false, 60 << 20: false} {
		s, err := seed.FromObject(map[string]any{"user_data": strings.Repeat("x", size)}, seed.Input{UUID: nodeUUID})
		if public, _ := fault.PublicOf(err); ok != (err == nil) || !ok && (s != nil || fault.KindOf(err) != fault.TooLarge || !strings.Contains(public, "16 MiB")) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestSeedIsNotPrinted(t *testing.T) {
	s, _ := seed.Render(input())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{s, *s, input(), struct{ S *seed.Seed }{s}} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, "hunter2") {
				t.Errorf("%s of %T leaks: %s", verb, v, out)
			}
		}
	}
}

func TestDrive(t *testing.T) {
	s, _ := seed.Render(input())
	iso, err := s.ISO()
	if err != nil || len(iso)%2048 != 0 || len(iso) > 256<<10 {
		t.Fatalf("ISO of %d bytes, %v", len(iso), err)
	}
	again, _ := seed.Render(input())
	if second, _ := again.ISO(); !bytes.Equal(iso, second) {
		t.Error("the same input gives another image")
	}
	text, err := s.Drive()
	if err != nil {
		t.Fatal(err)
	}
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := io.ReadAll(z); err != nil || !bytes.Equal(back, iso) {
		t.Errorf("the drive is not the ISO: %d bytes, %v", len(back), err)
	}
	big, _ := seed.Render(seed.Input{UserData: secret.New(strings.Repeat("x", 64<<20))})
	if _, err := big.ISO(); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("64 MiB of user data: %v", err)
	}
}

func writeISO(t *testing.T, s *seed.Seed) string {
	t.Helper()
	iso, err := s.ISO()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "drive.iso")
	if err := os.WriteFile(path, iso, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAnotherReader reads the image with a library that shares no code with the writer.
func TestAnotherReader(t *testing.T) {
	s, _ := seed.Render(input())
	d, err := diskfs.Open(writeISO(t, s), diskfs.WithOpenMode(diskfs.ReadOnly))
	if err != nil {
		t.Fatal(err)
	}
	fs, err := d.GetFilesystem(0)
	if err != nil {
		t.Fatal(err)
	}
	if label := strings.TrimSpace(fs.Label()); label != seed.Label {
		t.Errorf("label = %q", label)
	}
	for _, version := range seed.Versions {
		for _, name := range strings.Fields(get(t, s, "/openstack/"+version)) {
			want := get(t, s, "/openstack/"+version+"/"+name)
			if got, err := readFile(fs, "/openstack/"+version+"/"+name); err != nil || string(got) != want {
				t.Errorf("%s/%s: %q, %v", version, name, got, err)
			}
		}
	}
	for _, version := range []string{"2009-04-04", "latest"} {
		if got, err := readFile(fs, "/ec2/"+version+"/user-data"); err != nil || string(got) != get(t, s, "/latest/user-data") {
			t.Errorf("ec2/%s/user-data: %q, %v", version, got, err)
		}
		var doc map[string]any
		got, err := readFile(fs, "/ec2/"+version+"/meta-data.json")
		if err != nil || json.Unmarshal(got, &doc) != nil || doc["hostname"] != "web1.example" || strings.Contains(string(got), "_name") {
			t.Errorf("ec2/%s/meta-data.json: %s, %v", version, got, err)
		}
	}
}

func readFile(fs filesystem.FileSystem, path string) ([]byte, error) {
	f, err := fs.OpenFile(strings.TrimPrefix(path, "/"), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// TestXorriso reads the image as cloud-init would, names included: with Rock Ridge and with Joliet.
func TestXorriso(t *testing.T) {
	xorriso, err := exec.LookPath("xorriso")
	if err != nil {
		t.Skip("xorriso is not installed")
	}
	s, _ := seed.Render(input())
	iso := writeISO(t, s)
	for _, tree := range []string{"any", "nojoliet", "norock"} {
		to := filepath.Join(t.TempDir(), "tree")
		t.Cleanup(func() { // xorriso makes folders that only root may empty
			err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					err = os.Chmod(path, 0o700)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		args := []string{"-read_fs", tree, "-osirrox", "on", "-indev", iso, "-extract", "/", to}
		out, err := exec.Command(xorriso, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("xorriso %v: %v\n%s", args, err, out)
		}
		if strings.Contains(string(out), "FAILURE") || strings.Contains(string(out), "SORRY") {
			t.Errorf("xorriso complains:\n%s", out)
		}
		for _, name := range s.Names() {
			want, _ := s.File(name)
			if got, err := os.ReadFile(filepath.Join(to, "openstack", "latest", name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %s: %q, %v", tree, name, got, err)
			}
		}
	}
}
