package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/members"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// GlanceConfig is the section [glance].
type GlanceConfig struct {
	// PermittedVisibility are the visibilities of images that are deployed: public, community, shared, private. Of the last two only
	// those of the project that has the node's lease, or else owns the node, or that are shared with it. It is ours.
	PermittedVisibility []string `key:"permitted_visibility"`
	// RequestTimeout is how long one request may take, other than for an image's bytes.
	RequestTimeout time.Duration `key:"request_timeout" min:"1"`
	// NumRetries is how often a request is sent again that got no answer.
	NumRetries int `key:"num_retries" min:"0" max:"10"`

	// AuthType is what this server logs in with. None needs endpoint_override.
	AuthType string `key:"auth_type" oneof:"password,v3password,v3applicationcredential,none"`
	// AuthURL is Keystone's URL, with or without /v3. Images can be given by their id in Glance once it is set.
	AuthURL string `key:"auth_url" is:"url"`
	// Username is this server's user. It must see the images that are deployed.
	Username string `key:"username"`
	// Password is that user's password.
	Password secret.Secret `key:"password"`
	// UserDomainName is the domain of that user.
	UserDomainName string `key:"user_domain_name"`
	// UserDomainID is the domain of that user by id. Empty means by name.
	UserDomainID string `key:"user_domain_id"`
	// ProjectName is the project this server logs in to.
	ProjectName string `key:"project_name"`
	// ProjectDomainName is the domain of that project.
	ProjectDomainName string `key:"project_domain_name"`
	// ProjectDomainID is the domain of that project by id. Empty means by name.
	ProjectDomainID string `key:"project_domain_id"`
	// ApplicationCredentialID is the application credential of auth_type v3applicationcredential.
	ApplicationCredentialID string `key:"application_credential_id"`
	// ApplicationCredentialSecret is that credential's secret.
	ApplicationCredentialSecret secret.Secret `key:"application_credential_secret"`
	// RegionName is the region whose Glance is used. Empty means the only one.
	RegionName string `key:"region_name"`
	// ValidInterfaces are the kinds of endpoint that are looked for in Keystone's catalogue, the best first.
	ValidInterfaces []string `key:"valid_interfaces"`
	// EndpointOverride is Glance's URL, in place of the catalogue's.
	EndpointOverride string `key:"endpoint_override" is:"url"`
	// CAFile has the certificates that those of Keystone and Glance are checked with. Empty means this host's.
	CAFile string `key:"cafile" is:"path"`
	// Insecure does not check certificates. For trials only: whoever is between can be anybody.
	Insecure bool `key:"insecure"`
}

func glanceDefaults() GlanceConfig {
	return GlanceConfig{PermittedVisibility: []string{"public"}, RequestTimeout: 30 * time.Second, NumRetries: 3, AuthType: "password", UserDomainName: "Default", ProjectName: "service",
		ProjectDomainName: "Default", ValidInterfaces: []string{"internal", "public"}}
}

// Configured tells whether there is a Glance to speak to.
func (c GlanceConfig) Configured() bool {
	return c.AuthURL != "" || c.AuthType == "none" && c.EndpointOverride != ""
}

// check says what is missing to log in.
func (c GlanceConfig) check() error {
	var missing []string
	need := func(name string, empty bool) {
		if empty {
			missing = append(missing, name)
		}
	}
	switch c.AuthType {
	case "none":
	case "v3applicationcredential":
		need("application_credential_id", c.ApplicationCredentialID == "")
		need("application_credential_secret", c.ApplicationCredentialSecret.Empty())
	default:
		need("username", c.Username == "")
		need("password", c.Password.Empty())
	}
	if len(missing) > 0 {
		return fmt.Errorf("[glance] auth_type %s needs %s", c.AuthType, strings.Join(missing, " and "))
	}
	for _, v := range c.PermittedVisibility {
		if !slices.Contains([]string{"public", "community", "shared", "private"}, v) {
			return fmt.Errorf("[glance] permitted_visibility: %.40q is none of public, community, shared, private", v)
		}
	}
	for _, kind := range c.ValidInterfaces {
		if _, ok := interfaces[kind]; !ok {
			return fmt.Errorf("[glance] valid_interfaces: %.40q is none of internal, public, admin", kind)
		}
	}
	return nil
}

var interfaces = map[string]gophercloud.Availability{"internal": gophercloud.AvailabilityInternal, "public": gophercloud.AvailabilityPublic, "admin": gophercloud.AvailabilityAdmin}

// glanceAnswer is bytes of one answer: what is said of an image is far smaller.
const glanceAnswer = 1 << 20

