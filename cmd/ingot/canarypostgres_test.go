package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
)

// onPostgres is a cluster of the test's own: of its files, all is looked at.
func onPostgres(t *testing.T) engine {
	url := pgtest.Empty(t)
	return engine{short: true, prepare: func(g *aviary) {
		text, err := os.ReadFile(g.conf)
		if err != nil {
			g.t.Fatal(err)
		}
		secretURL := strings.Replace(url, "://ingot@", "://ingot:"+g.plant("option [database] connection")+"@", 1)
		g.write(g.conf, string(text)+"[database]\nconnection = "+secretURL+"\n")
		g.peer()
	}, database: func(g *aviary) {
		out, err := exec.Command("pg_dump", "--no-owner", url).Output()
		if err != nil {
			g.t.Fatalf("pg_dump: %v", err)
		}
		g.clean("the database (pg_dump)", out)
		holds(g.t, "the database", string(out), witness, "redfish-virtual-media")
		g.clusterFiles(url)
		g.withKey(func(key store.Key) (*store.DB, error) { return store.OpenPostgres(g.t.Context(), secret.New(url), key) })
	}}
}

// clusterFiles looks at what PostgreSQL itself wrote: the database's tables, deleted rows in them too, and its log of writes.
func (g *aviary) clusterFiles(url string) {
	g.t.Helper()
	conn, err := pgx.Connect(g.t.Context(), url)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var dir, base string
	if _, err = conn.Exec(g.t.Context(), "CHECKPOINT"); err == nil {
		err = conn.QueryRow(g.t.Context(), "SELECT current_setting('data_directory'), 'base/' || oid FROM pg_database WHERE datname = current_database()").Scan(&dir, &base)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	for _, part := range []string{base, "pg_wal"} {
		seen := false
		for name, data := range copyOf(g.t, filepath.Join(dir, part), "") {
			g.clean("the database's own file "+part+"/"+name, data)
			seen = seen || bytes.Contains(data, []byte(witness))
		}
		if !seen {
			g.t.Errorf("no file in %s holds %q: it was not looked at where the rows are", part, witness)
		}
	}
}

// peer gives the server a certificate of its own authority: without one it takes no secret values where other servers may be.
func (g *aviary) peer() {
	g.t.Helper()
	at, err := free()
	if err != nil {
		g.t.Fatal(err)
	}
	initialise := exec.Command("ingot", "peer", "init", "--name", witness)
	initialise.Dir = g.dir
	if out, err := initialise.CombinedOutput(); err != nil {
		g.t.Fatalf("ingot peer init: %v\n%s", err, out)
	}
	key, err := os.ReadFile(filepath.Join(g.dir, "ingot-data", "peer", "identity.pem"))
	if err != nil {
		g.t.Fatal(err)
	}
	g.learn(keyOf(g.t, "peer key", key))
	g.more = []string{"--peer-listen", at, "--peer-url", "https://" + at}
}
