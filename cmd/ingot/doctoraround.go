package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/config"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/peer"
)

// helloLimit is how long a boot host may take to answer the doctor.
const helloLimit = 5 * time.Second

// examineNetworks reads the networks that the boot services give addresses on, as a start does. None is no finding.
func examineNetworks(c config.Netboot) []metal.Finding {
	const check = "boot networks"
	if c.NetworksFile == "" {
		return nil
	}
	networks, err := readNetworks(c)
	if err != nil {
		return []metal.Finding{wrong(metal.Fail, check, strings.ReplaceAll(err.Error(), "\n", "; "), "Mend the file: a server with the role netboot does not start with it. docs/guides/network-boot.md has an example.")}
	}
	return []metal.Finding{fine(check, "%s can be read and names %d.", c.NetworksFile, len(networks))}
}

// examineBootHosts asks each boot host who it is, all at once. A conductor needs one of them for every boot.
func (s *server) examineBootHosts(ctx context.Context) []metal.Finding {
	if s.hosts == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	out := make([]metal.Finding, len(s.hosts.all))
	var asked sync.WaitGroup
	for i, at := range s.hosts.all {
		asked.Go(func() {
			hello, err := s.hosts.peer.Hello(ctx, at)
			out[i] = examineHello(at, hello, err)
		})
	}
	asked.Wait()
	return out
}

func examineHello(at peer.Server, hello peer.Hello, err error) metal.Finding {
	check := "boot host " + at.Name
	if err != nil {
		said, ok := fault.PublicOf(err)
		if !ok {
			said = fmt.Sprintf("It does not answer at %s.", at.URL)
		}
		return wrong(metal.Fail, check, said, "See that it runs (ingot serve --roles boot) and that this server reaches its peer listener; machines boot from another one meanwhile, if there is one.")
	}
	if !slices.Contains(hello.Roles, peer.Boot) || hello.BootURL == "" {
		return wrong(metal.Fail, check, fmt.Sprintf("The server at %s is no boot host.", at.URL), "Name it right in [deploy] boot_hosts, or start it with --roles boot.")
	}
	return fine(check, "It answers, and machines fetch from it at %s.", hello.BootURL)
}
