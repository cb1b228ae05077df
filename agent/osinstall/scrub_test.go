package osinstall

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

// What programs make of a value when they print it; none of it may be left.
func TestScrubTheFormsThatProgramsPrint(t *testing.T) {
	values := []string{"SECR-plain", "SECR with  spaces and 'quotes' \"double\" $HOME \\ & <x>", "SECR-first\nSECR-second\n\nSECR-th'ird\n", "SECR-ünïcode-☃", "SECR/a+b=c?d%e", strings.Repeat("SECR-long-0123456789", 20)}
	for _, v := range values {
		s := newScrubber([]string{v}, nil)
		printed := map[string]string{
			"as it is": v, "JSON": quoteJSON(v), "Go": strconv.Quote(v), "ASCII": strconv.QuoteToASCII(v), "in a query": url.QueryEscape(v), "in a path": url.PathEscape(v),
			"small percents": lowerPercent(url.QueryEscape(v)), "hex": hex.EncodeToString([]byte(v)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(v))),
			"base64": base64.StdEncoding.EncodeToString([]byte(v)), "base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(v)),
			"base64 behind a user":  base64.StdEncoding.EncodeToString([]byte("user:" + v)),
			"base64 behind another": base64.StdEncoding.EncodeToString([]byte("admin:" + v + "\n")),
		}
		for name, script := range map[string]string{"set -x of sh": `set -x; : "$V"`, "echo": `echo $V`, "base64 -w76": `printf %s "$V" | base64`, "base64 of echo": `echo "$V" | base64`, "export -p of sh": `export -p`, "env": "env"} {
			printed[name] = shell(t, "sh", script, v)
		}
		if _, err := exec.LookPath("bash"); err == nil {
			for name, script := range map[string]string{"set -x of bash": `set -x; : "$V"`, "printf %q": `printf '%q\n' "$V"`, "declare -p": `declare -p V`, "set": "set | grep -A9 ^V=", "${V@Q}": `echo "${V@Q}"`} {
				printed[name] = shell(t, "bash", script, v)
			}
		}
		for name, text := range printed {
			got := s.text("before " + text + " after")
			for _, left := range []string{"SECR", "5345435", "U0VDU"} {
				if strings.Contains(got, left) {
					t.Errorf("%s of %q leaves %q", name, v, got)
				}
			}
			if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("%s of %q: %q", name, v, got)
			}
		}
	}
}

func shell(t *testing.T, program, script, value string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-c", script)
	cmd.Env = []string{"V=" + value, "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v %s", script, err, out)
	}
	return string(out)
}

