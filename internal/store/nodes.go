package store

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// nodeColumns are the columns of a node after id, in the order of nodeValues and nodeRow.into.
var nodeColumns = []string{
	"uuid", "name", "driver", "driver_info", "instance_info", "properties", "extra", "internal_info",
	"network_data", "interfaces", "resource_class", "conductor_group", "owner", "lessee", "description",
	"instance_uuid", "instance_name", "chassis_uuid", "automated_clean", "provision_state",
	"target_provision_state", "provision_updated_at", "power_state", "target_power_state", "last_error",
	"maintenance", "maintenance_reason", "fault", "protected", "protected_reason", "retired",
	"retired_reason", "disable_power_off", "clean_step", "deploy_step", "boot_mode", "secure_boot",
	"created_at", "updated_at",
	"inspection_started_at", "inspection_finished_at", "service_step",
	"shard", "parent_node", "health",
	"console_enabled", "raid_config", "target_raid_config",
}

// unsortable are the columns that hold objects. Source: rest-api reference §2.1.
var unsortable = []string{"driver_info", "instance_info", "properties", "extra", "internal_info", "network_data",
	"interfaces", "clean_step", "deploy_step", "service_step", "steps", "body",
	"raid_config", "target_raid_config"}

// plainColumns are nodeColumns without objects.
var plainColumns = slices.DeleteFunc(slices.Clone(nodeColumns), func(c string) bool { return slices.Contains(unsortable, c) })

var nodeSelect, plainSelect = selectNodes(nodeColumns), selectNodes(plainColumns)

func selectNodes(columns []string) string {
	return "SELECT n.id, n." + strings.Join(columns, ", n.") + `,
	COALESCE((SELECT o.lease_owner FROM operations o WHERE o.node_id = n.id AND o.status = 'live'
	AND o.exclusive = 1 AND o.lease_until > {{now}}), ''),
	COALESCE((SELECT al.uuid FROM allocations al WHERE al.node_id = n.id), '') FROM nodes n `
}

// CreateNode inserts a node; its UUID, states and times must be set. A taken UUID, name or instance is a
// fault.Conflict.
func (t *Tx) CreateNode(n *metal.Node) error {
	values, err := t.nodeValues(n)
	if err != nil {
		return err
	}
	query := "INSERT INTO nodes (" + strings.Join(nodeColumns, ", ") + ") VALUES (" + marks(len(values)) + ") RETURNING id"
	if err := t.insert(&n.ID, query, values...); err != nil {
		return err
	}
	return t.saveDrive(n)
}

// SaveNode writes every field of an existing node.
func (t *Tx) SaveNode(n *metal.Node) error {
	values, err := t.nodeValues(n)
	if err != nil {
		return err
	}
	query := "UPDATE nodes SET " + strings.Join(nodeColumns, " = ?, ") + " = ? WHERE id = ?"
	if _, err = t.exec(query, append(values, n.ID)...); err != nil {
		return err
	}
	return t.saveDrive(n)
}

// DeleteNode removes a node and everything that hangs on it. Nodes that were parts of it are then on their own.
func (t *Tx) DeleteNode(id int64) error {
	_, err := t.exec("UPDATE nodes SET parent_node = '' WHERE parent_node = (SELECT uuid FROM nodes WHERE id = ?)", id)
	if err != nil {
		return err
	}
	_, err = t.exec("DELETE FROM nodes WHERE id = ?", id)
	t.wrote = true
	return err
}

// Node finds a node by UUID or name; fault.NotFound if there is none.
func (t *Tx) Node(ident string) (*metal.Node, error) {
	column := "name"
	if _, err := uuid.Parse(ident); err == nil {
		column = "uuid"
	}
	if err := t.hold("WHERE n."+column+" = ?", ident); err != nil {
		return nil, err
	}
	return t.nodeWhere(ident, "WHERE n."+column+" = ?", ident)
}

// NodeByID finds a node by its row.
func (t *Tx) NodeByID(id int64) (*metal.Node, error) {
	if err := t.holdAll(id); err != nil {
		return nil, err
	}
	return t.nodeWhere(fmt.Sprint(id), "WHERE n.id = ?", id)
}

func (t *Tx) nodeWhere(ident, where string, args ...any) (*metal.Node, error) {
	var r nodeRow
	err := t.row(nodeSelect+where, args...).Scan(r.into()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "Node %s could not be found.", ident)
	}
	if err != nil {
		return nil, err
	}
	return r.node(t.db.key)
}

// NodesByMAC finds the nodes that own ports with any of these addresses.
func (t *Tx) NodesByMAC(addresses []string) ([]*metal.Node, error) {
	if len(addresses) == 0 {
		return nil, nil
	}
	args := make([]any, len(addresses))
	for i, a := range addresses {
		args[i] = a
	}
	where := "WHERE n.id IN (SELECT node_id FROM ports WHERE address IN (" + marks(len(args)) + "))"
	if err := t.hold(where, args...); err != nil {
		return nil, err
	}
	return t.nodes(nodeSelect+where+" ORDER BY n.id", args...)
}

// Page says which part of a list is wanted. SortKey is a column ("" = id), SortDir "asc" or "desc".
type Page struct {
	Limit            int
	Marker           string // UUID of the last item seen
	SortKey, SortDir string
}

