package source

import (
	"context"
	"crypto/md5" // #nosec G501 -- only where the operator allows it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"

	"ingot/internal/fault"
)

// The digest algorithms accepted. SHA-1 is not, and MD5 only where Options say so: files can be forged for both.
const (
	SHA256 = "sha256"
	SHA512 = "sha512"
	MD5    = "md5"
)

// maxChecksumFile bounds what is read of a checksum file: those of large archives are some 100 KiB.
const maxChecksumFile = 4 << 20

// Digest is what the bytes of an image, as downloaded, must hash to.
type Digest struct {
	Algorithm string // SHA256 or SHA512; or MD5
	Hex       string // lower case
	// Origin says where it came from, for the record: "given", the URL of a checksum file, or Computed.
	Origin string
}

// Computed is the Origin of a digest that was taken from the image itself, because nobody publishes one:
// it proves that every later download is the same, not that the first was right.
const Computed = "computed from a first download"

// Hash gives a new hash of the digest's algorithm.
func (d Digest) Hash() hash.Hash {
	switch d.Algorithm {
	case SHA512:
		return sha512.New()
	case MD5:
		return md5.New() // #nosec G401 -- see Options.MD5
	}
	return sha256.New()
}

// Checksum finds out the digest of the image at imageURL from what the user said:
//
//	HEX, sha256:HEX, sha512:HEX   the digest itself, known by its length
//	http(s)://…                   a checksum file in GNU or BSD form, or of a single digest
//	auto                          the files published beside the image, in this order: <image>.sha256,
//	                              SHA256SUMS, <image>.sha512, SHA512SUMS; else the image is downloaded
//	                              once and hashed, and the Origin says so
//
// Anything else, SHA-1 and without Options.MD5 also MD5 included, is fault.Invalid. Downloads fail as Open's do.
func Checksum(ctx context.Context, imageURL, spec string, o Options) (Digest, error) {
	if err := CheckSpec(spec, o); err != nil {
		return Digest{}, err
	}
	switch {
	case spec == "auto":
		return findDigest(ctx, imageURL, o)
	case strings.Contains(spec, "://"):
		return digestFrom(ctx, spec, imageURL, o)
	}
	return ParseDigest(spec, o.MD5)
}

// CheckSpec refuses what Checksum would refuse without asking anybody: fault.Invalid.
func CheckSpec(spec string, o Options) error {
	isURL := strings.Contains(spec, "://")
	switch {
	case o.NoChecksumFiles && (isURL || spec == "auto"):
		return fault.New(fault.Invalid, "Checksum files are switched off here ([conductor] disable_support_for_checksum_files), so a checksum can be neither a URL nor \"auto\": give the SHA-256 or SHA-512 itself.")
	case isURL:
		_, err := parse(spec)
		return err
	case spec == "auto":
		return nil
	}
	_, err := ParseDigest(spec, o.MD5)
	return err
}

// ParseDigest reads HEX or algorithm:HEX; of MD5 only if md5. Errors are fault.Invalid.
func ParseDigest(spec string, md5 bool) (Digest, error) {
	algorithm, value, prefixed := strings.Cut(strings.TrimSpace(spec), ":")
	if !prefixed {
		algorithm, value = "", algorithm
	}
	algorithm, value = strings.ToLower(strings.TrimSpace(algorithm)), strings.ToLower(strings.TrimSpace(value))
	if isMD5 := algorithm == MD5 || isHex(value, 32); isMD5 && !md5 || algorithm == "sha1" || isHex(value, 40) {
		return Digest{}, fault.New(fault.Invalid, "MD5 and SHA-1 checksums are not accepted, because files can be forged for them: "+
			"give a SHA-256 or SHA-512 checksum.")
	}
	d, ok := digestOf(value)
	if !ok {
		return Digest{}, fault.New(fault.Invalid, "The checksum is neither 64 (SHA-256) nor 128 (SHA-512) hexadecimal digits, nor a URL, nor \"auto\".")
	}
	if prefixed && algorithm != d.Algorithm {
		return Digest{}, fault.New(fault.Invalid, "The checksum is declared as %.20q but has the length of %s.", algorithm, d.Algorithm)
	}
	d.Origin = "given"
	return d, nil
}

