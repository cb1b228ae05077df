package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// gatePostgres lets a test decide of each save of an operation before PostgreSQL commits it: the database itself asks, so the
// server that saves may be dead by then. bash is the client, which every Debian has.
func gatePostgres(t *testing.T, database string, commit func(save) bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerPostgres(c, commit)
		}
	}()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ask := fmt.Sprintf(`bash -c 'exec 3<>/dev/tcp/127.0.0.1/%s && cat >&3 && read -r commit <&3 && test "$commit" = yes'`, port)
	for _, s := range []string{
		`CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF TG_OP = 'UPDATE' AND (OLD.status, OLD.step, OLD.step_name, OLD.record, OLD.undoing, OLD.tried, OLD.attempts)
				IS NOT DISTINCT FROM (NEW.status, NEW.step, NEW.step_name, NEW.record, NEW.undoing, NEW.tried, NEW.attempts) THEN
				RETURN NULL;
			END IF;
			EXECUTE format('COPY (SELECT %L) TO PROGRAM %L', json_build_object('Verb', NEW.verb, 'Plan', NEW.plan, 'Status', NEW.status,
				'Step', NEW.step_name, 'Tried', NEW.tried = 1, 'Undoing', NEW.undoing = 1), TG_ARGV[0]);
			RETURN NULL;
		END $$`,
		`CREATE CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE ON operations DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION gate('` + strings.ReplaceAll(ask, "'", "''") + `')`,
	} {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%v\n%s", err, s)
		}
	}
}

// answerPostgres reads one line and writes one.
func answerPostgres(c net.Conn, commit func(save) bool) {
	defer c.Close()
	line, err := bufio.NewReader(c).ReadBytes('\n')
	var s save
	if err != nil || json.Unmarshal(line, &s) != nil {
		return
	}
	answer := "no\n"
	if commit(s) {
		answer = "yes\n"
	}
	_, _ = c.Write([]byte(answer)) // who asked may be gone
}
