package cli

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// TestMain makes the test binary itself the program ingot of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ingot": func() {
		root := &cobra.Command{Use: "ingot", SilenceUsage: true, SilenceErrors: true}
		root.AddCommand(Commands(Options{
			Poll: time.Millisecond,
			Probe: func(_ context.Context, url string) (Probe, error) {
				if strings.Contains(url, "192.0.2.99") {
					return Probe{}, fault.New(fault.Unavailable, "the BMC at %s does not answer", url)
				}
				p := Probe{URL: url, Version: "1.17.0", Vendor: "Contoso", Product: "B1", AuthRequired: true}
				if strings.Contains(url, "192.0.2.98") {
					p.Version = ""
				}
				if strings.HasPrefix(url, "https:") {
					p.Fingerprint, p.Subject, p.Issuer = strings.Repeat("ab", 32), "CN=bmc", "CN=bmc"
				}
				return p, nil
			},
			Checksum: func(_ context.Context, image, spec string) (Checksum, error) {
				if strings.Contains(image, "unknown") {
					return Checksum{}, errors.New("no checksum file beside it")
				}
				return Checksum{Algo: "sha256", Value: strings.Repeat("cd", 32), Source: image + ".sha256"}, nil
			},
			Settings: func(file string) ([]Setting, error) {
				if file != "" {
					return nil, errors.New("open " + file + ": no such file")
				}
				return []Setting{{"api", "port", "6385", "default"}, {"DEFAULT", "host", "rack1", "INGOT_DEFAULT__HOST"}}, nil
			},
		})...)
		os.Exit(Exit(os.Stderr, root.ExecuteContext(context.Background())))
	}})
}

// Each script has a server of its own with the machines below; `sent` compares what the server got.
func TestScripts(t *testing.T) { testscript.Run(t, scripts("testdata")) }

// What is private or secret is taken from files, standard input, descriptors and the environment; typed, it is refused and not repeated.
func TestREQ12TheCommandLineTakesNoHiddenValues(t *testing.T) {
	testscript.Run(t, scripts("testdata/os"))
}

func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			s := &server{}
			s.add(wire.Node{Name: "new", Driver: "redfish", ProvisionState: string(metal.Enroll), PowerState: "power off",
				DriverInfo: map[string]any{"redfish_address": "https://192.0.2.10", "redfish_password": "canary-77"}})
			s.add(wire.Node{Name: "ready", Driver: "redfish", ProvisionState: string(metal.Available), Extra: map[string]any{},
				InstanceInfo: map[string]any{"image_checksum": "old", "boot_iso": "https://images.example.com/old.iso"}})
			s.add(wire.Node{Name: "bad", Driver: "redfish", ProvisionState: string(metal.Available),
				Extra: map[string]any{"fail": "the image's checksum is wrong"}, Properties: map[string]any{}})
			busy := s.add(wire.Node{Name: "used", Driver: "redfish", ProvisionState: string(metal.Active), Description: "red\x1b[31m",
				InstanceInfo: map[string]any{"image_os_hash_algo": "sha256", "image_os_hash_value": "old"}})
			busy.tell("transition", "", "an old story")
			busy.logs = append(busy.logs, logAt("console-2.txt", 2), logAt("agent-3.log", 3), logAt("agent-1.log", 1))
			s.add(wire.Node{Name: "rescued", Driver: "redfish", ProvisionState: string(metal.Rescue)})
			s.add(wire.Node{Name: "stubborn", Driver: "redfish", ProvisionState: string(metal.Active), Extra: map[string]any{"fail": "the password is not held any more"}})
			s.add(wire.Node{Name: "installed", Driver: "redfish", ProvisionState: string(metal.Active), DriverInternalInfo: map[string]any{metal.OSInstalledKey: theInstall}})
			s.add(wire.Node{Name: "lossy", Driver: "redfish", ProvisionState: string(metal.Available), Extra: map[string]any{"fail": "the secret OS parameters root-key (os_parameters_secret) and " +
				"the password and user for the personalization package (personalization_user, personalization_password) are lost: the server that held them was started anew."}})
			s.add(wire.Node{Name: "here", Driver: "redfish", ProvisionState: string(metal.Manageable)})
			if err := os.WriteFile(filepath.Join(e.WorkDir, "latin"), []byte("gr\xfcn"), 0o600); err != nil { // no script can hold these bytes
				return err
			}
			h := httptest.NewServer(s.handler())
			e.Defer(h.Close)
			e.Setenv("INGOT_ENDPOINT", h.URL)
			e.Setenv("TZ", "UTC")
			e.Values["server"] = s
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"sent": sent, "play": play, "exits": exits},
	}
}

// sent TEXT: some request since the last sent had TEXT in "METHOD path body".
func sent(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("server").(*server)
	s.mu.Lock()
	defer s.mu.Unlock()
	found := strings.Contains(strings.Join(s.bodies, "\n"), args[0])
	if found == neg {
		ts.Fatalf("sent %q: %v; the requests were:\n%s", args[0], found, strings.Join(s.bodies, "\n"))
	}
}

// play old: the server is an upstream Ironic.
func play(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("server").(*server)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch args[0] {
	case "old":
		s.old = true
	default:
		ts.Fatalf("play %s", args[0])
	}
}

// exits STATUS ARGS...: ingot with ARGS ends with STATUS.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("ingot", args[1:]...)
	got := "0"
	var e *exec.ExitError
	if errors.As(err, &e) {
		got = string(rune('0' + e.ExitCode()))
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("ingot %s ended with %s, not %s", strings.Join(args[1:], " "), got, args[0])
	}
}
