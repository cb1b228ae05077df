package cli

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// installing is the flags by which an OS definition installs a machine. There is none for a value that is private or secret, nor for
// the package's password: everybody on the host would see it.
type installing struct {
	definition                          string
	public, private, secrets            []string
	publicFile, privateFile, secretFile string
	unset                               []string
	mode                                string
	safe, force                         bool
	bundle, user, passwordFile          string
	noBundle                            bool
	iso, isoSum                         string
	kernel, kernelSum                   string
	ramdisk, ramdiskSum, params         string
	from                                exported // an export that is put on the disks; os import alone has the flags
}

func (i *installing) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&i.definition, "os", "", "OS definition that installs, and its variant behind a plus: debian+13; beside or instead of --image")
	i.parameters(c, ofDeployment)
	f.StringArrayVar(&i.unset, "os-unset", nil, "name of a parameter of the last deployment that a rebuild does not use; repeatable")
	f.BoolVar(&i.force, "force-variant", false, "take a variant that the OS definition does not list")
	f.StringVar(&i.mode, "mode", "", "execution mode: install (by image, scripts and package, in the ramdisk), self_install (by a medium), run")
	f.BoolVar(&i.safe, "safe-install", true, "confine what an OS definition has for it; =false is for trusted definitions only")
	f.StringVar(&i.bundle, "package", "", "URL of a .tar.gz, .tgz or .tar.zst that is put over the installed system")
	f.StringVar(&i.user, "package-user", "", "user for the package's URL; with its password it is stored nowhere")
	f.StringVar(&i.passwordFile, "package-password-file", "", "file with the password for the package's URL; - for standard input, fd:N, env:NAME")
	f.StringVar(&i.iso, "boot-iso", "", "URL of an ISO that the machine boots, for --mode self_install")
	f.StringVar(&i.isoSum, "boot-iso-checksum", "", "what that ISO must be: SHA-256 or SHA-512, the URL of a file with it, or auto")
	f.StringVar(&i.kernel, "installer-kernel", "", "URL of an installer's kernel, for --mode self_install by the boot interfaces ipxe and http-ipxe")
	f.StringVar(&i.ramdisk, "installer-ramdisk", "", "URL of its initramfs")
	f.StringVar(&i.kernelSum, "installer-kernel-checksum", "", "what that kernel must be; as --boot-iso-checksum")
	f.StringVar(&i.ramdiskSum, "installer-ramdisk-checksum", "", "what that initramfs must be; as --boot-iso-checksum")
	f.StringVar(&i.params, "kernel-params", "", "parameters of that kernel")
}

// valuesHelp says what becomes of parameters.
type valuesHelp struct{ public, private, secret, file string }

var (
	ofDeployment = valuesHelp{"stored and shown", "stored sealed, never shown", "stored nowhere, needed again by a rebuild", "; null takes a stored one away"}
	ofImport     = valuesHelp{"the script import reads it; stored and shown", "the script import reads it; stored sealed, never shown", "the script import reads it; stored nowhere",
		"; with --rebuild null takes a stored one away"}
	ofExport = valuesHelp{"the script export reads it, in the place of the one that is stored; for this export only", "likewise; never shown",
		"likewise; stored nowhere, and needed only if the script reads it", ""}
	ofRename = valuesHelp{"the script rename reads it, in the place of the one that is stored; for this run only", "likewise; never shown",
		"likewise; stored nowhere, and needed only if the script reads it", ""}
)

// withoutBundle declares the flag that takes the package of the last deployment away.
func (i *installing) withoutBundle(c *cobra.Command, says string) {
	c.Flags().BoolVar(&i.noBundle, "no-package", false, says)
}

// parameters declares the flags with values.
func (i *installing) parameters(c *cobra.Command, h valuesHelp) {
	f := c.Flags()
	f.StringArrayVar(&i.public, "os-parameter", nil, "NAME=VALUE of a public parameter: "+h.public+"; repeatable")
	f.StringArrayVar(&i.private, "os-private", nil, "NAME=FILE of a private parameter: "+h.private+"; - for standard input, fd:N, env:NAME; repeatable")
	f.StringArrayVar(&i.secrets, "os-secret", nil, "NAME=FILE of a secret parameter: "+h.secret+"; as --os-private; repeatable")
	f.StringVar(&i.publicFile, "os-parameters-file", "", "JSON or YAML object of public parameters"+h.file)
	f.StringVar(&i.privateFile, "os-private-file", "", "JSON or YAML object of private parameters; - for standard input, fd:N, env:NAME")
	f.StringVar(&i.secretFile, "os-secret-file", "", "JSON or YAML object of secret parameters; as --os-private-file")
}

// sources says that something is there to install from, beside an image.
func (i *installing) sources() bool {
	return i.definition != "" || i.iso != "" || i.kernel != "" || i.mode != ""
}

