package ops

import "ingot/internal/fault"

// checkRescue refuses rescue and unrescue of a node that cannot be rescued or is worked on by people. Whether the work
// of its rescue interface is built is judged with every verb's.
func (rq *request) checkRescue() error {
	n := rq.node
	switch name := n.Interface("rescue"); {
	case n.Maintenance:
		return rq.inMaintenance()
	case name == "" || name == "no-rescue":
		return fault.New(fault.Invalid, "Driver %s does not support rescue (disabled or not implemented). Set rescue_interface of node %s to another.", n.Driver, n.UUID)
	}
	return nil
}
