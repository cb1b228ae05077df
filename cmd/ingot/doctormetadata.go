package main

import (
	"context"
	"fmt"
	"net"
	"slices"

	"ingot/internal/metadata"
	"ingot/internal/metal"
	"ingot/internal/store"
)

const checkMetadata = "metadata service"

// examineMetadata looks at what this host is to serve instances. serving: a server answers here, so that the addresses are in use for
// a good reason.
func examineMetadata(c metadata.Config, serving bool) []metal.Finding {
	if err := c.Check(); err != nil {
		return []metal.Finding{wrong(metal.Fail, checkMetadata, err.Error()+".", "A server does not start with it. docs/guides/metadata.md has all of it.")}
	}
	if len(c.Listen) == 0 {
		if c.ServiceMetadataProxy {
			return []metal.Finding{wrong(metal.Warn, checkMetadata, "[neutron] service_metadata_proxy is on, and nothing says where this host serves the proxies.", "Set [metadata] listen, if no other server does.")}
		}
		return []metal.Finding{fine(checkMetadata, "This host has none: [metadata] listen is empty. Instances have their config drives.")}
	}
	var out []metal.Finding
	for _, at := range c.Listen {
		if serving {
			break
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			out = append(out, wrong(metal.Warn, checkMetadata, fmt.Sprintf("A server could not listen at %s: %v.", at, err), "ip address shows the addresses of this host, ss -ltnp who listens; ports below 1024 are for root."))
			continue
		}
		_ = l.Close() // it was only to see
	}
	if len(out) == 0 {
		out = append(out, fine(checkMetadata, "Instances are served at %v.", c.Listen))
	}
	return out
}

const checkSelf = "machines that install themselves"

// examineInstances tells whether there is somebody for the instances that have nothing but the metadata service, and for machines that
// install themselves.
func (s *server) examineInstances(ctx context.Context) []metal.Finding {
	var without, selves int
	var all []store.Server
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		if without, err = tx.InstancesWithoutDrive(); err != nil {
			return err
		}
		if selves, err = tx.OSChannels(); err == nil {
			all, err = tx.Servers(lifeLimit)
		}
		return err
	})
	if err != nil {
		return []metal.Finding{wrong(metal.Warn, checkMetadata, "The instances cannot be counted.", "See the server's log.")}
	}
	all = slices.DeleteFunc(all, func(o store.Server) bool { return !o.Alive || !o.Has(string(roleMetadata)) })
	if s.c.Deploy.ForceConfigDrive { // there is one all the same
		without = 0
	}
	return []metal.Finding{examineServed(without, len(all) > 0, s.hosts != nil), examineSelves(selves, all)}
}

// examineSelves judges whether count machines that install themselves are answered, by the servers with the role metadata that live. One that
// takes no requests itself needs a certificate to fetch secret values with.
func examineSelves(count int, by []store.Server) metal.Finding {
	apart := slices.IndexFunc(by, func(o store.Server) bool { return !o.Has(string(roleAPI)) && o.CertificateUntil.IsZero() })
	switch {
	case count == 0:
		return fine(checkSelf, "There are none just now.")
	case len(by) == 0:
		return wrong(metal.Warn, checkSelf, fmt.Sprintf("%d machines install themselves, and no server with the role metadata runs: they read no parameters, and nobody hears that they have ended.", count),
			"Start one with [metadata] listen; docs/guides/metadata.md.")
	case apart >= 0:
		return wrong(metal.Warn, checkSelf, fmt.Sprintf("Server %s has the role metadata and no certificate: machines that ask it for secret OS parameters are told to ask again.", by[apart].Name),
			"Give it one with that role: ingot peer invite and join; docs/guides/several-servers.md.")
	}
	return fine(checkSelf, "There are %d, and a server answers them.", count)
}

// examineServed judges what examineInstances counted. Boot hosts may serve instances, too: they are not asked.
func examineServed(without int, served, hosts bool) metal.Finding {
	switch {
	case served:
		return fine(checkMetadata, "A server answers instances.")
	case without > 0 && !hosts:
		return wrong(metal.Warn, checkMetadata, fmt.Sprintf("%d instances were given no config drive, and no server with the role metadata runs: at their next boot they may find nothing.", without),
			"Start one with [metadata] listen; docs/guides/metadata.md. Or deploy with a config drive.")
	}
	return fine(checkMetadata, "No server has the role metadata; %d instances were given no config drive.", without)
}