// medium judges what is said of an installer.
func (i *installing) medium() error {
	switch {
	case i.iso == "" && i.isoSum != "":
		return usagef("--boot-iso-checksum is of --boot-iso, which is not given")
	case (i.kernel == "") != (i.ramdisk == ""):
		return usagef("--installer-kernel and --installer-ramdisk go together")
	case i.kernel == "" && i.kernelSum+i.ramdiskSum+i.params != "":
		return usagef("--installer-kernel-checksum, --installer-ramdisk-checksum and --kernel-params are of --installer-kernel and --installer-ramdisk, which are not given")
	case i.iso != "" && i.kernel != "":
		return usagef("--boot-iso and --installer-kernel are two installers: give one")
	}
	return nil
}

// installer is what instance_info is to say of the installer; what is there of another goes.
func (i *installing) installer(node *client.Node) (out []wire.PatchOp) {
	info := map[string]string{}
	switch {
	case i.iso != "":
		info["boot_iso"], info["boot_iso_checksum"] = i.iso, cmp.Or(i.isoSum, "auto")
	case i.kernel != "":
		info["kernel"], info["kernel_checksum"] = i.kernel, cmp.Or(i.kernelSum, "auto")
		info["ramdisk"], info["ramdisk_checksum"] = i.ramdisk, cmp.Or(i.ramdiskSum, "auto")
	default:
		return nil
	}
	for _, field := range []string{"boot_iso", "boot_iso_checksum", "kernel", "kernel_checksum", "ramdisk", "ramdisk_checksum"} {
		if v, ok := info[field]; ok {
			out = append(out, client.Set("/instance_info/"+field, v))
		} else if _, is := node.InstanceInfo[field]; is {
			out = append(out, client.Unset("/instance_info/"+field))
		}
	}
	if i.params != "" {
		out = append(out, client.Set("/instance_info/kernel_append_params", i.params))
	}
	return out
}

// leftOver takes away what instance_info says of other sources than those that are given now.
func (i *installing) leftOver(node *client.Node, image bool) (out []wire.PatchOp) {
	var fields []string
	if !image {
		fields = append(fields, "image_source", "image_checksum", "image_os_hash_algo", "image_os_hash_value", "image_disk_format", "image_container_format", "image_type", "root_gb", "swap_mb")
	}
	if i.iso == "" && i.kernel == "" {
		fields = append(fields, "boot_iso", "boot_iso_checksum")
	}
	for _, field := range fields {
		if _, is := node.InstanceInfo[field]; is {
			out = append(out, client.Unset("/instance_info/"+field))
		}
	}
	return out
}

// alone is a flag of an installation that does not say what installs; "" if one says it, or none is given.
func (i *installing) alone() string {
	if i.sources() || i.from.url != "" {
		return ""
	}
	for _, f := range []struct {
		flag  string
		given bool
	}{
		{"--package", i.bundle != ""}, {"--os-parameter", len(i.public) > 0}, {"--os-parameters-file", i.publicFile != ""}, {"--os-private", len(i.private) > 0},
		{"--os-private-file", i.privateFile != ""}, {"--os-secret", len(i.secrets) > 0}, {"--os-secret-file", i.secretFile != ""}, {"--package-user", i.user != ""},
	} {
		if f.given {
			return f.flag
		}
	}
	return ""
}

// files are the flags that read something, with what they read.
func (i *installing) files() [][2]string {
	return slices.Concat(fromEach("os-private", i.private), fromEach("os-secret", i.secrets), [][2]string{{"--os-parameters-file", i.publicFile},
		{"--os-private-file", i.privateFile}, {"--os-secret-file", i.secretFile}, {"--package-password-file", i.passwordFile}}, i.from.files())
}

// read gives what the flags say; nil: nothing.
func (i *installing) read(cmd *cobra.Command) (*client.OSInstall, error) {
	if i.mode != "" {
		if err := osdef.CheckMode(i.mode); err != nil {
			return nil, usagef("--mode: %v", err)
		}
	}
	if err := i.medium(); err != nil {
		return nil, err
	}
	if i.bundle != "" {
		if err := osdef.CheckPackage(i.bundle); err != nil {
			err = usagef("--package: %v", err)
			if u, bad := url.Parse(i.bundle); bad == nil && u.User != nil {
				err = hint(err, "its user and password: --package-user NAME --package-password-file FILE")
			}
			return nil, err
		}
	}
	if i.noBundle && i.bundle+i.user+i.passwordFile != "" {
		return nil, usagef("--no-package is the opposite of --package and what goes with it")
	}
	o := &client.OSInstall{Definition: i.definition, Force: i.force, Mode: i.mode, Package: i.bundle, NoPackage: i.noBundle, User: secret.New(i.user), Unset: i.unset}
	if cmd.Flags().Changed("safe-install") {
		o.Safe = &i.safe
	}
	if (i.user == "") != (i.passwordFile == "") {
		return nil, usagef("--package-user and --package-password-file go together")
	}
	if i.passwordFile != "" {
		v, err := readSecret(cmd, i.passwordFile, "Password for the package")
		if err != nil {
			return nil, err
		}
		o.Password = v
	}
	if err := i.from.read(cmd); err != nil {
		return nil, err
	}
	o.Import, o.ImportUser, o.ImportPassword = i.from.url, secret.New(i.from.user), i.from.password
	if err := i.values(cmd, o); err != nil {
		return nil, err
	}
	if o.Definition+o.Mode+o.Package+o.Import == "" && o.Safe == nil && !o.NoPackage && !o.Force && o.User.Empty() && len(o.Public)+len(o.Private)+len(o.Secret)+len(o.Unset) == 0 {
		return nil, nil
	}
	return o, nil
}

