package cli

import (
	"context"
	"slices"
	"strings"

	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// ways are the verbs that have a command, in the order in which people are told of them, with the words after
// "ingot node" and, as NODE, the node.
var ways = []struct {
	verb  metal.Verb
	words string
}{
	{metal.VerbAbort, "abort NODE"},
	{metal.VerbUnhold, "unhold NODE --wait"},
	{metal.VerbManage, "manage NODE --wait"},
	{metal.VerbProvide, "provide NODE --wait"},
	{metal.VerbUnrescue, "unrescue NODE --wait"},
	{metal.VerbActive, "deploy NODE --image URL --wait"},
	{metal.VerbRebuild, "rebuild NODE --wait"},
	{metal.VerbRescue, "rescue NODE --generate --wait"},
	{metal.VerbInspect, "inspect NODE --wait"},
	{metal.VerbAdopt, "adopt NODE --wait"},
	{metal.VerbDeleted, "undeploy NODE --wait, which takes the instance away"},
}

// waysOn lists the commands that lead on from a state.
func waysOn(ident string, from metal.State) []string {
	if from == metal.ServiceFailed { // an instance is there: what keeps it comes first
		return []string{"ingot node service " + ident + " --steps FILE --wait", "ingot node abort " + ident + ", which boots the instance as it is,",
			"ingot node undeploy " + ident + " --wait, which takes it away"}
	}
	var out []string
	for _, w := range ways {
		own := from == metal.Cleaning && w.verb == metal.VerbManage // the plan's own way out, which nobody may ask for
		if _, ok := metal.Next(from, metal.Verbs[w.verb].Event); ok && !own {
			out = append(out, "ingot node "+strings.Replace(w.words, "NODE", ident, 1))
		}
	}
	return out
}

// mending is what to do about a node that came to rest in failure.
func mending(ident string, s *client.States, maintenance bool) string {
	out := happened(ident, s.ProvisionState) + ". Mend the cause; then "
	if maintenance {
		out += "ingot node set " + ident + " --maintenance off, and "
	}
	switch s.ProvisionState {
	case metal.CleanFailed:
		return out + "ingot node manage " + ident + " --wait and ingot node provide " + ident + " --wait"
	case metal.Enroll:
		return out + "ingot node manage " + ident + " --wait"
	}
	if on := waysOn(ident, s.ProvisionState); len(on) > 0 {
		last := on[len(on)-1]
		if len(on) > 1 {
			last = strings.Join(on[:len(on)-1], ", ") + " or " + last
		}
		return out + last
	}
	return out + "ask again; ingot node why " + ident + " tells how it stands"
}

// happened says where to read what went wrong with a node that is now in this state.
func happened(ident string, at metal.State) string {
	if at == metal.RescueFailed {
		return "ingot node events " + ident + " says what happened; ingot node logs " + ident + " has nothing of a rescue with a password, which a log might repeat: " +
			"look at the machine's console with its BMC"
	}
	return "ingot node events " + ident + " and ingot node logs " + ident + " say what happened"
}

// refusedVerb tells of a verb that the node's state does not allow: with the name that was typed, and with what it
// does allow. what is the command that was refused: it is not offered again.
func refusedVerb(ctx context.Context, c *client.Client, ident, what string, err error) error {
	if fault.KindOf(err) != fault.BadState {
		return err
	}
	n, looked := c.Node(ctx, ident)
	if looked != nil {
		return err // the refusal says more than that the node is gone
	}
	if said, ok := fault.PublicOf(err); ok && !strings.Contains(said, ident) {
		err = fault.Wrap(fault.BadState, err, "%s", strings.ReplaceAll(said, n.UUID, ident))
	}
	if said, _ := fault.PublicOf(err); n.Maintenance && strings.Contains(said, "maintenance") { // it is not to blame for a wrong state
		return hint(err, "it is in maintenance: ingot node show %s tells why, ingot node set %s --maintenance off ends that", ident, ident)
	}
	on := slices.DeleteFunc(waysOn(ident, n.State()), func(way string) bool { return strings.HasPrefix(way, "ingot node "+what+" ") })
	if len(on) == 0 {
		return hint(err, "it is %s: ingot node why %s tells what it is doing", n.State(), ident)
	}
	return hint(err, "from %s these lead on: %s", n.State(), strings.Join(on, "; "))
}

// unknownDriver adds to a refusal of a node's driver the drivers there are.
func unknownDriver(ctx context.Context, c *client.Client, driver string, err error) error {
	if k := fault.KindOf(err); k != fault.Invalid && k != fault.NoHost {
		return err
	}
	drivers, looked := c.Drivers(ctx)
	if looked != nil || slices.ContainsFunc(drivers, func(d client.Driver) bool { return d.Name == driver }) {
		return err
	}
	names := make([]string, len(drivers))
	for i, d := range drivers {
		names[i] = d.Name
	}
	if len(names) == 0 {
		return hint(err, "no conductor is alive: ingot conductor list")
	}
	return hint(err, "no conductor serves driver %q; there are %s", driver, listed(names))
}
