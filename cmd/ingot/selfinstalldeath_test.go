package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/lab/bmc"
)

// selfInstaller is a machine that installs itself, and the server of it, which is killed and started anew where it was. The installer is
// played: what boots the virtual CD asks the metadata service from the machine's address, and says how far it is, whatever server is there.
type selfInstaller struct {
	*killable
	machine *bmc.FakeMachine
	bmc     *bmc.BMC
	door    string // of the metadata service
	iso     []byte
	files   *httptest.Server

	mu    sync.Mutex
	given []string // guarded by mu; what each installer that ended was told as root-key, of one life
}

// selfAddress is the machine's on its user's network.
const selfAddress = "127.66.0.20"

func newSelfInstaller(t *testing.T) *selfInstaller {
	t.Helper()
	door, err := free()
	if err != nil {
		t.Fatal(err)
	}
	s := &selfInstaller{machine: bmc.NewFakeMachine(), door: door, iso: bytes.Repeat([]byte("an installer "), 10_000)}
	s.killable = newKillable(t, "deploy", slices.Concat(doomedEnv, []string{"INGOT_METADATA__LISTEN=" + door, "INGOT_METADATA__RATE_LIMIT=0", "INGOT_METADATA__TRUST_USER_ADDRESSES=true"}), nil)
	s.files = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.iso))
	}))
	t.Cleanup(s.files.Close)
	if s.bmc, err = bmc.New(bmc.Config{User: "admin", Password: playedPassword, Machine: s.machine, MediaDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if err := s.bmc.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.bmc.Close() })
	r := s.front
	r.call(t, "POST", "/v1/nodes", object{"driver": "redfish", "name": "inmate", "deploy_interface": "os-install", "boot_interface": "redfish-virtual-media", "network_interface": "noop",
		"driver_info": object{"redfish_address": s.bmc.URL(), "redfish_username": "admin", "redfish_password": playedPassword, "redfish_certificate_fingerprint": s.bmc.Fingerprint()},
		"properties":  object{"cpu_arch": "x86_64", "capabilities": "boot_mode:uefi"}}, 201)
	mac := s.machine.MACs()[0]
	r.call(t, "POST", "/v1/ports", object{"node_uuid": r.uuid(t, "inmate"), "address": mac}, 201)
	r.call(t, "PATCH", "/v1/nodes/inmate", []any{object{"op": "add", "path": "/network_data", "value": object{"links": []any{object{"id": "l", "type": "phy", "ethernet_mac_address": mac}},
		"networks": []any{object{"id": "n", "type": "ipv4", "link": "l", "network_id": "n", "ip_address": selfAddress, "netmask": "255.255.255.0"}}, "services": []any{}}}}, 200)
	for _, step := range [][2]string{{"manage", "manageable"}, {"provide", "available"}} {
		r.call(t, "PUT", "/v1/nodes/inmate/states/provision", object{"target": step[0]}, 202)
		r.until(t, "inmate", step[1])
	}
	ctx, stop := context.WithCancel(t.Context())
	var runs sync.WaitGroup
	runs.Go(func() { s.runs(ctx) })
	t.Cleanup(func() {
		stop()
		runs.Wait()
		if t.Failed() {
			t.Logf("log of the last server:\n%.40000s", s.servers[len(s.servers)-1].log)
		}
	})
	return s
}

// runs is what happens on the machine until ctx ends: each boot from its CD is an installer of its own.
func (s *selfInstaller) runs(ctx context.Context) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for seen := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		boots := s.machine.Boots()
		if n := len(boots); n > seen {
			seen = n
			if last := boots[n-1]; last.First == "Cd" && last.Media != "" {
				s.installs(ctx, seen)
			}
		}
	}
}

