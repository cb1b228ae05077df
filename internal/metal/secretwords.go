package metal

import (
	"slices"
	"strings"
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
