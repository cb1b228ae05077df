package origin

import (
	"strings"
	"testing"
)

// FuzzReference: a reference that is taken names a host, a repository, and one of a tag and a digest that we verify.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"oci://h/a", "oci://h:5000/a/b:1", "oci://h/a@sha256:" + strings.Repeat("ab", 32), "oci://[::1]:5000/a:b@sha256:x", "oci://docker.io/library/x", "oci:///a", "oci://h/../a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := parseReference(s)
		if err != nil {
			return
		}
		if ref.Registry == "" || ref.Repository == "" || ref.Reference == "" || strings.Contains(ref.Repository, "..") || strings.ContainsAny(ref.Host(), "/@?#") {
			t.Errorf("%q is %+v", s, ref)
		}
	})
}

// FuzzManifest: whatever a registry says, a layer that comes of it is one whose size and digest can be verified.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[{"mediaType":"x/y","digest":"sha256:`+strings.Repeat("ab", 32)+`","size":5,"annotations":{"disktype":"raw"}}]}`), "x86_64")
	f.Add([]byte(`{"manifests":[{"digest":"sha256:`+strings.Repeat("ab", 32)+`","platform":{"architecture":"amd64"},"annotations":{"disktype":"qcow2"}}]}`), "aarch64")
	f.Fuzz(func(t *testing.T, text []byte, arch string) {
		d, err := parseDocument(text)
		if err != nil {
			return
		}
		if index, err := d.isIndex(); err != nil {
			return
		} else if index {
			_, _ = d.choose(arch)
			return
		}
		l, err := d.layer()
		if err != nil {
			return
		}
		if _, err := shaOf(l.Digest); err == nil && (l.Size <= 0 || l.Digest.Validate() != nil) {
			t.Errorf("%+v", l)
		}
	})
}

// FuzzLogins: a file of credentials gives logins by bare host, or an error that quotes nothing.
func FuzzLogins(f *testing.F) {
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"h:5000":{"username":"u","password":"p"},"x":{"identitytoken":"t"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseLogins(text)
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
		for host := range all {
			if strings.Contains(host, "/") {
				t.Errorf("host %q", host)
			}
		}
	})
}

// FuzzPullSecret: what is taken has no line breaks, which would end a header.
func FuzzPullSecret(f *testing.F) {
	f.Add("u:p")
	f.Add("token")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := parsePullSecret(s)
		if err == nil && strings.ContainsAny(l.user+l.password.Expose()+l.bearer.Expose(), "\r\n\x00") {
			t.Errorf("%q was taken", s)
		}
	})
}
