package confine

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denied are the system calls that a script cannot make, by what they would let it at. All others that were known when this was built
// are allowed; what the kernel has learned since is denied, as is every call of another architecture.
var denied = map[string][]string{
	"the kernel itself": {"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module", "bpf", "perf_event_open",
		"lookup_dcookie", "syslog", "_sysctl", "sysfs", "uselib", "nfsservctl", "get_kernel_syms", "query_module"},
	"the machine":         {"reboot", "iopl", "ioperm", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname", "vhangup"},
	"its clock":           {"settimeofday", "clock_settime", "clock_adjtime", "adjtimex"},
	"other namespaces":    {"unshare", "setns"},
	"mounts":              {"mount", "umount2", "pivot_root", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"},
	"other processes":     {"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "pidfd_getfd", "move_pages", "migrate_pages"},
	"files behind others": {"open_by_handle_at", "name_to_handle_at", "fanotify_init", "fanotify_mark"},
	"keys of the kernel":  {"add_key", "request_key", "keyctl"},
	"what often had holes": {"io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "vmsplice", "modify_ldt", "personality",
		"remap_file_pages", "lsm_set_self_attr"},
}

// newNamespace are the flags of clone that make one. clone3 has them behind a pointer, where no filter can look: it is said to be
// unknown, and the C library goes on with clone. Source: Linux, include/uapi/linux/sched.h.
const newNamespace = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// families are those that sockets can be of. Of netlink (apart) only routes can be asked for, as getaddrinfo(3) does.
var families = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6}

// protocols are those that sockets of the internet's families can be of: what is meant by 0, ICMP (as ping(8) has it), TCP, UDP, and
// ICMP of IPv6. Others (MPTCP, SCTP, DCCP, L2TP …) are where the kernel has its holes, and may have it load modules.
var protocols = []uint64{0, unix.IPPROTO_ICMP, unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMPV6}

// commands are ioctls that cannot be made. The kernel lets whoever may write to a disk send it some commands of its own choice, and
// reserve it; those of terminals type into the one that a program was started from. Sources: Linux, include/scsi/sg.h,
// scsi_ioctl.h, include/uapi/linux/cdrom.h, include/uapi/linux/nvme_ioctl.h, pr.h.
var commands = []uint64{
	unix.TIOCSTI, unix.TIOCLINUX,
	0x1, 0x2285, 0x5393, // SCSI_IOCTL_SEND_COMMAND, SG_IO, CDROM_SEND_PACKET, which disks take, too
	0x5, 0x6, 0x5309, 0x5319, 0x5380, 0x5381, 0x2284, // SCSI_IOCTL_START_UNIT, STOP_UNIT, CDROMEJECT, CDROMCLOSETRAY, SCSI_IOCTL_DOORLOCK, DOORUNLOCK, SG_SCSI_RESET
	0xc0484e41, 0x40304e42, 0xc0484e43, 0xc0504e47, 0xc0504e48, 0xc0504e49, // NVME_IOCTL_ADMIN_CMD, SUBMIT_IO, IO_CMD, ADMIN64, IO64, IO64_VEC
	0x401870c8, 0x401070c9, 0x401070ca, 0x401870cb, 0x401870cc, 0x401070cd, // IOC_PR_REGISTER, RESERVE, RELEASE, PREEMPT, PREEMPT_ABORT, CLEAR
}

// noSuchCall says that a system call is unknown.
const noSuchCall = seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))

// filters are the programs for the kernel that judge each system call of a script: all of them must allow it. They are apart because
// in one program of the library a call that was judged by its arguments is taken for another after that.
func filters() (programs [][]byte, err error) {
	here, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	for _, p := range append([]seccomp.Policy{byName(here)}, byArguments()...) {
		program, err := p.Assemble()
		if err != nil {
			return nil, err
		}
		raw, err := bpf.Assemble(program)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		// The kernel's struct sock_filter has these fields in this order.
		if err := binary.Write(&b, binary.NativeEndian, raw); err != nil {
			return nil, err
		}
		programs = append(programs, b.Bytes())
	}
	return programs, nil
}

// byName is for one architecture: not each has every call.
func byName(here *arch.Info) seccomp.Policy {
	var no []string
	for _, names := range denied {
		for _, name := range names {
			if _, known := here.SyscallNames[name]; known {
				no = append(no, name)
			}
		}
	}
	slices.Sort(no)
	var yes []string
	for _, name := range slices.Sorted(maps.Keys(here.SyscallNames)) {
		if _, found := slices.BinarySearch(no, name); !found && name != "clone3" {
			yes = append(yes, name)
		}
	}
	return seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{
		{Action: noSuchCall, Names: []string{"clone3"}},
		{Action: seccomp.ActionAllow, Names: yes},
	}}
}

// byArguments deny what calls ask for. The kernel looks at the lower half of some arguments only, so the upper half of each is judged, too.
func byArguments() []seccomp.Policy {
	strange := seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.NotEqual, Value: unix.AF_NETLINK}}
	for _, f := range families {
		strange = append(strange, seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: f})
	}
	var odd []seccomp.ArgumentConditions
	for _, f := range []uint64{unix.AF_INET, unix.AF_INET6} {
		when := seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: f}}
		for _, p := range protocols {
			when = append(when, seccomp.Condition{Argument: 2, Operation: seccomp.NotEqual, Value: p})
		}
		odd = append(odd, when)
	}
	// A command may come with its sign in the upper half, from a C library where it is an int, and with nothing else there.
	controls := []seccomp.ArgumentConditions{{{Argument: 1, Operation: seccomp.GreaterThan, Value: 1<<32 - 1}, {Argument: 1, Operation: seccomp.LessThan, Value: (1<<32 - 1) << 32}}}
	for _, c := range commands {
		for _, value := range []uint64{c, c | (1<<32-1)<<32} {
			controls = append(controls, seccomp.ArgumentConditions{{Argument: 1, Operation: seccomp.Equal, Value: value}})
		}
	}
	return []seccomp.Policy{
		deny("clone", seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: newNamespace}}),
		deny("socket", strange, seccomp.ArgumentConditions{
			{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_NETLINK}, {Argument: 2, Operation: seccomp.NotEqual, Value: unix.NETLINK_ROUTE}}),
		deny("socket", odd...),
		deny("ioctl", controls...),
	}
}

// deny is a program that denies one call where all conditions of a list are met, and allows the rest.
func deny(name string, when ...seccomp.ArgumentConditions) seccomp.Policy {
	g := seccomp.SyscallGroup{Action: seccomp.ActionErrno}
	for _, w := range when {
		g.NamesWithCondtions = append(g.NamesWithCondtions, seccomp.NameWithConditions{Name: name, Conditions: w})
	}
	return seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{g}}
}
