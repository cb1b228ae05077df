package osinstall

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

const (
	// leastAnywhere is the shortest text that is looked for in the middle of words, too.
	leastAnywhere = 4
	// leastChunk is the shortest part of a wrapped encoding that is looked for.
	leastChunk = 8
)

// wraps are the widths at which programs wrap base64 (coreutils, openssl) and hex (xxd -p).
var (
	wraps64  = []int{76, 64}
	wrapsHex = []int{60}
)

// hidden are the values of a work that nobody may read who reads what it says; names are looked for as whole words only.
func hidden(w agentapi.OSWork) (values, names []string) {
	for _, p := range w.Parameters {
		if p.Class != classPublic {
			values = append(values, p.Value)
		}
	}
	account := func(user, password string) {
		if password != "" {
			values = append(values, password, user+":"+password)
		}
		names = append(names, user)
	}
	if p := w.Package; p != nil {
		account(p.User, p.Password)
	}
	if s := w.Streams; s != nil {
		account(s.User, s.Password)
	}
	return values, names
}

// scrubber takes values out of texts, in the forms that programs usually print them in.
type scrubber struct {
	forms map[[leastAnywhere]byte][]string // by how they begin, the longest first
	words []string                         // short ones and names, which are looked for as whole words only
}

func newScrubber(values, names []string) *scrubber {
	forms, words := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		words[strings.TrimSpace(name)] = true
	}
	note := func(form string) {
		for _, f := range []string{form, bare(form)} {
			if len(f) >= leastAnywhere {
				forms[f] = true
			}
		}
	}
	for _, v := range values {
		if strings.TrimSpace(v) == "" {
			continue // it would hide the space between words
		}
		for _, text := range texts(v) {
			if len(text) < leastAnywhere {
				words[text] = words[text] || text == v || strings.ContainsFunc(text, isWord)
				continue
			}
			for _, form := range encoded(text) {
				note(form)
			}
		}
		for _, form := range wrapped(v) {
			note(form)
		}
	}
	maps.DeleteFunc(words, func(word string, worth bool) bool { return word == "" || !worth })
	s := &scrubber{forms: map[[leastAnywhere]byte][]string{}, words: slices.Sorted(maps.Keys(words))}
	for form := range forms {
		key := [leastAnywhere]byte([]byte(form[:leastAnywhere]))
		s.forms[key] = append(s.forms[key], form)
	}
	for _, list := range s.forms {
		slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	}
	return s
}

// texts are a value, what a shell without quotes makes of it, and its lines.
func texts(v string) []string {
	out := []string{v, strings.TrimSpace(v), strings.Join(strings.Fields(v), " ")}
	for l := range strings.SplitSeq(strings.ReplaceAll(v, "\r", "\n"), "\n") {
		out = append(out, strings.TrimSpace(l))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// encoded are the forms that one text has in what programs print.
func encoded(t string) []string {
	out := []string{t, html.EscapeString(t), url.QueryEscape(t), url.PathEscape(t), strings.ReplaceAll(url.QueryEscape(t), "+", "%20"),
		strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(t), "+", "%20"), "%2F", "/"),
		hex.EncodeToString([]byte(t)), strings.ToUpper(hex.EncodeToString([]byte(t)))}
	for _, quote := range []func(string) string{strconv.Quote, strconv.QuoteToASCII, quoteJSON, quoteJSONPlain} {
		if q := quote(t); len(q) > 2 {
			out = append(out, q[1:len(q)-1])
		}
	}
	// Shells: set -x, export -p, ${V@Q}. Whatever they put a backslash before is found without it.
	out = append(out, strings.ReplaceAll(t, "'", `'\''`), strings.ReplaceAll(t, "'", `'"'"'`), octal(t))
	for _, form := range slices.Clone(out) {
		if lower := strings.ToLower(form); strings.Contains(form, "%") && lower != form {
			out = append(out, lowerPercent(form))
		}
	}
	return append(out, aligned(t)...)
}

func quoteJSON(t string) string {
	b, err := json.Marshal(t)
	if err != nil {
		return ""
	}
	return string(b)
}

