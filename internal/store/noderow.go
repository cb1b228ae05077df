package store

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ingot/internal/metal"
)

// nodeRow is where the columns of nodes are scanned to, one row after the other.
type nodeRow struct {
	plain                         bool // of plainColumns
	n                             metal.Node
	name, instance                sql.NullString
	driverInfo, instanceInfo      []byte
	automated, secureBoot         sql.NullBool
	provisioned, created, updated int64
	inspecting, inspected         int64
	properties, extra, internal   string
	network, interfaces           string
	clean, deploy, service        string
	raid, targetRAID              string

	lastInterfaces string            // those of the row before, as text
	lastMap        map[string]string // and decoded
}

// into gives where nodeSelect's columns go; of a plain row, plainSelect's.
func (r *nodeRow) into() []any {
	n := &r.n
	all := []any{&n.UUID, &r.name, &n.Driver, &r.driverInfo, &r.instanceInfo, &r.properties, &r.extra, &r.internal,
		&r.network, &r.interfaces, &n.ResourceClass, &n.ConductorGroup, &n.Owner, &n.Lessee, &n.Description,
		&r.instance, &n.InstanceName, &n.ChassisUUID, &r.automated, &n.ProvisionState,
		&n.TargetProvisionState, &r.provisioned, &n.PowerState, &n.TargetPowerState, &n.LastError,
		&n.Maintenance, &n.MaintenanceReason, &n.Fault, &n.Protected, &n.ProtectedReason, &n.Retired,
		&n.RetiredReason, &n.DisablePowerOff, &r.clean, &r.deploy, &n.BootMode, &r.secureBoot,
		&r.created, &r.updated,
		&r.inspecting, &r.inspected, &r.service,
		&n.Shard, &n.ParentNode, &n.Health,
		&n.ConsoleEnabled, &r.raid, &r.targetRAID}
	out := make([]any, 0, len(all)+3)
	out = append(out, &n.ID)
	for i, place := range all {
		if !r.plain || slices.Contains(plainColumns, nodeColumns[i]) {
			out = append(out, place)
		}
	}
	return append(out, &n.Reservation, &n.AllocationUUID)
}

// node makes a node of what was scanned.
func (r *nodeRow) node(key Key) (*metal.Node, error) {
	n := r.n // the next row is scanned over this one
	n.Name, n.InstanceUUID = r.name.String, r.instance.String
	n.AutomatedClean, n.SecureBoot = boolOrNil(r.automated), boolOrNil(r.secureBoot)
	n.ProvisionUpdatedAt, n.CreatedAt, n.UpdatedAt = fromMicros(r.provisioned), fromMicros(r.created), fromMicros(r.updated)
	n.InspectionStartedAt, n.InspectionFinishedAt = fromMicros(r.inspecting), fromMicros(r.inspected)
	if r.plain {
		return &n, nil
	}
	err := errors.Join(decode(r.properties, &n.Properties), decode(r.extra, &n.Extra), decode(r.internal, &n.InternalInfo),
		decode(r.network, &n.NetworkData), r.decodeInterfaces(&n), decode(r.clean, &n.CleanStep), decode(r.deploy, &n.DeployStep),
		decode(r.service, &n.ServiceStep), decode(r.raid, &n.RAIDConfig), decode(r.targetRAID, &n.TargetRAIDConfig))
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", n.UUID, err)
	}
	if n.DriverInfo, err = key.openMap(r.driverInfo, n.UUID, "driver_info"); err != nil {
		return nil, fmt.Errorf("node %s: %w", n.UUID, err)
	}
	if n.InstanceInfo, err = key.openMap(r.instanceInfo, n.UUID, "instance_info"); err != nil {
		return nil, fmt.Errorf("node %s: %w", n.UUID, err)
	}
	return &n, nil
}

// decodeInterfaces copies those of the row before if they are the same, as they are in most lists: that is cheaper than
// to decode them again.
func (r *nodeRow) decodeInterfaces(n *metal.Node) error {
	if r.lastMap == nil || r.interfaces != r.lastInterfaces {
		r.lastMap = nil
		if err := decode(r.interfaces, &r.lastMap); err != nil {
			return err
		}
		r.lastInterfaces = r.interfaces
	}
	n.Interfaces = maps.Clone(r.lastMap)
	return nil
}
