package rescue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/agentapi"
)

const (
	sha512  = "$6$rounds=1000$abcdefgh$0123456789012345678901234567890123456789012345678901234567890123456789012345678901234X"
	sha256  = "$5$abcdefgh$0123456789012345678901234567890123456789./X"
	yescrpt = "$y$j9T$abcdefghijklmnopqrstu/$0123456789012345678901234567890123456789./X"
	key     = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA somebody"
)

// host is a ramdisk in a folder.
type host struct {
	Host
	t    *testing.T
	ran  []string
	fail string // the program that fails
	log  strings.Builder
}

func newHost(t *testing.T, files map[string]string) *host {
	h := &host{t: t}
	all := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\nsudo:x:27:\n",
		"etc/shadow": "root:*:1::::::\nnobody:!:1::::::", // its last line has no end
	}
	for name, text := range files {
		all[name] = text
	}
	h.Root = t.TempDir()
	for name, text := range all {
		h.put(name, text)
	}
	h.Log = slog.New(slog.NewTextHandler(&h.log, nil))
	h.Run = func(_ context.Context, program string, args ...string) error {
		h.ran = append(h.ran, strings.Join(append([]string{program}, args...), " "))
		if program == h.fail && args[0] != "stop" {
			return errors.New(program + " says no")
		}
		if program == "useradd" {
			h.put("etc/passwd", all["etc/passwd"]+rescueLine())
			h.put("etc/shadow", h.text("etc/shadow")+"\nrescue:!:20000:0:99999:7:::\n")
		}
		return nil
	}
	return h
}

// rescueLine is of the user that runs the test: files can be given to nobody else.
func rescueLine() string {
	return fmt.Sprintf("rescue:x:%d:%d::/home/rescue:/bin/bash\n", os.Getuid(), os.Getgid())
}

