package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
)

func (a *app) nodeTrait() *cobra.Command {
	return a.group("trait", "What a node can do, by names that allocations, deploy templates and runbooks ask for",
		a.traitList(), a.traitAdd(), a.traitRemove(), a.traitSet())
}

func (a *app) traitList() *cobra.Command {
	return a.traits(cobra.Command{
		Use:     "list NODE",
		Short:   "List the traits of a node",
		Example: `  ingot node trait list rack1-u3`,
		Args:    exactly("NODE"),
	}, func(context.Context, *client.Client, string, []string) error { return nil })
}

func (a *app) traitAdd() *cobra.Command {
	return a.traits(cobra.Command{
		Use:     "add NODE TRAIT...",
		Short:   "Give a node more traits",
		Example: `  ingot node trait add rack1-u3 CUSTOM_A100 HW_CPU_X86_VMX`,
		Args:    atLeast("NODE", "TRAIT"),
	}, each((*client.Client).AddTrait))
}

func (a *app) traitRemove() *cobra.Command {
	return a.traits(cobra.Command{
		Use:     "remove NODE TRAIT...",
		Short:   "Take traits from a node",
		Example: `  ingot node trait remove rack1-u3 CUSTOM_A100`,
		Args:    atLeast("NODE", "TRAIT"),
	}, each((*client.Client).RemoveTrait))
}

func (a *app) traitSet() *cobra.Command {
	return a.traits(cobra.Command{
		Use:   "set NODE [TRAIT...]",
		Short: "Give a node these traits and no other",
		Example: `  ingot node trait set rack1-u3 CUSTOM_A100 CUSTOM_NVME
  ingot node trait set rack1-u3`,
		Args: atLeast("NODE"),
	}, func(ctx context.Context, c *client.Client, node string, traits []string) error {
		return c.SetTraits(ctx, node, traits)
	})
}

// traits makes a command that changes the traits of a node and shows what it has then.
func (a *app) traits(c cobra.Command, change func(ctx context.Context, c *client.Client, node string, traits []string) error) *cobra.Command {
	c.ValidArgsFunction = a.completeNodes
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		if err := change(cmd.Context(), cl, args[0], args[1:]); err != nil {
			return err
		}
		have, err := cl.Traits(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.print(cmd, map[string]any{"traits": have}, func(w io.Writer) {
			if len(have) == 0 {
				fmt.Fprintf(w, "node %s has no traits\n", oneLine(args[0]))
				return
			}
			fmt.Fprintln(w, clean(strings.Join(have, "\n")))
		})
	})
	return &c
}

// each changes one trait after the other.
func each(one func(c *client.Client, ctx context.Context, node, trait string) error) func(context.Context, *client.Client, string, []string) error {
	return func(ctx context.Context, c *client.Client, node string, traits []string) error {
		for _, t := range traits {
			if err := one(c, ctx, node, t); err != nil {
				return err
			}
		}
		return nil
	}
}