// installs is one boot of the installer, which goes on until it has said its last word, or its machine is switched off.
func (s *selfInstaller) installs(ctx context.Context, boot int) {
	lives := func() bool { return ctx.Err() == nil && s.machine.Powered() && len(s.machine.Boots()) == boot }
	status, key := s.insists(lives, http.MethodGet, "os/parameters/root-key", "")
	if status == http.StatusGone { // its secret is lost: whoever lost it ends this
		return
	}
	if status == http.StatusNotFound {
		key = "none"
	}
	for percent := 20; percent < 100; percent += 40 {
		s.insists(lives, http.MethodPost, "write", fmt.Sprintf(`{"stage": "packages", "percent": %d}`, percent))
	}
	if !lives() {
		return
	}
	s.mu.Lock()
	s.given = append(s.given, key)
	s.mu.Unlock()
	s.insists(lives, http.MethodPost, "write", `{"final": true, "code": 0}`)
}

// insists asks until there is an answer that is one, or the installer lives no more: then the status is 0.
func (s *selfInstaller) insists(lives func() bool, method, path, body string) (int, string) {
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(selfAddress)}}
	c := &http.Client{Transport: &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for ; lives(); <-again.C {
		r, err := http.NewRequest(method, "http://"+s.door+"/ganeti/latest/"+path, strings.NewReader(body)) //nolint:noctx // it has a limit
		if err != nil {
			s.test.Error(err)
			return 0, ""
		}
		answer, err := c.Do(r)
		if err != nil {
			continue // no server, or not yet
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
			return answer.StatusCode, string(text)
		}
	}
	return 0, ""
}

// asking is the body of an installation.
func (s *selfInstaller) asking(kind has) object {
	body := object{"execution_mode": "self_install", "os_parameters": object{"mirror": "http://mirror.example"}}
	if kind != noValues {
		body["os_parameters_secret"] = object{"root-key": doomedKey}
	}
	return body
}

// life installs the machine, whoever dies on the way, and gives how that ended.
func (s *selfInstaller) life(dies death, kind has) (end string) {
	t := s.test
	t.Helper()
	if n := s.shown(); n.State != "available" {
		s.front.call(t, "PUT", "/v1/nodes/inmate/states/provision", object{"target": "deleted"}, 202)
		s.front.until(t, "inmate", "available")
	}
	info := object{"boot_iso": s.files.URL + "/installer.iso", "boot_iso_checksum": "sha256:" + sum256(s.iso)}
	s.front.call(t, "PATCH", "/v1/nodes/inmate", []any{object{"op": "add", "path": "/instance_info", "value": info}}, 200)
	s.fresh()
	s.arm(dies)
	n := s.brings("active", s.asking(kind), func() {})
	switch {
	case n.State == "active" && n.LastError == "":
		s.installed(dies.String(), kind)
	case n.State != "deploy failed" || kind == noValues || dies.who == "":
		t.Errorf("%s, %s: the node is %+v", dies, kind, n)
	default:
		if !strings.Contains(n.LastError, "root-key") || strings.Contains(n.LastError, "canary") {
			t.Errorf("%s: last_error does not ask for root-key, or has a value: %s", dies, n.LastError)
		}
		if power, inserted, cd := s.left(); power != "Off" || inserted || cd {
			t.Errorf("%s: after a failure it is %s, a medium is in its drive: %v, it boots from there: %v", dies, power, inserted, cd)
		}
		s.fresh()
		again := s.asking(kind)
		delete(again, "os_parameters")
		if n := s.brings("rebuild", again, func() {}); n.State != "active" || n.LastError != "" {
			t.Errorf("%s: with the secrets the node is %+v", dies, n)
		}
		s.installed(dies.String()+", and again", kind)
	}
	s.watching.Lock()
	defer s.watching.Unlock()
	if s.armed = false; dies.who != "" && !s.died {
		t.Errorf("%s: nobody died; saves: %v", dies, s.saves)
	}
	return n.State
}

func (s *selfInstaller) fresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = nil
}

