package vendordata

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"ingot/internal/secret"
)

// TargetList is the option vendordata_dynamic_targets: each a NAME@URL. A URL may hold a password or a token in its query, so
// it is printed with Shown.
type TargetList []string

const maxName = 255

// target is one server that is asked.
type target struct {
	name string
	url  *url.URL
}

// parse gives the targets in the order of the list. The errors name each bad entry, by its number where its name cannot be
// told from a part of a URL.
func (l TargetList) parse() (out []target, wrong []error) {
	seen := map[string]bool{}
	for i, entry := range l {
		t, err := parseTarget(entry)
		if err == nil && seen[t.name] {
			err = fmt.Errorf("the name %q is used twice", t.name)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("[api] vendordata_dynamic_targets: entry %d: %w", i+1, err))
			continue
		}
		seen[t.name] = true
		out = append(out, t)
	}
	return out, wrong
}

// parseTarget divides an entry at its first @: the URL may have more.
func parseTarget(entry string) (target, error) {
	name, raw, found := strings.Cut(entry, "@")
	name, raw = strings.TrimSpace(name), strings.TrimSpace(raw)
	switch {
	case !found:
		return target{}, errors.New("there is no @: write it as NAME@URL")
	case name == "":
		return target{}, errors.New("there is no name before the @: write it as NAME@URL")
	case !nameable(name):
		return target{}, errors.New("what is before the first @ is no name of at most 255 letters, digits and . _ - characters: write it as NAME@URL")
	case name == "static":
		return target{}, errors.New(`the name "static" is that of the file vendordata_jsonfile_path: choose another`)
	}
	u, err := url.Parse(raw) // its error would quote the URL
	switch {
	case err != nil:
		return target{}, fmt.Errorf("target %q: its URL cannot be parsed", name)
	case u.Scheme != "http" && u.Scheme != "https":
		return target{}, fmt.Errorf("target %q: its URL must begin with https:// or http://", name)
	case u.Hostname() == "":
		return target{}, fmt.Errorf("target %q: its URL has no host", name)
	}
	u.Fragment, u.RawFragment = "", ""
	if _, err := url.Parse(u.String()); err != nil { // some zones of addresses can be read and not written
		return target{}, fmt.Errorf("target %q: its URL cannot be parsed", name)
	}
	return target{name, u}, nil
}

func nameable(name string) bool {
	return len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
}

// Shown is the list as people may see it: without what a URL keeps secret.
func (l TargetList) Shown() string {
	out := make([]string, len(l))
	for i, entry := range l {
		t, err := parseTarget(entry)
		if err != nil {
			out[i] = secret.Mask // it may begin with a password
			continue
		}
		out[i] = t.name + "@" + t.shown()
	}
	return strings.Join(out, ",")
}

// shown is the URL with its password and its query masked.
func (t target) shown() string {
	u := url.URL{Scheme: t.url.Scheme, Host: t.url.Host, Path: t.url.Path, RawPath: t.url.RawPath}
	s := u.String()
	if t.url.User != nil {
		s = u.Scheme + "://" + secret.Mask + "@" + strings.TrimPrefix(s, u.Scheme+"://")
	}
	if t.url.RawQuery != "" {
		s += "?" + secret.Mask
	}
	return s
}

// sameOrigin tells whether two URLs lead to the same server by the same scheme.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// loopback tells whether a target is on this host.
func (t target) loopback() bool {
	ip := net.ParseIP(t.url.Hostname())
	return t.url.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
