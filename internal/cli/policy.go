package cli

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"ingot/internal/client"
)

func (a *app) policy() *cobra.Command {
	return a.online(a.group("policy", "Who may do what, and why", a.policyList(), a.policyExplain()))
}

func (a *app) policyList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the rules that are in force, and where they are from",
		Example: `  ingot policy list`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			rules, err := c.PolicyRules(cmd.Context())
			if err != nil {
				return err
			}
			rows := make([][]string, len(rules))
			for i, r := range rules {
				rows[i] = []string{string(r.Rule), r.Scope, r.Source, r.Check}
			}
			return a.print(cmd, rules, func(w io.Writer) { table(w, []string{"RULE", "SCOPE", "FROM", "CHECK"}, rows) })
		}),
	}
}

func (a *app) policyExplain() *cobra.Command {
	var user, rule, node, project string
	var roles []string
	var system bool
	c := &cobra.Command{
		Use:   "explain",
		Short: "Tell whether somebody has a right, and why",
		Long: `Tell whether somebody has a right on a node, and why: the rule, its check string, where that is from, and which parts
of it hold. --user names a user of the server's identity file (NAME or NAME@PROJECT); --roles with --project or --system
describes anybody else; with neither, it is about yourself. Log in with INGOT_USER here, as --user is whom you ask about.`,
		Example: `  ingot policy explain --user ann --rule node:set_power_state --node web-1
  ingot policy explain --roles member --project p1 --rule node:update --node web-1`,
		Args: exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			if rule == "" {
				return hint(usagef("--rule is missing"), "ingot policy list shows the rules")
			}
			q := url.Values{"rule": {rule}}
			for key, v := range map[string]string{"user": user, "node": node, "project": project, "roles": strings.Join(roles, ",")} {
				if v != "" {
					q.Set(key, v)
				}
			}
			if system {
				q.Set("system", "all")
			}
			found, err := c.Explain(cmd.Context(), q)
			if err != nil {
				return err
			}
			return a.print(cmd, found, func(w io.Writer) { tellExplanation(w, found) })
		}),
	}
	f := c.Flags()
	f.StringVar(&user, "user", "", "user of the identity file")
	f.StringVar(&rule, "rule", "", "the rule, such as node:set_power_state")
	f.StringVar(&node, "node", "", "node the rule is judged on, by name or UUID")
	f.StringVar(&project, "project", "", "project of the described caller")
	f.StringSliceVar(&roles, "roles", nil, "roles of the described caller")
	f.BoolVar(&system, "system", false, "the described caller's roles are on the whole system")
	return c
}

func tellExplanation(w io.Writer, found client.Explanation) {
	for _, why := range found.Why {
		fmt.Fprintf(w, "%s: %s", oneLine(string(why.Rule)), verdict(why.Allowed))
		if why.Source != "" {
			fmt.Fprintf(w, " (%s)", oneLine(why.Source))
		}
		fmt.Fprintln(w)
		if why.Said != "" {
			fmt.Fprintf(w, "  %s\n", oneLine(why.Said))
		}
		for _, p := range why.Parts {
			fmt.Fprintf(w, "  %s%-3s %s", strings.Repeat("  ", p.Depth), map[bool]string{true: "yes", false: "no"}[p.Holds], oneLine(p.Check))
			if p.Seen != "" {
				fmt.Fprintf(w, "   (%s)", oneLine(p.Seen))
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintf(w, "\nTogether: %s\n", verdict(found.Allowed))
}

func verdict(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}
