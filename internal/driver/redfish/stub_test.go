package redfish_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"ingot/internal/driver/redfish"
	"ingot/internal/metal"
)

// stub is a BMC of one test's making: documents by path, and a few requests answered in a special way. What
// lab/bmc would never do is done here.
type stub struct {
	*httptest.Server
	node *metal.Node

	mu      sync.Mutex
	docs    map[string]doc
	special map[string]http.HandlerFunc // by "METHOD /path"
	asked   []string                    // "METHOD /path body", all but GET
	all     int
}

type doc map[string]any

const (
	sys  = "/redfish/v1/Systems/1"
	cd   = "/redfish/v1/Systems/1/VirtualMedia/Cd"
	root = "/redfish/v1"
)

func at(uri string) doc { return doc{"@odata.id": uri} }

func list(uris ...string) doc {
	members := []doc{}
	for _, u := range uris {
		members = append(members, at(u))
	}
	return doc{"Members": members, "Members@odata.count": len(members)}
}

func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{special: map[string]http.HandlerFunc{}, docs: map[string]doc{
		root:                                    {"RedfishVersion": "1.6.0", "Links": doc{"Sessions": at("/redfish/v1/SessionService/Sessions")}},
		"/redfish/v1/Systems":                   list(sys),
		"/redfish/v1/Systems/1/VirtualMedia":    list(cd),
		"/redfish/v1/Systems/1/VirtualMedia/Cd": {"Id": "Cd", "MediaTypes": []string{"CD"}, "Inserted": false, "Image": nil, "Actions": doc{"#VirtualMedia.InsertMedia": doc{"target": cd + "/Insert"}, "#VirtualMedia.EjectMedia": doc{"target": cd + "/Eject"}}},
		sys: {"Id": "1", "PowerState": "Off", "VirtualMedia": at("/redfish/v1/Systems/1/VirtualMedia"),
			"Boot":    doc{"BootSourceOverrideTarget": "None", "BootSourceOverrideEnabled": "Disabled", "BootSourceOverrideMode": "UEFI"},
			"Actions": doc{"#ComputerSystem.Reset": doc{"target": sys + "/Reset"}}},
	}}
	s.special["POST /redfish/v1/SessionService/Sessions"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Auth-Token", "t0ken-of-the-session")
		w.Header().Set("Location", "/redfish/v1/SessionService/Sessions/1")
		w.WriteHeader(http.StatusCreated)
	}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	s.node = node(s.URL, map[string]any{"redfish_verify_ca": pemOf(s.Certificate().Raw)})
	return s
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	path := strings.TrimSuffix(r.URL.Path, "/")
	s.mu.Lock()
	s.all++
	if r.Method != http.MethodGet && !strings.Contains(path, "Sessions") {
		s.asked = append(s.asked, r.Method+" "+path+" "+string(body))
	}
	special, found := s.special[r.Method+" "+path], s.docs[path]
	s.mu.Unlock()
	switch {
	case special != nil:
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		special(w, r)
	case r.Method == http.MethodGet && found != nil:
		s.mu.Lock()
		b, _ := json.Marshal(found)
		s.mu.Unlock()
		if tag, ok := found["@odata.etag"].(string); ok {
			w.Header().Set("ETag", tag)
		}
		_, _ = w.Write(b)
	case r.Method == http.MethodPatch && found != nil:
		var change doc
		_ = json.Unmarshal(body, &change)
		s.merge(path, change)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, http.StatusNotFound, "no such resource")
	}
}

// merge changes a document as a PATCH does.
func (s *stub) merge(path string, change doc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mergeInto(s.docs[path], change)
}

func mergeInto(to, change doc) {
	for k, v := range change {
		inner, ok := v.(map[string]any)
		if d, isDoc := v.(doc); isDoc {
			inner, ok = d, true
		}
		if old, both := to[k].(doc); ok && both {
			mergeInto(old, inner)
			continue
		}
		to[k] = v
	}
}

// on answers one request in a special way.
func (s *stub) on(request string, f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.special[request] = f
}

// said is every request that could change something, in order.
func (s *stub) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.asked, "\n")
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc{"error": doc{"code": "Base.1.8.GeneralError", "message": "see there",
		"@Message.ExtendedInfo": []doc{{"MessageId": "Base.1.8.Whatever", "Message": message}}}})
}

func driver(t *testing.T, cfg redfish.Config) *redfish.Driver {
	d := redfish.New(cfg)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
