package cli

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
)

// driveLimit is bytes of a ready config drive file, packed or not. Source: metadata reference §7: the agent
// refuses more than 64 MB.
const driveLimit = 64 << 20

// addKeys adds the public keys of a file to keys, by name. The file has the form of authorized_keys.
func addKeys(cmd *cobra.Command, file string, keys map[string]any) error {
	b, err := read(cmd, file, documentLimit)
	if err != nil {
		return err
	}
	if bytes.Contains(b, []byte("PRIVATE KEY-----")) {
		return hint(usagef("--ssh-key %s is a private key", file), "give the public one: %s.pub", file)
	}
	found := 0
	for rest := b; len(bytes.TrimSpace(rest)) > 0; {
		key, comment, options, more, err := ssh.ParseAuthorizedKey(rest)
		if err != nil {
			break
		}
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
		if len(options) > 0 {
			line = strings.Join(options, ",") + " " + line
		}
		if comment != "" {
			line += " " + comment
		}
		keys[keyName(comment, keys)] = line
		found++
		rest = more
	}
	if found == 0 {
		return hint(usagef("--ssh-key %s has no public key", file), "a public key is a line like: ssh-ed25519 AAAA… name")
	}
	return nil
}

// keyName calls a key by its comment, or by number, and never twice the same.
func keyName(comment string, taken map[string]any) string {
	name := strings.Join(strings.Fields(comment), "-")
	if name == "" {
		name = "key"
	}
	for n, base := 2, name; ; n++ {
		if _, ok := taken[name]; !ok {
			return name
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
}

var base64Text = regexp.MustCompile(`^[A-Za-z0-9+/=\s]+$`)

// readyDrive reads a config drive in any of the forms people have it: a URL, an ISO, a gzipped one, or
// that in base64, which is what the API takes.
func readyDrive(cmd *cobra.Command, s string) (any, error) {
	if strings.Contains(s, "://") {
		return s, nil
	}
	b, err := read(cmd, s, driveLimit)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
	case len(b) > 0x8006 && string(b[0x8001:0x8006]) == "CD001": // ISO 9660, volume descriptor at sector 16
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(b); err != nil {
			return nil, fmt.Errorf("pack %s: %w", s, err)
		}
		if err := z.Close(); err != nil {
			return nil, fmt.Errorf("pack %s: %w", s, err)
		}
		b = packed.Bytes()
	case len(b) > 0 && base64Text.Match(b):
		return strings.TrimSpace(string(b)), nil
	default:
		return nil, usagef("--config-drive %s is no ISO image, no gzip and no base64", s)
	}
	return base64.StdEncoding.EncodeToString(b), nil
}
