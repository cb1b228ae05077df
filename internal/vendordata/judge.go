package vendordata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"
)

// maxDepth is how deep the JSON of an answer may nest. Instances parse it, too, and not all of them have a bound.
const maxDepth = 64

var (
	errDeep = errors.New("nests its JSON too deeply")
	errText = errors.New("is not UTF-8")
	// errNotJSON quotes nothing of what it is about.
	errNotJSON = errors.New("is not JSON")
)

// failure is why a target gave nothing: a word for numbers and programs, and what a person may read. Neither has anything
// that the target or the request said.
type failure struct{ word, said string }

func (f *failure) Error() string { return f.said }

// The words.
const (
	Unreachable = "unreachable" // no connection
	Untrusted   = "untrusted"   // TLS
	Late        = "timeout"     // a limit of time
	Broken      = "broken"      // the connection ended, or what came is no HTTP
	Refused     = "status"      // a status that is no success
	Redirected  = "redirect"    // to another server, to nowhere, or without end
	TooLarge    = "too-large"
	NotJSON     = "not-json"
	Unsigned    = "identity" // this server could not show who it is
)

func failed(word, format string, args ...any) *failure {
	return &failure{word, fmt.Sprintf(format, args...)}
}

// judge makes an answer's body of a reply: any JSON, {} for an empty one.
func judge(status int, body []byte) (json.RawMessage, *failure) {
	switch {
	case status >= 400:
		return nil, failed(Refused, "answered with status %d (%s)", status, http.StatusText(status))
	case status < 200 || status >= 300:
		return nil, failed(Redirected, "answered with status %d, which is no answer", status)
	}
	document, err := parseJSON(body)
	switch {
	case errors.Is(err, errEmpty):
		return json.RawMessage("{}"), nil
	case err != nil:
		return nil, failed(NotJSON, "gave an answer that %v", err)
	}
	return document, nil
}

var errEmpty = errors.New("is empty")

// parseJSON gives a document of any JSON type in as few bytes as it has. The error is a phrase of ours.
func parseJSON(text []byte) (json.RawMessage, error) {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\uFEFF"))) // some editors and servers mark their UTF-8
	switch {
	case len(text) == 0:
		return nil, errEmpty
	case !utf8.Valid(text):
		return nil, errText // encoding/json takes it, Python's parser fails on the whole file
	case depth(text) > maxDepth:
		return nil, errDeep
	case !json.Valid(text):
		return nil, errNotJSON
	}
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return nil, errNotJSON
	}
	return out.Bytes(), nil
}

// depth is how deep brackets nest, those in strings left out. It needs no valid JSON.
func depth(text []byte) int {
	most, now := 0, 0
	for i, quoted := 0, false; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}
