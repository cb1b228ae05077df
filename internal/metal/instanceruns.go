package metal

import "slices"

// instanceRuns are the steps of plans from the moment on that the machine is switched on to run its instance. Before them it runs a
// ramdisk, or is off. A test of the conductor binds them to its plans.
var instanceRuns = map[Plan][]string{
	PlanDeploy:   {"start instance", "see secure boot", "finish deployment"},
	PlanUnrescue: {"start instance", "see secure boot"},
	PlanService:  {"start instance", "finish service"},
	PlanRestore:  {"start instance"},
}

// installerRuns are the steps at which the machine of a node that installs itself runs its user's installer, which reads what the instance
// will read.
var installerRuns = []string{"start installer", "wait for installer", "self install"}

// InstanceRuns tells whether the machine of a node runs its instance, by the node's state and by the plan and the step that its live
// operation is at ("" for none): a system boots before everybody has noted that it does, and a node is active again while its machine
// is still brought back from a ramdisk. True is not wrong; false may be, after a failure that nobody has looked at.
func InstanceRuns(s State, p Plan, step string, undoing bool) bool {
	return s == Active && p != PlanRestore || !undoing && (slices.Contains(instanceRuns[p], step) || p == PlanDeploy && slices.Contains(installerRuns, step))
}

// InstallerSteps lists the steps at which a machine that installs itself runs its installer.
func InstallerSteps() []string { return slices.Clone(installerRuns) }

// InstanceSteps lists the steps of a plan at which its machine runs the instance.
func InstanceSteps(p Plan) []string { return slices.Clone(instanceRuns[p]) }