func TestScrubShortValuesAreWords(t *testing.T) {
	s := newScrubber([]string{"no", "7", "", " ", "-", "abcd"}, nil)
	for text, want := range map[string]string{
		"no, not now: no":      "******, not now: ******",
		"7 of 77, v=7, x7 7x":  "****** of 77, v=******, x7 7x",
		"xabcdx abcabcd":       "x******x abc******",
		"noé no_ no-":          "noé no_ ******-",
		"nothing to do in 770": "nothing to do in 770",
	} {
		if got := s.text(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := newScrubber(nil, nil).text("as it is"); got != "as it is" {
		t.Error(got)
	}
}

// The name of an account hides nothing but itself.
func TestScrubNamesAreWords(t *testing.T) {
	values, names := hidden(agentapi.OSWork{Package: &agentapi.OSPackage{User: "root", Password: "canary"}, Streams: &agentapi.OSStreams{User: "u"}})
	s := newScrubber(values, names)
	if got, want := s.text("root in /root/x, chroot, root:canary, u2 u cm9vdDpjYW5hcnk="), "****** in /******/x, chroot, ******, u2 ****** ******"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Of values that lie over each other nothing is left.
func TestScrubOverlaps(t *testing.T) {
	s := newScrubber([]string{"abcdef", "defghi", "aaaa"}, nil)
	for text, want := range map[string]string{"xabcdefghix": "x******x", "abcdefdefghi": "******", "aaaaaaa": "******", "abcde": "abcde"} {
		if got := s.text(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsKeptOfAFlood(t *testing.T) {
	h := &hearing{}
	out := h.stream()
	for i := range 100_000 {
		fmt.Fprintf(out, "line %06d\r\n", i)
	}
	fmt.Fprint(out, strings.Repeat("x", maxLine+1))
	fmt.Fprint(out, "SECR\nend without its end")
	out.end()
	text := h.text()
	if len(text) > keptHead+keptTail+200 || !strings.HasPrefix(text, "line 000000\nline 000001\n") || !strings.HasSuffix(text, "line 099999\n(a line of more than 64 KiB is left out)\nend without its end\n") ||
		!strings.Contains(text, " lines are left out)\n") || strings.Contains(text, "SECR") {
		t.Errorf("%d bytes: %.80q … %q", len(text), text, text[len(text)-120:])
	}
	lines := last(newScrubber([]string{"colour"}, nil), "a\n\n\x1b[31mcol\x00our\x1b[0m\n"+strings.Repeat("y", 2000)+"\n", 2)
	if len(lines) != 2 || lines[0] != "[31m******[0m" || len([]rune(lines[1])) != shownLine {
		t.Errorf("%q", lines)
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("a token=very-secret-value b", "very-secret-value")
	f.Add("aaaaaaaa", "aaaa")
	f.Add("x\ny", "x\ny")
	f.Add("7 7", "7")
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(value) > 4096 {
			return
		}
		s := newScrubber([]string{value, value + "2"}, nil)
		got := s.text(text)
		if len(value) >= leastAnywhere && !strings.Contains("******", value) && strings.Contains(strings.ReplaceAll(got, "******", "\x00"), value) {
			t.Errorf("%q leaves %q", text, got)
		}
		quoted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if inner := string(quoted[1 : len(quoted)-1]); len(value) >= leastAnywhere && !strings.Contains("******", inner) && strings.Contains(strings.ReplaceAll(s.text(inner), "******", "\x00"), inner) {
			t.Errorf("%q is left of %q", inner, value)
		}
	})
}

// However what a script says is cut, what is kept is bounded, and no line is that could be half of one.
func FuzzHearing(f *testing.F) {
	f.Add([]byte("one\ntwo\r\nthree"), uint8(3), uint16(1))
	f.Add([]byte("x"), uint8(1), uint16(65535))
	f.Fuzz(func(t *testing.T, b []byte, size uint8, times uint16) {
		h := &hearing{}
		out := h.stream()
		for range times {
			for chunk := range slices.Chunk(b, int(size)+1) {
				if n, err := out.Write(chunk); n != len(chunk) || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		out.end()
		text := h.text()
		if len(text) > keptHead+keptTail+2*maxLine {
			t.Errorf("%d bytes are kept", len(text))
		}
		for line := range strings.Lines(text) {
			if len(line) > maxLine+1 || strings.Contains(line, "\r") {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		for _, line := range last(newScrubber(nil, nil), text, lastLines) {
			if len([]rune(line)) > shownLine || strings.ContainsAny(line, "\x00\x1b\n") {
				t.Errorf("shown is %q", line)
			}
		}
	})
}

func TestLogsAreBounded(t *testing.T) {
	var none *Logs
	none.keep(osdef.Create, agentapi.OSScript{}, "nobody keeps it")
	l := &Logs{}
	for i := range 20 {
		l.keep(osdef.Create, agentapi.OSScript{Name: "untrusted/create", Code: i}, "said")
	}
	files := l.Files()
	if len(files) != maxKept || files[0].Name != "os_install-13-untrusted_create" || string(files[7].Data) != "(untrusted/create, of create; confined: false; code 19 after 0.0 s)\nsaid" {
		t.Errorf("%d files: %s %s", len(files), files[0].Name, files[7].Data)
	}
}
