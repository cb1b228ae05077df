package fake

import (
	"context"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// change is a power change that was asked for. The node's record is the state of a fake machine: a change counts until
// the record is another than it was, for then somebody has recorded this one, or has asked for a later one.
type change struct {
	was, to metal.Power
	at      time.Time // when the machine is there
}

// Power tells the state: what is recorded, or what was asked for since, once the machine has had its time. A machine of
// which nothing is recorded is off.
func (d *Driver) Power(ctx context.Context, n *metal.Node) (metal.Power, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.power(n), nil
}

// power needs the lock.
func (d *Driver) power(n *metal.Node) metal.Power {
	c, asked := d.changes[n.UUID]
	switch {
	case asked && c.was != n.PowerState:
		delete(d.changes, n.UUID)
	case asked && !time.Now().Before(c.at):
		return c.to
	}
	if n.PowerState != metal.PowerOn {
		return metal.PowerOff
	}
	return metal.PowerOn
}

// SetPower begins a change, which takes the delay of power; PowerOn, PowerOff and SoftPowerOff are known, others are
// fault.Invalid. To ask again does not make it take longer.
func (d *Driver) SetPower(ctx context.Context, n *metal.Node, want metal.Power) error {
	to := map[metal.Power]metal.Power{metal.PowerOn: metal.PowerOn, metal.PowerOff: metal.PowerOff, metal.SoftPowerOff: metal.PowerOff}[want]
	if to == "" {
		return fault.New(fault.Invalid, "%q is not a power state to ask a machine for", string(want))
	}
	err := d.change(ctx, n, func(m *machine) {
		is := d.power(n)
		if is == metal.PowerOff && to == metal.PowerOn {
			m.enforced = m.secure
			if !m.boot.Persistent {
				m.boot = fresh.boot // an override for one boot is used up by it
			}
		}
		if c, asked := d.changes[n.UUID]; !asked || c.to != to {
			d.changes[n.UUID] = change{was: n.PowerState, to: to, at: time.Now().Add(d.delays[Power].draw())}
		}
	})
	return err
}
