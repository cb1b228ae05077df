package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

var allocationColumns = []string{"uuid", "name", "node_id", "state", "owner", "resource_class", "traits", "candidate_nodes", "extra",
	"last_error", "due_at", "give_up_at", "created_at", "updated_at"}

var allocationSelect = "SELECT a.id, a." + strings.Join(allocationColumns, ", a.") +
	", COALESCE((SELECT n.uuid FROM nodes n WHERE n.id = a.node_id), '') FROM allocations a "

// CreateAllocation inserts an allocation. A taken UUID, name or node is a fault.Conflict.
func (t *Tx) CreateAllocation(a *metal.Allocation) error {
	values := allocationValues(a)
	query := "INSERT INTO allocations (" + strings.Join(allocationColumns, ", ") + ") VALUES (" + marks(len(values)) + ") RETURNING id"
	if err := t.insert(&a.ID, query, values...); err != nil {
		return err
	}
	t.wrote = true
	return nil
}

// SaveAllocation writes every field of an existing allocation.
func (t *Tx) SaveAllocation(a *metal.Allocation) error {
	_, err := t.exec("UPDATE allocations SET "+strings.Join(allocationColumns, " = ?, ")+" = ? WHERE id = ?", append(allocationValues(a), a.ID)...)
	t.wrote = true
	return err
}

// DeleteAllocation removes an allocation; that its node is free is for the caller to write.
func (t *Tx) DeleteAllocation(id int64) error {
	_, err := t.exec("DELETE FROM allocations WHERE id = ?", id)
	return err
}

// DeleteAllocationOf removes the allocation of a node, if it has one.
func (t *Tx) DeleteAllocationOf(n *metal.Node) error {
	_, err := t.exec("DELETE FROM allocations WHERE node_id = ?", n.ID)
	return err
}

// Allocation finds an allocation by UUID or name; fault.NotFound if there is none. It holds nothing: see HoldAllocation.
func (t *Tx) Allocation(ident string) (*metal.Allocation, error) {
	return t.oneAllocation(ident, "WHERE a.uuid = ? OR a.name = ?", ident, ident)
}

// AllocationOf finds the allocation of a node; fault.NotFound if it has none.
func (t *Tx) AllocationOf(n *metal.Node) (*metal.Allocation, error) {
	return t.oneAllocation("of node "+n.UUID, "WHERE a.node_id = ?", n.ID)
}

// HoldAllocation reads an allocation anew and holds it until the transaction ends. Who needs its node too holds the node
// first: what ends an instance holds the node and then deletes its allocation.
func (t *Tx) HoldAllocation(a *metal.Allocation) (*metal.Allocation, error) {
	return t.oneAllocation(a.UUID, "WHERE a.id = ? {{hold}}", a.ID)
}

func (t *Tx) oneAllocation(what, where string, args ...any) (*metal.Allocation, error) {
	a, err := allocationRow(t.row(allocationSelect+where, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "Allocation %s could not be found.", what)
	}
	return a, err
}

// AllocationFilter narrows a list of allocations; zero values do not.
type AllocationFilter struct {
	NodeID               int64
	ResourceClass, Owner string
	State                metal.AllocationState
}

