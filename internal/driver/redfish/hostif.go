package redfish

import (
	"context"
	"strings"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// hostInterface is a way from the machine's own system to its BMC. Source: DMTF HostInterface v1.3.0, DSP0270.
type hostInterface struct {
	uri     string
	ID      string `json:"Id"`
	Enabled *bool  `json:"InterfaceEnabled"`
}

// hostInterfaces lists those of the machine's managers; shown is false where no manager shows any.
func (c *call) hostInterfaces(s *schemas.ComputerSystem) (list []hostInterface, shown bool, err error) {
	managers, err := c.managersOf(s)
	if err != nil {
		return nil, false, err
	}
	for _, m := range managers {
		var view struct{ HostInterfaces link }
		if err := c.read(m, &view); err != nil {
			return nil, false, err
		}
		if view.HostInterfaces.URI == "" {
			continue
		}
		members, err := c.members(view.HostInterfaces.URI, maxMembers)
		if err != nil {
			return nil, false, err
		}
		shown = true
		for _, uri := range members {
			h := hostInterface{uri: uri}
			if err := c.read(uri, &h); err != nil {
				return nil, false, err
			}
			list = append(list, h)
		}
	}
	return list, shown, nil
}

// managersOf gives the paths of the machine's BMCs.
func (c *call) managersOf(s *schemas.ComputerSystem) ([]string, error) {
	l, err := linksOf(s)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range l.Links.ManagedBy[:min(len(l.Links.ManagedBy), 4)] {
		out = append(out, m.URI)
	}
	return out, nil
}

// open names the interfaces that are enabled. One that does not say is taken to be.
func openInterfaces(list []hostInterface) []string {
	var out []string
	for _, h := range list {
		if h.Enabled == nil || *h.Enabled {
			out = append(out, bounded(firstOf(h.ID, "unnamed"), 60))
		}
	}
	return out
}

// setHostInterfaces switches every host interface on or off, and sees that the BMC shows it.
func (d *Driver) setHostInterfaces(ctx context.Context, n *metal.Node, on bool) error {
	doing := "close its host interface"
	if on {
		doing = "open its host interface"
	}
	return d.call(ctx, n, doing, func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		list, _, err := c.hostInterfaces(s)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fault.New(fault.NotSupported, "the BMC at %s shows no host interface that could be switched: look for in-band access (host interface, KCS) in its own settings", c.bmc.host)
		}
		for _, h := range list {
			if h.Enabled != nil && *h.Enabled == on {
				continue
			}
			if err := c.patch(h.uri, map[string]any{"InterfaceEnabled": on}); err != nil {
				return err
			}
			shown, err := c.await(func() (bool, error) {
				now := hostInterface{}
				err := c.read(h.uri, &now)
				return now.Enabled != nil && *now.Enabled == on, err
			})
			if err == nil && !shown {
				err = fault.New(fault.Conflict, "the BMC at %s accepted to %s (%s) and does not show it: look in its own settings", c.bmc.host, strings.TrimSpace(doing), bounded(h.ID, 60))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
