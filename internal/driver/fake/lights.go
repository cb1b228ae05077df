package fake

import (
	"context"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// lights are the indicators of a fake machine; all are on until told otherwise.
// Source: OpenStack Ironic, ironic/drivers/modules/fake.py.
var lights = []metal.Indicator{
	{Component: "chassis", Name: "led-0", ReadOnly: true, States: []string{"off", "on"}},
	{Component: "system", Name: "led", States: []string{"blinking", "off", "on"}},
}

// Indicators lists the lights.
func (d *Driver) Indicators(ctx context.Context, _ *metal.Node) ([]metal.Indicator, error) {
	out := slices.Clone(lights)
	for i := range out {
		out[i].States = slices.Clone(out[i].States)
	}
	return out, ctx.Err()
}

// Indicator tells the state of a light.
func (d *Driver) Indicator(ctx context.Context, n *metal.Node, id string) (string, error) {
	if _, err := lightOf(id); err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.lit[n.UUID][id]; s != "" {
		return s, ctx.Err()
	}
	return "on", ctx.Err()
}

// SetIndicator switches a light that is not read-only.
func (d *Driver) SetIndicator(ctx context.Context, n *metal.Node, id, state string) error {
	l, err := lightOf(id)
	switch {
	case err != nil:
		return err
	case l.ReadOnly:
		return fault.New(fault.Invalid, "the indicator %s is read-only", id)
	case !slices.Contains(l.States, state):
		return fault.New(fault.Invalid, "the indicator %s has no state %q: use one of %v", id, state, l.States)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lit[n.UUID] == nil {
		d.lit[n.UUID] = map[string]string{}
	}
	d.lit[n.UUID][id] = state
	return nil
}

func lightOf(id string) (metal.Indicator, error) {
	for _, l := range lights {
		if l.ID() == id {
			return l, nil
		}
	}
	return metal.Indicator{}, fault.New(fault.Invalid, "there is no indicator %q: there are led-0@chassis and led@system", id)
}

// StartConsole has nothing to start: a fake machine prints nothing.
func (d *Driver) StartConsole(ctx context.Context, _ *metal.Node) error { return ctx.Err() }

// StopConsole has nothing to stop.
func (d *Driver) StopConsole(ctx context.Context, _ *metal.Node) error { return ctx.Err() }

// ConsoleInfo is empty, as upstream's fake console's is: there is nothing to connect to.
func (d *Driver) ConsoleInfo(ctx context.Context, _ *metal.Node) (metal.ConsoleInfo, error) {
	return metal.ConsoleInfo{}, ctx.Err()
}
