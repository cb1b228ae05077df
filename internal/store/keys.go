package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ingot/internal/fault"
)

// States of a sealing key: servers are to learn it; it seals; it sealed, and values are left; none are.
const (
	KeyComing  = "coming"
	KeyCurrent = "current"
	KeyOld     = "old"
	KeyRetired = "retired"
)

// SealingKey is a key that seals values, without the key itself.
type SealingKey struct {
	ID        string
	State     string
	First     bool // the database's first: other keys are derived from it
	CreatedAt time.Time
	RetiredAt time.Time // zero: it is not
	Masters   []string  // ids of the keys that open it
}

// SealingKeys lists the keys, the oldest first.
func (t *Tx) SealingKeys() (out []SealingKey, err error) {
	rows, err := t.rows("SELECT id, state, first, created_at, retired_at FROM sealing_keys ORDER BY created_at, id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k SealingKey
		var created, retired int64
		if err := rows.Scan(&k.ID, &k.State, &k.First, &created, &retired); err != nil {
			return nil, err
		}
		k.CreatedAt, k.RetiredAt = fromMicros(created), fromMicros(retired)
		out = append(out, k)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	wraps, err := t.rows("SELECT key_id, master FROM sealing_key_wraps ORDER BY key_id, created_at, master")
	if err != nil {
		return nil, err
	}
	defer wraps.Close()
	for wraps.Next() {
		var id, master string
		if err := wraps.Scan(&id, &master); err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(out, func(k SealingKey) bool { return k.ID == id }); i >= 0 {
			out[i].Masters = append(out[i].Masters, master)
		}
	}
	return out, wraps.Err()
}

// openKeys reads the database's keys with the one that was given: a wrong one is found now, and not when a node is
// needed. At the first start the given key becomes the one that seals. Of two first starts at once one writes the rows,
// and the other must open them.
func (t *Tx) openKeys() error {
	keys, err := t.SealingKeys()
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		if err := t.checkMark(); err != nil { // a database from before there were rotations
			return err
		}
		if err := t.firstKey(); err != nil {
			return err
		}
		if keys, err = t.SealingKeys(); err != nil {
			return err
		}
	}
	if _, err := t.learnKeys(keys, t.db.key.ring.given()); err != nil {
		return err
	}
	return t.checkMark()
}

// firstKey writes down the key that was given as the first.
func (t *Tx) firstKey() error {
	k := t.db.key.ring.given()
	if _, err := t.exec("INSERT INTO sealing_keys (id, state, first, created_at, retired_at) VALUES (?, 'current', 1, {{now}}, 0) ON CONFLICT (id) DO NOTHING", k.id); err != nil {
		return err
	}
	return t.addWrap(k, k)
}

func (t *Tx) addWrap(k, by *single) error {
	_, err := t.exec("INSERT INTO sealing_key_wraps (key_id, master, wrapped, created_at) VALUES (?, ?, ?, {{now}}) ON CONFLICT (key_id, master) DO NOTHING",
		k.id, by.id, by.wrapKey(k))
	return err
}

// learnKeys gives the process's ring what the rows say, opened with a key.
func (t *Tx) learnKeys(keys []SealingKey, by *single) (bool, error) {
	var l learnt
	for _, k := range keys {
		if k.First {
			l.first = k.ID
		}
		if k.State == KeyCurrent {
			l.current = k.ID
		}
		var wrapped []byte
		err := noRowsIsFine(t.row("SELECT wrapped FROM sealing_key_wraps WHERE key_id = ? AND master = ?", k.ID, by.id).Scan(&wrapped))
		if err != nil {
			return false, err
		}
		if wrapped == nil {
			return false, &WrongKey{Given: by.id, Opens: k.Masters}
		}
		one, err := by.unwrapKey(wrapped, k.ID)
		if err != nil {
			return false, err
		}
		l.keys = append(l.keys, one)
	}
	return t.db.key.ring.learn(l)
}

// WrongKey is ErrSealed of a database whose keys are known by their ids.
type WrongKey struct {
	Given string
	Opens []string // the keys that would do
}

