package api

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"ingot/internal/courier"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// sshKey is a public key as authorized_keys has it.
func sshKey(t testing.TB, comment string) string {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + comment
}

// rescueRig has a node whose rescue interface works, a conductor that finds nothing wrong, and a courier.
func rescueRig(t *testing.T, answers bool) (*rig, *courier.Courier) {
	t.Helper()
	r := newRig(t)
	keep := courier.New(courier.Defaults())
	r.s.KeepSecrets(ops.Keeper{Courier: keep, Server: "a1"})
	if answers {
		storetest.Answer(t, r.db, metal.PlanCheckRescue)
	}
	r.write(func(tx *store.Tx) error {
		return tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "fake-hardware", Interfaces: map[string][]string{"power": {"fake"}, "rescue": {"fake", "no-rescue"}}}})
	})
	return r, keep
}

// TestRescueRefusals: each is 400 before a conductor is asked, changes nothing, keeps nothing and repeats nothing.
func TestRescueRefusals(t *testing.T) {
	r, keep := rescueRig(t, false) // a question that was asked would be 503
	key := sshKey(t, "")
	_, private, _ := ed25519.GenerateKey(nil)
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	quoted := func(s string) string { j, _ := json.Marshal(s); return string(j) }
	long := strings.Repeat("hunter2x", 129)
	for i, c := range []struct{ args, says string }{
		{``, "non-empty rescue_password is required"},
		{`"rescue_password": null`, "non-empty rescue_password is required"},
		{`"rescue_password": ""`, "non-empty rescue_password is required"},
		{`"rescue_password": " \t "`, "non-empty rescue_password is required"},
		{`"rescue_password": "", "rescue_ssh_keys": [` + quoted(key) + `]`, "non-empty rescue_password is required"},
		{`"rescue_password": ` + quoted(long), "has 1032 bytes; at most 1024"},
		{`"rescue_password": "hunter2x\u0000"`, "line end or a NUL"},
		{`"rescue_password": "hunter2x\n"`, "line end or a NUL"},
		{"\"rescue_password\": \"hunter2x\xff\"", "is not UTF-8"},
		{`"rescue_password": 12345`, "must be a string"},
		{`"rescue_password": {"hunter2x": "hunter2x"}`, "must be a string"},
		{`"rescue_password": "hunter2x`, "not valid JSON, at byte"},
		{`"rescue_password": hunter2x`, "not valid JSON, at byte"},
		{`"Rescue_password": "hunter2x"`, "Unexpected arguments: Rescue_password"},
		{`"rescue_password": "hunter2x", "rescue_callback_timeout": -1`, "whole number of seconds"},
		{`"rescue_password": "hunter2x", "rescue_callback_timeout": 1.5`, "whole number of seconds"},
		{`"rescue_password": "hunter2x", "rescue_callback_timeout": 99999999`, "whole number of seconds"},
		{`"rescue_password": "hunter2x", "configdrive": "aGk="`, "only supported when"},
		{`"rescue_ssh_keys": []`, "non-empty rescue_password is required"},
		{`"rescue_ssh_keys": "x"`, "must be an array"},
		{`"rescue_ssh_keys": [5]`, "key 1 must be a string"},
		{`"rescue_ssh_keys": ["ssh-ed25519 nokey"]`, "key 1 is no public SSH key"},
		{`"rescue_ssh_keys": [` + quoted(key+"\n"+key) + `]`, "more than one line"},
		{`"rescue_ssh_keys": [` + quoted(`command="rm -rf /" `+key) + `]`, "options before it"},
		{`"rescue_ssh_keys": [` + quoted("cert-authority "+key) + `]`, "options before it"},
		{`"rescue_ssh_keys": [` + quoted(key) + `, ` + quoted(string(pem.EncodeToMemory(block))) + `]`, "key 2 is a private key"},
		{`"rescue_ssh_keys": [` + quoted(key+" "+strings.Repeat("c", 9000)) + `]`, "at most 8192"},
		{`"rescue_ssh_keys": [` + strings.TrimSuffix(strings.Repeat(quoted(key)+",", 33), ",") + `]`, "33 keys; at most 32"},
	} {
		name := fmt.Sprintf("n%d", i)
		id := r.node(name)
		r.force(id, func(n *metal.Node) {
			n.ProvisionState, n.Interfaces = metal.Active, map[string]string{"rescue": "fake", "power": "fake"}
		})
		body := `{"target": "rescue"}`
		if c.args != "" {
			body = `{"target": "rescue", ` + c.args + `}`
		}
		a := r.do(put, "/v1/nodes/"+name+"/states/provision", 80, body).want(t, 400, c.says)
		if strings.Contains(string(a.body), "hunter2x") {
			t.Errorf("%s: the answer repeats it: %s", c.says, a.body)
		}
		r.do(get, "/v1/nodes/"+name, 80, nil).want(t, 200, `"provision_state":"active"`, `"last_error":null`)
	}
	for _, c := range []struct{ verb, args, says string }{
		{"rebuild", `"rescue_password": "hunter2x"`, "rescue_password is only valid"},
		{"deleted", `"rescue_ssh_keys": [` + quoted(key) + `]`, "rescue_ssh_keys is only valid"},
		{"deleted", `"rescue_callback_timeout": 5`, "rescue_callback_timeout is only valid"},
	} {
		r.do(put, "/v1/nodes/n0/states/provision", 80, `{"target": "`+c.verb+`", `+c.args+`}`).want(t, 400, c.says)
	}
	r.do(put, "/v1/nodes/n0/states/provision?target=rescue&rescue_password=hunter2x", 80, nil).want(t, 400, "in the body")
	r.force("n0", func(n *metal.Node) { n.Maintenance = true })
	r.do(put, "/v1/nodes/n0/states/provision", 80, `{"target": "rescue", "rescue_password": "hunter2x"}`).want(t, 400, "maintenance mode")
	r.force("n0", func(n *metal.Node) { n.Maintenance, n.Interfaces["rescue"] = false, "no-rescue" })
	r.do(put, "/v1/nodes/n0/states/provision", 80, `{"target": "rescue", "rescue_password": "hunter2x"}`).want(t, 400, "does not support rescue")
	if left := keep.Operations(); len(left) != 0 {
		t.Errorf("values are kept for %v", left)
	}
	if strings.Contains(r.log.String(), "hunter2x") {
		t.Error("a log line holds the password")
	}
}

