package ops

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/source"
	"ingot/internal/store"
)

// osImport judges a deployment that puts an export on the disks, and notes where that is.
func (rq *request) osImport(asked *OSInstall) error {
	switch {
	case asked.Import == "":
		return nil
	case rq.install.DefinitionID == 0:
		return fault.New(fault.Invalid, "An export is imported by an OS definition: name it in os_definition.")
	case rq.install.Mode != osdef.ModeInstall:
		return fault.New(fault.Invalid, "An export is imported in the ramdisk: the execution mode is %s then, and not %s.", osdef.ModeInstall, rq.install.Mode)
	}
	if err := checkStreams(asked.Import, rq.config.Images); err != nil {
		return err
	}
	rq.ask.OSImport = &metal.OSStreams{URL: asked.Import}
	rq.history = append(rq.history, fmt.Sprintf("It is to be imported from %s.", source.Safe(asked.Import)))
	return nil
}

// checkStreams judges the URL of an export.
func checkStreams(at string, o source.Options) error {
	if err := osdef.CheckStreams(at); err != nil {
		return err
	}
	return o.Permitted(at)
}

// checkOSSteps judges service steps that run scripts of the OS definition that the node is installed with, before anything is
// promised. Such steps alone take OS parameters, which are for this one run and kept nowhere.
func (rq *request) checkOSSteps() error {
	n := rq.node
	if !metal.HasOSStep(rq.ServiceSteps) {
		if rq.OS != nil {
			return fault.New(fault.Invalid, "OS parameters go with the service steps deploy.%s and deploy.%s, and with deployments.", metal.StepOSExport, metal.StepOSRename)
		}
		return nil
	}
	switch {
	case n.Interface("deploy") != metal.DeployOS:
		return fault.New(fault.Invalid, "Node %s has the deploy interface %s, and no scripts of OS definitions run with it: they do with %s.", n.UUID, n.Interface("deploy"), metal.DeployOS)
	case rq.NoRamdisk:
		return fault.New(fault.Invalid, "Scripts of OS definitions run in the ramdisk, so disable_ramdisk cannot be used with them.")
	}
	if err := uniqueOSSteps(rq.ServiceSteps); err != nil {
		return err
	}
	before, err := rq.tx.OSInstall(n)
	if err != nil {
		return err
	}
	if before == nil || before.DefinitionID == 0 {
		return fault.New(fault.Invalid, "Node %s is not installed with an OS definition, so there are no scripts that could export or rename it.", n.UUID)
	}
	r, err := rq.tx.OSDefinitionByID(before.DefinitionID)
	if err != nil {
		return err
	}
	for _, s := range rq.ServiceSteps {
		if s.OS() {
			if err := rq.checkOSStep(s, r); err != nil {
				return err
			}
		}
	}
	return rq.stepParameters(before, r)
}

// uniqueOSSteps: a second one would find what the first left, and retries could not tell them apart.
func uniqueOSSteps(steps []metal.Step) error {
	return uniqueSteps("service_steps", slices.DeleteFunc(slices.Clone(steps), func(s metal.Step) bool { return !s.OS() }))
}

// checkOSStep judges the arguments of one step, and whether the definition has what it runs.
func (rq *request) checkOSStep(s metal.Step, r *osdef.Record) error {
	if err := knownArgs(s); err != nil {
		return err
	}
	text := func(name string) string {
		v, _ := s.Args[name].(string)
		return v
	}
	if s.Step == metal.StepOSRename {
		if _, err := r.Definition.Parts(osdef.Rename, r.Trusted()); err != nil {
			return err
		}
		return osdef.CheckInstance(text("name"))
	}
	if _, named := metal.SecretName(s.Args["password"]); s.Args["password"] != nil && !named {
		return fault.New(fault.Invalid, `The password for the URL of the export is given as {"secret": "NAME"}, and its value in "secrets": it is kept nowhere.`)
	}
	if v, given := s.Args["replace"]; given {
		if _, is := v.(bool); !is {
			return fault.New(fault.Invalid, "The argument replace of the step %s is true or false.", s.Name())
		}
	}
	if _, err := r.Definition.Streamed(osdef.Export, r.Trusted()); err != nil {
		return err
	}
	return checkStreams(text("url"), rq.config.Images)
}

// knownArgs refuses arguments that the step does not take.
func knownArgs(s metal.Step) error {
	for _, offer := range metal.OSSteps() {
		if offer.Name() != s.Name() {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(s.Args)) {
			if _, known := offer.ArgsInfo[name]; !known {
				return fault.New(fault.Invalid, "The step %s does not take the argument %.40q. It takes: %s.", s.Name(), name, strings.Join(slices.Sorted(maps.Keys(offer.ArgsInfo)), ", "))
			}
		}
	}
	return nil
}

// stepParameters judges the parameters of such steps over those that the node is installed with. Secret ones of the installation are
// not needed again: most scripts that export or rename have no use for them.
func (rq *request) stepParameters(before *store.OSInstall, r *osdef.Record) error {
	var given osdef.Classes
	if rq.OS != nil {
		given = rq.OS.Parameters
	}
	whole := osdef.Merge(append(r.Layers(before.Variant), before.Parameters, given)...)
	if err := whole.Check(&r.Definition); err != nil {
		return err
	}
	rq.ask.OSParameters = given.Public
	return nil
}

// ParametersOnly tells whether nothing but values of parameters is asked, as an export or rename may.
func (o *OSInstall) ParametersOnly() bool {
	return o.Definition == "" && o.Mode == "" && o.Safe == nil && o.Package == "" && !o.NoPackage && o.Import == "" && !o.Force && len(o.Unset)+len(o.Credentials)+len(o.ImportCredentials) == 0
}
