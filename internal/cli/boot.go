package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"ingot/internal/signing"
)

func (a *app) boot() *cobra.Command {
	return a.group("boot", "Sign what firmware starts under Secure Boot, and see who signed it", a.bootSign(), a.bootVerify())
}

func (a *app) bootSign() *cobra.Command {
	var key, cert string
	c := &cobra.Command{
		Use:   "sign --key KEY --cert CERT IN OUT",
		Short: "Sign a boot loader, a kernel or a unified kernel image for Secure Boot",
		Long: `Sign a boot loader, a kernel with an EFI stub or a unified kernel image, so that machines whose firmware has the certificate
in db start it. Signatures that are there stay. OUT may be IN.

The key is RSA, 2048 to 4096 bits, PEM, not encrypted; - reads it from standard input. Who has it can start anything on every
machine that trusts it: keep it on a host that does nothing else, in a file that only its owner can read.`,
		Example: `  ingot boot sign --key db.key --cert db.crt /usr/lib/shim/shimx64.efi.signed shimx64.efi
  ingot node secure-boot keys enroll rack1-u3 --db db.crt --wait`,
		Args: exactly("IN", "OUT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" || cert == "" {
				return usagef("--key and --cert are needed")
			}
			return sign(cmd, key, cert, args[0], args[1])
		},
	}
	c.Flags().StringVar(&key, "key", "", "file with the private key, PEM; - for standard input")
	c.Flags().StringVar(&cert, "cert", "", "file with its certificate, PEM or DER")
	return c
}

func sign(cmd *cobra.Command, key, cert, in, out string) error {
	if st, err := os.Stat(key); key != "-" && err == nil && st.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s can be read by others than its owner (mode %04o): chmod 600 %s\n", key, st.Mode().Perm(), key)
	}
	text, err := readSecret(cmd, key, "Private key")
	if err != nil {
		return err
	}
	signer, err := signing.ReadKey(text)
	if err != nil {
		return err
	}
	pem, err := read(cmd, cert, documentLimit)
	if err != nil {
		return err
	}
	by, err := signing.ReadCert(pem)
	if err != nil {
		return err
	}
	image, err := readImage(cmd, in)
	if err != nil {
		return err
	}
	signed, err := image.Sign(signer, by)
	if err != nil {
		return err
	}
	if err := replaceFile(out, signed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is signed by %s\n", out, oneLine(by.Subject.String()))
	return err
}

func readImage(cmd *cobra.Command, name string) (*signing.Image, error) {
	b, err := read(cmd, name, signing.MaxSize)
	if err != nil {
		return nil, err
	}
	i, err := signing.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return i, nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".signed-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there after the rename
	_, err = f.Write(content)
	for _, end := range []func() error{f.Sync, func() error { return f.Chmod(0o644) }, f.Close} {
		if e := end(); err == nil {
			err = e
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func (a *app) bootVerify() *cobra.Command {
	var cert string
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Show who signed a boot loader, and whether the signatures fit",
		Long: `Show who signed a boot loader, and whether the signatures fit the file. The command fails unless one of them does; with --cert
unless one that fits was made by the key of that certificate. Chains are not followed: a firmware whose db has the issuer only may start the file, too.`,
		Example: `  ingot boot verify --cert db.crt shimx64.efi`,
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkFormat(); err != nil {
				return err
			}
			image, err := readImage(cmd, args[0])
			if err != nil {
				return err
			}
			type row struct {
				Signer string `json:"signer"`
				Valid  bool   `json:"valid"`
				Why    string `json:"why,omitempty"`
			}
			digest := image.Digest()
			shown := struct {
				SHA256     string `json:"sha256"`
				Signatures []row  `json:"signatures"`
			}{fmt.Sprintf("%x", digest), []row{}}
			for _, s := range image.Signatures() {
				shown.Signatures = append(shown.Signatures, row{s.Signer, s.Valid, s.Why})
			}
			err = a.print(cmd, shown, func(w io.Writer) {
				fmt.Fprintf(w, "authenticode sha256 %s\n", shown.SHA256)
				for _, s := range shown.Signatures {
					fmt.Fprintf(w, "%s: %s\n", oneLine(orElse(s.Signer, "unknown")), orElse(oneLine(s.Why), "valid"))
				}
				if len(shown.Signatures) == 0 {
					fmt.Fprintln(w, "nobody signed it")
				}
			})
			if err != nil {
				return err
			}
			if cert == "" {
				return anyFits(args[0], image.Signatures())
			}
			pem, err := read(cmd, cert, documentLimit)
			if err != nil {
				return err
			}
			by, err := signing.ReadCert(pem)
			if err == nil && !image.SignedBy(by) {
				err = fmt.Errorf("%s is not signed by the key of %s", args[0], oneLine(by.Subject.String()))
			}
			return err
		},
	}
	c.Flags().StringVar(&cert, "cert", "", "file with the certificate whose key must have signed it, PEM or DER")
	return c
}

// anyFits refuses a file that no firmware would start, whatever certificates it has.
func anyFits(name string, all []signing.Signature) error {
	switch {
	case len(all) == 0:
		return fmt.Errorf("%s is not signed", name)
	case !slices.ContainsFunc(all, func(s signing.Signature) bool { return s.Valid }):
		return fmt.Errorf("no signature of %s fits", name)
	}
	return nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
