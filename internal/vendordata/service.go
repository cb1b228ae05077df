package vendordata

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Signer shows a target who asks.
type Signer interface {
	// Sign adds to a request what shows it, such as a token. body is what the request sends. It is the last before the
	// request is sent, and is asked anew for every one. Its error fails the target; a fault's sentence is shown.
	Sign(ctx context.Context, r *http.Request, body []byte) error
	// Renew is told that a target answered 401 to a request. True: signing again gives something else, and it is worth sending once more.
	Renew(ctx context.Context, refused *http.Request) bool
}

// Options are what a Service is given by others.
type Options struct {
	Signer Signer // nil: requests do not show who asks
	// ClientCertificate gives the certificate that this server shows to https targets; nil: none.
	ClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Watch is told of each answer: the word of its failure, or where it came from. nil: nobody.
	Watch func(target, outcome string, took time.Duration)
}

// Service asks the targets. The nil Service has none, and no static document.
type Service struct {
	config  Config
	log     *slog.Logger
	targets []target
	static  func() json.RawMessage // nil: StaticJSON is no provider
	caller  *caller
	watch   func(target, outcome string, took time.Duration)
	held    *held
	flights flights

	mu      sync.Mutex      // guards failing
	failing map[string]bool // by target: it failed the last time
}

// New reads the files that the configuration names. The error says what an operator must mend.
func New(c Config, o Options, log *slog.Logger) (*Service, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	s := &Service{config: c, log: log, watch: o.Watch, held: newHeld(int64(c.VendordataDynamicCacheSize) << 20), failing: map[string]bool{}}
	if s.watch == nil {
		s.watch = func(string, string, time.Duration) {}
	}
	var err error
	if c.Static() {
		if s.static, err = openStatic(c.VendordataJSONFilePath, c.maxBytes(), log); err != nil {
			return nil, err
		}
	}
	if !c.Dynamic() {
		if len(c.VendordataDynamicTargets) > 0 {
			log.Warn("vendordata targets are configured and not asked: [api] vendordata_providers has no DynamicJSON")
		}
		return s, nil
	}
	s.targets, _ = c.VendordataDynamicTargets.parse()
	if err := c.overHTTP(s.targets, o.Signer != nil); err != nil {
		return nil, err
	}
	if s.caller, err = newCaller(c, o, log); err != nil {
		return nil, err
	}
	return s, nil
}

// overHTTP refuses to show by http who asks.
func (c Config) overHTTP(all []target, signs bool) error {
	var wrong []error
	for _, t := range all {
		if t.url.Scheme == "http" && (signs || t.url.User != nil) && !c.VendordataDynamicAllowHTTPAuth {
			wrong = append(wrong, fmt.Errorf("[api] vendordata_dynamic_targets: target %q is http, and this server would show it who it is: whoever is between could use that. Make it https, or set vendordata_dynamic_allow_http_auth", t.name))
		}
	}
	return errors.Join(wrong...)
}

// Close ends what still asks for Fresh, and waits for it.
func (s *Service) Close() {
	if s != nil {
		s.flights.close()
	}
}

// Targets are the names of the targets that are asked, in their order.
func (s *Service) Targets() []string {
	if s == nil {
		return nil
	}
	out := make([]string, len(s.targets))
	for i, t := range s.targets {
		out[i] = t.name
	}
	return out
}

// Fatal tells whether a failure of a target fails what asked.
func (s *Service) Fatal() bool { return s != nil && s.config.VendordataDynamicFailureFatal }

// Static is the static document: nil where StaticJSON is no provider, and so there is no vendor_data.json either.
func (s *Service) Static() json.RawMessage {
	if s == nil || s.static == nil {
		return nil
	}
	return s.static()
}

// Document is Static where this server has a file for it; nil: it has none, and says nothing about what an instance was deployed with.
func (s *Service) Document() json.RawMessage {
	if s == nil || s.config.VendordataJSONFilePath == "" {
		return nil
	}
	return s.Static()
}

