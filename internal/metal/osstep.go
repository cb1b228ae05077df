package metal

import "slices"

// The service steps that run scripts of the OS definition that a node is installed with. Their interface is deploy; this server offers
// them, and the agent of the install ramdisk does them.
const (
	StepOSExport = "os_export" // sends a dump of each disk to a URL
	StepOSRename = "os_rename" // tells the system on the disks its new name
)

// OS tells whether a step is one of these.
func (s Step) OS() bool {
	return s.Interface == "deploy" && (s.Step == StepOSExport || s.Step == StepOSRename)
}

// OSSteps are these steps as they are offered.
func OSSteps() []Step {
	return []Step{
		{Interface: "deploy", Step: StepOSExport, Abortable: true, RequiresRamdisk: true, ArgsInfo: map[string]ArgInfo{
			"url":      {Description: "http or https URL of a folder that takes PUT: a file disk-N for each disk, and manifest.json", Required: true},
			"user":     {Description: "user for the URL, if it wants one"},
			"password": {Description: `password for the URL, as {"secret": "NAME"}`},
			"replace":  {Description: "true: an export that is there is overwritten"},
		}},
		{Interface: "deploy", Step: StepOSRename, RequiresRamdisk: true, ArgsInfo: map[string]ArgInfo{
			"name": {Description: "the new name of the instance", Required: true},
		}},
	}
}

// HasOSStep tells whether one of them is in a list.
func HasOSStep(steps []Step) bool { return slices.ContainsFunc(steps, Step.OS) }

// OSStreams is where dumps of disks come from or go to.
type OSStreams struct {
	URL string `json:"url"`
}

// OSImportSecret is what the names of the credentials for OSImport's URL begin with among the secret values of an operation; user and
// password follow.
const OSImportSecret = "os_import/"

// OSPrivate is what the names of private OS parameters of one export or rename begin with among the secret values of the operation.
const OSPrivate = "os_parameters_private/"
