package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/cli"
	"ingot/internal/config"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// peerFlags are those of the commands that work in a server's data folder.
type peerFlags struct{ data, keyFile, config, database string }

func peerCommand() *cobra.Command {
	var f peerFlags
	c := &cobra.Command{
		Use:   "peer",
		Short: "Certificates of our own servers, where roles run apart",
		Long: `Make and hand out the certificates with which our own servers trust each other. One process that does
everything needs none. These commands work in the data folder of the server they run on.`,
	}
	c.PersistentFlags().StringVar(&f.data, "data", "./ingot-data", "data folder of the server")
	c.PersistentFlags().StringVar(&f.keyFile, "key-file", "", "key that opens private values (default: ingot.key in --data)")
	c.PersistentFlags().StringVar(&f.database, "database", "", "postgres://… of the servers' database, if they have one (default: [database] connection)")
	c.PersistentFlags().StringVar(&f.config, "config", "", "configuration file of the server")
	c.AddCommand(peerInit(&f), peerInvite(&f), peerJoin(&f), peerRotate(&f), peerShow(&f))
	return c
}

func (f *peerFlags) folder() string { return filepath.Join(f.data, "peer") }

// settings gives what the certificates are made with.
func (f *peerFlags) settings(ctx context.Context) (config.Config, secret.Secret, error) {
	loaded, err := config.Load(f.config, os.Environ())
	if err != nil {
		return config.Config{}, secret.Secret{}, err
	}
	source, err := keySourceOf(loaded.Config.Database, f.keyFile, f.data)
	if err != nil {
		return config.Config{}, secret.Secret{}, err
	}
	key, err := source.key(ctx, "")
	if err == nil {
		err = wrongKeyHint(f.learn(ctx, loaded.Config, key), source)
	}
	if err != nil {
		return config.Config{}, secret.Secret{}, err
	}
	return loaded.Config, key.Derive(sealPurpose), nil
}

// learn opens the database's keys, if there is a database already: what is derived stays the same when they are rotated.
func (f *peerFlags) learn(ctx context.Context, c config.Config, key store.Key) error {
	w := &dbWork{f: serveFlags{data: f.data, database: f.database}, c: c}
	if !w.shared() {
		if _, err := os.Stat(w.file()); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	db, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	return store.Learn(ctx, db, key)
}

// authority opens the authority of this data folder.
func (f *peerFlags) authority(ctx context.Context) (*peer.Authority, secret.Secret, error) {
	c, seal, err := f.settings(ctx)
	if err != nil {
		return nil, seal, err
	}
	a, err := peer.OpenAuthority(filepath.Join(f.folder(), "authority"), seal, c.Peer.CertificateLife)
	if errors.Is(err, fs.ErrNotExist) {
		err = cli.Hint(fmt.Errorf("%s has no certificate authority", f.folder()), "run this on the issuing server, or make one with \"ingot peer init\"")
	}
	return a, seal, err
}

func peerInit(f *peerFlags) *cobra.Command {
	var name, given string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the certificate authority, and this server's certificate",
		Long: `Make the certificate authority of all servers that share a database, and the certificate of this one, which
becomes the issuer: it invites and renews the others. Its key stays in the data folder, sealed with the folder's key.`,
		Example: `  ingot peer init --data /var/lib/ingot --name one`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, seal, err := f.settings(c.Context())
			if err != nil {
				return err
			}
			if name == "" {
				name = settings.Default.Host
			}
			if name == "" {
				if name, err = os.Hostname(); err != nil {
					return err
				}
			}
			roles, err := peerRoles(given)
			if err != nil {
				return err
			}
			print, err := peer.Init(f.folder(), name, roles, seal, settings.Peer.CertificateLife)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "This server is %s, the issuer. The authority's SHA-256 is %s.\nStart it with --peer-listen ADDRESS:6388 and invite others: ingot peer invite NAME --roles ROLES\n", name, print)
			return err
		},
	}
	c.Flags().StringVar(&name, "name", "", "name of this server ([DEFAULT] host, or the host name)")
	c.Flags().StringVar(&given, "roles", "all", "roles of this server")
	return c
}

func peerRoles(text string) ([]peer.Role, error) {
	parsed, err := parseRoles(text)
	out := make([]peer.Role, len(parsed))
	for i, r := range parsed {
		out[i] = peer.Role(r)
	}
	return out, err
}

