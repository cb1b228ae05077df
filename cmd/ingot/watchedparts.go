package main

import (
	"context"

	"ingot/internal/conductor"
	"ingot/internal/metal"
)

// beside wraps what is beside booting and power: what callers ask of a machine, and what its settings are.
func (w watching) beside(h conductor.Part) conductor.Part {
	if h.Settings != nil {
		h.Settings = watchedSettings{w, h.Settings}
	}
	if h.Components != nil {
		h.Components = watchedComponents{w, h.Components}
	}
	if h.Firmware != nil {
		h.Firmware = watchedFirmware{w, h.Firmware}
	}
	if h.Guard != nil {
		h.Guard = watchedGuard{w, h.Guard}
	}
	if h.RAID != nil {
		h.RAID = watchedRAID{w, h.RAID}
	}
	if h.Drives != nil {
		h.Drives = watchedDrives{w, h.Drives}
	}
	if h.Terminal != nil {
		h.Terminal = watchedTerminal{w, h.Terminal}
	}
	if h.NMI != nil {
		h.NMI = watchedNMI{w, h.NMI}
	}
	if h.Lights != nil {
		h.Lights = watchedLights{w, h.Lights}
	}
	if h.Vendor != nil {
		h.Vendor = watchedVendor{w, h.Vendor}
	}
	if h.Network != nil {
		h.Network = watchedNetwork{w, h.Network}
	}
	return h
}

type watchedSettings struct {
	watching
	inner conductor.Settings
}

func (w watchedSettings) BIOSSettings(ctx context.Context, n *metal.Node) ([]metal.BIOSSetting, error) {
	return asked(ctx, w.watching, "read bios settings", func(ctx context.Context) ([]metal.BIOSSetting, error) { return w.inner.BIOSSettings(ctx, n) })
}

type watchedComponents struct {
	watching
	inner conductor.Components
}

func (w watchedComponents) FirmwareComponents(ctx context.Context, n *metal.Node) ([]metal.FirmwareComponent, error) {
	return asked(ctx, w.watching, "read firmware components", func(ctx context.Context) ([]metal.FirmwareComponent, error) {
		return w.inner.FirmwareComponents(ctx, n)
	})
}

type watchedFirmware struct {
	watching
	inner conductor.Firmware
}

func (w watchedFirmware) FirmwareState(ctx context.Context, n *metal.Node) (metal.FirmwareState, error) {
	return asked(ctx, w.watching, "read firmware state", func(ctx context.Context) (metal.FirmwareState, error) { return w.inner.FirmwareState(ctx, n) })
}

type watchedGuard struct {
	watching
	inner conductor.Guard
}

func (w watchedGuard) Security(ctx context.Context, n *metal.Node) (metal.SecurityReport, error) {
	return asked(ctx, w.watching, "read security", func(ctx context.Context) (metal.SecurityReport, error) { return w.inner.Security(ctx, n) })
}

func (w watchedGuard) Warnings(ctx context.Context, n *metal.Node) []string {
	out, _ := asked(ctx, w.watching, "look for warnings", func(ctx context.Context) ([]string, error) { return w.inner.Warnings(ctx, n), nil })
	return out
}

type watchedRAID struct {
	watching
	inner conductor.RAID
}

func (w watchedRAID) RAIDConfig(ctx context.Context, n *metal.Node) (map[string]any, error) {
	return asked(ctx, w.watching, "read raid", func(ctx context.Context) (map[string]any, error) { return w.inner.RAIDConfig(ctx, n) })
}

type watchedDrives struct {
	watching
	inner conductor.Drives
}

func (w watchedDrives) AttachMedia(ctx context.Context, n *metal.Node, m metal.Medium) error {
	return w.told(ctx, "attach media", func(ctx context.Context) error { return w.inner.AttachMedia(ctx, n, m) })
}

func (w watchedDrives) DetachMedia(ctx context.Context, n *metal.Node, kinds []string) error {
	return w.told(ctx, "detach media", func(ctx context.Context) error { return w.inner.DetachMedia(ctx, n, kinds) })
}

func (w watchedDrives) MediaDevices(ctx context.Context, n *metal.Node) ([]metal.MediaDevice, error) {
	return asked(ctx, w.watching, "list media", func(ctx context.Context) ([]metal.MediaDevice, error) { return w.inner.MediaDevices(ctx, n) })
}

type watchedTerminal struct {
	watching
	inner conductor.Terminal
}

func (w watchedTerminal) StartConsole(ctx context.Context, n *metal.Node) error {
	return w.told(ctx, "start console", func(ctx context.Context) error { return w.inner.StartConsole(ctx, n) })
}

func (w watchedTerminal) StopConsole(ctx context.Context, n *metal.Node) error {
	return w.told(ctx, "stop console", func(ctx context.Context) error { return w.inner.StopConsole(ctx, n) })
}

func (w watchedTerminal) ConsoleInfo(ctx context.Context, n *metal.Node) (metal.ConsoleInfo, error) {
	return asked(ctx, w.watching, "read console info", func(ctx context.Context) (metal.ConsoleInfo, error) { return w.inner.ConsoleInfo(ctx, n) })
}

type watchedNMI struct {
	watching
	inner conductor.Interrupter
}

func (w watchedNMI) InjectNMI(ctx context.Context, n *metal.Node) error {
	return w.told(ctx, "inject nmi", func(ctx context.Context) error { return w.inner.InjectNMI(ctx, n) })
}

type watchedLights struct {
	watching
	inner conductor.Lights
}

func (w watchedLights) Indicators(ctx context.Context, n *metal.Node) ([]metal.Indicator, error) {
	return asked(ctx, w.watching, "list indicators", func(ctx context.Context) ([]metal.Indicator, error) { return w.inner.Indicators(ctx, n) })
}

func (w watchedLights) Indicator(ctx context.Context, n *metal.Node, id string) (string, error) {
	return asked(ctx, w.watching, "read indicator", func(ctx context.Context) (string, error) { return w.inner.Indicator(ctx, n, id) })
}

func (w watchedLights) SetIndicator(ctx context.Context, n *metal.Node, id, state string) error {
	return w.told(ctx, "set indicator", func(ctx context.Context) error { return w.inner.SetIndicator(ctx, n, id, state) })
}

type watchedVendor struct {
	watching
	inner conductor.Vendor
}

func (w watchedVendor) VendorMethods(n *metal.Node) map[string]metal.VendorMethod {
	return w.inner.VendorMethods(n)
}

func (w watchedVendor) CheckVendor(n *metal.Node, c metal.VendorCall) error {
	return w.inner.CheckVendor(n, c)
}

func (w watchedVendor) CallVendor(ctx context.Context, n *metal.Node, c metal.VendorCall) (any, error) {
	return asked(ctx, w.watching, "vendor call", func(ctx context.Context) (any, error) { return w.inner.CallVendor(ctx, n, c) })
}
