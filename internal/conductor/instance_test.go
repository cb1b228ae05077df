package conductor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/vendordata"
)

// target is a vendordata target: each of its answers has a number that no other has.
type target struct {
	*httptest.Server
	mu    sync.Mutex
	asked []map[string]any
	says  func(w http.ResponseWriter) bool // what it does in place of an answer; false: it answers
	onAsk func()
}

func newTarget(t *testing.T) *target {
	t.Helper()
	v := &target{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var q map[string]any
		if json.Unmarshal(body, &q) != nil || r.Method != http.MethodPost {
			http.Error(w, "no question", http.StatusBadRequest)
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.asked = append(v.asked, q)
		if v.onAsk != nil {
			v.onAsk()
		}
		if v.says == nil || !v.says(w) {
			fmt.Fprintf(w, `{"number": %d}`, len(v.asked))
		}
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *target) questions() []map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.asked)
}

// service asks targets, by the names roles and mail.
func asking(t *testing.T, fatal bool, targets ...*target) *vendordata.Service {
	t.Helper()
	c := vendordata.Defaults()
	c.VendordataProviders = []string{"StaticJSON", "DynamicJSON"}
	c.VendordataDynamicFailureFatal = fatal
	for i, v := range targets {
		c.VendordataDynamicTargets = append(c.VendordataDynamicTargets, []string{"roles", "mail"}[i]+"@"+v.URL)
	}
	s, err := vendordata.New(c, vendordata.Options{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// deployWorld is a world whose machine is available. The drive is as a request gives it; nil: none.
func deployWorld(t *testing.T, drive any, targets *vendordata.Service) *world {
	t.Helper()
	w := newWorld(t)
	w.vendor = targets
	w.node.ProvisionState = metal.Available
	info := w.node.InstanceInfo.Expose()
	delete(info, "configdrive")
	if drive != nil {
		info["configdrive"] = drive
	}
	w.node.InstanceInfo = secret.NewMap(info)
	w.save()
	return w
}

const askedBy = `{"ask":{"boot_for":{"roles":["member","mail"],"project":"p1"}}}`

// deploy walks a deployment to its end.
func (w *world) deploy(verb metal.Event, record string) *metal.Node {
	w.t.Helper()
	w.ask(metal.PlanDeploy, verb, record)
	w.run(w.conductor("c1", nil))
	w.node, _ = w.state()
	return w.node
}

// kept is the node's instance, and what it reads; nil for none.
func (w *world) kept() (i *store.Instance, s *seed.Seed) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		i, err = tx.Instance(w.node)
		return err
	})
	if err == nil && i != nil {
		s, err = seed.Decode([]byte(i.Seed.Expose()))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return i, s
}

// keptRequest is what is kept for a rebuild.
func (w *world) keptRequest() (out vendordata.Request, any bool) {
	w.t.Helper()
	var kept secret.Secret
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) {
		kept, err = tx.InstanceRequest(w.node)
		return err
	})
	if err == nil && !kept.Empty() {
		out, err = vendordata.DecodeRequest([]byte(kept.Expose()))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return out, !kept.Empty()
}

