package image_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

func TestParsePermitted(t *testing.T) {
	for words, says := range map[string]string{
		"raw,gpt,qcow2,iso": "", " RAW , qcow2": "", "gpt": "", "vmdk": "no decoder", "raw,vhd": "no decoder", "vhdx": "no decoder", "vdi": "no decoder", "qed": "no decoder",
		"luks": "no decoder", "ami": "no decoder", "tar": "no image format", "": "no image format",
	} {
		list, err := image.ParsePermitted(strings.Split(words, ","))
		if (err == nil) != (says == "") || err != nil && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, %v, want %q", words, list, err, says)
		}
	}
	if _, err := image.ParsePermitted(nil); err == nil || !strings.Contains(err.Error(), "No image format is permitted") {
		t.Errorf("an empty list: %v", err)
	}
}

func TestPermittedFormats(t *testing.T) {
	qcow := imagetest.QCOW2{}.Make(mbrDisk())
	files := map[string][]byte{"gpt": gptDisk(512), "mbr": mbrDisk(), "qcow2": qcow, "iso": imagetest.Hybrid(), "zstd": packZstd(gptDisk(512))}
	for _, c := range []struct {
		permitted string
		pass      []string
	}{
		{"raw", []string{"gpt", "mbr", "zstd"}}, {"gpt", []string{"gpt", "mbr", "zstd"}}, {"qcow2", []string{"qcow2"}}, {"iso", []string{"iso"}},
		{"raw,qcow2,iso", []string{"gpt", "mbr", "qcow2", "iso", "zstd"}},
	} {
		list, err := image.ParsePermitted(strings.Split(c.permitted, ","))
		if err != nil {
			t.Fatal(err)
		}
		o := image.Options{Rules: image.Rules{Permitted: list}}
		for name, file := range files {
			_, err := image.Check(bytes.NewReader(file), int64(len(file)), o)
			if ok := slices.Contains(c.pass, name); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "permitted_image_formats") {
				t.Errorf("permitted %s: %s: %v", c.permitted, name, err)
			}
			if name == "qcow2" {
				continue
			}
			if _, streamed := image.NewDecoder(bytes.NewReader(file), o); (streamed == nil) != (err == nil) {
				t.Errorf("permitted %s: %s: the file says %v, the stream %v", c.permitted, name, err, streamed)
			}
		}
		for word, ok := range map[string]bool{"raw": slices.Contains(c.pass, "gpt"), "qcow2": slices.Contains(c.pass, "qcow2"), "iso": slices.Contains(c.pass, "iso"), "": true} {
			if err := o.CheckDeclared(map[string]any{"image_disk_format": word}); (err == nil) != ok {
				t.Errorf("permitted %s: declared %q: %v", c.permitted, word, err)
			}
		}
	}
	only := image.Rules{Permitted: []image.Format{image.Format(image.GPT)}}
	if err := only.CheckDeclared(map[string]any{"image_type": "partition", "root_gb": 1, "image_disk_format": "raw"}); err == nil {
		t.Error("a partition image passes where only whole disks are permitted")
	}
}

// TestShallowIsStillSafe leaves out the deep inspection: what could lead a reader elsewhere is refused all the same, each with
// the same reason.
func TestShallowIsStillSafe(t *testing.T) {
	shallow := image.Options{Rules: image.Rules{Permitted: []image.Format{image.ISO}, Shallow: true}}
	pass := map[string][]byte{"not permitted": gptDisk(512), "qcow2, not permitted": imagetest.QCOW2{}.Make(mbrDisk())}
	for name, file := range pass {
		if _, err := image.Check(bytes.NewReader(file), int64(len(file)), shallow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	declared := shallow
	declared.Declared = "qcow2"
	if _, err := image.Check(bytes.NewReader(gptDisk(512)), 4<<20, declared); err != nil {
		t.Errorf("declared otherwise: %v", err)
	}
	n := 0
	for _, h := range imagetest.Corpus() {
		dangerous := slices.ContainsFunc(h.Says, func(s string) bool {
			return slices.Contains([]string{"backing file", "second file", "parent", "encrypted", "features that are not known", "/etc/passwd", "another file"}, s)
		})
		if !dangerous {
			continue
		}
		n++
		file := h.Make()
		_, err := image.Check(bytes.NewReader(file), int64(len(file)), shallow)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), h.Says[len(h.Says)-1]) {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
	if n < 20 {
		t.Errorf("%d dangerous files only", n)
	}
}
