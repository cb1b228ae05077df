package ops

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

const userData = "#cloud-config\npassword: canary\n"

// instanceOn gives a node an instance.
func instanceOn(t *testing.T, db *store.DB, n *metal.Node) *seed.Seed {
	t.Helper()
	read, err := seed.FromObject(map[string]any{"user_data": userData, "meta_data": map[string]any{"hostname": "web-1"}}, seed.Input{UUID: n.UUID, Name: n.Name})
	if err != nil {
		t.Fatal(err)
	}
	ask := vendordata.Request{ProjectID: "p1", InstanceID: n.UUID, Hostname: "web-1", UserData: secret.New(userData), BootRoles: []string{"member", "mail"}}
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveInstance(n, &store.Instance{ID: n.UUID, Project: "p1", Deploy: "op1", Seed: secret.New(string(read.Encode())), Answers: secret.New(string(vendordata.Answers{}.Encode())), Request: secret.New(string(ask.Encode()))})
	})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// TestInstanceData: what an instance reads is listed, and given byte for byte; a node without one has nothing.
func TestInstanceData(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "redfish")
	_, err := s.InstanceData(t.Context(), caller, n.UUID)
	wantKind(t, err, fault.NotFound)
	_, err = s.InstancePage(t.Context(), caller, n.UUID, "/openstack/latest/meta_data.json")
	wantKind(t, err, fault.NotFound)

	read := instanceOn(t, db, n)
	d, err := s.InstanceData(t.Context(), caller, n.UUID)
	if err != nil || d.Instance != n.UUID || d.Project != "p1" || d.Deploy != "op1" || d.Fault != "" || d.UpdatedAt.IsZero() {
		t.Fatalf("%+v, %v", d, err)
	}
	paths := map[string]bool{}
	for _, f := range d.Files {
		paths[f.Path] = true
		page, err := s.InstancePage(t.Context(), caller, n.Name, f.Path)
		want, wrong := read.Get(f.Path)
		if err != nil || wrong != nil || string(page.Content) != string(want.Content) || page.Type != f.Type || len(page.Content) != f.Size {
			t.Errorf("%s: %d bytes of %s, want %d: %v %v", f.Path, len(page.Content), page.Type, len(want.Content), err, wrong)
		}
	}
	if !paths["/openstack/latest/meta_data.json"] || !paths["/openstack/latest/user_data"] {
		t.Errorf("listed are %v", d.Files)
	}
	page, err := s.InstancePage(t.Context(), caller, n.UUID, "/latest/user-data")
	if err != nil || string(page.Content) != userData {
		t.Errorf("EC2's user data: %q, %v", page.Content, err)
	}
	_, err = s.InstancePage(t.Context(), caller, n.UUID, "/openstack/latest/nothing")
	wantKind(t, err, fault.NotFound)

	for _, who := range []policy.Caller{{ProjectID: "p9", Roles: []string{"admin", "manager", "member", "reader"}}, {SystemScope: "all", Roles: []string{"reader"}}} {
		_, err := s.InstancePage(t.Context(), Caller{Rights: policy.For(who)}, n.UUID, "/openstack/latest/user_data")
		if err == nil {
			t.Errorf("%+v reads user data", who)
		}
	}
}

// TestVendordataFaultIsShown: by the node and by what it is doing, until the targets answer again.
func TestVendordataFaultIsShown(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "redfish")
	instanceOn(t, db, n)
	for _, said := range []string{`The vendordata target "roles" answered with status 500.`, ""} {
		if err := db.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.SetInstanceFault(n.ID, said); return err }); err != nil {
			t.Fatal(err)
		}
		got, err := s.Node(t.Context(), caller, n.UUID, "node:get")
		if err != nil {
			t.Fatal(err)
		}
		if shown, _ := got.InternalInfo[metal.VendordataFault].(string); shown != said {
			t.Errorf("the node shows %q", shown)
		}
		why, err := s.Why(t.Context(), caller, n.UUID)
		if err != nil || why.VendordataFault != said {
			t.Errorf("why: %+v, %v", why, err)
		}
		d, err := s.InstanceData(t.Context(), caller, n.UUID)
		if err != nil || d.Fault != said {
			t.Errorf("its metadata: %+v, %v", d, err)
		}
	}
}

// target is a vendordata server that keeps what it was asked.
func target(t *testing.T, status int, body string) (url string, asked func() []map[string]any) {
	t.Helper()
	got := make(chan map[string]any, 100)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		var doc map[string]any
		if err != nil || json.Unmarshal(raw, &doc) != nil {
			t.Errorf("asked with %q", raw)
		}
		got <- doc
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(h.Close)
	return strings.Replace(h.URL, "http://", "http://user:canary-in-url@", 1) + "/about?key=canary-in-query", func() (all []map[string]any) {
		for {
			select {
			case one := <-got:
				all = append(all, one)
			default:
				return all
			}
		}
	}
}

