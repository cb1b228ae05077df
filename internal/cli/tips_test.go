package cli

import (
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/client"
	"ingot/internal/fault"
)

// A certificate that nobody vouches for, and a listener without TLS, are not a missing server.
func TestTipsOfTLS(t *testing.T) {
	secure, plain := httptest.NewTLSServer(nil), httptest.NewServer(nil)
	defer secure.Close()
	defer plain.Close()
	for endpoint, want := range map[string]string{
		secure.URL: "--cacert FILE",
		strings.Replace(plain.URL, "http:", "https:", 1): "an endpoint with http://",
	} {
		c, err := client.New(endpoint, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Node(t.Context(), "n")
		text, tip, code := explain(err)
		if !strings.Contains(tip, want) || code != exitUnreachable {
			t.Errorf("%s: got %q, %q, %d", endpoint, text, tip, code)
		}
		if endpoint == secure.URL && strings.Contains(text, "no server answers") {
			t.Errorf("%s: got %q", endpoint, text)
		}
	}
}

func TestTipsOfRights(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fault.New(fault.Forbidden, "Access was denied to the following resource: baremetal:node:create"), "ingot policy explain --user NAME --rule node:create"},
		{fault.New(fault.Unauthenticated, `bob has no role in "green": there are blue, red.`), "--scope PROJECT"},
		{fault.New(fault.Invalid, "bob has several projects: choose one"), "--user NAME@PROJECT"},
		{fault.New(fault.Unauthenticated, "The user name or the password is not right."), "log in with --user"},
	} {
		if _, tip, _ := explain(tc.err); !strings.Contains(tip, tc.want) {
			t.Errorf("%v: got %q", tc.err, tip)
		}
	}
	if _, tip, _ := explain(fault.New(fault.Forbidden, "Node n is protected.")); tip != "" {
		t.Errorf("no rule was the reason, and the hint is %q", tip)
	}
}
