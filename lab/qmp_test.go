package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// speakQMP plays QEMU's side: it greets, grants every command but "refused", and hangs up at "quit".
func speakQMP(conn net.Conn) {
	defer conn.Close()
	fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
	in := bufio.NewScanner(conn)
	for in.Scan() {
		var ask struct {
			Execute string
			ID      int
		}
		if json.Unmarshal(in.Bytes(), &ask) != nil {
			return
		}
		switch ask.Execute {
		case "refused":
			fmt.Fprintf(conn, `{"id": %d, "error": {"class": "GenericError", "desc": "no such device"}}`+"\n", ask.ID)
		case "quit":
			fmt.Fprintln(conn, "not JSON")
			fmt.Fprintln(conn, `{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}`)
			return
		case "silent":
		default:
			fmt.Fprintf(conn, `{"return": {}, "id": %d}`+"\n", ask.ID)
		}
	}
}

func TestQMP(t *testing.T) {
	q, theirs, err := qmpPair()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(theirs)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	go speakQMP(conn)
	go q.read()
	if err := q.do(t.Context(), "qmp_capabilities", nil); err != nil {
		t.Error(err)
	}
	if err := q.do(t.Context(), "refused", map[string]any{"id": "cd"}); err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Errorf("a refusal gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.do(ctx, "silent", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("no answer and a cancelled context give %v", err)
	}
	if err := q.do(t.Context(), "quit", nil); !errors.Is(err, errQEMUGone) {
		t.Errorf("QEMU hanging up gives %v", err)
	}
	if r := q.shutdownReason(); r != "guest-reset" {
		t.Errorf("shutdown reason %q", r)
	}
}
