package store

import (
	"database/sql"
	"errors"
	"strings"
	"time"

	"ingot/internal/metal"
)

// Awaited is what an operation waits for an agent to do, and so how often the agent is asked.
type Awaited string

// What is awaited of an agent. They are stored: never rename one.
const (
	AwaitAnswer  Awaited = "answer"  // the first one of its boot
	AwaitCommand Awaited = "command" // the end of a command
	AwaitSign    Awaited = "sign"    // any sign of life: nothing is asked of it
)

// Poll is the row of an agent that is asked.
type Poll struct {
	NodeID int64
	Boot   string
	Awaits Awaited
	// Wait names one wait of an operation: a new one makes the row due at once and fences whoever asks for the last one.
	Wait          string
	Driver, Group string
	DueAt         time.Time // of a claimed row: when the lease ends
	Generation    int64
	Failures      int           // in a row
	Address       string        // that was asked last, host and port
	Error         string        // what came of it; "" for an answer
	Every         time.Duration // after what time it was to be asked again, about; 0: at once
	Refusal       string        // why this agent is never going to do: the operation fails with it
}

const pollColumns = "node_id, boot, awaits, wait, driver, grp, due_at, generation, failures, address, error, refusal, every"

// AwaitAgent has the agent asked from due on. For a wait that is known already it changes nothing.
func (t *Tx) AwaitAgent(p *Poll) error {
	res, err := t.exec(`INSERT INTO agent_polls (node_id, boot, awaits, wait, driver, grp, due_at) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (node_id) DO UPDATE SET boot = excluded.boot, awaits = excluded.awaits, wait = excluded.wait, driver = excluded.driver,
		grp = excluded.grp, due_at = excluded.due_at, lease_owner = '', generation = agent_polls.generation + 1, failures = 0, error = '', refusal = '',
		address = CASE WHEN agent_polls.boot = excluded.boot THEN agent_polls.address ELSE '' END
		WHERE agent_polls.wait <> excluded.wait OR agent_polls.boot <> excluded.boot`,
		p.NodeID, p.Boot, string(p.Awaits), p.Wait, p.Driver, p.Group, micros(p.DueAt))
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	t.wrote = t.wrote || n > 0
	return err
}

// PollOf gives the row of a node, or nil.
func (t *Tx) PollOf(nodeID int64) (*Poll, error) {
	p, err := pollRow(t.row("SELECT "+pollColumns+" FROM agent_polls WHERE node_id = ?", nodeID))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return p, err
}

// awaited is the condition that a live operation of the scope's waits for the agent of a row, or is held with the agent
// running. Nobody else's agent is ever asked.
func (s Scope) awaited() (string, []any) {
	args := []any{s.Group}
	for _, d := range s.Drivers {
		args = append(args, d)
	}
	args = append(args, metal.WaitAgent, metal.WaitUnhold)
	return "p.grp = ? AND p.driver IN (" + marks(len(s.Drivers)) + `) AND p.refusal = '' AND EXISTS (SELECT 1 FROM operations o
		WHERE o.node_id = p.node_id AND o.status = 'live' AND o.exclusive = 1 AND o.undoing = 0 AND o.waiting_for IN (?, ?))`, args
}

// NextPoll is when the next agent in the scope is to be asked, or the lease of one ends; zero: never.
func (t *Tx) NextPoll(scope Scope) (time.Time, error) {
	awaited, args := scope.awaited()
	var us int64
	err := t.row("SELECT p.due_at FROM agent_polls p WHERE "+awaited+" ORDER BY p.due_at LIMIT 1", args...).Scan(&us)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return fromMicros(us), err
}

