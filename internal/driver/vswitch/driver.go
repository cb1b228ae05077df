package vswitch

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/seed"
)

// Driver is the network interface vswitch.
type Driver struct {
	config Config
	names  metal.NetworkNames
	client *client // nil without a URL
	log    *slog.Logger
}

// New makes the driver. Files that cannot be read are an error; the switch is not asked. Without a URL each call is
// refused with a sentence that says so.
func New(c Config, log *slog.Logger) (*Driver, error) {
	d := &Driver{config: c, names: c.Names(), log: log}
	if c.URL == "" {
		return d, nil
	}
	var err error
	d.client, err = newClient(c)
	return d, err
}

// Close ends connections that wait for use.
func (d *Driver) Close() {
	if d.client != nil {
		d.client.http.CloseIdleConnections()
	}
}

// begin is how each call begins.
func (d *Driver) begin(n *metal.Node, w metal.Wiring) ([]nic, error) {
	if d.client == nil {
		return nil, fault.New(fault.Unavailable, "Node %s has the network interface vswitch, and this server has no switch API: set [vswitch] url.", n.UUID)
	}
	return nics(n, w)
}

// CheckNetwork implements conductor.Network.
func (d *Driver) CheckNetwork(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (warnings []string, err error) {
	list, err := d.begin(n, w)
	if err != nil {
		return nil, err
	}
	aims, err := d.aims(n, w, list, role)
	if err != nil {
		return nil, err
	}
	if err := d.known(ctx, n, aims, role); err != nil {
		return nil, err
	}
	if _, err := d.read(ctx, n, list); err != nil {
		return nil, err
	}
	if unwise := d.names.RescueWarning(n); role == metal.RescuingNetwork && unwise != "" {
		warnings = append(warnings, unwise)
	}
	return warnings, nil
}

// known checks that the switch has the networks of the aims, and those of a tenant for tenants.
func (d *Driver) known(ctx context.Context, n *metal.Node, aims map[socket]setting, role metal.NetworkRole) error {
	networks, err := d.client.networks(ctx)
	if err != nil {
		return err
	}
	for _, to := range aims {
		if to.network == "" {
			continue
		}
		if role == metal.TenantNetwork && to != d.idle(n) {
			if err := d.tenants(n, networks, to.network); err != nil {
				return err
			}
			continue
		}
		if !slices.ContainsFunc(networks, func(x network) bool { return x.Name == to.network }) {
			return fault.New(fault.Invalid, "The switch has no network %q, which node %s should be on for %s.", to.network, n.UUID, role)
		}
	}
	return nil
}

// tenants refuses a network that is not for tenants.
func (d *Driver) tenants(n *metal.Node, networks []network, vif string) error {
	operators := vif == d.config.IdleNetwork
	for _, role := range metal.NetworkRoles {
		operators = operators || d.names.Of(n, role) == vif
	}
	if operators || !slices.ContainsFunc(networks, func(x network) bool { return x.Name == vif && x.Tenant }) {
		return fault.New(fault.Invalid, "The switch has no tenant network %q: the id of a VIF is the name of one.", clean(vif))
	}
	return nil
}

// Plug implements conductor.Network.
func (d *Driver) Plug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, string, error) {
	list, err := d.begin(n, w)
	if err != nil {
		return nil, "", err
	}
	aims, err := d.aims(n, w, list, role)
	if err != nil {
		return nil, "", err
	}
	if role == metal.TenantNetwork {
		if err := d.known(ctx, n, aims, role); err != nil {
			return nil, "", err
		}
	}
	// Noted whatever becomes of it: what a way back could not take back is found by the name it had.
	notes := metal.Notes{}
	for _, p := range list {
		if to := aims[p.at]; role != metal.TenantNetwork && to != d.idle(n) {
			notes.Note(p.UUID, role.VIFKey(), to.network)
		}
	}
	waiting, err := d.reach(ctx, n, list, aims)
	return notes, waiting, err
}

// reach leads ports to their aims.
func (d *Driver) reach(ctx context.Context, n *metal.Node, list []nic, aims map[socket]setting) (waiting string, err error) {
	states, err := d.read(ctx, n, list)
	if err != nil {
		return "", err
	}
	changes := plan(list, states, aims)
	if len(changes) > 0 {
		if waiting, err = d.carryOut(ctx, n, changes); err != nil {
			return "", err
		}
	}
	if w, err := unfinished(list, states, aims, changes); err != nil || waiting == "" {
		return w, err
	}
	return waiting, nil
}

// unfinished looks at the ports that were set before, and that the switch may still be at.
func unfinished(list []nic, states map[socket]portState, aims map[socket]setting, changes []change) (waiting string, err error) {
	for _, p := range list {
		to, have := aims[p.at]
		if !have || slices.ContainsFunc(changes, func(c change) bool { return c.at == p.at }) {
			continue
		}
		c := change{at: p.at, to: to}
		switch state := states[p.at]; state.State {
		case failed:
			return "", fault.New(fault.Unavailable, "The switch could not %s: %s", c, state.Message)
		case pending:
			waiting = "the switch has not yet finished to " + c.String()
		}
	}
	return waiting, nil
}

