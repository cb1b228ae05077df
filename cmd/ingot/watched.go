package main

import (
	"context"

	"ingot/internal/conductor"
	"ingot/internal/metal"
)

// bmcWatch is told of each call of a BMC and gives the context the call is made with.
type bmcWatch func(ctx context.Context, driver, call string) (context.Context, func(error))

// watched wraps what speaks to a BMC, so that every call is counted and traced whatever the driver. What only
// checks, and so never leaves the process, is left as it is.
func watched(h conductor.Hardware, watch bmcWatch) conductor.Hardware {
	w := watching{h.Type.Name, watch}
	h.Part = w.part(h.Part)
	all := conductor.Parts{}
	for kind, names := range h.Parts {
		all[kind] = map[string]conductor.Part{}
		for name, p := range names {
			of := w
			if kind == "network" { // it is no BMC that is asked
				of.driver = name
			}
			all[kind][name] = of.part(p)
		}
	}
	if h.Parts != nil {
		h.Parts = all
	}
	return h
}

func (w watching) part(h conductor.Part) conductor.Part {
	if h.Power != nil {
		h.Power = watchedPower{w, h.Power}
	}
	if h.Boot != nil {
		h.Boot = watchedBoot{w, h.Boot}
	}
	if h.Media != nil {
		h.Media = watchedMedia{w, h.Media}
	}
	if h.Mode != nil {
		h.Mode = watchedMode{w, h.Mode}
	}
	if h.Secure != nil {
		h.Secure = watchedSecure{w, h.Secure}
	}
	if h.Inspector != nil {
		h.Inspector = watchedInspector{w, h.Inspector}
	}
	if h.Facts != nil {
		h.Facts = watchedInspector{w, h.Facts}
	}
	if h.Steps != nil {
		h.Steps = watchedSteps{w, h.Steps}
	}
	if h.Console != nil {
		h.Console = watchedConsole{w, h.Console}
	}
	return w.beside(h)
}

type watching struct {
	driver string
	watch  bmcWatch
}

// asked makes a call that gives something.
func asked[T any](ctx context.Context, w watching, call string, f func(context.Context) (T, error)) (T, error) {
	ctx, over := w.watch(ctx, w.driver, call)
	out, err := f(ctx)
	over(err)
	return out, err
}

// told makes a call that only succeeds or fails.
func (w watching) told(ctx context.Context, call string, f func(context.Context) error) error {
	_, err := asked(ctx, w, call, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) })
	return err
}

type watchedPower struct {
	watching
	inner conductor.Power
}

func (w watchedPower) Power(ctx context.Context, n *metal.Node) (metal.Power, error) {
	return asked(ctx, w.watching, "read power", func(ctx context.Context) (metal.Power, error) { return w.inner.Power(ctx, n) })
}

func (w watchedPower) SetPower(ctx context.Context, n *metal.Node, want metal.Power) error {
	return w.told(ctx, "set power", func(ctx context.Context) error { return w.inner.SetPower(ctx, n, want) })
}

type watchedBoot struct {
	watching
	inner conductor.Booter
}

func (w watchedBoot) BootDevice(ctx context.Context, n *metal.Node) (metal.BootDevice, error) {
	return asked(ctx, w.watching, "read boot device", func(ctx context.Context) (metal.BootDevice, error) { return w.inner.BootDevice(ctx, n) })
}

func (w watchedBoot) SetBootDevice(ctx context.Context, n *metal.Node, d metal.BootDevice) error {
	return w.told(ctx, "set boot device", func(ctx context.Context) error { return w.inner.SetBootDevice(ctx, n, d) })
}

func (w watchedBoot) BootDevices(ctx context.Context, n *metal.Node) ([]string, error) {
	return asked(ctx, w.watching, "list boot devices", func(ctx context.Context) ([]string, error) { return w.inner.BootDevices(ctx, n) })
}

type watchedMedia struct {
	watching
	inner conductor.Media
}

func (w watchedMedia) InsertMedia(ctx context.Context, n *metal.Node, url string) error {
	return w.told(ctx, "insert media", func(ctx context.Context) error { return w.inner.InsertMedia(ctx, n, url) })
}

func (w watchedMedia) EjectMedia(ctx context.Context, n *metal.Node) error {
	return w.told(ctx, "eject media", func(ctx context.Context) error { return w.inner.EjectMedia(ctx, n) })
}

func (w watchedMedia) Media(ctx context.Context, n *metal.Node) (string, error) {
	return asked(ctx, w.watching, "read media", func(ctx context.Context) (string, error) { return w.inner.Media(ctx, n) })
}

type watchedInspector struct {
	watching
	inner conductor.Inspector
}

func (w watchedInspector) Inspect(ctx context.Context, n *metal.Node) (metal.HardwareInfo, error) {
	return asked(ctx, w.watching, "inspect", func(ctx context.Context) (metal.HardwareInfo, error) { return w.inner.Inspect(ctx, n) })
}

type watchedConsole struct {
	watching
	inner conductor.Console
}

func (w watchedConsole) ConsoleLog(ctx context.Context, n *metal.Node, limit int) ([]byte, error) {
	return asked(ctx, w.watching, "read console", func(ctx context.Context) ([]byte, error) { return w.inner.ConsoleLog(ctx, n, limit) })
}

type watchedMode struct {
	watching
	inner conductor.BootModer
}

func (w watchedMode) BootMode(ctx context.Context, n *metal.Node) (string, error) {
	return asked(ctx, w.watching, "read boot mode", func(ctx context.Context) (string, error) { return w.inner.BootMode(ctx, n) })
}

func (w watchedMode) SetBootMode(ctx context.Context, n *metal.Node, mode string) (bool, error) {
	return asked(ctx, w.watching, "set boot mode", func(ctx context.Context) (bool, error) { return w.inner.SetBootMode(ctx, n, mode) })
}

type watchedSecure struct {
	watching
	inner conductor.SecureBooter
}

func (w watchedSecure) SecureBoot(ctx context.Context, n *metal.Node) (metal.SecureBoot, error) {
	return asked(ctx, w.watching, "read secure boot", func(ctx context.Context) (metal.SecureBoot, error) { return w.inner.SecureBoot(ctx, n) })
}

func (w watchedSecure) SetSecureBoot(ctx context.Context, n *metal.Node, on bool) (bool, error) {
	return asked(ctx, w.watching, "set secure boot", func(ctx context.Context) (bool, error) { return w.inner.SetSecureBoot(ctx, n, on) })
}

func (w watchedSecure) ResetSecureBootKeys(ctx context.Context, n *metal.Node, how metal.KeyReset) error {
	return w.told(ctx, "reset secure boot keys", func(ctx context.Context) error { return w.inner.ResetSecureBootKeys(ctx, n, how) })
}

type watchedSteps struct {
	watching
	inner conductor.Stepper
}

func (w watchedSteps) Steps(n *metal.Node, kind metal.StepKind) []metal.Step {
	return w.inner.Steps(n, kind)
}

func (w watchedSteps) RunStep(ctx context.Context, n *metal.Node, kind metal.StepKind, s metal.Step, key string) (string, error) {
	return asked(ctx, w.watching, "run step", func(ctx context.Context) (string, error) { return w.inner.RunStep(ctx, n, kind, s, key) })
}
