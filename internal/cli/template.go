package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ingot/internal/client"
)

func (a *app) template() *cobra.Command {
	return a.online(a.group("template", "Deploy steps under the name of a trait",
		a.templateList(), a.templateShow(), a.templateCreate(), a.templateDelete()))
}

func (a *app) templateList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List deploy templates",
		Example: `  ingot template list -o yaml`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			found, err := c.Templates(cmd.Context())
			if err != nil {
				return err
			}
			all := make([]client.Object, len(found))
			rows := make([][]string, len(found))
			for i, d := range found {
				all[i] = d.All
				names := ""
				for _, s := range d.Steps {
					step, _ := s.(map[string]any)
					names += fmt.Sprintf(" %v.%v:%v", step["interface"], step["step"], step["priority"])
				}
				rows[i] = []string{d.UUID, d.Name, names}
			}
			return a.print(cmd, all, func(w io.Writer) { table(w, []string{"uuid", "name", "steps"}, rows) })
		}),
	}
}

func (a *app) templateShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show TEMPLATE",
		Short:   "Show a deploy template with its steps",
		Example: `  ingot template show CUSTOM_RAID1`,
		Args:    exactly("TEMPLATE"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			d, err := c.Template(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.document(cmd, d.All)
		}),
	}
}

func (a *app) templateCreate() *cobra.Command {
	var s stepFlags
	c := &cobra.Command{
		Use:   "create NAME --steps FILE",
		Short: "Keep deploy steps under the name of a trait",
		Long: `Keep deploy steps under the name of a trait, such as CUSTOM_HYPERTHREADING_ON. A node that has the trait, and whose
instance_info asks for it, is deployed with these steps.`,
		Example: `  ingot template create CUSTOM_RAID1 --steps raid1.yaml`,
		Args:    exactly("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			steps, _, err := s.read(cmd)
			if err != nil {
				return err
			}
			if len(steps) == 0 {
				return usagef("--steps is missing")
			}
			d, err := c.CreateTemplate(cmd.Context(), args[0], withArgs(steps))
			if err != nil {
				return err
			}
			return a.print(cmd, d.All, func(w io.Writer) { fmt.Fprintf(w, "created deploy template %s, %s\n", oneLine(d.Name), d.UUID) })
		}),
	}
	c.Flags().StringVar(&s.file, "steps", "", "JSON or YAML file with a list of steps: interface, step, priority, args; - for standard input")
	return c
}

func (a *app) templateDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete TEMPLATE",
		Short:   "Forget a deploy template",
		Example: `  ingot template delete CUSTOM_RAID1`,
		Args:    exactly("TEMPLATE"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := c.DeleteTemplate(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted deploy template %s\n", oneLine(args[0])) })
		}),
	}
}
