package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"ingot/internal/client"
)

func (a *app) runbook() *cobra.Command {
	return a.online(a.group("runbook", "Clean and service steps under a name, for nodes that have its trait",
		a.runbookCreate(), a.runbookList(), a.runbookShow(), a.runbookDelete()))
}

func (a *app) runbookCreate() *cobra.Command {
	var s stepFlags
	var owner, description string
	var public, noRamdisk bool
	var traits []string
	c := &cobra.Command{
		Use:   "create NAME --steps FILE --trait TRAIT",
		Short: "Keep clean or service steps under a name",
		Long: `Keep clean or service steps under a name. A runbook is for the nodes that have one of its traits; it is used with
ingot node clean NODE --runbook NAME and ingot node service NODE --runbook NAME. Steps without an order run as the file has them.`,
		Example: `  ingot runbook create firmware --steps firmware.yaml --trait CUSTOM_MODEL_B1
  ingot runbook create wipe --steps wipe.yaml --trait CUSTOM_NVME --public`,
		Args: exactly("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			steps, _, err := s.read(cmd)
			if err != nil {
				return err
			}
			switch {
			case len(steps) == 0:
				return usagef("--steps is missing")
			case public && owner != "":
				return usagef("--public and --owner exclude each other: a public runbook has no owner")
			}
			book := client.Object{"name": args[0], "steps": inOrder(steps)}
			for key, v := range map[string]string{"owner": owner, "description": description} {
				if v != "" {
					book[key] = v
				}
			}
			for key, on := range map[string]bool{"public": public, "disable_ramdisk": noRamdisk} {
				if on {
					book[key] = true
				}
			}
			made, err := c.CreateRunbook(cmd.Context(), book)
			if err != nil {
				return err
			}
			if len(traits) > 0 {
				if err := c.SetRunbookTraits(cmd.Context(), made.UUID, traits); err != nil {
					return hint(err, "the runbook was kept without traits: ingot runbook delete %s, and create it again", made.UUID)
				}
				if made, err = c.Runbook(cmd.Context(), made.UUID); err != nil {
					return err
				}
			}
			return a.print(cmd, made.All, func(w io.Writer) {
				fmt.Fprintf(w, "created runbook %s, %s\n", oneLine(made.Name), made.UUID)
				if len(made.Traits) == 0 {
					fmt.Fprintln(w, "it is for no node yet: it has no trait")
				}
			})
		}),
	}
	f := c.Flags()
	f.StringVar(&s.file, "steps", "", "JSON or YAML file with a list of steps: interface, step, order, args; - for standard input")
	f.StringArrayVar(&traits, "trait", nil, "trait of the nodes that it is for; repeatable, and one that a node has is enough")
	f.StringVar(&owner, "owner", "", "project that it belongs to")
	f.StringVar(&description, "description", "", "a remark")
	f.BoolVar(&public, "public", false, "every project sees it")
	f.BoolVar(&noRamdisk, "disable-ramdisk", false, "its steps run without booting the ramdisk")
	return c
}

// inOrder numbers steps that have no order as they stand, which is what the API wants of every step. One that has an order
// keeps it, and so do all others then.
func inOrder(steps []any) []any {
	for _, s := range steps {
		if step, ok := s.(map[string]any); !ok || step["order"] != nil {
			return steps
		}
	}
	for i, s := range steps {
		s.(map[string]any)["order"] = i + 1
	}
	return steps
}

func (a *app) runbookList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List runbooks",
		Example: `  ingot runbook list -o yaml`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			found, err := c.Runbooks(cmd.Context())
			if err != nil {
				return err
			}
			all := make([]client.Object, len(found))
			rows := make([][]string, len(found))
			for i, r := range found {
				all[i] = r.All
				whose := r.Owner
				if r.Public {
					whose = "(public)"
				}
				names := make([]string, 0, len(r.Steps))
				for _, s := range r.Steps {
					step, _ := s.(map[string]any)
					names = append(names, fmt.Sprintf("%v.%v", step["interface"], step["step"]))
				}
				rows[i] = []string{r.UUID, r.Name, whose, strings.Join(r.Traits, " "), strings.Join(names, " ")}
			}
			return a.print(cmd, all, func(w io.Writer) { table(w, []string{"uuid", "name", "owner", "traits", "steps"}, rows) })
		}),
	}
}

func (a *app) runbookShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show RUNBOOK",
		Short:   "Show a runbook with its steps",
		Example: `  ingot runbook show firmware`,
		Args:    exactly("RUNBOOK"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Runbook(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.document(cmd, r.All)
		}),
	}
}

// document prints one object; as a table it is YAML, which shows lists of steps best.
func (a *app) document(cmd *cobra.Command, o client.Object) error {
	plain, err := plainValue(o)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(plain)
	if err != nil {
		return fmt.Errorf("encode as YAML: %w", err)
	}
	return a.print(cmd, o, func(w io.Writer) { fmt.Fprint(w, clean(string(text))) })
}

func (a *app) runbookDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete RUNBOOK",
		Short:   "Forget a runbook",
		Example: `  ingot runbook delete firmware`,
		Args:    exactly("RUNBOOK"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := c.DeleteRunbook(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted runbook %s\n", oneLine(args[0])) })
		}),
	}
}
