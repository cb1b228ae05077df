package journal

import (
	"bytes"
	"regexp"
	"slices"

	"ingot/internal/secret"
)

// leastHidden is the shortest secret that is looked for: a shorter one would hide half of the text, and none that
// is worth its name is so short.
const leastHidden = 8

// named finds values whose name says that they are secret: on the kernel's command line, which it repeats in its
// log, in queries of URLs, and in JSON.
var named = regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:token|passw(?:or)?d|secret|authorization|cookie)[a-z0-9_.-]*["']?\s*[=:]\s*["']?(?:basic |bearer )?)([^\s"'&,;}]+)`)

// suspicious are the words that the expressions here look for.
var suspicious = [][]byte{[]byte("token"), []byte("passw"), []byte("secret"), []byte("authorization"), []byte("cookie"), []byte("://")}

// userinfo finds a user's name and password in URLs.
var userinfo = regexp.MustCompile(`(://)[^/\s"'@]+@`)

// scrub replaces the secrets, and what is named as one, by a mask. The text that is given may be changed.
func scrub(text []byte, hide []secret.Secret) []byte {
	for _, s := range hide {
		if v := s.Expose(); len(v) >= leastHidden {
			text = bytes.ReplaceAll(text, []byte(v), []byte(secret.Mask))
		}
	}
	var clean []byte
	for line := range bytes.Lines(text) {
		// Few lines have anything to hide, and a regular expression takes its time.
		low := bytes.ToLower(line)
		if slices.ContainsFunc(suspicious, func(word []byte) bool { return bytes.Contains(low, word) }) {
			line = named.ReplaceAll(line, []byte("${1}"+secret.Mask))
			line = userinfo.ReplaceAll(line, []byte("${1}"+secret.Mask+"@"))
		}
		clean = append(clean, line...)
	}
	return clean
}
