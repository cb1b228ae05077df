package cli

import (
	"context"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// setting is a goal among a node's firmware settings.
type setting struct {
	has  func(*client.States) bool
	text string
}

func (g setting) ended(s *client.States) (bool, bool) {
	if s.LastError != "" {
		return true, false
	}
	return g.has(s), true
}

func (g setting) describe(*client.Node) string { return g.text }

func (a *app) nodeBootMode() *cobra.Command {
	var w waiting
	set := &cobra.Command{
		Use:     "set NODE uefi|bios",
		Short:   "Change how a machine boots, as of its next boot",
		Example: `  ingot node boot-mode set rack1-u3 uefi --wait`,
		Args:    exactly("NODE", "uefi|bios"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			mode := args[1]
			if mode != metal.UEFI && mode != metal.BIOS {
				return usagef("boot-mode set %s: say uefi or bios", mode)
			}
			goal := setting{func(s *client.States) bool { return s.BootMode == mode }, "set to boot mode " + mode}
			return a.start(cmd, c, args[0], "boot mode "+mode, w, goal, func(ctx context.Context) error {
				return c.SetBootMode(ctx, args[0], mode)
			})
		}),
		ValidArgsFunction: a.completeThen(metal.UEFI, metal.BIOS),
	}
	w.flags(set)
	return a.group("boot-mode", "How a machine's firmware boots", set)
}

func (a *app) nodeSecureBoot() *cobra.Command {
	cmds := []*cobra.Command{}
	for _, row := range []struct {
		name, short string
		on          bool
	}{
		{"on", "Switch Secure Boot on, as of the next boot", true},
		{"off", "Switch Secure Boot off, as of the next boot", false},
	} {
		var w waiting
		c := &cobra.Command{
			Use:     row.name + " NODE",
			Short:   row.short,
			Example: `  ingot node secure-boot ` + row.name + ` rack1-u3 --wait`,
			Args:    exactly("NODE"),
			RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
				goal := setting{func(s *client.States) bool { return s.SecureBoot != nil && *s.SecureBoot == row.on }, "set to Secure Boot " + row.name}
				return a.start(cmd, c, args[0], "secure boot "+row.name, w, goal, func(ctx context.Context) error {
					return c.SetSecureBoot(ctx, args[0], row.on)
				})
			}),
			ValidArgsFunction: a.completeNodes,
		}
		w.flags(c)
		cmds = append(cmds, c)
	}
	return a.group("secure-boot", "Whether a machine's firmware runs only what its keys sign", append(cmds, a.nodeSecureBootKeys())...)
}

// completeThen completes a node's name and then one of words.
func (a *app) completeThen(words ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, s string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 1 {
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeNodes(cmd, args, s)
	}
}
