package origin

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"ingot/internal/secret"
	"ingot/internal/source"
)

// Web is the part of the section [DEFAULT] about servers that images are fetched from.
type Web struct {
	// WebserverVerifyCA is how the certificates of image servers are checked: true, against this host's authorities; a path, against
	// those in that PEM file; false, not at all: then whoever is between can be anybody, and gets the credentials.
	WebserverVerifyCA string `key:"webserver_verify_ca"`
	// WebserverConnectionTimeout is how long an image server may send nothing.
	WebserverConnectionTimeout time.Duration `key:"webserver_connection_timeout" min:"1"`
}

// Servers is the part of the section [deploy] about servers that images are fetched from.
type Servers struct {
	// ImageServerAuthStrategy is how this server and machines log in to the image servers of image_server_hosts.
	ImageServerAuthStrategy string `key:"image_server_auth_strategy" oneof:"noauth,http_basic"`
	// ImageServerUser is the user of http_basic.
	ImageServerUser string `key:"image_server_user"`
	// ImageServerPassword is that user's password.
	ImageServerPassword secret.Secret `key:"image_server_password"`
	// ImageServerHosts are the hosts, each as HOST or HOST:PORT, that image_server_user and password, and the image_pull_secret of a
	// node's driver_info, are for. Others are not told them, whatever an instance's image_source is. It is ours.
	ImageServerHosts []string `key:"image_server_hosts"`
	// RefusedImageNetworks are networks that images, their checksum files and config drives are not fetched from, by this server or
	// by machines, whatever name leads there. It is ours.
	RefusedImageNetworks []string `key:"refused_image_networks"`
}

// Checksums is the part of the section [agent] about checksums.
type Checksums struct {
	// AllowMD5Checksum takes MD5 checksums of images. Files can be forged for them.
	AllowMD5Checksum bool `key:"allow_md5_checksum"`
}

// ChecksumFiles is the part of the section [conductor] about checksums.
type ChecksumFiles struct {
	// DisableSupportForChecksumFiles refuses checksums that are given as the URL of a checksum file: whoever can change the image at its
	// server can often change that, too.
	DisableSupportForChecksumFiles bool `key:"disable_support_for_checksum_files"`
}

// Registries is the section [oci].
type Registries struct {
	// AuthenticationConfig is a file of credentials by registry, as docker login and podman login write it ({"auths": …}). Credential
	// helpers are not run.
	AuthenticationConfig string `key:"authentication_config" is:"path"`
	// SecureCDNRegistries are hosts that are told the credentials too when a registry redirects to them. They must match whole.
	SecureCDNRegistries []string `key:"secure_cdn_registries"`
	// VerifyCA is a PEM file of the authorities that registries' certificates are checked with. Empty means what [DEFAULT]
	// webserver_verify_ca says.
	VerifyCA string `key:"verify_ca" is:"path"`
}

// Config is all of it.
type Config struct {
	Web           Web
	Servers       Servers
	Checksums     Checksums
	ChecksumFiles ChecksumFiles
	Registries    Registries
	Glance        GlanceConfig
}

// Defaults is the only place with default values. They are upstream's, but that MD5 is refused. Addresses of cloud providers' metadata
// services are among the refused networks: whoever can read there has the host's credentials.
func Defaults() Config {
	return Config{
		Web: Web{WebserverVerifyCA: "true", WebserverConnectionTimeout: time.Minute},
		Servers: Servers{ImageServerAuthStrategy: "noauth",
			RefusedImageNetworks: []string{"0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254", "100.100.100.200"}},
		Registries: Registries{SecureCDNRegistries: []string{"registry.redhat.io", "registry.access.redhat.com", "docker.io", "registry-1.docker.io"}},
		Glance:     glanceDefaults(),
	}
}

// Resolver finds images. It is safe for many goroutines.
type Resolver struct {
	c       Config
	ca      string // PEM; "" means the system's
	ociCA   string
	refused []netip.Prefix
	glance  *glance // nil: not configured
	// patience changes how patient requests are; tests set it.
	patience source.Options
}

// New reads what the configuration names. An error is a sentence that names the option.
func New(c Config) (*Resolver, error) {
	r := &Resolver{c: c}
	var err error
	if r.refused, err = source.ParseNetworks(c.Servers.RefusedImageNetworks); err != nil {
		return nil, fmt.Errorf("[deploy] refused_image_networks: %w", err)
	}
	if path := c.Web.WebserverVerifyCA; !isTrue(path) && !isFalse(path) {
		if r.ca, err = certificates(path); err != nil {
			return nil, fmt.Errorf("[DEFAULT] webserver_verify_ca: %w", err)
		}
	}
	r.ociCA = r.ca
	if path := c.Registries.VerifyCA; path != "" {
		if r.ociCA, err = certificates(path); err != nil {
			return nil, fmt.Errorf("[oci] verify_ca: %w", err)
		}
	}
	if s := c.Servers; s.ImageServerAuthStrategy == basicStrategy && (s.ImageServerUser == "" || s.ImageServerPassword.Empty() || len(s.ImageServerHosts) == 0) {
		return nil, fmt.Errorf("[deploy] image_server_auth_strategy = http_basic needs image_server_user, image_server_password and image_server_hosts: the hosts that they are for")
	}
	if file := c.Registries.AuthenticationConfig; file != "" {
		if _, err := readLogins(file); err != nil {
			return nil, err
		}
	}
	if c.Glance.Configured() {
		if r.glance, err = newGlance(c.Glance); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Plain is a resolver with the defaults alone.
func Plain() *Resolver {
	r, err := New(Defaults())
	if err != nil {
		panic(err) // the defaults are ours
	}
	return r
}

// Close ends connections that are kept.
func (r *Resolver) Close() {
	if r.glance != nil {
		r.glance.close()
	}
}

// Rules are how anything is fetched for a user: without credentials, and from where not.
func (r *Resolver) Rules() source.Options {
	o := r.patience
	o.CA, o.Insecure, o.Refused = r.ca, isFalse(r.c.Web.WebserverVerifyCA), r.refused
	o.MD5, o.NoChecksumFiles = r.c.Checksums.AllowMD5Checksum, r.c.ChecksumFiles.DisableSupportForChecksumFiles
	if o.Stall == 0 {
		o.Stall = r.c.Web.WebserverConnectionTimeout
	}
	return o
}

// Refused are the networks that nothing is fetched from, as text.
func (r *Resolver) Refused() []string { return r.c.Servers.RefusedImageNetworks }

func isTrue(s string) bool  { return s == "" || strings.EqualFold(s, "true") }
func isFalse(s string) bool { return strings.EqualFold(s, "false") }

func certificates(path string) (string, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("it must be true, false or a PEM file: %w", err)
	}
	if _, err := (source.Options{CA: string(pem)}).Client(); err != nil {
		return "", fmt.Errorf("there is no certificate in %s", path)
	}
	return string(pem), nil
}
