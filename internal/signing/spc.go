package signing

import (
	"crypto/sha256"
	encasn1 "encoding/asn1"
	"unicode/utf16"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The object identifiers of Authenticode.
var (
	oidIndirectData = encasn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidPEImageData  = encasn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
	oidSHA256       = encasn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
)

// indirectData is what Authenticode has signed in place of a file: SpcIndirectDataContent, without its outermost tag, which
// says that this is a PE file with this digest. Verifiers compare the link with nothing; signers write this text into it.
func indirectData(digest [sha256.Size]byte) ([]byte, error) {
	var b cryptobyte.Builder
	explicit := func(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidPEImageData)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1BitString(nil)
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
				b.AddASN1(explicit(2), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) {
						for _, u := range utf16.Encode([]rune("<<<Obsolete>>>")) {
							b.AddUint16(u)
						}
					})
				})
			})
		})
	})
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSHA256)
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(digest[:])
	})
	return b.Bytes()
}

// signedDigest reads a SpcIndirectDataContent: the SHA-256 that it names, and its own bytes without the outermost tag, whose
// SHA-256 is what was signed.
func signedDigest(content []byte) (digest, inner []byte, ok bool) {
	s := cryptobyte.String(content)
	var body, info, algorithm, sum cryptobyte.String
	var oid encasn1.ObjectIdentifier
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() {
		return nil, nil, false
	}
	inner = body
	ok = body.SkipASN1(asn1.SEQUENCE) && body.ReadASN1(&info, asn1.SEQUENCE) && info.ReadASN1(&algorithm, asn1.SEQUENCE) &&
		algorithm.ReadASN1ObjectIdentifier(&oid) && oid.Equal(oidSHA256) && info.ReadASN1(&sum, asn1.OCTET_STRING) && len(sum) == sha256.Size
	return sum, inner, ok
}
