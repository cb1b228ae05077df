package conductor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAgentLog(t *testing.T) {
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"ours":       {archive(t, map[string]string{"agent.log": "hello"}), "hello"},
		"upstream's": {archive(t, map[string]string{"logs/journal": "boot"}), "boot"},
		"neither":    {archive(t, map[string]string{"other": "x"}), ""},
		"broken":     {[]byte("no archive"), ""},
		"cut":        {archive(t, map[string]string{"agent.log": "hello"})[:20], ""},
	} {
		if got := string(agentLog(tc.data)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestScriptLogs(t *testing.T) {
	long := strings.Repeat("x", maxScriptLogs)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"in order":        {archive(t, map[string]string{"os_install-10-create": "3", "logs/os_install-02-create": "2", "agent.log": "hello", "os_install-01-verify": "1"}), "123"},
		"none":            {archive(t, map[string]string{"agent.log": "hello"}), ""},
		"broken":          {[]byte("no archive"), ""},
		"as much as fits": {archive(t, map[string]string{"os_install-01-create": long}), long},
		"too much":        {archive(t, map[string]string{"os_install-01-create": long + "y", "os_install-02-create": "2"}), "2(1 files are left out: they are cut off, or too large)\n"},
	} {
		if got := string(scriptLogs(tc.data)); got != tc.want {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(tc.want))
		}
	}
}

func FuzzAgentLog(f *testing.F) {
	f.Add(archive(f, map[string]string{"agent.log": "hello"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := agentLog(data); len(got) > maxAgentLog {
			t.Errorf("%d bytes", len(got))
		}
		if got := scriptLogs(data); len(got) > maxScriptLogs+100 {
			t.Errorf("%d bytes of scripts", len(got))
		}
	})
}
