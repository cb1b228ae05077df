package ops

import (
	"maps"

	"ingot/internal/metal"
)

// The values of Config.LesseeFrom: where the lessee of a node that is deployed comes from.
const (
	LesseeFromInstance = "instance" // instance_info.project_id
	LesseeFromRequest  = "request"  // the project of the caller
	LesseeFromNowhere  = "none"
)

// checkNewDeploy accepts a deployment, which unlike a rebuild begins a lease: a node that is lent to nobody is lent to the
// project of its instance until it is torn down. Source: lifecycle reference §26.
func (rq *request) checkNewDeploy() error {
	if err := rq.checkDeploy(); err != nil {
		return err
	}
	rq.lend()
	return rq.bootFor()
}

// lend notes the lessee.
func (rq *request) lend() {
	n, project := rq.node, ""
	switch rq.config.LesseeFrom {
	case LesseeFromInstance:
		project, _ = n.InstanceInfo.Expose()["project_id"].(string)
	case LesseeFromRequest:
		project = rq.by.Rights.Who().ProjectID
	}
	if n.Lessee != "" || project == "" || len(project) > maxProject {
		return
	}
	info := map[string]any{}
	maps.Copy(info, n.InternalInfo)
	info[metal.AutomaticLessee] = true
	n.Lessee, n.InternalInfo = project, info
}

// maxProject is the longest lessee, as for one that a caller gives.
const maxProject = 255
