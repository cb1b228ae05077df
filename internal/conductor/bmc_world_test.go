package conductor

import (
	"context"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

func (w *world) Power(context.Context, *metal.Node) (metal.Power, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[bool]metal.Power{true: metal.PowerOn, false: metal.PowerOff}[w.on], nil
}

func (w *world) SetPower(_ context.Context, _ *metal.Node, want metal.Power) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count("power " + string(want))
	if want == metal.PowerOn && w.stuck {
		return fault.New(fault.Unavailable, "the machine does not start")
	}
	if w.on = want == metal.PowerOn; w.on {
		w.firm.boot()
	}
	w.commands, w.user.in, w.user.gone, w.os.verified = nil, false, false, false // an agent that starts remembers nothing
	w.real.startsAnew()
	return nil
}

func (w *world) BootDevice(context.Context, *metal.Node) (metal.BootDevice, error) {
	return w.boot, nil
}

func (w *world) SetBootDevice(_ context.Context, _ *metal.Node, d metal.BootDevice) error {
	w.count("boot " + d.Device)
	w.boot = d
	return nil
}

func (w *world) BootDevices(context.Context, *metal.Node) ([]string, error) {
	if w.net != nil && w.net.http {
		return []string{"disk", "pxe", "uefihttp"}, nil
	}
	return []string{"disk", "cdrom", "pxe"}, nil
}

func (w *world) Media(context.Context, *metal.Node) (string, error) { return w.media, nil }

func (w *world) InsertMedia(_ context.Context, _ *metal.Node, url string) error {
	w.count("insert")
	w.media = url
	return nil
}

func (w *world) EjectMedia(context.Context, *metal.Node) error {
	w.count("eject")
	w.media = ""
	return nil
}

func (w *world) Inspect(context.Context, *metal.Node) (metal.HardwareInfo, error) {
	return metal.HardwareInfo{Manufacturer: "ACME", CPUArch: "x86_64", MACs: []string{"52:54:00:00:00:01"}}, nil
}

// shelf is the depot of one conductor.
type shelf struct {
	*world
	url string
}

func (s shelf) BootISO(node, boot string, _ agentapi.Role, _ time.Time) (string, error) {
	return s.url + "/" + node + "/" + boot, nil
}
func (s shelf) Check(agentapi.BootConfig, string) error { return s.unready }
func (s shelf) File(path string, _ time.Time) (string, error) {
	if s.bases == nil {
		return "", fault.New(fault.Invalid, "%s", path)
	}
	return s.url + path, nil
}
func (s shelf) Reachable(context.Context, *metal.Node, agentapi.Role) error {
	return untried(s.unready)
}

func (w *world) Steps(*metal.Node, metal.StepKind) []metal.Step {
	return []metal.Step{
		{Interface: "bios", Step: "apply", ArgsInfo: map[string]metal.ArgInfo{"settings": {Required: true}}},
		{Interface: "raid", Step: "create", Abortable: true},
	}
}

func (w *world) RunStep(_ context.Context, _ *metal.Node, kind metal.StepKind, s metal.Step, key string) (string, error) {
	if w.broken {
		return "", fault.New(fault.Invalid, "the BMC refuses")
	}
	if w.stepsRun[key] {
		return "", nil
	}
	w.stepsRun[key] = true
	w.count(string(kind) + " " + s.Name())
	return "the BMC", nil
}

// off is a machine that nobody answers for: its agent is gone with its power.
func (w *world) off() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = false
}
