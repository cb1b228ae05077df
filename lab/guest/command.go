package guest

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Command is "image", for the lab's part of the command line.
func Command() *cobra.Command {
	var o Options
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Make a Debian disk image to deploy, or take it from the cache",
		Long: `Make a real Debian whole-disk image (systemd, cloud-init, sshd; boots under Secure Boot) from Debian's
packages: debian.raw, debian.raw.zst and SHA256SUMS. The packages come from where this host's apt gets them.
Building needs root; an image that is in the cache does not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log = cmd.ErrOrStderr()
			img, err := Build(cmd.Context(), o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n%s\n", img.Raw, img.Zst, img.Sums)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Out, "out", "", "folder to copy the files to (default: leave them in the cache)")
	f.StringVar(&o.CacheDir, "cache", "", "folder to keep finished images in (default: in the user's cache directory)")
	f.StringVar(&o.Kernel, "kernel", "", `kernel package (default "linux-image-cloud-amd64"; "linux-image-amd64" has drivers for real machines)`)
	f.StringSliceVar(&o.Packages, "package", nil, "a package to add; may be given again")
	f.IntVar(&o.SizeMiB, "size", 0, "size of the disk in MiB (default 2048)")
	f.BoolVar(&o.Fresh, "fresh", false, "build anew, with the archive's newest packages")
	return cmd
}
