package conductor

import (
	"context"
	"slices"
	"strings"
	"time"

	"ingot/internal/store"
)

// aliveLimit is how long a conductor that gives no sign of life counts as one that works; it gives one every
// 10 seconds.
const aliveLimit = time.Minute

// takenOverFrom says from whom a claimed operation was taken over, "" if it was not: from a holder whose lease
// ran out or, of an operation that was waiting and so had no holder, from a process that walked it last and is
// gone. Conductors that are alive pass a waiting operation to each other, and that is no news.
func (c *Conductor) takenOverFrom(ctx context.Context, row *store.Operation) (string, error) {
	_, last, _ := strings.Cut(row.Worker, "@")
	from := row.TakenOverFrom
	switch {
	case from == "" && (row.Worker == "" || row.Worker == c.process):
		return "", nil
	case from == "":
		from = last
	}
	if from == c.config.Host { // one process has a name at a time, so that one is dead
		return "an earlier run of itself", nil
	}
	if row.TakenOverFrom == "" {
		var all []store.Conductor
		err := c.db.Read(ctx, func(tx *store.Tx) (err error) {
			all, err = tx.Conductors(aliveLimit)
			return err
		})
		if err != nil || slices.ContainsFunc(all, func(o store.Conductor) bool { return o.Hostname == from && o.Alive }) {
			return "", err
		}
	}
	return "conductor " + from, nil
}
