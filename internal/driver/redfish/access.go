package redfish

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// access is a node's driver_info, parsed: where its BMC is and how to be believed by it.
type access struct {
	base     string // https://host[:port], nothing after it
	host     string // host[:port], for sentences
	system   string // path of the machine on the BMC, "" to find the only one
	user     string
	password secret.Secret
	auth     authType
	trust    trust
}

type authType string

const (
	authAuto    authType = "auto"
	authBasic   authType = "basic"
	authSession authType = "session"
	authNone    authType = "none"
)

// maxCAFile bounds what is read of a CA file: the whole of Mozilla's list is a quarter of it.
const maxCAFile = 1 << 20

// parseAccess reads driver_info. Every error is a fault.Invalid that names the key and shows no value that
// could be a secret.
func parseAccess(n *metal.Node, allowUnverified bool) (access, error) {
	info := texts{}
	for k, v := range n.DriverInfo.Expose() {
		info[k] = v
	}
	a := access{auth: authAuto}
	var err error
	if a.base, a.host, err = parseAddress(info, allowUnverified); err != nil {
		return access{}, err
	}
	if a.system, err = parseSystem(info); err != nil {
		return access{}, err
	}
	if a.user, err = info.text(keyUser); err != nil {
		return access{}, err
	}
	password, err := info.text(keyPassword)
	if err != nil {
		return access{}, err
	}
	a.password = secret.New(password)
	if a.auth, err = parseAuth(info, a.user, password); err != nil {
		return access{}, err
	}
	a.trust, err = parseTrust(info, allowUnverified)
	return a, err
}

// texts is driver_info in the clear, for as long as it takes to parse it.
type texts map[string]any

func (t texts) text(key string) (string, error) {
	switch v := t[key].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	default:
		return "", fault.New(fault.Invalid, "%s must be a string", key)
	}
}

func parseAddress(info texts, allowClear bool) (base, host string, err error) {
	raw, err := info.text(keyAddress)
	if err != nil {
		return "", "", err
	}
	if raw = strings.TrimSpace(raw); raw == "" {
		return "", "", fault.New(fault.Invalid, "%s is missing: give the URL of the BMC, like https://192.0.2.10", keyAddress)
	}
	u, err := parseBase(raw)
	if err != nil {
		return "", "", fault.New(fault.Invalid, "%s is not usable: %s", keyAddress, err)
	}
	if u.Scheme == "http" && !allowClear {
		return "", "", fault.New(fault.Invalid, "%s is http, which would show the BMC's password to the network: use https", keyAddress)
	}
	return u.Scheme + "://" + u.Host, u.Host, nil
}

// parseBase takes the address of a BMC apart. The error's text repeats nothing of the address: it may hold
// a password that somebody put there.
func parseBase(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is not a URL (an IPv6 address needs brackets)")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("it must begin with https://")
	case u.User != nil:
		return nil, fmt.Errorf("user and password belong in %s and %s", keyUser, keyPassword)
	case u.Hostname() == "":
		return nil, fmt.Errorf("it names no host")
	case strings.Trim(u.Path, "/") != "" && path.Clean(u.Path) != "/redfish/v1", u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("only scheme, host and port may be given; the machine's path belongs in %s", keySystem)
	}
	u.Host = strings.ToLower(u.Host)
	if u.Scheme == "https" { // a BMC that redirects writes its default port away
		u.Host = strings.TrimSuffix(u.Host, ":443")
	}
	return u, nil
}

func parseSystem(info texts) (string, error) {
	s, err := info.text(keySystem)
	if err != nil || s == "" {
		return "", err
	}
	if !strings.HasPrefix(s, "/") {
		s = "/redfish/v1/Systems/" + url.PathEscape(s)
	}
	s = strings.TrimSuffix(s, "/")
	u, err := url.Parse(s)
	if err != nil || u.Host != "" || u.RawQuery != "" || u.Fragment != "" ||
		path.Clean(u.Path) != u.Path || !strings.HasPrefix(u.Path, "/redfish/") {
		return "", fault.New(fault.Invalid, "%s must be a path like /redfish/v1/Systems/1, or its last part", keySystem)
	}
	return s, nil
}

func parseAuth(info texts, user, password string) (authType, error) {
	s, err := info.text(keyAuth)
	if err != nil {
		return "", err
	}
	auth := authType(strings.ToLower(s))
	switch auth {
	case "":
		auth = authAuto
	case authAuto, authBasic, authSession, authNone:
	default:
		return "", fault.New(fault.Invalid, "%s must be one of auto, basic, session and none", keyAuth)
	}
	if auth == authNone {
		return auth, nil
	}
	if user == "" && password == "" && auth == authAuto {
		return authNone, nil
	}
	if user == "" || password == "" {
		return "", fault.New(fault.Invalid, "%s and %s are both needed, unless %s is none", keyUser, keyPassword, keyAuth)
	}
	return auth, nil
}

// trust is what makes a certificate believed. The zero trust is the system's roots.
type trust struct {
	pin        []byte // SHA-256 of the leaf; nil for none
	roots      string // PEM of CAs; "" for the system's
	pool       *x509.CertPool
	unverified bool
}

func parseTrust(info texts, allowUnverified bool) (trust, error) {
	fp, err := info.text(keyFingerprint)
	if err != nil {
		return trust{}, err
	}
	if fp != "" {
		pin, err := parseFingerprint(fp)
		if err != nil {
			return trust{}, err
		}
		return trust{pin: pin}, nil
	}
	ca := info[keyVerifyCA]
	if b, ok := ca.(bool); ok {
		ca = fmt.Sprint(b)
	}
	text, ok := ca.(string)
	if ca != nil && !ok {
		return trust{}, fault.New(fault.Invalid, "%s must be True, False, PEM text or a path", keyVerifyCA)
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "", "true", "yes", "on", "1":
		return trust{}, nil
	case "false", "no", "off", "0":
		if !allowUnverified {
			return trust{}, fault.New(fault.Invalid, "%s=False would send the BMC's password to whoever answers: "+
				"pin the BMC's certificate in %s instead (\"ingot bmc probe URL\" shows its fingerprint)", keyVerifyCA, keyFingerprint)
		}
		return trust{unverified: true}, nil
	}
	return readRoots(text)
}

// readRoots takes PEM text or the path of a file with it. A directory of CAs, which Ironic takes too, is not.
func readRoots(text string) (trust, error) {
	if !strings.Contains(text, "-----BEGIN") {
		b, err := readFile(strings.TrimSpace(text))
		if err != nil {
			return trust{}, fault.Wrap(fault.Invalid, err, "%s is neither PEM text nor a readable file of PEM certificates on the server", keyVerifyCA)
		}
		text = string(b)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return trust{}, fault.New(fault.Invalid, "%s is neither PEM text nor a readable file of PEM certificates on the server", keyVerifyCA)
	}
	return trust{roots: text, pool: pool}, nil
}

// readFile reads a regular file of at most maxCAFile bytes: the name comes from a caller of the API, so it
// may well be a device or a pipe.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxCAFile))
}

func parseFingerprint(s string) ([]byte, error) {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "sha256:")
	pin, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(pin) != 32 {
		return nil, fault.New(fault.Invalid, "%s must be a SHA-256 in hex: 64 digits, colons allowed (\"ingot bmc probe URL\" shows it)", keyFingerprint)
	}
	return pin, nil
}
