package channel

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// leastAnywhere is the shortest value that is looked for in the middle of words, too: of one letter nothing would be left to read.
const leastAnywhere = 4

// Scrub takes private and secret values out of a text, in the forms in which programs write them, longer ones first.
func Scrub(text string, hide osdef.Classes) string {
	var forms []string
	for _, class := range []map[string]secret.Secret{hide.Private, hide.Secret} {
		for _, v := range class {
			forms = append(forms, formsOf(v.Expose())...)
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	for _, form := range slices.Compact(forms) {
		switch {
		case form == "":
		case len(form) < leastAnywhere:
			text = withoutWord(text, form)
		default:
			text = strings.ReplaceAll(text, form, secret.Mask)
		}
	}
	return text
}

// formsOf are the forms of a value and of its lines.
func formsOf(value string) (out []string) {
	parts := []string{value, strings.TrimSpace(value)}
	for line := range strings.SplitSeq(value, "\n") {
		parts = append(parts, strings.TrimSpace(line))
	}
	for _, p := range parts {
		quoted, _ := json.Marshal(p) // a string can always be written
		out = append(out, p, string(quoted[1:len(quoted)-1]), url.QueryEscape(p), url.PathEscape(p),
			base64.StdEncoding.EncodeToString([]byte(p)), base64.RawURLEncoding.EncodeToString([]byte(p)), hex.EncodeToString([]byte(p)))
	}
	return out
}

// withoutWord takes a short value out where it is a word by itself.
func withoutWord(text, word string) string {
	var out strings.Builder
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			out.WriteString(text[at:])
			return out.String()
		}
		begin, end := at+i, at+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:begin])
		after, _ := utf8.DecodeRuneInString(text[end:])
		out.WriteString(text[at:begin])
		if partOfWord(before) || partOfWord(after) {
			out.WriteString(word)
		} else {
			out.WriteString(secret.Mask)
		}
		at = end
	}
}

func partOfWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