func (w *WrongKey) Error() string {
	return fmt.Sprintf("the key that was given is %s, and this database opens with the key %s", w.Given, names(w.Opens))
}

// Is makes it ErrSealed.
func (w *WrongKey) Is(target error) bool { return target == ErrSealed }

// checkMark opens what the first start sealed.
func (t *Tx) checkMark() error {
	const text = "ingot"
	_, err := t.exec("INSERT INTO key_check (id, sealed) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", t.db.key.seal([]byte(text), "key_check", "sealed"))
	if err != nil {
		return err
	}
	var sealed []byte
	if err := t.row("SELECT sealed FROM key_check WHERE id = 1").Scan(&sealed); err != nil {
		return errors.Join(errors.New("read the key's mark"), err)
	}
	_, err = t.db.key.open(sealed, "key_check", "sealed")
	return err
}

// RefreshKeys reads the keys anew, for somebody may be rotating them; it tells whether anything is new.
func (db *DB) RefreshKeys(ctx context.Context) (fresh bool, err error) {
	err = db.Read(ctx, func(tx *Tx) error {
		fresh, err = tx.learn(db.key.ring.given())
		return err
	})
	return fresh, err
}

// GiveKey has this process use another key to open the database's, such as the new one of a rotation. One that does not
// open them changes nothing and is ErrSealed.
func (db *DB) GiveKey(ctx context.Context, k Key) error {
	other := k.ring.given()
	err := db.Read(ctx, func(tx *Tx) error {
		_, err := tx.learn(other)
		return err
	})
	if err == nil {
		db.key.ring.give(other)
	}
	return err
}

func (t *Tx) learn(by *single) (bool, error) {
	keys, err := t.SealingKeys()
	if err != nil {
		return false, err
	}
	return t.learnKeys(keys, by)
}

// KeysMissed has a value whenever something was sealed with a key that this process does not know yet.
func (db *DB) KeysMissed() <-chan struct{} { return db.key.ring.missed }

// KeyID names the key that this process was given.
func (db *DB) KeyID() string { return db.key.ID() }

// SealsWith names the key that seals from now on.
func (db *DB) SealsWith() string { return db.key.ring.sealing().id }

// UnderKey gives a plainly opened database the key, for a rotation. A database of another version than this program's is
// fault.Conflict: its servers would not know what this program writes.
func UnderKey(ctx context.Context, db *DB, key Key) error {
	err := db.look(ctx, func(r raw) error {
		v, err := r.version()
		switch {
		case err != nil:
			return err
		case v == 0:
			return fault.New(fault.Conflict, "No server has been started on this database yet: there is nothing to rotate.")
		case v > newest():
			return tooNew(v, newest())
		case v < newest():
			return fault.New(fault.Conflict, "The database has schema version %d, and this program works with %d: start a server of this version on it first.", v, newest())
		}
		return nil
	})
	if err != nil {
		return err
	}
	db.key = key
	return db.Write(ctx, (*Tx).openKeys)
}

// Learn has the key know the keys of a plainly opened database, whatever its version. One that has none yet is no error.
func Learn(ctx context.Context, db *DB, key Key) error {
	return db.look(ctx, func(r raw) error { return r.learn(key) })
}

func (r raw) learn(key Key) error {
	tables, err := r.list(r.d.catalog.tables)
	if err != nil || !slices.Contains(tables, "sealing_keys") {
		return err
	}
	t := &Tx{tx: r.tx, ctx: r.ctx, db: &DB{dialect: r.d, key: key}}
	keys, err := t.SealingKeys()
	if err != nil || len(keys) == 0 {
		return err
	}
	_, err = t.learnKeys(keys, key.ring.given())
	return err
}

// Masters are the ids of the keys that open a database or a backup; none for one from before keys were counted.
func Masters(ctx context.Context, db *DB) (out []string, err error) {
	err = db.look(ctx, func(r raw) error {
		tables, err := r.list(r.d.catalog.tables)
		if err != nil || !slices.Contains(tables, "sealing_key_wraps") {
			return err
		}
		out, err = r.list("SELECT DISTINCT master FROM sealing_key_wraps ORDER BY master")
		return err
	})
	return out, err
}
