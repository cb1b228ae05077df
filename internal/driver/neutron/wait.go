package neutron

import (
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// bindLimit is how long a port may take until it is ACTIVE. Source: lifecycle reference §27: 100 looks, 10 s apart.
const bindLimit = 1000 * time.Second

// made is how old a port was when it was asked for, by Neutron's clock: this server's may be another.
func (p *port) made() time.Duration { return p.since(p.MadeAt) }

// changed is how long ago it was changed then.
func (p *port) changed() time.Duration { return p.since(p.ChangedAt) }

// since is 0 for a port whose making or changing has just been answered. A Neutron that tells no times has no ages: 0 for
// ever would wait for ever, so they are taken for old.
func (p *port) since(told string) time.Duration {
	at, err := time.Parse(time.RFC3339, told)
	if err != nil {
		return bindLimit
	}
	if p.AskedAt.IsZero() {
		return 0
	}
	return p.AskedAt.Sub(at)
}

// await tells what is still awaited of ports: that they become ACTIVE, if that is asked for, and that Neutron's agents had
// their time. It is an error if none of them will be; if some will not, they are logged.
func (d *Driver) await(n *metal.Node, role metal.NetworkRole, all []*port, active bool, age func(*port) time.Duration) (waiting string, err error) {
	var failed, open []string
	for _, p := range all {
		switch {
		case !active || p.Status == "ACTIVE":
		case p.VIFType == "binding_failed" || p.Status == "ERROR" || age(p) >= bindLimit:
			failed = append(failed, p.ID+" ("+p.Status+", "+p.VIFType+")")
		default:
			open = append(open, p.ID)
		}
	}
	switch {
	case len(failed) == len(all) && len(all) > 0:
		return "", fault.New(fault.Unavailable, "Neutron could not bind the ports of node %s on the %s network, of which none is ACTIVE: %s. See its log, and local_link_connection of the node's ports.",
			n.UUID, role, strings.Join(failed, ", "))
	case len(open) > 0:
		return "Neutron has not bound port " + strings.Join(open, ", ") + " yet", nil
	case len(failed) > 0:
		d.log.Warn("Neutron could not bind some ports of a node", "node", n.UUID, "role", string(role), "ports", failed)
	}
	for _, p := range all {
		if left := d.config.PortSetupDelay - age(p); left > 0 {
			return "Neutron's agents have their time to set up the ports", nil
		}
	}
	return "", nil
}
