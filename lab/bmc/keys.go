package bmc

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"slices"
	"time"
)

// Cert is an entry of a database of Secure Boot: a certificate, and who put it there.
type Cert struct {
	DER   []byte
	Owner string // a GUID as text; "" is all zeros
}

// KeyStore is what Secure Boot goes by. Without a PK the firmware is in setup mode.
type KeyStore struct{ PK, KEK, DB []Cert }

// keySetting is a setting (see secureboot.go); the stores are never changed, only replaced.
type keySetting struct{ now, next *KeyStore }

func (k *KeyStore) has() bool { return len(k.PK) > 0 }

func (k *KeyStore) equal(other *KeyStore) bool {
	same := func(a, b []Cert) bool {
		return slices.EqualFunc(a, b, func(a, b Cert) bool { return bytes.Equal(a.DER, b.DER) && a.Owner == b.Owner })
	}
	return same(k.PK, other.PK) && same(k.KEK, other.KEK) && same(k.DB, other.DB)
}

func (s keySetting) shown(atReset bool) *KeyStore {
	if atReset {
		return s.now
	}
	return s.next
}

const databasesPath = SecureBootPath + "/SecureBootDatabases"

// databases are their names as UEFI has them, in the order in which they are listed. dbx has hashes, and no certificates here.
var databases = []string{"PK", "KEK", "db", "dbx"}

// list gives the place of a database's certificates; nil for one that holds none.
func (k *KeyStore) list(name string) *[]Cert {
	switch name {
	case "PK":
		return &k.PK
	case "KEK":
		return &k.KEK
	case "db":
		return &k.DB
	}
	return nil
}

func (b *BMC) shownKeys() *KeyStore {
	atReset := b.faults.has(AtReset)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys.shown(atReset)
}

// setKeys changes the databases for the next boot, with the faults that settings may have. The change gets a copy.
func (b *BMC) setKeys(change func(*KeyStore) error) error {
	on := b.cfg.Machine.Powered() // before the lock, as in set
	b.mu.Lock()
	defer b.mu.Unlock()
	next := &KeyStore{PK: slices.Clone(b.keys.next.PK), KEK: slices.Clone(b.keys.next.KEK), DB: slices.Clone(b.keys.next.DB)}
	if err := change(next); err != nil {
		return err
	}
	if on && b.faults.has(NeedsOff) {
		return problem{http.StatusBadRequest, "PropertyNotUpdated", "The keys can be changed only while the system is off."}
	}
	b.counters.add("Set.Keys")
	if _, ok := b.faults.strike(PatchIgnored); !ok {
		b.keys.next = next
	}
	return nil
}

func (b *BMC) databasesThere(r *http.Request) error {
	if b.faults.has(NoDatabases) {
		return notFound(r)
	}
	return nil
}

func (b *BMC) getDatabases(r *http.Request) (doc, error) {
	var paths []string
	for _, name := range databases {
		paths = append(paths, databasesPath+"/"+name)
	}
	return collection(databasesPath, "SecureBootDatabase", paths...), b.databasesThere(r)
}

func (b *BMC) getDatabase(r *http.Request) (doc, error) {
	name := r.PathValue("db")
	if !slices.Contains(databases, name) {
		return nil, notFound(r)
	}
	path := databasesPath + "/" + name
	return doc{"@odata.id": path, "@odata.type": "#SecureBootDatabase.v1_0_1.SecureBootDatabase", "Id": name, "DatabaseId": name,
		"Name": "UEFI " + name, "Certificates": link(path + "/Certificates")}, b.databasesThere(r)
}

func (b *BMC) getCertificates(r *http.Request) (doc, error) {
	name := r.PathValue("db")
	if !slices.Contains(databases, name) {
		return nil, notFound(r)
	}
	path := databasesPath + "/" + name + "/Certificates"
	var paths []string
	if list := b.shownKeys().list(name); list != nil {
		for _, c := range *list {
			paths = append(paths, path+"/"+c.id())
		}
	}
	return collection(path, "Certificate", paths...), b.databasesThere(r)
}

