package redfish_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/driver/drivertest"
	"ingot/internal/driver/redfish"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// thief is another host that must never be asked.
func thief(t *testing.T) *httptest.Server {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked %s %s with token %q", r.Method, r.URL, r.Header.Get("X-Auth-Token"))
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestLinksToOtherHostsAreRefused(t *testing.T) {
	other := thief(t)
	host := strings.TrimPrefix(other.URL, "https://")
	for _, link := range []string{"@" + host + "/", other.URL + sys, "//" + host + sys, ":@" + host + "/x", "." + host, "x"} {
		s := newStub(t)
		d := driver(t, quick())
		s.docs["/redfish/v1/Systems"] = list(link)
		_, err := d.Power(t.Context(), s.node)
		is(t, err, fault.Internal)

		s.docs["/redfish/v1/Systems"] = list(sys)
		mergeInto(s.docs[sys], doc{"Actions": doc{"#ComputerSystem.Reset": doc{"target": link}}})
		is(t, d.SetPower(t.Context(), s.node, metal.PowerOn), fault.Internal)

		s.docs[root]["Links"] = doc{"Sessions": at(link)}
		if p, err := driver(t, quick()).Power(t.Context(), s.node); err != nil || p != metal.PowerOff {
			// Elsewhere is no place to log in; the standard one is.
			if fault.KindOf(err) != fault.Internal {
				t.Errorf("session link %q: %q, %v", link, p, err)
			}
		}
	}
}

func TestRedirectsToOtherHostsAreRefused(t *testing.T) {
	other := thief(t)
	for _, code := range []int{301, 302, 307, 308} {
		s := newStub(t)
		s.on("GET "+sys, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+sys, code) })
		_, err := driver(t, quick()).Power(t.Context(), s.node)
		is(t, err, fault.Internal)
	}
	s := newStub(t)
	s.docs["/redfish/v1/Systems/one"] = s.docs[sys]
	s.on("GET "+sys, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/redfish/v1/Systems/one", http.StatusPermanentRedirect)
	})
	if p, err := driver(t, quick()).Power(t.Context(), s.node); p != metal.PowerOff || err != nil {
		t.Errorf("a redirect at home: %q, %v", p, err)
	}
}

