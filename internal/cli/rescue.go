package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// rescuing is how somebody will log in to a rescued machine.
type rescuing struct {
	waiting
	passwordFile string
	generate     bool
	keys         []string
	limit        time.Duration
}

func (a *app) nodeRescue() *cobra.Command {
	var r rescuing
	c := &cobra.Command{
		Use:   "rescue NODE [--password-file FILE|--generate] [--ssh-key FILE]...",
		Short: "Boot a rescue system on the machine, beside its disks",
		Long: `Boot a rescue system on the machine of an instance, beside its disks, to mend what is installed there. The user is "rescue";
it logs in on the instance's network, at the console or by SSH. The server keeps no password: it keeps a hash, and that only until
the machine has it. Give a password, or keys, or both.

Here --password-file is the rescue user's. To log in to the server with --user or INGOT_USER, set INGOT_PASSWORD_FILE, or use --token-file.`,
		Example: `  ingot node rescue rack1-u3 --generate --wait
  ingot node rescue rack1-u3 --password-file rescue.pw --ssh-key ~/.ssh/id_ed25519.pub --wait`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
	}
	c.RunE = a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
		return a.rescue(cmd, cl, args[0], &r)
	})
	r.flags(c)
	f := c.Flags()
	f.StringVar(&r.passwordFile, "password-file", "", "file with the password of the rescue user; - for standard input, or a prompt")
	f.BoolVar(&r.generate, "generate", false, "make a password, and print it once")
	f.StringArrayVar(&r.keys, "ssh-key", nil, "file with public keys that may log in; repeatable")
	f.DurationVar(&r.limit, "callback-timeout", 0, "how long the rescue system may take to call the server, such as 45m; 0s for no limit (default: as the server is configured)")
	return c
}

func (a *app) rescue(cmd *cobra.Command, c *client.Client, ident string, r *rescuing) error {
	if err := r.check(); err != nil {
		return err
	}
	p := client.Provision{Verb: metal.VerbRescue}
	if cmd.Flags().Changed("callback-timeout") {
		p.RescueLimit = &r.limit
	}
	var err error
	if p.RescueKeys, err = rescueKeys(cmd, r.keys); err != nil {
		return err
	}
	switch {
	case r.generate:
		p.RescuePassword = generated()
	case r.passwordFile != "":
		if p.RescuePassword, err = readSecret(cmd, r.passwordFile, "Password of the rescue user"); err != nil {
			return err
		}
		if !utf8.ValidString(p.RescuePassword.Expose()) { // JSON would carry another password
			return usagef("Password of the rescue user: what %s holds is not UTF-8", source(r.passwordFile))
		}
	}
	var more map[string]any
	if r.generate { // the one place where a password is shown, to who had it made
		more = map[string]any{"rescue_user": "rescue", "rescue_password": p.RescuePassword.Expose()}
	}
	return a.startWith(cmd, c, ident, cmd.Name(), r.waiting, rest{[]metal.State{metal.Rescue}}, more, func(ctx context.Context) error {
		err := c.SetProvision(ctx, ident, p)
		if err == nil && r.generate && a.format != "json" && a.format != "yaml" { // at once: waiting may be interrupted
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "password of the user rescue: %s\n", p.RescuePassword.Expose())
		}
		return err
	})
}

// check refuses flags that do not go together.
func (r *rescuing) check() error {
	switch {
	case r.generate && r.passwordFile != "":
		return usagef("--generate and --password-file exclude each other")
	case !r.generate && r.passwordFile == "" && len(r.keys) == 0:
		return hint(usagef("nobody could log in: --password-file, --generate or --ssh-key is missing"), "--generate makes a password and prints it once")
	case r.passwordFile == "-" && slices.Contains(r.keys, "-"):
		return usagef("standard input cannot be both the password and a key")
	case r.limit < 0 || r.limit%time.Second != 0:
		return usagef("--callback-timeout %s: say a time of whole seconds", r.limit)
	}
	return nil
}

// rescueKeys are the public keys of the files, as lines of authorized_keys.
func rescueKeys(cmd *cobra.Command, files []string) ([]string, error) {
	found := map[string]any{}
	for _, file := range files {
		if err := addKeys(cmd, file, found); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(found)) {
		line, _ := found[name].(string)
		out = append(out, line)
	}
	return out, nil
}

// readable has no characters that a person takes for one another on a console.
const readable = "abcdefghijkmnpqrstuvwxyz23456789"

// generated is a password of 100 bits that a person can type: five groups of four.
func generated() secret.Secret {
	raw := make([]byte, 20)
	rand.Read(raw)
	var out strings.Builder
	for i, b := range raw {
		if i > 0 && i%4 == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(readable[int(b)%len(readable)]) // 32 of them: every one is as likely
	}
	return secret.New(out.String())
}

func (a *app) nodeUnrescue() *cobra.Command {
	return a.verb(metal.VerbUnrescue, cobra.Command{
		Use:   "unrescue NODE",
		Short: "End the rescue and boot what is installed",
		Long: `End the rescue and boot what is installed on the machine's disks. It ends a rescue that failed, too, and is asked again after
it failed itself.`,
		Example: `  ingot node unrescue rack1-u3 --wait`,
	}, metal.Active)
}
