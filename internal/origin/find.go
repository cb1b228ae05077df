package origin

import (
	"context"
	"encoding/base64"
	"net/url"
	"path"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// Found is an image: where it is, and what it must be.
type Found struct {
	Kind   source.Kind
	Source string        // the image_source; a URL in it may hold secrets
	URL    string        // of the bytes; "" for a file
	File   string        // of this server
	Name   string        // for people
	Digest source.Digest // Hex is "" for a file of which nobody gave one
	Size   int64         // bytes that it must have; 0: not known
	Format string        // as instance_info or who keeps the image says; "" for neither
	// Through says that the bytes must pass through this server: no machine may be given what opens them.
	Through bool
}

// said is what instance_info says of an image.
type said struct {
	spec   string // of the checksum; "" for none
	format string
}

func saidOf(info map[string]any) said {
	text := func(key string) string { s, _ := info[key].(string); return strings.TrimSpace(s) }
	return said{spec: source.Spec(info), format: text("image_disk_format")}
}

// Find finds the image that a node's instance_info names.
func (r *Resolver) Find(ctx context.Context, n *metal.Node) (Found, error) {
	info := n.InstanceInfo.Expose()
	image, _ := info["image_source"].(string)
	image = strings.TrimSpace(image)
	kind, err := source.KindOf(image)
	if err != nil {
		return Found{}, err
	}
	f, s := Found{Kind: kind, Source: image, Format: saidOf(info).format}, saidOf(info)
	switch kind {
	case source.FileOf:
		return r.findFile(ctx, f, s)
	case source.OCI:
		return r.findOCI(ctx, n, f, s)
	case source.Glance:
		return r.findGlance(ctx, n, f, s)
	}
	return r.findHTTP(ctx, n, f, s)
}

func (r *Resolver) findHTTP(ctx context.Context, n *metal.Node, f Found, s said) (Found, error) {
	f.URL, f.Name = f.Source, source.Safe(f.Source)
	o, err := r.Access(ctx, n, f.Source, f.URL)
	if err != nil {
		return f, err
	}
	f.Digest, err = source.Checksum(ctx, f.URL, s.spec, o)
	return f, err
}

// findFile takes a checksum if there is one. A checksum file for it must be a URL.
func (r *Resolver) findFile(ctx context.Context, f Found, s said) (_ Found, err error) {
	f.File, _ = source.FilePath(f.Source)
	f.Name = f.File
	switch {
	case s.spec == "" || s.spec == "auto":
	case strings.Contains(s.spec, "://"):
		at := url.URL{Scheme: "http", Host: "file", Path: "/" + path.Base(f.File)} // a name is all that is looked at
		f.Digest, err = source.Checksum(ctx, at.String(), s.spec, r.Rules())
	default:
		f.Digest, err = source.ParseDigest(s.spec, r.c.Checksums.AllowMD5Checksum)
	}
	return f, err
}

// compared takes what who keeps the image says of it, and refuses an instance_info that says otherwise. who is it in words.
func (r *Resolver) compared(ctx context.Context, f Found, s said, who string, kept source.Digest, format string) (Found, error) {
	if s.spec != "" && s.spec != "auto" {
		own, err := source.Checksum(ctx, "http://image/"+path.Base(f.Name), s.spec, r.Rules())
		if err != nil {
			return f, err
		}
		if own.Algorithm == kept.Algorithm && own.Hex != kept.Hex {
			return f, fault.New(fault.Invalid, "The image %s has the %s checksum %s as %s says, but instance_info says %s.", f.Name, kept.Algorithm, kept.Hex, who, own.Hex)
		}
		if own.Algorithm != kept.Algorithm && (own.Algorithm != source.MD5 || kept.Hex == "") {
			kept = own // another of the same bytes: the user's is checked, but that it is the weaker one
		}
	}
	f.Digest = kept
	switch {
	case format == "":
	case s.format != "" && s.format != format:
		return f, fault.New(fault.Invalid, "The image %s is %s as %s says, but image_disk_format in instance_info is %.40q.", f.Name, format, who, s.format)
	default:
		f.Format = format
	}
	return f, nil
}

// Access is how the bytes at a URL that Find gave for an image are fetched now.
func (r *Resolver) Access(ctx context.Context, n *metal.Node, image, at string) (source.Options, error) {
	o := r.Rules()
	kind, err := source.KindOf(image)
	if err != nil {
		return o, err
	}
	switch kind {
	case source.OCI:
		return r.openOCI(ctx, n, image)
	case source.Glance:
		return r.openGlance(ctx, source.GlanceID(image))
	case source.FileOf:
		return o, nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return o, fault.New(fault.Invalid, "The image's URL cannot be parsed.")
	}
	l, _, err := r.pullLogin(n, u.Host)
	if err == nil && l.empty() {
		l = r.serverLogin(u.Host)
	}
	o.User, o.Password = l.user, l.password
	if !l.bearer.Empty() {
		o.Authorization = secret.New("Bearer " + l.bearer.Expose())
	}
	return o, err
}

// Header is a whole Authorization header of options, "" for none.
func Header(o source.Options) string {
	switch {
	case !o.Authorization.Empty():
		return o.Authorization.Expose()
	case o.User != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(o.User+":"+o.Password.Expose()))
	}
	return ""
}
