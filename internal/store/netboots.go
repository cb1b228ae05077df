package store

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// sealedBoot is a network boot as it lies sealed in its row.
type sealedBoot struct {
	metal.NetworkBoot
	Key    string `json:"key"`
	Config string `json:"config"`
}

// NetworkBootSeen is what the machine of a network boot asked for last; the zero one: for nothing yet.
type NetworkBootSeen struct {
	What string
	At   time.Time
}

// SaveNetworkBoot keeps a node's network boot in place of an earlier one. A MAC that another node's boot has is
// fault.Conflict.
func (t *Tx) SaveNetworkBoot(nodeID int64, b *metal.NetworkBoot) error {
	plain, err := json.Marshal(sealedBoot{NetworkBoot: *b, Key: b.Key.Expose(), Config: b.Config.Expose()})
	if err != nil {
		return fmt.Errorf("seal the network boot: %w", err)
	}
	if err := t.ForgetNetworkBoot(nodeID); err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO network_boots (node_id, generation, key_hash, body, expires, fetches, created_at) VALUES (?, ?, ?, ?, ?, ?, {{now}})`,
		nodeID, b.Generation, keyHash(b.Key.Expose()), t.db.key.seal(plain, b.NodeUUID, bootField(b.Generation)), micros(b.Expires), b.ConfigFetches)
	for _, mac := range b.MACs {
		if err != nil {
			return err
		}
		if err = t.macFree(mac, nodeID); err == nil {
			_, err = t.exec("INSERT INTO network_boot_macs (mac, node_id) VALUES (?, ?)", mac, nodeID)
		}
	}
	return err
}

func (t *Tx) macFree(mac string, nodeID int64) error {
	// A boot that has expired boots nothing: it keeps nobody else's machine from it.
	if _, err := t.exec("DELETE FROM network_boot_macs WHERE mac = ? AND node_id IN (SELECT node_id FROM network_boots WHERE expires <= {{now}})", mac); err != nil {
		return err
	}
	var other int64
	err := t.row("SELECT node_id FROM network_boot_macs WHERE mac = ?", mac).Scan(&other)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil || other == nodeID:
		return err
	}
	return fault.New(fault.Conflict, "The machine with the MAC address %s boots from the network as another node's.", mac)
}

func bootField(generation string) string { return "network boot " + generation }

func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// ForgetNetworkBoot ends a node's network boot: from now on no boot file is for its machine.
func (t *Tx) ForgetNetworkBoot(nodeID int64) error {
	_, err := t.exec("DELETE FROM network_boot_macs WHERE node_id = ?", nodeID)
	if err == nil {
		_, err = t.exec("DELETE FROM network_boots WHERE node_id = ?", nodeID)
	}
	return err
}

// forgetOlderBoot ends a node's network boot of another generation.
func (t *Tx) forgetOlderBoot(nodeID int64, generation string) error {
	var is string
	err := t.row("SELECT generation FROM network_boots WHERE node_id = ?", nodeID).Scan(&is)
	if errors.Is(err, sql.ErrNoRows) || err == nil && is == generation {
		return nil
	}
	if err != nil {
		return err
	}
	return t.ForgetNetworkBoot(nodeID)
}

const bootSelect = "SELECT n.uuid, b.generation, b.body, b.fetches FROM network_boots b JOIN nodes n ON n.id = b.node_id "

// NetworkBootByMAC gives the network boot of a NIC, nil if there is none or it has expired.
func (t *Tx) NetworkBootByMAC(mac string) (*metal.NetworkBoot, error) {
	return t.networkBoot(bootSelect+"JOIN network_boot_macs m ON m.node_id = b.node_id WHERE m.mac = ? AND b.expires > {{now}}", mac)
}

// NetworkBootByKey gives the network boot with a key, nil if there is none or it has expired.
func (t *Tx) NetworkBootByKey(key string) (*metal.NetworkBoot, error) {
	return t.networkBoot(bootSelect+"WHERE b.key_hash = ? AND b.expires > {{now}}", keyHash(key))
}

// NetworkBootOf gives a node's network boot, nil if there is none or it has expired.
func (t *Tx) NetworkBootOf(nodeID int64) (*metal.NetworkBoot, error) {
	return t.networkBoot(bootSelect+"WHERE b.node_id = ? AND b.expires > {{now}}", nodeID)
}

func (t *Tx) networkBoot(query string, arg any) (*metal.NetworkBoot, error) {
	var uuid, generation string
	var body []byte
	var fetches int
	err := t.row(query, arg).Scan(&uuid, &generation, &body, &fetches)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := t.db.key.open(body, uuid, bootField(generation))
	if err != nil {
		return nil, fmt.Errorf("network boot of node %s: %w", uuid, err)
	}
	var s sealedBoot
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, fmt.Errorf("network boot of node %s is not JSON", uuid)
	}
	b := s.NetworkBoot
	b.Key, b.Config, b.ConfigFetches = secret.New(s.Key), secret.New(s.Config), fetches
	return &b, nil
}

// GiveNetworkConfig counts that the configuration of a boot is given out, and says how often it was by now. It is
// fault.Conflict at the limit, fault.NotFound when the boot is over.
func (t *Tx) GiveNetworkConfig(generation string, limit int) (times int, err error) {
	err = t.row("UPDATE network_boots SET fetches = fetches + 1 WHERE generation = ? AND expires > {{now}} AND fetches < ? RETURNING fetches", generation, limit).Scan(&times)
	if !errors.Is(err, sql.ErrNoRows) {
		return times, err
	}
	if err := t.row("SELECT fetches FROM network_boots WHERE generation = ? AND expires > {{now}}", generation).Scan(&times); errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "This network boot is over.")
	} else if err != nil {
		return 0, err
	}
	return times, fault.New(fault.Conflict, "The configuration of this boot was given out %d times, which is as often as it may be.", times)
}

// SeeNetworkBoot notes what the machine of a boot asked for.
func (t *Tx) SeeNetworkBoot(generation, what string) error {
	_, err := t.exec("UPDATE network_boots SET seen = ?, seen_at = {{now}} WHERE generation = ?", what, generation)
	return err
}

// NetworkBootSeen gives what the machine of a boot asked for last.
func (t *Tx) NetworkBootSeen(generation string) (NetworkBootSeen, error) {
	var s NetworkBootSeen
	var at int64
	err := t.row("SELECT seen, seen_at FROM network_boots WHERE generation = ?", generation).Scan(&s.What, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return NetworkBootSeen{}, nil
	}
	s.At = fromMicros(at)
	return s, err
}