// values reads the parameters of all classes. A name comes once.
func (i *installing) values(cmd *cobra.Command, o *client.OSInstall) error {
	seen := map[string]bool{}
	for _, name := range i.unset {
		seen[name] = true
	}
	add := func(name string) error {
		if seen[name] {
			return usagef("the OS parameter %s is given twice", oneLine(name))
		}
		seen[name] = true
		return nil
	}
	public := map[string]string{}
	for _, s := range i.public {
		name, v, err := pair(s)
		if err != nil {
			return err
		}
		if err := refuseSecret(name, "--os-private "+name+"=FILE, or --os-secret "+name+"=FILE"); err != nil {
			return err
		}
		if err := add(name); err != nil {
			return err
		}
		public[name] = v
	}
	fromFile, err := i.document(cmd, "os-parameters-file", i.publicFile, o, add)
	if err != nil {
		return err
	}
	maps.Copy(public, fromFile)
	o.Public = public
	if o.Private, err = i.hidden(cmd, "os-private", i.private, i.privateFile, o, add); err != nil {
		return err
	}
	o.Secret, err = i.hidden(cmd, "os-secret", i.secrets, i.secretFile, o, add)
	return err
}

// hidden are the values of a class that nobody sees: of single files, and of one with several.
func (i *installing) hidden(cmd *cobra.Command, flag string, given []string, file string, o *client.OSInstall, add func(string) error) (map[string]secret.Secret, error) {
	out := map[string]secret.Secret{}
	for _, s := range given {
		name, v, err := namedSecret(cmd, flag, s, parameterLimit)
		if err == nil {
			err = add(name)
		}
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	several, err := i.document(cmd, flag+"-file", file, o, add)
	for name, v := range several {
		out[name] = secret.New(v)
	}
	return out, err
}

// document reads a file of several parameters. Those that are null are taken away.
func (i *installing) document(cmd *cobra.Command, flag, file string, o *client.OSInstall, add func(string) error) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	texts, err := readTexts(cmd, flag, file)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, name := range sortedKeys(texts) {
		if err := add(name); err != nil {
			return nil, err
		}
		if v := texts[name]; v != nil {
			out[name] = *v
		} else {
			o.Unset = append(o.Unset, name)
		}
	}
	return out, nil
}

// installTips are beginnings of what the server refuses an installation with, and what to do then.
var installTips = []struct{ says, tip string }{
	{"which installs no OS definitions", "ingot node set NODE --interface deploy=os-install gives the node the interface that does"},
	{"is not trusted", "ingot os show DEFINITION tells its digest and scripts; an administrator trusts it with ingot os trust DEFINITION --dir DIR"},
	{"runs only if the definition is trusted", "ingot os show DEFINITION tells its digest and scripts; an administrator trusts it with ingot os trust DEFINITION --dir DIR"},
	{"is blacklisted", "ingot os list shows others"},
	{"one must be chosen", "behind a plus: --os DEFINITION+VARIANT"},
	{"nothing to install from", "--os DEFINITION, --image URL, or --mode self_install --boot-iso URL, or --mode self_install --installer-kernel URL --installer-ramdisk URL"},
	{"give both in place of boot_iso", "--installer-kernel URL --installer-ramdisk URL in place of --boot-iso"},
	{"user and password of the personalization package again", "--package-user NAME --package-password-file FILE, or --no-package"},
	{"boots a whole ISO", "--boot-iso URL in place of --installer-kernel and --installer-ramdisk"},
}

// refusedInstall adds to a refusal what to do about it.
func refusedInstall(err error, ident, definition string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if flags := hiddenFlags(text); flags != "" {
		return hint(err, "give them: %s", flags)
	}
	if definition == "" {
		definition = "DEFINITION"
	}
	name, _, _ := strings.Cut(definition, "+")
	for _, t := range installTips {
		if strings.Contains(text, t.says) {
			return hint(err, "%s", strings.NewReplacer("NODE", ident, "DEFINITION", name).Replace(t.tip))
		}
	}
	return err
}

// hiddenFlags are the flags that give what a text says is missing or lost, of what is kept nowhere; "" where it says nothing is.
func hiddenFlags(text string) string {
	var flags []string
	if _, rest, ok := strings.Cut(text, "the secret OS parameters "); ok {
		for _, word := range strings.Fields(rest) {
			name, more := strings.CutSuffix(word, ",")
			flags = append(flags, "--os-secret "+name+"=FILE")
			if !more {
				break
			}
		}
	}
	if strings.Contains(text, "personalization_password") {
		flags = append(flags, "--package-user NAME --package-password-file FILE")
	}
	return strings.Join(flags, " ")
}
