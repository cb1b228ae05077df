package main

import (
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostedMetadata is a server that conducts and a boot host, each a process of its own, of which the boot host alone serves instances.
type hostedMetadata struct {
	*running
	t    *testing.T
	host *running
	at   string   // where instances ask
	args []string // of the boot host
}

func newHostedMetadata(t *testing.T) *hostedMetadata {
	t.Helper()
	var at [4]string
	for i := range at {
		address, err := free()
		if err != nil {
			t.Fatal(err)
		}
		at[i] = address
	}
	dir := t.TempDir()
	m := &hostedMetadata{t: t, at: at[2], args: []string{"serve", "--data", "boot1", "--roles", "boot", "--boot-listen", at[3], "--peer-listen", at[1], "--metadata-listen", at[2]}}
	m.once(dir, "peer", "init", "--data", "one", "--name", "one", "--roles", "api,conductor,agent-api")
	if err := os.WriteFile(filepath.Join(dir, "one.conf"), []byte("[deploy]\nboot_hosts = boot1=https://"+at[1]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.running = serving(t, dir, "--data", "one", "--config", "one.conf", "--peer-listen", at[0])
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(m.once(dir, "peer", "invite", "boot1", "--data", "one", "--roles", "boot", "--url", "https://"+at[0])), 0o600); err != nil {
		t.Fatal(err)
	}
	m.once(dir, "peer", "join", "--data", "boot1", "--token-file", "token")
	m.startHost()
	return m
}

// once runs a command that ends.
func (m *hostedMetadata) once(dir string, args ...string) string {
	m.t.Helper()
	r := begin(m.t, dir, nil, args...)
	<-r.ended
	if !r.cmd.ProcessState.Success() {
		m.t.Fatalf("ingot %s: %s", strings.Join(args, " "), r.log)
	}
	return r.log.String()
}

func (m *hostedMetadata) startHost() {
	m.t.Helper()
	m.host = begin(m.t, m.dir, nil, m.args...)
	patiently(m.t, "the boot host to listen", func() bool {
		c, err := net.Dial("tcp", m.at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// asks asks as an instance.
func (m *hostedMetadata) asks(path string) (int, string) {
	m.t.Helper()
	res, err := http.Get("http://" + m.at + path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (m *hostedMetadata) reads(when, path, want string) {
	m.t.Helper()
	if code, got := m.asks(path); code != http.StatusOK || got != want {
		m.t.Errorf("%s: %s is answered %d %q, want %q\nthe boot host's log:\n%s\nthe server's:\n%s", when, path, code, got, want, m.host.log, m.log)
	}
}

func (m *hostedMetadata) provision(body map[string]any, until string) {
	m.t.Helper()
	m.call(m.t, http.MethodPut, "/v1/nodes/n1/states/provision", body, http.StatusAccepted)
	m.untilField(m.t, "n1", "provision_state", until)
}

// TestBootHostIsGivenMetadata: an instance reads from a boot host what the server shows, from its first question on, after a rebuild,
// after a death of the boot host, and not any more when it has ended; nothing of it is in the boot host's files.
func TestBootHostIsGivenMetadata(t *testing.T) {
	t.Parallel() // it mostly waits
	m := newHostedMetadata(t)
	m.call(t, http.MethodPost, "/v1/nodes", map[string]any{"name": "n1", "driver": "fake-hardware", "automated_clean": false, "network_data": map[string]any{
		"links":    []any{map[string]any{"id": "nic0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}},
		"networks": []any{map[string]any{"id": "net0", "type": "ipv4", "link": "nic0", "network_id": "n", "ip_address": "127.0.0.1", "netmask": "255.0.0.0"}},
		"services": []any{}}}, http.StatusCreated)
	m.provision(map[string]any{"target": "manage"}, "manageable")
	m.provision(map[string]any{"target": "provide"}, "available")
	drive := func(userData string) map[string]any {
		return map[string]any{"user_data": userData, "vendor_data": map[string]any{"given": "at the deploy"}}
	}
	const user, meta = "/openstack/latest/user_data", "/openstack/latest/meta_data.json"
	m.provision(map[string]any{"target": "active", "configdrive": drive("canary-one")}, "active")
	m.reads("deployed", user, "canary-one")
	m.reads("deployed", meta, m.ingot(t, "node", "metadata", "n1", meta))
	m.reads("deployed", "/openstack/latest/vendor_data2.json", m.ingot(t, "node", "metadata", "n1", "/openstack/latest/vendor_data2.json"))

	m.provision(map[string]any{"target": "rebuild", "configdrive": drive("canary-two")}, "active")
	m.reads("rebuilt", user, "canary-two")

	// It dies and forgets. The first question after that waits for a conductor.
	if err := m.host.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-m.host.ended
	m.startHost()
	m.reads("after a death of the boot host", user, "canary-two")

	// The machine runs a ramdisk of ours: nobody is served, until it runs its instance again.
	m.provision(map[string]any{"target": "rescue", "rescue_password": "canary-rescue"}, "rescue")
	patiently(t, "the boot host to serve a rescued machine nothing", func() bool { code, _ := m.asks(user); return code == http.StatusNotFound })
	m.provision(map[string]any{"target": "unrescue"}, "active")
	patiently(t, "the boot host to serve it again", func() bool { code, _ := m.asks(user); return code == http.StatusOK })

	m.provision(map[string]any{"target": "deleted"}, "available")
	if code, got := m.asks(user); code != http.StatusNotFound {
		t.Errorf("the instance has ended: %d %q", code, got)
	}
	err := filepath.WalkDir(filepath.Join(m.dir, "boot1"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), "canary") {
			t.Errorf("user data are in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if log := m.host.log.String(); strings.Contains(log, "canary") {
		t.Errorf("user data are in the log:\n%s", log)
	}
}
