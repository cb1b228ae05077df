package redfish

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"ingot/internal/metal"
)

// Config is how the driver treats BMCs in general; what is particular to one is in the node's driver_info.
type Config struct {
	// AllowUnverifiedTLS lets a node say redfish_verify_ca=False or use an http:// address. Whoever is
	// between us and such a BMC reads its password. Default false.
	AllowUnverifiedTLS bool `key:"allow_unverified_tls"`
	// Concurrency is how many requests one BMC gets at the same time. Default 4.
	Concurrency int `key:"concurrency"`
	// Attempts is how often a request is tried in all when the BMC answers 5xx or drops the connection. Default 3.
	Attempts int `key:"attempts"`
	// RetryWait is the pause before the second attempt; it doubles with each. Default 500ms.
	RetryWait time.Duration `key:"retry_wait"`
	// EffectWait is how long a BMC may take to show a change that it has accepted. Default 20s.
	EffectWait time.Duration `key:"effect_wait"`
	// ReadLimit is how long one read may take: a BMC that is slower is as good as gone. Default 20s.
	ReadLimit time.Duration `key:"read_timeout"`
	// ActLimit is how long one write may take: some BMCs fetch the head of an image before they answer. Default 1m.
	ActLimit time.Duration `key:"act_timeout"`
	// CallLimit is how long a whole call may take, all its requests and retries. Default 2m.
	CallLimit time.Duration `key:"call_timeout"`
	// Sessions is how many BMCs' sessions are kept; the one unused for longest is logged out first. Default 1000.
	Sessions int `key:"connection_cache_size"`
	// IPMIPort is the UDP port at which a BMC is asked whether it speaks IPMI. Default 623.
	IPMIPort int `key:"-"`
	// Log gets the warnings that no error carries. Nil discards them.
	Log *slog.Logger `key:"-"`
}

// Defaults gives the values used where a Config has zero.
func Defaults() Config {
	return Config{Concurrency: 4, Attempts: 3, RetryWait: 500 * time.Millisecond, EffectWait: 20 * time.Second,
		ReadLimit: 20 * time.Second, ActLimit: time.Minute, CallLimit: 2 * time.Minute, Sessions: 1000,
		Log: slog.New(slog.DiscardHandler)}
}

func (c Config) orDefaults() Config {
	d := Defaults()
	c.Concurrency = positive(c.Concurrency, d.Concurrency)
	c.Attempts = positive(c.Attempts, d.Attempts)
	c.RetryWait = positive(c.RetryWait, d.RetryWait)
	c.EffectWait = positive(c.EffectWait, d.EffectWait)
	c.ReadLimit = positive(c.ReadLimit, d.ReadLimit)
	c.ActLimit = positive(c.ActLimit, d.ActLimit)
	c.CallLimit = positive(c.CallLimit, d.CallLimit)
	c.Sessions = positive(c.Sessions, d.Sessions)
	if c.Log == nil {
		c.Log = d.Log
	}
	return c
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Driver speaks to any number of BMCs. Make it with New, end it with Close.
type Driver struct {
	cfg  Config
	salt []byte // keys the names under which connections are kept, so that no name tells of a password

	mu     sync.Mutex
	bmcs   map[string]*bmc          // guarded by mu
	places map[string]chan struct{} // guarded by mu; by address, see share
	closed bool                     // guarded by mu
}

// New makes a driver; zero values in c mean Defaults. It speaks to nobody yet.
func New(c Config) *Driver {
	salt := make([]byte, 32)
	rand.Read(salt)
	return &Driver{cfg: c.orDefaults(), salt: salt, bmcs: map[string]*bmc{}, places: map[string]chan struct{}{}}
}

// Validate checks driver_info without speaking to the BMC. The error is a fault.Invalid that names the key.
func (d *Driver) Validate(n *metal.Node) error {
	_, err := parseAccess(n, d.cfg.AllowUnverifiedTLS)
	return err
}

// call runs one capability against the node's BMC, under CallLimit. Doing completes the sentence "the BMC
// refuses to …".
func (d *Driver) call(ctx context.Context, n *metal.Node, doing string, f func(*call) error) error {
	a, err := parseAccess(n, d.cfg.AllowUnverifiedTLS)
	if err != nil {
		return err
	}
	b, err := d.bmc(a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.CallLimit)
	defer cancel()
	c := newCall(ctx, b, a.system, doing)
	return c.fault(f(c))
}
