package api

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ingot/internal/identity"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/seed"
)

// Options are what New and AgentHandler need to know besides the service. The zero value works.
type Options struct {
	Log *slog.Logger // access log and internal errors; nil: none
	// PublicEndpoint is the base of links, such as "https://metal.example.org"; "": as the request names
	// this server.
	PublicEndpoint string
	// MaxLimit is the default and the cap of page sizes. 0 means 1000.
	MaxLimit int
	// RequestLimit is how long one request may take, reading its body and waiting for a BMC included.
	// 0 means 60 s.
	RequestLimit time.Duration
	// Identity tells who sends a request. Nil: whoever reaches the door is the operator.
	Identity identity.Door
	// LocalOnly refuses requests that do not name a loopback address as their host: for a door without
	// authentication, against pages that lead a browser on this host to it.
	LocalOnly bool
	// Watch is told when a request comes; what it gives is told how the request was answered: the template of the
	// route that took it, or "". The context is the request's from then on, the text its place in a trace, if
	// any. Nil: nobody is told.
	Watch func(r *http.Request) (ctx context.Context, trace string, answered func(route string, status int))
	// Examine is what this process knows to be wrong with itself and its host; nil: nothing.
	Examine func(context.Context) []metal.Finding
	// Dumps are what this process can tell of its own inside, by name: text for whoever looks for a defect.
	Dumps map[string]func() ([]byte, error)
	// Ending is closed when the server ends: streams end with it. Nil: never.
	Ending <-chan struct{}
	// MaxFollowers is how many clients may follow events at a time. 0 means 100.
	MaxFollowers int
	// Patience is how long a client that follows events may leave what it is sent unread. 0 means 10 s.
	Patience time.Duration
	// NetworkData is what network_data of nodes must look like. Nil: as Nova's.
	NetworkData *seed.Schema
	// Refused are the steps that nobody may ask for.
	Refused RefusedSteps
	// Rules gives the rules that are in force when a request comes. Nil: the built-in ones.
	Rules func() *policy.Set
	// AgentsOff refuses lookup, heartbeat and the rest that agents ask for with 403.
	AgentsOff bool
	// AgentsPolled does so because agents are only polled.
	AgentsPolled bool
	// AgentOnPublic also serves what agents ask for on the handler of New.
	AgentOnPublic bool
	// Rate and Burst are how many requests an address may send in a second, and at once. 0 is without limit.
	Rate, Burst int
	// Body limits what a request may carry. The zero value has upstream's limits.
	Body BodyLimits
	// AnswerLimit is how long a client may take to read its answer. 0 means 60 s.
	AnswerLimit time.Duration
}

// api is one door: a service, its options and the routes it serves.
type api struct {
	s      *ops.Service
	o      Options
	table  []route
	mux    *http.ServeMux
	agents bool // lookup and heartbeat are served here

	limiter   *limiter      // nil: no limit
	followers chan struct{} // a place for each client that follows events

	large      atomic.Int64 // bytes of large bodies that requests hold
	largeLimit int64
}

// New is the handler for operators and their tools. Without an Identity whoever reaches it is the operator, so it belongs on
// a loopback address.
func New(s *ops.Service, o Options) http.Handler {
	table := routes
	agents := o.AgentOnPublic || o.AgentsPolled // where no door is open to agents, they are told so here, too
	if agents {
		table = append(table[:len(table):len(table)], agentTable(o)...)
	}
	return newAPI(s, o, table, agents)
}

// AgentHandler is the handler for agents in ramdisks.
func AgentHandler(s *ops.Service, o Options) http.Handler {
	return newAPI(s, o, append(discovery[:len(discovery):len(discovery)], agentTable(o)...), true)
}

// agentTable is what agents ask for, or its refusal.
func agentTable(o Options) []route {
	table := slices.Clone(agentRoutes)
	for i := range table {
		switch {
		case o.AgentsPolled:
			table[i].do = (*call).agentsPolled
		case o.AgentsOff:
			table[i].do = (*call).agentsOff
		}
	}
	return table
}

func newAPI(s *ops.Service, o Options, table []route, agents bool) *api {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rules == nil {
		o.Rules = policy.BuiltIn
	}
	if o.NetworkData == nil {
		o.NetworkData = seed.NetworkSchema
	}
	if o.MaxLimit == 0 {
		o.MaxLimit = 1000
	}
	if o.RequestLimit == 0 {
		o.RequestLimit = time.Minute
	}
	if o.MaxFollowers == 0 {
		o.MaxFollowers = 100
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.AnswerLimit == 0 {
		o.AnswerLimit = time.Minute
	}
	o.Body.fill()
	o.PublicEndpoint = strings.TrimRight(o.PublicEndpoint, "/")
	a := &api{s: s, o: o, table: table, mux: http.NewServeMux(), agents: agents, followers: make(chan struct{}, o.MaxFollowers), limiter: newLimiter(o.Rate, o.Burst), largeLimit: o.Body.together()}
	entries := map[string]entry{}
	for _, rt := range table {
		if entries[rt.path] == nil {
			entries[rt.path] = entry{}
			a.mux.Handle(rt.path, entries[rt.path])
		}
		entries[rt.path][rt.method] = rt
	}
	a.mux.Handle("/", absent{})
	return a
}

// Server wraps a handler of this package with the limits a listener needs: slow and oversized headers and
// idle connections are cut. The caller serves it and shuts it down.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           counted(plain(h)),
		ConnContext:       remember,
		ConnState:         rested,
		ReadHeaderTimeout: 10 * time.Second, // a client that sends its headers slower is not one of ours
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	if log != nil {
		s.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	}
	return s
}
