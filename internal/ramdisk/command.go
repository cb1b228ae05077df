package ramdisk

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ingot/internal/depot"
)

// Command is "ingot ramdisk".
func Command() *cobra.Command {
	c := &cobra.Command{Use: "ramdisk", Short: "Make the ramdisks that machines boot to be provisioned and rescued"}
	c.AddCommand(buildCommand())
	return c
}

func buildCommand() *cobra.Command {
	var o Options
	c := &cobra.Command{
		Use:   "build",
		Short: "Make kernel, initramfs and boot ISO",
		Long: `Make a ramdisk: Debian's signed kernel, an initramfs, and a boot ISO that starts under Secure Boot.

The kind deploy (the default) has the agent and the kernel modules that storage and network need. It cleans, deploys and
inspects. On Debian the parts are fetched with apt, mdadm for software RAID among them; elsewhere, or to use your own, give
them as files. Needs no root and mounts nothing.

The kind debian is a whole Debian with tools for disks and networks, which the user of a machine logs in to (rescue), and in
which scripts of OS definitions run. It is made by mmdebstrap from the packages of the Debian that runs here, as root, or without
where user namespaces allow it.
Nothing of this host's goes into it; what you add with --include and --add does, and every user of a rescue can read it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Agent == "" {
				agent, err := besideUs("ingot-agent")
				if err != nil {
					return err
				}
				o.Agent = agent
			}
			if o.Out == "" {
				if err := o.checkKind(); err != nil {
					return err
				}
				var err error
				if o.Out, err = defaultOut(o.Kind); err != nil {
					return err
				}
			}
			o.Say = func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) }
			m, err := Build(c.Context(), o)
			if err != nil {
				return err
			}
			return report(c, o.Out, m)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Kind, "kind", depot.KindDeploy, "deploy, or debian for rescue and OS definitions")
	f.StringVar(&o.Out, "out", "", "folder for the result (default: ingot-data/ramdisk, of the kind debian ingot-data/ramdisk-debian)")
	f.StringVar(&o.Agent, "agent", "", "the agent's program (default: ingot-agent beside this program)")
	f.StringVar(&o.Work, "work", "", "folder that keeps fetched packages (default: .work in the result's folder)")
	f.StringVar(&o.Kernel, "kernel", "", "kernel image to use, with --modules (default: Debian's)")
	f.StringVar(&o.Modules, "modules", "", "folder of the kernel's modules, lib/modules/<release>, with --kernel")
	f.StringVar(&o.Shim, "shim", "", "shim signed for Secure Boot (default: Debian's)")
	f.StringVar(&o.Grub, "grub", "", "GRUB for CDs, signed for shim (default: Debian's)")
	f.StringVar(&o.NetGrub, "net-grub", "", "GRUB for the network, signed for shim (default: Debian's)")
	f.StringVar(&o.IPXE, "ipxe", "", "folder with iPXE's snponly.efi and undionly.kpxe (default: Debian's)")
	f.StringArrayVar(&o.Add, "add", nil, "folder whose files go into the ramdisk under the same paths, such as usr/lib/ingot/plugins/NAME; may be given again")
	f.StringArrayVar(&o.Include, "include", nil, "package that goes into the Debian ramdisk beside its own; may be given again")
	f.StringVar(&o.CA, "ca", "", "PEM bundle of certificate authorities (default: Debian's)")
	return c
}

// defaultOut is where a ramdisk goes that is given no folder: into the data folder of a server that is started here. Made for it, it is
// its owner's alone, as the server makes it.
func defaultOut(kind string) (string, error) {
	const data = "ingot-data"
	return Folder(data, kind), os.MkdirAll(data, 0o700)
}

// besideUs finds a program in the folder of this one.
func besideUs(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	return filepath.Join(filepath.Dir(self), name), nil
}

// report prints what was made.
func report(c *cobra.Command, out string, m *depot.Manifest) error {
	w := c.OutOrStdout()
	for _, f := range m.Files {
		if _, err := fmt.Fprintf(w, "%s  %9d bytes  sha256 %s\n", filepath.Join(out, f.Name), f.Size, f.SHA256); err != nil {
			return err
		}
	}
	for _, f := range m.Loaders {
		if _, err := fmt.Fprintf(w, "%s  %9d bytes  sha256 %s\n", filepath.Join(out, depot.LoaderFolder, f.Name), f.Size, f.SHA256); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "kernel %s, %d modules, %d MB of memory when unpacked\n", m.KernelRelease, len(m.Modules), m.UnpackedSize/1_000_000)
	if err == nil && len(m.MissingModules) > 0 {
		_, err = fmt.Fprintf(w, "modules this kernel does not have: %v\n", m.MissingModules)
	}
	return err
}