// whys are the sentences of the node's history.
func (w *world) whys() string {
	w.t.Helper()
	var all []string
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		events, err := tx.Events(w.node, store.Page{})
		for _, e := range events {
			all = append(all, e.Why)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func page(t *testing.T, s *seed.Seed, path string) string {
	t.Helper()
	p, err := s.Get(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(p.Content)
}

// sinceVendorData2 are the versions that have vendor_data2.json.
func sinceVendorData2() []string { return seed.Versions[slices.Index(seed.Versions, "2016-10-06"):] }

var parts = map[string]any{"user_data": "#cloud-config\n", "meta_data": map[string]any{"hostname": "web1.example.org", "meta": map[string]any{"role": "web"}},
	"vendor_data": map[string]any{"roles": "mine", "own": "kept"}}

// TestRequirement01OnePostPerDrive: each target is asked once in a deployment, and its answer is the same in every version of the
// drive and of what is served.
func TestRequirement01OnePostPerDrive(t *testing.T) { onEach(t, testOnePostPerDrive) }

func testOnePostPerDrive(t *testing.T) {
	one, two := newTarget(t), newTarget(t)
	w := deployWorld(t, maps.Clone(parts), asking(t, true, one, two))
	if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
		t.Fatalf("%s: %s", n.ProvisionState, n.LastError)
	}
	if len(one.questions()) != 1 || len(two.questions()) != 1 {
		t.Fatalf("asked %d and %d times", len(one.questions()), len(two.questions()))
	}
	want := map[string]any{"project-id": "p1", "instance-id": w.node.UUID, "image-id": "http://127.0.0.1:1/i.raw", "user-data": "I2Nsb3VkLWNvbmZpZwo=", "hostname": "web1",
		"metadata": map[string]any{"role": "web"}, "boot-roles": "member,mail"}
	if got, _ := json.Marshal(one.questions()[0]); canonical(t, got) != fmt.Sprint(want) {
		t.Errorf("it was told %s", got)
	}
	i, s := w.kept()
	if i == nil || i.ID != w.node.UUID || i.Project != "p1" || i.Answers.Empty() {
		t.Fatalf("kept: %+v", i)
	}
	drive, err := seed.FromDrive(w.drive)
	if err != nil {
		t.Fatal(err)
	}
	first := page(t, s, "/openstack/latest/vendor_data2.json")
	if canonical(t, []byte(first)) != "map[mail:map[number:1] own:kept roles:map[number:1] static:map[]]" {
		t.Errorf("it reads %s", first)
	}
	for _, v := range sinceVendorData2() {
		path := "/openstack/" + v + "/vendor_data2.json"
		if got := page(t, drive, path); got != first {
			t.Errorf("on the drive, %s: %s", path, got)
		}
		if got := page(t, s, path); got != first {
			t.Errorf("served, %s: %s", path, got)
		}
	}
	for _, name := range s.Names() {
		a, _ := s.File(name)
		if b, has := drive.File(name); !has || !bytes.Equal(a, b) {
			t.Errorf("%s is not the same on the drive", name)
		}
	}
	if !strings.Contains(w.whys(), "replaces what the instance's own vendor_data says under roles") {
		t.Errorf("the history does not say that a name was replaced:\n%s", w.whys())
	}
}

func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return fmt.Sprint(v)
}

// TestRequirement06AFatalFailureFailsTheDeployment: with a drive and without one the node is deploy failed before its machine is
// touched, with the target's name, and nothing is served.
func TestRequirement06AFatalFailureFailsTheDeployment(t *testing.T) {
	onEach(t, testAFatalFailureFailsTheDeployment)
}

func testAFatalFailureFailsTheDeployment(t *testing.T) {
	for name, drive := range map[string]any{"with a drive": maps.Clone(parts), "without": nil} {
		t.Run(name, func(t *testing.T) {
			good, bad := newTarget(t), newTarget(t)
			bad.says = func(w http.ResponseWriter) bool {
				http.Error(w, "hunter2", http.StatusInternalServerError)
				return true
			}
			w := deployWorld(t, drive, asking(t, true, good, bad))
			n := w.deploy(metal.EventDeploy, askedBy)
			if n.ProvisionState != metal.DeployFailed || !strings.Contains(n.LastError, `"mail"`) || !strings.Contains(n.LastError, "500") ||
				strings.Contains(n.LastError, "hunter2") || strings.Contains(n.LastError, `"roles"`) {
				t.Errorf("%s: %s", n.ProvisionState, n.LastError)
			}
			if len(w.counters) != 0 || w.on {
				t.Errorf("the machine was touched: %v", w.counters)
			}
			if len(bad.questions()) != 1 {
				t.Errorf("the target was asked %d times", len(bad.questions()))
			}
			if i, _ := w.kept(); i != nil {
				t.Error("something is served of an instance whose deployment failed")
			}
			bad.says = nil
			if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active || n.LastError != "" {
				t.Errorf("the second try: %s: %s", n.ProvisionState, n.LastError)
			}
			if i, _ := w.kept(); i == nil {
				t.Error("nothing is served of the second try")
			}
			if (w.drive != "") != (drive != nil) {
				t.Errorf("a drive of %d bytes", len(w.drive))
			}
		})
	}
}

// TestVendordataThatIsMissing is {} where that is not fatal, and the history says so.
func TestVendordataThatIsMissing(t *testing.T) {
	good, bad := newTarget(t), newTarget(t)
	bad.says = func(w http.ResponseWriter) bool { fmt.Fprint(w, "<html>"); return true }
	w := deployWorld(t, nil, asking(t, false, good, bad))
	if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
		t.Fatalf("%s: %s", n.ProvisionState, n.LastError)
	}
	_, s := w.kept()
	if got := page(t, s, "/openstack/latest/vendor_data2.json"); canonical(t, []byte(got)) != "map[mail:map[] roles:map[number:1] static:map[]]" {
		t.Errorf("it reads %s", got)
	}
	if !strings.Contains(w.whys(), `The vendordata target "mail"`) {
		t.Errorf("the history says nothing of it:\n%s", w.whys())
	}
	if w.drive != "" {
		t.Error("a drive was written that nobody asked for")
	}
}

