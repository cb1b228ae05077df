package cli

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/secret"
)

// login is how a command says who it is. No flag takes a password or a token itself: others on the host could read it.
type login struct {
	user, passwordFile, tokenFile, scope, cacert string
}

// flags adds them to a group that talks to a server.
func (l *login) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&l.user, "user", "", "user name, or user@project (default $INGOT_USER)")
	f.StringVar(&l.passwordFile, "password-file", "", "file with that user's password; - for standard input (default $INGOT_PASSWORD_FILE)")
	f.StringVar(&l.tokenFile, "token-file", "", "file with a Keystone token, in place of a user; - for standard input (default $OS_TOKEN)")
	f.StringVar(&l.scope, "scope", "", `project to act for, or "system" (default $INGOT_SCOPE, or as the server's file says)`)
	f.StringVar(&l.cacert, "cacert", "", "file with the certificates that the server's is checked with (default $OS_CACERT, or this host's)")
}

// options is what the client needs for it. OS_USERNAME and OS_PASSWORD count only where OS_AUTH_TYPE says that they are meant
// for HTTP Basic: otherwise they are Keystone's, and nobody else must see them.
func (a *app) loginOptions(cmd *cobra.Command) (o client.Options, err error) {
	env, l := a.Getenv, a.login
	basic := env("OS_AUTH_TYPE") == "http_basic"
	o.User, o.Scope = cmp.Or(l.user, env("INGOT_USER")), cmp.Or(l.scope, env("INGOT_SCOPE"))
	if o.User == "" && basic {
		o.User = env("OS_USERNAME")
	}
	passwordFile := cmp.Or(l.passwordFile, env("INGOT_PASSWORD_FILE"))
	switch {
	case l.tokenFile != "":
		o.User = ""
		o.Token, err = readSecret(cmd, l.tokenFile, "Token")
	case o.User == "" && l.passwordFile != "":
		err = usagef("--password-file needs --user or INGOT_USER")
	case o.User == "":
		if !basic {
			o.Token = secret.New(env("OS_TOKEN"))
		}
	case passwordFile != "":
		o.Password, err = readSecret(cmd, passwordFile, "Password of "+o.User)
	case env("INGOT_PASSWORD") != "":
		o.Password = secret.New(env("INGOT_PASSWORD"))
	case basic && env("OS_PASSWORD") != "":
		o.Password = secret.New(env("OS_PASSWORD"))
	case hidesPasswordFile(cmd) && (l.user != "" && cmd.Flags().Changed("password-file") || !atTerminal(cmd)):
		err = hint(usagef("there is no password for %s, and --password-file is somebody else's here", o.User), "set INGOT_PASSWORD_FILE to the file with yours, or to - to be asked for it")
	case !atTerminal(cmd):
		err = hint(usagef("there is no password for %s", o.User), "give --password-file FILE, or set INGOT_PASSWORD_FILE")
	default:
		o.Password, err = readSecret(cmd, "-", "Password of "+o.User)
	}
	if err != nil {
		return o, err
	}
	if ca := cmp.Or(l.cacert, env("OS_CACERT")); ca != "" {
		o.HTTP, err = trusting(ca)
	}
	return o, err
}

// hidesPasswordFile: the command has a --password-file of its own, so that who puts the file of a log-in there would give
// away its password.
func hidesPasswordFile(cmd *cobra.Command) bool {
	return cmd.LocalNonPersistentFlags().Lookup("password-file") != nil
}

// trusting is an HTTP client that trusts the certificates of a file and no others.
func trusting(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--cacert: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, usagef("--cacert %s: there is no certificate in PEM in it", file)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: t, CheckRedirect: client.NoRedirects}, nil
}
