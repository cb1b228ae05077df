package store

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store/pgtest"
)

// opener opens a test's database: twice the same is two servers on one database.
type opener func(testing.TB) *DB

// each runs a test on every engine, on a new database.
func each(t *testing.T, f func(t *testing.T, open opener)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		f(t, func(t testing.TB) *DB { return openAt(t, dir) })
	})
	t.Run("postgres", func(t *testing.T) { f(t, postgres(t)) })
}

// postgres gives a new database in the private cluster.
func postgres(t testing.TB) opener {
	t.Helper()
	url := secret.New(migrated.Copy(t))
	dir := t.TempDir()
	return func(t testing.TB) *DB {
		t.Helper()
		db, err := OpenPostgres(t.Context(), url, testKey(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
}

var migrated = pgtest.NewTemplate(func(url string) error { return MigratePostgres(context.Background(), secret.New(url)) })

func testKey(t testing.TB, dir string) Key {
	t.Helper()
	key, err := LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// openAt opens the SQLite database of a folder.
func openAt(t testing.TB, dir string) *DB {
	t.Helper()
	db, err := OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), testKey(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// write runs f in a transaction that must succeed.
func write(t testing.TB, db *DB, f func(*Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// read gives what f finds, which must be found.
func read[T any](t testing.TB, db *DB, f func(*Tx) (T, error)) T {
	t.Helper()
	var out T
	err := db.Read(t.Context(), func(tx *Tx) (err error) {
		out, err = f(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// id is a UUID that a test can tell from others.
func id(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

// addNode makes node number i with as little as a node needs, changed as the test wants it.
func addNode(t testing.TB, db *DB, i int, change ...func(*metal.Node)) *metal.Node {
	t.Helper()
	n := &metal.Node{UUID: id(i), Driver: "fake", ProvisionState: metal.Enroll, CreatedAt: time.UnixMicro(int64(i))}
	for _, f := range change {
		f(n)
	}
	write(t, db, func(tx *Tx) error { return tx.CreateNode(n) })
	return n
}

// fill sets every field that is stored to a value that no other field has, so that two that are swapped or
// one that is forgotten shows.
func fill(t *testing.T, v any, not ...string) {
	t.Helper()
	s := reflect.ValueOf(v).Elem()
	yes := true
	for i := range s.NumField() {
		name, f := s.Type().Field(i).Name, s.Field(i)
		object := map[string]any{name: "value", "deep": map[string]any{"list": []any{float64(i), true, nil, `"quotes" \ ünïcode`}}}
		switch f.Interface().(type) {
		case nil: // an error: set by reading
		case int64, Status: // rows' ids, and what the store sets itself
		case string, metal.State, metal.Power, metal.Slot:
			f.SetString("the " + name)
		case bool:
			f.SetBool(true)
		case *bool:
			f.Set(reflect.ValueOf(&yes))
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, i*1000, time.UTC)))
		case map[string]any:
			f.Set(reflect.ValueOf(object))
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{name: "value"}))
		case secret.Map:
			f.Set(reflect.ValueOf(secret.NewMap(object)))
		case []byte:
			f.SetBytes([]byte(`{"` + name + `": 1}`))
		case int:
			f.SetInt(int64(i) + 1)
		default:
			t.Fatalf("field %s is a %s: teach this test to fill it", name, f.Type())
		}
	}
	for _, name := range not {
		s.FieldByName(name).SetZero()
	}
}

// same compares two structs field by field, secrets in clear.
func same(t *testing.T, got, want any) {
	t.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range g.NumField() {
		a, b := g.Field(i).Interface(), w.Field(i).Interface()
		if m, ok := a.(secret.Map); ok {
			a, b = m.Expose(), b.(secret.Map).Expose()
		}
		if s, ok := a.(secret.Secret); ok {
			a, b = s.Expose(), b.(secret.Secret).Expose()
		}
		if p, ok := a.(agentapi.Pair); ok {
			q := b.(agentapi.Pair)
			a, b = p.Certificate+p.Key.Expose(), q.Certificate+q.Key.Expose()
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: stored %#v, read %#v", g.Type().Field(i).Name, b, a)
		}
	}
}