// asking has a service ask targets.
func asking(t *testing.T, s *Service, fatal bool, targets ...string) {
	t.Helper()
	c := vendordata.Defaults()
	c.VendordataProviders = []string{vendordata.DynamicJSON}
	c.VendordataDynamicFailureFatal, c.VendordataDynamicAllowHTTPAuth = fatal, true
	c.VendordataDynamicTargets = targets
	v, err := vendordata.New(c, vendordata.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	s.AskVendordata(v)
}

// TestTestVendordata: the targets are asked as at the deploy, or as by whoever asks now, and nothing of what they said or of what their
// URLs keep secret is told.
func TestTestVendordata(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "redfish")
	good, askedGood := target(t, http.StatusOK, `{"a": "canary-in-answer"}`)
	bad, askedBad := target(t, http.StatusInternalServerError, "canary-in-answer")
	asking(t, s, false, "good@"+good, "bad@"+bad)
	who := Caller{Rights: policy.For(policy.Caller{ProjectID: "p3", SystemScope: "all", Roles: []string{"admin", "manager", "member", "reader"}})}

	// Not deployed: as if who asks did it now.
	got, err := s.TestVendordata(t.Context(), who, n.UUID, false)
	if err != nil || got.Deployed || got.Failed || got.Fatal || len(got.Targets) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	one := got.Targets[0]
	if one.Name != "good" || one.Status != 200 || one.Bytes == 0 || one.Failed != "" || one.From == "" || one.Until == nil || one.Asked.IsZero() {
		t.Errorf("the good one: %+v", one)
	}
	if two := got.Targets[1]; two.Name != "bad" || two.Status != 500 || two.Failed == "" || !strings.Contains(two.Why, "500") || two.Until != nil {
		t.Errorf("the bad one: %+v", two)
	}
	text, err := json.Marshal(got)
	if err != nil || strings.Contains(string(text), "canary") {
		t.Errorf("told: %s, %v", text, err)
	}
	if all := askedGood(); len(all) != 1 || all[0]["boot-roles"] != "admin,manager,member,reader" || all[0]["user-data"] != nil || all[0]["project-id"] != "p3" || all[0]["instance-id"] != n.UUID {
		t.Errorf("asked: %v", all)
	}
	askedBad()

	// Deployed: with what was kept. A good answer is used again, unless it is to be fresh.
	instanceOn(t, db, n)
	for i, want := range []int{1, 0} {
		if got, err = s.TestVendordata(t.Context(), who, n.UUID, false); err != nil || !got.Deployed {
			t.Fatalf("%+v, %v", got, err)
		}
		all := askedGood()
		if len(all) != want || want == 1 && (all[0]["boot-roles"] != "member,mail" || all[0]["user-data"] == nil || all[0]["project-id"] != "p1") {
			t.Errorf("time %d: asked %v", i, all)
		}
	}
	if got, err = s.TestVendordata(t.Context(), who, n.UUID, true); err != nil || len(askedGood()) != 1 || got.Targets[0].From != vendordata.Asked {
		t.Errorf("fresh: %+v, %v", got, err)
	}

	// What would fail a deployment is told as such, with what came of each.
	asking(t, s, true, "good@"+good, "bad@"+bad)
	if got, err = s.TestVendordata(t.Context(), who, n.UUID, true); err != nil || !got.Fatal || !got.Failed || len(got.Targets) != 2 || got.Targets[0].Failed != "" || got.Targets[1].Failed == "" {
		t.Errorf("fatal: %+v, %v", got, err)
	}
	asking(t, s, true, "good@"+good)
	if got, err = s.TestVendordata(t.Context(), who, n.UUID, true); err != nil || !got.Fatal || got.Failed {
		t.Errorf("fatal, and all is well: %+v, %v", got, err)
	}

	s.AskVendordata(nil)
	_, err = s.TestVendordata(t.Context(), who, n.UUID, false)
	wantKind(t, err, fault.NotSupported)
	reader := Caller{Rights: policy.For(policy.Caller{SystemScope: "all", Roles: []string{"reader"}})}
	_, err = s.TestVendordata(t.Context(), reader, n.UUID, false)
	wantKind(t, err, fault.Forbidden)
}

// TestInstancePassword: what the instance posted is listed and given to who may read the rest.
func TestInstancePassword(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "redfish")
	instanceOn(t, db, n)
	const path = "/openstack/latest/password"
	_, err := s.InstancePage(t.Context(), caller, n.UUID, path)
	wantKind(t, err, fault.NotFound)
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.SetInstancePassword(n, "op1", secret.New("sealed for its user")) }); err != nil {
		t.Fatal(err)
	}
	page, err := s.InstancePage(t.Context(), caller, n.UUID, path)
	if err != nil || string(page.Content) != "sealed for its user" {
		t.Fatalf("%q, %v", page.Content, err)
	}
	d, err := s.InstanceData(t.Context(), caller, n.UUID)
	if err != nil || !slices.ContainsFunc(d.Files, func(f metal.InstanceFile) bool { return f.Path == path && f.Size == len(page.Content) }) {
		t.Fatalf("%+v, %v", d, err)
	}
}
