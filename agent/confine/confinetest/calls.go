package confinetest

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Numbers of system calls by what they are here. Source: golang.org/x/sys.
const (
	unixOpenByHandle  = unix.SYS_OPEN_BY_HANDLE_AT
	unixVMRead        = unix.SYS_PROCESS_VM_READV
	unixInitModule    = unix.SYS_INIT_MODULE
	unixFinitModule   = unix.SYS_FINIT_MODULE
	unixKexecLoad     = unix.SYS_KEXEC_LOAD
	unixKexecFileLoad = unix.SYS_KEXEC_FILE_LOAD
	unixBPF           = unix.SYS_BPF
	unixPerf          = unix.SYS_PERF_EVENT_OPEN
	unixKeyctl        = unix.SYS_KEYCTL
	unixIOUring       = unix.SYS_IO_URING_SETUP
	unixUserfault     = unix.SYS_USERFAULTFD
	unixSyslog        = unix.SYS_SYSLOG
	unixIopl          = unix.SYS_IOPL
	unixSwapon        = unix.SYS_SWAPON
	unixAcct          = unix.SYS_ACCT
	unixSettimeofday  = unix.SYS_SETTIMEOFDAY
	unixReboot        = unix.SYS_REBOOT
	unixClone3        = unix.SYS_CLONE3
	unixUmount        = unix.SYS_UMOUNT2
	unixFsopen        = unix.SYS_FSOPEN
)

// pid is a fact that is a number, as an argument.
func pid(fact string) lazy {
	return func() uintptr {
		n, _ := strconv.Atoi(os.Getenv(fact))
		return uintptr(n)
	}
}

type lazy func() uintptr

// call makes a system call with arguments that do no harm where it is allowed.
func call(number uintptr, args ...any) try {
	return func() (string, error) {
		var a [6]uintptr
		for i, v := range args {
			switch v := v.(type) {
			case int:
				a[i] = uintptr(v)
			case uintptr:
				a[i] = v
			case lazy:
				a[i] = v()
			}
		}
		_, _, no := syscall.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if no != 0 {
			return "", no
		}
		return "", nil
	}
}

func addressOf(b *[256]byte) uintptr { return uintptr(unsafe.Pointer(b)) }

// address gives lo another address.
func address() (string, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return "", err
	}
	a, err := netlink.ParseAddr("192.0.2.7/32")
	if err != nil {
		return "", err
	}
	return "", netlink.AddrAdd(lo, a)
}

// oldProgram asks for a user namespace as a program of 1990 would, by int 0x80, and exits with the error's number.
var oldProgram = []byte{
	0xb8, 0x36, 0x01, 0x00, 0x00, // mov eax, 310: unshare of i386
	0xbb, 0x00, 0x00, 0x00, 0x10, // mov ebx, CLONE_NEWUSER
	0xcd, 0x80, // int 0x80
	0x89, 0xc7, // mov edi, eax
	0xf7, 0xdf, // neg edi
	0xb8, 0x3c, 0x00, 0x00, 0x00, // mov eax, 60: exit
	0x0f, 0x05, // syscall
}

// oldCall runs that program, which is made into a file that the kernel can load.
func oldCall() (string, error) {
	if runtime.GOARCH != "amd64" {
		return "signal", nil
	}
	const at, header = 0x400000, 120
	elf := make([]byte, header, header+len(oldProgram))
	copy(elf, "\x7fELF\x02\x01\x01")
	put := func(offset, bytes int, value uint64) {
		for i := range bytes {
			elf[offset+i] = byte(value >> (8 * i))
		}
	}
	for _, f := range []struct {
		offset, bytes int
		value         uint64
	}{
		{16, 2, 2}, {18, 2, 62}, {20, 4, 1}, {24, 8, at + header}, {32, 8, 64}, {52, 2, 64}, {54, 2, 56}, {56, 2, 1}, // the file's
		{64, 4, 1}, {68, 4, 5}, {80, 8, at}, {88, 8, at}, {96, 8, uint64(header + len(oldProgram))}, {104, 8, uint64(header + len(oldProgram))}, {112, 8, 0x1000}, // its one part
	} {
		put(f.offset, f.bytes, f.value)
	}
	dir, err := os.MkdirTemp("/tmp", "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := dir + "/old"
	if err := os.WriteFile(path, append(elf, oldProgram...), 0o700); err != nil {
		return "", err
	}
	err = exec.Command(path).Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "exit 0", nil
	case errors.As(err, &exit) && exit.Exited():
		return "exit " + strconv.Itoa(exit.ExitCode()), nil
	case errors.As(err, &exit):
		return "signal", nil
	}
	return "", err
}
