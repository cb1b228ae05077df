package store

import (
	"time"

	"ingot/internal/metal"
)

// A slot is a column of an operation's row, and nothing else: those that are held are counted, not kept in a number of their own. So a
// slot is free the moment its operation ends, whoever ends it and however, and none is lost with a process that dies.

// SlotUse is how many live operations hold a slot of one kind, and how many stand in line for one.
type SlotUse struct{ Held, InLine int }

// Full tells whether whoever comes now gets no slot. Nobody passes those who stand in line.
func (u SlotUse) Full(limit int) bool { return u.Held+u.InLine >= limit }

// slotLocks are the advisory locks of those who take slots, on an engine with many writers. Their first half is "slot" in ASCII.
var slotLocks = map[metal.Slot]int64{metal.SlotDeploy: 0x736c6f74<<8 + 1, metal.SlotClean: 0x736c6f74<<8 + 2}

// inLineFor is when an operation in line is due by itself: never. Whoever gives it a slot makes it due.
const inLineFor = 100 * 365 * 24 * time.Hour

// StepInLine is the name of the step that an operation in line stands at; no plan has it.
const StepInLine = "wait for a slot"

// InLine makes the operation one that stands in line for a slot, when it is written the next time.
func (o *Operation) InLine(slot metal.Slot, now time.Time) {
	o.Slot, o.Queued, o.DueAt, o.StepName = slot, true, now.Add(inLineFor), StepInLine
	o.WaitingFor, o.WaitingWhy = metal.WaitSlot, "one of the running "+slot.Plural()+" to end"
}

// HoldSlots tells how the slots of a kind are used, and lets nobody else take one until this transaction ends. It comes after every
// lock on nodes: who holds the slots waits for nobody.
func (t *Tx) HoldSlots(slot metal.Slot) (SlotUse, error) {
	if lock := t.db.dialect.mutex; lock != "" {
		if _, err := t.exec(lock, slotLocks[slot]); err != nil {
			return SlotUse{}, err
		}
	}
	return t.SlotUse(slot) // a statement of its own: it sees what the holder before committed
}

// SlotUse tells how the slots of a kind are used, at this moment.
func (t *Tx) SlotUse(slot metal.Slot) (u SlotUse, err error) {
	err = t.row(`SELECT (SELECT COUNT(*) FROM operations WHERE status = 'live' AND slot <> '' AND queued = 0 AND slot = ?),
		(SELECT COUNT(*) FROM operations WHERE status = 'live' AND slot <> '' AND queued = 1 AND slot = ?)`, string(slot), string(slot)).Scan(&u.Held, &u.InLine)
	return u, err
}

// AnyInLine tells whether an operation stands in line for a slot of whatever kind.
func (t *Tx) AnyInLine() (any bool, err error) {
	err = t.row("SELECT EXISTS (SELECT 1 FROM operations WHERE status = 'live' AND slot <> '' AND queued = 1)").Scan(&any)
	return any, err
}

// GrantSlots gives free slots to those that stand in line for them, those first that came first, and tells to how many. One whose
// row somebody else holds just now is passed over: it may be on its way out of the line, and its holder may wait for the slots.
func (t *Tx) GrantSlots(slot metal.Slot, limit int) (int, error) {
	use, err := t.HoldSlots(slot)
	if err != nil || use.InLine == 0 || use.Held >= limit {
		return 0, err
	}
	// A WITH that locks rows is read once; a subquery in its place may be read again, and then finds more than the limit.
	res, err := t.exec(`WITH next AS (SELECT id FROM operations WHERE status = 'live' AND slot <> '' AND queued = 1 AND slot = ? AND abort = ''
		ORDER BY id LIMIT ? {{skip}}) UPDATE operations SET queued = 0, due_at = {{now}} WHERE status = 'live' AND queued = 1 AND id IN (SELECT id FROM next)`, string(slot), limit-use.Held)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	t.wrote = t.wrote || n > 0
	return int(n), err
}

// QueueOperation sends an operation that was accepted without a slot to the line. SaveOperation in the same transaction writes the rest.
func (t *Tx) QueueOperation(o *Operation) error {
	_, err := t.exec("UPDATE operations SET slot = ?, queued = 1 WHERE id = ? AND generation = ? AND status = 'live'", string(o.Slot), o.ID, o.Generation)
	return err
}

// AheadInLine is how many stand in line before an operation.
func (t *Tx) AheadInLine(o *Operation) (n int, err error) {
	err = t.row("SELECT COUNT(*) FROM operations WHERE status = 'live' AND slot <> '' AND queued = 1 AND slot = ? AND id < ?", string(o.Slot), o.ID).Scan(&n)
	return n, err
}

// CountSlots counts, for each kind of slot, the live operations that hold one ("held") and those "in line".
func (t *Tx) CountSlots() ([]Count, error) {
	var out []Count
	for _, slot := range metal.Slots {
		use, err := t.SlotUse(slot)
		if err != nil {
			return nil, err
		}
		out = append(out, Count{Values: []string{string(slot), "held"}, N: use.Held}, Count{Values: []string{string(slot), "in line"}, N: use.InLine})
	}
	return out, nil
}
