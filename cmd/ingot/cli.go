package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/driver/redfish"
	"ingot/internal/source"
)

// clientCommands are the commands that talk to a server, with what they need of rooms they do not know.
func clientCommands() []*cobra.Command {
	return cli.Commands(cli.Options{Probe: probe, Checksum: checksum, Settings: settings})
}

func probe(ctx context.Context, address string) (cli.Probe, error) {
	r, err := redfish.Probe(ctx, address)
	if err != nil {
		return cli.Probe{}, err
	}
	p := cli.Probe{URL: r.URL, Redfish: r.Redfish, Version: r.RedfishVersion, Vendor: r.Vendor, Product: r.Product, UUID: r.UUID,
		AuthRequired: r.AuthNeeded, Fingerprint: r.Fingerprint, Trusted: r.Verified, Systems: r.Systems}
	if len(r.Chain) > 0 {
		p.Subject, p.Issuer, p.NotAfter = r.Chain[0].Subject, r.Chain[0].Issuer, &r.Chain[0].NotAfter
	}
	return p, nil
}

func checksum(ctx context.Context, imageURL, spec string) (cli.Checksum, error) {
	d, err := source.Checksum(ctx, imageURL, spec, source.Options{})
	return cli.Checksum{Algo: d.Algorithm, Value: d.Hex, Source: d.Origin}, err
}

func settings(file string) ([]cli.Setting, error) {
	loaded, err := config.Load(file, os.Environ())
	if err != nil {
		return nil, err
	}
	var out []cli.Setting
	for _, s := range loaded.Settings() {
		out = append(out, cli.Setting(s))
	}
	return out, nil
}
