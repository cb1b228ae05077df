package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// deployment is the flags of node deploy.
type deployment struct {
	image, checksum              string
	keys, meta                   []string
	hostname, userData, networks string
	drive                        string
	noDrive                      bool
	bootRoles                    []string
	rootGB, swapMB               int
	rebuild                      bool // the node is deployed already: what the flags do not say stays as it is
	steps                        stepFlags
	os                           installing
	waiting
}

func (a *app) nodeDeploy() *cobra.Command {
	var d deployment
	c := &cobra.Command{
		Use:   "deploy NODE --image URL|--os DEFINITION+VARIANT",
		Short: "Write an image to the machine, or install it by OS definition, and boot it",
		Long: `Write a whole-disk image to the machine, with a config drive that says who it is and who may log in, and boot it.

The image is a URL or a local path that the server can read: raw, zstd, gzip or xz of raw, qcow2, or an ISO with a partition
table. Its checksum is given as a value (sha256 or sha512 in hex), as the URL of a checksum file, or found beside the image (auto).
An image of a registry (oci://HOST/PATH:TAG) or of Glance (its id, or glance://ID) needs none: the registry or Glance knows it.

With --root-gb it is the image of a root partition instead, an ext4 with a signed boot loader in it; the disk is
divided around it.

With --os the scripts of an OS definition install the machine (ingot os list), on top of the image if there is one; a package is
put over that. What is private or secret comes from files, standard input, descriptors or the environment, never from the
command line. A secret value is kept nowhere: a rebuild needs it again.`,
		Example: `  ingot node deploy rack1-u3 --image https://images.example.com/debian-12.raw.zst \
      --ssh-key ~/.ssh/id_ed25519.pub --hostname web1 --wait
  ingot node deploy rack1-u3 --image https://images.example.com/debian-12.raw \
      --checksum https://images.example.com/SHA256SUMS --user-data cloud-config.yaml --meta role=web
  ingot node deploy rack1-u3 --os debian+13 --os-parameter mirror=http://deb.example.com/debian \
      --os-private token=token.txt --os-secret root-password=- --wait`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			return a.deploy(cmd, c, args[0], &d)
		}),
	}
	d.describe(c)
	return c
}

func (a *app) nodeRebuild() *cobra.Command {
	d := deployment{rebuild: true}
	c := &cobra.Command{
		Use:   "rebuild NODE",
		Short: "Write an image to a machine that is deployed already, and boot it",
		Long: `Write an image to a machine that is deployed already, and boot it: its own once more, or another. What the flags do
not say stays as it is, the config drive too, and the OS definition with its package and its public and private parameters.
What is on the disk is lost.`,
		Example: `  ingot node rebuild rack1-u3 --wait
  ingot node rebuild rack1-u3 --image https://images.example.com/debian-13.raw.zst --wait
  ingot node rebuild rack1-u3 --os-secret root-password=root.pw --wait`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			return a.deploy(cmd, c, args[0], &d)
		}),
	}
	d.describe(c)
	return c
}

// describe declares the flags.
func (d *deployment) describe(c *cobra.Command) {
	d.steps.flags(c)
	d.os.flags(c)
	f := c.Flags()
	f.StringVar(&d.image, "image", "", "URL or path of the image, or its id in Glance")
	f.IntVar(&d.rootGB, "root-gb", 0, "size of the root partition in GiB; says that the image is that of a partition, an ext4")
	f.IntVar(&d.swapMB, "swap-mb", 0, "size of a swap partition in MiB, with --root-gb; 0 for none")
	f.StringVar(&d.checksum, "checksum", "auto", "auto, sha256 or sha512 in hex, or URL of a checksum file; auto looks for none of oci:// and Glance's images")
	d.instance(c)
	if d.rebuild {
		d.os.withoutBundle(c, "do not put the package of the last deployment over the system")
	} else {
		f.StringSliceVar(&d.bootRoles, "boot-roles", nil, "for services: the roles of the user for whom this deploys, in place of the caller's; vendordata targets are told them")
	}
	d.flags(c)
}

