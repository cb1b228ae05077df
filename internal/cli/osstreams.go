package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	download "ingot/internal/source"
)

// exported is where an export is, and who may read or write it.
type exported struct {
	url, user, passwordFile string
	password                secret.Secret
}

func (e *exported) flags(c *cobra.Command, flag, says string) {
	f := c.Flags()
	f.StringVar(&e.url, flag, "", says)
	f.StringVar(&e.user, "url-user", "", "user for that URL; with its password it is stored nowhere")
	f.StringVar(&e.passwordFile, "url-password-file", "", "file with the password for that URL; - for standard input, fd:N, env:NAME")
	_ = c.MarkFlagRequired(flag)
}

// files are the flags that read something, with what they read.
func (e *exported) files() [][2]string {
	return [][2]string{{"--url-password-file", e.passwordFile}}
}

// read judges the URL, if there is one, and reads the password.
func (e *exported) read(cmd *cobra.Command) (err error) {
	if e.url == "" {
		return nil
	}
	if err := osdef.CheckStreams(e.url); err != nil {
		return hint(usagef("%v", err), "its user and password: --url-user NAME --url-password-file FILE")
	}
	if (e.user == "") != (e.passwordFile == "") {
		return usagef("--url-user and --url-password-file go together")
	}
	if e.passwordFile != "" {
		e.password, err = readSecret(cmd, e.passwordFile, "Password for the URL")
	}
	return err
}

// exportPassword is the name of the password among the secret values of an export.
const exportPassword = "os-export-password" //nolint:gosec // G101: a name

func (a *app) osExport() *cobra.Command {
	var to exported
	var replace bool
	var w waiting
	var values installing
	c := &cobra.Command{
		Use:   "export NODE --to URL",
		Short: "Dump the disks of a machine, by the OS definition that it is installed with",
		Long: `Dump the disks of a machine, by the OS definition that it is installed with: its script export runs once for each disk, in the ramdisk,
and what it says goes to URL/disk-0, URL/disk-1 and so on, by PUT. URL/manifest.json is written last: without it there is no export. The
machine is off its user's network meanwhile, and runs again afterwards. ingot os import puts the export on another machine.`,
		Example: `  ingot os export rack1-u3 --to https://backup.example.com/exports/web1 --wait
  ingot os export rack1-u3 --to https://backup.example.com/exports/web1 --replace --url-user ingot --url-password-file backup.pw`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
	}
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		if err := onceEach(append(values.files(), to.files()...)...); err != nil {
			return err
		}
		if err := to.read(cmd); err != nil {
			return err
		}
		step := map[string]any{"url": to.url}
		p := client.Provision{}
		if to.user != "" {
			step["user"], step["password"] = to.user, map[string]any{"secret": exportPassword}
			p.Secrets = map[string]secret.Secret{exportPassword: to.password}
		}
		if replace {
			step["replace"] = true
		}
		return a.osService(cmd, cl, args[0], w, p, &values, metal.StepOSExport, step)
	})
	to.flags(c, "to", "URL of the folder that the dumps are put in; its server takes PUT")
	c.Flags().BoolVar(&replace, "replace", false, "overwrite the export that is there")
	values.parameters(c, ofExport)
	w.flags(c)
	return c
}

func (a *app) osRename() *cobra.Command {
	var w waiting
	var values installing
	c := &cobra.Command{
		Use:   "rename NODE NAME",
		Short: "Give the instance of a machine another name, by the OS definition that it is installed with",
		Long: `Give the instance of a machine another name: the script rename of the OS definition that it is installed with runs in the ramdisk, and
the machine starts again under that name. What it reads from the metadata service says it, too, and a rebuild keeps it. The node's own name
is another thing: ingot node set NODE --name changes it.`,
		Example:           `  ingot os rename rack1-u3 web2.example.com --wait`,
		Args:              exactly("NODE", "NAME"),
		ValidArgsFunction: a.completeNodes,
	}
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		if err := osdef.CheckInstance(args[1]); err != nil {
			return usagef("%v", err)
		}
		if err := onceEach(values.files()...); err != nil {
			return err
		}
		return a.osService(cmd, cl, args[0], w, client.Provision{}, &values, metal.StepOSRename, map[string]any{"name": args[1]})
	})
	values.parameters(c, ofRename)
	w.flags(c)
	return c
}

// osService asks for a service whose one step runs a script.
func (a *app) osService(cmd *cobra.Command, c *client.Client, ident string, w waiting, p client.Provision, values *installing, step string, args map[string]any) error {
	var err error
	if p.OS, err = values.read(cmd); err != nil {
		return err
	}
	p.Verb, p.Steps = metal.VerbService, []any{map[string]any{"interface": "deploy", "step": step, "args": args}}
	return a.start(cmd, c, ident, cmd.Name(), w, rest{[]metal.State{metal.Active}}, func(ctx context.Context) error {
		return refusedInstall(c.SetProvision(ctx, ident, p), ident, "")
	})
}

