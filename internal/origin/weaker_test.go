package origin

import (
	"strings"
	"testing"
)

// TestAnMD5ReplacesNothingStronger: where MD5 is allowed, an MD5 in instance_info is no reason to verify less than the registry's SHA-256.
func TestAnMD5ReplacesNothingStronger(t *testing.T) {
	g := newRegistry(t)
	g.open = true
	content := []byte("a disk")
	g.disk("v1", content, nil)
	r := g.resolver(t, func(c *Config) { c.Checksums.AllowMD5Checksum = true })
	for spec, want := range map[string]string{strings.Repeat("ab", 16): digestOf(content), strings.Repeat("cd", 64): "sha512:" + strings.Repeat("cd", 64)} {
		f, err := r.Find(t.Context(), nodeWith(map[string]any{"image_source": g.image(":v1"), "image_checksum": spec}, nil))
		if got := f.Digest.Algorithm + ":" + f.Digest.Hex; err != nil || got != want {
			t.Errorf("%.8s…: %s, %v", spec, got, err)
		}
	}
}
