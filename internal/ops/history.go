package ops

import (
	"context"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// Record is an event as a line of upstream's history.
type Record struct {
	metal.HistoryEvent
	store.Lapse
}

// History lists a node's events, oldest first unless the page says otherwise.
func (s *Service) History(ctx context.Context, c Caller, ident string, page Page) (out []Record, err error) {
	return s.records(ctx, c, ident, func(tx *store.Tx, n *metal.Node) ([]metal.HistoryEvent, error) { return tx.Events(n, page) })
}

// Record finds one event of a node's history; fault.NotFound if the node has none of that UUID.
func (s *Service) Record(ctx context.Context, c Caller, ident, uuid string) (Record, error) {
	found, err := s.records(ctx, c, ident, func(tx *store.Tx, n *metal.Node) ([]metal.HistoryEvent, error) {
		e, err := tx.Event(n, uuid)
		return []metal.HistoryEvent{e}, err
	})
	if err != nil {
		return Record{}, err
	}
	return found[0], nil
}

func (s *Service) records(ctx context.Context, c Caller, ident string, find func(*store.Tx, *metal.Node) ([]metal.HistoryEvent, error)) (out []Record, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:history:get")
		if err != nil {
			return err
		}
		events, err := find(tx, n)
		if err != nil {
			return err
		}
		lapses, err := tx.Lapses(n, events)
		for _, e := range events {
			out = append(out, Record{e, lapses[e.UUID]})
		}
		return err
	})
	return out, err
}

// Log is a file kept for a node.
type Log = store.Log

// Logs lists a node's files, newest first.
func (s *Service) Logs(ctx context.Context, c Caller, ident string) (out []Log, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "ingot:node:logs")
		if err != nil {
			return err
		}
		out, err = tx.Logs(n)
		return err
	})
	return out, err
}

// LogData gives the newest file of that name.
func (s *Service) LogData(ctx context.Context, c Caller, ident, name string) (out []byte, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "ingot:node:logs")
		if err != nil {
			return err
		}
		out, err = tx.LogData(n, name)
		return err
	})
	return out, err
}
