package server

import (
	"testing"
	"time"

	"ingot/internal/agentapi"
)

func TestAListThatIsWaitedFor(t *testing.T) {
	r := start(t)
	if list, err := r.Await(t.Context(), 0); err != nil || len(list) != 0 {
		t.Fatalf("nothing runs: %+v %v", list, err)
	}
	r.run(t, "test.hold", "", false)
	<-r.started
	// It still runs after the shortest wait there is.
	if list, err := r.Await(t.Context(), time.Nanosecond); err != nil || len(list) != 1 || list[0].CommandStatus != agentapi.Running {
		t.Fatalf("%+v %v", list, err)
	}
	type answer struct {
		list []agentapi.Result
		err  error
	}
	got := make(chan answer)
	go func() {
		list, err := r.Await(t.Context(), time.Minute)
		got <- answer{list, err}
	}()
	r.release <- struct{}{}
	if a := <-got; a.err != nil || len(a.list) != 1 || a.list[0].CommandStatus != agentapi.Succeeded {
		t.Errorf("%+v %v", a.list, a.err)
	}
	// A caller that goes away leaves nothing behind: the server's end in start's cleanup would hang.
	if list, err := r.Await(t.Context(), 0); err != nil || list[0].CommandStatus != agentapi.Succeeded {
		t.Errorf("%+v %v", list, err)
	}
}
