package keystone

import (
	"strings"
	"testing"

	"ingot/internal/secret"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		change func(*Login)
		says   string // "": right
	}{
		{func(*Login) {}, ""},
		{func(l *Login) { l.AuthURL = "" }, "[s] auth_url: not set"},
		{func(l *Login) { l.Username, l.Password = "", secret.Secret{} }, "[s] username, password: not set, and auth_type = password needs it"},
		{func(l *Login) { l.AuthType = "v3applicationcredential" }, "application_credential_id, application_credential_secret: not set"},
		{func(l *Login) {
			l.AuthType, l.ApplicationCredentialID, l.ApplicationCredentialSecret = "v3applicationcredential", "a", secret.New("b")
			l.Username = ""
		}, ""},
		{func(l *Login) { *l = Login{AuthType: "none"} }, ""},
		{func(l *Login) { l.CertFile = "/c" }, "certfile and keyfile go together"},
	} {
		l := Defaults()
		l.AuthURL, l.Username, l.Password = "http://k:5000", "u", secret.New("p")
		c.change(&l)
		if err := l.Check("s"); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.says, err)
		}
	}
	e := EndpointDefaults()
	if err := e.Check("s", Login{AuthType: "none"}); err == nil || !strings.Contains(err.Error(), "endpoint_override") {
		t.Error(err)
	}
	e.ValidInterfaces = []string{"internal", "secret"}
	if err := e.Check("s", Login{}); err == nil || !strings.Contains(err.Error(), `"secret" is none of`) {
		t.Error(err)
	}
}

func TestV3(t *testing.T) {
	for in, want := range map[string]string{"http://k:5000": "http://k:5000/v3/", "http://k:5000/v3": "http://k:5000/v3/", "http://k/identity/": "http://k/identity/v3/", "http://k/identity/v3/": "http://k/identity/v3/"} {
		if got := (Login{AuthURL: in}).V3(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// What this server acts for: the id of a project goes before its name, the system before both.
func TestScope(t *testing.T) {
	l := Defaults()
	if o := l.options(); o.Scope.ProjectName != "service" || o.Scope.DomainName != "Default" || o.DomainName != "Default" {
		t.Errorf("%+v", o.Scope)
	}
	l.ProjectDomainID, l.UserDomainID = "d", "e"
	if o := l.options(); o.Scope.DomainID != "d" || o.Scope.DomainName != "" || o.DomainID != "e" || o.DomainName != "" {
		t.Errorf("%+v", o.Scope)
	}
	l.ProjectID = "p"
	if o := l.options(); o.Scope.ProjectID != "p" || o.Scope.ProjectName != "" || o.Scope.DomainID != "" {
		t.Errorf("%+v", o.Scope)
	}
	l.SystemScope = "all"
	if o := l.options(); !o.Scope.System || o.Scope.ProjectID != "" {
		t.Errorf("%+v", o.Scope)
	}
}
