package confine

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
)

// programs are the folders of the system that a script sees, read-only. Most are links into /usr.
var programs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// settings are what programs need of /etc, where it is there. No more of it is shown: it has the machine's users and keys.
var settings = []string{
	"alternatives", "ca-certificates", "ca-certificates.conf", "debian_version", "dpkg/origins", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
	"login.defs", "magic", "mime.types", "mke2fs.conf", "mtools.conf", "networks", "os-release", "perl", "profile", "protocols", "python3", "python3.11",
	"python3.13", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "xattr.conf",
}

// folders are made where something is put below them.
var folders = []string{"/etc", "/etc/dpkg", "/etc/ssl"}

// hidden are files of /proc that tell of the machine: its command line may hold a token. Some take commands from root, and to them a
// script's root is nobody; they are hidden all the same. Folders are hiddenFolders.
var hidden = []string{
	"bootconfig", "cmdline", "config.gz", "iomem", "ioports", "kallsyms", "kcore", "key-users", "keys", "kmsg", "kpagecgroup", "kpagecount",
	"kpageflags", "latency_stats", "modules", "sched_debug", "sysrq-trigger", "timer_list", "timer_stats", "vmcore",
}

var hiddenFolders = []string{"acpi", "asound", "bus", "driver", "fs", "irq", "scsi", "sys/debug", "sysvipc"}

// capabilities are what root keeps in its own namespace: what it needs to make files of any owner and to become one. None is a right
// over anything that is not in that namespace.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// arguments are those of bubblewrap. They hold no value of the environment: everybody on a host sees them.
// From the descriptor first on it has the one for its status and those of the filters.
func (st stage) arguments(s Script, first, filters int) []string {
	a := []string{
		"--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup", "--hostname", "installer",
		"--die-with-parent", "--new-session", "--json-status-fd", strconv.Itoa(first), "--cap-drop", "ALL",
	}
	for i := range filters {
		a = append(a, "--add-seccomp-fd", strconv.Itoa(first+1+i))
	}
	for _, c := range capabilities {
		a = append(a, "--cap-add", c)
	}
	for _, p := range programs {
		if to, err := os.Readlink(p); err == nil {
			a = append(a, "--symlink", to, p)
		} else if !errors.Is(err, fs.ErrNotExist) {
			a = append(a, "--ro-bind", p, p)
		}
	}
	for _, name := range folders { // those that it makes by itself are closed to all but root
		a = append(a, "--dir", name)
	}
	for _, name := range settings {
		a = append(a, "--ro-bind-try", "/etc/"+name, "/etc/"+name)
	}
	for _, name := range []string{"passwd", "group", "hosts"} {
		a = append(a, "--ro-bind", st.path(name), "/etc/"+name)
	}
	a = append(a, "--proc", "/proc")
	a = append(a, st.hide()...)
	a = append(a, "--dev", "/dev", "--dir", "/dev/disk")
	for _, f := range linkFolders {
		a = append(a, "--dir", "/dev/"+f)
	}
	for _, d := range st.disks {
		a = append(a, "--dev-bind", st.node(d), "/dev/"+d.name)
		for _, link := range d.links {
			up, err := filepath.Rel("/dev/"+path.Dir(link), "/dev/"+d.name)
			if err == nil {
				a = append(a, "--symlink", up, "/dev/"+link)
			}
		}
	}
	a = append(a, "--bind", st.path("scratch/shm"), "/dev/shm", "--remount-ro", "/dev")
	for _, name := range []string{"tmp", "run", "var", "root", "mnt"} {
		a = append(a, "--bind", st.path("scratch/"+name), "/"+name)
	}
	for i := 1; i < len(s.Folder); i++ {
		if s.Folder[i] == '/' {
			a = append(a, "--dir", s.Folder[:i])
		}
	}
	a = append(a, "--ro-bind", st.path("bundle"), s.Folder, "--remount-ro", "/", "--chdir", s.Folder, "--")
	// Bubblewrap sets PWD.
	a = append(a, "/usr/bin/env", "-u", "PWD", "--", path.Join(s.Folder, s.Path))
	return append(a, s.Args...)
}

// hide covers what is there of /proc.
func (st stage) hide() (a []string) {
	for _, name := range hidden {
		if _, err := os.Stat("/proc/" + name); err == nil {
			a = append(a, "--ro-bind", st.path("nothing"), "/proc/"+name)
		}
	}
	for _, name := range hiddenFolders {
		if _, err := os.Stat("/proc/" + name); err == nil {
			a = append(a, "--ro-bind", st.path("empty"), "/proc/"+name)
		}
	}
	return a
}
