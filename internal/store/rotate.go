package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"ingot/internal/fault"
)

// A rotation goes from the sealing key of now to a new one, and may replace the key that servers are given as well. Its
// state lies in the rows of the keys alone, so that whoever runs it may die anywhere and another go on:
//
//  1. BeginRotation: the new sealing key is there, "coming". Every server reads it, and says so with its sign of life.
//  2. UseComing, when all of them know it: servers seal with it from now on, and open what either has sealed.
//  3. Reseal, in batches, until nothing is left; then RetireOld.
//  4. ForgetMasters, when every server was given the new key: the old one opens nothing any more.
//
// A retired key stays, wrapped: what a server that was frozen all the while seals with it is not lost, and the next
// rotation reseals it.

// Unfinished tells whether keys are in the middle of a rotation.
func Unfinished(keys []SealingKey) bool {
	for _, k := range keys {
		if k.State == KeyComing || k.State == KeyOld || len(k.Masters) > 1 {
			return true
		}
	}
	return false
}

// BeginRotation makes a new sealing key, known to the key that was given and to next, unless a rotation is under way
// already: then fresh is false, and a next that is not that rotation's is fault.Conflict.
func (db *DB) BeginRotation(ctx context.Context, next Key) (fresh bool, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		keys, err := tx.lockedKeys()
		if err != nil {
			return err
		}
		given, other := db.key.ring.given(), next.ring.given()
		if _, err := tx.learnKeys(keys, given); err != nil { // another rotation may have come to its end since they were read
			return err
		}
		if Unfinished(keys) {
			if !slices.Contains(keys[0].Masters, other.id) {
				return fault.New(fault.Conflict, "A rotation that began with other keys (%s) is not finished: finish it first, with the same key as then.", names(keys[0].Masters))
			}
			return nil
		}
		if given.id == other.id {
			return fault.New(fault.Invalid, "The new key is the old one, %s: make another.", given.id)
		}
		raw := make([]byte, keySize)
		rand.Read(raw)
		coming, err := newSingle(raw)
		if err != nil {
			return err
		}
		if _, err := tx.exec("INSERT INTO sealing_keys (id, state, first, created_at, retired_at) VALUES (?, ?, 0, {{now}}, 0)", coming.id, KeyComing); err != nil {
			return err
		}
		ring := db.key.ring
		all := []*single{coming}
		for _, id := range ring.known() {
			all = append(all, ring.keys[id])
		}
		for _, k := range all {
			if err := errors.Join(tx.addWrap(k, given), tx.addWrap(k, other)); err != nil {
				return err
			}
		}
		fresh = true
		return nil
	})
	if err == nil {
		_, err = db.RefreshKeys(ctx)
	}
	return fresh, err
}

// lockedKeys lists the keys and keeps other rotations off them until the end of the transaction.
func (t *Tx) lockedKeys() ([]SealingKey, error) {
	var id int64
	if err := t.row("SELECT id FROM key_check WHERE id = 1 {{hold}}").Scan(&id); err != nil {
		return nil, err
	}
	return t.SealingKeys()
}

// Lagging is a live server that a rotation waits for.
type Lagging struct {
	Name string
	Old  bool // its program knows of no rotations
}

// lagging lists the live servers with a database for which ready is false. limit is as in Servers.
func (t *Tx) lagging(limit time.Duration, ready func(Server) bool) (out []Lagging, err error) {
	all, err := t.Servers(limit)
	for _, s := range all {
		if s.Alive && !s.Visited && !ready(s) {
			out = append(out, Lagging{Name: s.Name, Old: len(s.SealingKeys) == 0})
		}
	}
	return out, err
}

