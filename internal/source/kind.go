package source

import (
	"net/url"
	"path"
	"regexp"
	"strings"

	"ingot/internal/fault"
)

// Kind is where an image_source leads. Source: images reference §2.
type Kind string

// The kinds of sources.
const (
	HTTP   Kind = "http" // https, too
	FileOf Kind = "file" // of the server
	OCI    Kind = "oci"
	Glance Kind = "glance"
)

// maxImageSource bounds what may name an image.
const maxImageSource = 4096

var uuidText = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// KindOf tells what an image_source is: an http or https URL, a file by path or file URL, oci://HOST/PATH, or an image of Glance by
// its id, alone or as glance://ID. All else is fault.Invalid.
func KindOf(image string) (Kind, error) {
	wrong := func(why string) (Kind, error) {
		return "", fault.New(fault.Invalid, "The image_source %.200q %s: give an http or https URL, a file:// URL, oci://HOST/PATH:TAG or the id of an image in Glance.", Safe(image), why)
	}
	if len(image) > maxImageSource || strings.ContainsAny(image, "\x00\r\n") {
		return wrong("is too long or has line breaks")
	}
	if _, ok := FilePath(image); ok {
		return FileOf, nil
	}
	if GlanceID(image) != "" {
		return Glance, nil
	}
	u, err := url.Parse(image)
	if err != nil {
		return wrong("is not readable")
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return wrong("has no host")
		}
		if u.User != nil && strings.Trim(u.Path, "/") == "" { // messages and agents call an image by the last part of its address
			return wrong("has a user name and names no file")
		}
		return HTTP, nil
	case "oci":
		if u.Host == "" || strings.Trim(u.Path, "/") == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return wrong("is no image of a registry")
		}
		return OCI, nil
	case "glance":
		return wrong("has no id of an image")
	case "file":
		return wrong("has no absolute path")
	case "":
		return wrong("is neither a URL nor an id")
	}
	return wrong("is of a kind that is not fetched")
}

// FilePath is the path of an image that is a file of the server, given as a path or as a file URL.
func FilePath(image string) (string, bool) {
	if strings.HasPrefix(image, "/") {
		return path.Clean(image), true
	}
	u, err := url.Parse(image)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
		return "", false
	}
	return path.Clean(u.Path), true
}

// GlanceID is the id of an image in Glance, "" for other images.
func GlanceID(image string) string {
	id := strings.TrimPrefix(image, "glance://")
	if !uuidText.MatchString(id) {
		return ""
	}
	return strings.ToLower(id)
}

// Spec is the checksum that an instance_info gives, as Checksum takes it: image_os_hash_value wins. "" for none.
func Spec(info map[string]any) string {
	spec := textOf(info, "image_os_hash_value")
	if spec == "" {
		return textOf(info, "image_checksum")
	}
	if algo := textOf(info, "image_os_hash_algo"); algo != "" && !strings.Contains(spec, "://") {
		return algo + ":" + spec
	}
	return spec
}

func textOf(info map[string]any, key string) string {
	s, _ := info[key].(string)
	return strings.TrimSpace(s)
}

// CheckImage refuses what an instance_info says of where its image is and how it is verified, where that can be known to be wrong
// without asking anybody. Source: images reference §4; that registries, Glance and files need no checksum is upstream's, too.
func CheckImage(info map[string]any, o Options) error {
	kind, err := KindOf(textOf(info, "image_source"))
	if err != nil {
		return err
	}
	spec := Spec(info)
	switch {
	case textOf(info, "image_os_hash_algo") != "" && textOf(info, "image_os_hash_value") == "":
		return fault.New(fault.Invalid, "instance_info has an image_os_hash_algo but no image_os_hash_value: give both, or image_checksum.")
	case spec == "" && kind == HTTP:
		return fault.New(fault.Invalid, "instance_info has neither image_os_hash_value nor image_checksum. An image is never written unverified.")
	case spec == "", spec == "auto" && kind != HTTP:
		return nil
	}
	return CheckSpec(spec, o)
}
