package cli

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/metal"
)

// maxErasureFile bounds what verify reads, bytes.
const maxErasureFile = 64 << 20

func (a *app) nodeErasure() *cobra.Command {
	return &cobra.Command{
		Use:   "erasure NODE",
		Short: "List a node's erase certificates",
		Long: `List what was erased on a node, and how that is known: one certificate for each device of each cleaning, newest first.
They stay when the node is used again, and when it is deleted (then NODE is its UUID). With -o json they can be kept elsewhere, and
verified with ingot erasure verify.`,
		Example: `  ingot node erasure rack1-u3
  ingot node erasure rack1-u3 -o json > rack1-u3.erasure.json`,
		Args:              exactly("NODE"),
		ValidArgsFunction: a.completeNodes,
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, args []string) error {
			records, err := c.Erasures(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"certificates": records}, func(w io.Writer) {
				if len(records) == 0 {
					fmt.Fprintf(w, "Node %s has no erase certificate: it was not cleaned yet, or nothing was erased that our agent could read back: fake hardware and agents of another make give none.\n", oneLine(args[0]))
					return
				}
				var rows [][]string
				for _, r := range records {
					rows = append(rows, erasureRow(r))
				}
				table(w, []string{"WHEN", "DEVICE", "SERIAL", "SIZE", "METHOD", "PASSES", "READ BACK"}, rows)
			})
		}),
	}
}

func erasureRow(r metal.ErasureRecord) []string {
	c := r.Certificate
	if c == nil {
		return []string{"", "(cannot be read)", "", "", "", "", ""}
	}
	back := fmt.Sprintf("%d samples: %s", c.ReadBack.Samples, c.ReadBack.Result)
	if c.ReadBack.Whole {
		back = "everything, and " + back
	}
	serial := c.Device.Serial
	if serial == "" {
		serial = "none"
	}
	return []string{c.Issued.Local().Format(time.DateTime), c.Device.Name, serial, size(c.Device.Size), c.Method, fmt.Sprint(c.Passes), back}
}

func (a *app) erasure() *cobra.Command {
	return a.online(a.group("erasure", "Erase certificates: verify them, and get the key that they are signed with", a.erasureVerify(), a.erasureKey()))
}

func (a *app) erasureKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Print the public keys that certificates are signed with, as PEM",
		Long: `Print the public keys of the server's erase certificates, newest first, as PEM. Keep them where you keep the certificates: whoever has
them can verify without the server.`,
		Example: `  ingot erasure key > ingot-erasure.pub`,
		Args:    exactly(),
		RunE: a.run(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			keys, err := c.ErasureKeys(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(cmd, map[string]any{"keys": keys}, func(w io.Writer) {
				for _, k := range keys {
					fmt.Fprint(w, k.Public)
				}
			})
		}),
	}
}

func (a *app) erasureVerify() *cobra.Command {
	var key, node, serial string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify erase certificates",
		Long: `Verify the erase certificates in a file: what ingot node erasure NODE -o json wrote, one of its records, or a bare envelope; "-" reads
standard input. With --key FILE no server is asked; otherwise its keys are fetched. One certificate that does not verify, and a file
that is none, end with status 1.

That a certificate verifies says that the server of this key issued it, and that nobody changed it since. What it says of the device is in it: a
certificate of the method "metadata only" says that the data itself was not erased.`,
		Example: `  ingot erasure verify rack1-u3.erasure.json --key ingot-erasure.pub
  ingot node erasure rack1-u3 -o json | ingot erasure verify - --serial S4EVNX0R`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkFormat(); err != nil {
				return err
			}
			trusted, err := a.trustedKeys(cmd, key)
			if err != nil {
				return err
			}
			text, err := readAtMost(cmd, args[0], maxErasureFile)
			if err != nil {
				return err
			}
			records, err := metal.ParseErasures(text)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.verified(cmd, records, trusted, node, serial)
		},
	}
	c.Flags().StringVar(&key, "key", "server", `file with the public keys that are trusted (PEM); "server": ask the server for them`)
	c.Flags().StringVar(&node, "node", "", "refuse certificates of another node (UUID)")
	c.Flags().StringVar(&serial, "serial", "", "refuse the file unless it has a certificate of a whole erase of the device of this serial number")
	return c
}

func (a *app) trustedKeys(cmd *cobra.Command, key string) (out []ed25519.PublicKey, err error) {
	if key != "server" {
		text, err := os.ReadFile(key)
		if err != nil {
			return nil, err
		}
		if out, err = metal.PublicKeys(text); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return out, nil
	}
	c, err := a.connect(cmd)
	if err != nil {
		return nil, err
	}
	keys, err := c.ErasureKeys(cmd.Context())
	for _, k := range keys {
		one, bad := metal.PublicKeys([]byte(k.Public))
		err = errors.Join(err, bad)
		out = append(out, one...)
	}
	return out, err
}

func readAtMost(cmd *cobra.Command, name string, limit int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: it is longer than %s", name, size(limit))
	}
	return text, err
}

// erasureVerdict is what becomes of one certificate.
type erasureVerdict struct {
	OK          bool                      `json:"ok"`
	Reason      string                    `json:"reason,omitempty"`
	Certificate *metal.ErasureCertificate `json:"certificate,omitempty"`
}

func (a *app) verified(cmd *cobra.Command, records []metal.ErasureRecord, trusted []ed25519.PublicKey, node, serial string) error {
	verdicts := make([]erasureVerdict, len(records))
	bad, found := 0, serial == ""
	for i, r := range records {
		c, err := metal.VerifyErasure(r, trusted)
		if err == nil && node != "" && c.Node != node {
			err = fmt.Errorf("it is of another node, %s", c.Node)
		}
		if err != nil {
			bad++
			verdicts[i] = erasureVerdict{Reason: err.Error()}
			continue
		}
		verdicts[i] = erasureVerdict{OK: true, Certificate: &c}
		found = found || c.Device.Serial == serial && !c.Partial
	}
	err := a.print(cmd, map[string]any{"verdicts": verdicts}, func(w io.Writer) {
		for i, v := range verdicts {
			fmt.Fprintln(w, oneLine(v.words(i+1)))
		}
	})
	switch {
	case err != nil:
		return err
	case bad > 0:
		return fmt.Errorf("%d of %d certificates do not verify", bad, len(records))
	case !found:
		return fmt.Errorf("no certificate in it says that the device with serial number %s was erased", serial)
	}
	return nil
}

func (v erasureVerdict) words(n int) string {
	if !v.OK {
		return fmt.Sprintf("%d: REFUSED: %s", n, v.Reason)
	}
	c := v.Certificate
	return fmt.Sprintf("%d: good: node %s, %s (serial %s, %s), %s, %s", n, c.Node, c.Device.Name, c.Device.Serial, size(c.Device.Size), c.Method, c.Issued.UTC().Format(time.RFC3339))
}
