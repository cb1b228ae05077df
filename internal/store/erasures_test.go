package store

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"ingot/internal/metal"
)

func trusted(t *testing.T, db *DB) (keys []ed25519.PublicKey) {
	t.Helper()
	for _, k := range read(t, db, (*Tx).SigningKeys) {
		one, err := metal.PublicKeys([]byte(k.Public))
		if err != nil || k.CreatedAt.IsZero() {
			t.Fatal(k, err)
		}
		keys = append(keys, one...)
	}
	return keys
}

func TestErasuresAreSignedAndKept(t *testing.T) { each(t, testErasuresAreSignedAndKept) }

func testErasuresAreSignedAndKept(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	var first, again ed25519.PrivateKey
	write(t, db, func(tx *Tx) (err error) { first, err = tx.SigningKey(); return err })
	write(t, db, func(tx *Tx) (err error) { again, err = tx.SigningKey(); return err })
	if !first.Equal(again) || len(trusted(t, db)) != 1 {
		t.Fatal("every call makes a key of its own")
	}
	cert := func(uuid, operation, device string, partial bool) metal.ErasureCertificate {
		return metal.ErasureCertificate{UUID: uuid, Node: n.UUID, Operation: operation, Device: metal.ErasedDevice{Name: device}, Partial: partial}
	}
	save := func(c metal.ErasureCertificate) {
		write(t, db, func(tx *Tx) error { return tx.SaveErasure(c) })
	}
	holds := func(want string) {
		t.Helper()
		var got []string
		for _, r := range read(t, db, func(tx *Tx) ([]metal.ErasureRecord, error) { return tx.Erasures(n.UUID) }) {
			c, err := metal.VerifyErasure(r, trusted(t, db))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.UUID)
		}
		if strings.Join(got, " ") != want {
			t.Fatalf("certificates %v, want %s", got, want)
		}
	}
	holds("")
	save(cert("meta", "o1", "/dev/sda", true))
	holds("meta")
	save(cert("whole", "o1", "/dev/sda", false))
	holds("whole")
	save(cert("meta2", "o1", "/dev/sda", true))
	holds("whole") // what was erased wholly is not made less by what came after
	save(cert("next", "o2", "/dev/sda", true))
	holds("next whole")
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(n.ID) })
	holds("next whole")
}
