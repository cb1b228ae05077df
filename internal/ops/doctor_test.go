package ops

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// examined is what the doctor says, by check.
func examined(t *testing.T, s *Service) map[string]metal.Finding {
	t.Helper()
	out := map[string]metal.Finding{}
	for _, f := range s.examine(t.Context()) {
		if (f.Level == metal.Fine) != (f.Do == "") || f.Said == "" {
			t.Errorf("%+v: what is wrong says what to do, what is well does not", f)
		}
		out[f.Check] = f
	}
	return out
}

func TestDoctorOfAHealthyServer(t *testing.T) {
	s, _ := service(t)
	enrolled(t, s, "fake-hardware")
	for check, f := range examined(t, s) {
		if f.Level != metal.Fine {
			t.Errorf("%s: %+v", check, f)
		}
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	s, db := service(t)
	failed, lonely := enrolled(t, s, "fake-hardware"), enrolled(t, s, "redfish")
	force(t, db, failed.UUID, metal.CleanFailed)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(lonely.UUID)
		if err != nil {
			return err
		}
		n.ConductorGroup = "rack9"
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.CreateOperation(&store.Operation{UUID: "op", NodeID: n.ID, Exclusive: true, Plan: "verify", Driver: "redfish", Group: "rack9", DueAt: time.Now().Add(-time.Hour)})
	})
	if err != nil {
		t.Fatal(err)
	}
	got := examined(t, s)
	for check, want := range map[string]struct {
		level metal.Level
		says  string
	}{
		"drivers":              {metal.Fail, `1 of driver redfish in conductor group "rack9"`},
		"operations":           {metal.Warn, "1 operations are due"},
		"node n-fake-hardware": {metal.Warn, "It is clean failed since"},
		"conductors":           {metal.Fine, "c1"},
	} {
		if f := got[check]; f.Level != want.level || !strings.Contains(f.Said, want.says) {
			t.Errorf("%s: %+v; want %s, %q", check, f, want.level, want.says)
		}
	}
	s.config.ConductorAliveLimit = -time.Hour // nobody's sign of life is young enough
	if f := examined(t, s)["conductors"]; f.Level != metal.Fail || !strings.Contains(f.Said, "No conductor is alive") {
		t.Errorf("without a conductor: %+v", f)
	}
}

func TestDoctorOfADatabaseThatIsAway(t *testing.T) {
	s, db := service(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if f := examined(t, s)["database"]; f.Level != metal.Fail {
		t.Errorf("%+v", f)
	}
}

// An operation that ended keeps the step it ended at, and has no holder and no limit.
func TestOperationTellsOfTheLastToo(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "fake-hardware")
	if err := s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: metal.VerbManage}); err != nil {
		t.Fatal(err)
	}
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		o, err := tx.Claim("c1", store.Scope{Drivers: []string{"fake-hardware"}}, time.Minute)
		if err != nil {
			return err
		}
		o.Status, o.StepName, o.StepsTotal, o.Error, o.LeaseOwner = store.Failed, "read power", 3, "verify: no answer", ""
		o.StepLimit = time.Now().Add(time.Hour)
		return tx.SaveOperation(o)
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Operation(t.Context(), caller, n.UUID)
	if err != nil || o.Status != "failed" || o.Step != "read power" || o.Error != "verify: no answer" || o.Limit != nil || o.Holder != "" || o.FinishedAt == nil {
		t.Errorf("%+v, %v", o, err)
	}
	w, err := s.Why(t.Context(), caller, n.UUID)
	if err != nil || w.Step != "" || w.StepsTotal != 0 {
		t.Errorf("nothing is under way: %+v, %v", w, err)
	}
	if live, err := s.Operations(t.Context(), caller, OperationQuery{}); err != nil || len(live) != 0 {
		t.Errorf("%+v, %v", live, err)
	}
}
