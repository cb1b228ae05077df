package server

import (
	"context"
	"time"
)

// The end of an agent that was asked its last command (Command.Final). Whoever sent it may have died before the answer
// came, and another asks in its place: so lists are answered for some time, and no new command.
const (
	seenWait   = 10 * time.Second // after a list was fetched that has the last command's result
	unseenWait = 2 * time.Minute  // if nobody fetches one
)

// Finished tells whether a last command was done.
func (s *Server) Finished() bool {
	select {
	case <-s.final:
		return true
	default:
		return false
	}
}

// seen notes that a caller was given the results.
func (s *Server) seen() {
	if s.Finished() {
		s.markSeen()
	}
}

// linger returns when the server is to stop after its last command, or when ctx ends.
func (s *Server) linger(ctx context.Context) {
	select {
	case <-s.final:
	case <-ctx.Done():
		return
	}
	most := time.NewTimer(s.unseenWait)
	defer most.Stop()
	select {
	case <-s.fetched:
	case <-most.C:
		return
	case <-ctx.Done():
		return
	}
	rest := time.NewTimer(s.seenWait)
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-most.C:
	case <-ctx.Done():
	}
}
