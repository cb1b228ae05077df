package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/osdef"
)

func (a *app) os() *cobra.Command {
	return a.online(a.group("os", "OS definitions: scripts that install systems, as Ganeti has them",
		a.osAdd(), a.osList(), a.osShow(), a.osSet(), a.osTrust(), a.osRemove(), a.osExport(), a.osImport(), a.osRename()))
}

func (a *app) osAdd() *cobra.Command {
	var files osFiles
	var p osParameters
	var name, description string
	var hidden, replace bool
	c := &cobra.Command{
		Use:   "add DIR|FILE|URL",
		Short: "Add an OS definition",
		Long: `Add an OS definition from its folder, from a tar file (plain, or packed with gzip or zstd; - for standard input), or from the URL
of one. Definitions of Ganeti are taken as they are. Nobody trusts the new one: until an administrator does, only scripts in its folder
untrusted/ run, confined.`,
		Example: `  ingot os add ./debian
  ingot os add /usr/share/ganeti/os/debootstrap --follow /etc/ganeti --parameter filesystem=ext4
  ingot os add https://files.example.org/suse.tar.gz --name suse --replace`,
		Args: exactly("DIR|FILE|URL"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			b, suggested, err := files.read(cmd, args[0])
			if err != nil {
				return err
			}
			if _, err := b.Definition(); err != nil { // before anything is sent
				return err
			}
			if name == "" {
				name = suggested
			}
			if err := osdef.CheckName(name); err != nil {
				return hint(err, "give it one with --name")
			}
			packed, err := packedOS(b)
			if err != nil {
				return err
			}
			definition := client.Object{"name": name}
			if description != "" {
				definition["description"] = description
			}
			if hidden {
				definition["hidden"] = true
			}
			public, private, err := p.values(cmd)
			if err != nil {
				return err
			}
			if len(public) > 0 {
				definition["os_parameters"] = public
			}
			if private.Len() > 0 {
				definition["os_parameters_private"] = private
			}
			d, err := c.AddOSDefinition(cmd.Context(), definition, packed)
			if fault.KindOf(err) == fault.Conflict {
				if !replace {
					return hint(err, "--replace puts these files in the place of the ones that %s has", name)
				}
				if len(definition) > 1 {
					return usagef("--replace changes files alone: ingot os set %s changes the rest", name)
				}
				d, err = c.ReplaceOSFiles(cmd.Context(), name, packed)
			}
			if err != nil {
				return err
			}
			return a.print(cmd, d.All, func(w io.Writer) { addedOS(w, d) })
		}),
	}
	files.flags(c)
	p.flags(c)
	f := c.Flags()
	f.StringVar(&name, "name", "", "its name (default: that of the folder or file)")
	f.StringVar(&description, "description", "", "a remark")
	f.BoolVar(&hidden, "hidden", false, "only administrators see it in lists")
	f.BoolVar(&replace, "replace", false, "if there is one of this name, replace its files; trust in the old ones ends")
	return c
}

// addedOS tells what was added, and what is missing before all of it runs.
func addedOS(w io.Writer, d *client.OSDefinition) {
	fmt.Fprintf(w, "added OS definition %s, %s\n", oneLine(d.Name), oneLine(d.Digest))
	if d.Trusted {
		return
	}
	fmt.Fprintln(w, "nobody trusts it yet; after a look at its files an administrator can:")
	fmt.Fprintf(w, "next: ingot os trust %s --digest %s\n", oneLine(d.Name), oneLine(d.Digest))
}

func (a *app) osList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List OS definitions",
		Example: `  ingot os list`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			found, err := c.OSDefinitions(cmd.Context())
			if err != nil {
				return err
			}
			all := make([]client.Object, len(found))
			rows := make([][]string, len(found))
			for i, d := range found {
				all[i] = d.All
				rows[i] = []string{d.Name, yesNo(d.Trusted), strings.Join(d.Variants, " "), osState(d), shortDigest(d.Digest), d.Description}
			}
			return a.print(cmd, all, func(w io.Writer) {
				table(w, []string{"name", "trusted", "variants", "state", "digest", "description"}, rows)
			})
		}),
	}
}

func osState(d client.OSDefinition) string {
	var out []string
	if d.Hidden {
		out = append(out, "hidden")
	}
	if d.Blacklisted {
		out = append(out, "blacklisted")
	}
	return strings.Join(out, " ")
}

// shortDigest is enough of a digest to see that two differ.
func shortDigest(digest string) string {
	_, hash, _ := strings.Cut(digest, ":")
	return hash[:min(12, len(hash))]
}

