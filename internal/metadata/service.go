package metadata

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/fault"
)

// Options are what the service is made of.
type Options struct {
	Config

	Instances Instances
	// Installs answer machines that install themselves, and tell instances with what they were installed. Nil: nobody does, as on a boot host.
	Installs *Installs
	// Others are asked about addresses at which Instances know nobody. What they say is never kept.
	Others []Addresses
	Log    *slog.Logger
	// Count is told of every request: what was asked for in a word, the status of the answer, and how long it took. Nil: nobody is.
	Count func(what string, status int, took time.Duration)
}

// Service answers instances. It is an http.Handler, and safe for many goroutines.
type Service struct {
	o       Options
	log     *slog.Logger
	proxies []netip.Prefix
	limiter *limiter
	waiting chan struct{} // holds one for each request that may wait for vendordata targets
	bodies  shares        // has one for each request of an installation that may be large
	cache   *cache
	told    notices
}

// New makes the service. It is an error if the configuration would let anybody ask as somebody else.
func New(o Options) (*Service, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	proxies, err := o.proxies()
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{o: o, log: o.Log, proxies: proxies, limiter: newLimiter(o.RateLimit, o.RateLimitBurst), waiting: make(chan struct{}, maxWaiting), cache: newCache(o.CacheExpiration, o.CacheSize<<20)}, nil
}

// sweepTime is how often the cache is looked through for what is too old.
const sweepTime = 15 * time.Second

// Run keeps the cache small until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.cache.sweep()
			if stored, ok := s.o.Instances.(*Stored); ok {
				stored.sweep(ctx)
			}
		}
	}
}

// Held is how many instances are in memory, and about how many bytes they take there.
func (s *Service) Held() (instances, bytes int) { return s.cache.held() }

// errNobody is the answer for everything that must look the same from outside: no instance, one of another tenant, two at one
// address, one that does not run.
var errNobody = fault.New(fault.NotFound, "There is no instance here that this request is from.")

// tries is how often an instance is looked for again that changes while it is read.
const tries = 3

// find gives the instance that asks.
func (s *Service) find(ctx context.Context, a asker) (*Instance, error) {
	for try := 1; ; try++ {
		m, err := s.one(ctx, a)
		if err != nil {
			return nil, err
		}
		i, err := s.cache.get(ctx, m, func(ctx context.Context) (*Instance, error) { return s.o.Instances.Open(ctx, m) })
		if errors.Is(err, ErrChanged) && try < tries {
			continue
		}
		if err != nil {
			return nil, err
		}
		now := *i
		now.Mark = m // what is kept may be older in what does not change the generation
		return &now, nil
	}
}

// one finds the one instance that asks, and runs; errNobody if there is none, or more than one.
func (s *Service) one(ctx context.Context, a asker) (Mark, error) {
	m, err := s.sole(ctx, a)
	if err == nil && m.Idle != "" {
		s.idle(m, a)
		return Mark{}, errNobody
	}
	return m, err
}

// idle tells of a machine that asks and does not run its instance.
func (s *Service) idle(m Mark, a asker) {
	s.notice("idle "+m.Node, "the machine of an instance asks and gets nothing, for the instance does not run", "node", m.Node, "asker", a.key(), "reason", m.Idle)
}

// sole finds the one instance that asks, whether it runs or not.
func (s *Service) sole(ctx context.Context, a asker) (Mark, error) {
	var found []Mark
	var err error
	switch {
	case a.id != "":
		if len(a.id) <= maxID {
			found, err = s.o.Instances.ByID(ctx, a.id)
			found = s.ofTenant(found, a.tenant)
		}
	case !speaks(a.address):
		return Mark{}, errNobody
	default:
		if found, err = s.o.Instances.At(ctx, a.address); err == nil && len(found) == 0 {
			found, err = s.elsewhere(ctx, a.address)
		}
	}
	if err != nil {
		return Mark{}, err
	}
	if len(found) > 1 {
		nodes := make([]string, len(found))
		for i, m := range found {
			nodes[i] = m.Node
		}
		s.notice("ambiguous "+a.key(), "more than one instance has the address of a request, so none is served", "address", a.key(), "nodes", strings.Join(nodes, " "))
		return Mark{}, errNobody
	}
	if len(found) == 0 {
		s.notice("nobody "+a.link(), "somebody asks who is no instance that is known here", "asker", a.key())
		return Mark{}, errNobody
	}
	return found[0], nil
}

// ofTenant leaves those of the tenant that a proxy says, and nobody's are not. It is looked at before how many there are: who owns a
// node may give it any instance-id, and must not keep the instance of somebody else from its metadata so.
func (s *Service) ofTenant(found []Mark, tenant string) []Mark {
	own := slices.DeleteFunc(slices.Clone(found), func(m Mark) bool { return m.Project == "" || m.Project != tenant })
	if len(own) == 0 && len(found) > 0 {
		s.notice("tenant "+found[0].Node, "a proxy asked for an instance of another tenant", "node", found[0].Node)
	}
	return own
}

// maxID bounds an instance-id: it is a UUID.
const maxID = 64

// speaks tells whether a machine can ask from an address.
func speaks(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() }

// elsewhere asks the other sources. One that does not answer keeps what the rest say from being sure.
func (s *Service) elsewhere(ctx context.Context, a netip.Addr) ([]Mark, error) {
	var nodes []string
	for _, o := range s.o.Others {
		more, err := o.NodesAt(ctx, a)
		if err != nil {
			s.notice("source", "a source of addresses does not answer", "error", err.Error())
			return nil, fault.Wrap(fault.Unavailable, err, "Whose address this is cannot be looked up now; ask again.")
		}
		nodes = append(nodes, more...)
	}
	slices.Sort(nodes)
	var out []Mark
	for _, n := range slices.Compact(nodes) {
		found, err := s.o.Instances.ByNode(ctx, n)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// notice logs a warning, each at most once in a while: whoever asks again and again must not fill the log.
func (s *Service) notice(key, text string, facts ...any) {
	if s.told.news(key, time.Now()) {
		s.log.Warn(text, facts...)
	}
}

// Limits of what is remembered of notices.
const (
	noticeRest = 10 * time.Minute
	maxNotices = 4096
)

// notices remember what was told.
type notices struct {
	mu   sync.Mutex
	told map[string]time.Time // guarded by mu
}

func (n *notices) news(key string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at, ok := n.told[key]; ok && now.Sub(at) < noticeRest {
		return false
	}
	if n.told == nil || len(n.told) >= maxNotices {
		n.told = map[string]time.Time{}
	}
	n.told[key] = now
	return true
}
