package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"ingot/internal/driver/neutron/neutrontest"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/origin"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// glanceSays: what a real Glance says of images is taken, and compared; its bytes come with a token of Keystone's.
func glanceSays(t *testing.T, g *neutrontest.Glance) {
	content := bytes.Repeat([]byte("glance "), 1<<16)
	public := g.Image(map[string]any{"name": "debian", "disk_format": "raw", "container_format": "bare", "visibility": "public"}, content)
	private := g.Image(map[string]any{"disk_format": "raw", "container_format": "bare", "visibility": "private"}, content)
	queued := g.Image(map[string]any{"disk_format": "raw", "container_format": "bare", "visibility": "public"}, nil)
	c := origin.Defaults()
	c.Glance.AuthURL, c.Glance.Username, c.Glance.Password = g.AuthURL, g.User, secret.New(neutrontest.Password)
	resolver := func(visibility ...string) *origin.Resolver {
		t.Helper()
		if len(visibility) > 0 {
			c.Glance.PermittedVisibility = visibility
		}
		r, err := origin.New(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	r := resolver()
	node := func(info map[string]any) *metal.Node {
		return &metal.Node{UUID: "n", InstanceInfo: secret.NewMap(info)}
	}
	for _, id := range []string{public, "glance://" + public, strings.ToUpper(public)} {
		n := node(map[string]any{"image_source": id})
		f, err := r.Find(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		h := f.Digest.Hash()
		h.Write(content)
		if hex.EncodeToString(h.Sum(nil)) != f.Digest.Hex || f.Size != int64(len(content)) || f.Format != "raw" || !f.Through {
			t.Errorf("%s: %+v", id, f)
		}
		o, err := r.Access(t.Context(), n, f.Source, f.URL)
		if err != nil {
			t.Fatal(err)
		}
		o.Size = f.Size
		body, err := source.Open(t.Context(), []string{f.URL}, o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		part := make([]byte, 7)
		if _, err := body.Ranges().ReadAt(part, 7000); err != nil || string(part) != "glance " {
			t.Errorf("a part is %q, %v", part, err)
		}
		_ = body.Close()
	}
	sum := sha256.Sum256(content)
	if f, err := r.Find(t.Context(), node(map[string]any{"image_source": public, "image_os_hash_algo": "sha256", "image_os_hash_value": hex.EncodeToString(sum[:])})); err != nil || f.Digest.Algorithm != "sha256" {
		t.Errorf("with the user's own checksum: %+v, %v", f.Digest, err)
	}
	for what, one := range map[string]struct {
		info map[string]any
		kind fault.Kind
		says string
	}{
		"another's checksum": {map[string]any{"image_source": public, "image_os_hash_algo": "sha512", "image_os_hash_value": strings.Repeat("00", 64)}, fault.Invalid, "instance_info says"},
		"another format":     {map[string]any{"image_source": public, "image_disk_format": "qcow2"}, fault.Invalid, "image_disk_format"},
		"not active":         {map[string]any{"image_source": queued}, fault.Invalid, "queued"},
		"private":            {map[string]any{"image_source": private}, fault.Forbidden, "permitted_visibility"},
		"nothing":            {map[string]any{"image_source": "00000000-0000-4000-8000-000000000000"}, fault.NotFound, "no image"},
	} {
		_, err := r.Find(t.Context(), node(one.info))
		public, _ := fault.PublicOf(err)
		if fault.KindOf(err) != one.kind || !strings.Contains(public, one.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	r = resolver("public", "private")
	n := node(map[string]any{"image_source": private})
	if _, err := r.Find(t.Context(), n); fault.KindOf(err) != fault.NotFound {
		t.Errorf("another project's: %v", err)
	}
	n.Owner = g.Project("service")
	if _, err := r.Find(t.Context(), n); err != nil {
		t.Errorf("the node's owner's own: %v", err)
	}
	n.Lessee = "another"
	if _, err := r.Find(t.Context(), n); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the owner's, while another has the lease: %v", err)
	}
	c.Glance.Password = secret.New("wrong")
	if _, err := resolver().Find(t.Context(), node(map[string]any{"image_source": public})); fault.KindOf(err) != fault.Unavailable || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong password: %v", err)
	}
	_, err := origin.Plain().Find(t.Context(), node(map[string]any{"image_source": public}))
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("without a Glance: %v", err)
	}
}
