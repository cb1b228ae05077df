package bmc

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// doc is one Redfish resource.
type doc map[string]any

// reply is what a POST, PATCH or DELETE answers. Body nil means none.
type reply struct {
	status int
	body   doc
	header map[string]string
}

// resource is what one path can do; a nil method is 405.
type resource struct {
	open   bool // readable without credentials
	get    func(*http.Request) (doc, error)
	patch  func(*http.Request) (reply, error)
	post   func(*http.Request) (reply, error)
	del    func(*http.Request) (reply, error)
	anyone bool // POST needs no credentials
}

// problem is an error with a Redfish answer.
type problem struct {
	status  int
	id      string // in the Base message registry
	message string
}

func (p problem) Error() string { return p.message }

func notFound(r *http.Request) error {
	return problem{http.StatusNotFound, "ResourceMissingAtURI", "The resource at the URI " + r.URL.Path + " was not found."}
}

// serve makes an http.Handler of a resource: credentials, method, ETags, rendering.
func (b *BMC) serve(res resource) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		free := res.open && (r.Method == http.MethodGet || r.Method == http.MethodHead) || res.anyone && r.Method == http.MethodPost
		if !free {
			_, refuse := b.faults.strike(WrongPassword)
			if refuse || !b.allowed(r) {
				b.refuseStranger(w)
				return
			}
		}
		var act func(*http.Request) (reply, error)
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			if res.get != nil {
				b.serveGet(w, r, res)
				return
			}
		case http.MethodPatch:
			act = res.patch
		case http.MethodPost:
			act = res.post
		case http.MethodDelete:
			act = res.del
		}
		if act == nil {
			w.Header().Set("Allow", res.methods())
			writeProblem(w, problem{http.StatusMethodNotAllowed, "OperationNotAllowed",
				"The HTTP method is not allowed on this resource."})
			return
		}
		if r.Method == http.MethodPatch {
			if err := b.checkETag(r, res); err != nil {
				writeError(w, err)
				return
			}
		}
		rep, err := act(r)
		if err != nil {
			writeError(w, err)
			return
		}
		for k, v := range rep.header {
			w.Header().Set(k, v)
		}
		if rep.body == nil {
			w.WriteHeader(rep.status)
			return
		}
		writeJSON(w, rep.status, rep.body)
	}
}

func (res resource) methods() string {
	var m []string
	if res.get != nil {
		m = append(m, http.MethodGet, http.MethodHead)
	}
	if res.patch != nil {
		m = append(m, http.MethodPatch)
	}
	if res.post != nil {
		m = append(m, http.MethodPost)
	}
	if res.del != nil {
		m = append(m, http.MethodDelete)
	}
	return strings.Join(m, ", ")
}

func (b *BMC) serveGet(w http.ResponseWriter, r *http.Request, res resource) {
	d, err := res.get(r)
	if err != nil {
		writeError(w, err)
		return
	}
	tag := etag(d)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d["@odata.etag"] = tag
	writeJSON(w, http.StatusOK, d)
}

// checkETag compares If-Match with the resource as it is now (DSP0266 §7.8, "ETags").
func (b *BMC) checkETag(r *http.Request, res resource) error {
	want := r.Header.Get("If-Match")
	if want == "" {
		if b.faults.has(NeedETag) {
			return problem{http.StatusPreconditionRequired, "PreconditionRequired",
				"A precondition header or annotation is required to change this resource."}
		}
		return nil
	}
	d, err := res.get(r)
	if err != nil {
		return err
	}
	now := etag(d)
	for t := range strings.SplitSeq(want, ",") {
		// A strong form of our weak tag is taken too: clients strip the W/.
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(now, "W/") {
			return nil
		}
	}
	return problem{http.StatusPreconditionFailed, "PreconditionFailed",
		"The ETag supplied did not match the ETag required to change this resource."}
}

// etag is made of a resource's content, so it changes exactly when that does.
func etag(d doc) string {
	body, err := json.Marshal(d) // map keys come sorted
	if err != nil {
		return `W/"0"`
	}
	sum := sha256.Sum256(body)
	return `W/"` + hex.EncodeToString(sum[:8]) + `"`
}

// readJSON reads a request's body into a struct; a property the struct lacks is an error.
func readJSON(r *http.Request, into any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return problem{http.StatusRequestEntityTooLarge, "PayloadTooLarge", "The supplied payload is too large."}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err = dec.Decode(into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil && dec.More():
		return problem{http.StatusBadRequest, "MalformedJSON", "The request body contains more than one JSON value."}
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return problem{http.StatusBadRequest, "PropertyValueTypeError",
			"The value of the property " + strconv.Quote(wrongType.Field) + " is of a different type than the property can accept."}
	case strings.HasPrefix(err.Error(), "json: unknown field"):
		return problem{http.StatusBadRequest, "PropertyUnknown", "The property " +
			strings.TrimPrefix(err.Error(), "json: unknown field ") + " is not in the list of valid properties for the resource."}
	}
	return problem{http.StatusBadRequest, "MalformedJSON", "The request body submitted was malformed JSON."}
}

func writeError(w http.ResponseWriter, err error) {
	var p problem
	if !errors.As(err, &p) {
		p = problem{http.StatusInternalServerError, "InternalError",
			"The request failed due to an internal service error: " + err.Error()}
	}
	writeProblem(w, p)
}

func writeProblem(w http.ResponseWriter, p problem) {
	id := p.id
	if !strings.Contains(id, ".") { // a name of the base registry
		id = "Base.1.13." + id
	}
	writeJSON(w, p.status, doc{"error": doc{"code": id, "message": p.message, "@Message.ExtendedInfo": []doc{{
		"@odata.type": "#Message.v1_1_2.Message", "MessageId": id, "Message": p.message, "MessageArgs": []string{},
		"MessageSeverity": "Critical", "Resolution": "None.",
	}}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // a client that went away needs no answer
}

func link(path string) doc { return doc{"@odata.id": path} }

// collection is a resource collection of members that all lie elsewhere.
func collection(path, kind string, members ...string) doc {
	links := make([]doc, 0, len(members))
	for _, m := range members {
		links = append(links, link(m))
	}
	return doc{"@odata.id": path, "@odata.type": "#" + kind + "Collection." + kind + "Collection",
		"Name": kind + " Collection", "Members": links, "Members@odata.count": len(links)}
}
