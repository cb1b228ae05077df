package conductor

import (
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// Who trusts whom where agents are only polled. An agent that calls has our certificate on its boot medium, and tells its own
// under a token that only it has. One that is only polled must know who may command it, and we whom we command, before the
// first word: so each boot has two key pairs of its own, and each side compares the other's certificate whole. What was made
// for an earlier boot, or by another conductor, is refused. See docs/decisions/0048-who-trusts-whom-when-polled.md.

const (
	// pairSlack is how far the clock of a machine, or of another conductor, may be off.
	pairSlack = 24 * time.Hour
	// pairLife is how long a machine may be held in its ramdisk after it booted. Source: as an agent's own certificate,
	// agent protocol reference §5.2.
	pairLife = 30 * 24 * time.Hour
)

// newAgent is the agent of a new boot, whose medium carries its token. With own, the medium is of this boot alone and can
// carry the agent's key too.
func (c *Conductor) newAgent(n *metal.Node, boot string, polled, own bool) (*store.Agent, error) {
	a := &store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: boot, Token: store.NewToken(), Pregenerated: true, PollOnly: polled}
	if !a.PollOnly {
		return a, nil
	}
	from, until := time.Now().Add(-pairSlack), time.Now().Add(c.config.longestCallback()+pairLife+pairSlack)
	var err error
	if a.Commander, err = agentapi.NewPair("commander of "+n.UUID, from, until); err != nil || !own {
		return a, err
	}
	agent, err := agentapi.NewPair("agent of "+n.UUID, from, until)
	a.VerifyCA, a.AgentKey = agent.Certificate, agent.Key
	return a, err
}

// agentClient is a client of the agent that a node's row describes, at url.
func (c *Conductor) agentClient(a *store.Agent, url string) (*agentapi.Client, error) {
	if a.Commander.Empty() {
		return agentapi.NewClient(url, a.Token, a.VerifyCA)
	}
	mine, err := a.Commander.TLS()
	if err != nil {
		return nil, err
	}
	return agentapi.NewPinnedClient(url, a.Token, agentapi.Pin{Agent: a.VerifyCA, Client: &mine})
}

// checkPolled says why a node's agent cannot be only polled, if it is to be, before its machine is touched. iso is the node's
// own that it would boot.
func (c *Conductor) checkPolled(n *metal.Node, hw Part, polled bool, iso string) error {
	if _, err := metal.PollOnly(n, polled); err != nil || !polled {
		return err
	}
	const orNot = ", or set driver_info " + metal.PollOnlyKey + " of the node to false"
	switch {
	case c.pusher == nil:
		return fault.New(fault.Invalid, "node %s is only polled, and its machine must reach no server of the control plane, so all that it fetches comes from a boot host: name one in [deploy] boot_hosts"+orNot, n.UUID)
	case hw.ByHand:
		return fault.New(fault.Invalid, "node %s is only polled, and a machine that is booted by hand has nothing that says whom to trust: use a boot interface that boots it"+orNot, n.UUID)
	case iso != "":
		return fault.New(fault.Invalid, "node %s is only polled, and its own ISO in driver_info (deploy_iso, or rescue_iso) carries no key of this boot, so nothing would say whom to trust: remove it"+orNot, n.UUID)
	}
	return nil
}

// polledConfig makes of what a boot is given what one is given whose agent is only polled: nobody to call, and who may
// command it.
func polledConfig(b agentapi.BootConfig, a *store.Agent) agentapi.BootConfig {
	b.APIURL, b.CA, b.PollOnly, b.Client = "", "", true, a.Commander.Certificate
	if !a.AgentKey.Empty() {
		b.Certificate, b.Key = a.VerifyCA, a.AgentKey.Expose()
	}
	return b
}

// tryConfig is what a boot of the node would be given, for checks.
func (c *Conductor) tryConfig(n *metal.Node) (agentapi.BootConfig, string, error) {
	polled, err := metal.PollOnly(n, c.config.PollOnly)
	if err != nil {
		return agentapi.BootConfig{}, "", err
	}
	a, err := c.newAgent(n, "", polled, true)
	if err != nil {
		return agentapi.BootConfig{}, "", err
	}
	return c.bootConfig(n, a)
}
