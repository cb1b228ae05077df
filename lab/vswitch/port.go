package vswitch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// port is one port of the switch, as it is set.
type port struct {
	Switch, Port   string
	network, owner string
	version        int
}

// State is a port as the API shows it.
type State struct {
	Switch   string  `json:"switch_id"`
	Port     string  `json:"port_id"`
	Network  *string `json:"network"`
	Owner    string  `json:"owner"`
	Revision string  `json:"revision"`
	State    string  `json:"state"`
	Message  string  `json:"message,omitempty"`
}

func (p *port) show() State {
	s := State{Switch: p.Switch, Port: p.Port, Owner: p.owner, Revision: p.revision(), State: "applied"}
	if p.network != "" {
		network := p.network
		s.Network = &network
	}
	return s
}

func (p *port) revision() string { return "r" + strconv.Itoa(p.version) }

// order is a wanted change.
type order struct {
	Switch   string  `json:"switch_id"`
	Port     string  `json:"port_id"`
	Revision string  `json:"revision"`
	Network  *string `json:"network"`
	Owner    string  `json:"owner"`
}

// problem is why an order is refused.
type problem struct {
	status        int
	code, message string
}

func (s *Switch) find(switchID, portID string) *port {
	i := slices.IndexFunc(s.ports, func(p *port) bool { return p.Switch == switchID && p.Port == portID })
	if i < 0 {
		return nil
	}
	return s.ports[i]
}

// check says what is wrong with an order; the lock is held.
func (s *Switch) check(o order) (*port, *problem) {
	p := s.find(o.Switch, o.Port)
	if p == nil {
		return nil, &problem{http.StatusNotFound, "unknown_port", fmt.Sprintf("there is no port %q of switch %q", o.Port, o.Switch)}
	}
	if o.Network != nil && !slices.ContainsFunc(s.config.Networks, func(n Network) bool { return n.Name == *o.Network }) {
		return nil, &problem{http.StatusUnprocessableEntity, "unknown_network", fmt.Sprintf("there is no network %q", *o.Network)}
	}
	if o.Revision == "" {
		return nil, &problem{http.StatusPreconditionRequired, "revision_needed", "a change names the revision that it was made for"}
	}
	if _, hit := s.faults.strike(Stale, o.Port); hit || o.Revision != p.revision() {
		return nil, &problem{http.StatusPreconditionFailed, "stale", "the port is at another revision"}
	}
	if p.owner != "" && o.Owner != "" && o.Owner != p.owner {
		return nil, &problem{http.StatusConflict, "owned", "the port is in use by " + p.owner}
	}
	return p, nil
}

// carryOut makes one change that was checked; the lock is held.
func (s *Switch) carryOut(ctx context.Context, p *port, o order) *problem {
	network := ""
	if o.Network != nil {
		network = *o.Network
	}
	if _, hit := s.faults.strike(Refuse, p.Port); hit {
		return &problem{http.StatusInternalServerError, "failed", "the switch stumbled"}
	}
	if _, hit := s.faults.strike(NotApplied, p.Port); hit || p.network == network && p.owner == o.Owner {
		return nil
	}
	if err := s.config.Fabric.Connect(ctx, p.Switch, p.Port, network); err != nil {
		return &problem{http.StatusInternalServerError, "failed", err.Error()}
	}
	s.log.Info("port is moved", "switch", p.Switch, "port", p.Port, "from", p.network, "to", network, "owner", o.Owner)
	p.network, p.owner = network, o.Owner
	p.version++
	s.counters["change"]++
	return nil
}

func (s *Switch) showNetworks(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"networks": append([]Network{}, s.config.Networks...)})
}

func (s *Switch) showPort(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(r.URL.Query().Get("switch_id"), r.URL.Query().Get("port_id"))
	if p == nil {
		refuse(w, http.StatusNotFound, "unknown_port", "there is no such port")
		return
	}
	state := p.show()
	if _, hit := s.faults.strike(Pending, p.Port); hit {
		state.State = "pending"
	}
	if _, hit := s.faults.strike(Failed, p.Port); hit {
		state.State, state.Message = "failed", "the transceiver is gone"
	}
	w.Header().Set("ETag", `"`+state.Revision+`"`)
	answer(w, http.StatusOK, state)
}

func (s *Switch) setPort(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		refuse(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	o.Switch, o.Port = r.URL.Query().Get("switch_id"), r.URL.Query().Get("port_id")
	o.Revision = strings.Trim(r.Header.Get("If-Match"), `"`)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, bad := s.check(o)
	if bad == nil {
		bad = s.carryOut(r.Context(), p, o)
	}
	if bad != nil {
		refuse(w, bad.status, bad.code, bad.message)
		return
	}
	if _, hit := s.faults.strike(Lost, p.Port); hit {
		panic(http.ErrAbortHandler)
	}
	answer(w, http.StatusOK, p.show())
}

// setPorts makes all changes or none: what was made before one that failed is taken back.
func (s *Switch) setPorts(w http.ResponseWriter, r *http.Request) {
	if _, hit := s.faults.strike(Single, ""); hit {
		refuse(w, http.StatusNotImplemented, "unsupported", "one port at a time")
		return
	}
	var in struct {
		Changes []order `json:"changes"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters["changes"]++
	ports := make([]*port, len(in.Changes))
	for i, o := range in.Changes {
		p, bad := s.check(o)
		if bad != nil {
			refuse(w, bad.status, bad.code, bad.message)
			return
		}
		ports[i] = p
	}
	shown, before := []State{}, make([]port, len(ports))
	for i, o := range in.Changes {
		before[i] = *ports[i]
		bad := s.carryOut(r.Context(), ports[i], o)
		if bad == nil {
			if _, hit := s.faults.strike(Half, ports[i].Port); hit {
				refuse(w, http.StatusInternalServerError, "failed", "the switch stopped half way")
				return
			}
			shown = append(shown, ports[i].show())
			continue
		}
		for k := range i {
			s.takeBack(r.Context(), ports[k], before[k])
		}
		refuse(w, bad.status, bad.code, bad.message)
		return
	}
	answer(w, http.StatusOK, map[string]any{"ports": shown})
}

// takeBack sets a port to what it was; the lock is held. The revision goes on.
func (s *Switch) takeBack(ctx context.Context, p *port, before port) {
	if err := s.config.Fabric.Connect(ctx, p.Switch, p.Port, before.network); err != nil {
		s.log.Error("port cannot be set back", "switch", p.Switch, "port", p.Port, "err", err)
		return
	}
	p.network, p.owner = before.network, before.owner
	p.version++
}

func (s *Switch) showPorts(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.Ports())
}

// Ports lists every port as the API shows it.
func (s *Switch) Ports() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []State{}
	for _, p := range s.ports {
		out = append(out, p.show())
	}
	return out
}
