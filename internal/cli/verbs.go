package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// waiting is the flags of every command that starts an operation.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) flags(c *cobra.Command) {
	c.Flags().BoolVar(&w.wait, "wait", false, "wait until it is done, with a line per step")
	c.Flags().DurationVar(&w.timeout, "timeout", 0, "with --wait: wait no longer than this, such as 45m; 0 waits for ever")
}

func (w *waiting) check() error {
	if w.timeout < 0 {
		return usagef("--timeout %s is negative", w.timeout)
	}
	if w.timeout > 0 && !w.wait {
		return usagef("--timeout goes with --wait")
	}
	return nil
}

// start runs ask, which sends a verb, and follows the node until goal is reached if that is wanted.
func (a *app) start(cmd *cobra.Command, c *client.Client, ident, what string, w waiting, g goal, ask func(context.Context) error) error {
	return a.startWith(cmd, c, ident, what, w, g, nil, ask)
}

// startWith is start for a command that has more to print in its document (-o json), however the waiting ends.
func (a *app) startWith(cmd *cobra.Command, c *client.Client, ident, what string, w waiting, g goal, more map[string]any, ask func(context.Context) error) error {
	if err := w.check(); err != nil {
		return err
	}
	ctx := cmd.Context()
	var f *follower
	if w.wait {
		var err error
		if f, err = a.follow(ctx, cmd, c, ident); err != nil {
			return err
		}
	}
	if err := ask(ctx); err != nil {
		return refusedVerb(ctx, c, ident, what, err)
	}
	if !w.wait {
		doc := map[string]any{"node": ident, "accepted": what}
		maps.Copy(doc, more)
		return a.print(cmd, doc, func(w io.Writer) {
			fmt.Fprintf(w, "%s of node %s accepted\nfollow it: ingot node why %s\n", what, ident, ident)
		})
	}
	begun := time.Now()
	n, err := (*client.Node)(nil), f.until(ctx, what, g, w.timeout)
	if err == nil {
		n, err = c.Node(ctx, ident)
	}
	if err != nil {
		if len(more) == 0 {
			return err
		}
		if printing := a.print(cmd, more, func(io.Writer) {}); printing != nil {
			return errors.Join(err, printing)
		}
		return err
	}
	maps.Copy(n.All, more)
	return a.print(cmd, n.All, func(w io.Writer) {
		fmt.Fprintf(w, "node %s is %s after %s\n", n.Label(), g.describe(n), span(time.Since(begun)))
	})
}

// verb makes a command that sends one provision verb.
func (a *app) verb(v metal.Verb, c cobra.Command, want ...metal.State) *cobra.Command {
	var w waiting
	c.Args = exactly("NODE")
	c.ValidArgsFunction = a.completeNodes
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		return a.start(cmd, cl, args[0], cmd.Name(), w, rest{want}, func(ctx context.Context) error {
			return cl.SetProvision(ctx, args[0], client.Provision{Verb: v})
		})
	})
	w.flags(&c)
	return &c
}

func (a *app) nodeManage() *cobra.Command {
	return a.verb(metal.VerbManage, cobra.Command{
		Use:   "manage NODE",
		Short: "Check that the BMC obeys, and take the node under management",
		Example: `  ingot node manage rack1-u3 --wait
  ingot node manage rack1-u3 --wait --timeout 2m`,
	}, metal.Manageable)
}

func (a *app) nodeProvide() *cobra.Command {
	return a.verb(metal.VerbProvide, cobra.Command{
		Use:     "provide NODE",
		Short:   "Clean the machine and make it available",
		Example: `  ingot node provide rack1-u3 --wait`,
	}, metal.Available, metal.Manageable) // a retired node comes to rest in manageable
}

func (a *app) nodeUndeploy() *cobra.Command {
	return a.verb(metal.VerbDeleted, cobra.Command{
		Use:     "undeploy NODE",
		Short:   "Take the instance off the machine, clean it and make it available",
		Long:    "Take the instance off the machine, clean it and make it available. What is on its disks is erased.",
		Example: `  ingot node undeploy rack1-u3 --wait`,
	}, metal.Available, metal.Manageable)
}

func (a *app) nodeUnhold() *cobra.Command {
	return a.verb(metal.VerbUnhold, cobra.Command{
		Use:     "unhold NODE",
		Short:   "Let an operation that a hold step stopped go on",
		Example: `  ingot node unhold rack1-u3 --wait`,
	}, metal.Manageable, metal.Available, metal.Active)
}

func (a *app) nodeAbort() *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use:   "abort NODE",
		Short: "Stop what is under way on a node that waits or is held",
		Long: `Stop what is under way on a node that waits or is held. A step that must not be stopped in the middle ends first. What was
attached to the machine is taken away again. With --wait it waits until the node rests, which most do as failed: that is what an abort is.`,
		Example: `  ingot node abort rack1-u3
  ingot node abort rack1-u3 --wait --timeout 10m`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			return a.start(cmd, c, args[0], cmd.Name(), w, stopped{}, func(ctx context.Context) error {
				return c.SetProvision(ctx, args[0], client.Provision{Verb: metal.VerbAbort})
			})
		}),
	}
	w.flags(c)
	return c
}

// powerTargets is what a person says and what the API calls it.
var powerTargets = map[string]struct {
	ask, end metal.Power
}{
	"on":          {metal.PowerOn, metal.PowerOn},
	"off":         {metal.PowerOff, metal.PowerOff},
	"reboot":      {metal.Reboot, metal.PowerOn},
	"soft-off":    {metal.SoftPowerOff, metal.PowerOff},
	"soft-reboot": {metal.SoftReboot, metal.PowerOn},
}

func (a *app) nodePower() *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use:   "power NODE on|off|reboot|soft-off|soft-reboot",
		Short: "Switch a machine on or off",
		Long: `Switch a machine on or off. off and reboot do not ask the operating system; soft-off and soft-reboot do,
and wait for it to end.`,
		Example: `  ingot node power rack1-u3 on --wait
  ingot node power rack1-u3 soft-off`,
		Args: exactly("NODE", "on|off|reboot|soft-off|soft-reboot"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			t, ok := powerTargets[args[1]]
			if !ok {
				return usagef("power %s: say one of %s", args[1], listed(sortedKeys(powerTargets)))
			}
			return a.start(cmd, c, args[0], "power "+args[1], w, power{t.end}, func(ctx context.Context) error {
				return c.SetPower(ctx, args[0], t.ask, 0)
			})
		}),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, s string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return sortedKeys(powerTargets), cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeNodes(cmd, args, s)
		},
	}
	w.flags(c)
	return c
}
