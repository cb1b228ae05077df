package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"sync"

	sqlite3 "modernc.org/sqlite"
)

// gateEnv names a URL that a server asks before each save of an operation, while its transaction is still open: who
// answers may kill it there.
const gateEnv = "INGOT_TEST_GATE"

// save is what an operation has come to.
type save struct {
	Verb, Plan, Status, Step string
	Tried, Undoing           bool
}

func (s save) String() string {
	out := s.Plan + "/" + s.Step
	for word, is := range map[string]bool{" tried": s.Tried, " undone": s.Undoing, " " + s.Status: s.Status != "live"} {
		if is {
			out += word
		}
	}
	return out
}

// gated is the program as tests start it.
func gated() {
	if url := os.Getenv(gateEnv); url != "" {
		sqlite3.RegisterConnectionHook(func(c sqlite3.ExecQuerierContext, _ string) error {
			hooks, ok := c.(sqlite3.HookRegisterer)
			if !ok {
				return fmt.Errorf("%T has no hooks", c)
			}
			g := &gate{url: url}
			hooks.RegisterPreUpdateHook(g.changed)
			hooks.RegisterCommitHook(g.commits)
			return nil
		})
	}
	if n := os.Getenv(dieEnv); n != "" {
		dieAtCommit(n)
	}
	main()
}

// gate watches one connection.
type gate struct {
	url   string
	mu    sync.Mutex
	moved *save // guarded by mu; by the transaction that is open
}

// Columns of the table operations. Source: internal/store/migrations/0001_base.sql.
const (
	columnVerb, columnPlan, columnStatus                                                        = 4, 5, 7
	columnStep, columnStepName, columnUndoing, columnTried, columnAttempts, columnsOfOperations = 8, 9, 11, 13, 14, 15
)

// changed notes an operation that goes on; whoever renews its lease or wakes it changes other columns.
func (g *gate) changed(d sqlite3.SQLitePreUpdateData) {
	if d.TableName != "operations" {
		return
	}
	is, was := make([]any, columnsOfOperations), make([]any, columnsOfOperations)
	if d.New(is...) != nil {
		return // deleted
	}
	if d.Old(was...) == nil && reflect.DeepEqual(is[columnStatus:], was[columnStatus:]) {
		return
	}
	text := func(i int) string { return fmt.Sprintf("%s", is[i]) }
	yes := func(i int) bool { return fmt.Sprint(is[i]) == "1" }
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moved = &save{Verb: text(columnVerb), Plan: text(columnPlan), Status: text(columnStatus), Step: text(columnStepName),
		Tried: yes(columnTried), Undoing: yes(columnUndoing)}
}

// commits asks, and lets the transaction go on.
func (g *gate) commits() int32 {
	g.mu.Lock()
	moved := g.moved
	g.moved = nil
	g.mu.Unlock()
	if moved == nil {
		return 0
	}
	b, err := json.Marshal(moved)
	if err == nil {
		var res *http.Response
		if res, err = http.Post(g.url, "application/json", bytes.NewReader(b)); err == nil {
			err = res.Body.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the test does not answer:", err)
	}
	return 0
}