// quoteJSONPlain is as programs do that do not think of HTML.
func quoteJSONPlain(t string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(t) != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// bare is a text without backslashes: which characters are escaped by one is each program's own idea.
func bare(t string) string { return strings.ReplaceAll(t, `\`, "") }

// octal is as bash quotes what is not ASCII, within $'…'.
func octal(t string) string {
	var b strings.Builder
	for i := range len(t) {
		switch c := t[i]; {
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// lowerPercent writes the hex digits of percent signs small.
func lowerPercent(t string) string {
	b := []byte(t)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
			i += 2
		}
	}
	return string(b)
}

// aligned are what base64 makes of a text in the middle of another, as far as it depends on the text alone, and at its end: a group is three
// bytes, and the text begins at any of them.
func aligned(t string) (out []string) {
	for before := range 3 {
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			form := alphabet.EncodeToString(append(make([]byte, before), t...))
			from := (before*8 + 5) / 6
			to := (before + len(t)) * 8 / 6
			if from < to {
				out = append(out, form[from:to], form[from:], form[from:]+strings.Repeat("=", (4-len(form)%4)%4))
			}
		}
	}
	return out
}

// wrapped are the lines that a long value is broken into when it is encoded.
func wrapped(v string) (out []string) {
	for _, text := range []string{v, v + "\n"} {
		for _, width := range wraps64 {
			out = append(out, chunks(base64.StdEncoding.EncodeToString([]byte(text)), width)...)
		}
		for _, width := range wrapsHex {
			out = append(out, chunks(hex.EncodeToString([]byte(text)), width)...)
		}
	}
	return out
}

func chunks(t string, width int) (out []string) {
	if len(t) <= width {
		return nil
	}
	for c := range slices.Chunk([]byte(t), width) {
		if len(c) >= leastChunk {
			out = append(out, string(c))
		}
	}
	return out
}

// text masks the values in a text. Where several lie over each other all of that is masked.
func (s *scrubber) text(t string) string {
	if len(s.forms) == 0 && len(s.words) == 0 {
		return t
	}
	spans := s.find(t)
	if len(spans) == 0 {
		return t
	}
	var b strings.Builder
	at := 0
	for i := 0; i < len(spans); {
		from, to := spans[i].from, spans[i].to
		for i++; i < len(spans) && spans[i].from <= to; i++ {
			to = max(to, spans[i].to)
		}
		b.WriteString(t[at:from])
		b.WriteString(secret.Mask)
		at = to
	}
	b.WriteString(t[at:])
	return b.String()
}

type span struct{ from, to int }

// find gives where values are, in the order of their beginnings.
func (s *scrubber) find(t string) []span {
	spans := s.search(t)
	if strings.Contains(t, `\`) {
		spans = append(spans, s.searchBare(t)...)
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	return spans
}

// searchBare finds values between whose characters there are backslashes.
func (s *scrubber) searchBare(t string) []span {
	places := make([]int, 0, len(t)) // in t, of what is left
	for i := range len(t) {
		if t[i] != '\\' {
			places = append(places, i)
		}
	}
	spans := s.search(bare(t))
	for i, at := range spans {
		from, to := places[at.from], places[at.to-1]+1
		for from > 0 && t[from-1] == '\\' {
			from--
		}
		spans[i] = span{from, to}
	}
	return spans
}

func (s *scrubber) search(t string) (spans []span) {
	covered := 0 // what ends here or before is masked already
	for i := 0; i+leastAnywhere <= len(t); i++ {
		for _, form := range s.forms[[leastAnywhere]byte([]byte(t[i:i+leastAnywhere]))] {
			if i+len(form) <= covered {
				break // the others are shorter
			}
			if strings.HasPrefix(t[i:], form) {
				spans = append(spans, span{i, i + len(form)})
				covered = i + len(form)
				break
			}
		}
	}
	for _, w := range s.words {
		for from := 0; ; {
			i := strings.Index(t[from:], w)
			if i < 0 {
				break
			}
			i += from
			if end := i + len(w); (i == 0 || !isWord(rune(t[i-1]))) && (end == len(t) || !isWord(rune(t[end]))) {
				spans = append(spans, span{i, end})
			}
			from = i + 1
		}
	}
	return spans
}

// isWord tells what words are made of. A byte of a longer character is, too.
func isWord(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80
}
