package ops

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// An operation's row says where its values are; they themselves are in the courier, until the operation ends.
func TestSecretsAreKeptWhileTheOperationLives(t *testing.T) {
	s, db := service(t)
	kept := courier.New(courier.Defaults())
	s.KeepSecrets(Keeper{Courier: kept, Server: "one"})
	n := enrolled(t, s, "redfish")
	steps := []metal.Step{{Interface: "deploy", Step: "x", Args: map[string]any{"password": map[string]any{"secret": "pw"}}}}
	ask := Provision{Verb: metal.VerbService, ServiceSteps: steps, Secrets: map[string]secret.Secret{"pw": secret.New("canary-value")}}

	// Refused for another reason: nothing is kept.
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, ask), fault.BadState)
	if left := kept.Operations(); len(left) != 0 {
		t.Errorf("kept for a refused request: %v", left)
	}
	force(t, db, n.UUID, metal.Active)
	if err := s.SetProvision(t.Context(), caller, n.UUID, ask); err != nil {
		t.Fatal(err)
	}
	var live *store.Operation
	err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
		live, err = tx.LiveOperation(n.ID)
		return err
	})
	if err != nil || bytes.Contains(live.Record, []byte("canary-value")) {
		t.Fatalf("record %s, %v", live.Record, err)
	}
	var rec struct{ Ask metal.Ask }
	if err := json.Unmarshal(live.Record, &rec); err != nil || rec.Ask.Secrets == nil || rec.Ask.Secrets.Server != "one" || !slices.Equal(rec.Ask.Secrets.Names, []string{"pw"}) {
		t.Fatalf("reference %+v, %v", rec.Ask.Secrets, err)
	}
	got, err := kept.Fetch(rec.Ask.Secrets.Handle, live.UUID, []string{"pw"})
	if err != nil || got["pw"].Expose() != "canary-value" {
		t.Errorf("fetched %d values, %v", len(got), err)
	}
	s.releaseEnded(t.Context())
	if len(kept.Operations()) != 1 {
		t.Error("released while the operation lives")
	}
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.Supersede(n.ID, "a test") }); err != nil {
		t.Fatal(err)
	}
	s.releaseEnded(t.Context())
	if left := kept.Operations(); len(left) != 0 {
		t.Errorf("kept after the end: %v", left)
	}

	// An operation that cannot be found is about to be written; after a while its node was deleted, and it with it.
	if _, err := kept.Keep("of a deleted node", ask.Secrets); err != nil {
		t.Fatal(err)
	}
	for look := range missedLimit {
		if len(kept.Operations()) != 1 {
			t.Fatalf("released after %d looks", look)
		}
		s.releaseEnded(t.Context())
	}
	if left := kept.Operations(); len(left) != 0 {
		t.Errorf("kept although the operation is gone: %v", left)
	}

	s.KeepSecrets(Keeper{Courier: kept, Server: "one", Refusal: "No peer."})
	force(t, db, n.UUID, metal.Active)
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, ask), fault.NotSupported)
}
