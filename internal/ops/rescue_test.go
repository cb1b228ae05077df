package ops

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-crypt/x/crypt"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// byKey is a rescue by SSH key for the verb rescue, nothing for others.
func byKey(v metal.Verb) Rescue {
	if v != metal.VerbRescue {
		return Rescue{}
	}
	return Rescue{Keys: []string{"ssh-ed25519 AAAA"}}
}

// TestRescueHashes: what is hashed is what crypt(3) makes of the same password and salt, and the password is wiped.
func TestRescueHashes(t *testing.T) {
	for algorithm, prefix := range map[string]string{HashSHA512: "$6$", HashSHA256: "$5$", HashYescrypt: "$y$j9T$"} {
		s, _ := service(t)
		s.config.RescueHash = algorithm
		password := []byte("pässword with $pace")
		hash, err := s.HashRescue(password)
		if err != nil || !strings.HasPrefix(hash.Expose(), prefix) {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if len(bytes.Trim(password, "\x00")) != 0 {
			t.Errorf("%s: the password was left in memory", algorithm)
		}
		other, err := s.HashRescue([]byte("pässword with $pace"))
		if err != nil || other.Expose() == hash.Expose() {
			t.Errorf("%s: two hashes of one password are alike, or %v", algorithm, err)
		}
		perl, err := exec.LookPath("perl")
		if err != nil {
			t.Skip("perl, which calls the system's crypt(3), is not here")
		}
		out, err := exec.CommandContext(t.Context(), perl, "-e", `print crypt($ARGV[0], $ARGV[1])`, "pässword with $pace", hash.Expose()).Output()
		if err != nil || string(out) != hash.Expose() {
			t.Errorf("%s: crypt(3) says %q, %v; we say %q", algorithm, out, err, hash.Expose())
		}
	}
}

// TestRescueHashKnown: what glibc's crypt(3) and openssl passwd -6 make of Ulrich Drepper's example.
func TestRescueHashKnown(t *testing.T) {
	const want = "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
	if got := crypt.KeySHACrypt(sha512.New, []byte("Hello world!"), []byte("saltstring"), shaRounds); string(got) != want {
		t.Errorf("%s", got)
	}
}

func TestRescuePasswordBounds(t *testing.T) {
	s, _ := service(t)
	for password, says := range map[string]string{"": "non-empty", " \t ": "non-empty", strings.Repeat("y", MaxRescuePassword+1): "1025 bytes", "a\x00b": "NUL",
		"two\nlines": "line end", "end\r": "line end", strings.Repeat("y", MaxRescuePassword): "", "x": ""} {
		given := []byte(password)
		_, err := s.HashRescue(given)
		if says == "" {
			if err != nil {
				t.Errorf("%d bytes: %v", len(password), err)
			}
			continue
		}
		wantKind(t, err, fault.Invalid)
		if text, _ := fault.PublicOf(err); !strings.Contains(text, says) || strings.Contains(text, "yyyy") || strings.Contains(text, "two") {
			t.Errorf("%d bytes: %s", len(password), text)
		}
		if len(bytes.Trim(given, "\x00")) != 0 {
			t.Errorf("%d bytes were left in memory", len(password))
		}
	}
}

// TestRescueIsAskedFirst: what a conductor finds wrong is the answer, and nothing of the node is changed, nor is a secret kept.
func TestRescueIsAskedFirst(t *testing.T) {
	s, db := service(t)
	keep := courier.New(courier.Defaults())
	s.KeepSecrets(Keeper{Courier: keep, Server: "a1"})
	n := enrolled(t, s, "fake-hardware")
	force(t, db, n.UUID, metal.Active)
	before, _ := s.Node(t.Context(), caller, n.UUID, "node:get")
	ask := Provision{Verb: metal.VerbRescue, Rescue: Rescue{Hash: secret.New("$6$planted"), Keys: []string{"ssh-ed25519 AAAA"}, Limit: new(time.Duration)}}

	asked := make(chan error, 1)
	go func() { asked <- s.SetProvision(t.Context(), caller, n.UUID, ask) }()
	question := await(t, db, metal.PlanCheckRescue)
	var told struct {
		Ask metal.Ask `json:"ask"`
	}
	if err := json.Unmarshal(question.Record, &told); err != nil || question.Exclusive {
		t.Fatalf("%v, exclusive %v", err, question.Exclusive)
	}
	if a := told.Ask; a.Secrets == nil || !slices.Equal(a.Secrets.Names, []string{metal.RescueHash}) || len(a.RescueKeys) != 1 || a.RescueSeconds == nil || *a.RescueSeconds != 0 {
		t.Errorf("the question says %+v", a)
	}
	if got, err := keep.Fetch(told.Ask.Secrets.Handle, question.UUID, told.Ask.Secrets.Names); err != nil || got[metal.RescueHash].Expose() != "$6$planted" {
		t.Errorf("the hash cannot be fetched for the question: %v", err)
	}
	if strings.Contains(fmt.Sprintf("%+v", question), "planted") {
		t.Error("the row holds the hash")
	}
	finish(t, db, question, store.Failed, `{"kind": `+strconv.Itoa(int(fault.Invalid))+`, "public": "There is no ramdisk."}`)
	err := <-asked
	wantKind(t, err, fault.Invalid)
	if text, _ := fault.PublicOf(err); text != "There is no ramdisk." {
		t.Errorf("told %q", text)
	}
	after, _ := s.Node(t.Context(), caller, n.UUID, "node:get")
	if after.ProvisionState != metal.Active || after.TargetProvisionState != "" || after.LastError != before.LastError || !after.UpdatedAt.Equal(before.UpdatedAt) {
		t.Errorf("the node was changed: %+v", after)
	}
	if left := keep.Operations(); len(left) != 0 {
		t.Errorf("kept for %v", left)
	}

	storetest.Answer(t, db, metal.PlanCheckRescue)
	if err := s.SetProvision(t.Context(), caller, n.UUID, ask); err != nil {
		t.Fatal(err)
	}
	var live *store.Operation
	_ = db.Read(t.Context(), func(tx *store.Tx) (err error) { live, err = tx.LiveOperation(n.ID); return err })
	if live == nil || live.Plan != string(metal.PlanRescue) || !slices.Equal(keep.Operations(), []string{live.UUID}) {
		t.Errorf("operation %+v, kept for %v", live, keep.Operations())
	}
	wantKind(t, s.SetProvision(t.Context(), caller, n.UUID, ask), fault.BadState)
}

// TestActiveEndsARescue: seed 000 lets the target active end a rescue.
func TestActiveEndsARescue(t *testing.T) {
	s, db := service(t)
	for _, state := range []metal.State{metal.Rescue, metal.RescueFailed, metal.UnrescueFailed} {
		n, err := s.CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware"})
		if err != nil {
			t.Fatal(err)
		}
		force(t, db, n.UUID, state)
		old := caller
		old.Minor = 37
		wantKind(t, s.SetProvision(t.Context(), old, n.UUID, Provision{Verb: metal.VerbActive}), fault.Conflict)
		if err := s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: metal.VerbActive}); err != nil {
			t.Errorf("%s: %v", state, err)
			continue
		}
		got, _ := s.Node(t.Context(), caller, n.UUID, "node:get")
		if got.ProvisionState != metal.Unrescuing || got.TargetProvisionState != metal.Active {
			t.Errorf("%s leads to %q, target %q", state, got.ProvisionState, got.TargetProvisionState)
		}
	}
}

