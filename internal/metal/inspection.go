package metal

import "time"

// StampInspection sets the times of an inspection when the node came from a state into its present one. Source:
// Ironic, ironic/conductor/task_manager.py.
func (n *Node) StampInspection(from State, now time.Time) {
	during := func(s State) bool { return s == Inspecting || s == InspectWait }
	switch {
	case during(n.ProvisionState) && !during(from):
		n.InspectionStartedAt, n.InspectionFinishedAt = now, time.Time{}
	case during(from) && n.ProvisionState == Manageable:
		n.InspectionStartedAt, n.InspectionFinishedAt = time.Time{}, now
	case during(from) && !during(n.ProvisionState):
		n.InspectionStartedAt = time.Time{}
	}
}
