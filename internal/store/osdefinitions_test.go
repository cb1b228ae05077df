package store

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/secret"
)

// osBundle is a definition whose one script says something.
func osBundle(t testing.TB, says string) *osdef.Bundle {
	t.Helper()
	b, err := osdef.FromFS(fstest.MapFS{
		"ganeti_api_version": {Data: []byte("20\n")}, "parameters.list": {Data: []byte("mirror\ntoken\n")}, "variants.list": {Data: []byte("12\n13\n")},
		"create": {Data: []byte("#!/bin/sh\n# " + says + "\n"), Mode: 0o755}, "export": {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		"import": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}, "rename": {Data: []byte("#!/bin/sh\n"), Mode: 0o755}, "verify": {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
	}, osdef.Usual, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func osRecord(t testing.TB, n int, name string, b *osdef.Bundle) *osdef.Record {
	t.Helper()
	d, err := b.Definition()
	if err != nil {
		t.Fatal(err)
	}
	return &osdef.Record{UUID: id(n), Name: name, Description: "a system", Digest: b.Digest(), Size: int64(len(b.Tar())), Definition: *d, CreatedAt: time.Unix(5, 0).UTC(),
		Defaults: map[string]osdef.Classes{"": {Public: map[string]string{"mirror": "http://m"}, Private: map[string]secret.Secret{"token": secret.New(canary)}},
			"13": {Public: map[string]string{"mirror": "http://n"}}}}
}

// sameRecord compares what can be compared: secrets hide behind functions.
func sameRecord(t *testing.T, got, want *osdef.Record) {
	t.Helper()
	for _, variant := range []string{"", "13"} {
		for k, v := range want.Defaults[variant].Private {
			if !got.Defaults[variant].Private[k].Equal(v.Expose()) {
				t.Errorf("private default %s of %q is another", k, variant)
			}
		}
		if !maps.Equal(got.Defaults[variant].Public, want.Defaults[variant].Public) {
			t.Errorf("public defaults of %q: %v", variant, got.Defaults[variant].Public)
		}
	}
	g, w := *got, *want
	g.Defaults, w.Defaults = nil, nil
	same(t, &g, &w)
}

func TestOSDefinitions(t *testing.T) { each(t, testOSDefinitions) }

func testOSDefinitions(t *testing.T, open opener) {
	db := open(t)
	b := osBundle(t, canary)
	r := osRecord(t, 1, "debian", b)
	write(t, db, func(tx *Tx) error { return tx.CreateOSDefinition(r, b) })
	for _, ident := range []string{"debian", id(1)} {
		sameRecord(t, read(t, db, func(tx *Tx) (*osdef.Record, error) { return tx.OSDefinition(ident) }), r)
	}
	got := read(t, db, func(tx *Tx) (*osdef.Bundle, error) { return tx.OSBundle(r) })
	if !bytes.Equal(got.Tar(), b.Tar()) {
		t.Error("the files are not those that were kept")
	}
	write(t, db, func(tx *Tx) error {
		for _, column := range []string{"bundle", "private"} {
			var sealed []byte
			if err := tx.row("SELECT " + column + " FROM os_definitions").Scan(&sealed); err != nil {
				return err
			}
			if bytes.Contains(sealed, []byte(canary)) {
				t.Errorf("%s lies in the database unsealed", column)
			}
		}
		return nil
	})
	if err := db.Write(t.Context(), func(tx *Tx) error { return tx.CreateOSDefinition(osRecord(t, 2, "debian", b), b) }); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a taken name: %v", err)
	}
	secrets := osRecord(t, 2, "other", b)
	secrets.Defaults[""] = osdef.Classes{Secret: map[string]secret.Secret{"token": secret.New(canary)}}
	if err := db.Write(t.Context(), func(tx *Tx) error { return tx.CreateOSDefinition(secrets, b) }); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a secret default: %v", err)
	}

	r.Hidden, r.Blacklisted, r.TrustedDigest, r.TrustedBy, r.TrustedAt, r.UpdatedAt = true, true, b.Digest(), "alice", time.Unix(6, 0).UTC(), time.Unix(7, 0).UTC()
	r.Defaults = map[string]osdef.Classes{}
	write(t, db, func(tx *Tx) error { return tx.SaveOSDefinition(r) })
	sameRecord(t, read(t, db, func(tx *Tx) (*osdef.Record, error) { return tx.OSDefinition("debian") }), r)
	write(t, db, func(tx *Tx) error { return tx.CreateOSDefinition(osRecord(t, 3, "suse", b), b) })
	for hidden, want := range map[bool]int{false: 1, true: 2} {
		if got := read(t, db, func(tx *Tx) ([]*osdef.Record, error) {
			return tx.OSDefinitions(hidden, Page{Limit: 10, SortKey: "name"})
		}); len(got) != want || got[want-1].Name != "suse" {
			t.Errorf("listed, hidden %v: %d", hidden, len(got))
		}
	}
}

// A definition's files are those of its digest, whoever wrote into the database.
func TestREQ16FilesThatAreNotThoseOfTheDigest(t *testing.T) { each(t, testOtherFiles) }

func testOtherFiles(t *testing.T, open opener) {
	db := open(t)
	one, two := osBundle(t, "one"), osBundle(t, "two")
	r, other := osRecord(t, 1, "debian", one), osRecord(t, 2, "other", two)
	write(t, db, func(tx *Tx) error {
		if err := tx.CreateOSDefinition(r, one); err != nil {
			return err
		}
		return tx.CreateOSDefinition(other, two)
	})
	write(t, db, func(tx *Tx) error { // what is sealed of one row is nothing in another
		_, err := tx.exec("UPDATE os_definitions SET bundle = (SELECT bundle FROM os_definitions WHERE name = 'other') WHERE name = 'debian'")
		return err
	})
	_, err := readErr(db, t, func(tx *Tx) (*osdef.Bundle, error) { return tx.OSBundle(r) })
	if err == nil || fault.KindOf(err) != fault.Internal {
		t.Errorf("another row's files: %v", err)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveOSBundle(r, two) }) // but the record says one
	if _, err = readErr(db, t, func(tx *Tx) (*osdef.Bundle, error) { return tx.OSBundle(r) }); err == nil || fault.KindOf(err) != fault.Internal {
		t.Errorf("files of another digest: %v", err)
	}
}

