package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// qmp is a connection to QEMU's control protocol (QEMU, docs/interop/qmp-spec): JSON objects, one per line.
type qmp struct {
	conn net.Conn
	gone chan struct{} // closed when QEMU hung up

	mu      sync.Mutex
	last    int
	waiting map[int]chan qmpReply
	reason  string // why QEMU shut down, "" before
}

type qmpReply struct {
	Return json.RawMessage
	Error  *struct{ Class, Desc string }
}

var errQEMUGone = errors.New("QEMU has ended")

// qmpPair makes both ends of a control connection: ours, and the file that QEMU inherits. No socket lies in
// the file system, so nobody else can connect and no path is too long.
func qmpPair() (*qmp, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make QEMU's control connection: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "qmp")
	ours := os.NewFile(uintptr(fds[0]), "qmp")
	conn, err := net.FileConn(ours) // a duplicate
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("use QEMU's control connection: %w", err)
	}
	return &qmp{conn: conn, gone: make(chan struct{}), waiting: map[int]chan qmpReply{}}, theirs, nil
}

// read handles what QEMU says until it hangs up.
func (q *qmp) read() {
	defer close(q.gone)
	defer q.conn.Close()
	lines := bufio.NewReaderSize(q.conn, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var msg struct {
			qmpReply
			ID    *int
			Event string
			Data  struct{ Reason string }
		}
		if json.Unmarshal(line, &msg) != nil {
			continue
		}
		q.mu.Lock()
		if msg.Event == "SHUTDOWN" {
			q.reason = msg.Data.Reason
		}
		if msg.ID != nil {
			if c := q.waiting[*msg.ID]; c != nil {
				c <- msg.qmpReply // has room for one
				delete(q.waiting, *msg.ID)
			}
		}
		q.mu.Unlock()
	}
}

// shutdownReason is why QEMU ended, in its words ("guest-reset", "guest-shutdown", …); "" if it did not say.
func (q *qmp) shutdownReason() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reason
}

// do sends a command and waits for its answer. args is any JSON object, nil for none.
func (q *qmp) do(ctx context.Context, command string, args any) error {
	q.mu.Lock()
	q.last++
	id, answer := q.last, make(chan qmpReply, 1)
	q.waiting[id] = answer
	q.mu.Unlock()
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        int    `json:"id"`
	}{command, args, id})
	if err != nil {
		return err
	}
	if _, err := q.conn.Write(append(line, '\n')); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("tell QEMU %s: %w", command, err)
	}
	select {
	case r := <-answer:
		if r.Error != nil {
			return fmt.Errorf("QEMU refused %s: %s", command, r.Error.Desc)
		}
		return nil
	case <-q.gone:
		return errQEMUGone
	case <-ctx.Done():
		return ctx.Err()
	}
}
