package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"ingot/internal/client"
)

func (a *app) server() *cobra.Command {
	return a.online(a.group("server", "Our own servers, where several share a database", a.serverList(), a.serverRevoke()))
}

func (a *app) serverList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List our servers: roles, addresses and whether they live",
		Example: `  ingot server list`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			servers, err := c.Servers(cmd.Context())
			if err != nil {
				return err
			}
			rows := make([][]string, len(servers))
			for i, s := range servers {
				alive := "dead"
				if s.Alive {
					alive = "alive"
				}
				rows[i] = []string{s.Name, listed(s.Roles), alive, s.PeerURL, s.AgentURL, s.BootURL, s.CertificateUntil}
			}
			return a.print(cmd, servers, func(w io.Writer) {
				table(w, []string{"NAME", "ROLES", "STATE", "PEER", "AGENTS", "BOOT", "CERTIFICATE UNTIL"}, rows)
			})
		}),
	}
}

func (a *app) serverRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Make our other servers refuse this one's certificates",
		Long: `Make our other servers refuse every certificate that was issued to this server until now; they read the list every few
seconds. Its access to the database is not part of it: change that password, or end the server. It may be invited again.`,
		Example: `  ingot server revoke two`,
		Args:    exactly("NAME"),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			if err := c.RevokeServer(cmd.Context(), args[0]); err != nil {
				return err
			}
			said := fmt.Sprintf("Server %s is revoked. It still reaches the database: change that password, or end the server.", oneLine(args[0]))
			servers, err := c.Servers(cmd.Context())
			if err == nil && !slices.ContainsFunc(servers, func(s client.Server) bool { return s.Name == args[0] }) {
				said = fmt.Sprintf("Certificates of the name %s are refused from now on, but no server of that name is listed. If it is no boot host, which never is, look at: ingot server list", oneLine(args[0]))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		}),
	}
}
