package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
)

// maxOld is the largest result that an older entry of the list keeps, bytes. The list is never trimmed,
// but a machine's memory is small and logs are collected more than once.
const maxOld = 256 << 10

// record is one command that was started.
type record struct {
	done chan struct{} // closed when it has ended

	mu     sync.Mutex
	result agentapi.Result
}

func (r *record) snapshot() agentapi.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result
}

func (r *record) running() bool { return r.snapshot().CommandStatus == agentapi.Running }

func (r *record) progress(p agentapi.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.result.CommandStatus == agentapi.Running {
		r.result.Progress = &p
	}
}

// finish records the end and tells whoever waits.
func (r *record) finish(result json.RawMessage, failure *agentapi.CommandError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.CommandResult, r.result.CommandError = result, failure
	switch {
	case failure == nil:
		r.result.CommandStatus = agentapi.Succeeded
	case failure.Type == "VersionMismatch":
		r.result.CommandStatus = agentapi.VersionMismatch
	default:
		r.result.CommandStatus = agentapi.Failed
	}
	close(r.done)
}

// add appends a running record. It gives nil if a newer holder was heard of: it has seen a list without this one.
func (s *Server) add(short, key string, from *http.Request) *record {
	r := &record{done: make(chan struct{}), result: agentapi.Result{
		ID: uuid.NewString(), CommandName: short, CommandStatus: agentapi.Running, Key: key}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, err := holderOf(from); err != nil || h != (agentapi.Holder{}) && h.Older(s.holder) {
		return nil
	}
	for _, old := range s.records {
		old.mu.Lock()
		if len(old.result.CommandResult) > maxOld {
			old.result.CommandResult = nil
		}
		old.mu.Unlock()
	}
	s.records = append(s.records, r)
	return r
}

// last is the newest record, nil if there is none.
func (s *Server) last() *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.records) == 0 {
		return nil
	}
	return s.records[len(s.records)-1]
}

// drop takes r out again: it was refused and did nothing.
func (s *Server) drop(r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.records); n > 0 && s.records[n-1] == r {
		s.records = s.records[:n-1]
	}
}

// list copies all records, oldest first.
func (s *Server) list() []agentapi.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]agentapi.Result, len(s.records))
	for i, r := range s.records {
		out[i] = r.snapshot()
	}
	return out
}

func (s *Server) byID(id string) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.snapshot().ID == id {
			return r
		}
	}
	return nil
}

// execute runs c to its end and records it. It gives the error too, for a synchronous caller.
func (s *Server) execute(ctx context.Context, c Command, r *record, params json.RawMessage) *agentapi.CommandError {
	short := r.snapshot().CommandName
	value, err := s.protect(ctx, c, r, params)
	var raw json.RawMessage
	var partial interface{ Result() any }
	switch {
	case err == nil:
		raw, err = resultJSON(c, short, value)
	case errors.As(err, &partial):
		if some, wrong := resultJSON(c, short, partial.Result()); wrong == nil {
			raw = some
		}
	}
	var failure *agentapi.CommandError
	if err != nil {
		failure = commandError(err)
		s.log.Warn("command failed", "command", short, "class", failure.Type, "error", failure.Details)
	} else {
		s.log.Info("command done", "command", short)
	}
	r.finish(raw, failure)
	if failure == nil && c.Final {
		s.finish()
	}
	if c.Async && s.ended != nil {
		s.ended()
	}
	return failure
}

// protect turns a panic of the command into an error, so that the agent lives on and the conductor
// learns of it.
func (s *Server) protect(ctx context.Context, c Command, r *record, params json.RawMessage) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("command panicked", slog.Any("panic", p), "stack", string(debug.Stack()))
			value, err = nil, errors.Join(err, fmt.Errorf("the agent's own defect: %v", p))
		}
	}()
	return c.Run(ctx, params, r.progress)
}
