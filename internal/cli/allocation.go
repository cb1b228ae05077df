package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

var allocationLead = []string{"name", "uuid", "state", "node_uuid", "last_error", "resource_class", "traits", "candidate_nodes", "owner"}

func (a *app) allocation() *cobra.Command {
	return a.online(a.group("allocation", "Ask for any node of a kind, instead of a certain one",
		a.allocationCreate(), a.allocationList(), a.allocationShow(), a.allocationDelete()))
}

// allocationFlags is what an allocation may ask for.
type allocationFlags struct {
	class, name, owner, node string
	traits, candidates       []string
	extra                    []string
}

func (w *allocationFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&w.class, "resource-class", "", "resource class that the node must have")
	f.StringVar(&w.name, "name", "", "name of the allocation")
	f.StringVar(&w.owner, "owner", "", "project that it is for; only nodes of that project are taken")
	f.StringVar(&w.node, "node", "", "name or UUID of an active node that is to get an allocation afterwards; nothing is searched then")
	f.StringArrayVar(&w.traits, "trait", nil, "trait that the node must have; repeatable")
	f.StringArrayVar(&w.candidates, "candidate-node", nil, "name or UUID of a node that may be taken; repeatable; without any, every node may")
	f.StringArrayVar(&w.extra, "extra", nil, "KEY=VALUE of your own; repeatable")
}

func (w *allocationFlags) wish() (client.Object, error) {
	if w.class == "" && w.node == "" {
		return nil, hint(usagef("--resource-class is missing"), "ingot node list --fields name,resource_class shows what there is")
	}
	out := client.Object{}
	for key, v := range map[string]string{"resource_class": w.class, "name": w.name, "owner": w.owner, "node": w.node} {
		if v != "" {
			out[key] = v
		}
	}
	for key, list := range map[string][]string{"traits": w.traits, "candidate_nodes": w.candidates} {
		if len(list) > 0 {
			out[key] = list
		}
	}
	extra, err := pairs(w.extra, guess)
	if err == nil && len(extra) > 0 {
		out["extra"] = extra
	}
	return out, err
}

func (a *app) allocationCreate() *cobra.Command {
	var w waiting
	var flags allocationFlags
	c := &cobra.Command{
		Use:   "create --resource-class CLASS",
		Short: "Ask for a node",
		Long: `Ask for a node. A conductor looks for one that is available, of the class and with the traits, and holds it for the allocation;
with --wait the command ends when it has found one, or has none.`,
		Example: `  ingot allocation create --resource-class large --name web --wait
  ingot allocation create --resource-class gpu --trait CUSTOM_A100 --candidate-node rack1-u3 --candidate-node rack1-u4 --wait --timeout 2m
  ingot allocation create --node rack1-u3 --name old-web`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			if err := w.check(); err != nil {
				return err
			}
			wish, err := flags.wish()
			if err != nil {
				return err
			}
			made, err := c.CreateAllocation(cmd.Context(), wish)
			if err == nil && w.wait {
				made, err = a.allocated(cmd.Context(), c, made, w.timeout)
			}
			if err != nil {
				return err
			}
			return a.print(cmd, made.All, func(w io.Writer) {
				if made.NodeUUID != "" {
					fmt.Fprintf(w, "allocation %s has node %s\n", oneLine(made.Label()), made.NodeUUID)
					return
				}
				fmt.Fprintf(w, "allocation %s asks for a node\nfollow it: ingot allocation show %s\n", oneLine(made.Label()), made.UUID)
			})
		}),
	}
	w.flags(c)
	flags.add(c)
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	_ = c.RegisterFlagCompletionFunc("candidate-node", a.completeNodes)
	return c
}

// allocated waits until a conductor has decided about an allocation. A server that is away for a while is waited for.
func (a *app) allocated(ctx context.Context, c *client.Client, al *client.Allocation, limit time.Duration) (*client.Allocation, error) {
	waitCtx := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		waitCtx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	uuid, gap := al.UUID, a.Poll/8
	var lost time.Time
	for al.State == string(metal.Allocating) {
		err := pause(waitCtx, gap)
		if err == nil {
			var now *client.Allocation
			if now, err = c.Allocation(waitCtx, uuid); err == nil {
				al, lost = now, time.Time{}
			}
		}
		switch {
		case waitCtx.Err() != nil:
			err = errors.New("stopped waiting")
			if ctx.Err() == nil {
				err = errors.New("no node after " + span(limit))
			}
			return nil, hint(err, "the allocation goes on: ingot allocation show %s, or end it: ingot allocation delete %s", uuid, uuid)
		case isUnreachable(err) && (lost.IsZero() || time.Since(lost) < lostLimit):
			if lost.IsZero() {
				lost = time.Now()
			}
		case err != nil:
			return nil, err
		}
		gap = min(2*gap, a.Poll)
	}
	if al.State == string(metal.AllocationError) {
		why := strings.TrimPrefix(al.LastError, "Failed to process allocation "+uuid+": ")
		return nil, hint(operationFailed("allocation %s has got no node: %s", al.Label(), why), "forget it with ingot allocation delete %s, and ask again", uuid)
	}
	return al, nil
}

func (a *app) allocationList() *cobra.Command {
	var q client.AllocationQuery
	c := &cobra.Command{
		Use:   "list",
		Short: "List allocations",
		Example: `  ingot allocation list --state error
  ingot allocation list --node rack1-u3 -o json`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			found, err := c.Allocations(cmd.Context(), q)
			if err != nil {
				return err
			}
			all := make([]client.Object, len(found))
			rows := make([][]string, len(found))
			for i, al := range found {
				all[i] = al.All
				rows[i] = []string{al.UUID, al.Name, al.ResourceClass, al.State, al.NodeUUID, al.LastError}
			}
			return a.print(cmd, all, func(w io.Writer) {
				table(w, []string{"uuid", "name", "resource_class", "state", "node_uuid", "last_error"}, rows)
			})
		}),
	}
	f := c.Flags()
	f.StringVar(&q.Node, "node", "", "only of this node")
	f.StringVar(&q.ResourceClass, "resource-class", "", "only for this resource class")
	f.StringVar(&q.State, "state", "", "only in this state: allocating, active or error")
	f.StringVar(&q.Owner, "owner", "", "only of this project")
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"allocating", "active", "error"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	return c
}

func (a *app) allocationShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show ALLOCATION",
		Short:   "Show an allocation",
		Example: `  ingot allocation show web`,
		Args:    exactly("ALLOCATION"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			al, err := c.Allocation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, al.All, func(w io.Writer) { fields(w, al.All, allocationLead, false) })
		}),
	}
}

func (a *app) allocationDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete ALLOCATION",
		Short:   "Forget an allocation, and free its node",
		Long:    "Forget an allocation, and free its node. A node that is deployed is undeployed instead, which forgets its allocation too.",
		Example: `  ingot allocation delete web`,
		Args:    exactly("ALLOCATION"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := c.DeleteAllocation(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"deleted": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "deleted allocation %s\n", oneLine(args[0])) })
		}),
	}
}
