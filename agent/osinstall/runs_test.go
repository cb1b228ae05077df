package osinstall_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

func TestInstallUntrusted(t *testing.T) {
	s := setUp(t)
	d := definition(t, map[string]string{"untrusted/create": `echo "installs $INSTANCE_NAME"; cat "${0%/*}/../data/motd"; printf done > "$DISK_0_PATH"; ls -ld . "$0" >&2`,
		"data/motd": "hello\n"})
	bundle := d.Bundle
	r, err := s.Install(t.Context(), work(d), s.tell)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Scripts) != 1 || r.Package != nil {
		t.Fatalf("%+v", r)
	}
	one := r.Scripts[0]
	if one.Name != "untrusted/create" || !one.Confined || one.Code != 0 || len(one.Lines) != 4 || one.Lines[0] != "installs node-1" || one.Lines[1] != "hello" || !strings.HasPrefix(one.Lines[2]+one.Lines[3], "-r-xr-xr-x") && !strings.HasPrefix(one.Lines[2], "dr-xr-xr-x") {
		t.Errorf("%+v", one)
	}
	if !strings.HasPrefix(s.read(t, "disk"), "done") {
		t.Error("the disk was not written")
	}
	ran, _ := s.processes.Ran("untrusted/create")
	if got := strings.Join(ran.Devices, " "); got != s.disk+" "+s.disk+"-2" || ran.Network == nil || !ran.Confined {
		t.Errorf("devices %s, network %v", got, ran.Network)
	}
	if len(bytes.Trim(bundle, "\x00")) > 0 {
		t.Error("the bundle is left in memory")
	}
	kept := s.Logs.Files()
	if len(kept) != 1 || kept[0].Name != "os_install-01-untrusted_create" || !strings.Contains(string(kept[0].Data), "installs node-1\nhello\n") {
		t.Errorf("%v", kept)
	}
}

func TestWhatIsRefusedBeforeAnythingRuns(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*stage, *agentapi.OSWork)
		words  string
	}{
		"other files":          {func(_ *stage, w *agentapi.OSWork) { w.Definition.Digest = "sha256:00" }, "and not sha256:00, which was asked for"},
		"no tar file":          {func(_ *stage, w *agentapi.OSWork) { w.Definition.Bundle = []byte("x") }, "OS definition"},
		"untrusted":            {func(_ *stage, w *agentapi.OSWork) { w.Definition.Trusted = false }, "runs only if the definition is trusted"},
		"untrusted and unsafe": {func(_ *stage, w *agentapi.OSWork) { w.Definition.Trusted, w.Definition.Unsafe = false, true }, "never run unconfined"},
		"undeclared": {func(_ *stage, w *agentapi.OSWork) {
			w.Parameters = []agentapi.OSParameter{{Name: "other", Value: "PRIV-1", Class: "private"}}
		}, "has no parameters other"},
		"in two classes": {func(_ *stage, w *agentapi.OSWork) {
			w.Parameters = []agentapi.OSParameter{{Name: "token", Value: "PRIV-1", Class: "private"}, {Name: "token", Value: "SECR-1", Class: "secret"}}
		}, "token (private, secret)"},
		"of a class that is not known": {func(_ *stage, w *agentapi.OSWork) {
			w.Parameters = []agentapi.OSParameter{{Name: "token", Value: "PRIV-1", Class: "hidden"}}
		}, `"token" has a class`},
		"a variant": {func(_ *stage, w *agentapi.OSWork) { w.Definition.Variant = "big" }, "has no variants"},
		"no disk": {func(s *stage, _ *agentapi.OSWork) {
			s.Disks = func(context.Context) ([]osdef.Disk, error) { return nil, nil }
		}, "no disk"},
		"no runner": {func(s *stage, _ *agentapi.OSWork) { s.Runner = nil }, "runs no scripts"},
		"nothing":   {func(_ *stage, w *agentapi.OSWork) { w.Definition = nil }, "nothing to install"},
		"a zero byte": {func(_ *stage, w *agentapi.OSWork) {
			w.Parameters = []agentapi.OSParameter{{Name: "token", Value: "a\x00b", Class: "secret"}}
		}, "zero byte"},
		"a package and nobody to apply it": {func(_ *stage, w *agentapi.OSWork) {
			w.Definition, w.Package = nil, &agentapi.OSPackage{URL: "https://files.example.org/p.tgz"}
		}, "cannot lay"},
	} {
		t.Run(name, func(t *testing.T) {
			s := setUp(t)
			w := work(trusted(definition(t, map[string]string{"create": "exit 0"})))
			c.change(s, &w)
			_, err := s.Install(t.Context(), w, s.tell)
			if text := fails(t, err, c.words); strings.Contains(text, "PRIV-") || strings.Contains(text, "SECR-") {
				t.Errorf("%q has a value", text)
			}
			if _, ran := s.processes.Ran("create"); ran {
				t.Error("it ran")
			}
		})
	}
}

