package server

import (
	"net/http"

	"ingot/internal/agentapi"
)

// The agent's part of fencing. A conductor that was stopped past its lease, and goes on, may send a command that
// another conductor has sent since, or one that does not belong to what the other does by now. So every request of
// ours says under which claim it is made; the agent remembers the newest it has heard of, from lists too, which a new
// holder asks for first, and refuses all older. And a command has a key: the same key twice is the same command, run
// once. That key is forgotten when the agent ends; so a request can say for which start of the agent it is made, and every
// other refuses it: between two requests of a conductor the agent may have been started anew, and what is not in its list
// any more would be run a second time. Requests without these are taken as they come: they are another conductor's.

// hear notes the holder that a request names, and tells whether it is the newest.
func (s *Server) hear(r *http.Request) bool {
	h, err := holderOf(r)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h == (agentapi.Holder{}) {
		return true
	}
	if h.Older(s.holder) {
		return false
	}
	s.holder = h
	return true
}

func holderOf(r *http.Request) (agentapi.Holder, error) {
	return agentapi.ParseHolder(r.Header.Get(agentapi.HolderHeader))
}

func (s *Server) superseded(w http.ResponseWriter) {
	s.refuse(w, http.StatusConflict, "Conflict: "+agentapi.ErrSuperseded.Error()+"; this one must stop")
}

// meant tells whether a request is for this start of the agent.
func (s *Server) meant(r *http.Request) bool {
	want := r.Header.Get(agentapi.InstanceHeader)
	return want == "" || want == s.instance
}

func (s *Server) startedAnew(w http.ResponseWriter) {
	s.refuse(w, http.StatusConflict, "Conflict: "+agentapi.ErrStartedAnew.Error()+" since it was asked, and knows nothing of what was run before")
}

// byKey is the command that was sent under a key, nil if none was.
func (s *Server) byKey(key string) *record {
	if key == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.snapshot().Key == key {
			return r
		}
	}
	return nil
}
