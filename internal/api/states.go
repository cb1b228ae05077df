package api

import (
	"net/http"
	"time"

	"ingot/internal/metal"
	"ingot/internal/wire"
)

func (c *call) showStates() (answer, error) {
	n, err := c.s.Node(c.r.Context(), c.caller(), c.node(), "node:get_states")
	if err != nil {
		return answer{}, err
	}
	return c.oneNode(http.StatusOK, n, wire.StatesShape(c.minor))
}

// accepted is the answer to an action that goes on after it: 202 and where to look.
func (c *call) accepted() answer {
	return answer{status: http.StatusAccepted, location: "/v1/nodes/" + c.node() + "/states"}
}

func (c *call) setPower() (answer, error) {
	args, err := c.args("target timeout")
	if err != nil {
		return answer{}, err
	}
	target, err := textArg(args, "target", true)
	if err != nil {
		return answer{}, err
	}
	var limit time.Duration
	if v := args["timeout"]; v != nil {
		seconds, ok := intOf(v)
		switch {
		case !ok || seconds < 1 || seconds > int(24*time.Hour/time.Second):
			return answer{}, invalid("timeout must be a whole number of seconds from 1 to 86400.")
		}
		limit = time.Duration(seconds) * time.Second
	}
	if err := c.s.SetPower(c.r.Context(), c.caller(), c.node(), metal.Power(target), limit); err != nil {
		return answer{}, err
	}
	return c.accepted(), nil
}

func (c *call) setBootMode() (answer, error) {
	args, err := c.args("target")
	if err != nil {
		return answer{}, err
	}
	mode, err := textArg(args, "target", true)
	if err != nil {
		return answer{}, err
	}
	if err := c.s.SetBootMode(c.r.Context(), c.caller(), c.node(), mode); err != nil {
		return answer{}, err
	}
	return c.accepted(), nil
}

func (c *call) setSecureBoot() (answer, error) {
	args, err := c.args("target")
	if err != nil {
		return answer{}, err
	}
	if args["target"] == nil {
		return answer{}, invalid("Missing mandatory parameter: target")
	}
	on, ok := wire.ParseBool(args["target"])
	if !ok {
		return answer{}, invalid("Invalid input for target: it must be true or false.")
	}
	if err := c.s.SetSecureBoot(c.r.Context(), c.caller(), c.node(), on); err != nil {
		return answer{}, err
	}
	return c.accepted(), nil
}

func (c *call) setMaintenance() (answer, error) {
	args, err := c.args("reason")
	if err != nil {
		return answer{}, err
	}
	reason, err := textArg(args, "reason", false)
	if err != nil {
		return answer{}, err
	}
	return c.maintenance(true, reason)
}

func (c *call) clearMaintenance() (answer, error) { return c.maintenance(false, "") }

func (c *call) maintenance(on bool, reason string) (answer, error) {
	if len(reason) > 4096 {
		return answer{}, invalid("reason is longer than 4096 bytes.")
	}
	if err := c.s.SetMaintenance(c.r.Context(), c.caller(), c.node(), on, reason); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted}, nil
}

func (c *call) bootDevice() (answer, error) {
	d, err := c.s.BootDevice(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	var known struct {
		Device     *string `json:"boot_device"`
		Persistent *bool   `json:"persistent"`
	}
	if d.Device != "" {
		known.Device, known.Persistent = &d.Device, &d.Persistent
	}
	return answer{status: http.StatusOK, json: known}, nil
}

func (c *call) setBootDevice() (answer, error) {
	args, err := c.args("boot_device persistent")
	if err != nil {
		return answer{}, err
	}
	d := metal.BootDevice{}
	if d.Device, err = textArg(args, "boot_device", true); err != nil {
		return answer{}, err
	}
	if v := args["persistent"]; v != nil {
		ok := false
		if d.Persistent, ok = wire.ParseBool(v); !ok {
			return answer{}, invalid("Invalid input for persistent: it must be true or false.")
		}
	}
	if err := c.s.SetBootDevice(c.r.Context(), c.caller(), c.node(), d); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (c *call) bootDevices() (answer, error) {
	list, err := c.s.BootDevices(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	if list == nil {
		list = []string{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"supported_boot_devices": list}}, nil
}
