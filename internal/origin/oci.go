package origin

import (
	"context"
	_ "crypto/sha512" // go-digest takes the algorithms that are linked in
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/source"
)

// registryTries is how often a registry is asked that is busy or does not answer, and registryPause the first pause between.
const (
	registryTries = 4
	registryPause = time.Second
)

// parseReference reads oci://HOST/PATH[:TAG][@DIGEST]; without either the tag is latest.
func parseReference(image string) (registry.Reference, error) {
	ref, err := registry.ParseReference(strings.TrimPrefix(image, "oci://"))
	if err != nil || len(image) > 1024 {
		return ref, fault.Wrap(fault.Invalid, err, "The image_source %.200q is not of the form oci://HOST/PATH:TAG or oci://HOST/PATH@sha256:DIGEST.", image)
	}
	if ref.Reference == "" {
		ref.Reference = "latest"
	}
	if d, err := ref.Digest(); err == nil {
		if _, err := shaOf(d); err != nil {
			return ref, err
		}
	}
	return ref, nil
}

// pull is a conversation with one registry about one repository.
type pull struct {
	ref  registry.Reference
	repo *remote.Repository
	o    source.Options
	note string // of a login that was not used
	seen *seen
}

// seen remembers the Authorization header that the repository took, to give it to who fetches the bytes.
type seen struct {
	next http.RoundTripper
	host string

	mu     sync.Mutex
	header string // guarded by mu
}

// RoundTrip makes a request.
func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := s.next.RoundTrip(r)
	if err == nil && answer.StatusCode < 300 && r.URL.Host == s.host && strings.Contains(r.URL.Path, "/manifests/") {
		s.mu.Lock()
		s.header = r.Header.Get("Authorization")
		s.mu.Unlock()
	}
	return answer, err
}

// CloseIdleConnections is the client's: without it that would reach nothing.
func (s *seen) CloseIdleConnections() {
	if c, ok := s.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (s *seen) last() secret.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.header == "" {
		return secret.Secret{}
	}
	return secret.New(s.header)
}

func (r *Resolver) pulls(n *metal.Node, image string) (*pull, error) {
	ref, err := parseReference(image)
	if err != nil {
		return nil, err
	}
	l, note, err := r.registryLogin(n, ref.Registry)
	if err != nil {
		return nil, err
	}
	o := r.Rules()
	o.CA, o.Trusted = r.ociCA, r.c.Registries.SecureCDNRegistries
	client, err := o.Client()
	if err != nil {
		return nil, err
	}
	s := &seen{next: client.Transport, host: ref.Host()}
	client.Transport, client.Timeout = s, time.Minute
	repo := &remote.Repository{Reference: ref, MaxMetadataBytes: maxManifest, Client: &auth.Client{Client: client, Cache: auth.NewCache(), BlockedRealmPrefixes: r.refused,
		Header: http.Header{"User-Agent": {"ingot"}}, Credential: auth.StaticCredential(ref.Registry, credential(l))}}
	if r.refused == nil { // nil would be the library's own list
		repo.Client.(*auth.Client).BlockedRealmPrefixes = r.refused[:0:0]
	}
	return &pull{ref: ref, repo: repo, o: o, note: note, seen: s}, nil
}

// close ends its connections: a registry may keep them open for ever.
func (p *pull) close() { p.seen.CloseIdleConnections() }

func credential(l login) auth.Credential {
	if !l.bearer.Empty() {
		return auth.Credential{AccessToken: l.bearer.Expose()}
	}
	if !l.refresh.Empty() {
		return auth.Credential{RefreshToken: l.refresh.Expose()}
	}
	return auth.Credential{Username: l.user, Password: l.password.Expose()}
}

// findOCI asks the registry which bytes the image is. Every manifest is verified before it is read.
func (r *Resolver) findOCI(ctx context.Context, n *metal.Node, f Found, s said) (Found, error) {
	p, err := r.pulls(n, f.Source)
	if err != nil {
		return f, err
	}
	defer p.close()
	f.Name = f.Source
	doc, _, err := p.document(ctx, p.ref.Reference)
	if err != nil {
		return f, err
	}
	format := ""
	index, err := doc.isIndex()
	if err != nil {
		return f, err
	}
	if index {
		arch, _ := n.Properties["cpu_arch"].(string)
		chosen, err := doc.choose(arch)
		if err != nil {
			return f, err
		}
		if _, err := shaOf(chosen.Digest); err != nil {
			return f, err
		}
		format = diskFormat(chosen.Annotations)
		if doc, _, err = p.document(ctx, chosen.Digest.String()); err != nil {
			return f, err
		}
		if again, err := doc.isIndex(); err != nil || again {
			return f, errors.Join(err, fault.New(fault.Invalid, "The registry's list of manifests leads to another list."))
		}
	}
	layer, err := doc.layer()
	if err != nil {
		return f, err
	}
	kept, err := shaOf(layer.Digest)
	if err != nil {
		return f, err
	}
	kept.Origin = "the registry's manifest"
	if format == "" {
		if format = diskFormat(layer.Annotations); format == "" {
			format = diskFormat(doc.Annotations)
		}
	}
	f.Size = layer.Size
	f.URL = (&url.URL{Scheme: "https", Host: p.ref.Host(), Path: "/v2/" + p.ref.Repository + "/blobs/" + layer.Digest.String()}).String()
	return r.compared(ctx, f, s, "the registry", kept, format)
}

