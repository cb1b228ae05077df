package osinstall_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

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