func (a *app) osShow() *cobra.Command {
	var bundle string
	c := &cobra.Command{
		Use:   "show DEFINITION",
		Short: "Show an OS definition, or get its files",
		Long: `Show an OS definition: what its files say, default parameters, who trusted it when, and which nodes, of those that you may see,
are installed with it. With --files its files are written as the tar
file that the digest is of: sha256sum of it gives the digest.`,
		Example: `  ingot os show debootstrap
  ingot os show debootstrap --files - | tar -tv`,
		Args: exactly("DEFINITION"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if bundle == "" {
				d, err := c.OSDefinition(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if d.All["nodes"], err = usersOf(cmd.Context(), c, d.UUID); err != nil {
					return err
				}
				return a.document(cmd, d.All)
			}
			if bundle == "-" {
				return c.OSFiles(cmd.Context(), args[0], cmd.OutOrStdout())
			}
			f, err := os.OpenFile(bundle, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return &failure{err: err, code: exitUsage}
			}
			err = c.OSFiles(cmd.Context(), args[0], f)
			if closed := f.Close(); err == nil {
				err = closed
			}
			if err != nil {
				_ = os.Remove(bundle) // half a file is none
			}
			return err
		}),
	}
	c.Flags().StringVar(&bundle, "files", "", "write its files to this tar file, which must not be there; - for standard output")
	return c
}

// usersOf are the names of the nodes that are installed with an OS definition, of those that the caller may list.
func usersOf(ctx context.Context, c *client.Client, definition string) ([]any, error) {
	nodes, err := c.Nodes(ctx, client.NodeQuery{OSDefinition: definition, Fields: []string{"uuid", "name"}})
	if err != nil && fault.KindOf(err) != fault.Forbidden {
		return nil, err
	}
	out := []any{}
	for i := range nodes {
		out = append(out, nodes[i].Label())
	}
	return out, nil
}

func (a *app) osTrust() *cobra.Command {
	var files osFiles
	var digest, dir string
	var withdraw bool
	c := &cobra.Command{
		Use:   "trust DEFINITION --digest DIGEST | --dir DIR | --withdraw",
		Short: "Let the scripts of an OS definition run unconfined",
		Long: `Let the scripts of an OS definition run unconfined in the ramdisk of the machine that is installed. Trust is of the files with one digest:
give the digest of the files that you looked at, or a folder that has the same ones. With other files the definition is untrusted at once.`,
		Example: `  ingot os trust debootstrap --dir /usr/share/ganeti/os/debootstrap --follow /etc/ganeti
  ingot os trust debootstrap --withdraw`,
		Args: exactly("DEFINITION"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			given := 0
			for _, set := range []bool{digest != "", dir != "", withdraw} {
				if set {
					given++
				}
			}
			if given != 1 {
				return hint(usagef("one of --digest, --dir and --withdraw is needed"), "ingot os show %s --files - | tar -tv shows what there is to trust", args[0])
			}
			if withdraw {
				if err := c.DistrustOSDefinition(cmd.Context(), args[0]); err != nil {
					return err
				}
				return a.print(cmd, map[string]any{"distrusted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "OS definition %s is not trusted\n", oneLine(args[0])) })
			}
			if dir != "" {
				b, _, err := files.read(cmd, dir)
				if err != nil {
					return err
				}
				digest = b.Digest()
			}
			d, err := c.TrustOSDefinition(cmd.Context(), args[0], digest)
			if err != nil {
				return err
			}
			return a.print(cmd, d.All, func(w io.Writer) {
				fmt.Fprintf(w, "OS definition %s is trusted with %s\n", oneLine(d.Name), oneLine(d.Digest))
			})
		}),
	}
	files.flags(c)
	f := c.Flags()
	f.StringVar(&digest, "digest", "", "digest of the files that are trusted, as ingot os show tells it")
	f.StringVar(&dir, "dir", "", "folder or tar file with the files that are trusted")
	f.BoolVar(&withdraw, "withdraw", false, "end the trust")
	return c
}

func (a *app) osRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "remove DEFINITION",
		Short:   "Forget an OS definition that no node is installed with",
		Example: `  ingot os remove debootstrap`,
		Args:    exactly("DEFINITION"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := c.RemoveOSDefinition(cmd.Context(), args[0]); fault.KindOf(err) == fault.Conflict {
				return hint(err, "ingot node list --os %[1]s shows what uses it; ingot node undeploy NODE takes it away, and ingot os set %[1]s --blacklisted --hidden keeps it from being used anew", args[0])
			} else if err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"removed": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "removed OS definition %s\n", oneLine(args[0])) })
		}),
	}
}
