package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// mark is in every canary of this process: who looks for it finds them all, and halves of them. No escaping that leaves letters
// alone changes it.
var mark = "canary" + rand.Text()[:18]

// canary is a secret that was planted under a name, or that the program made itself; it must not be seen again.
type canary struct{ name, value string }

// plant makes a canary of letters and digits, which any field takes.
func plant(name string) canary { return canary{name, mark + rand.Text()[:10]} }

// plantOdd makes one that has to be escaped nearly everywhere, with the mark on both sides of that: what masks a value up to the
// first quote leaves the rest.
func plantOdd(name string) canary {
	return canary{name, mark + rand.Text()[:6] + `"\<&>'%; é/` + mark + rand.Text()[:6]}
}

// plantTyped makes one with signs in it that people type and that a shell script can repeat.
func plantTyped(name string) canary {
	return canary{name, mark + rand.Text()[:6] + `'%; é/` + mark + rand.Text()[:6]}
}

// needle is one form of a value that is looked for.
type needle struct {
	name, form string
	bytes      []byte
}

// search looks for the mark and for canaries without it.
type search struct {
	planted []canary // to name what was found by the mark
	needles []needle
}

func searchFor(all ...canary) *search {
	s := &search{}
	s.add(canary{"mark", mark})
	for _, c := range all {
		s.add(c)
	}
	return s
}

// add looks for one more.
func (s *search) add(c canary) {
	if c.value != mark && strings.Contains(c.value, mark) {
		s.planted = append(s.planted, c)
		return
	}
	for form, text := range forms(c.value) {
		s.needles = append(s.needles, needle{c.name, form, []byte(text)})
	}
}

// forms are the ways a value travels, each by its name.
func forms(v string) map[string]string {
	var percent, slashU, slashX, slash8, entity, wide strings.Builder
	for _, b := range []byte(v) {
		fmt.Fprintf(&percent, "%%%02x", b)
		fmt.Fprintf(&slashU, `\u%04x`, b)
		fmt.Fprintf(&slashX, `\x%02x`, b)
		fmt.Fprintf(&slash8, `\%03o`, b)
		fmt.Fprintf(&entity, "&#%d;", b)
	}
	for _, u := range utf16.Encode([]rune(v)) {
		wide.Write([]byte{byte(u), byte(u >> 8)})
	}
	out := map[string]string{"itself": v, "hex": hex.EncodeToString([]byte(v)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(v))),
		"percent": percent.String(), "PERCENT": strings.ToUpper(percent.String()), `\u`: slashU.String(), `\x`: slashX.String(), "octal": slash8.String(),
		"entities": entity.String(), "UTF-16": wide.String()}
	for offset := range 3 {
		e := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + v))
		from := []int{0, 2, 3}[offset] // digits that depend on what stands before
		out[fmt.Sprintf("base64 at %d", offset)] = e[from : len(e)-4]
	}
	for name, escaped := range map[string]string{"in a URL": url.QueryEscape(v), "in a path": url.PathEscape(v), "quoted": strings.Trim(fmt.Sprintf("%q", v), `"`)} {
		if escaped != v {
			out[name] = escaped
		}
	}
	return out
}

// found is a place where a canary is.
type found struct {
	name, form, how string // how it was packed, the outermost first
	at              int
	around          string
}

func (f found) String() string {
	return fmt.Sprintf("%s (%s) at byte %d%s: %.300q", f.name, f.form, f.at, f.how, f.around)
}

// deepest is how often something packed is unpacked that was packed itself.
const deepest = 4

// in finds what is in b, and in what is packed in b.
func (s *search) in(b []byte) []found { return s.within(b, "", 0) }

func (s *search) within(b []byte, how string, depth int) (out []found) {
	for _, n := range s.needles {
		if at := bytes.Index(b, n.bytes); at >= 0 {
			out = append(out, found{s.named(n, b[at:]), n.form, how, at, string(b[max(0, at-100):min(len(b), at+100)])})
		}
	}
	if depth == deepest {
		return out
	}
	for _, p := range packed(b) {
		out = append(out, s.within(p.data, how+" in "+p.as, depth+1)...)
	}
	return out
}

// named says which canary it is whose mark was found.
func (s *search) named(n needle, b []byte) string {
	if n.name != "mark" {
		return n.name
	}
	for _, c := range s.planted {
		if bytes.HasPrefix(b, []byte(forms(c.value[:len(mark)+6])[n.form])) {
			return c.name
		}
	}
	return "something with the mark of all canaries"
}

// parcel is what was packed in something.
type parcel struct {
	as   string
	data []byte
}

// leastRun is how long a run of digits is that may be packed: no word is as long.
const leastRun = 40

// digits are the bytes of one way to write bytes in text.
type digits [256]bool

func digitsOf(all string) (d digits) {
	for _, c := range []byte(all) {
		d[c] = true
	}
	return d
}

var (
	base64Digits = digitsOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-")
	hexDigits    = digitsOf("0123456789abcdefABCDEF")
	lineEnds     = strings.NewReplacer("\r", "", "\n", "", `\n`, "", "-", "+", "_", "/")
)

// runs are the long runs of digits in b. With lines a run goes on behind the end of a line, as PEM and MIME have it, also in JSON.
func (d *digits) runs(b []byte, lines bool) (out [][]byte) {
	for at := 0; at < len(b); at++ {
		if !d[b[at]] {
			continue
		}
		end := d.end(b, at)
		for first := end - at; lines && first >= leastRun; {
			next := end
			for _, mark := range []string{"\r\n", "\n", `\n`} {
				if bytes.HasPrefix(b[end:], []byte(mark)) {
					next = end + len(mark)
					break
				}
			}
			if next == end || next == len(b) || !d[b[next]] {
				break
			}
			end = d.end(b, next)
		}
		if end-at >= leastRun {
			out = append(out, b[at:end])
		}
		at = end
	}
	return out
}

