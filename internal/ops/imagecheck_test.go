package ops

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/source"
)

// TestImagesAreRefusedBeforePower: what can be known to be wrong of an image without asking anybody is a 400, and the node stays where
// it was.
func TestImagesAreRefusedBeforePower(t *testing.T) {
	sha, md5 := strings.Repeat("ab", 32), strings.Repeat("cd", 16)
	for name, c := range map[string]struct {
		info  map[string]any
		rules source.Options
		says  string // "": taken
	}{
		"http with a digest":           {map[string]any{"image_source": "https://h/i.raw", "image_checksum": sha}, source.Options{}, ""},
		"http without one":             {map[string]any{"image_source": "https://h/i.raw"}, source.Options{}, "never written unverified"},
		"a file without one":           {map[string]any{"image_source": "file:///srv/i.raw"}, source.Options{}, ""},
		"a registry's without one":     {map[string]any{"image_source": "oci://h:5000/a/b:1"}, source.Options{}, ""},
		"Glance's without one":         {map[string]any{"image_source": "6F1a6e0e-2f5b-4c2c-9a55-0c1f4d8f2f10"}, source.Options{}, ""},
		"Glance's by URL":              {map[string]any{"image_source": "glance://6f1a6e0e-2f5b-4c2c-9a55-0c1f4d8f2f10"}, source.Options{}, ""},
		"another scheme":               {map[string]any{"image_source": "nfs://h/i.raw", "image_checksum": sha}, source.Options{}, "not fetched"},
		"no scheme":                    {map[string]any{"image_source": "i.raw", "image_checksum": sha}, source.Options{}, "neither a URL nor an id"},
		"a registry without a path":    {map[string]any{"image_source": "oci://h/"}, source.Options{}, "no image of a registry"},
		"a file of another host":       {map[string]any{"image_source": "file://h/i.raw"}, source.Options{}, "no absolute path"},
		"an algorithm without a value": {map[string]any{"image_source": "https://h/i", "image_checksum": sha, "image_os_hash_algo": "sha256"}, source.Options{}, "image_os_hash_value"},
		"another algorithm's length":   {map[string]any{"image_source": "https://h/i", "image_os_hash_algo": "sha512", "image_os_hash_value": sha}, source.Options{}, "has the length of sha256"},
		"md5":                          {map[string]any{"image_source": "https://h/i", "image_checksum": md5}, source.Options{}, "forged"},
		"md5 by name":                  {map[string]any{"image_source": "https://h/i", "image_os_hash_algo": "md5", "image_os_hash_value": md5}, source.Options{}, "forged"},
		"md5 where it is allowed":      {map[string]any{"image_source": "https://h/i", "image_checksum": md5}, source.Options{MD5: true}, ""},
		"sha1":                         {map[string]any{"image_source": "https://h/i", "image_checksum": strings.Repeat("ab", 20)}, source.Options{MD5: true}, "forged"},
		"a checksum file":              {map[string]any{"image_source": "https://h/i", "image_checksum": "https://h/SHA256SUMS"}, source.Options{}, ""},
		"a checksum file where not":    {map[string]any{"image_source": "https://h/i", "image_checksum": "https://h/SHA256SUMS"}, source.Options{NoChecksumFiles: true}, "disable_support_for_checksum_files"},
		"auto where not":               {map[string]any{"image_source": "https://h/i", "image_checksum": "auto"}, source.Options{NoChecksumFiles: true}, "disable_support_for_checksum_files"},
		"a checksum file by ftp":       {map[string]any{"image_source": "https://h/i", "image_checksum": "ftp://h/SUMS"}, source.Options{}, "not an http or https URL"},
	} {
		s, db := service(t)
		s.config.Images = c.rules
		n := enrolled(t, s, "redfish")
		force(t, db, n.UUID, metal.Available)
		_, err := s.UpdateNode(t.Context(), caller, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
			for k, v := range c.info {
				n.InstanceInfo = n.InstanceInfo.With(k, v)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: metal.VerbActive})
		public, _ := fault.PublicOf(err)
		got, _ := s.Node(t.Context(), caller, n.UUID, "node:get")
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.says != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(public, c.says) || got.ProvisionState != metal.Available):
			t.Errorf("%s: %v, and the node is %q", name, err, got.ProvisionState)
		}
	}
}
