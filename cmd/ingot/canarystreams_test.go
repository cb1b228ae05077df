package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
)

// birdExport, birdImport and birdRename do as birdCreate does with what they were given; a dump goes to standard output, and has none of it.
const (
	birdSays = `#!/bin/bash
env >&2
printf '%s' "$OSP_ROOT_KEY" | base64 -w0 >&2
set -x
: "$OSP_TOKEN" "--password=$OSP_LICENCE"
set +x
`
	birdExport = birdSays + `echo a dump
[ -n "$OSP_ROOT_KEY" ]
`
	birdImport = birdSays + `cat >/dev/null
`
	birdRename = birdSays
)

// exportShelf is where exports lie: a server that takes PUT from whoever knows its user's password, and repeats to others what they came with.
type exportShelf struct {
	*httptest.Server

	password string

	mu    sync.Mutex
	tried []string          // guarded by mu: passwords
	files map[string][]byte // guarded by mu
}

func newExportShelf(g *aviary, password string) *exportShelf {
	s := &exportShelf{password: password, files: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	g.t.Cleanup(s.Close)
	return s
}

func (s *exportShelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, password, _ := r.BasicAuth()
	s.tried = append(s.tried, password)
	if password != s.password {
		http.Error(w, fmt.Sprint("refused: ", r.Header, password), http.StatusUnauthorized)
		return
	}
	switch data, there := s.files[r.URL.Path]; {
	case r.Method == http.MethodPut:
		data, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.files[r.URL.Path] = data
		w.WriteHeader(http.StatusCreated)
	case !there:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(data)
		}
	}
}

// exports has what was installed exported, first to a server that refuses, then well; renamed; and imported again.
func (g *aviary) exports(dir string) {
	g.t.Helper()
	for name, what := range map[string]string{"other.txt": "private OS parameter of an export", "key.pw": "secret OS parameter of an export", "wrong.pw": "wrong password for an export", "shelf.pw": "password for an export"} {
		g.write(filepath.Join(dir, name), g.plantOdd(what)+"\n")
	}
	shelf := newExportShelf(g, g.value("password for an export"))
	at := " " + shelf.URL + "/bird --url-user " + witness + " --url-password-file "
	with := " --os-private token=other.txt --os-secret root-key=key.pw --wait; echo ended with $?"
	out, history := g.shell(dir, "ingot os export real --to"+at+"wrong.pw"+with, "ingot os export real --to"+at+"shelf.pw"+with,
		"ingot os rename real warbler.example --os-private token=other.txt --os-secret root-key=key.pw --wait; echo ended with $?", "ingot node why real",
		"ingot os import real --rebuild --os bird+12 --from"+at+"shelf.pw"+with, "ingot node show real", "ingot node logs real --name os-install")
	holds(g.t, "the shell", out, "401", "ended with 4", "ended with 0", "node real is active")
	if n := strings.Count(out, "\nended with 0"); n != 3 {
		g.t.Errorf("%d of an export, a rename and an import ended well:\n%s", n, out)
	}
	holds(g.t, "the shell's history", history, "--url-password-file shelf.pw", "--os-secret root-key=key.pw")
	shelf.mu.Lock()
	defer shelf.mu.Unlock()
	if all := strings.Join(shelf.tried, " "); !strings.Contains(all, g.value("wrong password for an export")) || string(shelf.files["/bird/disk-0"]) != "a dump\n" || shelf.files["/bird/manifest.json"] == nil {
		g.t.Errorf("the shelf was asked %d times, and has %q", len(shelf.tried), shelf.files)
	}
	for path, data := range shelf.files {
		g.clean("what was exported as "+path, data)
	}
	g.everybody("exported, renamed and imported")
}
