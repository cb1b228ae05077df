package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"ingot/internal/metal"
)

// Baseline gives a node's firmware baseline; nil: none was recorded.
func (t *Tx) Baseline(nodeID int64) (*metal.Baseline, error) {
	var b metal.Baseline
	var state, seen string
	var at, seenAt int64
	err := t.row("SELECT state, by_whom, at, seen, seen_at FROM baselines WHERE node_id = ?", nodeID).Scan(&state, &b.By, &at, &seen, &seenAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b.At = fromMicros(at)
	err = json.Unmarshal([]byte(state), &b.State)
	if err == nil && seen != "" {
		when := fromMicros(seenAt)
		b.Seen, b.SeenAt = &metal.FirmwareState{}, &when
		err = json.Unmarshal([]byte(seen), b.Seen)
	}
	if err != nil {
		return nil, fmt.Errorf("firmware baseline: %w", err)
	}
	return &b, nil
}

// SaveBaseline makes a state a node's baseline.
func (t *Tx) SaveBaseline(nodeID int64, s metal.FirmwareState, by string) error {
	state, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO baselines (node_id, state, by_whom, at) VALUES (?, ?, ?, {{now}})
		ON CONFLICT (node_id) DO UPDATE SET state = excluded.state, by_whom = excluded.by_whom, at = excluded.at`, nodeID, string(state), by)
	return err
}

// SeeFirmware notes how a node's firmware was found; a node without a baseline is left alone.
func (t *Tx) SeeFirmware(nodeID int64, s metal.FirmwareState) error {
	seen, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = t.exec("UPDATE baselines SET seen = ?, seen_at = {{now}} WHERE node_id = ?", string(seen), nodeID)
	return err
}