// UseComing lets servers seal with the key that is coming, if every live one knows it; otherwise it gives those that do not.
// No key that is coming is no error.
func (db *DB) UseComing(ctx context.Context, limit time.Duration) (wait []Lagging, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		keys, err := tx.lockedKeys()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(keys, func(k SealingKey) bool { return k.State == KeyComing })
		if i < 0 {
			return nil
		}
		if wait, err = tx.lagging(limit, func(s Server) bool { return slices.Contains(s.SealingKeys, keys[i].ID) }); err != nil || len(wait) > 0 {
			return err
		}
		_, err = tx.exec("UPDATE sealing_keys SET state = ? WHERE state = ?", KeyOld, KeyCurrent)
		if err == nil {
			_, err = tx.exec("UPDATE sealing_keys SET state = ? WHERE id = ?", KeyCurrent, keys[i].ID)
		}
		return err
	})
	if err == nil {
		_, err = db.RefreshKeys(ctx)
	}
	return wait, err
}

// SealingOther are the live servers that do not seal with the current key yet.
func (db *DB) SealingOther(ctx context.Context, limit time.Duration) (wait []Lagging, err error) {
	current := db.key.ring.sealing().id
	err = db.Read(ctx, func(tx *Tx) error {
		wait, err = tx.lagging(limit, func(s Server) bool { return len(s.SealingKeys) > 0 && s.SealingKeys[0] == current })
		return err
	})
	return wait, err
}

// GivenOther are the live servers that were given another key than this process.
func (db *DB) GivenOther(ctx context.Context, limit time.Duration) (wait []Lagging, err error) {
	given := db.KeyID()
	err = db.Read(ctx, func(tx *Tx) error {
		wait, err = tx.lagging(limit, func(s Server) bool { return s.MasterKey == given })
		return err
	})
	return wait, err
}

// Resealed is what came of one column, or of a part of it.
type Resealed struct {
	What   string
	Values int // sealed anew
	Broken int // do not open with any key: see Check
}

// resealBatch is how many values are sealed anew in one transaction: SQLite's other writers wait that long.
const resealBatch = 100

// Reseal seals everything with the current key that another has sealed. told hears of every batch.
func (db *DB) Reseal(ctx context.Context, told func(Resealed)) (all Resealed, err error) {
	for _, c := range sealedColumns {
		for last := c.start(); ; {
			done := Resealed{What: c.what}
			more := false
			err := db.Write(ctx, func(tx *Tx) error {
				last, more, err = tx.resealSome(c, last, &done)
				return err
			})
			if err != nil {
				return all, fmt.Errorf("seal %s anew: %w", c.what, err)
			}
			all.Values, all.Broken = all.Values+done.Values, all.Broken+done.Broken
			if done.Values+done.Broken > 0 {
				told(done)
			}
			if !more {
				break
			}
		}
	}
	return all, nil
}

// staleValue is a value that another key has sealed.
type staleValue struct {
	id         any
	row, field string
	value      []byte
}

