package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/fault"
)

// Command is `ingot lab`.
func Command() *cobra.Command {
	cmd := &cobra.Command{Use: "lab", Short: "Run emulated machines with BMCs to rehearse on (needs root)"}
	cmd.AddCommand(upCommand(), lsCommand(), consoleCommand(), faultCommand(), downCommand(), daemonCommand(), vendordataCommand())
	return cmd
}

func upCommand() *cobra.Command {
	c := Defaults()
	subnet := c.Subnet.String()
	cmd := &cobra.Command{
		Use: "up", Args: cobra.NoArgs,
		Short: "Start a lab; returns when every BMC answers",
		Long: "Starts machines that are off, with blank disks, each behind a Redfish BMC, on a network of their own\n" +
			"that this host is part of. What an earlier lab of the same folder left is replaced.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := netip.ParsePrefix(subnet)
			if err != nil {
				return fault.Wrap(fault.Invalid, err, "The subnet %q is not of the form 198.18.77.0/24.", subnet)
			}
			c.Subnet = p
			l, err := up(cmd.Context(), c, nil)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "lab %s is up: this host is %s, images are served from %s at %s\n", l.Config.Name, l.HostAddress, l.ImagesDir, l.ImagesURL)
			return l.table(cmd.Context(), out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", c.Name, "tells labs on one host apart; 1-9 letters, digits, dashes")
	dirFlag(cmd, &c.Dir)
	f.IntVar(&c.Machines, "machines", c.Machines, "how many machines, 1-50")
	f.IntVar(&c.MemoryMiB, "memory", c.MemoryMiB, "memory of each machine in MiB")
	f.IntVar(&c.CPUs, "cpus", c.CPUs, "CPUs of each machine")
	f.IntVar(&c.DiskGiB, "disk", c.DiskGiB, "disk of each machine in GiB; it takes only what is written")
	f.IntVar(&c.Networks, "networks", c.Networks, "networks, and NICs per machine; only the first has addresses")
	f.StringVar(&c.Firmware, "firmware", c.Firmware, "uefi, or bios: machines that boot by BIOS until their BMC is told otherwise")
	f.BoolVar(&c.SecureBoot, "secure-boot", c.SecureBoot, "UEFI firmware that runs only what Microsoft's keys sign")
	f.BoolVar(&c.Switch, "switch", c.Switch, "NICs are on ports of a switch with logical networks, which docs/vswitch-api.md moves")
	f.StringVar(&c.Images, "images", "", "folder to serve to BMCs and machines (default DIR/images)")
	f.StringVar(&subnet, "subnet", subnet, "the lab's IPv4 /24; its .1 is this host")
	return cmd
}

func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", Defaults().Dir, "the lab's folder")
}

func lsCommand() *cobra.Command {
	var dir, format string
	cmd := &cobra.Command{
		Use: "ls", Args: cobra.NoArgs, Short: "Show the lab's machines and how to reach their BMCs",
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := openDir(dir)
			if err != nil {
				return err
			}
			switch format {
			case "table":
				return l.table(cmd.Context(), cmd.OutOrStdout())
			case "json":
				return l.json(cmd.Context(), cmd.OutOrStdout())
			}
			return fault.New(fault.Invalid, "The output format %q is not known: table or json.", format)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func openDir(dir string) (*Lab, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return Open(abs)
}

// power asks a BMC, and says in its place why it does not answer.
func (m *Machine) power(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // a listing must not hang on a planted fault
	defer cancel()
	p, err := m.Power(ctx)
	if err != nil {
		return "unknown"
	}
	return p
}

func (l *Lab) table(ctx context.Context, w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MACHINE\tPOWER\tBMC\tUSER\tPASSWORD FILE\tMAC\tADDRESS")
	for _, m := range l.Machines {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.power(ctx), m.BMCURL, m.User, m.PasswordFile, strings.Join(m.MACs, " "), m.Address)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range l.Machines {
		fmt.Fprintf(w, "%s certificate fingerprint: %s\n", m.Name, m.Fingerprint)
	}
	return l.switchTable(ctx, w)
}

func (l *Lab) json(ctx context.Context, w io.Writer) error {
	type row struct {
		MachineState
		Power string `json:"power"`
	}
	out := struct {
		State
		Machines []row `json:"machines"`
	}{State: l.State, Machines: []row{}}
	for _, m := range l.Machines {
		out.Machines = append(out.Machines, row{m.MachineState, m.power(ctx)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func consoleCommand() *cobra.Command {
	var dir string
	var follow bool
	cmd := &cobra.Command{
		Use: "console NAME", Args: cobra.ExactArgs(1),
		Short: "Print a machine's console; with --follow stay on it and type at it",
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := openDir(dir)
			if err != nil {
				return err
			}
			m, err := l.Machine(args[0])
			if err != nil {
				return err
			}
			text, err := m.Console(1 << 20)
			if err != nil {
				return err
			}
			if _, err := cmd.OutOrStdout().Write(text); err != nil || !follow {
				return err
			}
			return attach(cmd.Context(), m, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes, and send what is typed, until interrupted or powered off")
	return cmd
}

// attach connects a terminal with the machine's serial line, until that ends.
func attach(ctx context.Context, m *Machine, in io.Reader, out io.Writer) error {
	// By way of a descriptor: the path of a socket may have 108 bytes only, and the folder's may have more.
	folder, err := os.Open(filepath.Dir(m.ConsoleSocket))
	if err != nil {
		return err
	}
	defer folder.Close()
	path := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(m.ConsoleSocket))
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The serial line of %s is not there: the machine is off.", m.Name)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go io.Copy(conn, in) // ends with the connection, or with the process
	_, err = io.Copy(out, conn)
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func downCommand() *cobra.Command {
	var dir, name string
	cmd := &cobra.Command{
		Use: "down", Args: cobra.NoArgs,
		Short: "End the lab: machines, BMCs, network; its folder stays",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return fault.New(fault.Forbidden, "Ending a lab needs root: it removes a network namespace. Run it with sudo.")
			}
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			if err := down(abs, name); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "lab is down")
			return nil
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&name, "name", Defaults().Name, "the lab's name, if its folder is gone")
	return cmd
}

// daemonCommand is how up calls this program again, inside the namespace.
func daemonCommand() *cobra.Command {
	var dir string
	var attached bool
	cmd := &cobra.Command{
		Use: "daemon", Hidden: true, Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			return runDaemon(dir, attached, os.NewFile(3, "hello"), daemonLog(os.Stderr))
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&attached, "attached", false, "end with standard input")
	return cmd
}
