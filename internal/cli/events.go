package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// eventFlags are the flags of both commands that show events.
type eventFlags struct {
	last   int
	after  string
	follow bool
}

func (e *eventFlags) flags(c *cobra.Command) {
	c.Flags().IntVar(&e.last, "last", 0, "only this many, the newest; 0 shows all")
	c.Flags().StringVar(&e.after, "after", "", "only events after this one: its UUID, or its place")
	c.Flags().BoolVarP(&e.follow, "follow", "f", false, "go on with what happens, until interrupted; a lost server is asked again, and nothing is missed")
}

func (e *eventFlags) check() error {
	if e.last < 0 {
		return usagef("--last %d is negative", e.last)
	}
	return nil
}

func (a *app) nodeEvents() *cobra.Command {
	var e eventFlags
	c := &cobra.Command{
		Use:   "events NODE",
		Short: "Show a node's history: who did what, when and why",
		Example: `  ingot node events rack1-u3
  ingot node events rack1-u3 --last 20 -o json
  ingot node events rack1-u3 --follow`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := e.check(); err != nil {
				return err
			}
			events, err := c.Events(cmd.Context(), args[0], e.after)
			if err != nil {
				return err
			}
			after := e.after
			if n := len(events); n > 0 {
				after = events[n-1].UUID
				if e.last > 0 && n > e.last {
					events = events[n-e.last:]
				}
			}
			if e.follow {
				return a.tellEvents(cmd, c, args[0], after, events)
			}
			return a.print(cmd, events, func(w io.Writer) {
				var rows [][]string
				for _, e := range events {
					rows = append(rows, []string{e.At.Local().Format(time.DateTime), e.Who, eventWhat(e), eventWhy(e)})
				}
				table(w, []string{"WHEN", "WHO", "WHAT", "WHY"}, rows)
			})
		}),
	}
	e.flags(c)
	return c
}

// events is the history of all nodes.
func (a *app) events() *cobra.Command {
	var e eventFlags
	var node string
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happens to all nodes, in one stream",
		Long: `Show the events of all nodes in the order in which they were committed. With --follow it begins with what
happens from now on, unless --after or --last says otherwise, and goes on until interrupted.`,
		Example: `  ingot events --follow
  ingot events --last 50
  ingot events --follow --after 1234 -o json`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			if err := e.check(); err != nil {
				return err
			}
			if e.follow && e.last == 0 {
				after := e.after
				if after == "" {
					after = "now"
				}
				return a.tellEvents(cmd, c, node, after, nil)
			}
			events, next, err := allEvents(cmd.Context(), c, node, e)
			if err != nil {
				return err
			}
			if e.follow {
				return a.tellEvents(cmd, c, node, next, events)
			}
			return a.print(cmd, events, func(w io.Writer) {
				var rows [][]string
				for _, e := range events {
					rows = append(rows, []string{fmt.Sprint(e.Place), e.At.Local().Format(time.DateTime), e.NodeUUID, e.Who, eventWhat(e), eventWhy(e)})
				}
				table(w, []string{"PLACE", "WHEN", "NODE", "WHO", "WHAT", "WHY"}, rows)
			})
		}),
	}
	a.online(c)
	c.Flags().StringVar(&node, "node", "", "only this node's")
	c.Flags().StringVarP(&a.format, "output", "o", "table", "print as table, json or yaml")
	e.flags(c)
	return c
}

// allEvents reads pages to the end and keeps the newest that are wanted.
func allEvents(ctx context.Context, c *client.Client, node string, e eventFlags) (out []metal.HistoryEvent, next string, err error) {
	out, next = []metal.HistoryEvent{}, e.after
	if next == "" {
		next = "start"
	}
	for {
		page, after, err := c.EventPage(ctx, node, next, 500)
		if err != nil {
			return nil, "", err
		}
		out, next = append(out, page...), after
		if e.last > 0 && len(out) > e.last {
			out = append([]metal.HistoryEvent{}, out[len(out)-e.last:]...)
		}
		if len(page) == 0 {
			return out, next, nil
		}
	}
}

// tellEvents writes the events that are there and then those that come, a line each; with -o json a document
// a line.
func (a *app) tellEvents(cmd *cobra.Command, c *client.Client, node, after string, first []metal.HistoryEvent) error {
	if a.format == "yaml" {
		return usagef("--follow prints lines: -o table, or -o json for a document a line")
	}
	tell := func(e metal.HistoryEvent) error {
		if a.format == "json" {
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetEscapeHTML(false)
			return enc.Encode(e)
		}
		who := e.Who
		if node == "" {
			who = e.NodeUUID + "  " + who
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), oneLine(e.At.Local().Format(time.DateTime)+"  "+who+"  "+eventWhat(e)+"  "+eventWhy(e)))
		return err
	}
	for _, e := range first {
		if err := tell(e); err != nil {
			return err
		}
	}
	lost := false
	return c.Follow(cmd.Context(), node, after, client.Follower{
		Event: func(e metal.HistoryEvent) error {
			lost = false
			return tell(e)
		},
		Lost: func(error) {
			if !lost {
				fmt.Fprintln(cmd.ErrOrStderr(), "the server does not answer; waiting for it to come back")
			}
			lost = true
		},
	})
}