// ClaimPolls takes up to n rows that are due, the oldest first, for owner. What it gives has DueAt as it was; the lease of
// all ends at until.
func (t *Tx) ClaimPolls(owner string, scope Scope, n int, lease time.Duration) (out []*Poll, until time.Time, err error) {
	awaited, args := scope.awaited()
	rows, err := t.rows("SELECT "+pollColumns+" FROM agent_polls p WHERE p.due_at <= {{now}} AND "+awaited+" ORDER BY p.due_at, p.node_id LIMIT ? {{skip}}",
		append(args, n)...)
	if err != nil {
		return nil, until, err
	}
	defer rows.Close()
	for rows.Next() {
		p, err := pollRow(rows)
		if err != nil {
			return nil, until, err
		}
		p.Generation++
		out = append(out, p)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(out) == 0 {
		return nil, until, err
	}
	now, err := t.Now()
	if err != nil {
		return nil, until, err
	}
	until = now.Add(lease)
	ids := []any{micros(until), owner}
	for _, p := range out {
		ids = append(ids, p.NodeID)
	}
	_, err = t.exec("UPDATE agent_polls SET due_at = ?, lease_owner = ?, generation = generation + 1 WHERE node_id IN ("+marks(len(out))+")", ids...)
	return out, until, err
}

// HoldsPoll tells whether a claimed row is still its claimer's.
func (t *Tx) HoldsPoll(p *Poll) (bool, error) {
	var n int
	err := t.row("SELECT count(*) FROM agent_polls WHERE node_id = ? AND boot = ? AND wait = ? AND generation = ? AND due_at > {{now}}",
		p.NodeID, p.Boot, p.Wait, p.Generation).Scan(&n)
	return n == 1, err
}

// SavePoll writes what came of a claimed row and when it is due again, and gives the lease back. ErrFenced if it was lost:
// another asks, or something else is awaited.
func (t *Tx) SavePoll(p *Poll) error {
	res, err := t.exec(`UPDATE agent_polls SET due_at = ?, lease_owner = '', failures = ?, address = ?, error = ?, refusal = ?, every = ?
		WHERE node_id = ? AND boot = ? AND wait = ? AND generation = ?`,
		micros(p.DueAt), p.Failures, p.Address, p.Error, p.Refusal, p.Every.Microseconds(), p.NodeID, p.Boot, p.Wait, p.Generation)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrFenced
}

// DropPollLeases lets the leases of a holder that is known to be dead end now.
func (t *Tx) DropPollLeases(owner string) error {
	_, err := t.exec("UPDATE agent_polls SET due_at = {{now}}, lease_owner = '', generation = generation + 1 WHERE lease_owner = ?", owner)
	t.wrote = true
	return err
}

// AgentHeard notes that the agent of a boot has answered.
func (t *Tx) AgentHeard(nodeID int64, boot string) error {
	_, err := t.exec("UPDATE agents SET last_heartbeat = {{now}} WHERE node_id = ? AND boot = ?", nodeID, boot)
	return err
}

func pollRow(row scanner) (*Poll, error) {
	var p Poll
	var due, every int64
	if err := row.Scan(&p.NodeID, &p.Boot, &p.Awaits, &p.Wait, &p.Driver, &p.Group, &due, &p.Generation, &p.Failures, &p.Address, &p.Error, &p.Refusal, &every); err != nil {
		return nil, err
	}
	p.DueAt, p.Every = fromMicros(due), time.Duration(every)*time.Microsecond
	return &p, nil
}

// Said tells where the agent is asked and what came of it last: a phrase, "" before anybody asked.
func (p *Poll) Said() string {
	what, last := "polling "+p.Address, "it answered"
	switch {
	case p.Address == "" && p.Error == "":
		return ""
	case p.Address == "":
		what = "polling"
	}
	if p.Error != "" {
		last = strings.TrimSuffix(p.Error, ".")
	}
	if p.Every > 0 {
		what += " each " + p.Every.Round(time.Second).String()
	}
	return what + ", last: " + last
}

// PortOwners gives the nodes, by UUID, that have ports with these addresses.
func (t *Tx) PortOwners(macs []string) (map[string]string, error) {
	out := map[string]string{}
	if len(macs) == 0 {
		return out, nil
	}
	args := make([]any, len(macs))
	for i, m := range macs {
		args[i] = m
	}
	rows, err := t.rows("SELECT p.address, n.uuid FROM ports p JOIN nodes n ON n.id = p.node_id WHERE p.address IN ("+marks(len(macs))+")", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var mac, uuid string
		if err := rows.Scan(&mac, &uuid); err != nil {
			return nil, err
		}
		out[mac] = uuid
	}
	return out, rows.Err()
}
