package store

import (
	"fmt"
	"testing"
)

// TestTheSameQueryInsideItself runs a query while rows of the same text are being read: the outer one must
// not start again or end.
func TestTheSameQueryInsideItself(t *testing.T) {
	db := openAt(t, t.TempDir())
	for i := range 3 {
		addNode(t, db, i)
	}
	const query = "SELECT id FROM nodes ORDER BY id"
	err := db.Read(t.Context(), func(tx *Tx) error {
		var pairs []string
		outer, err := tx.rows(query)
		if err != nil {
			return err
		}
		defer outer.Close()
		for outer.Next() {
			var a, b int
			if err := outer.Scan(&a); err != nil {
				return err
			}
			inner, err := tx.rows(query)
			if err != nil {
				return err
			}
			for inner.Next() {
				if err := inner.Scan(&b); err != nil {
					return err
				}
				pairs = append(pairs, fmt.Sprint(a, b))
			}
			if err := inner.Close(); err != nil {
				return err
			}
		}
		if got := fmt.Sprint(pairs); got != "[1 1 1 2 1 3 2 1 2 2 2 3 3 1 3 2 3 3]" {
			t.Errorf("pairs %s", got)
		}
		return outer.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestMoreQueriesThanAreKept runs more texts than a connection keeps, twice.
func TestMoreQueriesThanAreKept(t *testing.T) {
	db := openAt(t, t.TempDir())
	for range 2 {
		write(t, db, func(tx *Tx) error {
			for i := range statementsKept + 20 {
				var got int
				if err := tx.row(fmt.Sprintf("SELECT %d + ?", i), 1).Scan(&got); err != nil || got != i+1 {
					return fmt.Errorf("query %d gave %d: %w", i, got, err)
				}
			}
			return nil
		})
	}
}

// TestAKeptStatementSurvives errors, new arguments and a changed schema.
func TestAKeptStatementSurvives(t *testing.T) {
	db := openAt(t, t.TempDir())
	write(t, db, func(tx *Tx) error {
		if _, err := tx.exec("CREATE TABLE pets (name TEXT UNIQUE)"); err != nil {
			return err
		}
		const add = "INSERT INTO pets (name) VALUES (?)"
		for _, name := range []string{"a", "b"} {
			if _, err := tx.exec(add, name); err != nil {
				return err
			}
		}
		if _, err := tx.exec(add, "a"); err == nil {
			t.Error("a name was taken twice")
		}
		if _, err := tx.exec("ALTER TABLE pets ADD COLUMN age INTEGER DEFAULT 1"); err != nil {
			return err
		}
		if _, err := tx.exec(add, "c"); err != nil {
			return err
		}
		var pets, age int
		err := tx.row("SELECT count(*), sum(age) FROM pets").Scan(&pets, &age)
		if pets != 3 || age != 3 {
			t.Errorf("%d pets, %d years", pets, age)
		}
		return err
	})
}
