package main

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/image/imagetest"
	"ingot/internal/secret"
)

// TestImagesAreJudgedWhole fetches images as the conductor does, to look at them and to serve them: what is wrong with one is
// said, nothing of a refused one stays, and the room for it is bounded.
func TestImagesAreJudgedWhole(t *testing.T) {
	rules, err := imageRules(config.Defaults().ImageRules)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	shelf, err := depot.OpenShelf(dir, depot.ShelfOptions{Quota: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	im := &images{shelf: shelf, url: "http://192.0.2.1", key: secret.New(strings.Repeat("k", 32)), rules: rules,
		memory: func(string, int64) (func(), error) { return func() {}, nil }}
	cut := imagetest.QCOW2{}.Make(imagetest.Disk())
	cut = cut[:len(cut)/2]
	files := map[string][]byte{"good.img": imagetest.Disk(), "short.img": imagetest.Disk()[:1<<20], "fixed.vhd": append(make([]byte, 1<<20), imagetest.VHD()[:512]...),
		"cut.qcow2": cut, "large.img": append(imagetest.Disk(), make([]byte, 80<<20)...)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(files[strings.TrimPrefix(r.URL.Path, "/")]) }))
	defer server.Close()
	of := func(name string) conductor.Image {
		sum := sha256.Sum256(files[name])
		return conductor.Image{URL: server.URL + "/" + name, Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	}
	for name, says := range map[string]string{"good.img": "", "short.img": "Image short.img is refused. The image is cut short", "fixed.vhd": "Virtual PC disk (vhd)",
		"cut.qcow2": "Image cut.qcow2 is refused. The qcow2 image is damaged", "large.img": "bytes"} {
		err := im.Validate(t.Context(), "node", of(name))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
		_, _, err = im.Bring(t.Context(), "node", of(name), time.Now().Add(time.Hour))
		if (err == nil) != (says == "") {
			t.Errorf("%s is brought: %v", name, err)
		}
		if err := im.Drop(t.Context(), "node"); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: %v stays", name, left)
		}
	}
	wrong := of("good.img")
	wrong.Hex = strings.Repeat("0", 64)
	if err := im.Validate(t.Context(), "node", wrong); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a wrong checksum: %v", err)
	}
	declared := of("good.img")
	declared.Declared = "qcow2"
	if err := im.Validate(t.Context(), "node", declared); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "declared") {
		t.Errorf("a wrong declaration: %v", err)
	}
}
