package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
)

// unreachableTip says what to do where nobody answered. A server that answers with a certificate nobody vouches for needs no
// second server.
func unreachableTip(cause error) string {
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(cause, &cert):
		return "trust its certificate, or the CA that signed it, with --cacert FILE or OS_CACERT; the endpoint's name must be one of the certificate's"
	case strings.Contains(cause.Error(), "server gave HTTP response to HTTPS client"):
		return "this server speaks no TLS: give an endpoint with http://"
	}
	return `start a server with "ingot serve", or name one with --endpoint or INGOT_ENDPOINT`
}

// loginTip says how to log in, or how to choose among projects for who has logged in already.
func loginTip(text string) string {
	if strings.Contains(text, "has several projects") || strings.Contains(text, " has no role in ") {
		return "choose one with --scope PROJECT (INGOT_SCOPE) or --user NAME@PROJECT"
	}
	return "log in with --user NAME and --password-file FILE (INGOT_USER, INGOT_PASSWORD_FILE), or with --token-file FILE (OS_TOKEN) where the server asks Keystone"
}

// forbiddenTip names the command that says why a rule does not hold; "" where no rule was the reason.
func forbiddenTip(text string) string {
	_, rule, ok := strings.Cut(text, "denied to the following resource: ")
	if !ok {
		return ""
	}
	return fmt.Sprintf("who may read the whole system is told why by: ingot policy explain --user NAME --rule %s", strings.TrimPrefix(rule, "baremetal:"))
}
