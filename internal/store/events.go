package store

import (
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// AppendEvent adds a line to a node's history. Time and UUID are set here.
func (t *Tx) AppendEvent(nodeID int64, e metal.HistoryEvent) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	if e.Severity == "" {
		e.Severity = "INFO"
	}
	t.wrote = true // whoever follows the feed wants to know
	_, err = t.exec(`INSERT INTO events (uuid, node_id, operation, at, kind, who, verb, step, from_state, to_state, why, severity)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, uuid.NewString(), nodeID, e.Operation, micros(now), e.Kind, e.Who, e.Verb,
		e.Step, string(e.From), string(e.To), e.Why, e.Severity)
	return err
}

// Events lists a node's history, oldest first unless the page says otherwise.
func (t *Tx) Events(n *metal.Node, p Page) ([]metal.HistoryEvent, error) {
	w := where{}
	w.add("e.node_id = ?", n.ID)
	tail, err := t.page(&w, "events", "e", []string{"at", "severity"}, p)
	if err != nil {
		return nil, err
	}
	return t.events(ofNode+w.String()+tail, w.args...)
}

// Event finds one event of a node; fault.NotFound if the node has none of that UUID.
func (t *Tx) Event(n *metal.Node, uuid string) (metal.HistoryEvent, error) {
	found, err := t.events(ofNode+"WHERE e.node_id = ? AND e.uuid = ?", n.ID, uuid)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.NotFound, "Node history record %s could not be found.", uuid)
	}
	if err != nil {
		return metal.HistoryEvent{}, err
	}
	return found[0], nil
}

// Lapse is what a history record tells beside its event: who asked for the operation it belongs to, and when
// the node entered the state that it was in before. Zero values: unknown.
type Lapse struct {
	User   string
	Before time.Time
}

// Lapses tells of each of a node's events, by UUID, what Lapse says.
func (t *Tx) Lapses(n *metal.Node, events []metal.HistoryEvent) (map[string]Lapse, error) {
	out := make(map[string]Lapse, len(events))
	for _, e := range events {
		var l Lapse
		var at sql.NullInt64
		err := t.row(`SELECT (SELECT o.requested_by FROM operations o WHERE o.uuid = e.operation),
			(SELECT p.at FROM events p WHERE p.node_id = e.node_id AND p.id < e.id AND p.kind = 'transition' ORDER BY p.id DESC LIMIT 1)
			FROM events e WHERE e.uuid = ? AND e.node_id = ?`, e.UUID, n.ID).Scan(orEmpty{&l.User}, &at)
		if err != nil {
			return nil, err
		}
		l.Before = fromMicros(at.Int64)
		out[e.UUID] = l
	}
	return out, nil
}

// orEmpty scans a text that may be null.
type orEmpty struct{ to *string }

// Scan is database/sql's.
func (o orEmpty) Scan(v any) error {
	var s sql.NullString
	err := s.Scan(v)
	*o.to = s.String
	return err
}

// ofNode joins an event with its node.
const ofNode = "JOIN nodes n ON n.id = e.node_id "

// events reads the events that the rest of the query chooses.
func (t *Tx) events(rest string, args ...any) ([]metal.HistoryEvent, error) {
	rows, err := t.rows(`SELECT n.uuid, e.uuid, e.operation, e.at, e.kind, e.who, e.verb, e.step, e.from_state, e.to_state, e.why,
		e.severity, e.place FROM events e `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []metal.HistoryEvent
	for rows.Next() {
		var e metal.HistoryEvent
		var at int64
		if err := rows.Scan(&e.NodeUUID, &e.UUID, &e.Operation, &at, &e.Kind, &e.Who, &e.Verb, &e.Step, &e.From, &e.To, &e.Why, &e.Severity, &e.Place); err != nil {
			return nil, err
		}
		e.At = fromMicros(at)
		out = append(out, e)
	}
	return out, rows.Err()
}

// Log is a file kept for a node: an agent's log, a console.
type Log struct {
	Name      string
	Operation string
	At        time.Time
	Size      int
}

// logsKept is how many files a node keeps; older ones go.
const logsKept = 20

// AddLog keeps a file for a node, sealed.
func (t *Tx) AddLog(n *metal.Node, operation, name string, data []byte) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	if _, err = t.exec("INSERT INTO logs (node_id, operation, name, at, size, data) VALUES (?, ?, ?, ?, ?, ?)",
		n.ID, operation, name, micros(now), len(data), t.db.key.seal(data, n.UUID, "log "+name)); err != nil {
		return err
	}
	_, err = t.exec(`DELETE FROM logs WHERE node_id = ? AND id NOT IN
		(SELECT id FROM logs WHERE node_id = ? ORDER BY id DESC LIMIT ?)`, n.ID, n.ID, logsKept)
	return err
}

// Logs lists a node's files, newest first.
func (t *Tx) Logs(n *metal.Node) ([]Log, error) {
	rows, err := t.rows("SELECT name, operation, at, size FROM logs WHERE node_id = ? ORDER BY id DESC", n.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Log
	for rows.Next() {
		var l Log
		var at int64
		if err := rows.Scan(&l.Name, &l.Operation, &at, &l.Size); err != nil {
			return nil, err
		}
		l.At = fromMicros(at)
		out = append(out, l)
	}
	return out, rows.Err()
}

// LogData gives the newest file of that name; fault.NotFound if there is none.
func (t *Tx) LogData(n *metal.Node, name string) ([]byte, error) {
	var sealed []byte
	err := t.row("SELECT data FROM logs WHERE node_id = ? AND name = ? ORDER BY id DESC LIMIT 1", n.ID, name).Scan(&sealed)
	if errors.Is(err, errNoRows) {
		return nil, fault.New(fault.NotFound, "Node %s has no log %s.", n.UUID, name)
	}
	if err != nil {
		return nil, err
	}
	return t.db.key.open(sealed, n.UUID, "log "+name)
}
