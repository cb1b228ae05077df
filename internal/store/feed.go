package store

import (
	"context"
	"database/sql"
	"errors"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// The feed is the history of all nodes in the order in which it was committed. Ids cannot give that order:
// a transaction that took id 6 may commit after the one that took id 7, and a reader that stood at 7 would
// never see 6. So an event gets its place when somebody reads the feed, from what is committed by then, in
// transactions that follow one another. Nobody reading costs nothing.

// placedAtOnce is how many events get their place in one transaction: others want to write too.
const placedAtOnce = 1000

// FeedQuery says which part of the feed is wanted: events after a place, of one node or (0) of all, of one owner's
// nodes or ("") of everybody's.
type FeedQuery struct {
	NodeID int64
	Owner  string
	After  int64
	Limit  int // 0: 100
}

// FeedPage is a part of the feed, in its order. Next is the place to go on from.
type FeedPage struct {
	Events []metal.HistoryEvent
	Next   int64
}

// Place gives a place in the feed to every event that is committed when it begins. It writes nothing if all have
// one.
func (db *DB) Place(ctx context.Context) error {
	var missing bool
	err := db.Read(ctx, func(tx *Tx) error {
		err := tx.row("SELECT 1 FROM events WHERE place = 0 LIMIT 1").Scan(new(int))
		missing = err == nil
		return noRowsIsFine(err)
	})
	for more := missing; more && err == nil; { // ends although others go on writing
		err = db.Write(ctx, func(tx *Tx) error {
			n, err := tx.place()
			more = n == placedAtOnce
			return err
		})
	}
	return err
}

// place gives places to some of the events that have none, and tells to how many. The first statement locks the row of the last
// place until the commit; what the second sees as unplaced, on an engine with many writers too, is what the
// holder of the lock before left.
func (t *Tx) place() (n int64, err error) {
	var last int64
	if err := t.row("UPDATE feed SET last = last + 0 WHERE id = 1 RETURNING last").Scan(&last); err != nil {
		return 0, err
	}
	res, err := t.exec(`UPDATE events SET place = ? + found.n FROM
		(SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM events WHERE place = 0 ORDER BY id LIMIT ?) AS found
		WHERE events.id = found.id`, last, placedAtOnce)
	if err != nil {
		return 0, err
	}
	if n, err = res.RowsAffected(); err != nil || n == 0 {
		return 0, err
	}
	_, err = t.exec("UPDATE feed SET last = ? WHERE id = 1", last+n)
	return n, err
}

// LastPlace is the last place that was given.
func (t *Tx) LastPlace() (last int64, err error) {
	err = t.row("SELECT last FROM feed WHERE id = 1").Scan(&last)
	return last, err
}

// PlaceOf is the place of an event by its UUID; fault.NotFound if there is no such event.
func (t *Tx) PlaceOf(uuid string) (place int64, err error) {
	err = t.row("SELECT place FROM events WHERE uuid = ?", uuid).Scan(&place)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "The event %s could not be found: it is older than the history that is kept.", uuid)
	}
	return place, err
}

// Feed reads a part of the feed; Place comes before it. The last place is read first: all up to it were
// committed before, so that none can appear behind Next later.
func (t *Tx) Feed(q FeedQuery) (FeedPage, error) {
	last, err := t.LastPlace()
	if err != nil {
		return FeedPage{}, err
	}
	if q.After > last {
		return FeedPage{}, fault.New(fault.Invalid, "The place %d is beyond the end of the history, %d: it is of another database. Begin again.", q.After, last)
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	w := where{}
	w.add("e.place > ? AND e.place > 0", q.After)
	if q.NodeID != 0 {
		w.add("e.node_id = ?", q.NodeID)
	}
	if q.Owner != "" {
		w.add("n.owner = ?", q.Owner)
	}
	out := FeedPage{Next: last}
	out.Events, err = t.events(ofNode+w.String()+" ORDER BY e.place LIMIT ?", append(w.args, q.Limit)...)
	if n := len(out.Events); n == q.Limit || n > 0 && out.Events[n-1].Place > last {
		out.Next = out.Events[n-1].Place
	}
	return out, err
}

func noRowsIsFine(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}
