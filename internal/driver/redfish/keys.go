package redfish

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// What of a machine's key databases is taken: a firmware has few keys, and each is a certificate.
const (
	maxKeyBytes = 16 << 10 // of one certificate as PEM
	maxEnrolled = 16       // certificates that one step enrols in a database
)

// keyPlaces are the databases that are read and written, in the order in which they are written: a firmware that gets a
// platform key leaves setup mode, so that comes last. Source: DMTF SecureBootDatabase v1.0.0, DatabaseId.
var keyPlaces = []string{"db", "KEK", "PK"}

// heldKey is a certificate in a database, and where the BMC has it.
type heldKey struct {
	uri, owner string
	cert       *x509.Certificate
}

// keyDatabases finds where the databases' certificates are, by the databases' names.
func (c *call) keyDatabases(s *schemas.ComputerSystem) (map[string]string, error) {
	v, err := c.secureBootOf(s)
	if err != nil {
		return nil, err
	}
	if v.SecureBootDatabases.URI == "" {
		return nil, fault.New(fault.NotSupported, "the BMC at %s does not show the databases of Secure Boot keys: enrol keys in the firmware's setup, or with a newer BMC firmware", c.bmc.host)
	}
	members, err := c.members(v.SecureBootDatabases.URI, maxMembers)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, m := range members {
		var view struct {
			DatabaseID   string `json:"DatabaseId"`
			Certificates link
		}
		name := path.Base(m)
		if !isKeyDatabase(name) { // some of them are the factory's defaults: not worth a request each
			continue
		}
		if err := c.read(m, &view); err != nil {
			return nil, err
		}
		if view.Certificates.URI != "" {
			out[firstOf(view.DatabaseID, name)] = view.Certificates.URI
		}
	}
	return out, nil
}

func isKeyDatabase(name string) bool { return slices.Contains(keyPlaces, name) || name == "dbx" }

// keysAt reads the certificates of a database, and tells where it has entries that cannot be understood: they are no reason to show none.
func (c *call) keysAt(uri string) (held []heldKey, odd []string, err error) {
	members, err := c.members(uri, maxMembers)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range members {
		var view struct{ CertificateString, UefiSignatureOwner string }
		if err := c.read(m, &view); err != nil {
			if partial(err) {
				odd = append(odd, m)
				continue
			}
			return nil, nil, err
		}
		certs, err := pemCerts(view.CertificateString)
		if err != nil || len(certs) != 1 {
			odd = append(odd, m)
			continue
		}
		held = append(held, heldKey{uri: m, owner: bounded(view.UefiSignatureOwner, 36), cert: certs[0]})
	}
	return held, odd, nil
}

// pemCerts reads certificates, and nothing else, out of text.
func pemCerts(text string) ([]*x509.Certificate, error) {
	if len(text) > maxEnrolled*maxKeyBytes {
		return nil, fault.New(fault.Invalid, "certificates may have %d KiB", maxEnrolled*maxKeyBytes>>10)
	}
	var out []*x509.Certificate
	for rest := []byte(strings.TrimSpace(text)); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return nil, fault.New(fault.Invalid, "there is something else than certificates as PEM")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.New(fault.Invalid, "a certificate cannot be read")
		}
		if out = append(out, cert); len(out) > maxEnrolled {
			return nil, fault.New(fault.Invalid, "there are more than %d certificates", maxEnrolled)
		}
	}
	return out, nil
}

// SecureBootKeys shows the certificates that the machine's Secure Boot goes by; fault.NotSupported where the BMC does not.
func (d *Driver) SecureBootKeys(ctx context.Context, n *metal.Node) ([]metal.KeyDatabase, error) {
	var out []metal.KeyDatabase
	err := d.call(ctx, n, "show the Secure Boot keys", func(c *call) (err error) {
		s, err := c.system()
		if err == nil {
			out, err = c.shownKeys(s)
		}
		return err
	})
	return out, err
}

func (c *call) shownKeys(s *schemas.ComputerSystem) ([]metal.KeyDatabase, error) {
	places, err := c.keyDatabases(s)
	if err != nil {
		return nil, err
	}
	out := []metal.KeyDatabase{}
	for _, name := range []string{"PK", "KEK", "db"} {
		if places[name] == "" {
			continue
		}
		held, _, err := c.keysAt(places[name])
		if err != nil {
			return nil, err
		}
		db := metal.KeyDatabase{Name: name, Certificates: []metal.KeyCertificate{}}
		for _, k := range held {
			until := k.cert.NotAfter.UTC().Truncate(time.Second)
			sum := sha256.Sum256(k.cert.Raw)
			db.Certificates = append(db.Certificates, metal.KeyCertificate{Subject: clean(k.cert.Subject.String()), Issuer: clean(k.cert.Issuer.String()),
				Fingerprint: hex.EncodeToString(sum[:]), NotAfter: &until, Owner: k.owner})
		}
		out = append(out, db)
	}
	return out, nil
}

// enrolment is what the step enroll_secure_boot_keys is to do: certificates by database, and whether others go.
type enrolment struct {
	keys    map[string][]*x509.Certificate
	replace bool
}