// TestRequirement09RolesAreKeptByARebuild: whoever asks for it, and the targets are asked anew.
func TestRequirement09RolesAreKeptByARebuild(t *testing.T) { onEach(t, testRolesAreKeptByARebuild) }

func testRolesAreKeptByARebuild(t *testing.T) {
	v := newTarget(t)
	w := deployWorld(t, maps.Clone(parts), asking(t, true, v))
	w.deploy(metal.EventDeploy, askedBy)
	before, _ := w.kept()
	w.write(func(tx *store.Tx) error {
		_, err := tx.SetInstanceFault(w.node.ID, "roles answered with status 500")
		return err
	})
	const other = `{"ask":{"boot_for":{"roles":["reader"],"project":"p2"}}}`
	n := w.deploy(metal.EventRebuild, other)
	asked := v.questions()
	if n.ProvisionState != metal.Active || len(asked) != 2 || asked[1]["boot-roles"] != "member,mail" || asked[1]["project-id"] != "p1" {
		t.Fatalf("%s: %s; asked %v", n.ProvisionState, n.LastError, asked)
	}
	i, s := w.kept()
	if i.Fault != "" {
		t.Errorf("it has a fault of the instance before: %s", i.Fault)
	}
	if got := page(t, s, "/openstack/latest/vendor_data2.json"); !strings.Contains(got, `"number":2`) && !strings.Contains(got, `"number": 2`) || i.Generation == before.Generation {
		t.Errorf("it reads %s", got)
	}
	v.says = func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true }
	if n = w.deploy(metal.EventRebuild, other); n.ProvisionState != metal.DeployFailed {
		t.Fatalf("%s", n.ProvisionState)
	}
	if i, _ := w.kept(); i != nil {
		t.Error("a rebuild that failed leaves something served")
	}
	v.says = nil
	if n = w.deploy(metal.EventRebuild, other); n.ProvisionState != metal.Active {
		t.Fatalf("%s: %s", n.ProvisionState, n.LastError)
	}
	if last := v.questions()[3]; last["boot-roles"] != "member,mail" || last["project-id"] != "p1" {
		t.Errorf("after a rebuild that failed it was told %v", last)
	}
	// Who may speak for one project alone does not get what is another's: a node that was lent on meanwhile, or its owner.
	for i, row := range []struct{ ask, roles, project string }{
		{`{"ask":{"boot_for":{"roles":["reader"],"project":"p1","own":true}}}`, "member,mail", "p1"},
		{`{"ask":{"boot_for":{"roles":["reader"],"project":"p2","own":true}}}`, "reader", "p2"},
		{`{"ask":{"boot_for":{"roles":["admin"],"project":"p1"}}}`, "reader", "p2"},
	} {
		w.deploy(metal.EventRebuild, row.ask)
		if last := v.questions()[4+i]; last["boot-roles"] != row.roles || last["project-id"] != row.project {
			t.Errorf("rebuild %d: it was told %v", i, last)
		}
	}
	// A deployment is another instance.
	w.write(func(tx *store.Tx) error {
		w.node.ProvisionState = metal.DeployFailed
		return tx.SaveNode(w.node)
	})
	w.deploy(metal.EventDeploy, other)
	if last := v.questions()[7]; last["boot-roles"] != "reader" || last["project-id"] != "p2" {
		t.Errorf("of a new deployment it was told %v", last)
	}
}

