package seed_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/secret"
	"ingot/internal/seed"
)

// tool runs a program that is not ours.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	at, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: see scripts/prepare.sh", name)
	}
	out, err := exec.Command(at, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// readers take the files out of an image with programs that are not ours, and check the rest of it on their way.
var readers = map[string]struct {
	image func(*seed.Seed) ([]byte, error)
	files func(t *testing.T, image string) map[string]string
}{
	"ISO 9660, Rock Ridge": {(*seed.Seed).ISO, func(t *testing.T, image string) map[string]string { return byIsoinfo(t, image, "-R") }},
	"ISO 9660, Joliet":     {(*seed.Seed).ISO, func(t *testing.T, image string) map[string]string { return byIsoinfo(t, image, "-J") }},
	"vfat":                 {(*seed.Seed).VFAT, byMtools},
}

func byIsoinfo(t *testing.T, image, names string) map[string]string {
	if out := tool(t, "isoinfo", "-d", "-i", image); !strings.Contains(out, "Volume id: config-2\n") || !strings.Contains(out, "Joliet") || !strings.Contains(out, "Rock Ridge") {
		t.Errorf("isoinfo says\n%s", out)
	}
	if out := tool(t, "blkid", "-p", "-o", "value", "-s", "LABEL", image); out != "config-2\n" {
		t.Errorf("blkid finds the label %q", out)
	}
	files := map[string]string{}
	for _, path := range strings.Fields(tool(t, "isoinfo", "-f", names, "-i", image)) {
		if content := tool(t, "isoinfo", names, "-i", image, "-x", path); strings.Count(path, "/") == 3 {
			files[strings.TrimSuffix(path, ";1")] = content // the format numbers versions of a file in Joliet's names, too
		}
	}
	return files
}

func byMtools(t *testing.T, image string) map[string]string {
	if out := tool(t, "fsck.vfat", "-n", "-v", image); strings.Contains(out, "rror") || strings.Contains(out, "ifferen") || strings.Contains(out, "Reclaim") {
		t.Errorf("fsck.vfat complains:\n%s", out)
	}
	if out := tool(t, "blkid", "-p", "-o", "value", "-s", "LABEL", image); out != "config-2\n" {
		t.Errorf("blkid finds the label %q", out)
	}
	if out := tool(t, "blkid", "-p", "-o", "value", "-s", "TYPE", image); out != "vfat\n" {
		t.Errorf("blkid finds the type %q", out)
	}
	dir := t.TempDir()
	tool(t, "mcopy", "-s", "-n", "-i", image, "::", dir)
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// seeds are drives of several shapes: little, with files of its own, with directories longer than a sector and a cluster.
func seeds(t *testing.T) map[string]*seed.Seed {
	files := map[string]string{"openstack/latest/meta_data.json": `{"uuid": "u", "hostname": "h"}`, "openstack/latest/site-settings.of.ours.json": "[]",
		"openstack/latest/user_data": "", "openstack/latest/UPPER": "x", "openstack/latest/README": "y"}
	for n := range 100 {
		files[fmt.Sprintf("openstack/content/%04d", n)] = strings.Repeat("x", n*50)
	}
	many, err := seed.FromDrive(encode(t, files))
	if err != nil {
		t.Fatal(err)
	}
	little, err := seed.Render(seed.Input{UUID: nodeUUID, Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	large, err := seed.Render(seed.Input{UUID: nodeUUID, Name: "n", UserData: secret.New(strings.Repeat("0123456789abcdef", 300<<10/16))})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*seed.Seed{"whole": whole(t), "many files": many, "little": little, "large": large}
}

// encode makes a drive of files with a program that is not ours.
func encode(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, "tree", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(dir, "drive.iso")
	tool(t, "genisoimage", "-quiet", "-J", "-r", "-V", seed.Label, "-o", image, filepath.Join(dir, "tree"))
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	text, err := seed.Pack(b)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRequirement15DrivesAsOthersReadThem: programs that are not ours find the label, and under every kind of names just
// what Get answers; and our own reader makes the same seed of it.
func TestRequirement15DrivesAsOthersReadThem(t *testing.T) {
	for what, s := range seeds(t) {
		for how, reader := range readers {
			t.Run(what+", "+how, func(t *testing.T) {
				if what == "many files" && strings.HasPrefix(how, "ISO") && testing.Short() {
					t.Skip("isoinfo is run once for every file")
				}
				image, err := reader.image(s)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "drive.img")
				if err := os.WriteFile(path, image, 0o600); err != nil {
					t.Fatal(err)
				}
				compare(t, s, reader.files(t, path))
				text, err := seed.Pack(image)
				if err != nil {
					t.Fatal(err)
				}
				back, err := seed.FromDrive(text)
				if err != nil {
					t.Fatal(err)
				}
				for _, at := range walked(t, s, "/openstack") {
					a, err1 := s.Get(at)
					b, err2 := back.Get(at)
					if err1 != nil || err2 != nil || !bytes.Equal(a.Content, b.Content) {
						t.Errorf("%s: %.80q %v, back from the drive %.80q %v", at, a.Content, err1, b.Content, err2)
					}
				}
			})
		}
	}
}

// compare holds a drive's files against what the seed answers.
func compare(t *testing.T, s *seed.Seed, files map[string]string) {
	t.Helper()
	n := 0
	for _, at := range walked(t, s, "/openstack") {
		page, err := s.Get(at)
		if err != nil || page.Listing {
			continue
		}
		n++
		if got, ok := files[at]; !ok || got != string(page.Content) {
			t.Errorf("%s on the drive: %v, %.80q, want %.80q", at, ok, got, page.Content)
		}
	}
	for at, content := range files {
		switch {
		case strings.HasPrefix(at, "/openstack/content/"):
			n++
			if page, err := s.Get(at); err != nil || string(page.Content) != content {
				t.Errorf("%s: %v", at, err)
			}
		case strings.HasPrefix(at, "/ec2/"):
			n++
			var doc map[string]any
			if page, err := s.Get("/latest/user-data"); strings.HasSuffix(at, "/user-data") && (err != nil || string(page.Content) != content) {
				t.Errorf("%s: %.80q", at, content)
			}
			if strings.HasSuffix(at, "/meta-data.json") && (json.Unmarshal([]byte(content), &doc) != nil || doc["instance-id"] != get(t, s, "/latest/meta-data/instance-id")) {
				t.Errorf("%s = %s", at, content)
			}
		}
	}
	if n != len(files) || files["/ec2/latest/meta-data.json"] == "" || files["/ec2/2009-04-04/meta-data.json"] == "" {
		t.Errorf("%d files on the drive, %d of them known", len(files), n)
	}
}

// TestRequirement15DrivesAreTheSameForTheSameInput: to the byte, and in both formats.
func TestRequirement15DrivesAreTheSameForTheSameInput(t *testing.T) {
	for how, image := range map[string]func(*seed.Seed) ([]byte, error){"iso9660": (*seed.Seed).ISO, "vfat": (*seed.Seed).VFAT} {
		a, err1 := image(whole(t))
		b, err2 := image(whole(t))
		if err1 != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: two images, %v, %v", how, err1, err2)
		}
		want, err1 := seed.Pack(a)
		if got, err2 := whole(t).DriveAs(how); err1 != nil || err2 != nil || got != want {
			t.Errorf("%s: another drive, %v, %v", how, err1, err2)
		}
	}
}

// TestFormats: one that is not known is refused, not guessed.
func TestFormats(t *testing.T) {
	if _, err := whole(t).DriveAs("ext4"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("ext4: %v", err)
	}
}

// TestRequirement15DrivesAreNotTooLarge: what is too large is refused in words, and what is just small enough is made.
func TestRequirement15DrivesAreNotTooLarge(t *testing.T) {
	of := func(size int) *seed.Seed {
		s, err := seed.Render(seed.Input{UUID: nodeUUID, Name: "n", UserData: secret.New(strings.Repeat("x", size))})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		how   string
		image func(*seed.Seed) ([]byte, error)
		fits  int
		not   int
	}{
		{"iso9660", (*seed.Seed).ISO, 63 << 20, 64 << 20},
		{"vfat", (*seed.Seed).VFAT, 63 << 20 / 13, 64 << 20 / 13}, // in eleven versions of one tree and two of the other
	} {
		image, err := c.image(of(c.fits))
		if err != nil || len(image) > seed.MaxDrive {
			t.Errorf("%s of %d bytes: %d, %v", c.how, c.fits, len(image), err)
		}
		_, err = c.image(of(c.not))
		if public, _ := fault.PublicOf(err); fault.KindOf(err) != fault.TooLarge || !strings.Contains(public, "larger than 64 MiB") {
			t.Errorf("%s of %d bytes: %v", c.how, c.not, err)
		}
	}
}

// TestRequirement01EveryVersionHasTheSameVendorData: on a drive of either format and from the service.
func TestRequirement01EveryVersionHasTheSameVendorData(t *testing.T) {
	s := whole(t).WithVendorData2(json.RawMessage(`{"once": {"token": "t-1"}, "static": {"a": [1, 2]}}`))
	want := get(t, s, "/openstack/latest/vendor_data2.json")
	for how, reader := range readers {
		image, err := reader.image(s)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "drive.img")
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		for at, content := range reader.files(t, path) {
			if strings.HasSuffix(at, "/vendor_data2.json") {
				n++
				if content != want || get(t, s, at) != want {
					t.Errorf("%s: %s = %q", how, at, content)
				}
			}
		}
		if n != 6 {
			t.Errorf("%s: vendor_data2.json is in %d versions, want 6", how, n)
		}
	}
}
