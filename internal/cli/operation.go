package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

func (a *app) operation() *cobra.Command {
	return a.online(a.group("operation", "What the server is working on", a.operationList(), a.operationShow()))
}

func (a *app) operationList() *cobra.Command {
	var q client.OperationQuery
	c := &cobra.Command{
		Use:   "list",
		Short: "List the operations that are under way, the oldest first",
		Example: `  ingot operation list
  ingot operation list --state "wait call-back"
  ingot operation list --holder conductor-2`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			list, err := c.Operations(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(cmd, list, func(w io.Writer) {
				var rows [][]string
				now := time.Now()
				for i := range list {
					rows = append(rows, operationRow(&list[i], now))
				}
				table(w, []string{"NODE", "VERB", "STATE", "STEP", "FOR", "HOLDER", "WAITING FOR"}, rows)
			})
		}),
	}
	c.Flags().StringVar(&q.State, "state", "", "only those of nodes in this provision state")
	c.Flags().StringVar(&q.WaitingFor, "waiting-for", "", "only those that wait for this event, such as heartbeat")
	c.Flags().StringVar(&q.Holder, "holder", "", "only those that this conductor works on")
	return c
}

func operationRow(o *metal.Operation, now time.Time) []string {
	node, step, lasts := o.NodeName, o.Step, ""
	if node == "" {
		node = o.Node
	}
	if o.StepsTotal > 0 {
		step = fmt.Sprintf("%d/%d %s", stepNumber(&o.Why), o.StepsTotal, o.Step)
	}
	if o.Undoing {
		step += " (undoing)"
	}
	if o.Since != nil {
		lasts = span(now.Sub(*o.Since))
	}
	verb := o.Verb
	if verb == "" {
		verb = o.Plan
	}
	return []string{node, verb, string(o.State), step, lasts, o.Holder, o.WaitingFor}
}

func (a *app) operationShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NODE",
		Short:   "Show the operation of a node: the one under way or, if there is none, the last",
		Example: `  ingot operation show rack1-u3 -o json`,
		Args:    exactly("NODE"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			o, err := c.Operation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, o, func(w io.Writer) {
				for _, s := range operationSentences(args[0], o, time.Now()) {
					fmt.Fprintln(w, oneLine(s))
				}
			})
		}),
	}
}

// operationSentences tells an operation, one sentence a line.
func operationSentences(ident string, o *metal.Operation, now time.Time) []string {
	what := o.Verb
	if what == "" {
		what = o.Plan
	}
	by := ""
	if o.RequestedBy != "" {
		by = fmt.Sprintf(", asked for by %s at %s (request %s)", o.RequestedBy, clock(o.CreatedAt, now), o.RequestID)
	}
	out := []string{fmt.Sprintf("Operation %s (%s) is %s%s.", o.UUID, what, o.Status, by)}
	if o.FinishedAt != nil {
		out = append(out, fmt.Sprintf("It ended at %s, after %s.", clock(*o.FinishedAt, now), span(o.FinishedAt.Sub(o.CreatedAt))))
	}
	if o.Error != "" {
		out = append(out, "Error: "+o.Error)
	}
	if o.Holder != "" && o.LeaseUntil != nil {
		out = append(out, fmt.Sprintf("Conductor %s has it until %s, and longer while it works.", o.Holder, clock(*o.LeaseUntil, now)))
	}
	return append(out, whySentences(ident, &o.Why, now)...)
}