func (h *host) put(name, text string) {
	h.t.Helper()
	at := filepath.Join(h.Root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) text(name string) string {
	h.t.Helper()
	data, err := os.ReadFile(filepath.Join(h.Root, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func (h *host) mode(name string) os.FileMode {
	h.t.Helper()
	s, err := os.Stat(filepath.Join(h.Root, name))
	if err != nil {
		h.t.Fatal(err)
	}
	return s.Mode().Perm()
}

// holding lists the files that hold a text.
func (h *host) holding(text string) (names []string) {
	h.t.Helper()
	err := filepath.WalkDir(h.Root, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if strings.Contains(string(data), text) {
				rel, _ := filepath.Rel(h.Root, name)
				names = append(names, rel)
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return names
}

func ourImage() map[string]string {
	return map[string]string{"etc/passwd": rescueLine(), "etc/shadow": "root:*:1::::::\nrescue:!:1::::::\nlast:!:1::::::\n", "usr/lib/systemd/system/" + target: ""}
}

func TestHandedOver(t *testing.T) {
	h := newHost(t, ourImage())
	if h.Handed() {
		t.Fatal("handed over before")
	}
	data := json.RawMessage(`{"links":[],"networks":[]}`)
	err := h.Finalize(t.Context(), agentapi.FinalizeRescue{RescuePassword: sha512, Hashed: true, SSHKeys: []string{key, key + "2"}, NetworkData: data})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.text("etc/shadow"), "root:*:1::::::\nlast:!:1::::::\nrescue:"+sha512+"::0:99999:7:::\n"; got != want {
		t.Errorf("shadow is\n%s\nwant\n%s", got, want)
	}
	if h.mode("etc/shadow") != 0o600 || h.mode("home/rescue/.ssh") != 0o700 || h.mode("home/rescue/.ssh/authorized_keys") != 0o600 || h.mode("run/ingot-agent") != 0o700 {
		t.Error("modes", h.mode("etc/shadow"), h.mode("home/rescue/.ssh"), h.mode("home/rescue/.ssh/authorized_keys"), h.mode("run/ingot-agent"))
	}
	if got := h.text("home/rescue/.ssh/authorized_keys"); got != key+"\n"+key+"2\n" {
		t.Error(got)
	}
	if got := strings.Join(h.ran, "; "); got != "systemctl start ingot-rescue.target" || !h.Handed() {
		t.Error(got)
	}
	if got, err := h.NetworkData(); err != nil || string(got) != string(data) {
		t.Errorf("%s %v", got, err)
	}
	if where := h.holding(sha512); fmt.Sprint(where) != "[etc/shadow]" || strings.Contains(h.log.String(), sha512) {
		t.Errorf("the hash is in %v, log %s", where, h.log.String())
	}
	if left, err := filepath.Glob(filepath.Join(h.Root, "etc/.ingot-*")); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
	// Once more, with a password alone: the keys of before are gone.
	if err := h.Finalize(t.Context(), agentapi.FinalizeRescue{RescuePassword: yescrpt, Hashed: true}); err != nil {
		t.Fatal(err)
	}
	if len(h.holding(key)) != 0 || strings.Count(h.text("etc/shadow"), "rescue:") != 1 {
		t.Error("what was before is still there")
	}
}

func TestAnImageWithoutTheUser(t *testing.T) {
	h := newHost(t, map[string]string{"run/systemd/system/" + target: "", "etc/sudoers.d/README": ""})
	if err := h.Finalize(t.Context(), agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true, SSHKeys: []string{key}}); err != nil {
		t.Fatal(err)
	}
	if h.ran[0] != "useradd -m -s /bin/bash -G sudo rescue" || h.mode("etc/sudoers.d/ingot-rescue") != 0o440 {
		t.Error(h.ran)
	}
	if !strings.HasSuffix(h.text("etc/shadow"), "\nrescue:*::0:99999:7:::\n") || !strings.Contains(h.text("etc/shadow"), "nobody:!:1::::::\n") {
		t.Error(h.text("etc/shadow"))
	}
}

func TestAnImageOfUpstreamsLayout(t *testing.T) {
	h := newHost(t, map[string]string{"etc/passwd": rescueLine(), "etc/ipa-rescue-config/.keep": ""})
	if err := h.Finalize(t.Context(), agentapi.FinalizeRescue{RescuePassword: sha256, Hashed: true}); err != nil {
		t.Fatal(err)
	}
	if h.text("etc/ipa-rescue-config/ipa-rescue-password") != sha256 || h.mode("etc/ipa-rescue-config/ipa-rescue-password") != 0o600 || len(h.ran) != 0 || !h.Handed() {
		t.Error(h.ran)
	}
}

func TestARescueThatFailsIsTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		image map[string]string
		fail  string
		words string
	}{
		"sshd does not start": {ourImage(), "systemctl", "start ingot-rescue.target: systemctl says no"},
		"no user":             {map[string]string{"etc/systemd/system/" + target: ""}, "useradd", "make the user rescue: useradd says no"},
		"an odd user":         {map[string]string{"etc/systemd/system/" + target: "", "etc/passwd": "rescue:x:y:0::/home:\n"}, "", "is no user's"},
		"nobody could log in": {nil, "", "lets nobody log in"},
	} {
		h := newHost(t, c.image)
		h.fail = c.fail
		err := h.Finalize(t.Context(), agentapi.FinalizeRescue{RescuePassword: sha512, Hashed: true, SSHKeys: []string{key}})
		var failure *agentapi.CommandError
		if !errors.As(err, &failure) || failure.Type != "CommandExecutionError" || !strings.Contains(failure.Details, c.words) {
			t.Errorf("%s: %v", name, err)
		}
		if h.Handed() || len(h.holding(sha512)) != 0 || len(h.holding(key)) != 0 || strings.Contains(h.log.String()+err.Error(), sha512) {
			t.Errorf("%s: something is left: %v %s", name, h.holding(sha512), h.log.String())
		}
	}
}

func TestParametersThatAreRefused(t *testing.T) {
	many := make([]string, maxKeys+1)
	for i := range many {
		many[i] = key
	}
	for _, c := range []struct {
		p    agentapi.FinalizeRescue
		want string
	}{
		{agentapi.FinalizeRescue{RescuePassword: "clear text"}, "hashed must be true"},
		{agentapi.FinalizeRescue{RescuePassword: "clear text", Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: "", Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: "!", Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: "$1$abcdefgh$0123456789012345678901", Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: sha512 + "\n", Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: sha512 + "\nroot::::::::", Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: "a:b\n" + sha512, Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: strings.Replace(sha256, "abc", "a:c", 1), Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: "$6$" + strings.Repeat("a", 1<<20), Hashed: true}, "crypt's forms"},
		{agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true}, "neither a password nor a key"},
		{agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true, SSHKeys: many}, "more than 64"},
		{agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true, SSHKeys: []string{key, " "}}, "key 2: it is empty"},
		{agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true, SSHKeys: []string{key + "\n" + key}}, "key 1: it is more than one line"},
		{agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true, SSHKeys: []string{key + "\xff"}}, "more than one line"},
		{agentapi.FinalizeRescue{RescuePassword: "*", Hashed: true, SSHKeys: []string{strings.Repeat("x", maxKey+1)}}, "longer than"},
		{agentapi.FinalizeRescue{RescuePassword: sha256, Hashed: true, NetworkData: json.RawMessage(`{"links":[{"id":"x","type":"token-ring"}]}`)}, "token-ring"},
	} {
		h := newHost(t, ourImage())
		err := h.Finalize(t.Context(), c.p)
		var failure *agentapi.CommandError
		if !errors.As(err, &failure) || failure.Type != "InvalidCommandParamsError" || !strings.Contains(failure.Details, c.want) {
			t.Errorf("%.40q: %v, want %s", c.p.RescuePassword, err, c.want)
		}
		if p := c.p.RescuePassword; len(p) > 2 && strings.Contains(err.Error(), p) {
			t.Errorf("the error repeats %q", p)
		}
		if len(h.ran) != 0 || h.Handed() {
			t.Error("something was done")
		}
	}
}

func FuzzFinalize(f *testing.F) {
	f.Add([]byte(`{"rescue_password":"` + sha512 + `","hashed":true,"ssh_keys":["` + key + `"],"network_data":{}}`))
	f.Add([]byte(`{"rescue_password":"*","hashed":true,"ssh_keys":["a\nb"]}`))
	f.Add([]byte(`{"rescue_password":"` + yescrpt + `","hashed":true,"network_data":{"links":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p agentapi.FinalizeRescue
		if json.Unmarshal(data, &p) != nil || Check(p) != nil {
			return
		}
		if strings.ContainsAny(p.RescuePassword, ":\n\r\x00 ") || len(p.RescuePassword) > 256 {
			t.Errorf("%q would break shadow", p.RescuePassword)
		}
		for _, k := range p.SSHKeys {
			if strings.ContainsAny(k, "\n\r\x00") {
				t.Errorf("%q is more than a line", k)
			}
		}
	})
}