func readErr[T any](db *DB, t *testing.T, f func(*Tx) (T, error)) (out T, err error) {
	err = db.Read(t.Context(), func(tx *Tx) error {
		out, err = f(tx)
		return err
	})
	return out, err
}

func TestREQ16TrustIsNoted(t *testing.T) { each(t, testTrustIsNoted) }

func testTrustIsNoted(t *testing.T, open opener) {
	db := open(t)
	b := osBundle(t, "x")
	r := osRecord(t, 1, "debian", b)
	noted := []osdef.Trust{{At: time.Unix(1, 0).UTC(), Who: "alice", Request: "req-1", Digest: b.Digest(), Trusted: true}, {At: time.Unix(2, 0).UTC(), Who: "bob", Request: "req-2", Digest: b.Digest()}}
	write(t, db, func(tx *Tx) error {
		if err := tx.CreateOSDefinition(r, b); err != nil {
			return err
		}
		for _, e := range noted {
			if err := tx.AddOSTrust(r, e); err != nil {
				return err
			}
		}
		return nil
	})
	if got := read(t, db, func(tx *Tx) ([]osdef.Trust, error) { return tx.OSTrust(r, 10) }); !slices.Equal(got, []osdef.Trust{noted[1], noted[0]}) {
		t.Errorf("noted: %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteOSDefinition(r) })
	if got := read(t, db, func(tx *Tx) ([]osdef.Trust, error) { return tx.OSTrust(r, 10) }); len(got) != 0 {
		t.Errorf("after the deletion: %v", got)
	}
}

func TestOSInstalls(t *testing.T) { each(t, testOSInstalls) }

func testOSInstalls(t *testing.T, open opener) {
	db := open(t)
	b := osBundle(t, "x")
	r := osRecord(t, 1, "debian", b)
	n := &metal.Node{UUID: id(50), Driver: "fake-hardware"}
	install := &OSInstall{Variant: "12", Digest: b.Digest(), Trusted: true, Mode: "install", Safe: true, Package: "https://p/x.tgz", PackageLogin: true, Secrets: []string{"root-key"},
		Parameters: osdef.Classes{Public: map[string]string{"mirror": "m"}, Private: map[string]secret.Secret{"token": secret.New(canary)}}}
	write(t, db, func(tx *Tx) error {
		if err := tx.CreateNode(n); err != nil {
			return err
		}
		if err := tx.CreateOSDefinition(r, b); err != nil {
			return err
		}
		install.DefinitionID = r.ID
		return tx.SaveOSInstall(n, install)
	})
	got := read(t, db, func(tx *Tx) (*OSInstall, error) { return tx.OSInstall(n) })
	if !got.Parameters.Private["token"].Equal(canary) {
		t.Error("the private parameter is another")
	}
	got.Parameters.Private, install.Parameters.Private = nil, nil
	same(t, got, install)
	var sealed []byte
	write(t, db, func(tx *Tx) error { return tx.row("SELECT private FROM os_installs").Scan(&sealed) })
	if bytes.Contains(sealed, []byte(canary)) {
		t.Error("private parameters lie in the database unsealed")
	}
	err := db.Write(t.Context(), func(tx *Tx) error { return tx.DeleteOSDefinition(r) })
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "debian is used: node "+n.UUID+" is installed with it. It can be removed when") {
		t.Errorf("deleted while it is used: %v", err)
	}
	other := &metal.Node{UUID: id(51), Name: "rack1-u3", Driver: "fake-hardware"}
	write(t, db, func(tx *Tx) error { return errors.Join(tx.CreateNode(other), tx.SaveOSInstall(other, install)) })
	err = db.Write(t.Context(), func(tx *Tx) error { return tx.DeleteOSDefinition(r) })
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "debian is used: 2 nodes are installed with it, such as rack1-u3. It can be removed when") {
		t.Errorf("deleted while two use it: %v", err)
	}
	write(t, db, func(tx *Tx) error { return tx.DropOSInstall(other.ID) })
	err = db.Write(t.Context(), func(tx *Tx) error {
		return tx.SaveOSInstall(n, &OSInstall{Parameters: osdef.Classes{Secret: map[string]secret.Secret{"s": secret.New(canary)}}})
	})
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a secret parameter: %v", err)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveOSInstall(n, &OSInstall{Mode: "run"}) }) // without a definition
	if got := read(t, db, func(tx *Tx) (*OSInstall, error) { return tx.OSInstall(n) }); got.DefinitionID != 0 || got.Mode != "run" || got.Safe || len(got.Secrets) != 0 {
		t.Errorf("kept anew: %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteOSDefinition(r) })
	write(t, db, func(tx *Tx) error { return tx.DropOSInstall(n.ID) })
	if got := read(t, db, func(tx *Tx) (*OSInstall, error) { return tx.OSInstall(n) }); got != nil {
		t.Errorf("after it was dropped: %+v", got)
	}
}
