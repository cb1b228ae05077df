package conductor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// maxDoors is at how many addresses one machine is looked for at a time.
const maxDoors = 8

// oldRamdisk is what an agent is told of that knows no commands for being polled.
const oldRamdisk = "ramdisk too old for poll_only: rebuild it"

// subject is whom a poll is about.
type subject struct {
	node  *metal.Node
	ports []*metal.Port
	agent *store.Agent
	role  metal.NetworkRole
	hw    Part
}

// about reads whom a row is about; nil if its boot is over.
func (p *poller) about(ctx context.Context, row *store.Poll) (*subject, error) {
	var s subject
	err := p.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		if s.node, err = tx.NodeByID(row.NodeID); err != nil {
			return err
		}
		if s.ports, err = tx.PortsOf(row.NodeID); err != nil {
			return err
		}
		if s.agent, err = tx.Agent(s.node); err != nil {
			return err
		}
		live, err := tx.LiveOperation(row.NodeID)
		if live != nil {
			s.role = networkRole(metal.Plan(live.Plan))
		}
		return err
	})
	if err != nil || s.agent == nil || s.agent.Boot != row.Boot {
		return nil, err
	}
	hw, _ := p.c.hardware[s.node.Driver].Of(s.node)
	s.hw = hw.Part
	return &s, nil
}

// meet looks for the agent of a boot where its machine may be, and tells it which node it is. known is the address of one
// that was met before; nil: wherever the machine may be.
func (p *poller) meet(ctx context.Context, a *polled, known *netip.AddrPort) {
	s, err := p.about(ctx, a.row)
	if err != nil || s == nil {
		a.err = errors.Join(err, errOver)
		return
	}
	var doors []netip.AddrPort
	for _, w := range p.where.of(ctx, p, s) {
		doors = append(doors, netip.AddrPortFrom(w.Addr, uint16(p.c.config.AgentPort))) //nolint:gosec // the configuration has it in range
	}
	if known != nil {
		doors = []netip.AddrPort{*known}
	}
	if len(doors) == 0 {
		a.err = errNowhere
		return
	}
	if len(doors) > maxDoors { // more than a machine has: none is left out every time
		rand.Shuffle(len(doors), func(i, j int) { doors[i], doors[j] = doors[j], doors[i] })
		doors = doors[:maxDoors]
	}
	agent, url, certificate, err := p.first(ctx, a, s, doors)
	if err != nil {
		a.err = err
		return
	}
	if err := p.hand(ctx, a.row, s, agent); err != nil {
		agent.Close()
		a.err = err
		return
	}
	p.acquaint(a.row, agent, url)
	a.met = &met{url: url, certificate: certificate, again: !s.agent.LastHeartbeat.IsZero()}
	a.pace = p.c.config.PollInterval // what the operation awaits next is another wait
}

// errNowhere: nobody knows an address.
var errNowhere = fault.New(fault.Unavailable, "no address of the machine is known yet")

// first knocks at all doors at once and gives the first agent that is the right one. Where none is, the error is the one
// that tells most.
func (p *poller) first(ctx context.Context, a *polled, s *subject, doors []netip.AddrPort) (*agentapi.Client, string, string, error) {
	type answer struct {
		door        netip.AddrPort
		agent       *agentapi.Client
		certificate string
		err         error
	}
	knock, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(doors))
	for _, door := range doors {
		p.work.Go(func() {
			got := answer{door: door}
			got.err = p.guarded(func() (err error) {
				got.agent, got.certificate, err = p.greet(knock, s, door)
				return err
			})
			answers <- got
		})
	}
	var worst error
	for i := range doors {
		got := <-answers
		if got.err == nil {
			rest := len(doors) - i - 1
			p.work.Go(func() { // those that come too late are shown out
				for range rest {
					if late := <-answers; late.agent != nil {
						late.agent.Close()
					}
				}
			})
			a.at = got.door.String()
			return got.agent, "https://" + got.door.String(), got.certificate, nil
		}
		if worst == nil || telling(got.err) > telling(worst) {
			worst, a.at = got.err, got.door.String()
		}
	}
	return nil, "", "", worst
}

// telling is how much an error says about the machine that is looked for.
func telling(err error) int {
	var no *refusal
	switch {
	case errors.As(err, &no) && no.final:
		return 3
	case errors.As(err, &no):
		return 2
	case !errors.Is(err, context.DeadlineExceeded):
		return 1
	}
	return 0
}

// greet connects to whoever listens at an address and sees whether it is the agent of this boot on the machine of this
// node. A machine that is not learns nothing, not even the token of the boot: see docs/decisions/0048-who-trusts-whom-when-polled.md.
func (p *poller) greet(ctx context.Context, s *subject, door netip.AddrPort) (agent *agentapi.Client, certificate string, err error) {
	url := "https://" + door.String()
	knock, cancel := context.WithTimeout(ctx, knockLimit)
	defer cancel()
	certificate, err = p.c.shownBy(knock, s.agent, url)
	if err != nil {
		return nil, "", refused(err, door)
	}
	with, stranger := *s.agent, s.agent.VerifyCA == ""
	if stranger { // it is asked without the token: our agent tells the commander what its machine is made of
		with.VerifyCA, with.Token = certificate, secret.Secret{}
	}
	if agent, err = p.client(&with, url); err != nil {
		return nil, "", err
	}
	if err = p.recognise(ctx, s, agent, door); err != nil {
		agent.Close()
		return nil, "", refused(err, door)
	}
	if stranger {
		agent.Close()
		with.Token = s.agent.Token
		agent, err = p.client(&with, url)
	}
	return agent, with.VerifyCA, err
}