// Unplug implements conductor.Network.
func (d *Driver) Unplug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error) {
	list, err := d.begin(n, w)
	if err != nil {
		return nil, err
	}
	states, err := d.read(ctx, n, list)
	if err != nil {
		return nil, err
	}
	aims := map[socket]setting{}
	notes := metal.Notes{}
	for _, p := range list {
		noted, _ := p.InternalInfo[role.VIFKey()].(string)
		if d.isOn(n, p, states[p.at].network(), role, noted) {
			aims[p.at] = d.idle(n)
		}
		if noted != "" && role != metal.TenantNetwork {
			notes.Note(p.UUID, role.VIFKey(), "")
		}
	}
	if err := d.leave(ctx, n, list, aims); err != nil {
		return nil, err // the notes stay until every port has left: by them it is found again
	}
	return notes, nil
}

// isOn tells whether a port that is on a network is there for a role: for a tenant's, whatever is no network of the
// operator's, since the VIF may have been another.
func (d *Driver) isOn(n *metal.Node, p nic, network string, role metal.NetworkRole, noted string) bool {
	if network == "" {
		return false
	}
	if role != metal.TenantNetwork {
		return network == noted || network == d.names.Of(n, role)
	}
	for _, r := range metal.NetworkRoles {
		kept, _ := p.InternalInfo[r.VIFKey()].(string)
		if r != metal.TenantNetwork && (network == kept || network == d.names.Of(n, r)) {
			return false
		}
	}
	return network != d.config.IdleNetwork
}

// leave leads ports off a network: they must have left when it returns. A port that has left stays where it is when
// another fails, for isolated is the safe half; the next call goes on with what is left.
func (d *Driver) leave(ctx context.Context, n *metal.Node, list []nic, aims map[socket]setting) error {
	states, err := d.read(ctx, n, list)
	if err != nil {
		return err
	}
	changes := plan(list, states, aims)
	waiting, err := d.isolate(ctx, n, changes)
	if before, other := unfinished(list, states, aims, changes); waiting == "" {
		waiting, err = before, errors.Join(err, other)
	}
	if err == nil && waiting != "" {
		err = fault.New(fault.Unavailable, "%s: it is not known whether the machine still reaches its network.", waiting)
	}
	return err
}

// AttachVIF implements conductor.Network.
func (d *Driver) AttachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string, live bool) error {
	list, err := d.begin(n, w)
	if err != nil {
		return err
	}
	networks, err := d.client.networks(ctx)
	if err != nil {
		return err
	}
	if err := d.tenants(n, networks, vif); err != nil {
		return err
	}
	aims := map[socket]setting{}
	for _, p := range list {
		if vifOf(w, p.Port) == vif {
			aims[p.at] = setting{vif, n.UUID}
		}
	}
	if !live {
		_, err := d.read(ctx, n, list)
		return err
	}
	before, err := d.read(ctx, n, list)
	if err != nil {
		return err
	}
	waiting, err := d.reach(ctx, n, list, aims)
	if err == nil && waiting != "" { // nobody looks again: a VIF that was refused must not come about later
		err = d.abandon(ctx, n, list, before, aims, waiting)
	}
	return err
}

// abandon sets the ports of aims back to what they were, though the switch may not have finished to change them.
func (d *Driver) abandon(ctx context.Context, n *metal.Node, list []nic, before map[socket]portState, aims map[socket]setting, waiting string) error {
	back := map[socket]setting{}
	for at := range aims {
		back[at] = setting{before[at].network(), before[at].Owner}
	}
	cause := fault.New(fault.Unavailable, "%s, and was told to leave it: attach the VIF again when it answers faster, or raise [vswitch] apply_timeout.", strings.ToUpper(waiting[:1])+waiting[1:])
	if _, err := d.reach(ctx, n, list, back); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// DetachVIF implements conductor.Network.
func (d *Driver) DetachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string) error {
	list, err := d.begin(n, w)
	if err != nil {
		return err
	}
	states, err := d.read(ctx, n, list)
	if err != nil {
		return err
	}
	aims := map[socket]setting{}
	for _, p := range list {
		if vifOf(w, p.Port) == vif && states[p.at].network() == vif {
			aims[p.at] = d.idle(n)
		}
	}
	return d.leave(ctx, n, list, aims)
}

// PhysicalNetworks implements conductor.Network: a logical network is wherever its switch is.
func (d *Driver) PhysicalNetworks(context.Context, *metal.Node, string) ([]string, error) {
	return nil, nil
}

// Describe implements conductor.Network: a switch knows no addresses, and so nothing to tell.
func (d *Driver) Describe(context.Context, *metal.Node, metal.Wiring) ([]seed.VIF, error) {
	return nil, nil
}

// Addresses implements conductor.Network: a switch knows none.
func (d *Driver) Addresses(context.Context, *metal.Node, string, metal.NetworkRole) ([]netip.Addr, error) {
	return nil, nil
}
