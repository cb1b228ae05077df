package ops

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
	"ingot/internal/source"
	"ingot/internal/store"
)

// OSInstall is what a deployment asks of OS definitions. A rebuild takes what it does not say from the last deployment.
type OSInstall struct {
	Definition  string        // name or UUID, and a variant behind a plus; "" says nothing
	Parameters  osdef.Classes // of this request
	Unset       []string      // parameters whose stored value a rebuild does not use
	Force       bool          // force_variant: a variant may be meant that the definition does not list
	Mode        string        // "" says nothing
	Safe        *bool         // safe_install; nil says nothing
	Package     string        // URL; "" says nothing
	NoPackage   bool          // a rebuild does not use the package of the last deployment
	Credentials map[string]secret.Secret

	// Import is the URL of an export that is put on the disks in the place of a new installation; "" for none. A rebuild that does not
	// say it installs anew.
	Import            string
	ImportCredentials map[string]secret.Secret
}

// values are what is stored nowhere, by the courier's names. Private parameters are of those where nothing is installed: they are for one
// run then.
func (o *OSInstall) values(once bool) map[string]secret.Secret {
	out := map[string]secret.Secret{}
	if o == nil {
		return out
	}
	for name, v := range o.Parameters.Secret {
		out[metal.OSSecretParameter+name] = v
	}
	for name, v := range o.Credentials {
		out[metal.OSCredential+name] = v
	}
	if once {
		for name, v := range o.Parameters.Private {
			out[metal.OSPrivate+name] = v
		}
	}
	for name, v := range o.ImportCredentials {
		out[metal.OSImportSecret+name] = v
	}
	return out
}

// checkOS judges an installation before anything is promised, and keeps how it will be done. A deployment that asks for none has
// none; a rebuild has that of the last deployment, and so has a deployment that is tried again after it failed, which Ironic's clients
// do without saying anything of it.
func (rq *request) checkOS() (err error) {
	var before *store.OSInstall
	if rq.Verb == metal.VerbRebuild || rq.node.ProvisionState == metal.DeployFailed {
		if before, err = rq.tx.OSInstall(rq.node); err != nil {
			return err
		}
	}
	if rq.OS == nil && before == nil {
		return nil
	}
	asked := rq.OS
	if asked == nil {
		asked = &OSInstall{}
	}
	if asked.Mode == osdef.ModeRun { // as ever without OS definitions
		return asked.ordinary()
	}
	if rq.install, err = rq.osInstall(asked, before); err != nil {
		return err
	}
	if err = rq.osImport(asked); err != nil {
		return err
	}
	switch {
	case rq.node.Interface("deploy") != metal.DeployOS:
		return fault.New(fault.Invalid, "Node %s has the deploy interface %s, which installs no OS definitions, packages or modes: set its deploy_interface to %s.", rq.node.UUID, rq.node.Interface("deploy"), metal.DeployOS)
	case rq.selfInstalls():
		return rq.checkMedium()
	}
	return nil
}

// selfInstalls: the machine boots an installer of its user's.
func (rq *request) selfInstalls() bool {
	return rq.install != nil && rq.install.Mode == osdef.ModeSelfInstall
}

// checkMedium judges what the machine is to install itself from. What else could be written to its disk is refused: the installer writes.
func (rq *request) checkMedium() error {
	files, err := metal.InstallerOf(rq.node)
	if err != nil {
		return err
	}
	if rq.node.InstanceInfo.Public("image_source") != "" {
		return fault.New(fault.Invalid, "Node %s has both %s and image_source in its instance_info. In the execution mode %s the installer writes the disk: remove image_source.", rq.node.UUID, files[0].Field, osdef.ModeSelfInstall)
	}
	for _, f := range files {
		if err := source.CheckSpec(f.Checksum, rq.config.Images); err != nil {
			return fmt.Errorf("%s_checksum: %w", f.Field, err)
		}
		if err := rq.config.Images.Permitted(f.URL); err != nil {
			return err
		}
	}
	return nil
}

// ordinary refuses what the execution mode run has no use for.
func (o *OSInstall) ordinary() error {
	if o.Import != "" {
		return fault.New(fault.Invalid, "An export is imported in the ramdisk: the execution mode is %s then, and not %s.", osdef.ModeInstall, osdef.ModeRun)
	}
	var meaningless []string
	for _, k := range []struct {
		name  string
		given bool
	}{
		{"os_definition", o.Definition != ""}, {"force_variant", o.Force}, {"OS parameters", len(o.Parameters.Names())+len(o.Unset) > 0}, {"safe_install", o.Safe != nil},
		{"personalization_url", o.Package != "" || o.NoPackage}, {"personalization_user and personalization_password", len(o.Credentials) > 0},
	} {
		if k.given {
			meaningless = append(meaningless, k.name)
		}
	}
	if len(meaningless) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "The execution mode %s installs nothing beside the image, and uses nothing of the last installation: leave away %s, or use the mode %s.", osdef.ModeRun, strings.Join(meaningless, ", "), osdef.ModeInstall)
}

// scripted: the node's disk is written by the scripts of a definition, and an image is only for those that want one.
func (rq *request) scripted() bool {
	return rq.install != nil && rq.install.DefinitionID != 0
}

