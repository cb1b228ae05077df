package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/secret"
)

// An import reads from the manifest by which definition it is to be done, and says what to do where it cannot.
func TestAnImportReadsItsManifest(t *testing.T) {
	s := &server{}
	api := httptest.NewServer(s.handler())
	defer api.Close()
	c, err := client.New(api.URL, client.Options{Tries: 1})
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"version": 1, "definition": "debian", "variant": "13", "digest": "sha256:other"}`
	for name, row := range map[string]struct {
		status              int
		manifest            string
		user, password      string
		definition, err, do string
	}{
		"good":           {manifest: good, user: "u", password: "canary", definition: "debian+13"},
		"no variant":     {manifest: `{"version": 1, "definition": "debian", "digest": "x"}`, user: "u", password: "canary", definition: "debian"},
		"no credentials": {manifest: good, err: "401", do: "--url-user USER --url-password-file FILE"},
		"wrong ones":     {manifest: good, user: "u", password: "canary-wrong", err: "401", do: "--url-user USER --url-password-file FILE"},
		"not there":      {status: http.StatusNotFound, user: "u", password: "canary", err: "404", do: "see that --from names the folder"},
		"away":           {status: http.StatusBadGateway, user: "u", password: "canary", err: "502", do: "--os DEFINITION+VARIANT"},
		"no manifest":    {manifest: "<html>", user: "u", password: "canary", err: "is no manifest", do: "--os DEFINITION+VARIANT"},
		"not ended":      {manifest: `{"version": 0}`, user: "u", password: "canary", err: "did not end", do: "ingot os export makes it anew"},
		"of nothing":     {manifest: `{"version": 1, "definition": "../x"}`, user: "u", password: "canary", err: "names no OS definition", do: "--os DEFINITION+VARIANT"},
	} {
		exports := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch user, password, _ := r.BasicAuth(); {
			case row.status != 0:
				w.WriteHeader(row.status)
			case user != "u" || password != "canary":
				w.WriteHeader(http.StatusUnauthorized)
			case r.URL.Path != "/web1/manifest.json":
				w.WriteHeader(http.StatusNotFound)
			default:
				_, _ = fmt.Fprint(w, row.manifest)
			}
		}))
		var said bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.SetErr(&said)
		i := &installing{from: exported{url: exports.URL + "/web1/", user: row.user, password: secret.New(row.password)}}
		err := (&app{}).exportedBy(cmd, c, i)
		exports.Close()
		var f *failure
		switch {
		case row.err == "":
			if err != nil || i.definition != row.definition || !strings.Contains(said.String(), "other files of the OS definition debian") {
				t.Errorf("%s: %q, %v, %s", name, i.definition, err, said.String())
			}
		case !errors.As(err, &f) || !strings.Contains(f.err.Error(), row.err) || !strings.Contains(f.hint, row.do) || strings.Contains(f.err.Error()+f.hint, "canary"):
			t.Errorf("%s: %+v", name, f)
		}
	}
}