// end is where the digits end that begin at a place.
func (d *digits) end(b []byte, at int) int {
	for at < len(b) && d[b[at]] {
		at++
	}
	return at
}

// packed is what is inside: gzip members, zlib streams, and what base64 and hexadecimal stand for.
func packed(b []byte) (out []parcel) {
	for at := 0; at+2 < len(b); at++ {
		switch {
		case b[at] == 0x1f && b[at+1] == 0x8b && b[at+2] == 8:
			if z, err := gzip.NewReader(bytes.NewReader(b[at:])); err == nil {
				z.Multistream(false)
				out = keep(out, "gzip", z)
			}
		case b[at] == 0x78 && (b[at+1] == 0x01 || b[at+1] == 0x5e || b[at+1] == 0x9c || b[at+1] == 0xda):
			if z, err := zlib.NewReader(bytes.NewReader(b[at:])); err == nil {
				out = keep(out, "zlib", z)
			}
		}
	}
	for _, run := range base64Digits.runs(b, true) {
		text := lineEnds.Replace(string(run))
		for offset := range 4 { // what stands before may run into it
			if data, err := base64.RawStdEncoding.DecodeString(text[offset : len(text)-(len(text)-offset)%4]); err == nil && (offset == 0 || bytes.HasPrefix(data, []byte{0x1f, 0x8b})) {
				out = append(out, parcel{"base64", data})
			}
		}
		if at := strings.Index(text, "H4sI"); at >= 0 { // how gzip begins
			if data, err := base64.RawStdEncoding.DecodeString(text[at : len(text)-(len(text)-at)%4]); err == nil {
				out = append(out, parcel{"base64", data})
			}
		}
	}
	for _, run := range hexDigits.runs(b, false) {
		if data, err := hex.DecodeString(string(run[:len(run)&^1])); err == nil {
			out = append(out, parcel{"hex", data})
		}
	}
	return out
}

// mostUnpacked is how much of one parcel is looked at.
const mostUnpacked = 64 << 20

// keep takes what can be read: a stream that breaks off had something in it, too.
func keep(out []parcel, as string, r io.Reader) []parcel {
	data, _ := io.ReadAll(io.LimitReader(r, mostUnpacked))
	if len(data) < 8 { // noise looks like a stream now and then
		return out
	}
	return append(out, parcel{as, data})
}

// unseen sees that none of them is in b, in any form.
func unseen(t *testing.T, where string, b []byte, canaries ...canary) {
	t.Helper()
	for _, f := range searchFor(canaries...).in(b) {
		t.Errorf("%s shows the %s", where, f)
	}
}

// TestCanariesAreFound: a canary is found however it is written and packed, whole and by half, and nothing is found where none is.
// Without this, finding none says nothing.
func TestCanariesAreFound(t *testing.T) {
	made := canary{"key of the program's own", "\x00\xff" + rand.Text()} // without the mark, and no text
	for _, c := range []canary{plant("plain"), plantOdd("odd"), made} {
		s := searchFor(c)
		for name, v := range ways(t, c.value) {
			file := filepath.Join(t.TempDir(), "planted")
			if err := os.WriteFile(file, []byte("noise, and then\n"+v+"\nand noise"), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.in(b); !slices.ContainsFunc(got, func(f found) bool { return f.name == c.name }) {
				t.Errorf("the %s canary is not found %s: %v", c.name, name, got)
			}
		}
	}
	odd := plantOdd("odd")
	_, half, _ := strings.Cut(odd.value, " ")
	if got := searchFor(odd).in([]byte(`password "******"` + half)); len(got) == 0 {
		t.Error("what a mask left of a canary is not found")
	}
	clean := append([]byte(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("nothing of it", 50)))+" canary "), gzipped(t, "canary"+rand.Text())...)
	if got := searchFor(plant("a"), made).in(clean); len(got) > 0 {
		t.Errorf("found where nothing is: %v", got)
	}
}

// ways are texts that hold a value.
func ways(t *testing.T, v string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for form, text := range forms(v) {
		out["as "+form] = text
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := io.WriteString(w, "before "+v+" after"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	zip := string(gzipped(t, "before "+v+" after"))
	encoded := base64.StdEncoding.EncodeToString([]byte(zip))
	out["in gzip"], out["in zlib"], out["in gzip in gzip"] = zip, z.String(), string(gzipped(t, zip))
	out["in gzip in base64"], out["in gzip in hex"] = encoded, `\x`+hex.EncodeToString([]byte(zip))
	out["in gzip in base64 behind a name"] = "url/configdrive/" + encoded
	out["in gzip in base64 in JSON in gzip"] = string(gzipped(t, `{"configdrive":"`+encoded+`"}`))
	out["in the second of two gzip members"] = string(gzipped(t, "first")) + zip
	out["in gzip that breaks off"] = string(gzipped(t, v+strings.Repeat("x", 50_000)+rand.Text()))[:len(zip)+20]
	var lines []string
	for rest := base64.StdEncoding.EncodeToString([]byte("a longer text, to have lines: " + v + strings.Repeat(" and more", 9))); rest != ""; {
		n := min(64, len(rest))
		lines, rest = append(lines, rest[:n]), rest[n:]
	}
	out["in lines of base64"], out["in lines of base64 in JSON"] = strings.Join(lines, "\n"), strings.Join(lines, `\n`)
	return out
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
