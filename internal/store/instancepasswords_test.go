package store

import (
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestInstancePasswords(t *testing.T) { each(t, testInstancePasswords) }

func testInstancePasswords(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	post := func(deploy, text string, want fault.Kind) {
		t.Helper()
		err := db.Write(t.Context(), func(tx *Tx) error { return tx.SetInstancePassword(n, deploy, secret.New(text)) })
		if (err != nil) != (want != fault.Internal) || err != nil && fault.KindOf(err) != want {
			t.Errorf("post for %s: %v, want %s", deploy, err, want)
		}
	}
	is := func(want string) {
		t.Helper()
		got := read(t, db, func(tx *Tx) (secret.Secret, error) { return tx.InstancePassword(n) })
		if got.Expose() != want {
			t.Errorf("the password is %q, want %q", got.Expose(), want)
		}
	}
	post("op-one", "none there", fault.NotFound)
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("one")) })
	is("")
	post("op-two", "of another deployment", fault.NotFound)
	post("op-one", "first", fault.Internal)
	post("op-one", "second", fault.Conflict)
	is("first")
	write(t, db, func(tx *Tx) error { return tx.RetireInstance(n) })
	is("")
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("two")) })
	is("")
	post("op-one", "late", fault.NotFound)
	post("op-two", "new", fault.Internal)
	is("new")
	write(t, db, func(tx *Tx) error { return tx.DropInstance(n.ID) })
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("two")) })
	is("")
}

// TestInstancePasswordPostedAtOnce: of several that post at the same time one wins, and its password is the one that is kept.
func TestInstancePasswordPostedAtOnce(t *testing.T) { each(t, testInstancePasswordPostedAtOnce) }

func testInstancePasswordPostedAtOnce(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("one")) })
	const several = 8
	results := make(chan string, several)
	for i := range several {
		go func() {
			text := string(rune('a' + i))
			err := db.Write(t.Context(), func(tx *Tx) error {
				n, err := tx.Node(n.UUID)
				if err != nil {
					return err
				}
				return tx.SetInstancePassword(n, "op-one", secret.New(text))
			})
			switch fault.KindOf(err) {
			case fault.Conflict:
				text = ""
			default:
				if err != nil {
					text = err.Error()
				}
			}
			results <- text
		}()
	}
	won := ""
	for range several {
		if r := <-results; r != "" {
			won += r
		}
	}
	if got := read(t, db, func(tx *Tx) (secret.Secret, error) { return tx.InstancePassword(n) }); len(won) != 1 || got.Expose() != won {
		t.Errorf("%q won, and %q is kept", won, got.Expose())
	}
}

func TestInstancesByNodeAndMAC(t *testing.T) { each(t, testInstancesByNodeAndMAC) }

func testInstancesByNodeAndMAC(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	write(t, db, func(tx *Tx) error {
		return tx.CreatePort(&metal.Port{UUID: "10000000-0000-4000-8000-000000000001", NodeUUID: n.UUID, Address: "52:54:00:00:00:0a"})
	})
	write(t, db, func(tx *Tx) error {
		return tx.CreatePortgroup(&metal.Portgroup{UUID: "20000000-0000-4000-8000-000000000001", NodeUUID: n.UUID, Address: "52:54:00:00:00:0b"})
	})
	found := func(want int) {
		t.Helper()
		byNode := read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesByNode(n.UUID) })
		byPort := read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesByMAC("52:54:00:00:00:0A") })
		byBond := read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesByMAC("52:54:00:00:00:0b") })
		if len(byNode) != want || len(byPort) != want || len(byBond) != want {
			t.Errorf("found %d, %d and %d, want %d", len(byNode), len(byPort), len(byBond), want)
		}
	}
	found(0)
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("one")) })
	found(1)
	if none := read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesByMAC("52:54:00:00:00:0c") }); len(none) != 0 {
		t.Errorf("an unknown MAC finds %v", none)
	}
	write(t, db, func(tx *Tx) error { return tx.RetireInstance(n) })
	found(0)
}
