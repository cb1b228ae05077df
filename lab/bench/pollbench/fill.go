package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// driver is the hardware type of all machines.
const driver = "bench"

// open opens the database that the bench is on; done removes it.
func open(ctx context.Context, o options) (db *store.DB, done func(), err error) {
	dir, err := os.MkdirTemp("", "pollbench")
	if err != nil {
		return nil, nil, err
	}
	clean := func() { _ = os.RemoveAll(dir) } // it is a temporary folder's
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err == nil && o.database != "" {
		db, err = store.OpenPostgres(ctx, secret.New(o.database), key)
	} else if err == nil {
		db, err = store.OpenSQLite(ctx, filepath.Join(dir, "db"), key)
	}
	if err != nil {
		clean()
		return nil, nil, err
	}
	return db, func() { _ = db.Close(); clean() }, nil
}

// fill makes the nodes, and has all but the flows be held with their agents running.
func fill(ctx context.Context, db *store.DB, m *machines, o options) error {
	const batch = 500
	for from := 0; from < o.agents; from += batch {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for i := from; i < min(from+batch, o.agents); i++ {
				if err := m.enrol(tx, i, i >= o.flows, o); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// enrol makes a node; held, an operation has it wait for a person while its agent runs.
func (m *machines) enrol(tx *store.Tx, i int, held bool, o options) error {
	n := &metal.Node{UUID: nodeUUID(i), Driver: driver, ProvisionState: metal.Manageable, Interfaces: map[string]string{"deploy": "direct"},
		DriverInfo: secret.NewMap(map[string]any{metal.AgentAddress: addressOf(i)}), InstanceInfo: secret.NewMap(nil)}
	if held {
		n.ProvisionState, n.TargetProvisionState = metal.CleanHold, metal.Manageable
	}
	if err := tx.CreateNode(n); err != nil {
		return err
	}
	if err := tx.CreatePort(&metal.Port{UUID: fmt.Sprintf("00000000-0000-4000-9000-%012d", i), NodeUUID: n.UUID, Address: macOf(i), PXEEnabled: true}); err != nil {
		return err
	}
	if !held {
		return nil
	}
	from, until := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	agent, err := agentapi.NewPair("agent", from, until)
	if err != nil {
		return err
	}
	commander, err := agentapi.NewPair("commander", from, until)
	if err != nil {
		return err
	}
	boot, one := fmt.Sprintf("boot-%d", i), m.all[n.UUID]
	a := &store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: boot, Token: store.NewToken(), Pregenerated: true, PollOnly: true, URL: "https://" + one.listen,
		VerifyCA: agent.Certificate, AgentKey: agent.Key, Commander: commander, Version: "bench", LastHeartbeat: time.Now()}
	if err := tx.SaveAgent(a); err != nil {
		return err
	}
	op := &store.Operation{UUID: fmt.Sprintf("00000000-0000-4000-a000-%012d", i), NodeID: n.ID, Exclusive: true, Verb: string(metal.VerbClean), Plan: string(metal.PlanManual),
		PlanVersion: metal.PlanManual.Version(), Driver: driver, DueAt: time.Now().Add(24 * time.Hour), WaitingFor: metal.WaitUnhold}
	if err := tx.CreateOperation(op); err != nil {
		return err
	}
	one.on = true
	err = m.start(n.UUID, one, agentapi.BootConfig{AgentToken: a.Token.Expose(), Certificate: agent.Certificate, Key: agent.Key.Expose(), Client: commander.Certificate}, 0)
	if err != nil {
		return err
	}
	return tx.AwaitAgent(&store.Poll{NodeID: n.ID, Boot: boot, Awaits: store.AwaitSign, Wait: "held", Driver: driver, DueAt: time.Now().Add(rand.N(o.interval))}) //nolint:gosec // no secret
}

// work are the steps of a flow.
const work = `{"ask":{"steps":[{"interface":"deploy","step":"work"},{"interface":"deploy","step":"work"}]}}`

// clean asks for the manual cleaning of a node, as the API does.
func clean(ctx context.Context, db *store.DB, i int) error {
	return db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(nodeUUID(i))
		if err != nil {
			return err
		}
		to, ok := metal.Next(n.ProvisionState, metal.EventClean)
		if !ok {
			return fmt.Errorf("node %d is %s", i, n.ProvisionState)
		}
		n.ProvisionState, n.TargetProvisionState = to, metal.Manageable
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.CreateOperation(&store.Operation{UUID: fmt.Sprintf("00000000-0000-4000-b000-%012d", i), NodeID: n.ID, Exclusive: true, Verb: string(metal.VerbClean),
			Plan: string(metal.PlanManual), PlanVersion: metal.PlanManual.Version(), Driver: driver, Record: []byte(work)})
	})
}
