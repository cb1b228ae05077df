package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"ingot/internal/metal"
	"ingot/internal/secret"
)

// Instance is what a node's instance reads, as it was rendered when it was deployed, and what it was rendered from. Seed,
// Answers and Request are in the forms of the rooms seed and vendordata; here they are bytes.
type Instance struct {
	ID        string        // its instance-id
	Project   string        // whose it is; "" for nobody's
	Deploy    string        // UUID of the operation
	Seed      secret.Secret // what it reads
	Answers   secret.Secret // what the vendordata targets answered
	Request   secret.Secret // what they were asked
	Fault     string        // what they failed with since then, for people; "": nothing
	UpdatedAt time.Time
	// Generation is another one whenever what is served changes, or to whom, and never one that was there before: whoever keeps
	// something of an instance compares it.
	Generation string
}

// InstanceRef is what can be known of an instance without opening anything that is sealed.
type InstanceRef struct {
	NodeID     int64
	NodeUUID   string
	Group      string      // the node's conductor group
	State      metal.State // the node's
	ID         string      // the instance-id
	Project    string
	Deploy     string
	Generation string
	Fault      string
	Runs       bool      // the node's machine runs it now, and no ramdisk
	Sure       int       // of InstancesAt: Given, Planned or Claimed
	UpdatedAt  time.Time // it moves forward whenever Generation changes
}

// forward is the time of a change: of two the later is the greater, whatever the clock says.
const forward = "CASE WHEN {{now}} > instances.updated_at THEN {{now}} ELSE instances.updated_at + 1 END"

// The fields that an instance's sealed values are bound to.
const (
	seedField    = "instance seed"
	answersField = "instance answers"
	requestField = "instance request"
)

// SaveInstance keeps a node's instance in place of an earlier one, which loses its fault and its addresses. Generation and
// UpdatedAt are set here, and ID is in lower case.
func (t *Tx) SaveInstance(n *metal.Node, i *Instance) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	i.ID, i.Generation = strings.ToLower(i.ID), uuid.NewString()
	seal := func(s secret.Secret, field string) []byte { return t.db.key.seal([]byte(s.Expose()), n.UUID, field) }
	var at int64
	err = t.returned(&at, `INSERT INTO instances (node_id, served, instance, project, deploy, seed, answers, request, fault, generation, updated_at)
		VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node_id) DO UPDATE SET served = 1, instance = excluded.instance, project = excluded.project,
			deploy = excluded.deploy, seed = excluded.seed, answers = excluded.answers, request = excluded.request, fault = excluded.fault,
			generation = excluded.generation, updated_at = `+forward+`
		RETURNING updated_at`,
		n.ID, i.ID, i.Project, i.Deploy, seal(i.Seed, seedField), seal(i.Answers, answersField), seal(i.Request, requestField), i.Fault, i.Generation, micros(now))
	if err != nil {
		return err
	}
	i.UpdatedAt = fromMicros(at)
	_, err = t.exec("DELETE FROM instance_addresses WHERE node_id = ?", n.ID)
	return err
}

// Instance gives a node's instance; nil: there is none, or nothing of it is served.
func (t *Tx) Instance(n *metal.Node) (*Instance, error) {
	var i Instance
	var seed, answers, request []byte
	var at int64
	err := t.row("SELECT instance, project, deploy, seed, answers, request, fault, generation, updated_at FROM instances WHERE node_id = ? AND served = 1", n.ID).
		Scan(&i.ID, &i.Project, &i.Deploy, &seed, &answers, &request, &i.Fault, &i.Generation, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	i.UpdatedAt = fromMicros(at)
	for _, v := range []struct {
		sealed []byte
		field  string
		into   *secret.Secret
	}{{seed, seedField, &i.Seed}, {answers, answersField, &i.Answers}, {request, requestField, &i.Request}} {
		if *v.into, err = t.openInstance(n, v.sealed, v.field); err != nil {
			return nil, err
		}
	}
	return &i, nil
}

func (t *Tx) openInstance(n *metal.Node, sealed []byte, field string) (secret.Secret, error) {
	plain, err := t.db.key.open(sealed, n.UUID, field)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("%s of node %s: %w", field, n.UUID, err)
	}
	return secret.New(string(plain)), nil
}

// InstanceRequest is what the vendordata targets were asked for a node's last deployment, however that ended; empty for none,
// and after a tear down.
func (t *Tx) InstanceRequest(n *metal.Node) (secret.Secret, error) {
	var sealed []byte
	err := t.row("SELECT request FROM instances WHERE node_id = ?", n.ID).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return secret.Secret{}, nil
	}
	if err != nil {
		return secret.Secret{}, err
	}
	return t.openInstance(n, sealed, requestField)
}

// RetireInstance ends what is served of a node's instance, and keeps what a rebuild needs: the request.
func (t *Tx) RetireInstance(n *metal.Node) error {
	if _, err := t.exec("DELETE FROM instance_addresses WHERE node_id = ?", n.ID); err != nil {
		return err
	}
	_, err := t.exec("UPDATE instances SET served = 0, seed = ?, answers = ?, fault = '', generation = ?, updated_at = "+forward+" WHERE node_id = ?",
		t.db.key.seal(nil, n.UUID, seedField), t.db.key.seal(nil, n.UUID, answersField), uuid.NewString(), n.ID)
	return err
}

// DropInstance takes away all of a node's instance: from now on nobody is served as it. None is no error.
func (t *Tx) DropInstance(nodeID int64) error {
	_, err := t.exec("DELETE FROM instances WHERE node_id = ?", nodeID)
	return err
}

// SetInstanceFault notes what the vendordata targets of the instance that is served failed with, "" when they answer again.
// changed tells whether something else was noted before.
func (t *Tx) SetInstanceFault(nodeID int64, fault string) (changed bool, err error) {
	res, err := t.exec("UPDATE instances SET fault = ? WHERE node_id = ? AND served = 1 AND fault <> ?", fault, nodeID, fault)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// InstanceFault is what was noted so; "" for nothing.
func (t *Tx) InstanceFault(nodeID int64) (fault string, err error) {
	err = t.row("SELECT fault FROM instances WHERE node_id = ?", nodeID).Scan(&fault)
	return fault, noRowsIsFine(err)
}
