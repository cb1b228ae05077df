package origin

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ingot/internal/source"
)

// TestRegistriesKeepNoConnection: a registry that never closes a connection costs this server none once it has answered.
func TestRegistriesKeepNoConnection(t *testing.T) {
	g := newRegistry(t)
	g.open = true
	opened, closed := make(chan net.Conn, 16), make(chan net.Conn, 16)
	g.Server = httptest.NewUnstartedServer(g)
	g.Config.ConnState = func(c net.Conn, is http.ConnState) {
		switch is {
		case http.StateNew:
			opened <- c
		case http.StateClosed:
			closed <- c
		}
	}
	g.StartTLS()
	t.Cleanup(g.Close)
	g.disk("v1", []byte("a disk"), nil)
	r := g.resolver(t, nil)
	n := nodeWith(map[string]any{"image_source": g.image(":v1")}, nil)
	f, err := r.Find(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Access(t.Context(), n, f.Source, f.URL); err != nil {
		t.Fatal(err)
	}
	if len(opened) == 0 {
		t.Fatal("nothing was asked")
	}
	late := time.After(20 * time.Second) // less than source's clients keep what is idle
	for left := len(opened); left > 0; left-- {
		select {
		case <-closed:
		case <-late:
			t.Fatalf("%d connections are open still", left)
		}
	}
	client, err := source.Options{}.Client()
	if err != nil {
		t.Fatal(err)
	}
	if client.Transport.(*http.Transport).IdleConnTimeout <= 0 {
		t.Error("what is idle is kept for ever")
	}
}