// readEnrolment reads the step's arguments: pk, kek and db, each certificates as PEM, and replace.
func readEnrolment(args map[string]any) (enrolment, error) {
	e := enrolment{keys: map[string][]*x509.Certificate{}}
	for arg, v := range args {
		if arg == "replace" {
			if e.replace, _ = v.(bool); v != true && v != false {
				return e, fault.New(fault.Invalid, "replace is neither true nor false")
			}
			continue
		}
		name := map[string]string{"pk": "PK", "kek": "KEK", "db": "db"}[arg]
		text, ok := v.(string)
		if name == "" || !ok {
			return e, fault.New(fault.Invalid, "enrolling Secure Boot keys takes pk, kek and db, each certificates as PEM, and replace")
		}
		certs, err := pemCerts(text)
		switch {
		case err != nil:
			said, _ := fault.PublicOf(err)
			return e, fault.New(fault.Invalid, "%s: %s", arg, said)
		case len(certs) == 0, name == "PK" && len(certs) > 1:
			return e, fault.New(fault.Invalid, "%s holds %d certificates: a platform key is one, the others are one or more", arg, len(certs))
		}
		for _, cert := range certs {
			if _, rsaKey := cert.PublicKey.(*rsa.PublicKey); !rsaKey {
				return e, fault.New(fault.Invalid, "%s: the key of %s is not RSA, and firmware verifies RSA signatures only", arg, clean(cert.Subject.String()))
			}
		}
		e.keys[name] = certs
	}
	if len(e.keys) == 0 {
		return e, fault.New(fault.Invalid, "there is no key to enrol: give pk, kek or db")
	}
	return e, nil
}

// enroll puts certificates into the databases that are named, and with replace takes all others out of these.
// It looks first: done twice, it is done once. The next boot goes by it.
func (d *Driver) enroll(ctx context.Context, n *metal.Node, e enrolment) error {
	return d.call(ctx, n, "enrol Secure Boot keys", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		places, err := c.keyDatabases(s)
		if err != nil {
			return err
		}
		for _, name := range keyPlaces {
			if len(e.keys[name]) > 0 && places[name] == "" {
				return fault.New(fault.NotSupported, "the BMC at %s has no database %s that takes certificates", c.bmc.host, name)
			}
		}
		for _, name := range keyPlaces {
			if want := e.keys[name]; len(want) > 0 {
				if err := c.enrollIn(name, places[name], want, e.replace); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// enrollIn makes one database hold what is wanted. There is one platform key: another goes before the new one comes.
func (c *call) enrollIn(name, uri string, want []*x509.Certificate, replace bool) error {
	held, odd, err := c.keysAt(uri)
	if err != nil {
		return err
	}
	var missing []*x509.Certificate
	for _, w := range want {
		if !slices.ContainsFunc(held, func(h heldKey) bool { return h.cert.Equal(w) }) {
			missing = append(missing, w)
		}
	}
	others := slices.DeleteFunc(held, func(h heldKey) bool {
		return slices.ContainsFunc(want, func(w *x509.Certificate) bool { return h.cert.Equal(w) })
	})
	if name == "PK" && len(others) > 0 && !replace {
		return fault.New(fault.Conflict, "the machine behind the BMC at %s has another platform key (%s): enrol with replace to take its place", c.bmc.host, clean(others[0].cert.Subject.String()))
	}
	drop := func() error {
		if !replace {
			return nil
		}
		for _, h := range others {
			odd = append(odd, h.uri)
		}
		for _, gone := range odd { // what cannot be understood is trusted by the firmware all the same
			resp, err := c.Delete(gone)
			schemas.DeferredCleanupHTTPResponse(resp)
			if err != nil {
				return err
			}
		}
		return nil
	}
	if name == "PK" {
		if err := drop(); err != nil {
			return err
		}
	}
	for _, w := range missing {
		body := map[string]string{"CertificateType": "PEM", "CertificateString": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Raw}))}
		resp, err := c.Post(uri, body)
		schemas.DeferredCleanupHTTPResponse(resp)
		if err != nil {
			return err
		}
	}
	if name != "PK" {
		if err := drop(); err != nil {
			return err
		}
	}
	return c.enrolled(name, uri, want, replace)
}

// enrolled waits until the BMC shows what it accepted.
func (c *call) enrolled(name, uri string, want []*x509.Certificate, replace bool) error {
	shown, err := c.showsLater(func() (bool, error) {
		held, odd, err := c.keysAt(uri)
		if err != nil {
			return false, err
		}
		for _, w := range want {
			if !slices.ContainsFunc(held, func(h heldKey) bool { return h.cert.Equal(w) }) {
				return false, nil
			}
		}
		return !replace || len(held)+len(odd) == len(want), nil
	})
	if err == nil && !shown {
		err = fault.New(fault.Conflict, "the BMC at %s accepted the keys for %s and does not show them: some apply keys at the next boot only. Reboot the machine and look again (ingot node secure-boot keys show)", c.bmc.host, name)
	}
	return err
}
