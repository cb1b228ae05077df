package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// onlooker looks at a process and its children while they live: at what the host tells everybody of them, and at the files that
// come and go in the server's folder.
type onlooker struct {
	g    *aviary
	pid  int
	stop chan struct{}
	done sync.WaitGroup

	files map[string]string // size and time when it was last looked at
	procs int               // looks at processes
	kids  map[string]bool   // names of children that were seen
	read  int               // files that were read
}

func looking(g *aviary, pid int) *onlooker {
	o := &onlooker{g: g, pid: pid, stop: make(chan struct{}), files: map[string]string{}, kids: map[string]bool{}}
	g.t.Cleanup(o.end)
	o.done.Go(func() {
		look := time.NewTicker(100 * time.Millisecond)
		defer look.Stop()
		for {
			o.processes(o.pid)
			o.folder()
			select {
			case <-o.stop:
				return
			case <-look.C:
			}
		}
	})
	return o
}

// end ends the looking, and says what was seen.
func (o *onlooker) end() {
	o.g.t.Helper()
	select {
	case <-o.stop:
		return
	default:
	}
	close(o.stop)
	o.done.Wait()
	o.g.t.Logf("the onlooker looked %d times at processes, at %d versions of files, and saw the children %v", o.procs, o.read, o.kids)
	if o.procs == 0 || o.read == 0 {
		o.g.t.Errorf("the onlooker saw %d processes and %d files", o.procs, o.read)
	}
}

// processes looks at a process and those below it.
func (o *onlooker) processes(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(line) == 0 {
		return // it is gone
	}
	o.procs++
	if pid != o.pid {
		o.kids[filepath.Base(strings.SplitN(string(line), "\x00", 2)[0])] = true
	}
	o.g.clean(fmt.Sprintf("the command line of process %q", line), line)
	environ, err := os.ReadFile(filepath.Join(dir, "environ"))
	switch {
	case err == nil:
		o.g.clean(fmt.Sprintf("the environment of process %q", line), environ)
	case !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist): // a process without dumps shows it to root only
		o.g.t.Errorf("environment of %q: %v", line, err)
	}
	tasks, _ := filepath.Glob(filepath.Join(dir, "task", "*", "children"))
	for _, file := range tasks {
		text, _ := os.ReadFile(file) // a thread that ended has none
		for _, child := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				o.processes(n)
			}
		}
	}
}

// tooLargeToWatch is left for the look at the end.
const tooLargeToWatch = 8 << 20

// folder looks at the files that changed. The database is looked at by itself, at each stage.
func (o *onlooker) folder() {
	_ = filepath.WalkDir(o.g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "ingot.db") {
			return nil //nolint:nilerr // it came and went
		}
		info, err := d.Info()
		if err != nil || info.Size() > tooLargeToWatch {
			return nil //nolint:nilerr // as above
		}
		is := fmt.Sprint(info.Size(), info.ModTime())
		if o.files[path] == is {
			return nil
		}
		o.files[path] = is
		if b, err := os.ReadFile(path); err == nil {
			o.read++
			o.g.cleanFile(path, b)
		}
		return nil
	})
}

// own are the files in the server's folder that hold secrets because they are there for that, each with which.
var own = map[string][]string{
	"ingot.conf":                   {"option ", "password in the URL of "},
	"ingot-data/ingot.key":         {"sealing key"},
	"ingot-data/agent-door.key":    {"agents' door's key"},
	"ingot-data/peer/identity.pem": {"peer key"},
	"static.json":                  {"static vendordata"},
}

// cleanFile sees that a file holds no canary but those that it is there for.
func (g *aviary) cleanFile(path string, b []byte) {
	rel, err := filepath.Rel(g.dir, path)
	if err != nil {
		g.t.Error(err)
	}
	for _, f := range g.all().in(b) {
		if !slices.ContainsFunc(own[filepath.ToSlash(rel)], func(s string) bool { return strings.HasPrefix(f.name, s) }) {
			g.t.Errorf("the file %s shows the %s", rel, f)
		}
	}
}
