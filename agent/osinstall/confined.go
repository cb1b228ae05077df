package osinstall

import (
	"context"

	"ingot/agent/confine"
)

// Confined is agent/confine as a Runner.
type Confined struct{ Confiner *confine.Confiner }

// Network makes a network that only the channel is on.
func (Confined) Network() (Network, error) {
	n, err := confine.NewNetwork()
	if err != nil {
		return nil, err // and no network that is not nil
	}
	return n, nil
}

// Run runs a script confined.
func (c Confined) Run(ctx context.Context, s Script) (int, error) {
	return c.Confiner.Run(ctx, s.confined())
}

// RunTrusted runs a script with the rights of the ramdisk.
func (c Confined) RunTrusted(ctx context.Context, s Script) (int, error) {
	return c.Confiner.RunTrusted(ctx, s.confined())
}

func (s Script) confined() confine.Script {
	network, _ := s.Network.(*confine.Network) // of nobody else, on a machine
	return confine.Script{Folder: s.Folder, Path: s.Path, Args: s.Args, Env: s.Env, Devices: s.Devices, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		ExtraFiles: s.ExtraFiles, Network: network}
}