func TestREQ03TheEnvironmentIsExactlyThatOfTheDefinition(t *testing.T) {
	s := setUp(t)
	t.Setenv("CANARY_OF_THE_AGENT", "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(s.dir, "given")
	odd := "two\nlines 'with' \"quotes\" = and $(dollars) `ticks` \\ ü ☃ \x7f\t"
	w := work(definition(t, map[string]string{"untrusted/create": "#!" + self + " play\n" + to + "\n"}),
		agentapi.OSParameter{Name: "color", Value: "green", Class: "public"}, agentapi.OSParameter{Name: "token", Value: odd, Class: "private"},
		agentapi.OSParameter{Name: "long-one", Value: strings.Repeat("x=", 30<<10), Class: "secret"})
	w.Reinstall = true
	if _, err := s.Install(t.Context(), w, s.tell); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"PATH=/sbin:/bin:/usr/sbin:/usr/bin", "OS_API_VERSION=20", "OS_NAME=thing", "DEBUG_LEVEL=0", "OS_VARIANT=",
		"OSP_COLOR=green", "OSP_LONG_ONE=" + strings.Repeat("x=", 30<<10), "OSP_TOKEN=" + odd,
		"INSTANCE_OS=thing", "INSTANCE_NAME=node-1", "INSTANCE_UUID=11111111-2222-3333-4444-555555555555", "INSTANCE_CTIME=100", "INSTANCE_MTIME=200",
		"INSTANCE_PRIMARY_NODE=node-1", "INSTANCE_SECONDARY_NODES=", "HYPERVISOR=baremetal", "DISK_COUNT=2",
		"DISK_0_PATH=" + s.disk, "DISK_0_SIZE=10240", "DISK_0_ACCESS=rw", "DISK_0_BACKEND_TYPE=block",
		"DISK_1_PATH=" + s.disk + "-2", "DISK_1_SIZE=20480", "DISK_1_ACCESS=rw", "DISK_1_BACKEND_TYPE=block",
		"NIC_COUNT=1", "NIC_0_MAC=52:54:00:00:00:01", "NIC_0_UUID=nic-uuid", "NIC_0_MODE=ext", "NIC_0_LINK=physnet", "NIC_0_NETWORK_NAME=tenants", "NIC_0_NETWORK_SUBNET=10.0.0.0/24",
		"INSTANCE_REINSTALL=1", "",
	}, "\x00")
	if got := s.read(t, "given.env"); got != want {
		t.Errorf("the environment is\n%q, want\n%q", got, want)
	}
	if got := s.read(t, "given.args"); got != "" {
		t.Errorf("create has the arguments %q", got)
	}
	if dir := s.read(t, "given.dir"); dir != s.folder("untrusted/create") {
		t.Errorf("it began in %s", dir)
	}
}

func TestREQ03VerifyIsToldOfParametersAlone(t *testing.T) {
	s := setUp(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.Disks = func(context.Context) ([]osdef.Disk, error) { return nil, errors.New("disks were looked for") }
	d := trusted(definition(t, map[string]string{"create": "exit 1", "verify": "#!" + self + " play\n" + filepath.Join(s.dir, "given") + "\n"}))
	d.Unsafe = true
	r, err := s.Verify(t.Context(), work(d, agentapi.OSParameter{Name: "token", Value: "v", Class: "secret"}), s.tell)
	if err != nil || len(r.Scripts) != 1 || !r.Scripts[0].Confined {
		t.Fatalf("%+v %v", r, err)
	}
	if got := s.read(t, "given.env"); got != "PATH=/sbin:/bin:/usr/sbin:/usr/bin\x00OS_API_VERSION=20\x00OS_NAME=thing\x00DEBUG_LEVEL=0\x00OS_VARIANT=\x00OSP_TOKEN=v\x00" {
		t.Errorf("%q", got)
	}
	if got := s.read(t, "given.args"); got != "parameters" {
		t.Errorf("%q", got)
	}
	if ran, _ := s.processes.Ran("verify"); len(ran.Devices) > 0 || ran.Network != nil || !ran.Confined {
		t.Errorf("verify has %+v", ran)
	}
	r, err = s.Verify(t.Context(), work(definition(t, map[string]string{"ganeti_api_version": "15\n", "untrusted/create": "exit 0"})), s.tell)
	if err != nil || len(r.Scripts) > 0 {
		t.Errorf("without a verify: %+v %v", r, err)
	}
}

func TestREQ19BothPartsRunAndShareThePipe(t *testing.T) {
	s := setUp(t)
	// Neither could go on without the other.
	d := trusted(definition(t, map[string]string{
		"create":           "set -e\n" + here(t, "post", s.at(host, "write"), "from the host") + "\n" + here(t, "get", s.at(host, "read")) + "\n" + here(t, "get", s.at(host, "os/parameters/token")),
		"untrusted/create": "set -e\n" + here(t, "get", s.at(guest, "read")) + "\n" + here(t, "post", s.at(guest, "write"), "from the guest"),
	}))
	r, err := s.Install(t.Context(), work(d, agentapi.OSParameter{Name: "token", Value: "canary", Class: "secret"}), s.tell)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Scripts) != 2 || r.Scripts[0].Confined || !r.Scripts[1].Confined {
		t.Fatalf("%+v", r)
	}
	if host, guest := fmt.Sprint(r.Scripts[0].Lines), fmt.Sprint(r.Scripts[1].Lines); host != "[from the guest******]" || guest != "[from the host]" {
		t.Errorf("%s %s", host, guest)
	}
	for _, end := range []string{host, guest} {
		if c, err := net.Dial("tcp", s.read(t, "channel-"+end)); err == nil {
			c.Close()
			t.Error("the channel is served after the end")
		}
	}
}