// id names a certificate by what it is, so that the names of the others stay when one goes.
func (c Cert) id() string {
	sum := sha256.Sum256(c.DER)
	return hex.EncodeToString(sum[:6])
}

func (b *BMC) getCertificate(r *http.Request) (doc, error) {
	if list := b.shownKeys().list(r.PathValue("db")); list != nil {
		for _, c := range *list {
			if c.id() == r.PathValue("cert") {
				return c.doc(r.URL.Path), b.databasesThere(r)
			}
		}
	}
	return nil, notFound(r)
}

func (c Cert) doc(path string) doc {
	d := doc{"@odata.id": path, "@odata.type": "#Certificate.v1_6_0.Certificate", "Id": c.id(), "Name": "Certificate",
		"CertificateType": "PEM", "CertificateString": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.DER}))}
	if c.Owner != "" {
		d["UefiSignatureOwner"] = c.Owner
	}
	if x, err := x509.ParseCertificate(c.DER); err == nil {
		d["Subject"], d["Issuer"] = nameDoc(x.Subject), nameDoc(x.Issuer)
		d["ValidNotBefore"], d["ValidNotAfter"] = x.NotBefore.Format(time.RFC3339), x.NotAfter.Format(time.RFC3339)
	}
	return d
}

func nameDoc(n pkix.Name) doc {
	d := doc{"CommonName": n.CommonName}
	if len(n.Organization) > 0 {
		d["Organization"] = n.Organization[0]
	}
	return d
}

// postCertificate adds a certificate. A database of platform keys holds one only.
func (b *BMC) postCertificate(r *http.Request) (reply, error) {
	name := r.PathValue("db")
	var ask struct{ CertificateString, CertificateType, UefiSignatureOwner string }
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if err := b.databasesThere(r); err != nil || !slices.Contains(databases[:3], name) {
		return reply{}, notFound(r)
	}
	if _, refuse := b.faults.strike(CertRefused); refuse {
		return reply{}, problem{http.StatusBadRequest, "ActionParameterValueError", "The certificate was refused by the policy of this system."}
	}
	block, rest := pem.Decode([]byte(ask.CertificateString))
	if ask.CertificateType != "PEM" || block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return reply{}, notInList("CertificateType", ask.CertificateType)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return reply{}, problem{http.StatusBadRequest, "PropertyValueFormatError", "The CertificateString is not a certificate."}
	}
	c := Cert{DER: block.Bytes, Owner: ask.UefiSignatureOwner}
	b.counters.add("Certificate." + name)
	return reply{status: http.StatusCreated, header: map[string]string{"Location": databasesPath + "/" + name + "/Certificates/" + c.id()}}, b.setKeys(func(k *KeyStore) error {
		list := k.list(name)
		if slices.ContainsFunc(*list, func(have Cert) bool { return bytes.Equal(have.DER, c.DER) }) {
			return problem{http.StatusConflict, "ResourceAlreadyExists", "The certificate is in the database."}
		}
		if name == "PK" && len(*list) > 0 {
			return problem{http.StatusBadRequest, "CreateLimitReachedForResource", "The database PK holds one certificate."}
		}
		*list = append(*list, c)
		return nil
	})
}

func (b *BMC) deleteCertificate(r *http.Request) (reply, error) {
	return reply{status: http.StatusNoContent}, b.setKeys(func(k *KeyStore) error {
		list := k.list(r.PathValue("db"))
		if list == nil || b.faults.has(NoDatabases) {
			return notFound(r)
		}
		had := len(*list)
		*list = slices.DeleteFunc(*list, func(c Cert) bool { return c.id() == r.PathValue("cert") })
		if len(*list) == had {
			return notFound(r)
		}
		return nil
	})
}
