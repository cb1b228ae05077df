package origin

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ingot/internal/fault"
	"ingot/internal/source"
)

const (
	// maxManifest is bytes of a manifest or index. Source: OCI distribution specification 1.1, which has registries take 4 MiB.
	maxManifest = 4 << 20
	// maxEntries is how many manifests an index may list.
	maxEntries = 1000
)

// The media types of manifests and of lists of them.
const (
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// document is a manifest or an index: of a manifest Layers, of an index Manifests.
type document struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Manifests    []ocispec.Descriptor `json:"manifests"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Annotations  map[string]string    `json:"annotations"`
}

func parseDocument(text []byte) (document, error) {
	var d document
	if len(text) > maxManifest {
		return d, fault.New(fault.Invalid, "The registry's manifest is larger than %d MiB.", maxManifest>>20)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&d); err != nil || dec.Decode(&struct{}{}) != io.EOF {
		return d, fault.New(fault.Invalid, "The registry's manifest is not readable JSON.")
	}
	if len(d.Manifests) > maxEntries || len(d.Layers) > maxEntries {
		return d, fault.New(fault.Invalid, "The registry's manifest lists more than %d parts.", maxEntries)
	}
	return d, nil
}

// isIndex tells whether it lists manifests. A document that is both is neither.
func (d document) isIndex() (bool, error) {
	switch {
	case len(d.Manifests) > 0 && len(d.Layers) > 0:
		return false, fault.New(fault.Invalid, "The registry's document is a manifest and a list of manifests at once.")
	case d.MediaType == ocispec.MediaTypeImageIndex || d.MediaType == dockerList || d.MediaType == "" && len(d.Manifests) > 0:
		return true, nil
	case d.MediaType == ocispec.MediaTypeImageManifest || d.MediaType == dockerManifest || d.MediaType == "":
		return false, nil
	}
	return false, fault.New(fault.Invalid, "The registry's document is of the type %.80q, which is no image manifest.", d.MediaType)
}

// diskTypes are the kinds of disk images that are written, the best first, with the format that they are. Source: images reference §7.
var diskTypes = []struct{ name, format string }{{"raw", "raw"}, {"applehv", "raw"}, {"qcow2", "qcow2"}, {"qemu", "qcow2"}}

// architectures are the names of a node's cpu_arch in registries. Source: GOARCH, which the OCI image specification takes.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "i386": "386", "armv7l": "arm", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x"}

// choose picks of an index the manifest for a machine of an architecture, "" for any.
func (d document) choose(arch string) (ocispec.Descriptor, error) {
	want, known := architectures[arch]
	if !known {
		want = arch
	}
	best, rank := ocispec.Descriptor{}, len(diskTypes)+1
	var there []string
	for _, m := range d.Manifests {
		has := ""
		if m.Platform != nil {
			has = m.Platform.Architecture
		}
		alias, isAlias := architectures[has] // some write x86_64 themselves
		if has != "" && has != "unknown" && want != "" && has != want && (!isAlias || alias != want) {
			there = append(there, has)
			continue
		}
		r := len(diskTypes)
		if disk, ok := m.Annotations["disktype"]; ok {
			if r = slices.IndexFunc(diskTypes, func(t struct{ name, format string }) bool { return t.name == disk }); r < 0 {
				there = append(there, "disktype "+disk)
				continue
			}
		}
		if r < rank {
			best, rank = m, r
		}
	}
	if rank > len(diskTypes) {
		slices.Sort(there)
		return best, fault.New(fault.Invalid, "The registry has no disk image for this machine (cpu_arch %.20q): it lists %.200q.", arch, strings.Join(slices.Compact(there), ", "))
	}
	return best, nil
}

// diskFormat is that of a disktype annotation, "" without one.
func diskFormat(annotations map[string]string) string {
	for _, t := range diskTypes {
		if annotations["disktype"] == t.name {
			return t.format
		}
	}
	return ""
}

// layer is the disk image of a manifest: its one layer.
func (d document) layer() (ocispec.Descriptor, error) {
	switch {
	case len(d.Layers) != 1:
		return ocispec.Descriptor{}, fault.New(fault.Invalid, "The registry's image has %d layers, and a disk image has exactly one: a container that is to become a machine (bootc) is not deployed here.", len(d.Layers))
	case strings.Contains(d.Layers[0].MediaType, "tar"):
		return ocispec.Descriptor{}, fault.New(fault.Invalid, "The registry's image is a container's file system (%.100q), not a disk image.", d.Layers[0].MediaType)
	case d.Layers[0].Size <= 0:
		return ocispec.Descriptor{}, fault.New(fault.Invalid, "The registry's manifest does not say how large the image is.")
	}
	return d.Layers[0], nil
}

// shaOf is the digest of a descriptor, if it is SHA-256 or SHA-512.
func shaOf(d digest.Digest) (source.Digest, error) {
	if err := d.Validate(); err != nil {
		return source.Digest{}, fault.New(fault.Invalid, "The registry's digest %.100q is neither SHA-256 nor SHA-512.", string(d))
	}
	out, err := source.ParseDigest(d.Encoded(), false)
	if err != nil || out.Algorithm != string(d.Algorithm()) {
		return source.Digest{}, fault.New(fault.Invalid, "The registry's digest %.100q is neither SHA-256 nor SHA-512.", string(d))
	}
	return out, nil
}