// installed: the installer had what was asked for, and its machine runs from its disk, with nothing in the drive.
func (s *selfInstaller) installed(when string, kind has) {
	t := s.test
	t.Helper()
	want := "none"
	if kind != noValues {
		want = doomedKey
	}
	s.mu.Lock()
	given := slices.Clone(s.given)
	s.mu.Unlock()
	if len(given) == 0 || given[len(given)-1] != want {
		t.Errorf("%s: installers were given %q", when, given)
	}
	boots := s.machine.Boots()
	if last := boots[len(boots)-1]; last.First == "Cd" && last.Media != "" {
		t.Errorf("%s: it runs %+v", when, last)
	}
	if power, inserted, cd := s.left(); power != "On" || inserted || cd {
		t.Errorf("%s: it is %s, a medium is in its drive: %v, it boots from there: %v", when, power, inserted, cd)
	}
}

// left is how the BMC shows the machine: its power, whether there is something in its drive, and whether its next boot is from there.
func (s *selfInstaller) left() (power string, inserted, cd bool) {
	s.test.Helper()
	var system struct {
		PowerState string
		Boot       struct{ BootSourceOverrideEnabled, BootSourceOverrideTarget string }
	}
	var media struct{ Inserted bool }
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // G402: it is this test's own
	defer c.CloseIdleConnections()
	for path, into := range map[string]any{bmc.SystemPath: &system, bmc.MediaPath: &media} {
		r, err := http.NewRequestWithContext(s.test.Context(), http.MethodGet, s.bmc.URL()+path, nil)
		if err != nil {
			s.test.Fatal(err)
		}
		r.SetBasicAuth("admin", playedPassword)
		answer, err := c.Do(r)
		if err != nil {
			s.test.Fatal(err)
		}
		err = json.NewDecoder(answer.Body).Decode(into)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			s.test.Fatalf("GET %s: %d, %v", path, answer.StatusCode, err)
		}
	}
	return system.PowerState, media.Inserted, system.Boot.BootSourceOverrideTarget == "Cd" && system.Boot.BootSourceOverrideEnabled != "Disabled"
}

// quiet sees that no log of the server has a value.
func (s *selfInstaller) quiet() {
	for _, one := range s.servers {
		if text := one.log.String(); strings.Contains(text, "canary-of") || len(text) < 1000 {
			s.test.Errorf("a log shows a value, or nothing: %d bytes", len(text))
		}
	}
}

// TestREQ30AServerIsKilledWhileAMachineInstallsItself: the server dies before the installer has its secret, and when it needs none. It is
// completed, or the node asks for what was lost, with its machine off and nothing in its drive.
func TestREQ30AServerIsKilledWhileAMachineInstallsItself(t *testing.T) {
	s := newSelfInstaller(t)
	for _, l := range []struct {
		dying
		want string
	}{
		{dying{death{who: bothDie, at: "deploy/insert boot media", nth: 1}, withValues}, "deploy failed"},
		{dying{death{who: bothDie, at: "deploy/stop installer", nth: 1}, noValues}, "active"},
	} {
		if end := s.life(l.death, l.has); end != l.want {
			t.Errorf("%s: it ended in %s, want %s", l.dying, end, l.want)
		}
	}
	s.quiet()
}

// TestREQ30SelfInstallationsSurviveDeath: the one server dies in each step of an installation by the machine itself; with all of it at
// each save.
func TestREQ30SelfInstallationsSurviveDeath(t *testing.T) {
	full := deadly(t)
	var all []dying
	t.Run("calm", func(t *testing.T) {
		s := newSelfInstaller(t)
		for _, kind := range []has{withValues, noValues} {
			if end := s.life(death{}, kind); end != "active" {
				t.Fatalf("where nobody dies it ends in %s", end)
			}
			steps := map[string]bool{}
			for _, m := range moments(s.saves, full, func(at string, _ int) bool {
				step, _, _ := strings.Cut(at, " tried")
				step, _, _ = strings.Cut(step, " done")
				first := !steps[step]
				steps[step] = true
				return first
			}) {
				m.who = bothDie
				all = append(all, dying{m, kind})
			}
			if len(steps) < 15 {
				t.Errorf("only %d steps were seen: %v", len(steps), s.saves)
			}
		}
	})
	reap(t, all, newSelfInstaller, func(s *selfInstaller, one dying) (kind, end string) {
		return fmt.Sprintf("the server died, %s", one.has), s.life(one.death, one.has)
	}, (*selfInstaller).quiet)
}
