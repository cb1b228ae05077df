package vendordata

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ingot/internal/secret"
)

// Answers are what the targets said of one instance, in the order of the configuration. They may be printed: what targets
// said stays out. The zero value is nobody's.
type Answers struct {
	id   string // of the Fetch they began with; whoever has another one starts anew
	list []answer
}

// answer is one target's. It is not changed after it was made.
type answer struct {
	target string
	shown  string // its URL, for people
	status int    // 0: no reply
	body   secret.Secret
	head   http.Header // those of cacheHeaders
	hash   string      // of the request it answers
	asked  time.Time
	took   time.Duration
	from   string   // Asked, …
	failed *failure // there is no body
	// trouble is why the target gave nothing now, where an older answer is in its place.
	trouble *failure
}

// Where an answer came from.
const (
	Asked     = "asked"     // the target gave it now
	Unchanged = "unchanged" // the target says that it is still right
	Held      = "kept"      // nobody was asked: it may still be used
	Stale     = "stale"     // the target failed, and allows the last answer in place
)

// good tells whether there is something to serve.
func (a answer) good() bool { return a.failed == nil }

// VendorData2 is the document vendor_data2.json: the static one under "static" unless it is nil, and each target's under
// its name, {} where it failed.
func (a Answers) VendorData2(static json.RawMessage) json.RawMessage {
	all := map[string]json.RawMessage{}
	for _, one := range a.list {
		all[one.target] = json.RawMessage("{}")
		if one.good() {
			all[one.target] = json.RawMessage(one.body.Expose())
		}
	}
	if static != nil {
		all["static"] = static
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(all); err != nil { // every part was parsed before
		panic("vendordata: " + err.Error())
	}
	return bytes.TrimSpace(out.Bytes())
}

// Failed names the targets that gave nothing.
func (a Answers) Failed() []string {
	var out []string
	for _, one := range a.list {
		if !one.good() {
			out = append(out, one.target)
		}
	}
	return out
}

// Why is one sentence on the targets that gave nothing, "" where all did. It may be shown to anybody who sees the node.
func (a Answers) Why() string {
	var parts []string
	for _, one := range a.list {
		if !one.good() {
			parts = append(parts, fmt.Sprintf("%q %s", one.target, one.failed.said))
		}
	}
	switch len(parts) {
	case 0:
		return ""
	case 1:
		return "The vendordata target " + parts[0] + "."
	}
	return "Vendordata targets failed: " + strings.Join(parts, "; ") + "."
}

// Report is what may be told of one target's answer, for people who look for a fault.
type Report struct {
	Name   string    `json:"name"`
	URL    string    `json:"url"` // without what it keeps secret
	Asked  time.Time `json:"asked_at"`
	TookMS int64     `json:"took_ms"`
	Status int       `json:"status"` // of HTTP; 0: no reply
	Bytes  int       `json:"bytes"`
	From   string    `json:"from"`             // Asked, Unchanged, Held, Stale; "" where it failed
	Failed string    `json:"failed,omitempty"` // a word
	Why    string    `json:"why,omitempty"`    // what the target did, as in "answered with status 500"
	// Until is until when it is used without asking again; absent: it is asked each time.
	Until *time.Time `json:"fresh_until,omitempty"`
}

// Report tells of each target.
func (s *Service) Report(a Answers) []Report {
	out := []Report{}
	for _, one := range a.list {
		r := Report{Name: one.target, URL: one.shown, Asked: one.asked, TookMS: one.took.Milliseconds(), Status: one.status, Bytes: len(one.body.Expose()), From: one.from}
		if one.failed != nil {
			r.Failed, r.Why, r.From = one.failed.word, one.failed.said, ""
		} else if one.trouble != nil {
			r.Failed, r.Why = one.trouble.word, one.trouble.said
		} else if t := s.ages().of(one.head, one.status, one.asked); t.again && t.until.After(one.asked) {
			r.Until = &t.until
		}
		out = append(out, r)
	}
	return out
}

// sealed is Answers as they are sealed with an instance.
type sealed struct {
	ID   string         `json:"id"`
	List []sealedAnswer `json:"answers"`
}

type sealedAnswer struct {
	Target string          `json:"target"`
	URL    string          `json:"url"`
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body,omitempty"`
	Head   http.Header     `json:"head,omitempty"`
	Hash   string          `json:"hash"`
	Asked  time.Time       `json:"asked_at"`
	Took   time.Duration   `json:"took"`
	Failed string          `json:"failed,omitempty"`
	Why    string          `json:"why,omitempty"`
}

// Encode gives all of it, bodies in clear: for sealing.
func (a Answers) Encode() []byte {
	s := sealed{ID: a.id, List: []sealedAnswer{}}
	for _, one := range a.list {
		k := sealedAnswer{Target: one.target, URL: one.shown, Status: one.status, Head: one.head, Hash: one.hash, Asked: one.asked, Took: one.took}
		if one.failed != nil {
			k.Failed, k.Why = one.failed.word, one.failed.said
		} else {
			k.Body = json.RawMessage(one.body.Expose())
		}
		s.List = append(s.List, k)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // a body keeps its bytes: drive and service have the same
	if err := e.Encode(s); err != nil {
		panic("vendordata: " + err.Error()) // every body was parsed before
	}
	return bytes.TrimSpace(out.Bytes())
}

// DecodeAnswers reads what Encode gave; nothing gives the zero value.
func DecodeAnswers(b []byte) (Answers, error) {
	if len(b) == 0 {
		return Answers{}, nil
	}
	var s sealed
	if err := json.Unmarshal(b, &s); err != nil {
		return Answers{}, fmt.Errorf("read sealed vendordata: %w", scrubbed(err))
	}
	a := Answers{id: s.ID}
	for _, k := range s.List {
		one := answer{target: k.Target, shown: k.URL, status: k.Status, head: k.Head, hash: k.Hash, asked: k.Asked, took: k.Took, from: Asked}
		switch {
		case k.Failed != "":
			one.failed = &failure{k.Failed, k.Why}
		case len(k.Body) == 0:
			return Answers{}, errors.New("read sealed vendordata: an answer has neither a body nor a reason")
		default:
			one.body = secret.New(string(k.Body))
		}
		a.list = append(a.list, one)
	}
	return a, nil
}

// scrubbed keeps of an error of encoding/json only that there was one: it may quote.
func scrubbed(error) error { return errNotJSON }
