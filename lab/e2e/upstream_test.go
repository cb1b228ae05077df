package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// upstream gives a simulated machine whose node boots an ISO of the operator's with upstream's agent.
func upstream(t *testing.T, options ...string) (*machine, *node) {
	t.Helper()
	s := serve(t, "127.0.0.1", options...)
	s.start() // without a ramdisk of its own
	m := newMachine(t)
	iso, err := json.Marshal(ipaISO{APIURL: "https://" + s.agent, CA: s.agentCA()})
	if err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "ipa.iso", time.Time{}, bytes.NewReader(iso))
	}))
	t.Cleanup(files.Close)
	n := s.enrol(t, m.reach, map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "first"}}})
	n.set("/driver_info/deploy_iso", files.URL+"/ipa.iso")
	return m, n
}

// agentCA is what agents trust the agents' door by.
func (s *server) agentCA() string {
	s.t.Helper()
	ca, err := os.ReadFile(filepath.Join(s.data, "agent-door.crt"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(ca)
}

func (n *node) set(path string, v any) {
	n.t.Helper()
	if _, err := n.UpdateNode(n.t.Context(), n.name, []wire.PatchOp{client.Set(path, v)}, false); err != nil {
		n.t.Fatal(err)
	}
}

// TestUpstreamsAgent: a node whose ramdisk has an ironic-python-agent goes the whole way and back.
func TestUpstreamsAgent(t *testing.T) {
	beside(t)
	m, n := upstream(t)
	n.available(soon)
	m.clean()
	i := serveImages(t, "127.0.0.1", wholeDisk(8*mib), 0)
	for _, drive := range []any{nil, map[string]any{"user_data": "#cloud-config\n"}} { // a machine without a seed, and one with
		n.wants(i.url+"good", sum(i.good))
		if err := n.SetProvision(t.Context(), n.name, client.Provision{Verb: metal.VerbActive, ConfigDrive: drive}); err != nil {
			t.Fatal(err)
		}
		if said := n.rests(metal.Active, soon); said != "" {
			t.Fatal(said)
		}
		if disk := m.disk(); !bytes.HasPrefix(disk, i.good) {
			t.Error("what is on the disk is not the image")
		} else if got := bytes.Contains(disk, []byte("#cloud-config")); got != (drive != nil) {
			t.Errorf("the config drive is on the disk: %v", got)
		}
		n.ends(metal.VerbDeleted, metal.Available, soon)
		m.clean()
		n.nothingLeft()
	}
	// It would write a compressed image as it is: that is refused while the machine is still as it was.
	boots := len(m.Boots())
	packed := squeezed(i.good)
	i.file("packed", func() io.ReadSeeker { return bytes.NewReader(packed) })
	n.wants(i.url+"packed", sum(packed))
	n.failed(n.ends(metal.VerbActive, metal.DeployFailed, soon), "check image", "compressed", "deploy_iso")
	if len(m.Boots()) != boots {
		t.Error("the machine was touched")
	}
}

// TestUpstreamsAgentFails: its words reach last_error, and its logs are kept.
func TestUpstreamsAgentFails(t *testing.T) {
	beside(t)
	m, n := upstream(t)
	n.available(soon)
	i := serveImages(t, "127.0.0.1", wholeDisk(8*mib), 0)
	n.wants(i.url+"good", sum([]byte("another image")))
	n.failed(n.ends(metal.VerbActive, metal.DeployFailed, soon), "writing the image", "Failed to verify image checksum")
	n.nothingLeft()
	if m.Powered() {
		t.Error("the machine was left running")
	}
}

// TestUpstreamsTokenIsGivenOnce: a second agent on the same boot finds the token gone, and the machine is given up.
func TestUpstreamsTokenIsGivenOnce(t *testing.T) {
	beside(t)
	m, n := upstream(t, "conductor.clean_callback_timeout=5")
	n.ends(metal.VerbManage, metal.Manageable, soon)
	m.silence(true) // the machine boots, and something else asks in its name
	n.ask(metal.VerbProvide)
	thief := &ipa{m: m, minor: 115, api: "https://" + n.agent, http: trusting(n.agentCA())}
	await(t, soon, "the thief's lookup", func() (bool, error) { return thief.lookup() == nil, nil })
	if second := (&ipa{m: m, minor: 115, api: thief.api, http: thief.http}); second.lookup() == nil {
		t.Error("the token was given twice")
	}
	n.failed(n.rests(metal.CleanFailed, soon), "wait for agent")
}

func squeezed(image []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(image) // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}
