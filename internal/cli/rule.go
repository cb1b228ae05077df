package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"ingot/internal/client"
)

func (a *app) rule() *cobra.Command {
	return a.online(a.group("inspection-rule", "What to do with a node when its inspection has found something",
		a.ruleList(), a.ruleShow(), a.ruleCreate(), a.ruleDelete()))
}

func (a *app) ruleList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List inspection rules in the order of their priority",
		Example: `  ingot inspection-rule list`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			found, err := c.Rules(cmd.Context())
			if err != nil {
				return err
			}
			all := make([]client.Object, len(found))
			rows := make([][]string, len(found))
			for i, r := range found {
				all[i] = r.All
				rows[i] = []string{r.UUID, strconv.Itoa(r.Priority), r.Description, ruleOps(r.Conditions), ruleOps(r.Actions)}
			}
			return a.print(cmd, all, func(w io.Writer) {
				table(w, []string{"uuid", "priority", "description", "conditions", "actions"}, rows)
			})
		}),
	}
}

// ruleOps are the names of a rule's conditions or actions; a sensitive rule's are not told.
func ruleOps(list any) string {
	items, ok := list.([]any)
	if !ok {
		return "(sensitive)"
	}
	names := make([]string, 0, len(items))
	for _, item := range items {
		o, _ := item.(map[string]any)
		names = append(names, fmt.Sprint(o["op"]))
	}
	return strings.Join(names, " ")
}

func (a *app) ruleShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show UUID",
		Short:   "Show an inspection rule",
		Example: `  ingot inspection-rule show 7b6e6a7e-61a0-4c52-9d09-3b3ab5ad8c11 -o yaml`,
		Args:    exactly("UUID"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Rule(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, r.All, func(w io.Writer) {
				out, err := yaml.Marshal(r.All)
				if err == nil {
					_, _ = w.Write(out) // a terminal that is gone needs no message
				}
			})
		}),
	}
}

func (a *app) ruleCreate() *cobra.Command {
	return &cobra.Command{
		Use:   "create FILE",
		Short: "Keep an inspection rule from a JSON or YAML file",
		Long: `Keep an inspection rule from a JSON or YAML file (- for standard input): description, priority, sensitive, conditions and
actions. The rule runs at the end of every inspection from then on.`,
		Example: `  ingot inspection-rule create dell.yaml`,
		Args:    exactly("FILE"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			b, err := read(cmd, args[0], documentLimit)
			if err != nil {
				return err
			}
			var rule client.Object
			if err := yaml.Unmarshal(b, &rule); err != nil || rule == nil {
				return hint(usagef("%s: not a JSON or YAML object", args[0]), "it is like: {description: all, actions: [{op: log, args: {msg: hello}}]}")
			}
			r, err := c.CreateRule(cmd.Context(), rule)
			if err != nil {
				return err
			}
			return a.print(cmd, r.All, func(w io.Writer) { fmt.Fprintf(w, "created inspection rule %s\n", r.UUID) })
		}),
	}
}

func (a *app) ruleDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete UUID",
		Short:   "Forget an inspection rule",
		Example: `  ingot inspection-rule delete 7b6e6a7e-61a0-4c52-9d09-3b3ab5ad8c11`,
		Args:    exactly("UUID"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := c.DeleteRule(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted inspection rule %s\n", oneLine(args[0])) })
		}),
	}
}
