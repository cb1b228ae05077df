package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

// TestACommandIsRunOnceUnderItsKey: whoever sends it again, before or after its end, gets the same one.
func TestACommandIsRunOnceUnderItsKey(t *testing.T) {
	r := start(t)
	first, err := r.RunOnce(t.Context(), "op/boot/1/0", "test.hold", nil, false)
	if err != nil || first.Key != "op/boot/1/0" {
		t.Fatalf("%+v, %v", first, err)
	}
	<-r.started
	again, err := r.RunOnce(t.Context(), "op/boot/1/0", "test.hold", nil, false)
	if err != nil || again.ID != first.ID || again.CommandStatus != agentapi.Running {
		t.Errorf("while it runs: %+v, %v", again, err)
	}
	if _, err := r.RunOnce(t.Context(), "op/boot/2/0", "test.echo", nil, true); !errors.Is(err, agentapi.ErrBusy) {
		t.Errorf("another beside it: %v", err)
	}
	r.release <- struct{}{}
	<-r.ended
	again, err = r.RunOnce(t.Context(), "op/boot/1/0", "test.hold", nil, true)
	if err != nil || again.ID != first.ID || again.CommandStatus != agentapi.Succeeded {
		t.Errorf("after its end: %+v, %v", again, err)
	}
	other, err := r.RunOnce(t.Context(), "op/boot/2/0", "test.echo", map[string]string{"text": "x"}, true)
	if err != nil || other.ID == first.ID {
		t.Errorf("another key: %+v, %v", other, err)
	}
	if list, err := r.Commands(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%d commands, %v", len(list), err)
	}
	if _, err := r.RunOnce(t.Context(), "no key!", "test.echo", nil, true); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a bad key: %v", err)
	}
}

// TestOlderHoldersAreRefused: a conductor that was stopped past its lease starts nothing, once its successor has
// only looked. One that names no holder is another make's, and is served.
func TestOlderHoldersAreRefused(t *testing.T) {
	r := start(t)
	run := func(h agentapi.Holder) error {
		r.As(h)
		_, err := r.Run(t.Context(), "test.echo", map[string]string{"text": "x"}, true)
		return err
	}
	if err := run(agentapi.Holder{Operation: 7, Generation: 3}); err != nil {
		t.Fatal(err)
	}
	r.As(agentapi.Holder{Operation: 7, Generation: 4})
	if _, err := r.Commands(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, old := range []agentapi.Holder{{Operation: 7, Generation: 3}, {Operation: 6, Generation: 9}} {
		if err := run(old); !errors.Is(err, agentapi.ErrSuperseded) || fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %v", old, err)
		}
	}
	for _, current := range []agentapi.Holder{{Operation: 7, Generation: 4}, {}, {Operation: 8, Generation: 1}} {
		if err := run(current); err != nil {
			t.Errorf("%s: %v", current, err)
		}
	}
}

// TestANewHolderSeesAllThatWillRun: what had passed the door, and was not yet in the list that a new holder got, is
// not started after it.
func TestANewHolderSeesAllThatWillRun(t *testing.T) {
	s := New(t.Context(), Config{})
	from := func(generation int64) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/v1/commands/", nil)
		r.Header.Set(agentapi.HolderHeader, agentapi.Holder{Operation: 1, Generation: generation}.String())
		return r
	}
	old, successor := from(1), from(2)
	if !s.hear(old) || !s.hear(successor) || len(s.list()) != 0 {
		t.Fatal("it is not as it should be")
	}
	if s.add("echo", "", old) != nil || len(s.list()) != 0 || s.add("echo", "", successor) == nil {
		t.Error("an old holder's command was started after its successor had looked")
	}
}

// TestARequestIsForOneStart: an agent that was started anew since its status was read runs nothing, lists nothing, and says why.
func TestARequestIsForOneStart(t *testing.T) {
	first, second := start(t), start(t)
	one, err := first.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := second.Status(t.Context())
	if err != nil || one.Instance == "" || one.Instance == other.Instance {
		t.Fatalf("%+v, %+v, %v", one, other, err)
	}
	second.For(one.Instance)
	if _, err := second.RunOnce(t.Context(), "op/boot/1/0", "test.echo", map[string]string{"text": "x"}, true); !errors.Is(err, agentapi.ErrStartedAnew) || fault.KindOf(err) != fault.Conflict {
		t.Errorf("a command for another start: %v", err)
	}
	if _, err := second.Commands(t.Context()); !errors.Is(err, agentapi.ErrStartedAnew) {
		t.Errorf("a list for another start: %v", err)
	}
	for _, meant := range []string{other.Instance, ""} {
		second.For(meant)
		if _, err := second.RunOnce(t.Context(), "op/boot/1/1", "test.echo", map[string]string{"text": "x"}, true); err != nil {
			t.Errorf("for %q: %v", meant, err)
		}
	}
	if list, err := second.Commands(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d commands were run, %v", len(list), err)
	}
}
