package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ingot/internal/cli"
	"ingot/internal/fault"
	"ingot/internal/peer"
	"ingot/internal/store"
)

// signOfLife is how often a server says in the database that it lives; after lifeLimit without, the others
// count it as dead.
const (
	signOfLife = 10 * time.Second
	lifeLimit  = 45 * time.Second
)

// serverName is who this process is among those that share a database: what its certificate says, or the
// configuration, or the host's name.
func (s *server) serverName() (string, error) {
	name := s.c.Default.Host
	if s.peer != nil {
		certified := s.peer.Identity().Name
		if name != "" && name != certified {
			return "", fmt.Errorf("[DEFAULT] host is %s, and this server's certificate in %s names %s: they must be the same", name, s.peerFolder(), certified)
		}
		return certified, nil
	}
	if name != "" {
		return name, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find the host name: %w", err)
	}
	return name, nil
}

func (s *server) peerFolder() string { return filepath.Join(s.f.data, "peer") }

// place gives the id of a data folder, made when it is missing. Who has the folder's lock knows that an earlier
// process of the same place is dead.
func place(data string) (string, error) {
	path := filepath.Join(data, "server-id")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, 16)
		rand.Read(raw)
		text = []byte(hex.EncodeToString(raw))
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("find the data folder's id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// members is what this process knows of the servers on its database. It is refreshed while the process serves.
type members struct {
	db   *store.DB
	self store.Server

	mu     sync.Mutex
	all    []store.Server // guarded by mu, replaced whole
	chosen string         // guarded by mu: the server whose agents' door machines are sent to
}

// beat writes a sign of life and reads those of the others. until is when the certificate ends; nil: as it was.
func (m *members) beat(ctx context.Context, until *time.Time) error {
	if until != nil {
		m.self.CertificateUntil = *until
	}
	var all []store.Server
	err := m.db.Write(ctx, func(tx *store.Tx) error {
		err := tx.SaveServer(m.self, lifeLimit)
		if err == nil {
			all, err = tx.Servers(lifeLimit)
		}
		return err
	})
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = all
	return nil
}

// run keeps the sign of life fresh until ctx ends, and takes it away then.
func (m *members) run(ctx context.Context, s *server) error {
	tick := time.NewTicker(signOfLife)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return m.db.Write(end, func(tx *store.Tx) error { return tx.ForgetServer(m.self.Name, m.self.Place) })
		case <-tick.C:
		}
		if err := m.sign(ctx, s); err != nil {
			return err
		}
	}
}

// sign gives one sign of life. Only a name that another server has taken, while this one was frozen or cut off, is an
// error: two conductors of one name would drop each other's leases.
func (m *members) sign(ctx context.Context, s *server) error {
	ctx, cancel := context.WithTimeout(ctx, signOfLife)
	defer cancel()
	var until *time.Time
	if s.peer != nil {
		is := s.peer.Identity().Until
		until = &is
	}
	err := m.beat(ctx, until)
	if fault.KindOf(err) == fault.Conflict {
		return err
	}
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		s.log.Warn("server cannot write its sign of life", "error", err)
	}
	return nil
}

// find gives a server by name as it was last seen.
func (m *members) find(name string) (store.Server, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.all {
		if s.Name == name {
			return s, true
		}
	}
	return store.Server{}, false
}

// door gives the agents' door that machines are sent to, where this process has none: that of a live server,
// and the same one as long as it lives, for a boot is told it once.
func (m *members) door() (url, ca string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first *store.Server
	for i := range m.all {
		s := &m.all[i]
		switch {
		case !s.Alive || s.AgentURL == "":
		case s.Name == m.chosen:
			return s.AgentURL, s.AgentCA, nil
		case first == nil:
			first = s
		}
	}
	if first == nil {
		return "", "", errNoDoor
	}
	m.chosen = first.Name
	return first.AgentURL, first.AgentCA, nil
}

var errNoDoor = fault.New(fault.Unavailable, "No server with an agents' door is running: a machine that boots would have nobody to call. "+
	"Start one with --roles agent-api, or name a door elsewhere with [agent] door_url and door_ca_file.")

// issuers are the live servers that renew certificates.
func (m *members) issuers(ctx context.Context) ([]peer.Server, error) {
	var all []store.Server
	err := m.db.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Servers(lifeLimit)
		return err
	})
	var out []peer.Server
	for _, s := range all {
		if s.Has(string(peer.Issuer)) && s.PeerURL != "" && s.Alive {
			out = append(out, peer.Server{Name: s.Name, URL: s.PeerURL})
		}
	}
	return out, err
}

func (m *members) denied(ctx context.Context) (out map[string]time.Time, err error) {
	err = m.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.PeersDenied()
		return err
	})
	return out, err
}

// openPeer reads this server's certificate, if it has one, joining first if it was invited.
func (s *server) openPeer(ctx context.Context) error {
	o := peer.Options{Config: peer.Defaults(), Dir: s.peerFolder(), Log: s.log, Courier: s.values}
	if s.c.Peer.CertificateLife > 0 {
		o.CertificateLife = s.c.Peer.CertificateLife
	}
	if s.db != nil {
		o.Seal = s.key.Derive(sealPurpose)
		o.Denied, o.Issuers = s.members.denied, s.members.issuers
	}
	p, err := peer.Open(o)
	if errors.Is(err, fs.ErrNotExist) && s.f.joinToken != "" {
		token, tokenErr := readToken(s.f.joinToken)
		if tokenErr != nil {
			return tokenErr
		}
		if _, err = peer.Join(ctx, o.Dir, token, s.f.join); err != nil {
			return err
		}
		p, err = peer.Open(o)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if s.f.peerListen != "" {
			return cli.Hint(errors.New("--peer-listen: this server has no certificate yet"),
				"\"ingot peer init\" makes the first server's; the others join with a token of \"ingot peer invite\"")
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, one := range s.roles {
		if one != roleNetboot && one != roleMetadata && !p.Identity().Is(peer.Role(one)) { // no other server lets it do more for serving machines
			return cli.Hint(fmt.Errorf("this server's certificate does not give it the role %s", one),
				"invite it again with the roles it needs, and let it join anew (remove %s first)", s.peerFolder())
		}
	}
	s.peer = p
	return nil
}

// sealPurpose is what the key that seals the authority's key is derived for.
const sealPurpose = "peer authority"

// selfRow is how this server shows itself to the others.
func (s *server) selfRow() store.Server {
	out := store.Server{Name: s.name, Place: s.place, Roles: s.roles.names(), Version: version()}
	if s.peer != nil {
		out.CertificateUntil = s.peer.Identity().Until
		if s.peer.Issues() {
			out.Roles = append(out.Roles, string(peer.Issuer))
		}
	}
	if d := s.doors; d.peer != nil {
		out.PeerURL = d.peerURL
	}
	if s.roles.has(roleAgentAPI) {
		out.AgentURL, out.AgentCA = s.doors.agentURL, s.agentCA
	}
	if s.roles.has(roleConductor) {
		out.BootURL, out.Group = s.doors.bootURL, s.c.Conductor.ConductorGroup
	}
	return out
}
