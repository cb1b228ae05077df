package signing_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
	"ingot/internal/signing"
)

// program makes a small PE file: headers of 0x200 bytes, and two sections with some bytes each; 64-bit, or 32-bit as for ia32.
func program(wide bool) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x200)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x86:], 2) // sections
	opt, dirs, magic, size := 0x98, 112, uint16(0x20b), 112+16*8
	if !wide {
		dirs, magic, size = 96, 0x10b, 96+16*8
	}
	le.PutUint16(b[0x94:], uint16(size))
	le.PutUint16(b[opt:], magic)
	le.PutUint32(b[opt+60:], 0x200)
	le.PutUint32(b[opt+64:], 0xfeedbeef) // a checksum, which nothing covers
	le.PutUint32(b[opt+dirs-4:], 16)
	for n, at := range []uint32{0x200, 0x300} {
		s := b[opt+size+40*n:]
		le.PutUint32(s[16:], 0x100)
		le.PutUint32(s[20:], at)
	}
	return append(b, bytes.Repeat([]byte("code and data..."), 0x20)...)
}

type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// keys makes the two pairs of these tests once: RSA keys take their time.
var keys = sync.OnceValue(func() [2]pair {
	var out [2]pair
	for i, name := range []string{"Ours", "Theirs"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		out[i] = pair{key, certified(name, key)}
	}
	return out
})

func certified(name string, key crypto.Signer) *x509.Certificate {
	t := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return cert
}

func parse(t testing.TB, b []byte) *signing.Image {
	t.Helper()
	i, err := signing.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func signed(t testing.TB, b []byte, by pair) []byte {
	t.Helper()
	out, err := parse(t, b).Sign(by.key, by.cert)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSignedTwiceEachSignatureHolds(t *testing.T) {
	ours, theirs := keys()[0], keys()[1]
	for _, odd := range []int{0, 1, 5} {
		for _, wide := range []bool{true, false} {
			plain := append(program(wide), make([]byte, odd)...)
			once := signed(t, plain, theirs)
			if i := parse(t, once); !i.SignedBy(theirs.cert) || i.SignedBy(ours.cert) || len(once)%8 != 0 {
				t.Fatalf("odd %d, wide %v: theirs %v, ours %v, %d bytes", odd, wide, i.SignedBy(theirs.cert), i.SignedBy(ours.cert), len(once))
			}
			i := parse(t, signed(t, once, ours))
			if !i.SignedBy(theirs.cert) || !i.SignedBy(ours.cert) {
				t.Errorf("odd %d, wide %v: after the second signature theirs %v, ours %v", odd, wide, i.SignedBy(theirs.cert), i.SignedBy(ours.cert))
			}
			if i.Digest() != parse(t, plain).Digest() {
				t.Error("signing has changed what is signed")
			}
			list := i.Signatures()
			if len(list) != 2 || list[0].Signer != "CN=Theirs" || list[1].Signer != "CN=Ours" || !list[0].Valid || !list[1].Valid {
				t.Errorf("signatures: %+v", list)
			}
		}
	}
}

func TestChangedAfterwards(t *testing.T) {
	ours := keys()[0]
	good := signed(t, program(true), ours)
	end := len(program(true))
	for place, covered := range map[int]bool{0x10: true, 0x98 + 64: false, 0x210: true, end - 1: true} {
		b := bytes.Clone(good)
		b[place] ^= 1
		i := parse(t, b)
		if i.SignedBy(ours.cert) == covered {
			t.Errorf("byte %#x changed: signed %v", place, !covered)
		}
		if s := i.Signatures()[0]; covered && !strings.Contains(s.Why, "changed after it was signed") {
			t.Errorf("byte %#x: %q", place, s.Why)
		}
	}
	// The digest inside the signature made that of another file: every part agrees but the one that the key has signed.
	other := append(program(true)[:end-1], 'x')
	from, to := parse(t, program(true)).Digest(), parse(t, other).Digest()
	forged := append(bytes.Clone(other), bytes.Replace(good[end:], from[:], to[:], 1)...)
	copy(forged[:0x200], good[:0x200])
	if i := parse(t, forged); i.SignedBy(ours.cert) || !strings.Contains(i.Signatures()[0].Why, "not what it says") {
		t.Errorf("a forged digest: %+v", i.Signatures()[0])
	}
}

// A stranger's certificate of the same name and number does not make a signature ours.
func TestSameNameAnotherKey(t *testing.T) {
	ours, theirs := keys()[0], keys()[1]
	i := parse(t, signed(t, program(true), pair{theirs.key, certified("Ours", theirs.key)}))
	if i.SignedBy(ours.cert) {
		t.Error("a signature by another key of the same name is taken for ours")
	}
}

func TestWhatCannotBeSigned(t *testing.T) {
	change := func(f func(b []byte) []byte) []byte { return f(program(true)) }
	le := binary.LittleEndian
	const opt, table = 0x98, 0x98 + 112 + 128
	for name, b := range map[string][]byte{
		"does not begin as a PE": []byte("#!/bin/sh\n" + strings.Repeat("echo\n", 40)),
		"no PE header":           change(func(b []byte) []byte { le.PutUint32(b[0x3c:], 0xfffffff0); return b }),
		"in its optional header": change(func(b []byte) []byte { return b[:0xa0] }),
		"no firmware starts":     change(func(b []byte) []byte { le.PutUint16(b[opt:], 0x107); return b }),
		"no place for a signature": change(func(b []byte) []byte {
			le.PutUint32(b[opt+108:], 4)
			return b
		}),
		"fit in its headers":          change(func(b []byte) []byte { le.PutUint16(b[0x86:], 0xffff); return b }),
		"sections overlap":            change(func(b []byte) []byte { le.PutUint32(b[table+40+20:], 0x280); return b }),
		"would not cover":             change(func(b []byte) []byte { le.PutUint32(b[table+40+20:], 0x310); return b }),
		"ends in one of its sections": change(func(b []byte) []byte { return b[:0x3f0] }),
		"not at its end":              change(func(b []byte) []byte { le.PutUint32(b[opt+144:], 0x208); le.PutUint32(b[opt+148:], 16); return b }),
		"larger than its table": change(func(b []byte) []byte {
			le.PutUint32(b[opt+144:], uint32(len(b)))
			le.PutUint32(b[opt+148:], 16)
			return append(b, 0xff, 0xff, 0xff, 0xff, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		}),
	} {
		if _, err := signing.Parse(b); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysThatFirmwareCannotUse(t *testing.T) {
	ours, theirs := keys()[0], keys()[1]
	i := parse(t, program(true))
	if _, err := i.Sign(theirs.key, ours.cert); err == nil || !strings.Contains(err.Error(), "not the one that the certificate is for") {
		t.Errorf("a key that is not the certificate's: %v", err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Sign(curve, certified("Curve", curve)); err == nil || !strings.Contains(err.Error(), "RSA") {
		t.Errorf("an elliptic curve: %v", err)
	}
	der, _ := x509.MarshalPKCS8PrivateKey(curve)
	for text, want := range map[string]string{
		"SECRETSECRET": "no private key as PEM",
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("SECRET")})):                                          "RSA",
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})):                                                          "RSA",
		string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("SECRET")})):                                   "encrypted",
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("SECRET")})):                                         "cannot be read",
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES"}, Bytes: []byte{1}})): "encrypted",
	} {
		if _, err := signing.ReadKey(secret.New(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(ours.key)})
	if key, err := signing.ReadKey(secret.New(string(pkcs1))); err != nil || !ours.key.Equal(key) {
		t.Errorf("PKCS #1: %v", err)
	}
	if _, err := signing.ReadCert([]byte("not one")); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no certificate: %v", err)
	}
}