func digestOf(value string) (Digest, bool) {
	value = strings.ToLower(value)
	switch {
	case isHex(value, 64):
		return Digest{Algorithm: SHA256, Hex: value}, true
	case isHex(value, 128):
		return Digest{Algorithm: SHA512, Hex: value}, true
	case isHex(value, 32):
		return Digest{Algorithm: MD5, Hex: value}, true
	}
	return Digest{}, false
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

// digestFrom reads a checksum file the user pointed at.
func digestFrom(ctx context.Context, fileURL, imageURL string, o Options) (Digest, error) {
	name, err := imageName(imageURL)
	if err != nil {
		return Digest{}, err
	}
	text, err := download(ctx, fileURL, o.at(imageURL, fileURL))
	if err != nil {
		return Digest{}, err
	}
	d, err := inChecksums(text, name, o.MD5)
	if err != nil {
		return Digest{}, fault.New(fault.Invalid, "The checksum file %s is of no use: %s.", Safe(fileURL), err)
	}
	d.Origin = Safe(fileURL)
	return d, nil
}

// findDigest looks beside the image. A file that is absent or does not speak of the image leads to the
// next one; a server that does not answer is an error.
func findDigest(ctx context.Context, imageURL string, o Options) (Digest, error) {
	name, err := imageName(imageURL)
	if err != nil {
		return Digest{}, err
	}
	for _, candidate := range beside(imageURL) {
		text, err := download(ctx, candidate, o.at(imageURL, candidate))
		if fault.KindOf(err) == fault.Invalid {
			continue
		}
		if err != nil {
			return Digest{}, err
		}
		if d, err := inChecksums(text, name, o.MD5); err == nil {
			d.Origin = Safe(candidate)
			return d, nil
		}
	}
	return Compute(ctx, imageURL, o)
}

// beside lists where a checksum of the image may be. The image's own query is not carried over: it
// belongs to that file.
func beside(imageURL string) []string {
	u, err := url.Parse(imageURL)
	if err != nil {
		return nil
	}
	u.RawQuery, u.Fragment = "", ""
	image, dir := u.String(), u.JoinPath("..")
	return []string{image + ".sha256", dir.JoinPath("SHA256SUMS").String(), image + ".sha512", dir.JoinPath("SHA512SUMS").String()}
}

// Compute downloads an image once and gives the SHA-256 of what came; its Origin says so.
func Compute(ctx context.Context, imageURL string, o Options) (Digest, error) {
	body, err := Open(ctx, []string{imageURL}, o)
	if err != nil {
		return Digest{}, err
	}
	defer body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return Digest{}, err
	}
	return Digest{Algorithm: SHA256, Hex: hex.EncodeToString(h.Sum(nil)), Origin: Computed}, nil
}

func download(ctx context.Context, fileURL string, o Options) (string, error) {
	body, err := Open(ctx, []string{fileURL}, o)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxChecksumFile+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxChecksumFile {
		return "", fault.New(fault.Invalid, "The checksum file %s is larger than %d MiB.", Safe(fileURL), maxChecksumFile>>20)
	}
	return string(text), nil
}

func imageName(imageURL string) (string, error) {
	u, err := parse(imageURL)
	if err != nil {
		return "", err
	}
	return path.Base(u.Path), nil
}

// The two forms of a line: "<hex>  name" or "<hex> *name" of GNU coreutils; "SHA256 (name) = <hex>" of BSD, which openssl writes
// as "SHA2-256(name)= <hex>".
var (
	gnuLine = regexp.MustCompile(`^\\?([0-9a-fA-F]{32,128})[ \t]+\*?(?:\./)?(.+)$`)
	bsdLine = regexp.MustCompile(`^(?:MD5|SHA1|SHA(?:2-)?(?:256|512)) ?\((?:\./)?(.+)\) ?= ?([0-9a-fA-F]+)$`)
)

// inChecksums finds the digest of the file called name in the text of a checksum file. Lines it does not
// know, such as those of a signature around the text, are passed over. The name is compared as it is, byte by byte.
func inChecksums(text, name string, md5 bool) (Digest, error) {
	found := map[Digest]bool{}
	var lines []string
	weak := false
	take := func(value string) {
		switch d, ok := digestOf(value); {
		case ok && (md5 || d.Algorithm != MD5):
			found[d] = true
		default:
			weak = true
		}
	}
	for line := range strings.Lines(text) {
		line = strings.Trim(line, " \t\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if lines = append(lines, line); len(lines) > maxLines {
			return Digest{}, fmt.Errorf("it has more than %d lines", maxLines)
		}
		if value, ok := lineDigest(line, name); ok {
			take(value)
		}
	}
	if len(lines) == 1 && !strings.ContainsAny(lines[0], " \t") && (isHex(lines[0], 32) || isHex(lines[0], 64) || isHex(lines[0], 128)) {
		take(lines[0])
	}
	return theOne(found, weak, name)
}

// maxLines bounds the entries of a checksum file: a whole distribution's archive has some ten thousand.
const maxLines = 200_000

func lineDigest(line, name string) (string, bool) {
	if m := bsdLine.FindStringSubmatch(line); m != nil {
		return m[2], m[1] == name
	}
	if m := gnuLine.FindStringSubmatch(line); m != nil {
		return m[1], m[2] == name
	}
	return "", false
}

// theOne picks the digest: one per algorithm at most, SHA-256 before SHA-512 as it is the faster.
func theOne(found map[Digest]bool, weak bool, name string) (Digest, error) {
	byAlgorithm := map[string]Digest{}
	for d := range found {
		if _, twice := byAlgorithm[d.Algorithm]; twice {
			return Digest{}, fmt.Errorf("it gives several %s digests for %.80q", d.Algorithm, name)
		}
		byAlgorithm[d.Algorithm] = d
	}
	for _, algorithm := range []string{SHA256, SHA512, MD5} {
		if d, ok := byAlgorithm[algorithm]; ok {
			return d, nil
		}
	}
	if weak {
		return Digest{}, fmt.Errorf("it has only MD5 or SHA-1 digests for %.80q", name)
	}
	return Digest{}, fmt.Errorf("it has no SHA-256 or SHA-512 digest for %.80q", name)
}
