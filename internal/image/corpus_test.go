package image_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

const (
	// mostMemory is what judging and reading any file of the corpus may take: the whole process, the Go runtime and all.
	mostMemory = 64 << 20
	childFile  = "INGOT_HOSTILE_FILE"
)

// task is what the child process is asked.
type task struct {
	Path, Declared string
	Partition      bool
	Max            int64
}

// verdict is what it says.
type verdict struct {
	Checked, Read string // why it was refused; "" for not
	Kind          fault.Kind
	Memory        int64
}

// TestMain is the child process, too, that looks at one hostile file.
func TestMain(m *testing.M) {
	if raw := os.Getenv(childFile); raw != "" {
		if err := child(raw); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(raw string) error {
	var t task
	if err := json.Unmarshal([]byte(raw), &t); err != nil {
		return err
	}
	f, err := os.Open(t.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	v := judge(f, info.Size(), t)
	if v.Memory, err = peak(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

// judge checks a file whole, and reads it as the agent does, each whatever the other says.
func judge(f io.ReaderAt, size int64, t task) verdict {
	o := image.Options{Declared: t.Declared, Partition: t.Partition, MaxSize: t.Max}
	_, checked := image.Check(f, size, o)
	v := verdict{Kind: fault.KindOf(checked)}
	if checked != nil {
		v.Checked = checked.Error()
	}
	if err := read(f, size, o); err != nil {
		v.Read = err.Error()
		if checked == nil {
			v.Kind = fault.KindOf(err)
		}
	}
	return v
}

// mostRead bounds what is read of a file that may be read: it is safe, and may be large.
const mostRead = 256 << 20

var errEnough = errors.New("enough was read")

func read(f io.ReaderAt, size int64, o image.Options) error {
	magic := make([]byte, min(64, size))
	if _, err := f.ReadAt(magic, 0); err != nil && err != io.EOF {
		return err
	}
	if image.Detect(magic) == image.QCOW2 {
		q, err := image.OpenQCOW2(f, size, o)
		if err == nil {
			err = q.Map()
		}
		if err == nil {
			err = q.Scatter(io.NewSectionReader(f, 0, size), nowhere{})
		}
		if errors.Is(err, errEnough) {
			err = nil
		}
		return err
	}
	d, err := image.NewDecoder(io.NewSectionReader(f, 0, size), o)
	if err != nil {
		return err
	}
	defer d.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(d, mostRead))
	return err
}

// nowhere takes what a qcow2 gives, until it is enough.
type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// peak is the most memory that this process ever had. It is not taken from getrusage, which after an exec still has the parent's.
func peak() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory this process had")
}

// TestHostileCorpus lets a process of its own look at every hostile file: each is refused with the reason, or read safely, and
// none takes more memory than it may.
func TestHostileCorpus(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a process is read from Linux's /proc")
	}
	corpus := imagetest.Corpus()
	if len(corpus) < 100 {
		t.Errorf("there are %d hostile files only", len(corpus))
	}
	dir, seen := t.TempDir(), map[string]bool{}
	var most verdict
	var worst string
	for _, h := range corpus {
		if seen[h.Name] {
			t.Errorf("%s: there are two of this name", h.Name)
		}
		seen[h.Name] = true
		v, err := lookAt(dir, h)
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
			continue
		}
		expect(t, h, v)
		if v.Memory > most.Memory {
			most, worst = v, h.Name
		}
	}
	t.Logf("%d hostile files; the most memory was %.1f MiB, for %q", len(corpus), float64(most.Memory)/(1<<20), worst)
}

// lookAt has a child process look at a hostile file.
func lookAt(dir string, h imagetest.Hostile) (verdict, error) {
	var v verdict
	path := filepath.Join(dir, "image")
	content := h.Make()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return v, err
	}
	if h.Size > 0 {
		if err := os.Truncate(path, h.Size); err != nil {
			return v, err
		}
	}
	ask, err := json.Marshal(task{Path: path, Declared: h.Declared, Partition: h.Partition, Max: h.Limit()})
	if err != nil {
		return v, err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFile+"="+string(ask))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return v, fmt.Errorf("the process that looked at it ended: %w\n%s", err, errs.String())
	}
	return v, json.Unmarshal(out, &v)
}

func expect(t *testing.T, h imagetest.Hostile, v verdict) {
	t.Helper()
	if v.Memory > mostMemory {
		t.Errorf("%s: it took %.1f MiB", h.Name, float64(v.Memory)/(1<<20))
	}
	if len(h.Says) == 0 {
		if v.Checked != "" || v.Read != "" {
			t.Errorf("%s: refused (%q, %q), and it can be read safely", h.Name, v.Checked, v.Read)
		}
		return
	}
	if v.Kind != fault.Invalid && v.Kind != fault.TooLarge {
		t.Errorf("%s: %v, not a refusal: %q, %q", h.Name, v.Kind, v.Checked, v.Read)
	}
	said := v.Checked
	if h.Reading {
		said = v.Read
	}
	for _, s := range h.Says {
		if !strings.Contains(said, s) {
			t.Errorf("%s: %q does not say %q", h.Name, said, s)
		}
	}
	if !h.Whole && v.Read == "" {
		t.Errorf("%s: it was read as a stream", h.Name)
	}
	if h.Reading != (v.Checked == "") {
		t.Errorf("%s: a look at it said %q", h.Name, v.Checked)
	}
}
