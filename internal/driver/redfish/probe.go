package redfish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"ingot/internal/fault"
)

// probeLimit is how long Probe may take in all: somebody is waiting at a terminal.
const probeLimit = 20 * time.Second

// Certificate is one of the certificates a BMC shows.
type Certificate struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Names       []string  `json:"names,omitempty"` // host names and addresses it is for
	Fingerprint string    `json:"fingerprint"`     // SHA-256, lower-case hex
}

// ProbeResult is what is at an address, found out without credentials. Zero values are unknown.
type ProbeResult struct {
	URL         string        `json:"url"` // as it belongs in redfish_address
	Reachable   bool          `json:"reachable"`
	TLSVersion  string        `json:"tls_version,omitempty"`
	Chain       []Certificate `json:"chain,omitempty"` // as shown, the BMC's own first
	Fingerprint string        `json:"fingerprint,omitempty"`
	Verified    bool          `json:"verified"`               // the system's CAs vouch for it and its name
	VerifyError string        `json:"verify_error,omitempty"` // why not

	Redfish        bool     `json:"redfish"` // a Redfish service root answers
	RedfishVersion string   `json:"redfish_version,omitempty"`
	Product        string   `json:"product,omitempty"`
	Vendor         string   `json:"vendor,omitempty"`
	Name           string   `json:"name,omitempty"`
	UUID           string   `json:"uuid,omitempty"`
	Sessions       bool     `json:"sessions"`          // it offers session authentication
	AuthNeeded     bool     `json:"auth_needed"`       // listing its machines needs a login, as it should
	Systems        []string `json:"systems,omitempty"` // its machines, when it lists them to anybody
}

// Probe finds out what is at address: its certificate, whether it may be trusted, and what kind of BMC it
// is. It sends no credentials and changes nothing. The certificate need not be trusted: the rest is read
// from whoever shows it. Errors: fault.Invalid for an address that is none, fault.Unavailable when nobody
// answers; something that answers and is no BMC is a result with Redfish false.
func Probe(ctx context.Context, address string) (ProbeResult, error) {
	u, err := parseBase(address)
	if err != nil {
		return ProbeResult{}, fault.New(fault.Invalid, "the address is not usable: %s", err)
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	r := ProbeResult{URL: u.Scheme + "://" + u.Host}
	t := trust{unverified: true}
	if u.Scheme == "https" {
		der, err := r.handshake(ctx, u)
		if err != nil {
			return r, unreached(u.Host, err)
		}
		if t.pin, err = parseFingerprint(fingerprint(der)); err != nil {
			return r, err
		}
	}
	client := newHTTP(u.Scheme, u.Host, t, make(chan struct{}, 1))
	defer client.CloseIdleConnections()
	if err := r.root(ctx, client); err != nil {
		return r, unreached(u.Host, err)
	}
	return r, nil
}

func unreached(host string, err error) error {
	why := reason(err)
	if errors.Is(err, context.DeadlineExceeded) {
		why = "it does not answer"
	}
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		why = "it does not speak TLS at that port"
	}
	return fault.Wrap(fault.Unavailable, err, "%s cannot be reached: %s", host, why)
}

// handshake reads the certificates, and judges them as the driver would without a pin.
func (r *ProbeResult) handshake(ctx context.Context, u *url.URL) ([]byte, error) {
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "443")
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialLimit},
		Config: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	r.Reachable, r.TLSVersion = true, tls.VersionName(state.Version)
	shown := state.PeerCertificates
	between := x509.NewCertPool()
	for i, c := range shown[:min(len(shown), 10)] {
		r.Chain = append(r.Chain, describe(c))
		if i > 0 {
			between.AddCert(c)
		}
	}
	r.Fingerprint = r.Chain[0].Fingerprint
	_, err = shown[0].Verify(x509.VerifyOptions{DNSName: u.Hostname(), Intermediates: between})
	if r.Verified = err == nil; err != nil {
		r.VerifyError = bounded(err.Error(), maxMessage)
	}
	return shown[0].Raw, nil
}

func describe(c *x509.Certificate) Certificate {
	names := make([]string, 0, len(c.DNSNames)+len(c.IPAddresses))
	for _, n := range c.DNSNames {
		names = append(names, bounded(n, 255))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return Certificate{Subject: bounded(c.Subject.String(), maxMessage), Issuer: bounded(c.Issuer.String(), maxMessage),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Names: names[:min(len(names), 20)], Fingerprint: fingerprint(c.Raw)}
}

// root reads the service root, which a BMC shows to everybody, and sees whether it shows its machines too.
func (r *ProbeResult) root(ctx context.Context, client *http.Client) error {
	var root struct {
		RedfishVersion, Product, Vendor, Name, UUID string

		Links struct{ Sessions link }
	}
	status, err := get(ctx, client, r.URL+"/redfish/v1/", &root)
	if err != nil && !undecodable(err) && !nonsense(err) {
		return err
	}
	r.Reachable = true
	if err != nil || status != http.StatusOK || root.RedfishVersion == "" {
		r.AuthNeeded = status == http.StatusUnauthorized
		return nil
	}
	r.Redfish, r.RedfishVersion = true, bounded(root.RedfishVersion, 30)
	r.Product, r.Vendor, r.Name, r.UUID = clean(root.Product), clean(root.Vendor), clean(root.Name), bounded(root.UUID, 60)
	r.Sessions = root.Links.Sessions.URI != ""
	var systems struct{ Members []link }
	status, err = get(ctx, client, r.URL+systemsPath, &systems)
	if err != nil && !undecodable(err) && !nonsense(err) {
		return err
	}
	r.AuthNeeded = status == http.StatusUnauthorized || status == http.StatusForbidden
	for _, m := range systems.Members[:min(len(systems.Members), maxMembers)] {
		r.Systems = append(r.Systems, bounded(m.URI, 255))
	}
	return nil
}

// get reads one document; its content only when the status is 200.
func get(ctx context.Context, client *http.Client, uri string, view any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil
	}
	if err := json.NewDecoder(resp.Body).Decode(view); err != nil {
		return resp.StatusCode, fmt.Errorf("read %s: %w", req.URL.Path, err)
	}
	return resp.StatusCode, nil
}
