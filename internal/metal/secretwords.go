package metal

import (
	"regexp"
	"slices"
	"strings"

	"ingot/internal/secret"
)

// secretWords make a key secret-looking when it contains one of them. Source: RBAC reference, "Masking",
// after oslo.utils strutils.
var secretWords = []string{"adminpass", "admin_pass", "password", "auth_token", "new_pass", "secret", "sys_pswd", "token", "configdrive",
	"encrypted_key", "private_key", "fernetkey", "sslkey", "passphrase", "rabbitcookie", "swifthashsuffix", "migrationsshkey", "keystonecredential"}

// SecretWords are the words that make a key secret-looking.
func SecretWords() []string { return slices.Clone(secretWords) }

// SecretLooking tells whether what is called so is masked where it is shown.
func SecretLooking(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(key, w) })
}

// signed finds the signatures of addresses that are signed in advance: who has one may read what it names. Sources: AWS Signature Version 4
// and 2, and those after them (Google's and others' x-…-signature), Azure's shared access signatures, Swift's temporary URLs.
var signed = regexp.MustCompile(`(?i)((?:[?&;]|\\u0026)(?:[\w.-]*signature|sig|temp_url_sig)=)[^&#\s"'\\]+`)

// Unsigned is a text as it is shown to who only reads: without the signatures in its addresses.
func Unsigned(text string) string {
	if !strings.Contains(text, "=") { // nearly all of them
		return text
	}
	return signed.ReplaceAllString(text, "${1}"+secret.Mask)
}