// TestDebiansToolsAgree signs what Debian ships and has sbverify look at it, and the other way round.
func TestDebiansToolsAgree(t *testing.T) {
	if _, err := exec.LookPath("sbverify"); err != nil {
		t.Skip("sbverify is not installed; Debian has it in sbsigntool")
	}
	ours, dir := keys()[0], t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert := write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ours.cert.Raw}))
	key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(ours.key)}))
	tried := 0
	for _, file := range []string{"/usr/lib/shim/shimx64.efi", "/usr/lib/shim/shimx64.efi.signed", "/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
		"/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", "/usr/lib/ipxe/snponly.efi"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		tried++
		out := write("signed.efi", signed(t, b, ours))
		if said, err := exec.Command("sbverify", "--cert", cert, out).CombinedOutput(); err != nil {
			t.Errorf("%s: sbverify: %v\n%s", file, err, said)
		}
		theirs := filepath.Join(dir, "sbsigned.efi")
		if said, err := exec.Command("sbsign", "--key", key, "--cert", cert, "--output", theirs, file).CombinedOutput(); err != nil {
			t.Fatalf("%s: sbsign: %v\n%s", file, err, said)
		}
		if b, err = os.ReadFile(theirs); err != nil {
			t.Fatal(err)
		}
		if !parse(t, b).SignedBy(ours.cert) {
			t.Errorf("%s: what sbsign signed is not signed: %+v", file, parse(t, b).Signatures())
		}
	}
	if tried == 0 {
		t.Skip("none of Debian's loaders is installed")
	}
}

// FuzzParse: whatever the file, there is an answer or an error, and what was signed stays signed.
func FuzzParse(f *testing.F) {
	ours := keys()[0]
	for _, wide := range []bool{true, false} {
		f.Add(program(wide))
		f.Add(signed(f, program(wide), ours))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := signing.Parse(b)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		i.Signatures()
		before := i.Digest()
		out, err := i.Sign(ours.key, ours.cert)
		if err != nil {
			if !strings.Contains(err.Error(), "signatures already") {
				t.Fatal(err)
			}
			return
		}
		again, err := signing.Parse(out)
		if err != nil || again.Digest() != before || !again.SignedBy(ours.cert) {
			t.Fatalf("what was signed is not: %v", err)
		}
	})
}

// TestOnlyCertificates: a private key among certificates, or in their place, is noticed, even one that is no whole PEM block.
func TestOnlyCertificates(t *testing.T) {
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("DER")}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("DER")}))
	for text, want := range map[string]bool{
		cert: true, cert + "a comment\n" + cert: true,
		"": false, "DER": false, key: false, cert + key: false, key + cert: false, cert + key[:40]: false,
	} {
		if signing.OnlyCertificates([]byte(text)) != want {
			t.Errorf("%.80q: not %v", text, want)
		}
	}
}