// resealSome seals some values behind the row last anew.
func (t *Tx) resealSome(c sealedColumn, last any, done *Resealed) (any, bool, error) {
	found, err := t.staleValues(c, last)
	if err != nil {
		return last, false, err
	}
	for _, v := range found {
		last = v.id
		sealed, err := c.out(v.value)
		var plain []byte
		if err == nil {
			plain, err = t.db.key.open(sealed, v.row, v.field)
		}
		if err != nil { // the rest must not wait for what nobody can read
			done.Broken++
			continue
		}
		again := c.in(t.db.key.seal(plain, v.row, v.field))
		clear(plain)
		before := any(v.value)
		if c.text {
			before = string(v.value)
		}
		// Whoever has written the value meanwhile has sealed it with a key it knows: that one is looked at again.
		res, err := t.exec(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ? AND %s = ?", c.table, c.column, c.id, c.column), again, v.id, before)
		if err != nil {
			return last, false, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return last, false, err
		}
		done.Values += int(n)
	}
	return last, len(found) == resealBatch, nil
}

func (t *Tx) staleValues(c sealedColumn, last any) (out []staleValue, err error) {
	by := t.db.key.ring.sealing()
	query := fmt.Sprintf("SELECT t.%s, %s, %s, t.%s FROM %s WHERE t.%s > ? AND %s", c.id, c.row, c.field, c.column, c.from(), c.id, c.only())
	args := []any{last}
	if !by.first { // values of the first key have a mark of one byte, which a rotation never goes back to
		query += fmt.Sprintf(" AND %s <> ?", c.head())
		args = append(args, c.in(by.mark()))
	}
	rows, err := t.rows(query+fmt.Sprintf(" ORDER BY t.%s LIMIT %d", c.id, resealBatch), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v staleValue
		if err := rows.Scan(&v.id, &v.row, &v.field, &v.value); err != nil {
			return nil, err
		}
		v.value = bytes.Clone(v.value)
		out = append(out, v)
	}
	return out, rows.Err()
}

// RetireOld retires keys with which nothing is sealed any more that opens. It gives those it retired.
func (db *DB) RetireOld(ctx context.Context) (retired []string, err error) {
	left, err := db.Reseal(ctx, func(Resealed) {})
	if err != nil || left.Values > 0 {
		return nil, err // servers wrote meanwhile: once more
	}
	err = db.Write(ctx, func(tx *Tx) error {
		keys, err := tx.lockedKeys()
		if err != nil {
			return err
		}
		for _, k := range keys {
			if k.State != KeyOld {
				continue
			}
			if _, err := tx.exec("UPDATE sealing_keys SET state = ?, retired_at = {{now}} WHERE id = ?", KeyRetired, k.ID); err != nil {
				return err
			}
			retired = append(retired, k.ID)
		}
		return nil
	})
	return retired, err
}

// ForgetMasters makes the key that this process was given the only one that opens the database, if every live server was
// given it; otherwise it gives those that were not.
func (db *DB) ForgetMasters(ctx context.Context, limit time.Duration) (wait []Lagging, err error) {
	given := db.KeyID()
	err = db.Write(ctx, func(tx *Tx) error {
		keys, err := tx.lockedKeys()
		if err != nil {
			return err
		}
		if wait, err = tx.lagging(limit, func(s Server) bool { return s.MasterKey == given }); err != nil || len(wait) > 0 {
			return err
		}
		for _, k := range keys {
			if !slices.Contains(k.Masters, given) {
				return fmt.Errorf("the sealing key %s does not open with the key %s: %w", k.ID, given, ErrSealed)
			}
		}
		_, err = tx.exec("DELETE FROM sealing_key_wraps WHERE master <> ?", given)
		return err
	})
	return wait, err
}

// KeyUse counts how many values each key has sealed, by its id. No key is needed.
func KeyUse(ctx context.Context, db *DB) (out map[string]int, err error) {
	out = map[string]int{}
	err = db.look(ctx, func(r raw) error {
		var first string
		if err := noRowsIsFine(r.tx.QueryRowContext(ctx, "SELECT id FROM sealing_keys WHERE first = 1").Scan(&first)); err != nil {
			return err
		}
		for _, c := range sealedColumns {
			if err := r.keyUse(c, first, out); err != nil {
				return fmt.Errorf("count %s: %w", c.what, err)
			}
		}
		return nil
	})
	return out, err
}

func (r raw) keyUse(c sealedColumn, first string, into map[string]int) error {
	rows, err := r.tx.QueryContext(r.ctx, "SELECT "+c.head()+" FROM "+c.from()+" WHERE "+c.only())
	if err != nil {
		return err
	}
	defer rows.Close()
	var head sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&head); err != nil {
			return err
		}
		into[c.keyOf(head, first)]++
	}
	return rows.Err()
}

// ListKeys lists the keys of a plainly opened database.
func ListKeys(ctx context.Context, db *DB) (out []SealingKey, err error) {
	err = db.Read(ctx, func(tx *Tx) error {
		out, err = tx.SealingKeys()
		return err
	})
	return out, err
}
