package seed

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// others writes a drive's files and gives the folder.
func others(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ofNova is a drive as Nova writes one, in little.
func ofNova(t testing.TB) map[string]string {
	network, err := json.Marshal(staticNetwork)
	if err != nil {
		t.Fatal(err)
	}
	meta := `{"uuid": "u1",   "hostname": "web1.novalocal", "name": "web1", "launch_index": 0, "random_seed": "AAAA", "project_id": "p", "devices": [], "dedicated_cpus": [],
	"public_keys": {"mine": "ssh-ed25519 A"}, "files": [{"path": "/etc/motd", "content_path": "/content/0000"}]}`
	return map[string]string{
		"openstack/latest/meta_data.json": meta, "openstack/2025-04-04/meta_data.json": "{}", "openstack/2012-08-10/meta_data.json": `{"old": 1}`,
		"openstack/latest/user_data": "#!/bin/sh\n" + strings.Repeat("x", 40000), "openstack/latest/network_data.json": string(network),
		"openstack/latest/vendor_data2.json": `{"static": {}}`, "openstack/content/0000": "welcome\n",
		"ec2/latest/meta-data.json":     `{"instance-id": "i-00000001", "ami-launch-index": 0, "placement": {"availability-zone": "nova"}, "public-keys": {"0": {"_name": "0=mine", "openssh-key": "ssh-ed25519 A"}}, "security-groups": ["default", "web"], "ramdisk-id": null}`,
		"ec2/2009-04-04/meta-data.json": "{}", "ec2/latest/user-data": "x",
	}
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	tool, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: see scripts/prepare.sh", name)
	}
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// made are images of the same folder by other programs.
var made = map[string]func(t testing.TB, dir, image string){
	"Joliet and Rock Ridge": func(t testing.TB, dir, image string) {
		run(t, "xorriso", "-as", "mkisofs", "-quiet", "-V", Label, "-J", "-r", "-o", image, dir)
	},
	"Rock Ridge": func(t testing.TB, dir, image string) {
		run(t, "xorriso", "-as", "mkisofs", "-quiet", "-V", Label, "-r", "-o", image, dir)
	},
	"Joliet": func(t testing.TB, dir, image string) {
		run(t, "xorriso", "-rockridge", "off", "-joliet", "on", "-outdev", image, "-map", dir, "/")
	},
	"as Nova": func(t testing.TB, dir, image string) {
		run(t, "genisoimage", "-o", image, "-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-publisher", "test", "-quiet", "-J", "-r", "-V", Label, dir)
	},
	"plain names": func(t testing.TB, dir, image string) {
		run(t, "genisoimage", "-o", image, "-iso-level", "4", "-quiet", "-V", Label, dir)
	},
	"FAT12": func(t testing.TB, dir, image string) { vfat(t, dir, image, "12", "2048", "4") },
	"FAT16": func(t testing.TB, dir, image string) { vfat(t, dir, image, "16", "16384", "4") },
	"FAT32": func(t testing.TB, dir, image string) { vfat(t, dir, image, "32", "36864", "1") },
}

func vfat(t testing.TB, dir, image, bits, kilobytes, cluster string) {
	if err := os.RemoveAll(image); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.vfat", "-C", "-n", Label, "-F", bits, "-s", cluster, image, kilobytes)
	for _, top := range []string{"openstack", "ec2"} {
		run(t, "mcopy", "-s", "-Q", "-i", image, filepath.Join(dir, top), "::")
	}
}

func imageBy(t testing.TB, dir, how string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drive.img")
	made[how](t, dir, path)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestFromDrive reads what other programs made, in every file system, zipped and not.
func TestFromDrive(t *testing.T) {
	files := ofNova(t)
	dir := others(t, files)
	for how := range made {
		t.Run(how, func(t *testing.T) {
			image := imageBy(t, dir, how)
			packed, err := Pack(image)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{packed, base64.StdEncoding.EncodeToString(image)} {
				s, err := FromDrive(text)
				if err != nil {
					t.Fatal(err)
				}
				checkOfNova(t, s, files)
				if got, err := NetworkDataOf(text, nil); err != nil || canonical(t, got) != canonical(t, []byte(files["openstack/latest/network_data.json"])) {
					t.Errorf("network data: %s, %v", got, err)
				}
			}
		})
	}
}

func checkOfNova(t *testing.T, s *Seed, files map[string]string) {
	t.Helper()
	for path, want := range map[string]string{
		"/openstack/latest":                 "meta_data.json\nuser_data\nnetwork_data.json\nvendor_data2.json",
		"/openstack/2012-08-10":             "meta_data.json\nuser_data",
		"/openstack/latest/meta_data.json":  files["openstack/latest/meta_data.json"],
		"/openstack/latest/user_data":       files["openstack/latest/user_data"],
		"/openstack/content/0000":           "welcome\n",
		"/latest":                           "meta-data/\nuser-data",
		"/latest/meta-data":                 "ami-launch-index\ninstance-id\nplacement/\npublic-keys/\nsecurity-groups",
		"/latest/meta-data/instance-id":     "i-00000001",
		"/latest/meta-data/security-groups": "default\nweb",
		"/latest/meta-data/public-keys":     "0=mine",
		"/latest/user-data":                 files["openstack/latest/user_data"],
	} {
		if page, err := s.Get(path); err != nil || string(page.Content) != want {
			t.Errorf("%s = %.100q, %v, want %.100q", path, page.Content, err, want)
		}
	}
	old, err := s.Get("/openstack/2012-08-10/meta_data.json")
	if err != nil || strings.Contains(string(old.Content), "random_seed") || !strings.Contains(string(old.Content), `"hostname":"web1.novalocal"`) {
		t.Errorf("meta_data.json of 2012: %s, %v", old.Content, err)
	}
}

// TestDrivesOfOthersKinds: which version counts, and what else there may be and not be.
func TestDrivesOfOthersKinds(t *testing.T) {
	for name, row := range map[string]struct {
		files map[string]string
		path  string
		want  string // in what is at the path; "" for nothing there
		fails string
	}{
		"the newest date":    {map[string]string{"openstack/2013-04-04/meta_data.json": `{"a":1}`, "openstack/2018-08-27/meta_data.json": `{"a":2}`, "openstack/notes/x": "y"}, "/openstack/latest/meta_data.json", `{"a":2}`, ""},
		"user data only":     {map[string]string{"openstack/latest/user_data": "{}"}, "/latest", "user-data", ""},
		"EC2 only":           {map[string]string{"ec2/2009-04-04/meta-data.json": `{"hostname":"h"}`, "ec2/2009-04-04/user-data": "u"}, "/latest/user-data", "u", ""},
		"EC2 follows":        {map[string]string{"openstack/latest/meta_data.json": `{"uuid":"u","hostname":"h","public_keys":{"k":"ssh A"}}`}, "/latest/meta-data/public-keys/0/openssh-key", "ssh A", ""},
		"an empty network":   {map[string]string{"openstack/latest/network_data.json": `{}`, "openstack/latest/user_data": "x"}, "/openstack/latest/network_data.json", "", ""},
		"a file of its own":  {map[string]string{"openstack/latest/site.json": `[1]`}, "/openstack/2012-08-10/site.json", "[1]", ""},
		"an empty file":      {map[string]string{"openstack/latest/user_data": "", "openstack/latest/meta_data.json": "{}"}, "/openstack/latest", "meta_data.json\nuser_data", ""},
		"meta data as list":  {map[string]string{"openstack/latest/meta_data.json": `[]`}, "", "", "meta_data.json is not a JSON object"},
		"two documents":      {map[string]string{"openstack/latest/meta_data.json": `{} {}`}, "", "", "meta_data.json is not a JSON object"},
		"broken network":     {map[string]string{"openstack/latest/network_data.json": `{"links": 5}`}, "", "", "network_data"},
		"nothing of ours":    {map[string]string{"meta-data": "a: b"}, "", "", "neither openstack/ nor ec2/"},
		"no version":         {map[string]string{"openstack/x/y": "a"}, "", "", "neither openstack/ nor ec2/"},
		"meta data too long": {map[string]string{"openstack/latest/meta_data.json": `{"a":"` + strings.Repeat("x", maxParsed) + `"}`}, "", "", "bytes"},
		"too much of all":    {map[string]string{"openstack/latest/user_data": strings.Repeat("x", maxServed), "openstack/content/0000": "x"}, "", "", "larger than 16 MiB"},
	} {
		s, err := fromImage(imageBy(t, others(t, row.files), "Rock Ridge"))
		if row.fails != "" {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge || !strings.Contains(fmt.Sprint(err), row.fails) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		page, err := s.Get(row.path)
		if row.want == "" && fault.KindOf(err) != fault.NotFound || row.want != "" && (err != nil || string(page.Content) != row.want) {
			t.Errorf("%s: %s = %q, %v", name, row.path, page.Content, err)
		}
	}
}

// TestTrapConfigDriveNamesTraverse: what a drive calls its files leads nowhere, neither in what is served nor on a drive that
// is made of it.
func TestTrapConfigDriveNamesTraverse(t *testing.T) {
	evil := []string{"..", ".", "../x", "../../etc/passwd", "/etc/passwd", "a/b", `a\b`, ".hidden", "x.", "", "a b", "ä", "\x00", "CON:", strings.Repeat("x", 31), "x\n0=y"}
	for _, name := range evil {
		if fits(name) {
			t.Errorf("%q may be a name", name)
		}
	}
	root := newDir("")
	latest := root.dir("openstack").dir(Latest)
	latest.add(MetaData, []byte("{}"))
	for _, name := range evil {
		if name != "" {
			latest.add(name, []byte("evil"))
		}
	}
	content := root.dirs[0].dir("content")
	content.add("../latest/meta_data.json", []byte(`{"evil":1}`))
	content.add("0001", []byte("good"))
	image, err := writeISO(root, Label)
	if err != nil {
		t.Fatal(err)
	}
	s, err := fromImage(image)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Names(), len(s.tree().content)); got != "[meta_data.json] 1" {
		t.Errorf("the seed has %s", got)
	}
	for _, d := range s.tree().drive().all() {
		for _, f := range d.files {
			if !fits(f.name) || bytes.Contains(f.content, []byte("evil")) {
				t.Errorf("the new drive has %q with %q", f.name, f.content)
			}
		}
	}
	for _, path := range []string{"/openstack/content/../latest/meta_data.json", "/openstack/content/..%2flatest/meta_data.json", "/openstack/latest/../../../etc/passwd"} {
		if page, err := s.Get(path); err == nil && strings.Contains(string(page.Content), "evil") {
			t.Errorf("%s = %q", path, page.Content)
		}
	}
}

// TestHostileVFAT: loops, chains that leave the image and tables that are not there end in an error or in less.
func TestHostileVFAT(t *testing.T) {
	files := ofNova(t)
	whole := imageBy(t, others(t, files), "FAT16")
	tableAt := int(binary.LittleEndian.Uint16(whole[14:])) * 512
	for name, change := range map[string]func(b []byte) []byte{
		"every cluster is its own next": func(b []byte) []byte {
			for n := range 2000 {
				binary.LittleEndian.PutUint16(b[tableAt+2*n:], uint16(n))
			}
			return b
		},
		"every cluster leads out": func(b []byte) []byte {
			for n := range 2000 {
				binary.LittleEndian.PutUint16(b[tableAt+2*n:], 0xffee)
			}
			return b
		},
		"half an image":        func(b []byte) []byte { return b[:len(b)/2] },
		"a boot sector":        func(b []byte) []byte { return b[:512] },
		"no reserved sectors":  func(b []byte) []byte { b[14], b[15] = 0, 0; return b },
		"a huge table":         func(b []byte) []byte { b[22], b[23] = 0xff, 0xff; return b },
		"a table of FAT32":     func(b []byte) []byte { b[22], b[23] = 0, 0; copy(b[36:], "\xff\xff\xff\xff"); return b },
		"clusters of 0":        func(b []byte) []byte { b[13] = 0; return b },
		"sectors of 3":         func(b []byte) []byte { b[11] = 3; return b },
		"a table of one entry": func(b []byte) []byte { b[22], b[23] = 1, 0; return b },
	} {
		s, err := fromImage(change(bytes.Clone(whole)))
		if err == nil && strings.HasPrefix(name, "every cluster is its own") && s.Size() < len(whole) {
			continue // a file is as long as its directory says
		}
		if kind := fault.KindOf(err); err == nil || kind != fault.Invalid && kind != fault.TooLarge {
			t.Errorf("%s: %v, %v", name, s.Names(), err)
		}
	}
}

// FuzzFromImage: a stranger's image ends in an error, or in a seed that is no larger than may be and answers.
func FuzzFromImage(f *testing.F) {
	s, err := FromObject(map[string]any{"network_data": staticNetwork, "user_data": "x"}, Input{UUID: "u", Name: "n"})
	if err != nil {
		f.Fatal(err)
	}
	iso, err := s.ISO()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(iso)
	f.Add(iso[:20*sector])
	f.Fuzz(func(t *testing.T, image []byte) {
		s, err := fromImage(image)
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Errorf("%v", err)
			}
			return
		}
		if n := s.Size(); n > maxServed+1<<20 {
			t.Errorf("%d bytes of an image of %d", n, len(image))
		}
		for _, path := range []string{"/openstack/latest", "/openstack/2012-08-10/meta_data.json", "/latest/meta-data", "/openstack/content/0000"} {
			if _, err := s.Get(path); err != nil && fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", path, err)
			}
		}
		if _, err := Decode(s.Encode()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzReadFAT lays a stranger's bytes over the beginning of a vfat image and over its directories.
func FuzzReadFAT(f *testing.F) {
	s, err := FromObject(map[string]any{"network_data": staticNetwork, "user_data": "x"}, Input{UUID: "u", Name: "n"})
	if err != nil {
		f.Fatal(err)
	}
	image, err := s.VFAT()
	if err != nil {
		f.Fatal(err)
	}
	const head, data = 512, (1 + 2*24 + 32) * 512 // the boot sector; behind two tables and the root
	f.Add(image[:head], image[512:1024], image[data:data+1024])
	f.Add(image[:head], []byte{0xf8, 0xff, 0xff, 0xff, 2, 0}, image[data:data+64])
	f.Add([]byte("\xeb\x3c\x90mkfs.fat\x00\x02\x01\x01\x00\x02\x40\x00\xff\x00\xf8\x01"), []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, boot, table, dirs []byte) {
		b := bytes.Clone(image)
		copy(b[:510], boot)
		copy(b[512:], table)
		copy(b[data:], dirs)
		s, err := fromImage(b)
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Errorf("%v", err)
			}
			return
		}
		if n := s.Size(); n > maxServed+1<<20 {
			t.Errorf("%d bytes", n)
		}
		for _, name := range s.Names() {
			if !fits(name) {
				t.Errorf("a file is called %q", name)
			}
		}
	})
}

// FuzzFromDrive: any text is refused in words or is a seed.
func FuzzFromDrive(f *testing.F) {
	s, err := FromObject(map[string]any{"user_data": "x"}, Input{UUID: "u", Name: "n"})
	if err != nil {
		f.Fatal(err)
	}
	packed, err := s.Drive()
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{packed, packed[:100], "", "http://192.0.2.1/x", "H4sI", "AAAA\nAAAA"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := FromDrive(text); err != nil && fault.KindOf(err) == fault.Internal || err == nil && s == nil {
			t.Errorf("%v", err)
		}
	})
}