// osInstall is what will be done: what is asked, over what was done before.
func (rq *request) osInstall(asked *OSInstall, before *store.OSInstall) (*store.OSInstall, error) {
	out := &store.OSInstall{Mode: osdef.ModeInstall, Safe: true}
	if before != nil {
		again := *before
		out = &again
	}
	if asked.Safe != nil {
		out.Safe = *asked.Safe
	}
	if asked.Mode != "" {
		out.Mode = asked.Mode
	}
	if err := osdef.CheckMode(out.Mode); err != nil {
		return nil, err
	}
	if asked.Package != "" {
		if err := osdef.CheckPackage(asked.Package); err != nil {
			return nil, err
		}
		out.Package = asked.Package
	} else if asked.NoPackage {
		out.Package = ""
	}
	if out.Package == "" && len(asked.Credentials) > 0 {
		return nil, fault.New(fault.Invalid, "personalization_user and personalization_password are for a personalization package, and there is none: give personalization_url, too.")
	}
	definition, err := rq.osDefinition(asked, before, out)
	if err != nil {
		return nil, err
	}
	if err := rq.osSource(out); err != nil {
		return nil, err
	}
	if err := rq.osParameters(asked, out, definition); err != nil {
		return nil, err
	}
	if out.PackageLogin && out.Package != "" && asked.Package == "" && len(asked.Credentials) == 0 { // that of the last deployment
		return nil, fault.New(fault.Invalid, "The rebuild of node %s needs the user and password of the personalization package again, which were kept nowhere: give personalization_user and personalization_password, or leave the package away with personalization_url null.", rq.node.UUID)
	}
	out.PackageLogin = out.Package != "" && len(asked.Credentials) > 0
	return out, nil
}

// osDefinition finds the definition that is meant, judges it, and notes it; nil: none is.
func (rq *request) osDefinition(asked *OSInstall, before, out *store.OSInstall) (*osdef.Record, error) {
	var r *osdef.Record
	name, variant, err := asked.Definition, "", error(nil)
	switch {
	case name != "":
		if name, variant, err = osdef.Split(name); err == nil {
			r, err = rq.tx.OSDefinition(name)
		}
		out.Variant = variant
	case out.DefinitionID != 0:
		r, err = rq.tx.OSDefinitionByID(out.DefinitionID)
	}
	if err != nil || r == nil {
		return nil, err
	}
	if before != nil && before.DefinitionID != r.ID { // what was given for another definition is nothing to this one
		out.Parameters, out.Secrets = osdef.Classes{}, nil
	}
	out.DefinitionID, out.Digest, out.Trusted = r.ID, r.Digest, r.Trusted()
	if r.Blacklisted && (before == nil || before.DefinitionID != r.ID) { // a rebuild with another definition installs anew, as a deployment does
		return nil, fault.New(fault.Invalid, "The OS definition %s is blacklisted: it is only for rebuilds of what is installed with it.", r.Name)
	}
	force := asked.Force || before != nil && before.DefinitionID == r.ID && before.Variant == out.Variant // it was judged then
	if out.Variant, err = r.Definition.Variant(out.Variant, force); err != nil {
		return nil, err
	}
	if !out.Safe && !r.Trusted() {
		return nil, fault.New(fault.Invalid, "The OS definition %s is not trusted, so its installation cannot be unsafe: leave safe_install away, or have an administrator trust %s.", r.Name, r.Digest)
	}
	switch {
	case out.Mode != osdef.ModeInstall:
	case asked.Import != "":
		_, err = r.Definition.Streamed(osdef.Import, r.Trusted())
	default:
		_, err = r.Definition.Parts(osdef.Create, r.Trusted())
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// osSource sees that there is something to install from.
func (rq *request) osSource(out *store.OSInstall) error {
	info := rq.node.InstanceInfo.Expose()
	if out.DefinitionID != 0 || info["image_source"] != nil || info["boot_iso"] != nil || out.Mode == osdef.ModeSelfInstall && metal.HasInstaller(rq.node) {
		return nil
	}
	return fault.New(fault.Invalid, "Node %s has nothing to install from: name an os_definition, or set image_source, boot_iso, or kernel and ramdisk, in its instance_info.", rq.node.UUID)
}

// osParameters judges parameters of all layers together, and notes those that are kept. What was secret the last time is needed
// again, for it was kept nowhere.
func (rq *request) osParameters(asked *OSInstall, out *store.OSInstall, definition *osdef.Record) error {
	var layers []osdef.Classes
	var declared *osdef.Definition
	if definition != nil {
		layers, declared = definition.Layers(out.Variant), &definition.Definition
	}
	kept := without(out.Parameters, asked.Unset)
	given := osdef.Classes{Public: asked.Parameters.Public, Private: asked.Parameters.Private}
	whole := osdef.Merge(append(layers, kept, asked.Parameters)...)
	if err := whole.Check(declared); err != nil {
		return err
	}
	needed := slices.DeleteFunc(slices.Clone(out.Secrets), func(name string) bool { return slices.Contains(asked.Unset, name) })
	if missing := whole.Missing(needed); len(missing) > 0 {
		return fault.New(fault.Invalid, "The rebuild of node %s needs the secret OS parameters %s again, which were kept nowhere: give them in os_parameters_secret.", rq.node.UUID, strings.Join(missing, ", "))
	}
	out.Parameters = osdef.Merge(kept, given)
	out.Secrets = slices.Sorted(maps.Keys(asked.Parameters.Secret))
	return nil
}

// without are the values without those of some names.
func without(c osdef.Classes, names []string) osdef.Classes {
	out := osdef.Merge(c)
	for _, name := range names {
		delete(out.Public, name)
		delete(out.Private, name)
	}
	return out
}

// keepInstall writes how the node will be installed, with the operation that does it.
func (rq *request) keepInstall() error {
	if rq.install == nil {
		return rq.tx.DropOSInstall(rq.node.ID)
	}
	if err := rq.tx.SaveOSInstall(rq.node, rq.install); err != nil || rq.ConfigDrive == nil {
		return err
	}
	return rq.tx.SetOSRename(rq.node, "") // what is said of the instance now goes before what it was called
}