// instance declares the flags that say who the instance is.
func (d *deployment) instance(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&d.keys, "ssh-key", nil, "file with public keys that may log in; repeatable")
	f.StringVar(&d.hostname, "hostname", "", "host name (default: the node's name)")
	f.StringVar(&d.userData, "user-data", "", "file with user data for cloud-init; - for standard input")
	f.StringArrayVar(&d.meta, "meta", nil, "KEY=VALUE in the instance's metadata; repeatable")
	f.StringVar(&d.networks, "network-data", "", "JSON or YAML file with the instance's network_data")
	f.StringVar(&d.drive, "config-drive", "", "file or URL of a ready config drive, instead of --ssh-key, --hostname, --user-data, --meta and --network-data")
	f.BoolVar(&d.noDrive, "no-config-drive", false, "write no config drive: what it would hold is served to the instance only, by the metadata service")
}

func (a *app) deploy(cmd *cobra.Command, c *client.Client, ident string, d *deployment) error {
	if with := d.os.alone(); d.image == "" && !d.rebuild && with != "" {
		return hint(usagef("%s is for an installation, and nothing says what installs: --image, --os and --mode self_install are missing", with),
			"a package is put over what an image or an OS definition installs, and parameters are read by a definition's scripts or by a medium: ingot os list shows the definitions")
	}
	if d.image == "" && !d.rebuild && !d.os.sources() {
		return hint(usagef("--image is missing, and --os"), "give the URL of a whole-disk image: raw, zstd, gzip or xz of raw, or qcow2; or an OS definition: ingot os list")
	}
	if err := d.check(); err != nil {
		return err
	}
	reads := append(d.os.files(), fromEach("secret", d.steps.secrets)...)
	if err := onceEach(append(reads, [][2]string{{"--user-data", d.userData}, {"--network-data", d.networks}, {"--steps", d.steps.file}}...)...); err != nil {
		return err
	}
	if d.rootGB < 0 || d.swapMB < 0 || (d.swapMB > 0 && d.rootGB == 0) || (d.rootGB > 0 && d.image == "") {
		return usagef("--root-gb and --swap-mb are sizes for --image, and a swap partition goes with a root partition")
	}
	image := ""
	if d.image != "" {
		var err error
		if image, err = imageURL(d.image); err != nil {
			return err
		}
	}
	drive, err := d.configDrive(cmd)
	if err != nil {
		return err
	}
	install, err := d.os.read(cmd)
	if err != nil {
		return err
	}
	steps, values, err := d.steps.read(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	node, err := c.Node(ctx, ident)
	if err != nil {
		return err
	}
	verb := metal.VerbActive
	if d.rebuild {
		verb = metal.VerbRebuild
	}
	if _, ok := metal.Next(node.State(), metal.Verbs[verb].Event); !ok && d.rebuild {
		return fmt.Errorf("node %s is %s: only a node that is deployed, or whose deployment failed, can be rebuilt", node.Label(), node.State())
	} else if !ok {
		tip := toAvailable(node)
		if _, ok := metal.Next(node.State(), metal.EventRebuild); ok {
			tip = "--rebuild puts it over what is there; " + tip
			if cmd.Name() == "deploy" {
				tip = "ingot node rebuild " + node.Label() + " --wait puts it over what is there; " + toAvailable(node)
			}
		}
		return hint(fmt.Errorf("node %s is %s: only an available node can be deployed to", node.Label(), node.State()), "%s", tip)
	}
	if err := notInstalledWith(node, install); err != nil {
		return err
	}
	if object, ok := drive.(map[string]any); ok {
		name(object, d.hostname, node)
	}
	changes, err := d.changes(a, cmd, image, node)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		if _, err := c.UpdateNode(ctx, ident, changes, false); err != nil {
			return err
		}
	}
	return a.start(cmd, c, ident, cmd.Name(), d.waiting, rest{[]metal.State{metal.Active}}, func(ctx context.Context) error {
		err := c.SetProvision(ctx, ident, client.Provision{Verb: verb, ConfigDrive: drive, Steps: withArgs(steps), Secrets: values, BootRoles: d.bootRoles, OS: install})
		return refusedInstall(err, ident, d.os.definition)
	})
}

