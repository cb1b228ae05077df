package demo

import "github.com/spf13/cobra"

// Command is "demo", for the lab's part of the command line.
func Command() *cobra.Command {
	var o Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on an emulated machine, from bare metal to ssh and back (needs root)",
		Args:  cobra.NoArgs,
		// A person runs it as make demo; here it would be one more word among those for the lab.
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			return Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Dir, "dir", "", `folder for all that the demo makes (default "ingot-demo")`)
	f.StringVar(&o.Listen, "listen", "", "address of the server's API (default 127.0.0.1:6385)")
	f.StringVar(&o.Image, "image-dir", "", "folder with debian.raw.zst and SHA256SUMS to use (default: make one)")
	f.StringVar(&o.Lab, "name", "", `the lab's name (default "demo"); with --subnet, --listen and --dir a second demo runs beside the first`)
	f.StringVar(&o.Subnet, "subnet", "", "the lab's IPv4 /24 (default 198.18.77.0/24)")
	f.IntVar(&o.MemoryMiB, "memory", 0, "memory of the machine in MiB (default 512)")
	f.IntVar(&o.DiskGiB, "disk", 0, "disk of the machine in GiB (default 4)")
	f.BoolVar(&o.Partition, "partition-image", false, "deploy the root file system as a partition image")
	f.BoolVar(&o.Keep, "keep", false, "leave lab and server running at the end")
	return cmd
}