func peerInvite(f *peerFlags) *cobra.Command {
	var given, url string
	c := &cobra.Command{
		Use:   "invite NAME",
		Short: "Print a token with which a new server may join, once, within an hour",
		Long: `Print a join token: whoever has it may join once, within an hour, as NAME with these roles. It also holds the
authority's certificate, so the new server trusts nobody else. Run it on the issuing server, which must be serving with
--peer-listen when the token is used.`,
		Example: `  ingot peer invite two --roles conductor,agent-api --url https://one.example.org:6388 > token
  ingot serve --roles conductor,agent-api --join-token-file token   # on the new server`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a, _, err := f.authority(c.Context())
			if err != nil {
				return err
			}
			roles, err := peerRoles(given)
			if err != nil {
				return err
			}
			issuer, err := peer.Open(peer.Options{Dir: f.folder()})
			if err != nil {
				return err
			}
			token, err := a.Invite(args[0], roles, peer.Server{Name: issuer.Identity().Name, URL: url}, time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), token.Expose()) // what this command is for
			return err
		},
	}
	c.Flags().StringVar(&given, "roles", "", "roles of the new server: api, conductor, agent-api, metadata, divided by commas, or boot alone")
	c.Flags().StringVar(&url, "url", "", "URL of the issuing server's --peer-listen; without it the new server must be told with --join")
	if err := c.MarkFlagRequired("roles"); err != nil {
		panic(err) // a flag that was made a line above
	}
	return c
}

func peerJoin(f *peerFlags) *cobra.Command {
	var file, url string
	c := &cobra.Command{
		Use:     "join",
		Short:   "Join with a token: make a key here and have it certified",
		Example: `  ingot peer join --data /var/lib/ingot --token-file token`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			token, err := readToken(file)
			if err != nil {
				return err
			}
			if _, err := peer.Open(peer.Options{Dir: f.folder()}); !errors.Is(err, fs.ErrNotExist) {
				return cli.Hint(fmt.Errorf("this server has joined already"), "its certificate is in %s; remove that folder to join anew", f.folder())
			}
			id, err := peer.Join(c.Context(), f.folder(), token, url)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "This server is %s, with the roles %s, until %s; it renews that by itself.\n", id.Name, listRoles(id.Roles), id.Until.UTC().Format(time.RFC3339))
			return err
		},
	}
	c.Flags().StringVar(&file, "token-file", "-", "file with the token; - for standard input")
	c.Flags().StringVar(&url, "url", "", "URL of the issuing server (default: the token's)")
	return c
}

// readToken reads a join token from a file or standard input.
func readToken(file string) (secret.Secret, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return secret.Secret{}, fmt.Errorf("read the join token: %w", err)
		}
		defer f.Close() // read-only: nothing is lost
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 64<<10))
	return secret.New(strings.TrimSpace(string(text))), err
}

func listRoles(all []peer.Role) string {
	out := make([]string, len(all))
	for i, r := range all {
		out[i] = string(r)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func peerRotate(f *peerFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-ca",
		Short: "Replace the certificate authority, without an outage",
		Long: `Add a new generation of the certificate authority. The issuing server must be restarted to read it. Every server
trusts it from its next renewal on; it signs when one life of a certificate has passed, and the old one is forgotten when
what it signed has expired.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a, seal, err := f.authority(c.Context())
			if err != nil {
				return err
			}
			if err := a.Rotate(seal, time.Now()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "A new generation was added. Restart the issuing server; the rest happens by itself.")
			return err
		},
	}
}

func peerShow(f *peerFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show this server's certificate",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := peer.Open(peer.Options{Dir: f.folder()})
			if errors.Is(err, fs.ErrNotExist) {
				return cli.Hint(errors.New("this server has no certificate"), "one process that does everything needs none; else: ingot peer init, or ingot peer join")
			}
			if err != nil {
				return err
			}
			id := p.Identity()
			fmt.Fprintf(c.OutOrStdout(), "name: %s\nroles: %s\ncertificate until: %s\n", id.Name, listRoles(id.Roles), id.Until.UTC().Format(time.RFC3339))
			for _, t := range p.Trusted() {
				fmt.Fprintf(c.OutOrStdout(), "trusts: %s, until %s\n", peer.Fingerprint(t), t.NotAfter.UTC().Format(time.RFC3339))
			}
			return nil
		},
	}
}
