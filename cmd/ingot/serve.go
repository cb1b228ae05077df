package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/secret"
)

// serveFlags is how one server is started.
type serveFlags struct {
	data, database, keyFile, config, roles                     string
	listen, agentListen, bootListen, peerListen, metricsListen string
	agentURL, bootURL, peerURL, join, joinToken, auth          string
	metadataListen                                             string
}

func serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: `Run the server: the API, the agents' door, the boot listener and a conductor, on one embedded database. With
--roles a process does only some of it; several of them share one PostgreSQL database. A boot host (--roles boot) has none.

Machines and their BMCs must reach the boot URL, and machines the agents' door at the same host: give
--boot-listen and --agent-listen an address of the provisioning network. The API listens on loopback, where nobody logs
in; to listen elsewhere it must know who asks: --auth, and docs/guides/authentication.md.`,
		Example: `  ingot serve
  ingot serve --agent-listen 198.18.77.1:6386 --boot-listen 198.18.77.1:6387`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := config.Load(f.config, os.Environ())
			if err == nil && f.auth != "" {
				err = loaded.Set("DEFAULT", "auth_strategy", f.auth, "--auth")
			}
			if err != nil {
				return err
			}
			return serve(c.Context(), f, loaded.Config, c.ErrOrStderr())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.data, "data", "./ingot-data", "folder for the database, its key and the ramdisk")
	fl.StringVar(&f.database, "database", "", "postgres://… for a database that several servers share (default: SQLite in --data; a password belongs into [database] connection or PGPASSWORD)")
	fl.StringVar(&f.keyFile, "key-file", "", "key that opens private values; servers that share a database share it (default: ingot.key in --data, the variable INGOT_SEALING_KEY, or [database] key_command)")
	fl.StringVar(&f.listen, "listen", "", "address of the API (default 127.0.0.1:6385)")
	fl.StringVar(&f.auth, "auth", "", "how callers of the API log in: local, http_basic, keystone or noauth (default [DEFAULT] auth_strategy; noauth, on loopback only)")
	fl.StringVar(&f.agentListen, "agent-listen", "127.0.0.1:6386", "address of the agents' door")
	fl.StringVar(&f.bootListen, "boot-listen", "127.0.0.1:6387", "address that serves boot media and images")
	fl.StringVar(&f.metricsListen, "metrics-listen", "", "address that serves /metrics, /healthz and /readyz (default [metrics] listen: none)")
	fl.StringVar(&f.metadataListen, "metadata-listen", "", "addresses at which instances ask for their metadata, divided by commas, such as 169.254.169.254:80 (default [metadata] listen: none)")
	fl.StringVar(&f.bootURL, "boot-url", "", "URL at which BMCs and machines reach --boot-listen (default http://<boot-listen>)")
	fl.StringVar(&f.agentURL, "agent-url", "", "URL at which machines reach --agent-listen (default: the host of the boot URL)")
	fl.StringVar(&f.roles, "roles", "all", "what this process does: api, conductor, agent-api, netboot, metadata, divided by commas; or boot: serve what conductors push, without a database")
	fl.StringVar(&f.peerListen, "peer-listen", "", "address at which this server serves other servers of ours (default: none)")
	fl.StringVar(&f.peerURL, "peer-url", "", "URL at which other servers reach --peer-listen (default https://<peer-listen>)")
	fl.StringVar(&f.joinToken, "join-token-file", "", "file with a token of \"ingot peer invite\"; - for standard input; used if this server has not joined yet")
	fl.StringVar(&f.join, "join", "", "URL of the issuing server (default: the token's)")
	fl.StringVar(&f.config, "config", "", "configuration file")
	return c
}

// serve builds the rooms and runs them until ctx ends or one of them fails.
func serve(ctx context.Context, f serveFlags, c config.Config, out io.Writer) error {
	log := newLog(c.Default, out)
	if err := secret.RefuseDumps(); err != nil { // main has, but for tests
		return err
	}
	r, err := parseRoles(f.roles)
	if err != nil {
		return err
	}
	if err := metadataAt(&c.Metadata, f.metadataListen, r); err != nil {
		return err
	}
	if r.has(roleBoot) {
		return serveBootHost(ctx, f, c, log)
	}
	if f.roles == "" || f.roles == "all" {
		r = withoutDoor(r, c)
		if c.Netboot.NetworksFile != "" {
			r = append(slices.Clone(r), roleNetboot)
		}
		if len(c.Metadata.Listen) > 0 {
			r = append(slices.Clone(r), roleMetadata)
		}
	}
	if !r.hasAll(withoutDoor(everyRole, c)) && database(f, c).Empty() {
		return cli.Hint(fmt.Errorf("--roles %s: SQLite serves one process only, with every role", f.roles),
			"processes with roles apart share a PostgreSQL database: --database postgres://…")
	}
	if f.listen == "" {
		f.listen = net.JoinHostPort(c.API.HostIP, strconv.Itoa(c.API.Port))
	}
	if f.metricsListen == "" {
		f.metricsListen = c.Metrics.Listen
	}
	if err := mayListen(f.listen, c.Access); err != nil && r.has(roleAPI) {
		return err
	}
	unlock, err := lockData(f.data)
	if err != nil {
		return err
	}
	defer unlock()
	s := &server{f: f, c: c, log: log, roles: r}
	defer s.close()
	if err := s.build(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// newLog writes lines of key=value, or JSON documents where programs read them.
func newLog(c config.Default, out io.Writer) *slog.Logger {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "error": slog.LevelError}
	o := &slog.HandlerOptions{Level: levels[c.LogLevel]}
	if c.Debug {
		o.Level = slog.LevelDebug
	}
	if c.UseJSON {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}