// Allocations lists allocations.
func (t *Tx) Allocations(f AllocationFilter, p Page) ([]*metal.Allocation, error) {
	var w where
	if f.NodeID != 0 {
		w.add("a.node_id = ?", f.NodeID)
	}
	for _, c := range [][2]string{{"resource_class", f.ResourceClass}, {"state", string(f.State)}} {
		if c[1] != "" {
			w.add("a."+c[0]+" = ?", c[1])
		}
	}
	if f.Owner != "" {
		w.only("a.owner = ?", f.Owner)
	}
	tail, err := t.page(&w, "allocations", "a", allocationColumns, p)
	if err != nil {
		return nil, err
	}
	rows, err := t.rows(allocationSelect+w.String()+tail, w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*metal.Allocation
	for rows.Next() {
		a, err := allocationRow(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// NextAllocation is when an allocation is due to be given a node; zero: never.
func (t *Tx) NextAllocation() (time.Time, error) {
	var us sql.NullInt64
	err := t.row("SELECT MIN(due_at) FROM allocations WHERE state = 'allocating'").Scan(&us)
	return fromMicros(us.Int64), err
}

// DueAllocation gives the oldest allocation that is due to be given a node, held until the transaction ends, or nil. Those
// that others hold are passed over. It is given a node in the same transaction: there is nothing between the two that a
// death could leave behind, so this claim needs no lease.
func (t *Tx) DueAllocation() (*metal.Allocation, error) {
	a, err := allocationRow(t.row(allocationSelect + "WHERE a.state = 'allocating' AND a.due_at <= {{now}} ORDER BY a.due_at, a.id LIMIT 1 {{skip}}"))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return a, err
}

// Conditions of nodes.
const (
	readyNode = "n.provision_state = 'available' AND n.instance_uuid IS NULL AND n.maintenance = 0 AND n.retired = 0 AND n.power_state <> ''"
	hasTrait  = "EXISTS (SELECT 1 FROM node_traits nt WHERE nt.node_id = n.id AND nt.trait = ?)"
)

// busyNode is the condition that an operation holds a node.
const busyNode = "EXISTS (SELECT 1 FROM operations o WHERE o.node_id = n.id AND o.status = 'live' AND o.exclusive = 1)"

// fits is the condition that a node may be taken for the allocation, by what is in its row and its traits. It says in SQL what
// metal.Allocation.Accepts says; Accepts decides.
func fits(a *metal.Allocation) where {
	var w where
	w.add(readyNode)
	w.add("n.resource_class = ?", a.ResourceClass)
	if a.Owner != "" {
		w.add("(n.owner = ? OR n.lessee = ?)", a.Owner, a.Owner)
	}
	for _, trait := range a.Traits {
		w.add(hasTrait, trait)
	}
	if len(a.CandidateNodes) > 0 {
		among, args := oneOf("n.uuid", a.CandidateNodes)
		w.add(among, args...)
	}
	return w
}

// FreeNode finds a node that fits the allocation and holds it, or gives nil: the one that is named like the allocation, or any
// by chance. It waits for nobody: nodes that another transaction holds are passed over, as those in not are.
func (t *Tx) FreeNode(a *metal.Allocation, not []int64) (*metal.Node, error) {
	w := fits(a)
	w.add("NOT " + busyNode)
	for _, id := range not {
		w.add("n.id <> ?", id)
	}
	args := append(w.args, a.Name)
	var id int64
	err := t.row("SELECT n.id FROM nodes n "+w.String()+" ORDER BY CASE WHEN n.name = ? THEN 0 ELSE 1 END, RANDOM() LIMIT 1 {{skip}}", args...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return t.NodeByID(id)
}

// FittingNodes counts the nodes that would fit the allocation, those that are held included.
func (t *Tx) FittingNodes(a *metal.Allocation) (n int, err error) {
	w := fits(a)
	err = t.row("SELECT COUNT(*) FROM nodes n "+w.String(), w.args...).Scan(&n)
	return n, err
}

// InstanceTaken tells whether a node has this instance.
func (t *Tx) InstanceTaken(instance string) (bool, error) {
	var n int
	err := t.row("SELECT COUNT(*) FROM nodes WHERE instance_uuid = ?", instance).Scan(&n)
	return n > 0, err
}

func allocationValues(a *metal.Allocation) []any {
	var node any
	if a.NodeID != 0 {
		node = a.NodeID
	}
	return []any{a.UUID, orNull(a.Name), node, string(a.State), a.Owner, a.ResourceClass, list(a.Traits), list(a.CandidateNodes),
		object(a.Extra), a.LastError, micros(a.DueAt), micros(a.GiveUpAt), micros(a.CreatedAt), micros(a.UpdatedAt)}
}

// list renders texts for a TEXT column; nil becomes [].
func list(texts []string) string {
	if len(texts) == 0 {
		return "[]"
	}
	b, err := json.Marshal(texts)
	if err != nil {
		panic("store: a list of texts that is not JSON: " + err.Error())
	}
	return string(b)
}

func allocationRow(row scanner) (*metal.Allocation, error) {
	var a metal.Allocation
	var name sql.NullString
	var node sql.NullInt64
	var traits, candidates, extra string
	var due, giveUp, created, updated int64
	err := row.Scan(&a.ID, &a.UUID, &name, &node, &a.State, &a.Owner, &a.ResourceClass, &traits, &candidates, &extra, &a.LastError,
		&due, &giveUp, &created, &updated, &a.NodeUUID)
	if err != nil {
		return nil, err
	}
	a.Name, a.NodeID = name.String, node.Int64
	a.DueAt, a.GiveUpAt, a.CreatedAt, a.UpdatedAt = fromMicros(due), fromMicros(giveUp), fromMicros(created), fromMicros(updated)
	if err := errors.Join(json.Unmarshal([]byte(traits), &a.Traits), json.Unmarshal([]byte(candidates), &a.CandidateNodes), decode(extra, &a.Extra)); err != nil {
		return nil, fmt.Errorf("allocation %s: %w", a.UUID, err)
	}
	return &a, nil
}

// AllocationCounts says how many nodes are of a kind, each among those before.
type AllocationCounts struct{ OfClass, Ready, WithTraits int }

// CountForAllocation counts the nodes of the allocation's kind that its owner may have.
func (t *Tx) CountForAllocation(a *metal.Allocation) (c AllocationCounts, err error) {
	var w where
	w.add("n.resource_class = ?", a.ResourceClass)
	if a.Owner != "" {
		w.add("(n.owner = ? OR n.lessee = ?)", a.Owner, a.Owner)
	}
	count := func(into *int) {
		if err == nil {
			err = t.row("SELECT COUNT(*) FROM nodes n "+w.String(), w.args...).Scan(into)
		}
	}
	count(&c.OfClass)
	w.add(readyNode)
	count(&c.Ready)
	for _, trait := range a.Traits {
		w.add(hasTrait, trait)
	}
	count(&c.WithTraits)
	return c, err
}

// PostponeAllocation makes an allocation due later.
func (t *Tx) PostponeAllocation(id int64, by time.Duration) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE allocations SET due_at = ? WHERE id = ? AND state = 'allocating'", micros(now.Add(by)), id)
	return err
}
