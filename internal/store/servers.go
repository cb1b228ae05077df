package store

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
)

// Server is a process that serves on this database, or a boot host that such processes push to.
type Server struct {
	Name             string
	Place            string // id of its data folder
	Roles            []string
	PeerURL          string // for other servers; "": it has no peer listener
	AgentURL         string // the agents' door as machines reach it; "": it has none
	AgentCA          string // PEM
	BootURL          string // for BMCs and machines; "": it has none
	Group            string // conductor group
	Version          string
	CertificateUntil time.Time // zero: it has none
	MasterKey        string    // id of the key that it was given; "": its program is too old to tell
	SealingKeys      []string  // ids of the keys that it can open with, the one it seals with first
	Visited          bool      // a boot host: others visit it and write its row
	CreatedAt        time.Time
	UpdatedAt        time.Time // its last sign of life
	Alive            bool      // heard of within the limit given to Servers
}

// Has tells whether the server has a role.
func (s Server) Has(role string) bool { return slices.Contains(s.Roles, role) }

// SaveServer writes a server's sign of life, and which keys this process has unless it speaks for a boot host. A live server of the same name in another place is
// fault.Conflict: the two would take each other's work.
func (t *Tx) SaveServer(s Server, limit time.Duration) error {
	if k := t.db.key.ring; !s.Visited {
		s.MasterKey, s.SealingKeys = k.given().id, k.known()
	}
	now, err := t.Now()
	if err != nil {
		return err
	}
	roles, err := json.Marshal(s.Roles)
	if err != nil {
		return err
	}
	res, err := t.exec(`INSERT INTO servers (name, place, roles, peer_url, agent_url, agent_ca, boot_url, grp, version, certificate_until, visited, master_key, sealing_keys, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET place = excluded.place, roles = excluded.roles, peer_url = excluded.peer_url, agent_url = excluded.agent_url,
		agent_ca = excluded.agent_ca, boot_url = excluded.boot_url, grp = excluded.grp, version = excluded.version,
		certificate_until = excluded.certificate_until, visited = excluded.visited,
		master_key = excluded.master_key, sealing_keys = excluded.sealing_keys, updated_at = excluded.updated_at
		WHERE servers.place = excluded.place OR servers.updated_at <= ?`, // one statement: of two that start at once one is refused
		s.Name, s.Place, string(roles), s.PeerURL, s.AgentURL, s.AgentCA, s.BootURL, s.Group, s.Version, micros(s.CertificateUntil),
		number(s.Visited), s.MasterKey, strings.Join(s.SealingKeys, " "), micros(now), micros(now), micros(now.Add(-limit)))
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fault.New(fault.Conflict, "Another server of the name %s is running, in another place: give each its own name with [DEFAULT] host.", s.Name)
}

// ForgetServer removes a server that ends in good order, or one that is given up.
func (t *Tx) ForgetServer(name, place string) error {
	_, err := t.exec("DELETE FROM servers WHERE name = ? AND place = ?", name, place)
	return err
}

// Servers lists all servers by name; those not heard of for longer than limit are not alive.
func (t *Tx) Servers(limit time.Duration) ([]Server, error) {
	now, err := t.Now()
	if err != nil {
		return nil, err
	}
	rows, err := t.rows(`SELECT name, place, roles, peer_url, agent_url, agent_ca, boot_url, grp, version, certificate_until, visited, master_key, sealing_keys, created_at, updated_at
		FROM servers ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Server
	for rows.Next() {
		var s Server
		var roles, keys string
		var until, created, updated int64
		if err := rows.Scan(&s.Name, &s.Place, &roles, &s.PeerURL, &s.AgentURL, &s.AgentCA, &s.BootURL, &s.Group, &s.Version, &until,
			&s.Visited, &s.MasterKey, &keys, &created, &updated); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(roles), &s.Roles); err != nil {
			return nil, err
		}
		if keys != "" {
			s.SealingKeys = strings.Split(keys, " ")
		}
		s.CertificateUntil, s.CreatedAt, s.UpdatedAt = fromMicros(until), fromMicros(created), fromMicros(updated)
		s.Alive = now.Sub(s.UpdatedAt) < limit
		out = append(out, s)
	}
	return out, rows.Err()
}

// DenyPeer revokes a server: other servers refuse what was issued to it until now.
func (t *Tx) DenyPeer(name, who string) error {
	_, err := t.exec(`INSERT INTO peers_denied (name, denied_at, who) VALUES (?, {{now}}, ?)
		ON CONFLICT (name) DO UPDATE SET denied_at = excluded.denied_at, who = excluded.who`, name, who)
	return err
}

// PeersDenied gives the servers that were revoked, and when.
func (t *Tx) PeersDenied() (map[string]time.Time, error) {
	rows, err := t.rows("SELECT name, denied_at FROM peers_denied")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]time.Time{}
	for rows.Next() {
		var name string
		var at int64
		if err := rows.Scan(&name, &at); err != nil {
			return nil, err
		}
		out[name] = fromMicros(at)
	}
	return out, rows.Err()
}
