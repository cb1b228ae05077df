package ops

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// Limits of the doctor: beyond them something is said.
const (
	slowDatabase   = 250 * time.Millisecond // one read; a request makes several
	clocksApart    = 5 * time.Second        // ours and the database's; leases go by the latter
	overdueFor     = 30 * time.Second       // due and claimed by nobody: two leases
	troublesListed = 20
)

// Doctor tells what the database knows to be wrong with the set-up, and what is well. A project is told of the nodes it
// owns, and nothing of the servers: then whole is false.
func (s *Service) Doctor(ctx context.Context, c Caller) (out []metal.Finding, whole bool, err error) {
	owner, err := c.listing("ingot:doctor:all", "ingot:doctor")
	if err != nil {
		return nil, false, err
	}
	if owner == "" {
		return s.examine(ctx), true, nil
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, err := tx.InTrouble(failedStates(), owner, troublesListed)
		out = troubles(list)
		return err
	})
	return out, false, err
}

// examine is what Doctor tells those who may know everything.
func (s *Service) examine(ctx context.Context) []metal.Finding {
	var out []metal.Finding
	begun := time.Now()
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		v, err := tx.SchemaVersion()
		if err != nil {
			return err
		}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		out = append(out, schema(v), latency(time.Since(begun)), clocks(time.Since(now)))
		conductors, err := tx.Conductors(s.config.ConductorAliveLimit)
		if err != nil {
			return err
		}
		drivers, err := tx.CountDrivers()
		if err != nil {
			return err
		}
		out = append(out, alive(conductors), unserved(conductors, drivers))
		n, err := tx.Overdue(overdueFor)
		if err != nil {
			return err
		}
		out = append(out, overdue(n))
		slots, err := s.slotsUsed(tx)
		if err != nil {
			return err
		}
		out = append(out, slots...)
		list, err := tx.InTrouble(failedStates(), "", troublesListed)
		if err != nil {
			return err
		}
		out = append(out, troubles(list)...)
		networks, err := s.networks(tx)
		out = append(out, networks...)
		return err
	})
	if err != nil {
		s.log.Warn("the doctor cannot read the database", "error", err)
		out = append(out, metal.Finding{Check: "database", Level: metal.Fail, Said: "The database does not answer.",
			Do: "See the server's log for the cause; see that the database runs and its disk is not full."})
	}
	return out
}

func schema(v int64) metal.Finding {
	f := metal.Finding{Check: "schema", Level: metal.Fine, Said: fmt.Sprintf("The database's schema is version %d, as this program's.", v)}
	if newest := store.NewestSchema(); v != newest {
		f.Level, f.Said = metal.Warn, fmt.Sprintf("The database's schema is version %d, this program's %d.", v, newest)
		f.Do = "Bring all servers to the same version: a newer one has migrated the database."
	}
	return f
}

func latency(took time.Duration) metal.Finding {
	f := metal.Finding{Check: "database", Level: metal.Fine, Said: fmt.Sprintf("The database answers in %s.", took.Round(100*time.Microsecond))}
	if took > slowDatabase {
		f.Level, f.Do = metal.Warn, "Everything waits for the database: look at its disk, its load and the way to it."
	}
	return f
}

func clocks(apart time.Duration) metal.Finding {
	f := metal.Finding{Check: "clocks", Level: metal.Fine, Said: "This server's clock and the database's agree."}
	if apart.Abs() > clocksApart {
		f.Level, f.Said = metal.Warn, fmt.Sprintf("This server's clock and the database's are %s apart.", apart.Abs().Round(time.Second))
		f.Do = "Synchronise the clocks of both (NTP)."
	}
	return f
}

func alive(all []store.Conductor) metal.Finding {
	var living, dead []string
	for _, c := range all {
		if c.Alive {
			living = append(living, c.Hostname)
		} else {
			dead = append(dead, c.Hostname)
		}
	}
	switch {
	case len(living) == 0:
		return metal.Finding{Check: "conductors", Level: metal.Fail, Said: "No conductor is alive: nothing that is asked for is done.",
			Do: "Start one: ingot serve."}
	case len(dead) > 0:
		return metal.Finding{Check: "conductors", Level: metal.Warn, Said: "These conductors gave no sign of life lately: " + strings.Join(dead, ", ") + ".",
			Do: "Start them again; others take over their work if they serve the same drivers and groups."}
	}
	return metal.Finding{Check: "conductors", Level: metal.Fine, Said: "All conductors are alive: " + strings.Join(living, ", ") + "."}
}

// unserved finds nodes that nobody works on, whatever is asked of them.
func unserved(all []store.Conductor, drivers []store.Count) metal.Finding {
	var lonely []string
	for _, d := range drivers {
		driver, group := d.Values[0], d.Values[1]
		served := slices.ContainsFunc(all, func(c store.Conductor) bool {
			return c.Alive && c.Group == group && slices.ContainsFunc(c.Types, func(t metal.HardwareType) bool { return t.Name == driver })
		})
		if !served {
			lonely = append(lonely, fmt.Sprintf("%d of driver %s in conductor group %q", d.N, driver, group))
		}
	}
	if lonely != nil {
		return metal.Finding{Check: "drivers", Level: metal.Fail, Said: "No conductor that is alive serves some nodes: " + strings.Join(lonely, "; ") + ".",
			Do: "Enable the hardware type ([DEFAULT] enabled_hardware_types) on a conductor of that group ([conductor] conductor_group), or change the nodes."}
	}
	return metal.Finding{Check: "drivers", Level: metal.Fine, Said: "A conductor serves each node's driver and group."}
}

func overdue(n int) metal.Finding {
	if n == 0 {
		return metal.Finding{Check: "operations", Level: metal.Fine, Said: "No operation waits for a conductor."}
	}
	return metal.Finding{Check: "operations", Level: metal.Warn, Said: fmt.Sprintf("%d operations are due and no conductor has taken them for %s.", n, overdueFor),
		Do: "ingot operation list shows them. Conductors are missing, do not serve these nodes, or have all their workers busy."}
}

func failedStates() []metal.State {
	out := []metal.State{metal.Error}
	for s, about := range metal.States {
		if about.Kind == metal.Failed && s != metal.Error {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func troubles(list []store.Trouble) []metal.Finding {
	if len(list) == 0 {
		return []metal.Finding{{Check: "nodes", Level: metal.Fine, Said: "No node has failed, and none is in maintenance because of a fault."}}
	}
	var out []metal.Finding
	for _, n := range list {
		name := n.Name
		if name == "" {
			name = n.Node
		}
		f := metal.Finding{Check: "node " + name, Level: metal.Warn, Said: fmt.Sprintf("It is %s since %s", n.State, stamp(n.Since)),
			Do: "ingot node why " + name + " says more; docs/guides/when-it-fails.md what to do."}
		if n.Fault != "" {
			f.Said += fmt.Sprintf(", in maintenance with fault %q", n.Fault)
		}
		if n.LastError != "" {
			f.Said += ": " + n.LastError
		}
		out = append(out, f)
	}
	if len(list) == troublesListed {
		out = append(out, metal.Finding{Check: "nodes", Level: metal.Warn, Said: "There are more such nodes than are listed here.", Do: "ingot node list shows all."})
	}
	return out
}