// TestWhatRescuedUnrescues: the rescue interface is the same from the rescue to its end, whoever names it, in maintenance too.
func TestWhatRescuedUnrescues(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "fake-hardware")
	if err := s.SetMaintenance(t.Context(), caller, n.UUID, true, ""); err != nil {
		t.Fatal(err)
	}
	for _, state := range []metal.State{metal.Rescue, metal.RescueFailed, metal.UnrescueFailed, metal.Active} {
		force(t, db, n.UUID, state)
		_, err := s.UpdateNode(t.Context(), caller, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
			n.Interfaces = map[string]string{"power": "fake", "deploy": "fake", "inspect": "no-inspect", "rescue": "no-rescue"}
			return nil
		})
		if state != metal.Active {
			wantKind(t, err, fault.Conflict)
		} else if err != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// await gives the operation of a plan as soon as it is there.
func await(t *testing.T, db *store.DB, plan metal.Plan) *store.Operation {
	t.Helper()
	for {
		changed := db.Changed()
		var found *store.Operation
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			rows, err := tx.LiveOperations(store.OperationQuery{})
			for _, o := range rows {
				if o.Plan == string(plan) {
					found = &o.Operation
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if found != nil {
			return found
		}
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("no operation came")
		}
	}
}

func finish(t *testing.T, db *store.DB, o *store.Operation, as store.Status, result string) {
	t.Helper()
	o.Status, o.Result = as, result
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.SaveOperation(o) }); err != nil {
		t.Fatal(err)
	}
}
