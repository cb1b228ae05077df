package main

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"slices"

	"ingot/internal/cli"
	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/metal"
)

// pollConfig is the conductor's part of the configuration for agents that are only polled.
func (s *server) pollConfig(cc *conductor.Config) error {
	c := s.c
	cc.PollOnly, cc.PollInterval = c.Agent.PollOnly, cmp.Or(c.Agent.PollInterval, c.API.RamdiskHeartbeatTimeout)
	cc.AgentPort, cc.PollWorkers, cc.PollSlowWorkers = c.Agent.PollPort, c.Agent.PollWorkers, c.Agent.PollSlowWorkers
	var err error
	if cc.Listeners, err = s.listeners(); err != nil {
		return err
	}
	return checkPolling(c)
}

// checkPolling refuses a configuration that cannot boot what it says.
func checkPolling(c config.Config) error {
	if c.Agent.PollOnly && len(c.Deploy.BootHosts) == 0 {
		return cli.Hint(errors.New("[agent] poll_only needs [deploy] boot_hosts: a machine that must not reach this server fetches its boot ISO and its image from a boot host"),
			"run a server with --roles boot on the machines' network, and name it with boot_hosts = NAME=https://HOST:PORT; docs/guides/poll-only.md has all of it")
	}
	return nil
}

// withoutDoor are the roles of a server that was given none: where agents are only polled, nobody comes to their door.
func withoutDoor(r roles, c config.Config) roles {
	if !c.Agent.PollOnly {
		return r
	}
	return slices.DeleteFunc(slices.Clone(r), func(one role) bool { return one == roleAgentAPI })
}

// warnPolled says what of a server's roles does not fit agents that are only polled.
func (s *server) warnPolled() {
	switch {
	case !s.c.Agent.PollOnly:
	case s.roles.has(roleAgentAPI):
		s.log.Warn("agents are only polled, and the agents' door is open all the same: --roles names agent-api", "agents", s.doors.agentURL)
	default:
		s.log.Info("agents are only polled: the agents' door stays closed")
	}
	if s.c.Agent.PollOnly && s.roles.has(roleMetadata) {
		s.log.Warn("agents are only polled, and this server answers instances: leave that to boot hosts, or to config drives", "metadata", s.c.Metadata.Listen)
	}
	if s.c.Agent.PollOnly && s.roles.has(roleNetboot) {
		s.log.Warn("agents are only polled, and this server answers machines that boot from the network: leave that to boot hosts")
	}
}

// listeners are the URLs at which this server listens, and those at which others reach the control plane.
func (s *server) listeners() ([]string, error) {
	out := []string{s.doors.agentURL, s.doors.bootURL, s.doors.peerURL, s.c.AgentDoor.DoorURL, s.c.API.PublicEndpoint}
	for _, l := range []net.Listener{s.doors.api, s.doors.agent, s.doors.boot, s.doors.peer, s.doors.metrics} {
		if l == nil {
			continue
		}
		at, err := addressesAt(l.Addr().String())
		if err != nil {
			return nil, err
		}
		for _, one := range at {
			out = append(out, "https://"+one)
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" }), nil
}

// addressesAt are the addresses of a listener; of one on all addresses, those that this host has now.
func addressesAt(listen string) ([]string, error) {
	at, err := netip.ParseAddrPort(listen)
	if err != nil || !at.Addr().IsUnspecified() {
		return []string{listen}, nil //nolint:nilerr // it is no address of IP
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, netip.AddrPortFrom(p.Addr().WithZone(""), at.Port()).String())
		}
	}
	return out, nil
}

// examinePolling says whether this host's configuration fits agents that are only polled.
func examinePolling(c config.Config) []metal.Finding {
	if !c.Agent.PollOnly {
		return nil
	}
	const check = "polled agents"
	if err := checkPolling(c); err != nil {
		return []metal.Finding{wrong(metal.Fail, check, err.Error()+".", "Name a boot host; docs/guides/poll-only.md has all of it.")}
	}
	return []metal.Finding{fine(check, "Agents call nobody; machines fetch from %d boot hosts.", len(c.Deploy.BootHosts))}
}
