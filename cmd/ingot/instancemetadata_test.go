package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/lab/vendordata"
)

// TestInstanceMetadata follows what an instance reads at first boot: the drive that its machine's agent is given, what the service
// answers its address, and what the command shows whoever may see it are the same bytes; nobody else gets them, and after the
// instance they are gone.
func TestInstanceMetadata(t *testing.T) {
	g := newMetadataRig(t)
	user := plant("user data").value
	g.verb("one", object{"target": "active", "configdrive": g.drive("one", "web1", firstAddress, "#cloud-config\n# "+user+"\n")}, "active")

	t.Run("one question to each target", func(t *testing.T) { g.askedOnce(t, user) })
	t.Run("the same bytes by every way", func(t *testing.T) { g.sameBytes(t, "one", firstAddress) })
	t.Run("nobody else", func(t *testing.T) {
		for _, path := range []string{"/openstack/latest/meta_data.json", "/openstack/latest/user_data", "/openstack/latest/vendor_data2.json", "/latest/user-data", "/latest/meta-data/hostname"} {
			if status, body := g.asks(nobodys, path); status != http.StatusNotFound || strings.Contains(body, mark) {
				t.Errorf("%s for another address: %d %s", path, status, body)
			}
		}
	})
	t.Run("a rebuild", func(t *testing.T) {
		g.verb("one", object{"target": "rebuild"}, "active")
		g.sameBytes(t, "one", firstAddress)
	})
	g.verb("one", object{"target": "deleted"}, "available")
	if status, body := g.asks(firstAddress, "/openstack/latest/meta_data.json"); status != http.StatusNotFound {
		t.Errorf("after the instance: %d %s", status, body)
	}
	unseen(t, "the log", []byte(g.logged()))
	for _, look := range [][]string{{"node", "show", "one"}, {"node", "events", "one"}, {"node", "why", "one"}} {
		unseen(t, strings.Join(look, " "), []byte(g.r.ingot(t, look...)))
	}
}

// askedOnce sees that the target was asked once for a deploy, and what it was told.
func (g *metadataRig) askedOnce(t *testing.T, user string) {
	asked := g.target.questions()
	if len(asked) != 1 {
		t.Fatalf("the target was asked %d times: %v", len(asked), asked)
	}
	q := asked[0].Question
	if q.InstanceID != g.r.uuid(t, "one") || q.Hostname != "web1" || q.Metadata["rack"] != "7" || !strings.Contains(asked[0].Body, `"image-id"`) || !strings.Contains(asked[0].Body, `"boot-roles"`) {
		t.Errorf("the target was told %+v", q)
	}
	if q.UserData == nil || *q.UserData != base64.StdEncoding.EncodeToString([]byte("#cloud-config\n# "+user+"\n")) {
		t.Error("the target was told other user data, or not as base64")
	}
}

// sameBytes compares the drive, the service and the command.
func (g *metadataRig) sameBytes(t *testing.T, name, address string) {
	drive, files := g.given(name), g.files(address)
	for _, want := range []string{"/openstack/latest/meta_data.json", "/openstack/latest/user_data", "/openstack/latest/network_data.json", "/openstack/latest/vendor_data2.json",
		"/openstack/2012-08-10/meta_data.json", "/openstack/2025-04-04/vendor_data2.json"} {
		if !slices.Contains(files, want) {
			t.Errorf("the service does not list %s: %v", want, files)
		}
	}
	shown := map[string]string{}
	for _, path := range files {
		if strings.HasSuffix(path, "/password") {
			continue
		}
		body := g.gets(address, path)
		page, err := drive.Get(path)
		if err != nil || string(page.Content) != body {
			t.Errorf("%s: the drive has %q (%v), the service says %q", path, page.Content, err, body)
		}
		shown[path] = body
	}
	for _, path := range []string{"/openstack/latest/meta_data.json", "/openstack/latest/user_data", "/openstack/latest/network_data.json", "/openstack/latest/vendor_data2.json"} {
		if got := g.r.ingot(t, "node", "metadata", name, path); strings.TrimSuffix(got, "\n") != strings.TrimSuffix(shown[path], "\n") {
			t.Errorf("ingot node metadata %s %s: %q, the service says %q", name, path, got, shown[path])
		}
	}
	var vendor struct {
		Vault struct{ Token string }
	}
	if err := json.Unmarshal([]byte(shown["/openstack/latest/vendor_data2.json"]), &vendor); err != nil || vendor.Vault.Token != g.target.secret.value {
		t.Errorf("vendor_data2.json: %v %v", vendor, err)
	}
}

