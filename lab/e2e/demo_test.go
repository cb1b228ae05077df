package e2e

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemo runs what `make demo` runs, beside any that a person may be running: the whole way from a bare
// machine to a login over ssh, and back to an empty disk.
func TestDemo(t *testing.T) {
	text := runDemo(t, "e2edemo", "198.18.76.0/24")
	if !contains(text, "an image of 2048 MiB went to the disk through 512 MiB of memory", "SecureBoot enabled") {
		t.Error("the machine was not one of 512 MiB with Secure Boot, or the image not one of 2 GiB")
	}
}

// TestDemoOfAPartition is the same for a root file system alone: the agent makes everything around it, and the machine
// boots it with Secure Boot on.
func TestDemoOfAPartition(t *testing.T) {
	if os.Getenv("INGOT_LAB_FULL") != "1" {
		t.Skip("skipped: set INGOT_LAB_FULL=1 for a second demo, of some minutes")
	}
	text := runDemo(t, "e2epart", "198.18.75.0/24", "--partition-image")
	if !contains(text, "an image of 1998 MiB went to the disk through 512 MiB of memory", "SecureBoot enabled", "--root-gb 2 --swap-mb 256") {
		t.Error("the machine was not one of 512 MiB with Secure Boot, or the image not the root of one of 2 GiB")
	}
}

// runDemo runs a whole demo and gives what it told.
func runDemo(t *testing.T, name, subnet string, more ...string) string {
	labOnly(t)
	guestImage(t) // the demo makes it, too, and must not while another test does
	dir := t.TempDir()
	var told bytes.Buffer
	keep, err := os.Create(filepath.Join(t.ArtifactDir(), "demo.log")) // go test -artifacts keeps it
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	args := append([]string{"lab", "demo", "--dir", dir, "--listen", free(t, "127.0.0.1"), "--name", name, "--subnet", subnet}, more...)
	cmd := exec.CommandContext(t.Context(), program(t, "ingot"), args...)
	cmd.Stdout = io.MultiWriter(&told, keep)
	cmd.Stderr = cmd.Stdout
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it takes down what it started
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}    // and so when the tests are killed
	cmd.WaitDelay = 2 * time.Minute
	err = cmd.Run()
	text := told.String()
	if err != nil {
		t.Fatalf("%v; the end of its story:\n%s", err, text[max(0, len(text)-20_000):])
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	t.Logf("the end of the story:\n%s", strings.Join(lines[max(0, len(lines)-16):], "\n"))
	end := strings.Join(lines[max(0, len(lines)-2):], "\n")
	if end != "host name over ssh: demo-host\ndisk clean: yes" {
		t.Errorf("the last lines are %q", end)
	}
	return text
}
