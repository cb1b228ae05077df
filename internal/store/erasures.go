package store

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"ingot/internal/metal"
)

const signingField = "signing key"

// SigningKey gives the key that erase certificates are signed with. The first call makes it; every server of the
// database has the same.
func (t *Tx) SigningKey() (ed25519.PrivateKey, error) {
	var id string
	var sealed []byte
	newest := func() error {
		return t.row("SELECT id, sealed FROM signing_keys ORDER BY created_at DESC, id LIMIT 1").Scan(&id, &sealed)
	}
	err := newest()
	if errors.Is(err, sql.ErrNoRows) {
		if err = t.makeSigningKey(); err == nil {
			err = newest()
		}
	}
	if err != nil {
		return nil, err
	}
	seed, err := t.db.key.open(sealed, id, signingField)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("signing key %s: %w", id, cmp.Or(err, ErrSealed))
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// makeSigningKey makes the key of a database that has none. Of two servers that do so at once both make one: the newest
// signs for all, and both are known.
func (t *Tx) makeSigningKey() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key for erase certificates: %w", err)
	}
	id := metal.KeyID(public)
	_, err = t.exec("INSERT INTO signing_keys (id, public, sealed, created_at) VALUES (?, ?, ?, {{now}})",
		id, metal.PublicPEM(public), t.db.key.seal(private.Seed(), id, signingField))
	return err
}

// SigningKeys lists the public halves of all keys that certificates were signed with, newest first.
func (t *Tx) SigningKeys() (out []metal.SigningKey, err error) {
	rows, err := t.rows("SELECT id, public, created_at FROM signing_keys ORDER BY created_at DESC, id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k metal.SigningKey
		var at int64
		if err := rows.Scan(&k.ID, &k.Public, &at); err != nil {
			return nil, err
		}
		k.CreatedAt = fromMicros(at)
		out = append(out, k)
	}
	return out, rows.Err()
}

// SaveErasure signs a certificate and keeps it. Of one operation and device there is one: a later one takes its place, but a
// wipe of metadata never that of an erase.
func (t *Tx) SaveErasure(c metal.ErasureCertificate) error {
	key, err := t.SigningKey()
	if err != nil {
		return err
	}
	signed, err := metal.SignErasure(c, key)
	if err != nil {
		return err
	}
	body, err := json.Marshal(signed)
	if err != nil {
		return err
	}
	whole := 1
	if c.Partial {
		whole = 0
	}
	_, err = t.exec(`INSERT INTO erasures (uuid, node, operation, device, whole, body, created_at) VALUES (?, ?, ?, ?, ?, ?, {{now}})
		ON CONFLICT (operation, device) DO UPDATE SET uuid = excluded.uuid, whole = excluded.whole, body = excluded.body, created_at = excluded.created_at
		WHERE excluded.whole >= erasures.whole`, c.UUID, c.Node, c.Operation, c.Device.Name, whole, string(body))
	return err
}

// Erasures lists the certificates of a node by its UUID, newest first; those of a node that is gone are there as well.
func (t *Tx) Erasures(node string) (out []metal.ErasureRecord, err error) {
	rows, err := t.rows("SELECT body FROM erasures WHERE node = ? ORDER BY created_at DESC, device", node)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, err
		}
		var r metal.ErasureRecord
		if err := json.Unmarshal([]byte(body), &r.Envelope); err != nil {
			return nil, fmt.Errorf("erase certificate of node %s: %w", node, err)
		}
		if payload, err := base64.StdEncoding.DecodeString(r.Envelope.Payload); err == nil {
			r.Certificate = &metal.ErasureCertificate{}
			if json.Unmarshal(payload, r.Certificate) != nil {
				r.Certificate = nil // the envelope says it all the same
			}
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