// Fetch asks each target once, all at the same time, and gives what they said in their order. With
// vendordata_dynamic_failure_fatal a failed target makes it a fault.Unavailable that names the target and the reason; the
// Answers are given beside it. When ctx ends, its error is given and nobody has failed.
func (s *Service) Fetch(ctx context.Context, r Request) (Answers, error) {
	a := Answers{id: rand.Text()}
	if s == nil || len(s.targets) == 0 {
		return a, nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, s.config.VendordataDynamicTotalTimeout, errTotal)
	defer cancel()
	var err error
	if a.list, err = s.askAll(limited, r, r.digest(), make([]answer, len(s.targets)), slices.Repeat([]bool{true}, len(s.targets))); err != nil {
		return Answers{}, err
	}
	return a, s.verdict(a)
}

// verdict is the error of answers of which some failed.
func (s *Service) verdict(a Answers) error {
	if why := a.Why(); why != "" && s.config.VendordataDynamicFailureFatal {
		return fault.New(fault.Unavailable, "%s", why)
	}
	return nil
}

// askAll asks those targets that are due, with the answers that are there to ask by, and gives all answers. Its error is
// that of a context that ended for another reason than the time of all targets.
func (s *Service) askAll(ctx context.Context, r Request, hash string, now []answer, due []bool) ([]answer, error) {
	out := slices.Clone(now)
	body, err := r.body()
	if err != nil {
		return nil, fmt.Errorf("make the body of a vendordata request: %w", err)
	}
	var all sync.WaitGroup
	for i, t := range s.targets {
		if due[i] {
			all.Go(func() { out[i] = s.askOne(ctx, t, body, hash, now[i]) })
		}
	}
	all.Wait()
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTotal) {
		return nil, ctx.Err()
	}
	for i := range out {
		if due[i] {
			s.tell(out[i])
		}
	}
	return out, nil
}

// askOne asks a target. old is the answer that it gave last; without a target's name there is none.
func (s *Service) askOne(ctx context.Context, t target, body []byte, hash string, old answer) answer {
	a := answer{target: t.name, shown: t.shown(), hash: hash, asked: time.Now(), from: Asked}
	usable := old.target != "" && old.good() && old.hash == hash && s.ages().of(old.head, old.status, old.asked).again
	var asks http.Header
	if usable {
		asks = conditions(old.head)
	}
	r, wrong := s.caller.ask(ctx, t, body, asks)
	a.took, a.status = time.Since(a.asked), r.status
	if wrong == nil && unchanged(r.status, asks) {
		a.from, a.status, a.body, a.head = Unchanged, old.status, old.body, renewed(old.head, r.head)
		return a
	}
	var document json.RawMessage
	if wrong == nil {
		document, wrong = judge(r.status, r.body)
	}
	if wrong == nil {
		a.body, a.head = secret.New(string(document)), cacheable(r.head)
		return a
	}
	if usable && time.Now().Before(s.ages().of(old.head, old.status, old.asked).stale) {
		old.from, old.took, old.trouble = Stale, a.took, wrong
		return old
	}
	a.failed = wrong
	return a
}

func (s *Service) ages() ages {
	return ages{s.config.VendordataDynamicMaxAge, s.config.VendordataDynamicDefaultMaxAge}
}

// tell counts an answer, and logs when a target begins to fail and when it ends. A target that is down is one line, not one
// for each instance that asks.
func (s *Service) tell(a answer) {
	wrong, outcome := a.trouble, a.from
	if !a.good() {
		wrong, outcome = a.failed, a.failed.word
	}
	s.watch(a.target, outcome, a.took)
	s.mu.Lock()
	was := s.failing[a.target]
	s.failing[a.target] = wrong != nil
	s.mu.Unlock()
	switch {
	case wrong != nil && !was:
		s.log.Warn("a vendordata target failed", "target", a.target, "reason", wrong.said)
	case wrong != nil:
		s.log.Debug("a vendordata target failed again", "target", a.target, "reason", wrong.said)
	case was:
		s.log.Info("a vendordata target answers again", "target", a.target)
	}
}
