package origin

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// basicStrategy is the image_server_auth_strategy with a user and a password.
const basicStrategy = "http_basic"

const (
	// maxPullSecret is bytes: tokens of some registries have several KiB.
	maxPullSecret = 64 << 10
	// maxLogins is bytes of a file of registries' credentials.
	maxLogins = 1 << 20
)

// login is what a server is told; the zero login is nobody.
type login struct {
	user     string
	password secret.Secret // with user
	bearer   secret.Secret // without
	refresh  secret.Secret // a registry's identity token
}

func (l login) empty() bool {
	return l.user == "" && l.password.Empty() && l.bearer.Empty() && l.refresh.Empty()
}

// parsePullSecret reads user:password, or a bare token. Source: images reference §1.
func parsePullSecret(text string) (login, error) {
	if text = strings.TrimSpace(text); text == "" {
		return login{}, nil
	}
	if len(text) > maxPullSecret || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return login{}, fault.New(fault.Invalid, "image_pull_secret is neither user:password nor a token: it is too long, or has line breaks.")
	}
	if user, password, ok := strings.Cut(text, ":"); ok {
		return login{user: user, password: secret.New(password)}, nil
	}
	return login{bearer: secret.New(text)}, nil
}

// pullLogin is the login for an image of a node at a host: the instance's own; else, if the operator named the host for it, that of
// the node's driver_info. note says that there was one which was not used.
func (r *Resolver) pullLogin(n *metal.Node, host string) (l login, note string, err error) {
	if l, err = parsePullSecret(n.InstanceInfo.Secret("image_pull_secret").Expose()); err != nil || !l.empty() {
		return l, "", err
	}
	if l, err = parsePullSecret(n.DriverInfo.Secret("image_pull_secret").Expose()); err != nil || l.empty() {
		return l, "", err
	}
	if !r.named(host) {
		return login{}, fmt.Sprintf(" (driver_info has an image_pull_secret, which is not sent to %s because [deploy] image_server_hosts does not name it)", host), nil
	}
	return l, "", nil
}

// serverLogin is the operator's login for a host that is named for it.
func (r *Resolver) serverLogin(host string) login {
	s := r.c.Servers
	if s.ImageServerUser == "" || s.ImageServerAuthStrategy != basicStrategy || !r.named(host) {
		return login{}
	}
	return login{user: s.ImageServerUser, password: s.ImageServerPassword}
}

// named tells whether the operator named a host, which is HOST or HOST:PORT, for credentials. One that is named without a port is any
// port of it.
func (r *Resolver) named(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return slices.ContainsFunc(r.c.Servers.ImageServerHosts, func(is string) bool {
		return strings.EqualFold(is, host) || strings.EqualFold(strings.Trim(is, "[]"), strings.Trim(name, "[]"))
	})
}

// logins are registries' credentials by host.
type logins map[string]login

func readLogins(path string) (logins, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("[oci] authentication_config: %w", err)
	}
	defer f.Close() // read-only: nothing is lost
	text, err := io.ReadAll(io.LimitReader(f, maxLogins+1))
	if err != nil {
		return nil, fmt.Errorf("[oci] authentication_config: %w", err)
	}
	l, err := parseLogins(text)
	if err != nil {
		return nil, fmt.Errorf("[oci] authentication_config %s: %w", path, err)
	}
	return l, nil
}

// parseLogins reads what docker login and podman login write. Errors quote nothing of it.
func parseLogins(text []byte) (logins, error) {
	if len(text) > maxLogins {
		return nil, fmt.Errorf("it is larger than %d KiB", maxLogins>>10)
	}
	var file struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			Username      string `json:"username"`
			Password      string `json:"password"`
			IdentityToken string `json:"identitytoken"`
			RegistryToken string `json:"registrytoken"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("it is not JSON of the form {\"auths\": {HOST: {\"auth\": …}}}")
	}
	out := logins{}
	for host, a := range file.Auths {
		l := login{user: a.Username}
		switch {
		case a.RegistryToken != "":
			l = login{bearer: secret.New(a.RegistryToken)}
		case a.IdentityToken != "":
			l = login{refresh: secret.New(a.IdentityToken)}
		case a.Auth != "":
			both, err := base64.StdEncoding.DecodeString(a.Auth)
			user, password, ok := strings.Cut(strings.TrimRight(string(both), "\x00"), ":")
			if err != nil || !ok {
				return nil, fmt.Errorf("the auth of a host is not base64 of user:password")
			}
			l = login{user: user, password: secret.New(password)}
		default:
			l.password = secret.New(a.Password)
		}
		out[loginHost(host)] = l
	}
	return out, nil
}

// loginHost is the host that a key of the file is for: the file has bare hosts, and URLs from docker's early days.
func loginHost(key string) string {
	if u, err := url.Parse(key); err == nil && u.Host != "" {
		key = u.Host
	}
	key, _, _ = strings.Cut(strings.ToLower(key), "/")
	if key == "index.docker.io" || key == "registry-1.docker.io" {
		return "docker.io"
	}
	return key
}

// registryLogin is the login for a registry: the instance's, the driver_info's, the file's for this host, the operator's.
func (r *Resolver) registryLogin(n *metal.Node, host string) (login, string, error) {
	l, note, err := r.pullLogin(n, host)
	if err != nil || !l.empty() {
		return l, note, err
	}
	if file := r.c.Registries.AuthenticationConfig; file != "" {
		all, err := readLogins(file)
		if err != nil {
			return login{}, "", fault.Wrap(fault.Unavailable, err, "The credentials for registries cannot be read ([oci] authentication_config).")
		}
		if l := all[loginHost(host)]; !l.empty() {
			return l, "", nil
		}
	}
	return r.serverLogin(host), note, nil
}
