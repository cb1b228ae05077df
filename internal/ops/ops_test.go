package ops

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

var caller = Caller{Who: "tester", Rights: policy.For(policy.Caller{Trusted: true}), Minor: 115}

func service(t *testing.T) (*Service, *store.DB) {
	t.Helper()
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveConductor("c1", "", []metal.HardwareType{
			{Name: "fake-hardware", Interfaces: map[string][]string{"deploy": {"fake"}, "inspect": {"fake", "no-inspect"}, "power": {"fake"}, "rescue": {"fake", "no-rescue"}}},
			{Name: "redfish", Interfaces: map[string][]string{"deploy": {"direct"}, "inspect": {"redfish", "agent", "no-inspect"}, "power": {"redfish"}}},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(db, Defaults(), slog.New(slog.DiscardHandler)), db
}

func enrolled(t *testing.T, s *Service, driver string) *metal.Node {
	t.Helper()
	n, err := s.CreateNode(t.Context(), caller, &metal.Node{Name: "n-" + driver, Driver: driver,
		DriverInfo: secret.NewMap(map[string]any{"redfish_password": "x"})})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func force(t *testing.T, db *store.DB, ident string, st metal.State) {
	t.Helper()
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(ident)
		if err != nil {
			return err
		}
		n.ProvisionState = st
		return tx.SaveNode(n)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, k fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != k {
		t.Errorf("error %v, want kind %v", err, k)
	}
}

func TestCreateFillsAndRefuses(t *testing.T) {
	s, _ := service(t)
	n := enrolled(t, s, "redfish")
	if n.ProvisionState != metal.Enroll || n.Interfaces["deploy"] != "direct" || n.DriverInfo.Public("redfish_password") != "x" {
		t.Errorf("node = %v %v", n.ProvisionState, n.Interfaces)
	}
	_, err := s.CreateNode(t.Context(), caller, &metal.Node{Name: "n-redfish", Driver: "redfish"})
	wantKind(t, err, fault.Conflict)
	_, err = s.CreateNode(t.Context(), caller, &metal.Node{Driver: "nobody"})
	wantKind(t, err, fault.NoHost)
	_, err = s.CreateNode(t.Context(), caller, &metal.Node{Driver: "redfish", Name: "states"})
	wantKind(t, err, fault.Invalid)
	_, err = s.CreateNode(t.Context(), caller, &metal.Node{Driver: "redfish", Interfaces: map[string]string{"deploy": "fake"}})
	wantKind(t, err, fault.Invalid)
}

// Every verb in every state: accepted exactly where the life table has the event, and then the intent is
// whole: transition, target and (for busy states) one live operation.
func TestVerbsFollowTheTable(t *testing.T) {
	s, db := service(t)
	storetest.Answer(t, db, metal.PlanCheckRescue)
	for state := range metal.States {
		for verb := range metal.Verbs {
			if _, ok := accepts[verb]; !ok {
				continue
			}
			n, err := s.CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware"})
			if err != nil {
				t.Fatal(err)
			}
			force(t, db, n.UUID, state)
			err = s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: verb, CleanSteps: oneStep(verb, metal.VerbClean), ServiceSteps: oneStep(verb, metal.VerbService), Rescue: byKey(verb)})
			to, ok := metal.Next(state, metal.Verbs[verb.In(state)].Event)
			if ok = ok && state != metal.Cleaning && state != metal.Deleting; !ok {
				wantKind(t, err, fault.BadState)
				continue
			}
			if err != nil {
				t.Errorf("%s in %s: %v", verb, state, err)
				continue
			}
			got, _ := s.Node(t.Context(), caller, n.UUID, "node:get")
			if got.ProvisionState != to || got.TargetProvisionState != metal.Target(to, wanted(verb)) {
				t.Errorf("%s in %s: state %q target %q", verb, state, got.ProvisionState, got.TargetProvisionState)
			}
			var live *store.Operation
			_ = db.Read(t.Context(), func(tx *store.Tx) error { live, err = tx.LiveOperation(n.ID); return err })
			if (live != nil) != (metal.States[to].Kind == metal.Busy) {
				t.Errorf("%s in %s: live operation %v", verb, state, live)
			}
		}
	}
}

func oneStep(verb, of metal.Verb) []metal.Step {
	if verb != of {
		return nil
	}
	return []metal.Step{{Interface: "power", Step: metal.StepReboot}}
}

// wanted is where a verb leads that does not lead where its state does by itself.
func wanted(verb metal.Verb) metal.State {
	if verb == metal.VerbClean {
		return metal.Manageable
	}
	return ""
}

// A node has one live operation; whoever is refused learns which, and who works on it now.
func TestOneLiveOperation(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "fake-hardware")
	if err := s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: metal.VerbManage}); err != nil {
		t.Fatal(err)
	}
	refused := func(holder string) {
		t.Helper()
		for _, err := range []error{s.SetPower(t.Context(), caller, n.UUID, metal.PowerOn, 0),
			s.SetBootDevice(t.Context(), caller, n.UUID, metal.BootDevice{Device: "pxe"})} {
			wantKind(t, err, fault.Locked)
			want := "Node " + n.UUID + " is locked by " + holder + ", please retry after the current operation is completed."
			if got, _ := fault.PublicOf(err); got != want {
				t.Errorf("said %q, want %q", got, want)
			}
		}
	}
	refused("another operation (manage)")
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Claim("c1", store.Scope{Drivers: []string{"fake-hardware"}}, time.Minute)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	refused("host c1")
}

func TestDeployNeedsAVerifiableImage(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "redfish")
	force(t, db, n.UUID, metal.Available)
	deploy := Provision{Verb: metal.VerbActive, ConfigDrive: map[string]any{"user_data": "x"}}
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, deploy), fault.Invalid)
	set := func(k, v string) {
		_, err := s.UpdateNode(t.Context(), caller, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
			n.InstanceInfo = n.InstanceInfo.With(k, v)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set("image_source", "http://192.0.2.1/i.raw")
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, deploy), fault.Invalid)
	set("image_os_hash_value", strings.Repeat("00", 32))
	set("image_type", "partition")
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, deploy), fault.Invalid)
	set("image_type", "whole-disk")
	s.config.ImageRules = image.Rules{Permitted: []image.Format{image.Raw}}
	set("image_disk_format", "qcow2")
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, deploy), fault.Invalid) // not permitted
	set("image_disk_format", "raw")
	if err := s.SetProvision(t.Context(), caller, n.UUID, deploy); err != nil {
		t.Fatal(err)
	}
	got, _ := s.Node(t.Context(), caller, n.UUID, "node:get")
	if got.InstanceInfo.Expose()["configdrive"] == nil || got.ProvisionState != metal.Deploying {
		t.Errorf("state %q, instance_info keys %d", got.ProvisionState, got.InstanceInfo.Len())
	}
}

func TestOldVersionsDoNotGetNewVerbs(t *testing.T) {
	s, _ := service(t)
	n := enrolled(t, s, "fake-hardware")
	wantKind(t, s.SetProvision(t.Context(), Caller{Rights: caller.Rights, Minor: 3}, n.UUID, Provision{Verb: metal.VerbManage}), fault.NotAcceptable)
}

func TestRequestWithoutConductor(t *testing.T) {
	s, _ := service(t)
	s.config.AnswerLimit = 1 // a nanosecond: no conductor works in this test
	n := enrolled(t, s, "fake-hardware")
	_, err := s.Validate(t.Context(), caller, n.UUID)
	wantKind(t, err, fault.Unavailable)
}