// TestAReadyDriveIsUsedAsItIs: byte for byte; its files are what is served, and no target is asked.
func TestAReadyDriveIsUsedAsItIs(t *testing.T) {
	own, err := seed.FromObject(map[string]any{"user_data": "of the drive", "vendor_data": map[string]any{"nova": "said"}}, seed.Input{UUID: "u", Name: "by nova"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := own.Drive()
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fetched++; _, _ = io.WriteString(w, text) }))
	defer s.Close()
	for name, drive := range map[string]string{"base64": text, "a URL": s.URL + "/drive"} {
		v := newTarget(t)
		w := deployWorld(t, drive, asking(t, true, v))
		if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
			t.Fatalf("%s: %s: %s", name, n.ProvisionState, n.LastError)
		}
		i, kept := w.kept()
		if w.drive != text || len(v.questions()) != 0 || i == nil || !i.Answers.Empty() {
			t.Fatalf("%s: the machine got %d bytes, targets were asked %d times", name, len(w.drive), len(v.questions()))
		}
		if got := page(t, kept, "/openstack/latest/user_data"); got != "of the drive" {
			t.Errorf("%s: user data %q", name, got)
		}
		if got := page(t, kept, "/openstack/latest/vendor_data2.json"); !strings.Contains(got, "nova") {
			t.Errorf("%s: vendor data %s", name, got)
		}
		if req, any := w.keptRequest(); !any || req.UserData.Expose() != "of the drive" || !slices.Equal(req.BootRoles, []string{"member", "mail"}) {
			t.Errorf("%s: nothing is kept for a rebuild", name)
		}
	}
	if fetched != 1 {
		t.Errorf("the drive was fetched %d times", fetched)
	}
}

// TestADriveThatCannotBeRead is given to the machine; what is served is what we know ourselves.
func TestADriveThatCannotBeRead(t *testing.T) {
	w := deployWorld(t, "aGVsbG8=", nil)
	if n := w.deploy(metal.EventDeploy, "{}"); n.ProvisionState != metal.Active || w.drive != "aGVsbG8=" {
		t.Fatalf("%s: %s; drive %q", n.ProvisionState, n.LastError, w.drive)
	}
	if _, s := w.kept(); s == nil || !strings.Contains(page(t, s, "/openstack/latest/meta_data.json"), w.node.UUID) {
		t.Error("nothing is served")
	}
	if !strings.Contains(w.whys(), "its files cannot be served") {
		t.Errorf("nobody is told:\n%s", w.whys())
	}
}

// TestWhoGetsADrive: where one was given, unless the node or the operator says otherwise. What is served is there in each case,
// and for machines that only seem to be deployed, too.
func TestWhoGetsADrive(t *testing.T) {
	for name, row := range map[string]struct {
		drive, wish any
		force       bool
		format      string
		fake        bool
		written     bool
	}{
		"given":                         {drive: maps.Clone(parts), written: true},
		"given, as vfat":                {drive: maps.Clone(parts), format: seed.FormatVFAT, written: true},
		"none given":                    {},
		"none given, the operator's":    {force: true, written: true},
		"none given, the node's wish":   {wish: "true", written: true},
		"given and not wanted":          {drive: maps.Clone(parts), wish: "false"},
		"the operator's and not wanted": {force: true, wish: false},
		"a machine that is not written": {drive: maps.Clone(parts), fake: true},
	} {
		w := deployWorld(t, row.drive, asking(t, true, newTarget(t)))
		w.tune = func(c *Config) { c.ForceConfigDrive, c.DriveFormat = row.force, row.format }
		if row.wish != nil {
			w.node.InstanceInfo = w.node.InstanceInfo.With("config_drive", row.wish)
		}
		if row.fake {
			w.node.Interfaces["deploy"] = "fake"
		}
		w.save()
		if n := w.deploy(metal.EventDeploy, askedBy); n.ProvisionState != metal.Active {
			t.Fatalf("%s: %s: %s", name, n.ProvisionState, n.LastError)
		}
		if row.written {
			if drive, err := seed.FromDrive(w.drive); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if _, has := drive.File(seed.VendorData2); !has {
				t.Errorf("%s: the drive lacks vendordata", name)
			}
		}
		if (w.drive != "") != row.written {
			t.Errorf("%s: the drive has %d bytes", name, len(w.drive))
		}
		if _, s := w.kept(); s == nil || !strings.Contains(page(t, s, "/openstack/latest/vendor_data2.json"), "number") {
			t.Errorf("%s: nothing is served", name)
		}
	}
}

