package redfish

import (
	"context"
	"fmt"
	"net/http"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/metal"
)

const (
	maxAttributes = 4096 // of one BIOS; large ones have some hundreds
	maxAttribute  = 256  // of a name or a value, bytes
	maxBootOrder  = 128
	maxParts      = 48 // that have firmware
)

// FirmwareState tells what of the machine's firmware a tenant could have changed: BIOS attributes, the boot order, and the versions of
// firmware. What the BMC does not have is nil.
func (d *Driver) FirmwareState(ctx context.Context, n *metal.Node) (metal.FirmwareState, error) {
	var state metal.FirmwareState
	err := d.call(ctx, n, "tell the firmware's settings and versions", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		state.BootOrder = bootOrder(s)
		if state.BIOS, err = c.attributes(s); err != nil {
			return err
		}
		state.Firmware, err = c.versions(s)
		return err
	})
	return state, err
}

func bootOrder(s *schemas.ComputerSystem) (order []string) {
	for _, option := range s.Boot.BootOrder[:min(len(s.Boot.BootOrder), maxBootOrder)] {
		order = append(order, bounded(option, maxAttribute))
	}
	return order
}

// attributes are those of the BIOS, as text. The values of passwords are null: set or not, they are "".
func (c *call) attributes(s *schemas.ComputerSystem) (map[string]string, error) {
	l, err := linksOf(s)
	if err != nil || l.Bios.URI == "" {
		return nil, err
	}
	v, err := c.bios(s)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, value := range v.Attributes {
		if len(out) == maxAttributes {
			break
		}
		text := ""
		if value != nil {
			text = fmt.Sprint(value)
		}
		out[bounded(name, maxAttribute)] = bounded(text, maxAttribute)
	}
	return out, nil
}

// versions are those of the firmware inventory, of the BIOS and of the BMC by name. Parts that are not there any more are those of
// an inventory that changes with what is plugged in.
func (c *call) versions(s *schemas.ComputerSystem) (map[string]string, error) {
	out := map[string]string{}
	if s.BiosVersion != "" {
		out["bios"] = bounded(s.BiosVersion, maxAttribute)
	}
	var root struct{ UpdateService link }
	if err := c.read("/redfish/v1", &root); err != nil {
		return nil, err
	}
	var service struct{ FirmwareInventory link }
	if root.UpdateService.URI != "" {
		if err := c.read(root.UpdateService.URI, &service); err != nil && !absent(err) {
			return nil, err
		}
	}
	if service.FirmwareInventory.URI == "" {
		return nilIfNone(out), nil
	}
	parts, err := c.members(service.FirmwareInventory.URI, maxParts)
	if err != nil && !absent(err) {
		return nil, err
	}
	for _, uri := range parts {
		var part struct {
			ID      string `json:"Id"`
			Version string
		}
		if err := c.read(uri, &part); err != nil && !absent(err) {
			return nil, err
		}
		if part.ID != "" && part.Version != "" {
			out[bounded(part.ID, maxAttribute)] = bounded(part.Version, maxAttribute)
		}
	}
	return nilIfNone(out), nil
}

// absent tells whether a BMC answered that it has no such resource, or that its licence has none.
func absent(err error) bool {
	status := statusOf(err)
	return status == http.StatusNotFound || status == http.StatusForbidden || status == http.StatusMethodNotAllowed || status == http.StatusNotImplemented
}

func nilIfNone(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}
