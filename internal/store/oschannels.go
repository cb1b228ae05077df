package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// OSChannel is what is known of a machine that installs itself, from when it is booted to do so until it is over.
type OSChannel struct {
	Deploy    string    // UUID of the operation
	SeenAt    time.Time // when the machine asked first; zero: not yet
	Progress  agentapi.OSProgress
	Stages    map[string]int // how far each stage was
	Lost      []string       // secret parameters that the machine asked for and that are gone
	UpdatedAt time.Time
}

// OSReader says who reads a message.
type OSReader string

// The readers.
const (
	ToMachine OSReader = "machine"
	ToServer  OSReader = "server"
)

func messageField(deploy string) string { return "os message " + deploy }

// errNoChannel is for who speaks of a deployment that is over.
var errNoChannel = fault.New(fault.NotFound, "The machine does not install itself, or not any more.")

// OpenOSChannel begins the channel of a deployment; what one before it left is gone.
func (t *Tx) OpenOSChannel(n *metal.Node, deploy string) error {
	if err := t.CloseOSChannel(n.ID); err != nil {
		return err
	}
	_, err := t.exec("INSERT INTO os_channels (node_id, deploy, updated_at) VALUES (?, ?, {{now}})", n.ID, deploy)
	return err
}

// CloseOSChannel ends it. None is no error.
func (t *Tx) CloseOSChannel(nodeID int64) error {
	_, err := t.exec("DELETE FROM os_channels WHERE node_id = ?", nodeID)
	return err
}

// OSChannel gives it; nil: there is none.
func (t *Tx) OSChannel(n *metal.Node) (*OSChannel, error) {
	var c OSChannel
	var seen, updated int64
	var progress, stages, lost string
	err := t.row("SELECT deploy, seen_at, progress, stages, lost, updated_at FROM os_channels WHERE node_id = ?", n.ID).Scan(&c.Deploy, &seen, &progress, &stages, &lost, &updated)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(progress), &c.Progress), decode(stages, &c.Stages), json.Unmarshal([]byte(lost), &c.Lost))
	}
	if err != nil {
		return nil, fmt.Errorf("channel of node %s: %w", n.UUID, err)
	}
	c.SeenAt, c.UpdatedAt = fromMicros(seen), fromMicros(updated)
	return &c, nil
}

// OSChannels counts the machines that install themselves.
func (t *Tx) OSChannels() (count int, err error) {
	err = t.row("SELECT count(*) FROM os_channels").Scan(&count)
	return count, err
}

// SeeOSChannel notes that the machine asks.
func (t *Tx) SeeOSChannel(n *metal.Node, deploy string) error {
	return t.changeOSChannel(n, "UPDATE os_channels SET seen_at = CASE WHEN seen_at = 0 THEN {{now}} ELSE seen_at END, updated_at = {{now}} WHERE node_id = ? AND deploy = ?", n.ID, deploy)
}

// SaveOSProgress keeps what the machine says of how far it is, and how far each stage was with that.
func (t *Tx) SaveOSProgress(n *metal.Node, deploy string, p agentapi.OSProgress, stages map[string]int) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return t.changeOSChannel(n, "UPDATE os_channels SET progress = ?, stages = ?, updated_at = {{now}} WHERE node_id = ? AND deploy = ?", string(text), object(stages), n.ID, deploy)
}

// LoseOSSecrets notes names of secret parameters that cannot be had for the machine.
func (t *Tx) LoseOSSecrets(n *metal.Node, deploy string, names []string) error {
	c, err := t.OSChannel(n)
	if err != nil {
		return err
	}
	if c == nil || c.Deploy != deploy {
		return errNoChannel
	}
	all := slices.Concat(c.Lost, names)
	slices.Sort(all)
	return t.changeOSChannel(n, "UPDATE os_channels SET lost = ?, updated_at = {{now}} WHERE node_id = ? AND deploy = ?", list(slices.Compact(all)), n.ID, deploy)
}

// changeOSChannel changes the channel of a deployment, and wakes the operation that waits for it. fault.NotFound if it is over.
func (t *Tx) changeOSChannel(n *metal.Node, query string, args ...any) error {
	res, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	if rows, err := res.RowsAffected(); err != nil || rows == 0 {
		return errors.Join(err, errNoChannel)
	}
	return t.Wake(n.ID, metal.WaitOSInstall)
}

// PutOSMessage adds a message for a reader, if room finds that it fits behind those that wait; nil: it does in any case.
func (t *Tx) PutOSMessage(n *metal.Node, deploy string, to OSReader, message []byte, room func(messages int, waiting, size int64) error) error {
	var is string
	err := t.row("SELECT deploy FROM os_channels WHERE node_id = ?", n.ID).Scan(&is)
	if errors.Is(err, sql.ErrNoRows) || err == nil && is != deploy {
		return errNoChannel
	}
	if err != nil {
		return err
	}
	if room != nil {
		var messages int
		var waiting int64
		if err := t.row("SELECT count(*), COALESCE(SUM(bytes), 0) FROM os_messages WHERE node_id = ? AND reader = ?", n.ID, string(to)).Scan(&messages, &waiting); err != nil {
			return err
		}
		if err := room(messages, waiting, int64(len(message))); err != nil {
			return err
		}
	}
	_, err = t.exec("INSERT INTO os_messages (node_id, deploy, reader, bytes, sealed) VALUES (?, ?, ?, ?, ?)", n.ID, deploy, string(to), len(message),
		t.db.key.seal(message, n.UUID, messageField(deploy)))
	return err
}

// OSMessages is how many messages wait for a reader.
func (t *Tx) OSMessages(n *metal.Node, to OSReader) (count int, err error) {
	err = t.row("SELECT count(*) FROM os_messages WHERE node_id = ? AND reader = ?", n.ID, string(to)).Scan(&count)
	return count, err
}

// TakeOSMessage gives the oldest message of a deployment that waits for a reader, and takes it away; nil: there is none. The node is one
// that was read in this transaction, so that of two who take at the same time the second gets the next.
func (t *Tx) TakeOSMessage(n *metal.Node, deploy string, to OSReader) ([]byte, error) {
	var id int64
	var sealed []byte
	err := t.row("SELECT id, sealed FROM os_messages WHERE node_id = ? AND reader = ? AND deploy = ? ORDER BY id LIMIT 1", n.ID, string(to), deploy).Scan(&id, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	message, err := t.db.key.open(sealed, n.UUID, messageField(deploy))
	if err != nil {
		return nil, fmt.Errorf("message of node %s: %w", n.UUID, err)
	}
	_, err = t.exec("DELETE FROM os_messages WHERE id = ?", id)
	return message, err
}
