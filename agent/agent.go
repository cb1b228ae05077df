// Package agent is the life of the agent once the machine has a network: find out which node this is, set
// the clock, serve commands over TLS, tell the control plane where, until told to stop.
//
// It joins the rooms below it and has no knowledge of its own of disks, HTTP shapes or timing. What is
// particular to being the first process of a ramdisk is agent/system and cmd/ingot-agent, its only caller
// beside tests. An agent that is only polled, or was named no control plane, asks nobody and tells nobody: it serves
// commands from its first moment on, whether it has an address yet or not. Rules of order are those of the agent protocol reference §3 to §5: heartbeats never begin
// before the commands API listens; the callback URL and the certificate never change while a token lives.
package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"time"

	"ingot/agent/heartbeat"
	"ingot/agent/inventory"
	"ingot/agent/server"
	"ingot/agent/steps"
	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

const (
	minToken = 32
	// clockSlack is how far the clock may be off before it is set: less is the network's delay.
	clockSlack = 2 * time.Second
	// addressTries and addressWait are how long an address that faces the control plane may take to appear.
	// Source: agent protocol reference §3.1.
	addressTries = 6
	addressWait  = 10 * time.Second
)

// What ends an agent, beside its context. After both the machine's NICs are to be taken down.
var (
	// ErrLockdown: the conductor asked for it.
	ErrLockdown = errors.New("locked down by the conductor")
	// ErrTokenTaken: this boot has no token and the control plane gave it to somebody already.
	ErrTokenTaken = errors.New("the agent token was given to somebody else before: this machine may be impersonated")
)

// ErrRescued: the machine is its tenant's now. Its network stays, and no agent serves again in this boot.
var ErrRescued = errors.New("the machine was handed over for rescue")

// Config is what an agent is made of.
type Config struct {
	Boot    agentapi.BootConfig // PollOnly, or APIURL empty: nobody is told, commands are served all the same
	Machine inventory.Machine
	Listen  string // host:port of the commands API
	// Advertise is the address the conductor reaches us by; zero: the one that faces the control plane.
	Advertise netip.Addr
	Version   string
	// SetClock sets the machine's clock; nil leaves it alone.
	SetClock func(time.Time) error
	// Linger is how long a machine that was handed over tells so to a conductor that has heard it; 0: 10 s.
	Linger time.Duration
	// Steps is what commands work with. What follows from Boot, Lockdown and Log are filled in here.
	Steps steps.Config
	Log   *slog.Logger
}

// identity is what the lookup, or its absence, made of us.
type identity struct {
	node      agentapi.Node
	token     secret.Secret
	heartbeat time.Duration
	caller    *agentapi.Caller // nil: nobody to tell
}

// Run lives until ctx ends (nil), or one of this package's errors, or a failure to look up or to listen.
func Run(ctx context.Context, c Config) error {
	id, err := c.identify(ctx)
	if err != nil {
		return err
	}
	if id.caller != nil {
		defer id.caller.Close()
	}
	own, err := c.presence(ctx, id.caller)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	base := url.URL{Scheme: "https", Host: l.Addr().String()}
	if own.address.IsValid() {
		base.Host = net.JoinHostPort(own.address.String(), port)
	}

	life, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beating, still := context.WithCancel(life)
	defer still()
	heart := heartbeat.New(id.heartbeat, c.Log, func(ctx context.Context) error {
		return id.caller.Heartbeat(ctx, id.node.UUID, agentapi.Heartbeat{CallbackURL: base.String(),
			AgentToken: id.token.Expose(), AgentVersion: c.Version, AgentVerifyCA: own.pem})
	})
	table := steps.New(c.work(id, func() { stop(ErrLockdown) }), id.node)
	commands := server.New(ctx, server.Config{Token: id.token, Version: c.Version, Log: c.Log, Ended: heart.Force,
		Client: own.client, Final: still, Linger: c.Linger, Commands: table.Commands()})

	c.Log.Info("agent serves commands", "url", base.String(), "node", id.node.UUID, "role", string(c.Boot.Role), "one_client", own.client != nil)
	var aside sync.WaitGroup
	aside.Go(func() { table.SettleDisks(life) })
	if id.caller != nil {
		aside.Go(func() { heart.Run(beating) })
	}
	err = commands.Serve(life, l, &own.cert)
	stop(nil)
	aside.Wait()
	switch {
	case commands.Finished(): // whatever ended it: what was handed over stays so
		return errors.Join(ErrRescued, err)
	case err == nil && errors.Is(context.Cause(life), ErrLockdown):
		return ErrLockdown
	}
	return err
}

// work is what commands work with in this boot.
func (c Config) work(id identity, lockdown func()) steps.Config {
	w := c.Steps
	w.Machine, w.Log, w.Role, w.Lockdown = c.Machine, c.Log, c.Boot.Role, lockdown
	w.Hide = []secret.Secret{id.token, secret.New(c.Boot.AgentToken)}
	w.Standalone = id.caller == nil
	w.Clock = func(stated string) { c.setClock(stated, time.Time{}) }
	return w
}

// presence is how this agent is met: where, with which certificate, and by whom.
type presence struct {
	address netip.Addr // invalid: nobody is told, so nobody need know
	cert    tls.Certificate
	pem     string
	client  *agentapi.Certificate // nil: whoever has the token
}

