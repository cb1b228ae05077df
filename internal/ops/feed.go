package ops

import (
	"context"
	"strconv"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// FeedQuery says which part of the feed of events is wanted. After is where a reader stood: a place of the
// feed, the UUID of an event, "start" (or nothing) or "now".
type FeedQuery struct {
	Node  string // UUID or name; "" for all nodes
	After string
	Limit int
}

// FeedPage is a part of the feed: From is the place it begins after, Next the After that goes on from here.
type FeedPage struct {
	Events     []metal.HistoryEvent
	From, Next string
}

// Feed reads the events after a place, in the order in which they were committed: whoever goes on with Next
// gets each event once and misses none. Without a node a project sees those of the nodes it owns. Events of nodes that were deleted are gone with them.
func (s *Service) Feed(ctx context.Context, c Caller, q FeedQuery) (out FeedPage, err error) {
	if err := s.db.Place(ctx); err != nil {
		return out, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		sq := store.FeedQuery{Limit: q.Limit}
		if q.Node != "" {
			n, err := c.node(tx, q.Node, "ingot:node:events")
			if err != nil {
				return err
			}
			sq.NodeID = n.ID
			c.Rights.Asks("ingot:events")
		} else if sq.Owner, err = c.listing("ingot:events:list_all", "ingot:events"); err != nil {
			return err
		}
		if sq.After, err = after(tx, q.After); err != nil {
			return err
		}
		page, err := tx.Feed(sq)
		out = FeedPage{Events: page.Events, From: strconv.FormatInt(sq.After, 10), Next: strconv.FormatInt(page.Next, 10)}
		return err
	})
	return out, err
}

// after reads where a reader stood.
func after(tx *store.Tx, text string) (int64, error) {
	if text == "" || text == "start" {
		return 0, nil
	}
	if text == "now" {
		return tx.LastPlace()
	}
	if _, err := uuid.Parse(text); err == nil && len(text) == 36 {
		return tx.PlaceOf(text)
	}
	place, err := strconv.ParseInt(text, 10, 64)
	if err != nil || place < 0 {
		return 0, fault.New(fault.Invalid, "Expected UUID of an event, a place of the feed, start or now for after.")
	}
	return place, nil
}

// Changed gives a channel that is closed when something was committed by this process; other processes'
// changes are found by looking. Ask for it before looking.
func (s *Service) Changed() <-chan struct{} { return s.db.Changed() }
