package conductor

import (
	"bufio"
	"bytes"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// availableMemory is how much memory this process could still take, in bytes: what the host has left, or less where a cgroup
// allows no more.
func availableMemory() (int64, bool) { return memoryOf(os.DirFS("/")) }

// maxMemoryFile bounds what is read of one of the kernel's files.
const maxMemoryFile = 64 << 10

// memoryOf reads it from a tree like that below /.
// Source: Linux, Documentation/filesystems/proc.rst (MemAvailable), admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/memory.rst.
func memoryOf(root fs.FS) (int64, bool) {
	kib, known := field(root, "proc/meminfo", "MemAvailable:")
	left := kib << 10
	if !known {
		left = math.MaxInt64
	}
	for line := range bytes.Lines(contents(root, "proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var g cgroup
		switch {
		case parts[0] == "0":
			g = cgroup{root: root, mount: "sys/fs/cgroup", limits: []string{"memory.max", "memory.high"}, used: "memory.current", cache: "inactive_file"}
		case parts[1] == "memory":
			g = cgroup{root: root, mount: "sys/fs/cgroup/memory", limits: []string{"memory.limit_in_bytes"}, used: "memory.usage_in_bytes", cache: "total_inactive_file"}
		default:
			continue
		}
		if n, limited := g.left(parts[2]); limited && n < left {
			left, known = n, true
		}
	}
	return max(left, 0), known
}

// cgroup is a version of the kernel's control groups, by the names of its files.
type cgroup struct {
	root   fs.FS
	mount  string
	limits []string
	used   string
	cache  string // the key of memory.stat for what the kernel drops first
}

// left is what a group and those above it leave. A container sees its own group as the root of them all, whatever its name is
// outside.
func (g cgroup) left(name string) (left int64, limited bool) {
	left = math.MaxInt64
	for at := path.Join("/", name); ; at = path.Dir(at) {
		dir := path.Join(g.mount, at)
		for _, file := range g.limits {
			limit, err := strconv.ParseInt(strings.TrimSpace(string(contents(g.root, path.Join(dir, file)))), 10, 64)
			if err != nil || limit >= math.MaxInt64/4096*4096 { // "max", or version 1's way to say it
				continue
			}
			used, err := strconv.ParseInt(strings.TrimSpace(string(contents(g.root, path.Join(dir, g.used)))), 10, 64)
			if err != nil {
				continue
			}
			cache, _ := field(g.root, path.Join(dir, "memory.stat"), g.cache)
			left, limited = min(left, limit-used+min(cache, used)), true
		}
		if at == "/" {
			return left, limited
		}
	}
}

// field is the number after a word at the begin of a line.
func field(root fs.FS, file, word string) (int64, bool) {
	lines := bufio.NewScanner(bytes.NewReader(contents(root, file)))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != word {
			continue
		}
		n, err := strconv.ParseInt(words[1], 10, 64)
		return n, err == nil && n >= 0 && n < math.MaxInt64>>10
	}
	return 0, false
}

// contents is the beginning of a file; nothing of one that cannot be read.
func contents(root fs.FS, name string) []byte {
	f, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, maxMemoryFile)) // what can be read is better than nothing
	return b
}
