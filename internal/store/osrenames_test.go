package store

import (
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestOSRenames(t *testing.T) { each(t, testOSRenames) }

func testOSRenames(t *testing.T, open opener) {
	db := open(t)
	n := &metal.Node{UUID: id(50), Driver: "fake-hardware"}
	name := func() string { return read(t, db, func(tx *Tx) (string, error) { return tx.OSRename(n) }) }
	write(t, db, func(tx *Tx) error {
		if err := tx.CreateNode(n); err != nil {
			return err
		}
		return tx.SetOSRename(n, "nobody")
	})
	if got := name(); got != "" {
		t.Errorf("the name of a node without an installation: %q", got)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveOSInstall(n, &OSInstall{Mode: "install"}) })
	write(t, db, func(tx *Tx) error { return tx.SetOSRename(n, "web2") })
	write(t, db, func(tx *Tx) error { return tx.SaveOSInstall(n, &OSInstall{Mode: "run"}) }) // a rebuild
	if got := name(); got != "web2" {
		t.Errorf("after a rebuild it is %q", got)
	}
	write(t, db, func(tx *Tx) error { return tx.DropOSInstall(n.ID) })
	write(t, db, func(tx *Tx) error { return tx.SaveOSInstall(n, &OSInstall{Mode: "install"}) })
	if got := name(); got != "" {
		t.Errorf("after a tear down and another installation it is %q", got)
	}
}

func TestRenameInstance(t *testing.T) { each(t, testRenameInstance) }

func testRenameInstance(t *testing.T, open opener) {
	db := open(t)
	n := &metal.Node{UUID: id(51), Driver: "fake-hardware"}
	was := &Instance{ID: "i-1", Project: "p", Deploy: "d", Seed: secret.New("seed"), Answers: secret.New("answers"), Request: secret.New("request")}
	write(t, db, func(tx *Tx) error {
		if err := tx.CreateNode(n); err != nil {
			return err
		}
		if err := tx.RenameInstance(n, &Instance{Seed: secret.New("of nobody")}); err != nil {
			return err
		}
		return tx.SaveInstance(n, was)
	})
	get := func() *Instance { return read(t, db, func(tx *Tx) (*Instance, error) { return tx.Instance(n) }) }
	before := get()
	write(t, db, func(tx *Tx) error {
		return tx.RenameInstance(n, &Instance{Seed: secret.New(canary), Request: secret.New("asked anew")})
	})
	after := get()
	if !after.Seed.Equal(canary) || !after.Request.Equal("asked anew") || !after.Answers.Equal("answers") || after.ID != before.ID || after.Deploy != "d" {
		t.Errorf("renamed: %+v", after)
	}
	if after.Generation == before.Generation || !after.UpdatedAt.After(before.UpdatedAt) {
		t.Errorf("generation %s at %s, before %s at %s", after.Generation, after.UpdatedAt, before.Generation, before.UpdatedAt)
	}
	write(t, db, func(tx *Tx) error { return tx.RetireInstance(n) })
	write(t, db, func(tx *Tx) error { return tx.RenameInstance(n, &Instance{Seed: secret.New("again")}) })
	if got := get(); got != nil {
		t.Errorf("what was retired is served: %+v", got)
	}
}
