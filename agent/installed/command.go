package installed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Name is what the program must be called as to be this command.
const Name = "rescue-disks"

const usage = `Usage: rescue-disks                       list disks, RAID, LVM and file systems, and what is installed on them
       rescue-disks mount [--rw] [DEVICE]  mount the installed system at /mnt, for reading only or for writing
       rescue-disks umount                 take it away again

Without DEVICE the root file system is found; if there are several it must be named. Arrays and volumes are made available
read-only, until --rw. An encrypted device is opened by "cryptsetup open --readonly DEVICE NAME" before.
`

// Main runs the command and gives its exit code.
func Main(ctx context.Context, args []string, out, complaints io.Writer) int {
	w := work{out: out, run: program, at: "/mnt"}
	err := w.command(ctx, args)
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(complaints, usage)
		return 2
	case err != nil:
		fmt.Fprintln(complaints, "rescue-disks:", err)
		return 1
	}
	return 0
}

var errUsage = errors.New("wrong arguments")

// work is one run of the command.
type work struct {
	out io.Writer
	run func(ctx context.Context, name string, args ...string) ([]byte, error)
	at  string // where the installed system is mounted
	add string // options of mount(8) that each mount has, too
}

func (w work) command(ctx context.Context, args []string) error {
	verb := "list"
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	rw, device := false, ""
	for _, a := range args {
		switch {
		case a == "--rw" && verb == "mount":
			rw = true
		case verb == "mount" && device == "" && a != "" && a[0] != '-':
			device = a
		default:
			return errUsage
		}
	}
	if verb == "help" || verb == "--help" || verb == "-h" {
		_, err := fmt.Fprint(w.out, usage)
		return err
	}
	if verb != "list" && verb != "mount" && verb != "umount" {
		return errUsage
	}
	if os.Geteuid() != 0 {
		return errors.New("only root may look at disks: sudo rescue-disks")
	}
	switch verb {
	case "mount":
		return w.mount(ctx, device, rw)
	case "umount":
		return w.umount(ctx)
	}
	return w.list(ctx)
}