// TestRescueAccepted: by password, by keys, by both; every state a rescue may begin in.
func TestRescueAccepted(t *testing.T) {
	r, keep := rescueRig(t, true)
	one, two := sshKey(t, " admin@desk"), sshKey(t, "")
	for i, state := range []metal.State{metal.Active, metal.Rescue, metal.RescueFailed, metal.UnrescueFailed, metal.ServiceFailed} {
		for k, args := range []string{`"rescue_password": "hunter2\u0078"`, fmt.Sprintf(`"rescue_ssh_keys": [%q, %q], "rescue_callback_timeout": "0"`, one, two),
			fmt.Sprintf(`"rescue_password": "hunter2x", "rescue_ssh_keys": [%q], "rescue_callback_timeout": 600`, one)} {
			name := fmt.Sprintf("n%d-%d", i, k)
			id := r.node(name)
			r.force(id, func(n *metal.Node) {
				n.ProvisionState, n.Interfaces = state, map[string]string{"rescue": "fake", "power": "fake"}
			})
			r.do(put, "/v1/nodes/"+name+"/states/provision", 38, `{"target": "rescue", `+args+`}`).want(t, 202)
			r.do(get, "/v1/nodes/"+name, 38, nil).want(t, 200, `"provision_state":"rescuing"`, `"target_provision_state":"rescue"`)
		}
	}
	if kept := len(keep.Operations()); kept != 10 {
		t.Errorf("%d hashes are kept, want one for each rescue with a password", kept)
	}
	for _, text := range []string{"hunter2x", "$6$"} {
		if strings.Contains(r.log.String(), text) {
			t.Errorf("a log line holds %q", text)
		}
	}
}

// TestTargetActiveInRescue: it ends the rescue for clients that know rescues, with nothing of a deployment.
func TestTargetActiveInRescue(t *testing.T) {
	r, _ := rescueRig(t, true)
	for i, state := range []metal.State{metal.Rescue, metal.RescueFailed, metal.UnrescueFailed} {
		name := fmt.Sprintf("n%d", i)
		id := r.node(name)
		r.force(id, func(n *metal.Node) {
			n.ProvisionState, n.Interfaces = state, map[string]string{"rescue": "fake", "power": "fake"}
		})
		path := "/v1/nodes/" + name + "/states/provision"
		r.do(put, path, 37, `{"target": "active"}`).want(t, 409, "1.38", string(state))
		r.do(put, path, 80, `{"target": "active", "configdrive": "aGk="}`).want(t, 400, "takes no config drive")
		r.do(put, path, 80, `{"target": "active", "deploy_steps": [{"interface": "bios", "step": "x", "args": {}, "priority": 5}]}`).want(t, 400, "takes no config drive and no steps")
		r.do(put, path, 38, `{"target": "active"}`).want(t, 202)
		r.do(get, "/v1/nodes/"+name, 38, nil).want(t, 200, `"provision_state":"unrescuing"`, `"target_provision_state":"active"`)
	}
}