// What a definition needs of its host is laid there if it is trusted, before its scripts, and not for verify. Devices settle first.
func TestWhatATrustedDefinitionNeedsOfItsHost(t *testing.T) {
	s := setUp(t)
	var did []string
	s.Settle = func(context.Context) error { did = append(did, "settle"); return errors.New("too slow") }
	s.Lay = func(files []osdef.File) error {
		did = append(did, "lay")
		return os.WriteFile(filepath.Join(s.dir, "laid"), files[0].Content, 0o600)
	}
	files := map[string]string{"create": "cat " + filepath.Join(s.dir, "laid"), "untrusted/create": "exit 0"}
	if r, err := s.Install(t.Context(), work(trusted(definition(t, files))), s.tell); err != nil || fmt.Sprint(did) != "[settle lay]" || fmt.Sprint(r.Scripts[0].Lines) != "[#!/bin/sh cat "+filepath.Join(s.dir, "laid")+"]" {
		t.Errorf("%v %+v %v", did, r, err)
	}
	if _, err := s.Install(t.Context(), work(definition(t, files)), s.tell); err != nil || fmt.Sprint(did) != "[settle lay settle]" {
		t.Errorf("untrusted: %v %v", did, err)
	}
	if _, err := s.Verify(t.Context(), work(trusted(definition(t, files))), s.tell); err != nil || fmt.Sprint(did) != "[settle lay settle]" {
		t.Errorf("verify: %v %v", did, err)
	}
}

// A trusted definition whose safe installation is waived runs everything with the ramdisk's rights.
func TestUnsafe(t *testing.T) {
	s := setUp(t)
	s.Host = nil
	d := trusted(definition(t, map[string]string{"create_untrusted": "echo ran"}))
	d.Unsafe = true
	r, err := s.Install(t.Context(), work(d), s.tell)
	if err != nil || r.Scripts[0].Confined {
		t.Errorf("%+v %v", r, err)
	}
	// With two parts there is one end of the channel, and it is listened at once.
	listened := 0
	s.Host = func(ctx context.Context) (net.Listener, error) {
		listened++
		return s.processes.Host(ctx)
	}
	d = trusted(definition(t, map[string]string{"create": here(t, "get", s.at(host, "os/parameters/color")), "untrusted/create": here(t, "get", s.at(host, "os/parameters/color"))}))
	d.Unsafe = true
	r, err = s.Install(t.Context(), work(d, agentapi.OSParameter{Name: "color", Value: "green", Class: "public"}), s.tell)
	if err != nil || listened != 1 || fmt.Sprint(r.Scripts[0].Lines, r.Scripts[1].Lines) != "[green] [green]" {
		t.Errorf("%+v %v, %d listeners", r, err, listened)
	}
}

func TestThePackageComesAfterTheScripts(t *testing.T) {
	s := setUp(t)
	s.Overlay = func(_ context.Context, p agentapi.OSPackage, disks []string, progress func(agentapi.Progress)) (agentapi.OSOverlay, error) {
		if !strings.HasPrefix(s.read(t, "disk"), "done") || len(disks) == 0 || disks[0] != s.disk || p.Password != "canary-of-package" {
			t.Errorf("%s %s", disks, s.read(t, "disk")[:4])
		}
		progress(agentapi.Progress{What: "fetch package", Done: 1, Total: 4, Unit: "bytes"})
		return agentapi.OSOverlay{Files: 3}, nil
	}
	w := work(definition(t, map[string]string{"untrusted/create": `printf done > "$DISK_0_PATH"`}))
	w.Package = &agentapi.OSPackage{URL: "https://files.example.org/p.tgz", User: "somebody", Password: "canary-of-package"}
	r, err := s.Install(t.Context(), w, s.tell)
	if err != nil || r.Package == nil || r.Package.Files != 3 || len(r.Scripts) != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if far := s.told[len(s.told)-2]; far.What != "package: fetch package" || far.Done != 25 {
		t.Errorf("%+v", far)
	}
	s.Overlay = func(context.Context, agentapi.OSPackage, []string, func(agentapi.Progress)) (agentapi.OSOverlay, error) {
		return agentapi.OSOverlay{}, errors.New("it is not applied: somebody:canary-of-package was refused, c29tZWJvZHk6Y2FuYXJ5LW9mLXBhY2thZ2U= too")
	}
	w.Definition = nil
	_, err = s.Install(t.Context(), w, s.tell)
	if text := fails(t, err, "it is not applied: ****** was refused"); strings.Contains(text, "c29tZ") {
		t.Error(text)
	}
}