// NodeFilter narrows a list of nodes; zero values do not.
type NodeFilter struct {
	Equal       map[string]string // column to value
	Associated  *bool
	Maintenance *bool
	Retired     *bool
	Project     string   // owner or lessee
	Somebodys   bool     // with an owner or a lessee
	Network     string   // network interface
	Contains    string   // part of the description
	Shards      []string // any of these
	Sharded     *bool
	OS          string // installed with the OS definition of this name or UUID
	TopOnly     bool   // none that is a part of another
	Plain       bool   // objects are not read: the nodes given have empty ones, and are only to be looked at
}

// Nodes lists nodes. An unknown or unsortable key is fault.Invalid, an unknown marker fault.NotFound.
func (t *Tx) Nodes(f NodeFilter, p Page) ([]*metal.Node, error) {
	if f.Plain && t.writes {
		return nil, errors.New("plain nodes are read by who writes: saving one would empty its objects")
	}
	var w where
	for _, column := range slices.Sorted(maps.Keys(f.Equal)) { // sorted: the same filter is the same statement
		value := f.Equal[column]
		if !slices.Contains(nodeColumns, column) {
			return nil, fmt.Errorf("no column %q to filter nodes by", column)
		}
		w.add("n."+column+" = ?", value)
	}
	if f.Associated != nil {
		w.add(map[bool]string{true: "n.instance_uuid IS NOT NULL", false: "n.instance_uuid IS NULL"}[*f.Associated])
	}
	if f.Maintenance != nil {
		w.add("n.maintenance = ?", number(*f.Maintenance))
	}
	if f.Retired != nil {
		w.add("n.retired = ?", number(*f.Retired))
	}
	if f.Project != "" {
		w.only("(n.owner = ? OR n.lessee = ?)", f.Project, f.Project)
	}
	if f.Somebodys {
		w.add("(n.owner <> '' OR n.lessee <> '')")
	}
	if f.Network != "" {
		w.add(fmt.Sprintf(t.db.dialect.pick, "n.interfaces", "network")+" = ?", f.Network)
	}
	if f.Contains != "" {
		w.add(`n.description {{like}} ? ESCAPE '\'`, "%"+likeEscaper.Replace(f.Contains)+"%")
	}
	w.among("n.shard", f.Shards)
	if f.Sharded != nil {
		w.add(map[bool]string{true: "n.shard <> ''", false: "n.shard = ''"}[*f.Sharded])
	}
	if f.OS != "" {
		w.add("n.id IN (SELECT i.node_id FROM os_installs i JOIN os_definitions d ON d.id = i.definition_id WHERE d.name = ? OR d.uuid = ?)", f.OS, f.OS)
	}
	if f.TopOnly {
		w.add("n.parent_node = ''")
	}
	tail, err := t.page(&w, "nodes", "n", nodeColumns, p)
	if err != nil {
		return nil, err
	}
	if f.Plain {
		return t.scanNodes(&nodeRow{plain: true}, plainSelect+w.String()+tail, w.args...)
	}
	return t.nodes(nodeSelect+w.String()+tail, w.args...)
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (t *Tx) nodes(query string, args ...any) ([]*metal.Node, error) {
	return t.scanNodes(&nodeRow{}, query, args...)
}

func (t *Tx) scanNodes(r *nodeRow, query string, args ...any) ([]*metal.Node, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*metal.Node
	into := r.into()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		n, err := r.node(t.db.key)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, rows.Err()
}

func (t *Tx) nodeValues(n *metal.Node) ([]any, error) {
	driverInfo, err := t.db.key.sealMap(n.DriverInfo, n.UUID, "driver_info")
	if err != nil {
		return nil, err
	}
	instanceInfo, err := t.db.key.sealMap(withoutDrive(n.InstanceInfo), n.UUID, "instance_info")
	if err != nil {
		return nil, err
	}
	return []any{n.UUID, orNull(n.Name), n.Driver, driverInfo, instanceInfo, object(n.Properties), object(n.Extra),
		object(n.InternalInfo), object(n.NetworkData), object(n.Interfaces), n.ResourceClass, n.ConductorGroup,
		n.Owner, n.Lessee, n.Description, orNull(n.InstanceUUID), n.InstanceName, n.ChassisUUID,
		orNullBool(n.AutomatedClean), string(n.ProvisionState), string(n.TargetProvisionState),
		micros(n.ProvisionUpdatedAt), string(n.PowerState), string(n.TargetPowerState), n.LastError,
		number(n.Maintenance), n.MaintenanceReason, n.Fault, number(n.Protected), n.ProtectedReason,
		number(n.Retired), n.RetiredReason, number(n.DisablePowerOff), object(n.CleanStep), object(n.DeployStep),
		n.BootMode, orNullBool(n.SecureBoot), micros(n.CreatedAt), micros(n.UpdatedAt),
		micros(n.InspectionStartedAt), micros(n.InspectionFinishedAt), object(n.ServiceStep),
		n.Shard, n.ParentNode, n.Health,
		number(n.ConsoleEnabled), object(n.RAIDConfig), object(n.TargetRAIDConfig)}, nil
}