// TestNoRescuePasswordInInstanceInfo: upstream keeps it there; here it is refused, by every way into instance_info.
func TestNoRescuePasswordInInstanceInfo(t *testing.T) {
	r, _ := rescueRig(t, true)
	for _, key := range []string{"rescue_password", "hashed_rescue_password"} {
		r.do(post, "/v1/nodes", 80, `{"driver": "fake-hardware", "instance_info": {"`+key+`": "hunter2x"}}`).want(t, 400, "states/provision", key)
		id := r.node("n-" + strings.ReplaceAll(key, "_", "-"))
		for _, body := range []string{`[{"op": "add", "path": "/instance_info/` + key + `", "value": "hunter2x"}]`,
			`[{"op": "add", "path": "/instance_info", "value": {"` + key + `": "hunter2x"}}]`,
			`[{"op": "replace", "path": "/instance_info", "value": {"` + key + `": null}}]`} {
			a := r.do(patch, "/v1/nodes/"+id, 80, body).want(t, 400, "states/provision", key)
			if strings.Contains(string(a.body), "hunter2x") {
				t.Errorf("the answer repeats it: %s", a.body)
			}
		}
		// What a database of before has may stay, and go.
		r.force(id, func(n *metal.Node) { n.InstanceInfo = n.InstanceInfo.With(key, "hunter2x") })
		r.do(patch, "/v1/nodes/"+id, 80, `[{"op": "add", "path": "/instance_info/image_source", "value": "http://x/y"}]`).want(t, 200)
		r.do(patch, "/v1/nodes/"+id, 80, `[{"op": "remove", "path": "/instance_info/`+key+`"}]`).want(t, 200)
	}
	if strings.Contains(r.log.String(), "hunter2x") {
		t.Error("a log line holds the password")
	}
}

// TestPasswordLeavesTheBody: after it was taken the body has none of it, however it was written, and is still good JSON.
func TestPasswordLeavesTheBody(t *testing.T) {
	for _, body := range []string{`{"target": "rescue", "rescue_password": "hunter2x", "configdrive": "hunter"}`, `{"rescue_password": "hunter2x", "rescue_password": "hunter2x"}`,
		`{"rescue_password": "\u0068unter2\u0078"}`, `{"rescue\u005fpassword": "hunter2x"}`, `{"rescue_password" : null, "rescue_password": "hunter2x"}`} {
		c := &call{body: []byte(body)}
		password, err := c.takePassword()
		if err != nil || string(password) != "hunter2x" {
			t.Errorf("%s: took %q, %v", body, password, err)
		}
		if bytes.Contains(c.body, []byte("nter2")) || !json.Valid(c.body) {
			t.Errorf("%s: left %s", body, c.body)
		}
	}
}

// TestPasswordIsUTF8: bytes that JSON replaces would make another password; it stays one that is refused, and leaves the body all the same.
func TestPasswordIsUTF8(t *testing.T) {
	c := &call{body: []byte("{\"rescue_password\": \"hunter\xff2x\"}")}
	if password, err := c.takePassword(); err != nil || utf8.Valid(password) {
		t.Errorf("took %q, %v", password, err)
	}
	if bytes.Contains(c.body, []byte("hunter")) {
		t.Errorf("left %q", c.body)
	}
	c = &call{body: []byte("{\"rescue_password\": \"\xc3\", \"rescue_password\": \"grün\"}")}
	if password, err := c.takePassword(); err != nil || string(password) != "grün" {
		t.Errorf("took %q, %v", password, err)
	}
}

// TestRescueInterfaceOfActive: what the refusals say works: in maintenance an active node gets another rescue interface.
func TestRescueInterfaceOfActive(t *testing.T) {
	r, _ := rescueRig(t, false)
	r.node("n0")
	r.force("n0", func(n *metal.Node) {
		n.ProvisionState, n.Interfaces = metal.Active, map[string]string{"power": "fake", "rescue": "no-rescue"}
	})
	r.do(put, "/v1/nodes/n0/states/provision", 80, `{"target": "rescue", "rescue_password": "hunter2x"}`).want(t, 400, "--maintenance on")
	change := `[{"op": "replace", "path": "/rescue_interface", "value": "fake"}]`
	r.do(patch, "/v1/nodes/n0", 80, change).want(t, 409, "except in maintenance", "--maintenance off")
	r.do(put, "/v1/nodes/n0/maintenance", 80, `{}`).want(t, 202)
	r.do(patch, "/v1/nodes/n0", 80, change).want(t, 200, `"rescue_interface":"fake"`)
	r.do(del, "/v1/nodes/n0/maintenance", 80, nil).want(t, 202)
}

// FuzzRescueKey: whatever a caller sends is either refused or one line of a plain key that reads the same again.
func FuzzRescueKey(f *testing.F) {
	for _, line := range []string{sshKey(f, " a b"), `no-pty,command="x" ` + sshKey(f, ""), "ssh-rsa AAAA", "", "\x00", "ssh-ed25519-cert-v01@openssh.com AAAA x"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		key, err := ParseRescueKey(line)
		if err != nil {
			return
		}
		again, err := ParseRescueKey(key)
		if err != nil || again != key || strings.ContainsAny(key, "\r\n\x00") {
			t.Errorf("%q reads as %q, and that as %q, %v", line, key, again, err)
		}
	})
}

// FuzzTakePassword: no body makes it panic, and what it leaves is JSON if it was.
func FuzzTakePassword(f *testing.F) {
	f.Add([]byte(`{"rescue_password": "hunter2x"}`))
	f.Add([]byte(`{"rescue_password": "\ud800\n", "rescue_password": 5}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		valid := json.Valid(body)
		c := &call{body: bytes.Clone(body)}
		if _, err := c.takePassword(); err == nil && valid != json.Valid(c.body) {
			t.Errorf("%q became %q", body, c.body)
		}
	})
}
