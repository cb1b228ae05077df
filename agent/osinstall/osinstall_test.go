package osinstall_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/agent/osinstall"
	"ingot/agent/osinstall/osinstalltest"
	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

// TestMain makes this program what scripts of these tests call, or are run by.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "play" {
		if err := play(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(9)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// play is a part of a script. As a script's interpreter it is given the script's path, which ends with the name of a part.
func play(args []string) error {
	switch {
	case filepath.IsAbs(args[0]): // a script that is run by this: it leaves what it was given where its second line says
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		env, err := os.ReadFile("/proc/self/environ")
		if err != nil {
			return err
		}
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		to := strings.TrimSpace(strings.SplitN(string(text), "\n", 3)[1])
		return errors.Join(os.WriteFile(to+".env", env, 0o600), os.WriteFile(to+".args", []byte(strings.Join(args[1:], " ")), 0o600), os.WriteFile(to+".dir", []byte(dir), 0o600))
	case args[0] == "get": // until there is something
		for {
			r, err := http.Get(args[1])
			if err != nil {
				return err
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Body.Close() != nil || r.StatusCode == http.StatusOK {
				fmt.Print(string(body))
				return err
			}
			if r.StatusCode != http.StatusNoContent {
				return fmt.Errorf("%s %s", r.Status, body)
			}
		}
	case args[0] == "post":
		r, err := http.Post(args[1], "", strings.NewReader(args[2]))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode >= 300 {
			return errors.New(r.Status)
		}
		return nil
	}
	return fmt.Errorf("there is no part %q", args)
}

// stage is an installer with a machine around it.
type stage struct {
	osinstall.Installer
	processes osinstalltest.Processes
	dir       string
	disk      string
	log       bytes.Buffer

	mu   sync.Mutex
	told []agentapi.Progress
}

func setUp(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir()}
	s.processes.Note = s.dir
	s.disk = filepath.Join(s.dir, "disk")
	if err := errors.Join(os.WriteFile(s.disk, make([]byte, 1<<20), 0o600), os.Mkdir(filepath.Join(s.dir, "tmp"), 0o700)); err != nil {
		t.Fatal(err)
	}
	s.Installer = osinstall.Installer{
		Runner: &s.processes, Temp: filepath.Join(s.dir, "tmp"), Logs: &osinstall.Logs{}, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Disks: func(context.Context) ([]osdef.Disk, error) {
			return []osdef.Disk{{Path: s.disk, Bytes: 10 << 30}, {Path: s.disk + "-2", Bytes: 20 << 30}}, nil
		},
		Host: s.processes.Host,
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(s.Temp)
		if err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	return s
}

// read is what scripts wrote into a file.
func (s *stage) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (s *stage) folder(script string) string {
	ran, _ := s.processes.Ran(script)
	return ran.Folder
}

func (s *stage) tell(p agentapi.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, p)
}

// here is how a script calls this program.
func here(t *testing.T, part string, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("'%s' play %s '%s'", self, part, strings.Join(args, "' '"))
}

// The ends of the channel.
const (
	guest = "guest"
	host  = "host"
)

// at is a path of the channel at one of its ends, for here.
func (s *stage) at(end, path string) string {
	return "http://'$(cat " + filepath.Join(s.dir, "channel-"+end) + ")'/ganeti/latest/" + path
}

// definition packs one of these files, beside what every definition must have. Scripts are shell scripts, if they do not say so themselves.
func definition(t *testing.T, scripts map[string]string) *agentapi.OSDefinition {
	t.Helper()
	files := map[string]string{"ganeti_api_version": "20\n", "parameters.list": "color of it\ntoken\nplace\nlong-one\n", "verify": "exit 0", "export": "exit 0", "import": "exit 0", "rename": "exit 0"}
	for name, text := range scripts {
		files[name] = text
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		mode := int64(0o644)
		switch filepath.Base(name) {
		case "create", "create_untrusted", "verify", "export", "import", "rename":
			mode = 0o755
			if !strings.HasPrefix(text, "#!") {
				text = "#!/bin/sh\n" + text
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	bundle, err := osdef.Read(&b, osdef.Usual)
	if err != nil {
		t.Fatal(err)
	}
	return &agentapi.OSDefinition{Name: "thing", Digest: bundle.Digest(), Bundle: bytes.Clone(bundle.Tar())}
}

func work(d *agentapi.OSDefinition, parameters ...agentapi.OSParameter) agentapi.OSWork {
	return agentapi.OSWork{Definition: d, Parameters: parameters, Machine: agentapi.OSMachine{Name: "node-1", UUID: "11111111-2222-3333-4444-555555555555", Created: 100, Modified: 200,
		NICs: []agentapi.OSNIC{{MAC: "52:54:00:00:00:01", UUID: "nic-uuid", Link: "physnet", Network: &agentapi.OSNetwork{Name: "tenants", Subnet: "10.0.0.0/24"}}}}}
}

func trusted(d *agentapi.OSDefinition) *agentapi.OSDefinition {
	d.Trusted = true
	return d
}

// fails sees that a command failed as the protocol has it, with these words.
func fails(t *testing.T, err error, words ...string) string {
	t.Helper()
	var c *agentapi.CommandError
	if !errors.As(err, &c) || c.Type != "OSInstallError" {
		t.Fatalf("it did not fail as commands do: %v", err)
	}
	for _, w := range words {
		if !strings.Contains(c.Details, w) {
			t.Errorf("%q lacks %q", c.Details, w)
		}
	}
	return c.Details
}

// partly is the result of a command that failed.
func partly(t *testing.T, err error) agentapi.OSResult {
	t.Helper()
	var f interface{ Result() any }
	if !errors.As(err, &f) {
		t.Fatalf("no result: %v", err)
	}
	return f.Result().(agentapi.OSResult)
}

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

func TestREQ17VerifySaysNo(t *testing.T) {
	s := setUp(t)
	d := definition(t, map[string]string{"untrusted/create": "exit 0", "verify": `echo "the token $OSP_TOKEN is too short" >&2; exit 4`})
	_, err := s.Verify(t.Context(), work(d, agentapi.OSParameter{Name: "token", Value: "canary-of-token", Class: "secret"}), s.tell)
	fails(t, err, "the OS definition thing refuses its parameters: its script verify ended with code 4", "What verify said last:\nthe token ****** is too short")
}

func TestREQ17AScriptThatFails(t *testing.T) {
	s := setUp(t)
	d := definition(t, map[string]string{"untrusted/create": `i=1; while [ $i -le 30 ]; do echo "line $i"; i=$((i+1)); done
echo "token=$OSP_TOKEN" >&2; printf '%s' "$OSP_PLACE" | base64; echo "yes and yesterday"; exit 7`})
	w := work(d, agentapi.OSParameter{Name: "token", Value: "canary-1\nsecond'line", Class: "secret"}, agentapi.OSParameter{Name: "place", Value: "canary-of-place", Class: "private"},
		agentapi.OSParameter{Name: "color", Value: "yes", Class: "private"})
	r, err := s.Install(t.Context(), w, s.tell)
	text := fails(t, err, "the script untrusted/create of the OS definition thing ended with code 7.\nWhat untrusted/create said last:\n", "\nline 30\ntoken=******\n******\n****** and yesterday")
	if lines := strings.Split(text, "\n"); len(lines) != 2+20 {
		t.Errorf("%d lines: %s", len(lines), text)
	}
	if len(r.Scripts) > 0 {
		t.Errorf("%+v", r)
	}
	part := partly(t, err)
	if len(part.Scripts) != 1 || part.Scripts[0].Code != 7 || len(part.Scripts[0].Lines) != 20 {
		t.Errorf("%+v", part)
	}
	kept := s.Logs.Files()
	if len(kept) != 1 || !strings.Contains(string(kept[0].Data), "\nline 1\nline 2\n") || !strings.Contains(string(kept[0].Data), "code 7") {
		t.Errorf("%v", kept)
	}
	all, err2 := json.Marshal([]any{part, text, string(kept[0].Data), s.log.String(), s.told})
	for _, canary := range []string{"canary-1", "second'line", "canary-of-place"} {
		if err2 != nil || bytes.Contains(all, []byte(canary)) {
			t.Errorf("%s is told: %v %s", canary, err2, all)
		}
	}
}

// Of long lines the last are told, for a conductor keeps the beginning of what is too long. The result has all of them.
func TestREQ17LongLastLines(t *testing.T) {
	s := setUp(t)
	d := definition(t, map[string]string{"untrusted/create": `i=10; while [ $i -le 40 ]; do printf "line $i%0300d\n" 0; i=$((i+1)); done; echo the end; exit 1`})
	_, err := s.Install(t.Context(), work(d), s.tell)
	text := fails(t, err, "ended with code 1.\nWhat untrusted/create said last:\nline 36000", "000\nthe end")
	if len(text) > 2000 || len(partly(t, err).Scripts[0].Lines) != 20 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// What a script says of itself decides nothing: its exit status does.
func TestREQ17TheExitStatusDecides(t *testing.T) {
	s := setUp(t)
	final := here(t, "post", s.at(guest, "write"), `{"stage": "done", "percent": 100, "final": true, "code": 0}`)
	d := definition(t, map[string]string{"untrusted/create": final + "\nexit 1"})
	if _, err := s.Install(t.Context(), work(d), s.tell); err == nil {
		t.Error("it said that it was done, and failed")
	} else {
		fails(t, err, "ended with code 1")
	}
	s = setUp(t)
	d = definition(t, map[string]string{"untrusted/create": "kill -9 $$"})
	_, err := s.Install(t.Context(), work(d), s.tell)
	fails(t, err, "ended with code 137")
	s = setUp(t)
	d = definition(t, map[string]string{"untrusted/create": "#!/no/such/interpreter\n"})
	_, err = s.Install(t.Context(), work(d), s.tell)
	fails(t, err, "untrusted/create of the OS definition thing did not run to its end")
}

// All that came of a script is gone when the time is over, and what it said is told.
func TestREQ24TheTotalTimeoutEndsEverything(t *testing.T) {
	s := setUp(t)
	pids := filepath.Join(s.dir, "pids")
	d := definition(t, map[string]string{"untrusted/create": "echo begins; (sleep 1000 & echo $! > " + pids + "; wait)"})
	w := work(d)
	w.Timeout = 1
	began := time.Now()
	_, err := s.Install(t.Context(), w, s.tell)
	fails(t, err, "it took longer than 1s, which is the limit for an installation", "What untrusted/create said last:\nbegins")
	if time.Since(began) < time.Second {
		t.Error("it was ended before its time")
	}
	var child int
	if _, err := fmt.Sscan(s.read(t, "pids"), &child); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("its child goes on")
		}
	}
}

func TestAnAgentThatEndsEndsItsScripts(t *testing.T) {
	s := setUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	d := definition(t, map[string]string{"untrusted/create": here(t, "post", s.at(guest, "write"), `{"stage": "sleeping", "percent": 1}`) + "; sleep 1000"})
	_, err := s.Install(ctx, work(d), func(p agentapi.Progress) {
		if p.What == "sleeping" {
			cancel()
		}
	})
	fails(t, err, "the agent ends, and with it what ran")
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

func TestREQ19EitherPartFailingStopsTheOther(t *testing.T) {
	for failing, other := range map[string]string{"create": "untrusted/create", "untrusted/create": "create"} {
		t.Run(failing, func(t *testing.T) {
			s := setUp(t)
			end := map[string]string{"create": host, "untrusted/create": guest}
			d := trusted(definition(t, map[string]string{
				other:   "echo waits; " + here(t, "post", s.at(end[other], "write"), "go") + "; sleep 1000",
				failing: here(t, "get", s.at(end[failing], "read")) + "; echo; echo broke; exit 5",
			}))
			_, err := s.Install(t.Context(), work(d), s.tell)
			text := fails(t, err, "the script "+failing+" of the OS definition thing ended with code 5", "go\nbroke")
			if strings.Contains(text, "waits") {
				t.Errorf("the failure of one is told with the words of the other: %s", text)
			}
			part := partly(t, err)
			if len(part.Scripts) != 2 {
				t.Fatalf("%+v", part)
			}
			for _, one := range part.Scripts {
				if one.Name == other && (one.Code != -1 || fmt.Sprint(one.Lines) != "[waits]") {
					t.Errorf("%+v", one)
				}
			}
		})
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

func TestREQ24ProgressNeverFalls(t *testing.T) {
	s := setUp(t)
	var script []string
	for _, p := range []string{`{"stage":"base","percent":10}`, `{"stage":"base","percent":60,"message":"canary-of-token unpacked"}`, `{"stage":"kernel","percent":5}`, `{"stage":"base","percent":30}`} {
		script = append(script, here(t, "post", s.at(guest, "write"), p)+" || true")
	}
	d := definition(t, map[string]string{"untrusted/create": strings.Join(script, "\n")})
	if _, err := s.Install(t.Context(), work(d, agentapi.OSParameter{Name: "token", Value: "canary-of-token", Class: "secret"}), s.tell); err != nil {
		t.Fatal(err)
	}
	highest, said := map[string]int64{}, ""
	for _, p := range s.told {
		stage, _, _ := strings.Cut(p.What, ":")
		if p.Done < highest[stage] || p.Unit != "percent" || p.Total != 100 {
			t.Errorf("%+v after %d", p, highest[stage])
		}
		highest[stage] = p.Done
		said += p.What + "\n"
	}
	if highest["base"] != 60 || highest["kernel"] != 5 || highest["untrusted/create"] != 100 || strings.Contains(said, "canary") || !strings.Contains(said, "base: ****** unpacked") {
		t.Errorf("%v %q", highest, said)
	}
}

// A script that says nothing of how far it is does not fail for that.
func TestREQ24NoProgressIsNoFailure(t *testing.T) {
	s := setUp(t)
	if _, err := s.Install(t.Context(), work(definition(t, map[string]string{"untrusted/create": "exit 0"})), nil); err != nil {
		t.Error(err)
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