// glance logs in at the first call, and again when a token is not taken any more.
type glance struct {
	c    GlanceConfig
	ca   string
	http *http.Client
	turn chan struct{} // holds one: whoever takes it may log in
	is   *gophercloud.ServiceClient
}

func newGlance(c GlanceConfig) (*glance, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	g := &glance{c: c, turn: make(chan struct{}, 1)}
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} // #nosec G402 -- the operator's explicit choice, for trials
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("[glance] cafile: %w", err)
		}
		t.RootCAs, g.ca = x509.NewCertPool(), string(pem)
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[glance] cafile: there is no certificate in %s", c.CAFile)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.Proxy = t, nil
	g.http = &http.Client{Transport: brief{transport}, Timeout: c.RequestTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { // tokens go nowhere else
		return errors.New("a redirect: give the final URL as auth_url or endpoint_override")
	}}
	return g, nil
}

func (g *glance) close() { g.http.CloseIdleConnections() }

// brief bounds answers.
type brief struct{ next http.RoundTripper }

// RoundTrip makes a request.
func (b brief) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, glanceAnswer), answer.Body}
	}
	return answer, err
}

// service is Glance, logged in to.
func (g *glance) service(ctx context.Context) (*gophercloud.ServiceClient, error) {
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if g.is != nil {
		return g.is, nil
	}
	p, err := openstack.NewClient(g.c.keystone())
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "[glance] auth_url cannot be used.")
	}
	p.HTTPClient, p.RetryFunc = *g.http, g.retry
	if g.c.AuthType != "none" {
		if err := openstack.Authenticate(ctx, p, g.c.login()); err != nil {
			return nil, glanceFault(ctx, err, "This server cannot log in to Keystone for Glance: see [glance] auth_url, username and password.")
		}
	}
	if g.is, err = g.endpoint(p); err != nil {
		return nil, err
	}
	return g.is, nil
}

func (c GlanceConfig) login() gophercloud.AuthOptions {
	o := gophercloud.AuthOptions{IdentityEndpoint: c.keystone(), AllowReauth: true}
	if c.AuthType == "v3applicationcredential" {
		o.ApplicationCredentialID, o.ApplicationCredentialSecret = c.ApplicationCredentialID, c.ApplicationCredentialSecret.Expose()
		return o
	}
	o.Username, o.Password = c.Username, c.Password.Expose()
	o.Scope = &gophercloud.AuthScope{ProjectName: c.ProjectName}
	if o.DomainID = c.UserDomainID; o.DomainID == "" {
		o.DomainName = c.UserDomainName
	}
	if o.Scope.DomainID = c.ProjectDomainID; o.Scope.DomainID == "" {
		o.Scope.DomainName = c.ProjectDomainName
	}
	return o
}

// keystone is auth_url with /v3/ at its end.
func (c GlanceConfig) keystone() string {
	return strings.TrimSuffix(strings.TrimRight(c.AuthURL, "/"), "/v3") + "/v3/"
}

func (g *glance) endpoint(p *gophercloud.ProviderClient) (*gophercloud.ServiceClient, error) {
	if at := g.c.EndpointOverride; at != "" {
		at = strings.TrimSuffix(strings.TrimRight(at, "/"), "/v2") + "/"
		return &gophercloud.ServiceClient{ProviderClient: p, Endpoint: at, ResourceBase: at + "v2/", Type: "image"}, nil
	}
	var last error
	for _, kind := range g.c.ValidInterfaces {
		s, err := openstack.NewImageV2(p, gophercloud.EndpointOpts{Region: g.c.RegionName, Availability: interfaces[kind]})
		if err == nil {
			s.ResourceBase = strings.TrimSuffix(strings.TrimRight(s.Endpoint, "/"), "/v2") + "/v2/"
			return s, nil
		}
		last = err
	}
	return nil, fault.Wrap(fault.Unavailable, last, "Keystone's catalogue has no image service in region %q for the interfaces %s: see [glance] region_name and valid_interfaces, or set endpoint_override.",
		g.c.RegionName, strings.Join(g.c.ValidInterfaces, ", "))
}

// retry tells whether a request that failed is sent again: nil. All of ours only read.
func (g *glance) retry(ctx context.Context, _, _ string, _ *gophercloud.RequestOpts, err error, failed uint) error {
	var code gophercloud.ErrUnexpectedResponseCode
	if int(failed) > g.c.NumRetries || ctx.Err() != nil || errors.As(err, &code) && code.Actual < 500 { // #nosec G115 -- a small count
		return err
	}
	pause := time.NewTimer(250 * time.Millisecond << min(failed-1, 6))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return err
	}
}

// glanceFault makes a fault of what a call ended with.
func glanceFault(ctx context.Context, err error, otherwise string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if own := (*fault.Error)(nil); errors.As(err, &own) {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "%s", otherwise)
}

