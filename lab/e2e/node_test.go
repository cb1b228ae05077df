package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
	"ingot/lab/bmc"
)

// reach is how a BMC is reached.
type reach struct{ url, user, password, fingerprint string }

// node is a machine as the server knows it.
type node struct {
	*server
	t    *testing.T
	name string
	bmc  reach
}

// enrol makes a node and leaves it as it is then: in enroll.
func (s *server) enrol(t *testing.T, b reach, fields map[string]any) *node {
	t.Helper()
	return s.enrolAs(t, "n1", b, fields)
}

// enrolAs is enrol for a server with several nodes.
func (s *server) enrolAs(t *testing.T, name string, b reach, fields map[string]any) *node {
	t.Helper()
	all := map[string]any{"properties": map[string]any{"cpu_arch": "x86_64"}}
	for k, v := range fields {
		all[k] = v
	}
	_, err := s.CreateNode(t.Context(), client.NewNode{Name: name, Driver: "redfish", Fields: all, DriverInfo: secret.NewMap(map[string]any{
		"redfish_address": b.url, "redfish_username": b.user, "redfish_password": b.password, "redfish_certificate_fingerprint": b.fingerprint,
		// A busy host can starve an emulated timer in the moment the kernel tests it.
		"kernel_append_params": "no_timer_check"})})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{server: s, t: t, name: name, bmc: b}
	t.Cleanup(func() {
		if t.Failed() {
			n.tell()
		}
	})
	return n
}

// tell logs the node's history.
func (n *node) tell() {
	for _, e := range n.history() {
		n.t.Logf("%s %-10s %-20s %s", e.At.Format("15:04:05.000"), e.Kind, e.Step, e.Why)
	}
}

// history is nil if the server does not answer.
func (n *node) history() []metal.HistoryEvent {
	list, err := n.Events(context.Background(), n.name, "") // at the test's end too, when its own is over
	if err != nil {
		n.t.Logf("events: %v", err)
	}
	return list
}

// ask sends a verb.
func (n *node) ask(v metal.Verb) {
	n.t.Helper()
	if err := n.SetProvision(n.t.Context(), n.name, client.Provision{Verb: v}); err != nil {
		n.t.Fatalf("%s: %v", v, err)
	}
}

// ends asks for a verb and waits until the node rests, in the state that is wanted. The result is last_error.
func (n *node) ends(v metal.Verb, want metal.State, limit time.Duration) string {
	n.t.Helper()
	n.ask(v)
	return n.rests(want, limit)
}

// rests waits until nothing is under way and says what went wrong before.
func (n *node) rests(want metal.State, limit time.Duration) string {
	n.t.Helper()
	var now *client.States
	await(n.t, limit, fmt.Sprintf("node in %q", want), func() (_ bool, err error) {
		if now, err = n.States(n.t.Context(), n.name); err != nil {
			return false, err
		}
		kind := metal.States[now.ProvisionState].Kind
		return kind == metal.Stable || kind == metal.Failed, nil
	})
	if now.ProvisionState != want {
		n.t.Fatalf("the node is %q, not %q; last_error: %s", now.ProvisionState, want, now.LastError)
	}
	return now.LastError
}

// wants sets the image of the next deployment. sum is a SHA-256 in hex.
func (n *node) wants(url, sum string) {
	n.t.Helper()
	_, err := n.UpdateNode(n.t.Context(), n.name, []wire.PatchOp{client.Set("/instance_info", map[string]any{
		"image_source": url, "image_os_hash_algo": "sha256", "image_os_hash_value": sum})}, false)
	if err != nil {
		n.t.Fatal(err)
	}
}

// available takes a node from enroll to available.
func (n *node) available(limit time.Duration) {
	n.t.Helper()
	n.ends(metal.VerbManage, metal.Manageable, limit)
	n.ends(metal.VerbProvide, metal.Available, limit)
}

// failed sees that the last operation's end is told everywhere: its cause in last_error and in the events.
func (n *node) failed(lastError string, cause ...string) {
	n.t.Helper()
	if !contains(lastError, cause...) {
		n.t.Errorf("last_error does not say %q: %s", cause, lastError)
	}
	for _, e := range n.history() {
		if e.Severity == "ERROR" && contains(e.Why, cause...) {
			return
		}
	}
	n.t.Errorf("no event says %q", cause)
}

// nothingLeft sees that the machine is off and its drive empty, by asking the BMC.
func (n *node) nothingLeft() {
	n.t.Helper()
	var system struct{ PowerState string }
	var media struct {
		Inserted bool
		Image    *string
	}
	n.read(bmc.SystemPath, &system)
	n.read(bmc.MediaPath, &media)
	if system.PowerState != "Off" || media.Inserted || media.Image != nil {
		n.t.Errorf("left behind: power %s, in the drive %v", system.PowerState, media)
	}
}

// read asks the BMC, not the server.
func (n *node) read(path string, into any) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.bmc.url+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.SetBasicAuth(n.bmc.user, n.bmc.password)
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // an emulator on this host
	answer, err := c.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		n.t.Fatalf("%s: %s", path, answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		n.t.Fatal(err)
	}
}

// kept gives what the server keeps of the last failure: the agent's log and the console.
func (n *node) kept() (agent, console string) {
	n.t.Helper()
	logs, err := n.Logs(n.t.Context(), n.name)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, l := range slices.Backward(logs) { // the newest comes first, and so is taken last
		var text bytes.Buffer
		switch {
		case strings.HasPrefix(l.Name, "agent-") && strings.HasSuffix(l.Name, ".log"):
			err = n.LogData(n.t.Context(), n.name, l.Name, &text)
			agent = text.String()
		case strings.HasPrefix(l.Name, "console-"):
			err = n.LogData(n.t.Context(), n.name, l.Name, &text)
			console = text.String()
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
	return agent, console
}
