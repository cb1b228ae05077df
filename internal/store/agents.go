package store

import (
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

var errNoRows = sql.ErrNoRows

// Agent is the agent of a node's current boot.
type Agent struct {
	NodeID        int64
	NodeUUID      string
	Boot          string // boot generation
	Token         secret.Secret
	Pregenerated  bool // the token is on the boot media
	HandedOut     bool // a lookup was answered with the token: it is not given twice
	URL           string
	VerifyCA      string // PEM, pinned at the first heartbeat, or before the boot
	Version       string
	LastHeartbeat time.Time // zero: none yet
	PollOnly      bool      // it calls nobody: the conductor asks it
	// Role is what the machine boots for; "": what its node's state says.
	Role agentapi.Role

	// Of an agent that is only polled. AgentKey is that of VerifyCA, and is on the boot media; empty: the agent makes its own.
	// Commander is what whoever sends commands shows.
	AgentKey  secret.Secret
	Commander agentapi.Pair
}

// NewToken makes an agent token: 32 random bytes in URL-safe base64, 43 characters.
func NewToken() secret.Secret {
	raw := make([]byte, 32)
	rand.Read(raw)
	return secret.New(base64.RawURLEncoding.EncodeToString(raw))
}

// AgentNode is what an agent may know of its node: no secrets.
func AgentNode(n *metal.Node) agentapi.Node {
	public := func(k string) bool { return k == "root_device" || k == "capabilities" || k == "image_type" }
	orEmpty := func(m map[string]any) map[string]any {
		if m == nil {
			return map[string]any{}
		}
		return m
	}
	return agentapi.Node{UUID: n.UUID, Properties: orEmpty(n.Properties), InstanceInfo: n.InstanceInfo.Masked(public),
		InternalInfo: orEmpty(n.InternalInfo), RAIDConfig: n.RAIDConfig, TargetRAIDConfig: n.TargetRAIDConfig}
}

// SaveAgent writes the agent row of a node, replacing any earlier one. The network boot of an earlier one is over.
func (t *Tx) SaveAgent(a *Agent) error {
	now, err := t.Now()
	if err != nil {
		return err
	}
	pairs, err := t.sealPairs(a)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO agents (node_id, boot, token, pregenerated, handed_out, url, verify_ca, version, last_heartbeat, created_at, pairs, poll_only, role)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (node_id) DO UPDATE SET boot = excluded.boot, token = excluded.token, pregenerated = excluded.pregenerated,
		handed_out = excluded.handed_out, url = excluded.url, verify_ca = excluded.verify_ca, version = excluded.version,
		last_heartbeat = excluded.last_heartbeat, pairs = excluded.pairs, poll_only = excluded.poll_only, role = excluded.role`,
		a.NodeID, a.Boot, t.db.key.seal([]byte(a.Token.Expose()), a.NodeUUID, "agent token "+a.Boot), number(a.Pregenerated),
		number(a.HandedOut), a.URL, a.VerifyCA, a.Version, micros(a.LastHeartbeat), micros(now), pairs, number(a.PollOnly), string(a.Role))
	if err == nil {
		err = t.forgetOlderBoot(a.NodeID, a.Boot)
	}
	return err
}

// Agent gives the agent row of a node, or nil.
func (t *Tx) Agent(n *metal.Node) (*Agent, error) {
	a := Agent{NodeID: n.ID, NodeUUID: n.UUID}
	var token, pairs []byte
	var heard int64
	err := t.row("SELECT boot, token, pregenerated, handed_out, url, verify_ca, version, last_heartbeat, pairs, poll_only, role FROM agents WHERE node_id = ?", n.ID).
		Scan(&a.Boot, &token, &a.Pregenerated, &a.HandedOut, &a.URL, &a.VerifyCA, &a.Version, &heard, &pairs, &a.PollOnly, &a.Role)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := t.db.key.open(token, n.UUID, "agent token "+a.Boot)
	if err != nil {
		return nil, fmt.Errorf("agent token of node %s: %w", n.UUID, err)
	}
	a.Token, a.LastHeartbeat = secret.New(string(plain)), fromMicros(heard)
	return &a, t.openPairs(&a, pairs)
}

// ForgetAgent drops the agent row of a node: its token is worth nothing from now on, and nothing is left to boot.
func (t *Tx) ForgetAgent(nodeID int64) error {
	if err := t.ForgetNetworkBoot(nodeID); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM agents WHERE node_id = ?", nodeID)
	return err
}

// Conductor is a server that works on operations.
type Conductor struct {
	Hostname  string
	Group     string
	Types     []metal.HardwareType // shared by all who ask: not to be changed
	CreatedAt time.Time
	UpdatedAt time.Time // its last sign of life
	Alive     bool      // heard of within the limit given to Conductors
}

// SaveConductor writes a sign of life and what hardware the conductor knows.
func (t *Tx) SaveConductor(hostname, group string, types []metal.HardwareType) error {
	list, err := json.Marshal(types)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO conductors (hostname, grp, drivers, created_at, updated_at) VALUES (?, ?, ?, {{now}}, {{now}})
		ON CONFLICT (hostname) DO UPDATE SET grp = excluded.grp, drivers = excluded.drivers, updated_at = excluded.updated_at`,
		hostname, group, string(list))
	return err
}

// ForgetConductor removes a conductor that ends in good order.
func (t *Tx) ForgetConductor(hostname string) error {
	_, err := t.exec("DELETE FROM conductors WHERE hostname = ?", hostname)
	return err
}

// Conductors lists all conductors; those not heard of for longer than limit are not alive.
func (t *Tx) Conductors(limit time.Duration) ([]Conductor, error) {
	now, err := t.Now()
	if err != nil {
		return nil, err
	}
	rows, err := t.rows("SELECT hostname, grp, drivers, created_at, updated_at FROM conductors ORDER BY hostname")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Conductor
	for rows.Next() {
		var c Conductor
		var list string
		var created, updated int64
		if err := rows.Scan(&c.Hostname, &c.Group, &list, &created, &updated); err != nil {
			return nil, err
		}
		if c.Types, err = t.db.typesOf(c.Hostname, list); err != nil {
			return nil, err
		}
		c.CreatedAt, c.UpdatedAt = fromMicros(created), fromMicros(updated)
		c.Alive = now.Sub(c.UpdatedAt) < limit
		out = append(out, c)
	}
	return out, rows.Err()
}

// knownTypes is a conductor's hardware types as they were last decoded.
type knownTypes struct {
	list  string
	types []metal.HardwareType
}

// typesOf decodes a conductor's hardware types, or remembers them: every request asks, and they change when
// a server is upgraded.
func (db *DB) typesOf(hostname, list string) ([]metal.HardwareType, error) {
	if known, ok := db.types.Load(hostname); ok && known.(knownTypes).list == list {
		return known.(knownTypes).types, nil
	}
	var types []metal.HardwareType
	if err := json.Unmarshal([]byte(list), &types); err != nil {
		return nil, fmt.Errorf("conductor %s: its hardware types are not JSON: %w", hostname, err)
	}
	db.types.Store(hostname, knownTypes{list, types})
	return types, nil
}