func (a *app) osImport() *cobra.Command {
	var d deployment
	c := &cobra.Command{
		Use:   "import NODE --from URL",
		Short: "Put an export on the disks of a machine, and boot it",
		Long: `Put what ingot os export left on the disks of a machine, and boot it: the script import of an OS definition runs once for each disk, in
the ramdisk. Nothing is written before the manifest was read and the files are as it says; a dump whose SHA-256 is another is a failure.
The definition is the one that the manifest names, unless --os names another; this command reads the manifest for that. A node that is
deployed already needs --rebuild, and what is on its disks is lost.`,
		Example: `  ingot os import rack1-u4 --from https://backup.example.com/exports/web1 --hostname web1 --wait
  ingot os import rack1-u3 --from https://backup.example.com/exports/web1 --os debian+13 --rebuild --wait`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
	}
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		if d.os.definition == "" {
			if err := onceEach(d.os.files()...); err != nil {
				return err
			}
			if err := d.os.from.read(cmd); err != nil {
				return err
			}
			if err := a.exportedBy(cmd, cl, &d.os); err != nil {
				return err
			}
			d.os.from.passwordFile = "" // it was read
		}
		return a.deploy(cmd, cl, args[0], &d)
	})
	d.os.from.flags(c, "from", "URL of the folder that an export is in")
	d.os.parameters(c, ofImport)
	f := c.Flags()
	f.StringVar(&d.os.definition, "os", "", "OS definition that imports, and its variant behind a plus (default: as the export's manifest says)")
	f.StringArrayVar(&d.os.unset, "os-unset", nil, "with --rebuild: name of a parameter of the last deployment that is not used; repeatable")
	f.BoolVar(&d.os.safe, "safe-install", true, "confine what an OS definition has for it; =false is for trusted definitions only")
	d.os.withoutBundle(c, "with --rebuild: do not put the package of the last deployment over what is imported")
	f.BoolVar(&d.rebuild, "rebuild", false, "the node is deployed already: what is on its disks is lost")
	d.instance(c)
	d.flags(c)
	return c
}

// manifestLimit bounds what is read of a manifest here, where only a name is looked for in it.
const manifestLimit = 1 << 20

// exportedBy reads which definition an export is of. Other files of it than those that exported are told, and no reason to refuse: they may
// have been mended since.
func (a *app) exportedBy(cmd *cobra.Command, c *client.Client, i *installing) error {
	const otherwise = "name the definition, and this command need not read it: --os DEFINITION+VARIANT"
	at := strings.TrimSuffix(i.from.url, "/") + "/manifest.json"
	body, err := download.Open(cmd.Context(), []string{at}, download.Options{User: i.from.user, Password: i.from.password, Tries: 2})
	switch {
	case errors.Is(err, download.ErrUnauthorized):
		return hint(err, "give them: --url-user USER --url-password-file FILE")
	case fault.KindOf(err) == fault.Unavailable: // it may be the machines alone that reach it
		return hint(err, "%s", otherwise)
	case err != nil:
		return hint(err, "see that --from names the folder that ingot os export wrote; if only machines reach it, %s", otherwise)
	}
	defer func() { _ = body.Close() }()
	var m struct {
		Version                     int
		Definition, Variant, Digest string
	}
	b, err := io.ReadAll(io.LimitReader(body, manifestLimit))
	if err != nil {
		return hint(err, "%s", otherwise)
	}
	if json.Unmarshal(b, &m) != nil {
		return hint(errors.New(download.Safe(at)+" is no manifest of an export"), "%s", otherwise)
	}
	if m.Version == 0 {
		return hint(errors.New("the export at "+download.Safe(i.from.url)+" did not end"), "ingot os export makes it anew")
	}
	if err := osdef.CheckName(m.Definition); err != nil {
		return hint(errors.New(download.Safe(at)+" names no OS definition"), "%s", otherwise)
	}
	i.definition = m.Definition
	if m.Variant != "" {
		i.definition += "+" + m.Variant
	}
	known, err := c.OSDefinition(cmd.Context(), m.Definition)
	if err != nil {
		return hint(err, "the export was made with it; %s", otherwise)
	}
	if known.Digest != m.Digest {
		fmt.Fprintf(cmd.ErrOrStderr(), "the export was made with other files of the OS definition %s, %s: the server has %s\n", oneLine(m.Definition), oneLine(m.Digest), oneLine(known.Digest))
	}
	return nil
}