// recognise compares what the machine is made of with what the node's is.
func (p *poller) recognise(ctx context.Context, s *subject, agent *agentapi.Client, door netip.AddrPort) error {
	call, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	res, err := agent.Run(call, agentapi.CommandHardwareInfo, struct{}{}, true)
	switch {
	case unknownCommand(err):
		return &refusal{text: oldRamdisk, final: true}
	case err != nil:
		return err
	case res.CommandError != nil:
		return fault.Wrap(fault.Unavailable, res.CommandError, "the agent cannot tell what its machine is made of: %s", res.CommandError.Error())
	}
	inv, err := agentapi.ParseInventory(res.CommandResult)
	if err != nil {
		return err
	}
	differs, others, err := p.differs(ctx, s, inv)
	if err == nil && differs != "" {
		err = &refusal{text: fmt.Sprintf("The machine at %s is another one, and was told nothing: %s.", door, differs), others: others}
	}
	return err
}

// differs says in what a machine is not the node's; "" if it is: it has every NIC that is a port of the node, and none that is
// another node's. others are the nodes whose it has; who may see this node need not know them.
func (p *poller) differs(ctx context.Context, s *subject, inv agentapi.Inventory) (text string, others []string, err error) {
	var macs, missing, foreign, whose []string
	for _, i := range inv.Interfaces {
		if mac, ok := agentapi.MAC(i.MACAddress); ok && !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
	}
	for _, port := range s.ports {
		if mac := strings.ToLower(port.Address); !slices.Contains(macs, mac) {
			missing = append(missing, mac)
		}
	}
	owners := map[string]string{}
	err = p.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		owners, err = tx.PortOwners(macs)
		return err
	})
	if err != nil {
		return "", nil, err
	}
	for _, mac := range macs {
		if owner := owners[mac]; owner != "" && owner != s.node.UUID {
			foreign, whose = append(foreign, mac), append(whose, owner)
		}
	}
	var words []string
	if len(missing) > 0 {
		words = append(words, "it lacks the node's "+strings.Join(missing, ", "))
	}
	if len(foreign) > 0 {
		words = append(words, "it has "+strings.Join(foreign, ", ")+" of another node's ports")
	}
	return strings.Join(words, " and "), whose, nil
}

// hand gives the agent what a lookup would have told it. It is given under the lease: no other conductor does at the same time.
func (p *poller) hand(ctx context.Context, row *store.Poll, s *subject, agent *agentapi.Client) error {
	holds := false
	err := p.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		holds, err = tx.HoldsPoll(row)
		return err
	})
	if err != nil || !holds {
		return errors.Join(err, errOver)
	}
	told := agentapi.LookupAnswer{Node: store.AgentNode(s.node), Config: agentapi.LookupConfig{HeartbeatTimeout: max(1, int(p.c.config.PollInterval/time.Second)),
		AgentToken: secret.Mask, AgentTokenRequired: true, Time: time.Now().UTC().Format(time.RFC3339), PermittedFormats: p.c.config.ImageRules.Told()}}
	call, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	params := map[string]any{"node_info": told}
	res, err := agent.Run(call, agentapi.CommandNodeInfo, params, true)
	if unknownCommand(err) { // upstream's name of it
		res, err = agent.Run(call, agentapi.CommandSetNodeInfo, params, true)
	}
	switch {
	case unknownCommand(err):
		return &refusal{text: oldRamdisk, final: true}
	case err != nil:
		return err
	case res.CommandError != nil:
		return fault.Wrap(fault.Unavailable, res.CommandError, "the agent does not take in what its node is: %s", res.CommandError.Error())
	}
	return nil
}

// unknownCommand tells whether an agent does not have a command: neither its extension nor its name. Source: agent protocol
// reference §6.
func unknownCommand(err error) bool {
	return fault.KindOf(err) == fault.Invalid || fault.KindOf(err) == fault.NotFound
}

// refused makes errors that tell of a wrong machine or boot, and not of a bad network, ones that people are told.
func refused(err error, door netip.AddrPort) error {
	switch {
	case errors.Is(err, agentapi.ErrCertificate):
		return &refusal{text: fmt.Sprintf("The machine at %s was told nothing: its certificate is not that of this boot. It runs the ramdisk of another boot, or is another machine.", door)}
	case errors.Is(err, agentapi.ErrRefused):
		return &refusal{text: fmt.Sprintf("The agent at %s refused the certificate of this boot's commander: it runs the ramdisk of another boot.", door)}
	case fault.KindOf(err) == fault.Forbidden:
		return &refusal{text: fmt.Sprintf("The agent at %s refused the commander of this boot: it runs the ramdisk of another boot, or one too old for poll_only, which must be rebuilt.", door)}
	}
	return err
}
