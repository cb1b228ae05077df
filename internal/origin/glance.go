package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/members"

	"ingot/internal/fault"
	"ingot/internal/keystone"
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

	keystone.Login `auth_url:"Images can be given by their id in Glance once it is set." username:"It must see the images that are deployed."`
	keystone.Endpoint
}

func glanceDefaults() GlanceConfig {
	return GlanceConfig{PermittedVisibility: []string{"public"}, RequestTimeout: 30 * time.Second, NumRetries: 3, Login: keystone.Defaults(), Endpoint: keystone.EndpointDefaults()}
}

// Configured tells whether there is a Glance to speak to.
func (c GlanceConfig) Configured() bool { return c.Endpoint.Configured(c.Login) }

// check says what is wrong.
func (c GlanceConfig) check() error {
	for _, v := range c.PermittedVisibility {
		if !slices.Contains([]string{"public", "community", "shared", "private"}, v) {
			return fmt.Errorf("[glance] permitted_visibility: %.40q is none of public, community, shared, private", v)
		}
	}
	return c.Endpoint.Check("glance", c.Login)
}

// glanceAnswer is bytes of one answer: what is said of an image is far smaller.
const glanceAnswer = 1 << 20

// glance is this server as a user of Glance's.
type glance struct {
	c  GlanceConfig
	at *keystone.Client
}

func newGlance(c GlanceConfig) (*glance, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	at, err := keystone.New(c.Login, keystone.Options{Section: "glance", Timeout: c.RequestTimeout, Answer: glanceAnswer, Retries: c.NumRetries})
	if err != nil {
		return nil, err
	}
	return &glance{c: c, at: at}, nil
}

func (g *glance) close() { g.at.Close() }

// service is Glance, logged in to.
func (g *glance) service(ctx context.Context) (*gophercloud.ServiceClient, error) {
	return g.at.Find(ctx, g.c.Endpoint, "image", "v2", openstack.NewImageV2)
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
	o.CA, o.Insecure, o.Stall = r.glance.at.CA(), r.glance.c.Insecure, r.c.Web.WebserverConnectionTimeout
	if token := g.Token(); token != "" {
		o.Token = secret.New(token)
	}
	return o, nil
}