// TestWhereAnInstanceIs: at the addresses of its network data, and at those that the network service gives its NICs.
func TestWhereAnInstanceIs(t *testing.T) { onEach(t, testWhereAnInstanceIs) }

func testWhereAnInstanceIs(t *testing.T) {
	w := deployWorld(t, map[string]any{"network_data": map[string]any{"links": []any{map[string]any{"id": "eno1", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:0A"}},
		"networks": []any{map[string]any{"id": "n0", "network_id": "n0", "link": "eno1", "type": "ipv4", "ip_address": "192.0.2.10", "netmask": "255.255.255.0"},
			map[string]any{"id": "n1", "network_id": "n1", "link": "eno1", "type": "ipv4", "ip_address": "169.254.0.5", "netmask": "255.255.0.0"}}, "services": []any{}}}, nil)
	w.wire(journeys[2])
	w.wires.leased = "192.0.2.77"
	w.deploy(metal.EventDeploy, "{}")
	at := func() string {
		var out []string
		err := w.db.Read(t.Context(), func(tx *store.Tx) error {
			all, err := tx.InstanceAddresses(w.node.ID)
			for _, a := range all {
				out = append(out, cmp.Or(a.MAC, "-")+" "+a.Address.String()+" "+a.Source)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	if got, want := at(), "52:54:00:00:00:01 192.0.2.77 network service, 52:54:00:00:00:0a 192.0.2.10 network_data"; w.node.ProvisionState != metal.Active || got != want {
		t.Errorf("%s, known at %s, want %s", w.node.ProvisionState, got, want)
	}
	w.ask(metal.PlanTearDown, metal.EventDelete, "{}")
	w.run(w.conductor("c1", nil))
	if i, _ := w.kept(); i != nil || at() != "" {
		t.Errorf("after a tear down it is known at %s", at())
	}
}

// TestAnInstanceIsToldItsNetwork: what the network service knows of its VIF, where neither the request nor the node says otherwise.
func TestAnInstanceIsToldItsNetwork(t *testing.T) {
	vif := seed.VIF{ID: testVIF, On: "22222222-2222-4222-8222-222222222222", NetworkID: "net", MTU: 1442,
		Subnets: []seed.Subnet{{Address: netip.MustParsePrefix("192.0.2.20/24"), Gateway: netip.MustParseAddr("192.0.2.1")}}}
	own := map[string]any{"links": []any{map[string]any{"id": "own", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:0a"}}, "networks": []any{}, "services": []any{}}
	for name, row := range map[string]struct {
		drive  any
		node   map[string]any
		vifs   []seed.VIF
		err    error
		has    string // what its network data has; "": there is none
		warned bool
	}{
		"nobody says":        {vifs: []seed.VIF{vif}, has: `"192.0.2.20"`},
		"the request not":    {drive: maps.Clone(parts), vifs: []seed.VIF{vif}, has: `"mtu":1442`},
		"the request does":   {drive: map[string]any{"network_data": own}, vifs: []seed.VIF{vif}, has: `"own"`},
		"the request: none":  {drive: map[string]any{"network_data": nil}, vifs: []seed.VIF{vif}},
		"the node does":      {node: own, vifs: []seed.VIF{vif}, has: `"own"`},
		"nothing is known":   {},
		"a VIF that is gone": {err: fault.New(fault.Invalid, "Neutron has no port x"), warned: true},
		"a VIF on nothing":   {vifs: []seed.VIF{{ID: "x", On: "nowhere", Subnets: vif.Subnets}}, warned: true},
	} {
		w := deployWorld(t, row.drive, nil)
		w.wire(journeys[2])
		w.wires.described, w.wires.undescribed = row.vifs, row.err
		if row.node != nil {
			w.node.NetworkData = row.node
			w.save()
		}
		if n := w.deploy(metal.EventDeploy, "{}"); n.ProvisionState != metal.Active {
			t.Fatalf("%s: %s: %s", name, n.ProvisionState, n.LastError)
		}
		_, s := w.kept()
		raw, has := s.File(seed.NetworkData)
		if has != (row.has != "") || !strings.Contains(strings.ReplaceAll(string(raw), ": ", ":"), row.has) {
			t.Errorf("%s: it is told %s", name, raw)
		}
		if warned := strings.Contains(w.whys(), "told nothing of its network"); warned != row.warned {
			t.Errorf("%s: the history warns: %v", name, warned)
		}
	}
}

// TestOneAnswerSurvivesDeath kills the conductor at every save of a deployment, also between a target's answer and its record:
// another may be asked for then, but one alone is used, on the drive and for what is served.
func TestOneAnswerSurvivesDeath(t *testing.T) { onEach(t, testOneAnswerSurvivesDeath) }

func testOneAnswerSurvivesDeath(t *testing.T) {
	var p deathPlaces
	twice := 0
	p.each(t, func() map[string]int {
		v := newTarget(t)
		w := deployWorld(t, maps.Clone(parts), asking(t, true, v))
		defer w.close()
		w.heir = p.mortal
		w.ask(metal.PlanDeploy, metal.EventDeploy, askedBy)
		w.run(w.conductor("c1", p.mortal()))
		w.node, _ = w.state()
		_, s := w.kept()
		if w.node.ProvisionState != metal.Active || s == nil {
			t.Fatalf("%s: %s: %s", p.label(), w.node.ProvisionState, w.node.LastError)
		}
		drive, err := seed.FromDrive(w.drive)
		if err != nil {
			t.Fatalf("%s: %v", p.label(), err)
		}
		served := page(t, s, "/openstack/latest/vendor_data2.json")
		for _, version := range sinceVendorData2() {
			if got := page(t, drive, "/openstack/"+version+"/vendor_data2.json"); got != served {
				t.Errorf("%s: the drive says %s, what is served %s", p.label(), got, served)
			}
		}
		lost := strings.Contains(p.label(), "before prepare metadata (2)") || strings.Contains(p.label(), "before build config drive (1)")
		if n := len(v.questions()); n > 2 || n == 2 && !lost {
			t.Errorf("%s: asked %d times", p.label(), n)
		} else if n == 2 {
			twice++
		}
		return nil
	})
	if twice == 0 {
		t.Errorf("nobody died between an answer and its record; places: %v", p.all)
	}
}

// TestNobodyFailsWhoWasNotAsked: a conductor that ends while a target thinks leaves the step to the next.
func TestNobodyFailsWhoWasNotAsked(t *testing.T) {
	v := newTarget(t)
	w := deployWorld(t, nil, asking(t, true, v))
	ctx, end := context.WithCancel(t.Context())
	v.onAsk = end
	v.says = func(w http.ResponseWriter) bool {
		if len(v.asked) == 1 {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	w.ask(metal.PlanDeploy, metal.EventDeploy, askedBy)
	c := w.conductor("c1", nil)
	for ctx.Err() == nil {
		if _, err := c.WorkOne(ctx); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	w.write(func(tx *store.Tx) error { return tx.DropLeases("c1") })
	w.run(w.conductor("successor", nil))
	if n, _ := w.state(); n.ProvisionState != metal.Active || len(v.questions()) != 2 {
		t.Errorf("%s: %s; asked %d times", n.ProvisionState, n.LastError, len(v.questions()))
	}
}

// TestNetworkDataOfAnotherForm: what only an operator's own schema allows stays with the ramdisk, and fails no deployment.
func TestNetworkDataOfAnotherForm(t *testing.T) {
	link := map[string]any{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}
	for _, row := range []struct {
		link map[string]any
		want bool
	}{{link, true}, {map[string]any{"wire": "red"}, false}} {
		n := &metal.Node{UUID: "u", NetworkData: map[string]any{"links": []any{row.link}}}
		in := defaultsFor(n, metal.BootFor{})
		if s, err := seed.Render(in); err != nil || slices.Contains(s.Names(), seed.NetworkData) != row.want {
			t.Errorf("%v: files %v, %v", row.link, s.Names(), err)
		}
	}
}
