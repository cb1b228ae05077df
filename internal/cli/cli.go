package cli

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// Options is what the commands need and cannot make themselves. A nil func makes the command that needs it
// say that this build cannot do it.
type Options struct {
	// Getenv reads INGOT_ENDPOINT and who logs in; nil: os.Getenv.
	Getenv func(string) string
	// Probe looks at a BMC without credentials.
	Probe func(ctx context.Context, url string) (Probe, error)
	// Checksum finds the checksum of an image; spec is "auto" or the URL of a checksum file.
	Checksum func(ctx context.Context, imageURL, spec string) (Checksum, error)
	// Settings reads the configuration as serve would: from file if not "", and the environment.
	Settings func(file string) ([]Setting, error)
	// Examine tells what is wrong with this host, for the server whose data folder and configuration file these
	// are; serving: it runs.
	Examine func(ctx context.Context, data, file string, serving bool) []metal.Finding
	// Poll is the most time between two looks at a node that is waited for; 0: 700 ms.
	Poll time.Duration
}

// Checksum is what Options.Checksum found.
type Checksum struct {
	Algo   string // "sha256" or "sha512"
	Value  string // lower-case hex
	Source string // a phrase for people: where it was found
}

// app is what all commands share: the options and the flags every group has.
type app struct {
	Options
	endpoint string
	format   string
	login    login
}

// Commands makes the top-level commands. Each carries its own --endpoint and --output, so they fit below
// any root.
func Commands(o Options) []*cobra.Command {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Poll <= 0 {
		o.Poll = 700 * time.Millisecond
	}
	a := &app{Options: o}
	return []*cobra.Command{a.node(), a.allocation(), a.template(), a.runbook(), a.rule(), a.port(), a.driver(), a.conductor(), a.bmc(), a.boot(), a.config(), a.events(), a.operation(), a.server(), a.doctor(), a.erasure(), a.policy(), a.supportBundle(), a.user(), a.vendordata(), a.os()}
}

// group makes a command that only holds others.
func (a *app) group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:           use,
		Short:         short,
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          ofGroup,
	}
	c.SuggestionsMinimumDistance = 2
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	for _, s := range subs {
		s.SilenceUsage, s.SilenceErrors = true, true
		c.AddCommand(s)
	}
	f := c.PersistentFlags()
	f.StringVarP(&a.format, "output", "o", "table", "print as table, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// ofGroup is the body of a command that only has commands below it.
func ofGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	err := usagef("%q is no command of %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = hint(err, "did you mean %q?", cmd.CommandPath()+" "+near[0])
	}
	return err
}

// Groups has every command below c that only has commands below it refuse a name that it does not know, where cobra
// would show the help and succeed.
func Groups(c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.HasSubCommands() && !sub.Runnable() {
			sub.Args, sub.RunE, sub.SuggestionsMinimumDistance = cobra.ArbitraryArgs, ofGroup, 2
		}
		Groups(sub)
	}
}

// online adds the flag of groups that talk to a server.
func (a *app) online(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&a.endpoint, "endpoint", "",
		"URL of the server (default $INGOT_ENDPOINT, or "+client.DefaultEndpoint+")")
	a.login.flags(c)
	return c
}

// connect makes the client, after checking the flags all commands share.
func (a *app) connect(cmd *cobra.Command) (*client.Client, error) {
	if err := a.checkFormat(); err != nil {
		return nil, err
	}
	endpoint := a.endpoint
	if endpoint == "" {
		endpoint = a.Getenv("INGOT_ENDPOINT")
	}
	if endpoint == "" {
		endpoint = client.DefaultEndpoint
	}
	o, err := a.loginOptions(cmd)
	if err != nil {
		return nil, err
	}
	c, err := client.New(endpoint, o)
	if err != nil {
		return nil, &failure{err: err, code: exitUsage}
	}
	return c, nil
}

// run is the body of a command that talks to a server.
func (a *app) run(f func(cmd *cobra.Command, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.connect(cmd)
		if err != nil {
			return err
		}
		return f(cmd, c, args)
	}
}

// exactly demands the named arguments and no more.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			verb := "is"
			if len(names)-len(args) > 1 {
				verb = "are"
			}
			return usage(cmd, usagef("%s %s missing", strings.Join(names[len(args):], " and "), verb))
		case len(args) > len(names):
			return usage(cmd, usagef("%q is one argument too many", args[len(names)]))
		}
		for i, arg := range args {
			if arg == "" {
				return usage(cmd, usagef("%s is empty", names[i]))
			}
		}
		return nil
	}
}

// atLeast demands the named arguments; the last may come more than once.
func atLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			args = args[:len(names)]
		}
		return exactly(names...)(cmd, args)
	}
}

// completionLimit ends the question for node names behind a tab key.
const completionLimit = 2 * time.Second

// completeNodes offers the names of nodes for the first argument.
func (a *app) completeNodes(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if a.Getenv("INGOT_USER") != "" && a.Getenv("INGOT_PASSWORD_FILE")+a.Getenv("INGOT_PASSWORD") == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp // nobody is asked for a password behind a tab key
	}
	c, err := a.connect(cmd)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	nodes, err := c.Nodes(ctx, client.NodeQuery{Fields: []string{"uuid", "name"}, Limit: 500})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, 0, len(nodes))
	for i := range nodes {
		names = append(names, nodes[i].Label())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
