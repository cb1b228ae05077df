package storetest

import (
	"context"
	"sync"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// Answer stands for conductors that find nothing wrong, until the test ends: every operation of the plan, a question, is
// answered with yes.
func Answer(t testing.TB, db *store.DB, plan metal.Plan) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var answering sync.WaitGroup
	t.Cleanup(func() { cancel(); answering.Wait() })
	answering.Go(func() {
		for {
			changed := db.Changed()
			if err := db.Write(ctx, func(tx *store.Tx) error { return answerAll(tx, plan) }); err != nil && ctx.Err() == nil {
				t.Errorf("answer questions: %v", err)
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
}

func answerAll(tx *store.Tx, plan metal.Plan) error {
	rows, err := tx.LiveOperations(store.OperationQuery{})
	if err != nil {
		return err
	}
	for _, o := range rows {
		if o.Plan != string(plan) {
			continue
		}
		o.Status = store.Done
		if err := tx.SaveOperation(&o.Operation); err != nil {
			return err
		}
	}
	return nil
}