// changes is what instance_info is to say before the machine is asked for.
func (d *deployment) changes(a *app, cmd *cobra.Command, image string, node *client.Node) (out []wire.PatchOp, err error) {
	if image != "" {
		info, err := a.imageInfo(cmd, image, d.checksum)
		if err != nil {
			return nil, err
		}
		if d.rootGB != 0 {
			info["image_type"], info["root_gb"], info["swap_mb"] = "partition", strconv.Itoa(d.rootGB), strconv.Itoa(d.swapMB)
		}
		out = imageChanges(node, info)
	}
	if !d.rebuild { // what an earlier command said, and perhaps was refused, is not meant
		out = append(out, d.os.leftOver(node, image != "")...)
	}
	out = append(out, d.os.installer(node)...)
	switch _, says := node.InstanceInfo["config_drive"]; {
	case d.noDrive:
		out = append(out, client.Set("/instance_info/config_drive", "false"))
	case says && (!d.rebuild || d.drive != ""): // of an earlier deployment
		out = append(out, client.Unset("/instance_info/config_drive"))
	}
	return out, nil
}

// toAvailable says how a node comes from where it is to where it can be deployed to.
func toAvailable(n *client.Node) string {
	name, s := n.Label(), n.State()
	if s == metal.DeployWait || s == metal.DeployHold {
		return "ingot node abort " + name + " --wait ends what it waits for"
	}
	if kind := metal.States[s].Kind; kind == metal.Stable || kind == metal.Failed { // what is under way may lead there by itself
		if _, ok := metal.Next(s, metal.EventProvide); ok {
			return "ingot node provide " + name + " --wait"
		}
		if _, ok := metal.Next(s, metal.EventDelete); ok {
			return "ingot node undeploy " + name + " --wait erases it and makes it available"
		}
		if _, ok := metal.Next(s, metal.EventManage); ok {
			return "ingot node manage " + name + " --wait, then ingot node provide " + name + " --wait"
		}
	}
	return "ingot node why " + name + " tells what it is doing"
}

// imageURL makes the URL of what --image names.
func imageURL(s string) (string, error) {
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || (u.Host == "" && u.Scheme != "file") {
			return "", usagef("--image %s is no URL", s)
		}
		if u.User != nil {
			return "", usagef("--image: a user name or password in a URL would be seen by everybody who sees the node")
		}
		return s, nil
	}
	if glanceID.MatchString(s) {
		return s, nil
	}
	path, err := filepath.Abs(s)
	if err != nil {
		return "", fmt.Errorf("--image %s: %w", s, err)
	}
	if _, err := os.Stat(path); err != nil {
		return "", hint(usagef("--image %s: no such file here", s), "give a URL: https://…, oci://HOST/PATH:TAG, file:///… for a file at the server; or the id of an image in Glance")
	}
	return (&url.URL{Scheme: "file", Path: path}).String(), nil
}

// glanceID is what an image of Glance is named by; a file of such a name is ./NAME.
var glanceID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// vouched tells whether where the image is from knows its checksum, so that the server need not be told one.
func vouched(image string) bool {
	return glanceID.MatchString(image) || strings.HasPrefix(image, "oci://") || strings.HasPrefix(image, "glance://")
}

var hexDigest = regexp.MustCompile(`^(?:(sha256|sha512|sha1|md5):)?([0-9a-fA-F]+)$`)