// openOCI asks the registry anew, and gives what opened the manifest: that opens the bytes, too.
func (r *Resolver) openOCI(ctx context.Context, n *metal.Node, image string) (source.Options, error) {
	p, err := r.pulls(n, image)
	if err != nil {
		return source.Options{}, err
	}
	defer p.close()
	if _, _, err := p.document(ctx, p.ref.Reference); err != nil {
		return p.o, err
	}
	p.o.Authorization = p.seen.last()
	return p.o, nil
}

// document fetches and verifies a manifest or an index by tag or digest.
func (p *pull) document(ctx context.Context, reference string) (document, ocispec.Descriptor, error) {
	text, d, err := p.fetch(ctx, reference)
	for try := 1; try < registryTries && busy(err) && ctx.Err() == nil; try++ {
		wait := time.NewTimer(registryPause << (try - 1))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return document{}, d, context.Cause(ctx)
		}
		text, d, err = p.fetch(ctx, reference)
	}
	if err != nil {
		return document{}, d, p.refused(ctx, err)
	}
	doc, err := parseDocument(text)
	if doc.MediaType == "" {
		doc.MediaType = d.MediaType
	}
	return doc, d, err
}

func (p *pull) fetch(ctx context.Context, reference string) ([]byte, ocispec.Descriptor, error) {
	d, body, err := p.repo.Manifests().(registry.ReferenceFetcher).FetchReference(ctx, reference)
	if err != nil {
		return nil, d, err
	}
	defer body.Close() // read-only: nothing is lost
	if d.Size > maxManifest {
		return nil, d, errTooLarge
	}
	if want, err := digest.Parse(reference); err == nil && want != d.Digest {
		return nil, d, content.ErrMismatchedDigest
	}
	text, err := content.ReadAll(io.LimitReader(body, maxManifest+1), d)
	return text, d, err
}

var errTooLarge = fmt.Errorf("the manifest is larger than %d MiB", maxManifest>>20)

// busy tells whether a registry may answer later.
func busy(err error) bool {
	var answer *errcode.ErrorResponse
	if errors.As(err, &answer) {
		return answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500
	}
	var netErr *url.Error
	return errors.As(err, &netErr) && isUnavailable(err)
}

// refused makes a fault of what a registry ended with. What a library says may quote URLs and answers: it is for the log.
func (p *pull) refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	name := p.ref.Registry + "/" + p.ref.Repository
	wrong := func(k fault.Kind, why string) error {
		return fault.Wrap(k, err, "The image %s cannot be had: %s.", name, why)
	}
	var answer *errcode.ErrorResponse
	switch {
	case errors.Is(err, errTooLarge):
		return wrong(fault.Invalid, errTooLarge.Error())
	case errors.Is(err, content.ErrMismatchedDigest), errors.Is(err, content.ErrTrailingData), errors.Is(err, content.ErrInvalidDescriptorSize):
		return wrong(fault.Invalid, "the registry's manifest is not the one that its digest says")
	case errors.Is(err, auth.ErrBasicCredentialNotFound), errors.As(err, &answer) && answer.StatusCode == http.StatusUnauthorized:
		return wrong(fault.Invalid, "the registry asks for other credentials: set image_pull_secret in instance_info, or [oci] authentication_config"+p.note)
	case errors.Is(err, errdef.ErrNotFound), answer != nil && answer.StatusCode == http.StatusNotFound:
		return wrong(fault.NotFound, "the registry has no such image, or not for these credentials"+p.note)
	case answer != nil && answer.StatusCode == http.StatusForbidden:
		return wrong(fault.Forbidden, "the registry refuses it"+p.note)
	case answer != nil && (answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500):
		return wrong(fault.Unavailable, fmt.Sprintf("the registry answered %d", answer.StatusCode))
	case answer != nil:
		return wrong(fault.Invalid, fmt.Sprintf("the registry answered %d", answer.StatusCode))
	}
	if kind, why := source.Failure(err); why != "" {
		return wrong(kind, why)
	}
	return wrong(fault.Invalid, "what the registry answered is not a registry's answer"+p.note)
}

func isUnavailable(err error) bool {
	kind, _ := source.Failure(err)
	return kind == fault.Unavailable
}
