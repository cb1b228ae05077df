package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/signing"
)

func (a *app) nodeSecurity() *cobra.Command {
	return &cobra.Command{
		Use:   "security NODE",
		Short: "Tell how well a machine's firmware and BMC are protected, and what to do",
		Long: `Ask the machine's BMC, now, whether its firmware is signed, whether it has a TPM, whether Secure Boot is on, whether the
machine's own system can reach the BMC, whether boot settings can be locked, and whether the BMC speaks IPMI beside Redfish.
Many BMCs do not tell all of it: the answer is unknown then, and the advice says where to look.`,
		Example: `  ingot node security rack1-u3
  ingot node security rack1-u3 -o json`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Security(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, r, func(w io.Writer) {
				var rows [][]string
				for _, f := range r.Findings {
					mark := "look"
					if f.Good {
						mark = "ok"
					}
					rows = append(rows, []string{f.Name, string(f.Answer), mark, oneLine(f.Detail)})
				}
				table(w, []string{"QUESTION", "ANSWER", "", "AS THE BMC TELLS IT"}, rows)
				for _, f := range r.Findings {
					if f.Advice != "" {
						fmt.Fprintf(w, "%s: %s\n", f.Name, oneLine(f.Advice))
					}
				}
			})
		}),
	}
}

// nodeSecureBootKeys is "node secure-boot keys".
func (a *app) nodeSecureBootKeys() *cobra.Command {
	return a.group("keys", "The certificates that a machine's Secure Boot goes by", a.keysShow(), a.keysEnroll(), a.keysReset())
}

func (a *app) keysShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show NODE",
		Short:             "Show them, as the BMC tells them",
		Example:           `  ingot node secure-boot keys show rack1-u3`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			r, err := c.Security(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"secure_boot_keys": r.Keys}, func(w io.Writer) {
				if r.Keys == nil {
					fmt.Fprintln(w, "the BMC does not show them: look in the firmware's setup")
					return
				}
				var rows [][]string
				for _, db := range r.Keys {
					for _, k := range db.Certificates {
						until := ""
						if k.NotAfter != nil {
							until = k.NotAfter.Format("2006-01-02")
						}
						rows = append(rows, []string{db.Name, oneLine(k.Subject), until, k.Fingerprint})
					}
					if len(db.Certificates) == 0 {
						rows = append(rows, []string{db.Name, "none", "", ""})
					}
				}
				table(w, []string{"DATABASE", "SUBJECT", "UNTIL", "SHA-256"}, rows)
			})
		}),
	}
}

func (a *app) keysEnroll() *cobra.Command {
	var pk, kek, db string
	var replace bool
	var w waiting
	c := &cobra.Command{
		Use:   "enroll NODE [--pk FILE] [--kek FILE] [--db FILE]",
		Short: "Put certificates of your own into the firmware, through the BMC",
		Long: `Put certificates of your own into the machine's firmware, through its BMC; its next boot goes by them. The node is manageable, or
active: then its instance goes on running. Without --replace the certificates that are there stay; with it they go from the
databases that are given, so that the machine starts nothing but what you have signed: its ramdisk, its rescue, its images.`,
		Example: `  ingot node secure-boot keys enroll rack1-u3 --db db.crt --wait
  ingot node secure-boot keys enroll rack1-u3 --pk pk.crt --kek kek.crt --db db.crt --replace --wait`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			given := map[string]any{}
			for name, file := range map[string]string{"pk": pk, "kek": kek, "db": db} {
				if file == "" {
					continue
				}
				text, err := read(cmd, file, 256<<10)
				if err != nil {
					return err
				}
				if !signing.OnlyCertificates(text) {
					return hint(usagef("--%s %s: there is something else in it than certificates as PEM; nothing was sent", name, file),
						"give the certificate (.crt), never its private key; openssl x509 -inform DER -in FILE makes PEM of DER")
				}
				given[name] = string(text)
			}
			if len(given) == 0 {
				return usagef("give --pk, --kek or --db")
			}
			if replace {
				given["replace"] = true
			}
			return a.manage(cmd, cl, args[0], w, "enroll_secure_boot_keys", given)
		}),
	}
	c.Flags().StringVar(&pk, "pk", "", "file with the certificate of the platform key, PEM")
	c.Flags().StringVar(&kek, "kek", "", "file with certificates of those who may change db and dbx, PEM")
	c.Flags().StringVar(&db, "db", "", "file with certificates of those who sign what the firmware starts, PEM")
	c.Flags().BoolVar(&replace, "replace", false, "take the other certificates out of the databases that are given")
	w.flags(c)
	return c
}

func (a *app) keysReset() *cobra.Command {
	var none bool
	var w waiting
	c := &cobra.Command{
		Use:   "reset NODE",
		Short: "Put the maker's keys back, or delete all",
		Example: `  ingot node secure-boot keys reset rack1-u3 --wait
  ingot node secure-boot keys reset rack1-u3 --delete --wait`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, cl *client.Client, args []string) error {
			step := "reset_secure_boot_keys_to_default"
			if none {
				step = "clear_secure_boot_keys"
			}
			return a.manage(cmd, cl, args[0], w, step, nil)
		}),
	}
	c.Flags().BoolVar(&none, "delete", false, "delete all keys: the firmware is in setup mode then, and enforces nothing")
	w.flags(c)
	return c
}

// manage runs one step of the driver's, without a ramdisk: as a clean step on a node that is manageable, as a service step on one
// whose instance runs.
func (a *app) manage(cmd *cobra.Command, c *client.Client, ident string, w waiting, step string, args map[string]any) error {
	n, err := c.Node(cmd.Context(), ident)
	if err != nil {
		return err
	}
	verb, end := metal.VerbClean, metal.Manageable
	if n.State() == metal.Active {
		verb, end = metal.VerbService, metal.Active
	}
	one := map[string]any{"interface": "management", "step": step}
	if args != nil {
		one["args"] = args
	}
	return a.start(cmd, c, ident, step, w, rest{[]metal.State{end}}, func(ctx context.Context) error {
		return c.SetProvision(ctx, ident, client.Provision{Verb: verb, Steps: []any{one}, NoRamdisk: true})
	})
}
