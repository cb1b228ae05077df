package bmc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

// rig is a BMC that is served on loopback, its machine and a client that trusts its certificate.
type rig struct {
	t       *testing.T
	bmc     *BMC
	machine *FakeMachine
	client  *http.Client
	token   string // instead of the password when set
	wrong   bool   // a wrong password
	header  map[string]string
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	m := NewFakeMachine()
	c := Config{User: "admin", Password: "right", Machine: m}
	for _, f := range change {
		f(&c)
	}
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(b.CertificateDER())
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{t: t, bmc: b, machine: m, client: &http.Client{Transport: tr, Timeout: 10 * time.Second}}
}

// try sends a request; body nil sends none.
func (r *rig) try(ctx context.Context, method, path string, body any) (*http.Response, map[string]any, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			r.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.bmc.URL()+path, in)
	if err != nil {
		r.t.Fatal(err)
	}
	switch {
	case r.token != "":
		req.Header.Set("X-Auth-Token", r.token)
	case r.wrong:
		req.SetBasicAuth("admin", "wrong")
	default:
		req.SetBasicAuth("admin", "right")
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	var out map[string]any
	raw, _ := io.ReadAll(resp.Body)
	if len(raw) > 0 && raw[0] == '{' {
		if err := json.Unmarshal(raw, &out); err != nil {
			r.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return resp, out, nil
}

// do sends a request and wants a status.
func (r *rig) do(method, path string, body any, want int) (*http.Response, map[string]any) {
	r.t.Helper()
	resp, out, err := r.try(r.t.Context(), method, path, body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode != want {
		r.t.Fatalf("%s %s: got %d %v, want %d", method, path, resp.StatusCode, out, want)
	}
	return resp, out
}

func (r *rig) resetTo(kind string, want int) {
	r.t.Helper()
	r.do("POST", SystemPath+"/Actions/ComputerSystem.Reset", map[string]any{"ResetType": kind}, want)
}

func (r *rig) system() map[string]any {
	r.t.Helper()
	_, d := r.do("GET", SystemPath, nil, 200)
	return d
}

func (r *rig) setBoot(want int, kv ...string) {
	r.t.Helper()
	boot := map[string]any{}
	for i := 0; i < len(kv); i += 2 {
		boot["BootSourceOverride"+kv[i]] = kv[i+1]
	}
	r.do("PATCH", SystemPath, map[string]any{"Boot": boot}, want)
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	r := newRig(t)
	r.machine.Print("hello\n")
	seen := map[string]bool{}
	var walk func(v any)
	visit := func(path string) {
		if seen[path] || bytes.ContainsRune([]byte(path), '#') {
			return
		}
		seen[path] = true
		resp, d := r.do("GET", path, nil, 200)
		if d["@odata.etag"] != resp.Header.Get("ETag") || resp.Header.Get("ETag") == "" {
			t.Errorf("%s: ETag header %q, property %v", path, resp.Header.Get("ETag"), d["@odata.etag"])
		}
		walk(d)
	}
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if s, ok := x.(string); ok && k == "@odata.id" {
					visit(s)
				}
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	visit("/redfish/v1/")
	for _, want := range []string{SystemPath, ManagerPath, ChassisPath, MediaPath, ChassisPath + "/Thermal", ChassisPath + "/Power",
		ConsolePath + "/Entries", SystemPath + "/SecureBoot", SystemPath + "/EthernetInterfaces/nic2"} {
		if !seen[want] {
			t.Errorf("%s is not linked from the root", want)
		}
	}
}

func TestAuthentication(t *testing.T) {
	r := newRig(t)
	r.wrong = true
	r.do("GET", "/redfish/v1", nil, 200)
	r.do("GET", SystemPath, nil, 401)
	r.do("GET", "/redfish/v1/nothing", nil, 401)
	r.do("GET", "/lab/counters", nil, 401)
	r.do("POST", sessionsPath, map[string]any{"UserName": "admin", "Password": "wrong"}, 401)
	resp, _ := r.do("POST", sessionsPath, map[string]any{"UserName": "admin", "Password": "right"}, 201)
	r.token = resp.Header.Get("X-Auth-Token")
	r.do("GET", SystemPath, nil, 200)
	if n := r.bmc.Sessions(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	r.bmc.ExpireSessions()
	r.do("GET", SystemPath, nil, 401)

	r.token = ""
	resp, _ = r.do("POST", sessionsPath, map[string]any{"UserName": "admin", "Password": "right"}, 201)
	r.token = resp.Header.Get("X-Auth-Token")
	r.do("DELETE", resp.Header.Get("Location"), nil, 204)
	r.do("GET", SystemPath, nil, 401)

	c := r.bmc.Counters()
	if c["login"] != 3 || c["logout"] != 1 || c["401"] != 5 {
		t.Errorf("counters %v, want login 3, logout 1, 401 five", c)
	}
}

func TestSessionsEndByThemselvesAndAreLimited(t *testing.T) {
	s := sessions{limit: time.Minute}
	for range maxSessions {
		if _, ok := s.open(); !ok {
			t.Fatal("refused below the limit")
		}
	}
	if _, ok := s.open(); ok {
		t.Error("a session over the limit was granted")
	}
	old := s.live[0]
	s.live[0].used = time.Now().Add(-2 * time.Minute)
	if s.use(old.token) {
		t.Error("a session that was idle for longer than the limit still works")
	}
	if _, ok := s.open(); !ok {
		t.Error("the expired session still takes a place")
	}
}

func TestPower(t *testing.T) {
	r := newRig(t)
	if p := r.system()["PowerState"]; p != "Off" {
		t.Fatalf("PowerState %v at start", p)
	}
	r.resetTo("ForceRestart", 409)
	r.resetTo("On", 204)
	r.resetTo("On", 204)
	if n := len(r.machine.Boots()); n != 1 {
		t.Errorf("%d boots after On twice, want 1", n)
	}
	r.resetTo("ForceRestart", 204)
	if n := len(r.machine.Boots()); n != 2 {
		t.Errorf("%d boots after a restart, want 2", n)
	}
	r.machine.Halt()
	if p := r.system()["PowerState"]; p != "Off" {
		t.Errorf("PowerState %v after the guest switched itself off", p)
	}
	r.resetTo("Jump", 400)
	r.do("POST", SystemPath+"/Actions/ComputerSystem.Reset", map[string]any{"ResetType": 1}, 400)
	r.do("POST", SystemPath+"/Actions/ComputerSystem.Reset", map[string]any{"Reset": "On"}, 400)
	r.do("GET", SystemPath+"/Actions/ComputerSystem.Reset", nil, 405)
	if c := r.bmc.Counters(); c["Reset.On"] != 2 || c["Reset.ForceRestart"] != 2 || c["Reset.Jump"] != 1 {
		t.Errorf("counters %v", c)
	}
}

func TestGracefulPowerWaitsForTheGuest(t *testing.T) {
	r := newRig(t)
	r.resetTo("On", 204)
	r.machine.IgnorePowerButton(true)
	r.resetTo("GracefulShutdown", 204)
	if !r.machine.Powered() {
		t.Fatal("a guest that ignores the power button is off")
	}
	r.resetTo("ForceOff", 204) // overrules the wait
	if r.machine.Powered() {
		t.Fatal("on after ForceOff")
	}
	r.machine.IgnorePowerButton(false)
	r.resetTo("On", 204)
	r.resetTo("GracefulRestart", 204)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.machine.AwaitBoots(ctx, 3); err != nil || !r.machine.Powered() {
		t.Errorf("the machine did not come back: %v, powered %v", err, r.machine.Powered())
	}
}

func TestBootOverride(t *testing.T) {
	r := newRig(t)
	r.setBoot(204, "Target", "Cd", "Enabled", "Once", "Mode", "UEFI")
	r.resetTo("On", 204)
	boot := r.system()["Boot"].(map[string]any)
	if boot["BootSourceOverrideTarget"] != "None" || boot["BootSourceOverrideEnabled"] != "Disabled" {
		t.Errorf("an override for one boot is still there: %v", boot)
	}
	r.machine.Reboot()
	r.setBoot(204, "Target", "Hdd", "Enabled", "Continuous")
	r.machine.Reboot()
	r.machine.Reboot()
	r.setBoot(204, "Target", "Pxe") // alone it keeps Continuous
	r.setBoot(204, "Enabled", "Disabled")
	r.machine.Reboot()
	var got []string
	for _, b := range r.machine.Boots() {
		got = append(got, b.First)
	}
	if want := []string{"Cd", "", "Hdd", "Hdd", ""}; !equal(got, want) {
		t.Errorf("boots %q, want %q", got, want)
	}
	r.setBoot(400, "Target", "Floppy")
	r.setBoot(400, "Enabled", "Sometimes")
	r.setBoot(400, "Mode", "Legacy")
	r.setBoot(400, "Order", "Cd")
	r.do("PATCH", SystemPath, map[string]any{"AssetTag": "x"}, 400)
	if c := r.bmc.Counters(); c["SetBoot.Cd"] != 1 || c["SetBoot.Hdd"] != 1 || c["SetBoot.Floppy"] != 1 {
		t.Errorf("counters %v", c)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestETags(t *testing.T) {
	r := newRig(t)
	resp, _ := r.do("GET", SystemPath, nil, 200)
	tag := resp.Header.Get("ETag")
	r.header = map[string]string{"If-None-Match": tag}
	r.do("GET", SystemPath, nil, 304)
	r.header = map[string]string{"If-Match": tag}
	r.setBoot(204, "Target", "Cd", "Enabled", "Once")
	r.setBoot(412, "Target", "Hdd", "Enabled", "Once") // it is another resource now
	r.header = map[string]string{"If-Match": "*"}
	r.setBoot(204, "Target", "Hdd", "Enabled", "Once")
	r.header = nil
	if err := r.bmc.SetFaults(Fault{Name: NeedETag}); err != nil {
		t.Fatal(err)
	}
	r.setBoot(428, "Target", "Cd")
}

func TestConsoleIsALog(t *testing.T) {
	r := newRig(t)
	_, d := r.do("GET", ConsolePath+"/Entries", nil, 200)
	if n := d["Members@odata.count"]; n != float64(0) {
		t.Errorf("%v entries of an empty console", n)
	}
	for range pageSize {
		r.machine.Print("x\r\n")
	}
	r.machine.Print("login: \xff")
	_, d = r.do("GET", ConsolePath+"/Entries", nil, 200)
	if n, more := len(d["Members"].([]any)), d["Members@odata.nextLink"]; n != pageSize || more == nil {
		t.Fatalf("%d entries on the first page, next %v", n, more)
	}
	_, d = r.do("GET", d["Members@odata.nextLink"].(string), nil, 200)
	last := d["Members"].([]any)
	if len(last) != 1 || last[0].(map[string]any)["Message"] != "login: \uFFFD" || d["Members@odata.nextLink"] != nil {
		t.Errorf("last page %v", d)
	}
	r.do("GET", ConsolePath+"/Entries?$skip=-1", nil, 400)
	r.do("GET", ConsolePath+"/Entries/99999", nil, 404)
}