// TestRequirement17NothingOfTheFormer gives the address of an instance to the next one on another machine, while somebody
// asks from it all the time: what it is told is never the former's once that was given back.
func TestRequirement17NothingOfTheFormer(t *testing.T) {
	g := newMetadataRig(t)
	former, next := plant("user data of the former").value, plant("user data of the next").value
	g.verb("one", object{"target": "active", "configdrive": g.drive("one", "former", firstAddress, former)}, "active")
	if got := g.gets(firstAddress, "/openstack/latest/user_data"); got != former {
		t.Fatalf("the former is told %q", got)
	}
	g.gets(firstAddress, "/openstack/latest/vendor_data2.json")

	g.r.call(t, "PUT", "/v1/nodes/one/states/provision", object{"target": "deleted"}, 202)
	quit, asking := make(chan struct{}), sync.WaitGroup{}
	var told int
	asking.Go(func() {
		for {
			for _, path := range []string{"/openstack/latest/user_data", "/openstack/latest/meta_data.json", "/openstack/latest/vendor_data2.json", "/latest/meta-data/hostname"} {
				status, body := g.asks(firstAddress, path)
				if told++; strings.Contains(body, former) || strings.Contains(body, "former") || strings.Contains(body, g.r.uuid(t, "one")) {
					t.Errorf("%s after the instance was given back: %d %q", path, status, body)
				}
			}
			select {
			case <-quit:
				return
			default:
			}
		}
	})
	g.verb("two", object{"target": "active", "configdrive": g.drive("two", "next", firstAddress, next)}, "active")
	close(quit)
	asking.Wait()
	if got := g.gets(firstAddress, "/openstack/latest/user_data"); got != next {
		t.Errorf("the next is told %q", got)
	}
	if got := g.gets(firstAddress, "/latest/meta-data/hostname"); got != "next" {
		t.Errorf("the next is the host %q", got)
	}
	t.Logf("asked %d times meanwhile", told)
}

// TestRequirement06AFailingTargetFailsTheDeploy: where failures are fatal, a target that is out of order fails the deploy by its name
// before anything is powered, with a config drive and without; once the instance runs the service answers 503 for what it has not,
// and the node shows it.
func TestRequirement06AFailingTargetFailsTheDeploy(t *testing.T) {
	g := newMetadataRig(t)
	g.serve("vendordata_dynamic_failure_fatal = true")
	g.target.fails(t, true)
	boots := len(g.machines["one"].Boots())
	for name, body := range map[string]object{
		"with a drive":    {"target": "active", "configdrive": g.drive("one", "web1", firstAddress, "#cloud-config\n")},
		"without a drive": {"target": "active"},
	} {
		why := g.fails("one", body)
		if !strings.Contains(why, "vault") || !strings.Contains(why, "500") {
			t.Errorf("%s: last_error does not name the target and what it answered: %s", name, why)
		}
		unseen(t, "last_error", []byte(why))
		if n := len(g.machines["one"].Boots()); n != boots {
			t.Errorf("%s: the machine was booted", name)
		}
		if status, said := g.asks(firstAddress, "/openstack/latest/meta_data.json"); status != http.StatusNotFound {
			t.Errorf("%s: an instance that failed is told %d %s", name, status, said)
		}
	}

	g.target.fails(t, false)
	g.target.SetCaching(vendordata.Caching{CacheControl: "no-store"})
	g.verb("one", object{"target": "active", "configdrive": g.drive("one", "web1", firstAddress, "#cloud-config\n")}, "active")
	g.gets(firstAddress, "/openstack/latest/vendor_data2.json")
	g.target.fails(t, true)
	if status, said := g.asks(firstAddress, "/openstack/latest/vendor_data2.json"); status != http.StatusServiceUnavailable || strings.Contains(said, mark) {
		t.Errorf("a target that fails later: %d %s", status, said)
	}
	g.gets(firstAddress, "/openstack/latest/meta_data.json")
	if state := g.state("one"); state != "active" {
		t.Errorf("the node is %q", state)
	}
	if told := g.told("one"); !strings.Contains(told, "vault") {
		t.Errorf("no event tells of the target: %s", told)
	}
	if shown := g.r.ingot(t, "node", "show", "one"); !strings.Contains(shown, "vault") {
		t.Errorf("ingot node show does not tell of the target:\n%s", shown)
	}
	unseen(t, "the log", []byte(g.logged()))
}

// fails sends a verb that is to fail, and gives why.
func (g *metadataRig) fails(name string, body object) (why string) {
	g.t.Helper()
	g.r.call(g.t, "PUT", "/v1/nodes/"+name+"/states/provision", body, 202)
	g.r.untilField(g.t, name, "provision_state", "deploy failed")
	g.r.untilField(g.t, name, "reservation", nil)
	var n struct {
		LastError string `json:"last_error"`
	}
	if err := json.Unmarshal(g.r.call(g.t, "GET", "/v1/nodes/"+name, nil, 200), &n); err != nil {
		g.t.Fatal(err)
	}
	return n.LastError
}

// TestRequirement07AFailingTargetIsLeftOut: where failures are not fatal, the deploy goes on with {} for the target, and an event
// says so; the others are there.
func TestRequirement07AFailingTargetIsLeftOut(t *testing.T) {
	g := newMetadataRig(t)
	other := newVendorTarget(t, "shop")
	g.serve("vendordata_dynamic_targets = " + g.target.entry() + "," + other.entry())
	g.target.fails(t, true)
	g.verb("one", object{"target": "active", "configdrive": g.drive("one", "web1", firstAddress, "#cloud-config\n")}, "active")
	var vendor map[string]map[string]any
	text := g.gets(firstAddress, "/openstack/latest/vendor_data2.json")
	if err := json.Unmarshal([]byte(text), &vendor); err != nil || vendor["vault"] == nil || len(vendor["vault"]) > 0 || vendor["shop"]["token"] != other.secret.value {
		t.Errorf("vendor_data2.json: %s %v", text, err)
	}
	if told := g.told("one"); !strings.Contains(told, "vault") || strings.Contains(told, "shop") {
		t.Errorf("no event tells of the target alone: %s", told)
	}
}
