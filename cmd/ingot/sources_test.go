package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/image"
)

// TestImagesOfEverySource deploys one image from wherever it may come from, fetched by the machine and by the server, with the agent's
// own code on a file as the machine's disk; and then what goes wrong with images, of which nothing must be left that boots.
func TestImagesOfEverySource(t *testing.T) {
	g := newSourcesRig(t)
	file := g.file("allowed/disk.raw", string(g.image))
	outside := g.file("outside.raw", string(g.image))
	if err := os.Symlink(outside, filepath.Join(g.dir, "allowed", "way-out.raw")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(g.dir, filepath.Join(g.dir, "allowed", "up")); err != nil {
		t.Fatal(err)
	}
	of := func(more object) object { // what instance_info says: of g.web's image unless more says otherwise
		o := object{"image_source": g.web.URL + "/open", "image_checksum": g.sum, "image_disk_format": "raw"}
		for k, v := range more {
			if o[k] = v; v == nil {
				delete(o, k)
			}
		}
		return o
	}
	sources := map[string]object{
		"https with an own CA":   of(nil),
		"https with a sums file": of(object{"image_checksum": g.web.URL + "/sums"}),
		"https basic":            of(object{"image_source": g.web.URL + "/basic", "image_pull_secret": imageReader + ":" + readerSecret}),
		"https bearer":           of(object{"image_source": g.web.URL + "/bearer", "image_pull_secret": imageToken}),
		"file":                   of(object{"image_source": "file://" + file}),
		"file without checksum":  of(object{"image_source": "file://" + file, "image_checksum": nil}),
	}
	if g.oci != "" {
		sources["oci"] = of(object{"image_source": "oci://" + g.oci + "/disks/debian:12", "image_checksum": nil, "image_pull_secret": imageReader + ":" + readerSecret})
	} else {
		t.Log("docker-registry is not installed: scripts/prepare.sh installs it; images of registries are left out here")
	}
	if g.glance != nil {
		id := g.glance.Image(map[string]any{"disk_format": "raw", "container_format": "bare", "visibility": "public"}, g.image)
		sources["glance"] = of(object{"image_source": id, "image_checksum": nil, "image_disk_format": nil})
		t.Run("what Glance says", func(t *testing.T) { glanceSays(t, g.glance) })
	} else {
		t.Log("Glance is not installed: scripts/prepare.sh installs it; its images are left out here")
	}
	for _, by := range []string{"http", "local"} {
		for name, info := range sources {
			t.Run(name+" by "+by, func(t *testing.T) {
				info["image_download_source"] = by
				state, why := g.deploy(info)
				if state != "active" || !bytes.Equal(g.written()[:len(g.image)], g.image) {
					t.Fatalf("%s: %s; or the disk is not the image", state, why)
				}
				direct := by == "http" && !strings.HasPrefix(name, "file") && name != "glance"
				if at := g.last.URLs[0]; direct != (g.last.CA != "") || direct == strings.HasPrefix(at, "http://") {
					t.Errorf("the machine fetched it from %s", at)
				}
				if given := g.last.ImageAccess != nil; given != (direct && info["image_pull_secret"] != nil) {
					t.Errorf("the machine was given what opens it: %v", given)
				}
			})
		}
	}
	t.Run("boot ISO", func(t *testing.T) { g.bootISO(t, of(nil)) })
	t.Run("refused", func(t *testing.T) { g.refusals(t, of, file) })
	if log := g.r.log.String(); strings.Contains(log, readerSecret) || strings.Contains(log, imageToken) {
		t.Error("the log tells what opens images")
	}
	if shown := string(g.r.call(t, "GET", "/v1/nodes/n", nil, 200)); strings.Contains(shown, readerSecret) || strings.Contains(shown, imageToken) {
		t.Error("the API tells what opens images")
	}
}

// bootISO has the server verify the node's own boot ISO before its BMC gets it.
func (g *sourcesRig) bootISO(t *testing.T, info object) {
	set := func(checksum string) {
		t.Helper()
		g.r.call(t, "PATCH", "/v1/nodes/n", []object{{"op": "add", "path": "/driver_info/deploy_iso", "value": g.web.URL + "/open"}, {"op": "add", "path": "/driver_info/deploy_iso_checksum", "value": checksum}}, 200)
	}
	wrong := strings.Repeat("00", 32)
	set(wrong)
	boots := len(g.machine.Boots())
	state, why := g.deploy(info)
	if state != "deploy failed" || !strings.Contains(why, "deploy_iso "+g.web.URL+"/open") || !strings.Contains(why, g.sum) || !strings.Contains(why, wrong) {
		t.Errorf("with a wrong checksum the node is %s: %s", state, why)
	}
	if n := len(g.machine.Boots()); n != boots || g.last != nil {
		t.Errorf("the machine was booted %d times for it", n-boots)
	}
	set(g.sum)
	if state, why := g.deploy(info); state != "active" {
		t.Fatalf("with its own checksum the node is %s: %s", state, why)
	}
	media := ""
	for _, b := range g.machine.Boots()[boots:] {
		media += b.Media + " "
	}
	if !strings.Contains(media, "/pushed/") || !strings.Contains(media, "/boot.iso ") || strings.Contains(media, g.web.URL) {
		t.Errorf("the BMC had %s", media)
	}
	g.r.call(t, "PATCH", "/v1/nodes/n", []object{{"op": "add", "path": "/driver_info/deploy_iso", "value": "http://198.51.100.9/agent.iso"}, {"op": "remove", "path": "/driver_info/deploy_iso_checksum"}}, 200)
}

func (g *sourcesRig) refusals(t *testing.T, of func(object) object, file string) {
	wrong := strings.Repeat("00", 32)
	secret := object{"image_pull_secret": imageReader + ":" + readerSecret}
	with := func(o object, more object) object {
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	short := g.image[:len(g.image)-4096]
	for _, c := range []struct {
		name    string
		info    object
		touched bool // the machine was booted for it
		says    []string
	}{
		{"wrong hash, found by the machine", of(object{"image_checksum": wrong}), true, []string{"open", g.sum, wrong}},
		{"wrong hash, found by the server", of(object{"image_checksum": wrong, "image_download_source": "local"}), false, []string{g.web.URL + "/open", g.sum, wrong}},
		{"wrong hash of a file", of(object{"image_source": "file://" + file, "image_checksum": wrong}), true, []string{"disk.raw", g.sum, wrong}},
		{"wrong size", of(object{"image_source": g.web.URL + "/short", "image_checksum": sumOf(short)}), true, []string{"cut short"}},
		{"wrong format", of(object{"image_disk_format": "qcow2"}), false, []string{"qcow2"}},
		{"no format", of(object{"image_source": g.web.URL + "/noise", "image_disk_format": nil}), false, []string{"noise"}},
		{"redirect to another origin, with credentials", with(of(object{"image_source": g.web.URL + "/away"}), secret), false, []string{"401", "credentials are sent to the server that they are for"}},
		{"redirect to a URL with credentials", of(object{"image_source": g.web.URL + "/userinfo"}), false, []string{"user name or password"}},
		{"redirect to a metadata service", of(object{"image_source": g.web.URL + "/metadata"}), false, []string{"169.254.169.254", "refused_image_networks"}},
		{"a metadata service", of(object{"image_source": "http://169.254.169.254/latest"}), false, []string{"169.254.169.254"}},
		{"symlink out of the allowed folder", of(object{"image_source": "file://" + filepath.Join(g.dir, "allowed", "way-out.raw")}), false, []string{"file_url_allowed_paths"}},
		{"folder symlink out of it", of(object{"image_source": "file://" + filepath.Join(g.dir, "allowed", "up", "outside.raw")}), false, []string{"file_url_allowed_paths"}},
		{"dots out of it", of(object{"image_source": "file://" + filepath.Join(g.dir, "allowed") + "/../outside.raw"}), false, []string{"file_url_allowed_paths"}},
		{"swift", of(object{"image_download_source": "swift"}), false, []string{"Swift"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			state, why := g.deploy(c.info)
			if state != "deploy failed" {
				t.Fatalf("the node is %s", state)
			}
			for _, w := range c.says {
				if !strings.Contains(why, w) {
					t.Errorf("%q is not in %q", w, why)
				}
			}
			if strings.Contains(why, readerSecret) || strings.Contains(strings.Join(g.told, ""), " ") {
				t.Errorf("another server was told %q, or the error tells", g.told)
			}
			if (g.last != nil) != c.touched {
				t.Errorf("the machine was told to write: %v", g.last != nil)
			}
			head := g.written()[:1<<20]
			if table, err := image.ParseTable(head); err == nil && len(table.Partitions) > 0 {
				t.Errorf("there is a partition table: %+v", table)
			}
			if head[510] == 0x55 && head[511] == 0xaa {
				t.Error("there is a boot sector")
			}
			if untouched := bytes.HasPrefix(head, []byte("old data")); untouched == (g.last != nil && !strings.Contains(why, "cut short")) {
				t.Errorf("the disk begins with old data: %v", untouched)
			}
		})
	}
}
