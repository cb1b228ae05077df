package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestAgentIsOfOneBoot(t *testing.T) { each(t, testAgentIsOfOneBoot) }

func testAgentIsOfOneBoot(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	agent := func() *Agent { return read(t, db, func(tx *Tx) (*Agent, error) { return tx.Agent(n) }) }
	if agent() != nil {
		t.Fatal("a node that never booted has an agent")
	}
	first := &Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "1", Token: NewToken(), Pregenerated: true, HandedOut: true, URL: "https://a", PollOnly: true,
		VerifyCA: "pem", Version: "1", LastHeartbeat: time.UnixMicro(5).UTC()}
	write(t, db, func(tx *Tx) error { return tx.SaveAgent(first) })
	same(t, agent(), first)
	second := &Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "2", Token: secret.New("t2"), Role: agentapi.RoleInstall}
	write(t, db, func(tx *Tx) error { return tx.SaveAgent(second) })
	same(t, agent(), second)
	pair, err := agentapi.NewPair("commander", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	third := &Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "3", Token: NewToken(), Pregenerated: true, VerifyCA: "pinned", AgentKey: secret.New("key"), Commander: pair}
	write(t, db, func(tx *Tx) error { return tx.SaveAgent(third) })
	same(t, agent(), third)
	var sealed []byte
	err = db.Read(t.Context(), func(tx *Tx) error {
		return tx.row("SELECT pairs FROM agents WHERE node_id = ?", n.ID).Scan(&sealed)
	})
	if err != nil || len(sealed) == 0 || bytes.Contains(sealed, []byte("PRIVATE KEY")) {
		t.Errorf("the pairs are not sealed: %q, %v", sealed, err)
	}
	write(t, db, func(tx *Tx) error { // another boot's pairs do not open as this one's
		_, err := tx.exec("UPDATE agents SET boot = '4', token = ?", db.key.seal([]byte("t"), n.UUID, "agent token 4"))
		return err
	})
	if err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Agent(n); return err }); !errors.Is(err, ErrSealed) {
		t.Errorf("the pairs of boot 3 in boot 4: %v", err)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveAgent(second) })
	same(t, agent(), second) // a boot without pairs has none of an earlier one's
	write(t, db, func(tx *Tx) error { return tx.ForgetAgent(n.ID) })
	if agent() != nil {
		t.Error("a forgotten agent is there")
	}
	if a, b := NewToken().Expose(), NewToken().Expose(); len(a) != 43 || a == b {
		t.Errorf("tokens %q and %q", a, b)
	}
}

func TestConductors(t *testing.T) { each(t, testConductors) }

func testConductors(t *testing.T, open opener) {
	db := open(t)
	list := func(limit time.Duration) []Conductor {
		return read(t, db, func(tx *Tx) ([]Conductor, error) { return tx.Conductors(limit) })
	}
	save := func(host, kind string) {
		write(t, db, func(tx *Tx) error {
			return tx.SaveConductor(host, "g", []metal.HardwareType{{Name: kind, Fields: []metal.Field{{Name: "password", Secret: true}}}})
		})
	}
	save("b", "ipmi")
	save("a", "redfish")
	got := list(time.Minute)
	if len(got) != 2 || got[0].Hostname != "a" || got[0].Group != "g" || !got[0].Alive || got[1].Types[0].Name != "ipmi" || !got[1].Types[0].Fields[0].Secret {
		t.Fatalf("conductors %+v", got)
	}
	if got := list(-time.Minute); got[0].Alive {
		t.Error("one not heard of within the limit is alive")
	}
	save("a", "fake") // an upgrade: what was remembered must not stay
	if got := list(time.Minute); len(got) != 2 || got[0].Types[0].Name != "fake" {
		t.Errorf("after an upgrade: %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.ForgetConductor("a") })
	if got := list(time.Minute); len(got) != 1 || got[0].Hostname != "b" {
		t.Errorf("after one ended: %+v", got)
	}
}

func TestHistoryIsPagedInOrder(t *testing.T) { each(t, testHistoryIsPagedInOrder) }

func testHistoryIsPagedInOrder(t *testing.T, open opener) {
	db := open(t)
	n, other := addNode(t, db, 1), addNode(t, db, 2)
	want := metal.HistoryEvent{Operation: "op", Kind: "transition", Who: "c1", Verb: "manage", Step: "s", From: metal.Enroll, To: metal.Verifying, Why: "0", Severity: "ERROR"}
	write(t, db, func(tx *Tx) error {
		if err := tx.AppendEvent(other.ID, metal.HistoryEvent{Kind: "request", Why: "of another node"}); err != nil {
			return err
		}
		for i := range 5 {
			want.Why = fmt.Sprint(i)
			if err := tx.AppendEvent(n.ID, want); err != nil {
				return err
			}
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Why: "5"})
	})
	marker, all := "", ""
	for {
		page := read(t, db, func(tx *Tx) ([]metal.HistoryEvent, error) { return tx.Events(n, Page{Limit: 2, Marker: marker}) })
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			all += e.Why
		}
		if marker == "" {
			got := page[0]
			if got.UUID == "" || got.At.IsZero() || got.NodeUUID != n.UUID {
				t.Errorf("event %+v", got)
			}
			want.UUID, want.At, want.NodeUUID, want.Why = got.UUID, got.At, n.UUID, "0"
			same(t, &got, &want)
		}
		marker = page[len(page)-1].UUID
		if len(page) == 2 && page[1].Why == "5" && page[1].Severity != "INFO" {
			t.Errorf("severity %q by default", page[1].Severity)
		}
	}
	if all != "012345" {
		t.Errorf("the pages say %q", all)
	}
}

func TestLogsKeepTheNewest(t *testing.T) { each(t, testLogsKeepTheNewest) }

func testLogsKeepTheNewest(t *testing.T, open opener) {
	db := open(t)
	n, other := addNode(t, db, 1), addNode(t, db, 2)
	write(t, db, func(tx *Tx) error {
		if err := tx.AddLog(other, "op", "console", []byte("stays")); err != nil {
			return err
		}
		for i := range logsKept + 3 {
			if err := tx.AddLog(n, "op", fmt.Sprint("log", i%2), []byte(strings.Repeat("x", i))); err != nil {
				return err
			}
		}
		return nil
	})
	logs := read(t, db, func(tx *Tx) ([]Log, error) { return tx.Logs(n) })
	if len(logs) != logsKept || logs[0].Size != logsKept+2 || logs[0].Name != "log0" || logs[0].Operation != "op" || logs[0].At.IsZero() {
		t.Errorf("%d logs, the newest %+v", len(logs), logs[0])
	}
	data := read(t, db, func(tx *Tx) ([]byte, error) { return tx.LogData(n, "log1") })
	if len(data) != logsKept+1 {
		t.Errorf("the newest log1 has %d bytes", len(data))
	}
	if len(read(t, db, func(tx *Tx) ([]Log, error) { return tx.Logs(other) })) != 1 {
		t.Error("another node's log went")
	}
	err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.LogData(n, "none"); return err })
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("a log that does not exist: %v", err)
	}
}
