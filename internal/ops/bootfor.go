package ops

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// bootRolesRule is the right to deploy with roles that are not the caller's own.
const bootRolesRule = "ingot:node:boot_roles"

// MayBootFor tells whether the caller may give the boot roles of a request. Targets of vendordata trust them: whoever could
// give any could have an instance set up as only others may.
func (c Caller) MayBootFor(n *metal.Node, p Provision) error {
	if p.BootRoles == nil {
		return nil
	}
	return c.Rights.Check(bootRolesRule, nodeTarget(n))
}

// bootFor notes for whom the instance is deployed: with the caller's roles, or those that a service gives of the user for whom
// it asks.
func (rq *request) bootFor() error {
	who := rq.by.Rights.Who()
	var to metal.BootFor
	to.Project, to.Own = rq.bootProject()
	var left []string
	if to.Roles, left = metal.TellableRoles(who.Roles); len(left) > 0 {
		rq.log.Warn("roles with a comma in them are not told to vendordata targets", "node", rq.node.UUID, "roles", len(left))
	}
	if rq.BootRoles != nil {
		if rq.Verb != metal.VerbActive && rq.Verb != metal.VerbDeploy {
			return fault.New(fault.Invalid, "boot_roles is only valid when setting target provision state to active: a rebuild keeps those of the deployment.")
		}
		if err := metal.CheckBootRoles(rq.BootRoles); err != nil {
			return err
		}
		rq.history = append(rq.history, fmt.Sprintf("%s gave %s, for whom it is deployed, in place of its own (%s).", rq.by.who(), rolesText(rq.BootRoles), strings.Join(to.Roles, ", ")))
		to.Roles = slices.Clone(rq.BootRoles)
	}
	rq.ask.BootFor = &to
	return nil
}

// bootProject is whose the instance is: the lessee's, else the owner's, else the caller's. Who may not speak for others deploys for his
// own project only: an owner writes any lessee, and with it the targets would tell him what is another project's, for roles that he has in his.
func (rq *request) bootProject() (project string, only bool) {
	own := rq.by.Rights.Who().ProjectID
	project = cmp.Or(rq.node.Lessee, rq.node.Owner, own)
	if own == "" || rq.by.Rights.Allows(bootRolesRule, nodeTarget(rq.node)) {
		return project, false
	}
	if own == project {
		return own, true
	}
	rq.history = append(rq.history, fmt.Sprintf("%s deploys for the project %s, which is the caller's, and not for %s, which the node is lent to or owned by: vendordata targets and the instance are told so.", rq.by.who(), own, project))
	return own, true
}

func rolesText(roles []string) string {
	if len(roles) == 0 {
		return "no boot roles"
	}
	return "the boot roles " + strings.Join(roles, ", ")
}

// checkDrive refuses a deployment that gives a ready drive and wants none.
func checkDrive(n *metal.Node) error {
	info := n.InstanceInfo.Expose()
	want, err := metal.WantsDrive(info)
	if err != nil {
		text, _ := fault.PublicOf(err)
		return fault.New(fault.Invalid, "Cannot deploy node %s: %s.", n.UUID, text)
	}
	if _, ready := info["configdrive"].(string); ready && want != nil && !*want && info["configdrive"] != "" {
		return fault.New(fault.Invalid, "Cannot deploy node %s: instance_info config_drive is false, and a ready config drive is given: give the parts of one (an object), or take config_drive away.", n.UUID)
	}
	return nil
}