// imageInfo is the instance_info that names the image and its checksum.
func (a *app) imageInfo(cmd *cobra.Command, image, spec string) (map[string]string, error) {
	out := map[string]string{"image_source": image}
	if m := hexDigest.FindStringSubmatch(spec); m != nil {
		algo := map[int]string{32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}[len(m[2])]
		if algo == "" || (m[1] != "" && m[1] != algo) {
			return nil, usagef("--checksum: %d hex digits are no sha256 (64) and no sha512 (128)", len(m[2]))
		}
		if algo == "md5" || algo == "sha1" {
			return nil, hint(usagef("--checksum: %s can be forged", algo), "give sha256 or sha512: sha256sum FILE prints it")
		}
		out["image_os_hash_algo"], out["image_os_hash_value"] = algo, strings.ToLower(m[2])
		return out, nil
	}
	if spec != "auto" && !strings.Contains(spec, "://") {
		return nil, usagef("--checksum %s: give auto, a value in hex, or a URL", spec)
	}
	if spec == "auto" && vouched(image) {
		return out, nil
	}
	if a.Checksum == nil {
		return nil, hint(usagef("--checksum %s: this build cannot look for checksums", spec), "give the value: sha256sum FILE prints it")
	}
	sum, err := a.Checksum(cmd.Context(), image, spec)
	if err != nil {
		return nil, hint(fmt.Errorf("find the checksum: %w", err), "give it: --checksum VALUE, or --checksum URL of a checksum file")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "checksum %s:%s from %s\n", oneLine(sum.Algo), oneLine(sum.Value), oneLine(sum.Source))
	out["image_os_hash_algo"], out["image_os_hash_value"] = sum.Algo, sum.Value
	return out, nil
}

// imageChanges sets info and takes away what an earlier deploy left that would contradict it.
func imageChanges(n *client.Node, info map[string]string) []wire.PatchOp {
	var out []wire.PatchOp
	for _, k := range []string{"image_checksum", "image_os_hash_algo", "image_os_hash_value", "image_disk_format", "image_container_format", "image_type"} {
		_, again := info[k]
		if _, ok := n.InstanceInfo[k]; ok && !again {
			out = append(out, client.Unset("/instance_info/"+k))
		}
	}
	for _, k := range sortedKeys(info) {
		out = append(out, client.Set("/instance_info/"+k, info[k]))
	}
	return out
}

// configDrive is what the flags say about the instance: an object, or what --config-drive names.
func (d *deployment) configDrive(cmd *cobra.Command) (any, error) {
	if d.drive != "" && d.noDrive {
		return nil, usagef("--config-drive is a ready drive, and --no-config-drive wants none")
	}
	if d.drive != "" {
		if d.hostname+d.userData+d.networks != "" || len(d.keys)+len(d.meta) > 0 {
			return nil, usagef("--config-drive replaces --ssh-key, --hostname, --user-data, --meta and --network-data")
		}
		return readyDrive(cmd, d.drive)
	}
	if d.rebuild && d.hostname+d.userData+d.networks == "" && len(d.keys)+len(d.meta) == 0 {
		return nil, nil
	}
	meta := map[string]any{}
	keys := map[string]any{}
	for _, file := range d.keys {
		if err := addKeys(cmd, file, keys); err != nil {
			return nil, err
		}
	}
	if len(keys) > 0 {
		meta["public_keys"] = keys
	}
	own, err := pairs(d.meta, asText)
	if err != nil {
		return nil, err
	}
	if len(own) > 0 {
		meta["meta"] = own
	}
	out := map[string]any{"meta_data": meta}
	if d.userData != "" {
		b, err := read(cmd, d.userData, documentLimit)
		if err != nil {
			return nil, err
		}
		if !utf8.Valid(b) {
			return nil, hint(usagef("--user-data %s is not text", d.userData), "uncompressed text travels in JSON; for bytes build a drive and give --config-drive")
		}
		out["user_data"] = string(b)
	}
	if d.networks != "" {
		if out["network_data"], err = readObject(cmd, d.networks); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// name puts the host name into a config drive; the node's own name if none was given.
func name(drive map[string]any, hostname string, n *client.Node) {
	if hostname == "" {
		hostname = n.Name
	}
	if meta, ok := drive["meta_data"].(map[string]any); ok && hostname != "" {
		meta["hostname"], meta["name"] = hostname, hostname
	}
}