// findGlance asks Glance what an image is, and whether it is for this node.
func (r *Resolver) findGlance(ctx context.Context, n *metal.Node, f Found, s said) (Found, error) {
	id := source.GlanceID(f.Source)
	f.Name, f.Through = "glance://"+id, true
	if r.glance == nil {
		return f, fault.New(fault.Invalid, "The image_source is the id of an image in Glance, and this server has no Glance: set [glance] auth_url, or give the image's URL.")
	}
	g, err := r.glance.service(ctx)
	if err != nil {
		return f, err
	}
	is, err := images.Get(ctx, g, id).Extract()
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) || gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
		return f, noSuchImage(id, err)
	}
	if err != nil {
		return f, glanceFault(ctx, err, "Glance gave no answer about the image "+id+".")
	}
	if err := r.glance.mayUse(ctx, g, n, is); err != nil {
		return f, err
	}
	if is.Status != images.ImageStatusActive {
		return f, fault.New(fault.Invalid, "The image %s in Glance is %.20q: only active images can be deployed.", id, is.Status)
	}
	kept, err := r.glanceDigest(is, s)
	if err != nil {
		return f, err
	}
	if f.Size = is.SizeBytes; f.Size <= 0 {
		return f, fault.New(fault.Invalid, "Glance does not say how large the image %s is.", id)
	}
	f.URL = g.ServiceURL("images", id, "file")
	return r.compared(ctx, f, s, "Glance", kept, is.DiskFormat)
}

func noSuchImage(id string, cause error) error {
	return fault.Wrap(fault.NotFound, cause, "There is no image %s in Glance, or it may not be used for this node.", id)
}

// glanceDigest is the digest that Glance has of an image. One that it has only an MD5 of needs one of the user's.
func (r *Resolver) glanceDigest(is *images.Image, s said) (source.Digest, error) {
	algo, _ := is.Properties["os_hash_algo"].(string)
	value, _ := is.Properties["os_hash_value"].(string)
	spec := algo + ":" + value
	if value == "" {
		spec = "md5:" + is.Checksum
	}
	d, err := source.ParseDigest(spec, r.c.Checksums.AllowMD5Checksum)
	if err != nil && s.spec != "" && s.spec != "auto" {
		return source.Digest{}, nil // the user's is taken
	}
	if err != nil {
		return d, fault.Wrap(fault.Invalid, err, "Glance has no SHA-256 or SHA-512 checksum of the image %s: give one in instance_info (image_os_hash_algo, image_os_hash_value).", is.ID)
	}
	d.Origin = "Glance"
	return d, nil
}

// mayUse applies the rule of visibility. This server sees more than the node's user: what it may read is no reason to hand it out.
func (g *glance) mayUse(ctx context.Context, s *gophercloud.ServiceClient, n *metal.Node, is *images.Image) error {
	seen := string(is.Visibility)
	if !slices.Contains(g.c.PermittedVisibility, seen) {
		return fault.New(fault.Forbidden, "The image %s in Glance is %.20q, and here images must be %s ([glance] permitted_visibility).", is.ID, seen, strings.Join(g.c.PermittedVisibility, " or "))
	}
	if seen == "public" || seen == "community" {
		return nil
	}
	project := n.Lessee
	if project == "" {
		project = n.Owner
	}
	if project != "" && project == is.Owner {
		return nil
	}
	if seen == "shared" && project != "" {
		m, err := members.Get(ctx, s, is.ID, project).Extract()
		if err == nil && m.Status == "accepted" {
			return nil
		}
		if err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) && !gophercloud.ResponseCodeIs(err, http.StatusForbidden) {
			return glanceFault(ctx, err, "Glance gave no answer about who the image "+is.ID+" is shared with.")
		}
	}
	return noSuchImage(is.ID, nil)
}

// openGlance is how Glance's bytes are fetched: with a token, from where the operator says that Glance is. Glance is asked once more, so
// that the token is one that it takes.
func (r *Resolver) openGlance(ctx context.Context, id string) (source.Options, error) {
	if r.glance == nil {
		return source.Options{}, fault.New(fault.Unavailable, "This server has no Glance: set [glance] auth_url.")
	}
	g, err := r.glance.service(ctx)
	if err != nil {
		return source.Options{}, err
	}
	if _, err := images.Get(ctx, g, id).Extract(); err != nil {
		return source.Options{}, glanceFault(ctx, err, "Glance gave no answer about the image "+id+".")
	}
	o := r.patience
	o.CA, o.Insecure, o.Stall = r.glance.ca, r.glance.c.Insecure, r.c.Web.WebserverConnectionTimeout
	if token := g.Token(); token != "" {
		o.Token = secret.New(token)
	}
	return o, nil
}
