package store

import (
	"reflect"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// TestTrapConfigDriveInClear: a node is read with a mask in the drive's place, and saving it so keeps the drive.
func TestTrapConfigDriveInClear(t *testing.T) { each(t, testConfigDriveIsKeptApart) }

func testConfigDriveIsKeptApart(t *testing.T, open opener) {
	db := open(t)
	object := map[string]any{"user_data": "#!/bin/sh", "meta_data": map[string]any{"deep": []any{"x", 1.0}}}
	addNode(t, db, 1, func(n *metal.Node) {
		n.InstanceInfo = secret.NewMap(map[string]any{"configdrive": object, "image_source": "http://h/i"})
	})
	node := func() *metal.Node {
		return read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.Node(id(1)) })
	}
	drive := func() any {
		t.Helper()
		return read(t, db, func(tx *Tx) (any, error) {
			n, err := tx.Node(id(1))
			if err != nil {
				return nil, err
			}
			return tx.ConfigDrive(n)
		})
	}
	save := func(info map[string]any) {
		t.Helper()
		n := node()
		n.InstanceInfo = secret.NewMap(info)
		write(t, db, func(tx *Tx) error { return tx.SaveNode(n) })
	}
	asRead := node()
	if got := asRead.InstanceInfo.Expose(); got["configdrive"] != secret.Mask || got["image_source"] != "http://h/i" {
		t.Errorf("the node is read with %v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveNode(asRead) }) // with the mask
	if got := drive(); !reflect.DeepEqual(got, object) {
		t.Errorf("the drive is %v", got)
	}
	save(map[string]any{"configdrive": "aGk="})
	if got := drive(); got != "aGk=" {
		t.Errorf("another drive: %v", got)
	}
	save(map[string]any{"image_source": "http://h/i"})
	if got := drive(); got != nil {
		t.Errorf("a node without a drive has %v", got)
	}
	save(map[string]any{"configdrive": secret.Mask})
	err := db.Read(t.Context(), func(tx *Tx) error {
		n, err := tx.Node(id(1))
		if err != nil {
			return err
		}
		_, err = tx.ConfigDrive(n)
		return err
	})
	if said, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Invalid || !strings.Contains(said, "give the drive again") {
		t.Errorf("a mask that stands for nothing: %v", err)
	}
}

// TestADriveOfAnOlderProgramMoves: it is read where it lies, and moves when its node is saved.
func TestADriveOfAnOlderProgramMoves(t *testing.T) { each(t, testADriveOfAnOlderProgramMoves) }

func testADriveOfAnOlderProgramMoves(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	old, err := db.key.sealMap(secret.NewMap(map[string]any{"configdrive": "b2xk"}), n.UUID, "instance_info")
	if err != nil {
		t.Fatal(err)
	}
	write(t, db, func(tx *Tx) error {
		_, err := tx.exec("UPDATE nodes SET instance_info = ? WHERE id = ?", old, n.ID)
		return err
	})
	for _, where := range []string{"b2xk", secret.Mask} {
		n = read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) })
		if got := n.InstanceInfo.Public("configdrive"); got != where {
			t.Errorf("instance_info has %q, want %q", got, where)
		}
		if got := read(t, db, func(tx *Tx) (any, error) { return tx.ConfigDrive(n) }); got != "b2xk" {
			t.Errorf("the drive is %v", got)
		}
		write(t, db, func(tx *Tx) error { return tx.SaveNode(n) })
	}
}
