package main

import (
	"fmt"
	"strings"
	"testing"
)

// Somebody follows the events while the server is ended and started again: nothing is missed, nothing told
// twice, and the server's end does not wait for the stream.
func TestEventsAreFollowedOverARestart(t *testing.T) {
	dir := t.TempDir()
	r := serving(t, dir)
	follower := begin(t, dir, []string{"INGOT_ENDPOINT=" + r.url}, "events", "--follow", "--after", "start")
	told := func(what string) func() bool {
		return func() bool { return strings.Contains(follower.log.String(), what) }
	}
	change := func(name string) {
		r.ingot(t, "node", "create", "--driver", "fake-hardware", "--name", name)
		r.ingot(t, "node", "set", name, "--maintenance", "on", "--reason", "reason of "+name)
	}
	change("n1")
	patiently(t, "the first event", told("reason of n1"))
	if code := r.stop(t); code != 0 {
		t.Errorf("the server ended with %d:\n%s", code, r.log)
	}
	patiently(t, "the loss to be told", told("waiting for it to come back"))
	url := r.url
	r = begin(t, dir, nil, "serve", "--listen", strings.TrimPrefix(url, "http://"), "--agent-listen", "127.0.0.1:0", "--boot-listen", "127.0.0.1:0")
	if r.url = url; answering(url) != nil {
		t.Fatalf("no answer after the restart:\n%s", r.log)
	}
	change("n2")
	patiently(t, "the event after the restart", told("reason of n2"))
	for i := range 2 {
		if n := strings.Count(follower.log.String(), fmt.Sprint("reason of n", i+1)); n != 1 {
			t.Errorf("the event of n%d was told %d times:\n%s", i+1, n, follower.log)
		}
	}
}