func (c Config) presence(ctx context.Context, caller *agentapi.Caller) (p presence, err error) {
	if c.Boot.Client != "" {
		one, err := agentapi.ParseCertificate(c.Boot.Client)
		if err != nil {
			return p, fmt.Errorf("the boot's client: %w", err)
		}
		p.client = &one
	}
	p.address = c.Advertise
	if caller != nil {
		if p.address, err = c.address(ctx, caller); err != nil {
			return p, err
		}
	}
	if c.Boot.Certificate != "" || c.Boot.Key != "" {
		if p.cert, err = tls.X509KeyPair([]byte(c.Boot.Certificate), []byte(c.Boot.Key)); err != nil {
			return p, errors.New("the boot's certificate and key are not a pair") // the cause may hold the key
		}
		p.pem = c.Boot.Certificate
		return p, nil
	}
	host, err := os.Hostname()
	if err != nil {
		host = "ingot-agent"
	}
	made, text, err := server.Certificate(p.address, host, time.Now())
	if err != nil {
		return p, err
	}
	p.cert, p.pem = *made, text
	return p, nil
}

// identify asks the control plane who we are, and sets the clock by it.
func (c Config) identify(ctx context.Context) (identity, error) {
	own := secret.New(c.Boot.AgentToken)
	if c.Boot.PollOnly || c.Boot.APIURL == "" {
		c.Log.Info("commands are served and nobody is told", "poll_only", c.Boot.PollOnly)
		return identity{token: own, node: agentapi.Node{UUID: c.Boot.NodeUUID}}, nil
	}
	caller, err := agentapi.NewCaller(c.Boot.APIURL, c.Boot.CA)
	if err != nil {
		return identity{}, fmt.Errorf("control plane: %w", err)
	}
	type found struct {
		agentapi.LookupAnswer
		date time.Time
	}
	answer, err := heartbeat.Find(ctx, c.Log, func(ctx context.Context) (found, error) {
		nics, err := c.Machine.Interfaces() // each time: a NIC may have come since
		if err != nil {
			return found{}, err
		}
		q := agentapi.LookupQuery{NodeUUID: c.Boot.NodeUUID, Token: own}
		for _, n := range nics {
			q.Addresses = append(q.Addresses, n.MACAddress)
		}
		a, date, err := caller.Lookup(ctx, q)
		return found{a, date}, err
	})
	if err != nil {
		caller.Close()
		return identity{}, err
	}
	c.setClock(answer.Config.Time, answer.date)
	token, err := chooseToken(own, answer.Config.AgentToken)
	if err != nil {
		caller.Close()
		return identity{}, err
	}
	c.Log.Info("node found", "node", answer.Node.UUID, "heartbeat_timeout", answer.Config.HeartbeatTimeout)
	return identity{node: answer.Node, token: token, caller: caller,
		heartbeat: time.Duration(answer.Config.HeartbeatTimeout) * time.Second}, nil
}

// chooseToken follows the reference's §5.1. Without any token every command will be refused.
func chooseToken(own secret.Secret, answered string) (secret.Secret, error) {
	switch {
	case !own.Empty():
		return own, nil
	case answered == secret.Mask:
		return secret.Secret{}, ErrTokenTaken
	case len(answered) >= minToken:
		return secret.New(answered), nil
	}
	return secret.Secret{}, nil
}

// setClock takes the control plane's own word before the Date of its HTTP server. A clock that cannot be
// set is no reason to give up: the certificate has an hour's slack.
func (c Config) setClock(stated string, date time.Time) {
	when, err := time.Parse(time.RFC3339, stated)
	if err != nil {
		when = date
	}
	if c.SetClock == nil || when.IsZero() || time.Since(when).Abs() < clockSlack {
		return
	}
	off := time.Since(when)
	if err := c.SetClock(when); err != nil {
		c.Log.Warn("clock not set", "error", err)
		return
	}
	c.Log.Info("clock set from the control plane", "was_off_by", off.Round(time.Second))
}

// address is what the conductor reaches us by.
func (c Config) address(ctx context.Context, caller *agentapi.Caller) (netip.Addr, error) {
	if c.Advertise.IsValid() {
		return c.Advertise, nil
	}
	for try := 1; ; try++ {
		if a, ok := c.look(ctx, caller); ok {
			return a, nil
		}
		if try == addressTries {
			return netip.Addr{}, errors.New("this machine has no address that the conductor could reach")
		}
		t := time.NewTimer(addressWait)
		select {
		case <-ctx.Done():
			t.Stop()
			return netip.Addr{}, ctx.Err()
		case <-t.C:
		}
	}
}

func (c Config) look(ctx context.Context, caller *agentapi.Caller) (netip.Addr, bool) {
	for _, base := range caller.Bases() {
		port := base.Port()
		if port == "" {
			port = "80" // no packet is sent: any port will do
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(base.Hostname(), port))
		if err != nil {
			c.Log.Debug("no route to the control plane", "host", base.Host, "error", err)
			continue
		}
		local, err := netip.ParseAddrPort(conn.LocalAddr().String())
		if closeErr := conn.Close(); err != nil || closeErr != nil {
			continue
		}
		if a := local.Addr().Unmap(); !a.IsLinkLocalUnicast() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// DefaultListen is the commands API's address: every address of the machine, the protocol's port.
const DefaultListen = ":9999"
