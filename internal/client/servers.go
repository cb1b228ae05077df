package client

import (
	"context"
	"net/url"

	"ingot/internal/wire"
)

// Driver is a hardware type and the conductors that serve it; All has everything the server sent.
type Driver struct {
	wire.Driver
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (d *Driver) UnmarshalJSON(b []byte) error { return decodeBoth(b, &d.Driver, &d.All) }

// Drivers lists the hardware types that live conductors serve.
func (c *Client) Drivers(ctx context.Context) ([]Driver, error) {
	return list[Driver](ctx, c, "/v1/drivers", "drivers", url.Values{"detail": {"true"}}, 0)
}

// Driver gets one hardware type. fault.NotFound if no live conductor serves it.
func (c *Client) Driver(ctx context.Context, name string) (*Driver, error) {
	if name == "" {
		return nil, missing("driver")
	}
	var d Driver
	return &d, c.get(ctx, "/v1/drivers/"+seg(name), nil, &d)
}

// DriverProperties is what a hardware type reads of driver_info: key and description.
func (c *Client) DriverProperties(ctx context.Context, name string) (map[string]string, error) {
	out := map[string]string{}
	return out, c.get(ctx, "/v1/drivers/"+seg(name)+"/properties", nil, &out)
}

// Conductor is a server that works on nodes; All has everything the server sent.
type Conductor struct {
	wire.Conductor
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (c *Conductor) UnmarshalJSON(b []byte) error { return decodeBoth(b, &c.Conductor, &c.All) }

// Conductors lists all conductors, dead ones too.
func (c *Client) Conductors(ctx context.Context) ([]Conductor, error) {
	return list[Conductor](ctx, c, "/v1/conductors", "conductors", url.Values{"detail": {"true"}}, 0)
}
