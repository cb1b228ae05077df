package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"os"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/driver/redfish"
	"ingot/internal/source"
)

// options gives the commands what other rooms do for them.
func options() cli.Options {
	return cli.Options{Probe: probe, Checksum: checksum, Settings: settings, Examine: examineHost}
}

func probe(ctx context.Context, url string) (cli.Probe, error) {
	p, err := redfish.Probe(ctx, url)
	if err != nil {
		return cli.Probe{}, err
	}
	out := cli.Probe{URL: p.URL, Version: p.RedfishVersion, Vendor: p.Vendor, Product: p.Product, UUID: p.UUID,
		AuthRequired: p.AuthNeeded, Fingerprint: p.Fingerprint, Trusted: p.Verified, Systems: p.Systems}
	if len(p.Chain) > 0 {
		leaf := p.Chain[0]
		out.Subject, out.Issuer, out.NotAfter = leaf.Subject, leaf.Issuer, &leaf.NotAfter
	}
	return out, nil
}

// checksum finds an image's checksum; a file of this host is read for it.
func checksum(ctx context.Context, imageURL, spec string) (cli.Checksum, error) {
	if u, err := url.Parse(imageURL); err == nil && u.Scheme == "file" && spec == "auto" {
		return hashed(u.Path)
	}
	d, err := source.Checksum(ctx, imageURL, spec, source.Options{})
	return cli.Checksum{Algo: d.Algorithm, Value: d.Hex, Source: d.Origin}, err
}

func hashed(path string) (cli.Checksum, error) {
	f, err := os.Open(path)
	if err != nil {
		return cli.Checksum{}, err
	}
	defer f.Close() // read-only: nothing is lost
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return cli.Checksum{}, err
	}
	return cli.Checksum{Algo: source.SHA256, Value: hex.EncodeToString(h.Sum(nil)), Source: "the file itself"}, nil
}

func settings(file string) ([]cli.Setting, error) {
	l, err := config.Load(file, os.Environ())
	if err != nil {
		return nil, err
	}
	var out []cli.Setting
	for _, s := range l.Settings() {
		out = append(out, cli.Setting{Section: s.Section, Option: s.Option, Value: s.Value, Source: s.Source})
	}
	return out, nil
}