func TestRepliesAreBounded(t *testing.T) {
	for name, reply := range map[string]http.HandlerFunc{
		"large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"Name":"`+strings.Repeat("x", 5<<20)+`"}`)
		},
		"deep": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"Oem":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+"}")
		},
		"packed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, `{"Name":"`+strings.Repeat("x", 64<<20)+`"}`)
			_ = z.Close()
		},
		"large error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, strings.Repeat("x", 5<<20))
		},
		"no JSON":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>welcome</html>") },
		"half":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"PowerState":"O`) },
		"nothing":  func(http.ResponseWriter, *http.Request) {},
		"wrong":    func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"PowerState":{}}`) },
		"an array": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `[1,2]`) },
		"many heads": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
			_, _ = io.WriteString(w, `{}`)
		},
	} {
		s := newStub(t)
		s.on("GET "+sys, reply)
		_, err := driver(t, quick()).Power(t.Context(), s.node)
		because := map[string]string{"large": "larger than", "packed": "larger than", "large error": "larger than", "deep": "deeper than"}[name]
		if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), because) {
			t.Errorf("%s: %v", name, err)
		}
		drivertest.Clean(t, err)
	}
}

func TestEndlessPagesEnd(t *testing.T) {
	s := newStub(t)
	entries := sys + "/LogServices/HostLogger/Entries"
	page := 0
	s.on("GET "+entries, func(w http.ResponseWriter, _ *http.Request) {
		page++
		_ = json.NewEncoder(w).Encode(doc{"Members": []doc{{"Message": "again"}}, "Members@odata.nextLink": fmt.Sprintf("%s?$skip=%d", entries, page)})
	})
	_, err := driver(t, quick()).ConsoleLog(t.Context(), s.node, 100)
	is(t, err, fault.Internal)
	if s.all > 250 {
		t.Errorf("%d requests for one call", s.all)
	}
}

func TestManyMembersAreNotAllRead(t *testing.T) {
	s := newStub(t)
	var nics []string
	for i := range 5000 {
		nics = append(nics, fmt.Sprintf("%s/EthernetInterfaces/%d", sys, i))
	}
	s.docs[sys]["EthernetInterfaces"] = at(sys + "/EthernetInterfaces")
	s.docs[sys+"/EthernetInterfaces"] = list(nics...)
	if _, err := driver(t, quick()).Inspect(t.Context(), s.node); err != nil {
		t.Error(err)
	}
	if s.all > 250 {
		t.Errorf("%d requests for one call", s.all)
	}
}

// TestEchoesAreMasked: a BMC that repeats what it was sent, in an error that is shown to a caller.
func TestEchoesAreMasked(t *testing.T) {
	for _, auth := range []string{"basic", "session"} {
		s := newStub(t)
		s.on("POST "+sys+"/Reset", func(w http.ResponseWriter, r *http.Request) {
			refuse(w, http.StatusBadRequest, strings.Repeat("x", 280)+" you said "+drivertest.Canary+" "+r.Header.Get("Authorization")+r.Header.Get("X-Auth-Token"))
		})
		n := *s.node
		n.DriverInfo = n.DriverInfo.With("redfish_auth_type", auth)
		err := driver(t, quick()).SetPower(t.Context(), &n, metal.PowerOn)
		told := is(t, err, fault.Internal)
		if len(told) > 500 {
			t.Errorf("%d bytes of a BMC's words", len(told))
		}
		for _, secret := range []string{"YWRtaW46YzRuYX", "t0ken"} {
			if strings.Contains(told+err.Error(), secret) {
				t.Errorf("%s: an error shows %s", auth, secret)
			}
		}
		s.on("POST "+sys+"/Reset", func(w http.ResponseWriter, r *http.Request) {
			refuse(w, http.StatusBadRequest, "no "+r.Header.Get("Authorization")+r.Header.Get("X-Auth-Token")+"\x1b[31m\nfake line")
		})
		err = driver(t, quick()).SetPower(t.Context(), &n, metal.PowerOn)
		told = is(t, err, fault.Internal)
		if !strings.Contains(told, "******") || strings.ContainsAny(told, "\x1b\n") || strings.Contains(told+err.Error(), "t0ken") ||
			strings.Contains(told+err.Error(), "YWRtaW46YzRuYX") {
			t.Errorf("%s: %q", auth, told)
		}
	}
}

func TestNotHTTPS(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	n := node(strings.Replace(plain.URL, "http:", "https:", 1), nil)
	_, err := driver(t, quick()).Power(t.Context(), n)
	if told := is(t, err, fault.Unavailable); !strings.Contains(told, "http at that port") {
		t.Errorf("plain http: %q", told)
	}
	got, err := redfish.Probe(t.Context(), n.DriverInfo.Public("redfish_address"))
	if told, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Unavailable || got.Reachable || !strings.Contains(told, "TLS") {
		t.Errorf("probe of plain http: %+v, %v", got, err)
	}
}

func TestProbeOfSomethingElse(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>a web server</html>")
	}))
	defer srv.Close()
	got, err := redfish.Probe(t.Context(), srv.URL)
	if err != nil || !got.Reachable || got.Redfish || got.Fingerprint == "" {
		t.Errorf("probe: %+v, %v", got, err)
	}
}

// FuzzReply gives every document of a BMC the same strange answer: no call may panic, hang or leak.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"Members":[{"@odata.id":"/redfish/v1/Systems/1"}]}`, `{"PowerState":"On","Boot":null}`,
		`{"Members":[{"@odata.id":"@evil/"}],"Members@odata.nextLink":"/redfish/v1/"}`,
		`{"Actions":{"#ComputerSystem.Reset":{"target":"/x","@Redfish.ActionInfo":"/y"}}}`,
		`{"VirtualMedia":{"@odata.id":"/v"},"MediaTypes":["CD"],"Inserted":true,"Image":"http://x/"}`,
		`{"MemorySummary":{"TotalSystemMemoryGiB":1e308},"ProcessorSummary":{"Count":18446744073709551615}}`,
		`{"MACAddress":"zz","@odata.etag":"W/\"\n\"","Id":"Cd"}`, `{"error":{"@Message.ExtendedInfo":[null]}}`,
		`{"Members@odata.count":-5,"Members":[{"Message":null}],"Members@odata.nextLink":"x"}`,
	} {
		f.Add(200, seed)
		f.Add(400, seed)
	}
	type reply struct {
		status int
		body   string
	}
	var now atomic.Pointer[reply]
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Auth-Token", "t")
		w.WriteHeader(now.Load().status)
		_, _ = io.WriteString(w, now.Load().body)
	}))
	f.Cleanup(srv.Close)
	n := node(srv.URL, map[string]any{"redfish_verify_ca": pemOf(srv.Certificate().Raw)})
	cfg := quick()
	cfg.RetryWait, cfg.EffectWait, cfg.Attempts = 1, 1, 2
	f.Fuzz(func(t *testing.T, s int, b string) {
		if s < 200 || s > 599 || s == 204 || s == 304 {
			return
		}
		now.Store(&reply{s, b})
		d := redfish.New(cfg)
		defer d.Close()
		ctx := t.Context()
		defer func(start time.Time) {
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("the calls took %s", took)
			}
		}(time.Now())
		_, power := d.Power(ctx, n)
		_, boot := d.BootDevice(ctx, n)
		_, devices := d.BootDevices(ctx, n)
		_, held := d.Media(ctx, n)
		info, inspect := d.Inspect(ctx, n)
		log, console := d.ConsoleLog(ctx, n, 100)
		for _, err := range []error{power, boot, devices, held, inspect, console,
			d.SetPower(ctx, n, metal.PowerOn), d.SetBootDevice(ctx, n, metal.BootDevice{Device: "cdrom"}),
			d.InsertMedia(ctx, n, "http://192.0.2.1/x.iso"), d.EjectMedia(ctx, n)} {
			drivertest.Clean(t, err)
			if _, ok := fault.PublicOf(err); err != nil && !ok {
				t.Errorf("an error without a public sentence: %v", err)
			}
		}
		if len(log) > 100 || info.MemoryMiB < 0 || info.CPUs < 0 || len(info.Manufacturer) > 255 {
			t.Errorf("out of bounds: %d bytes of log, %+v", len(log), info)
		}
		if _, err := redfish.Probe(ctx, srv.URL); err != nil && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("probe: %v", err)
		}
	})
}
