package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
	"ingot/internal/vendordata"
)

// TestMetadataApart: servers with the role metadata alone share a database; what changes is seen by all of them at once. One serves at
// two addresses, and strangers that say nothing, or too much, keep nobody out.
func TestMetadataApart(t *testing.T) {
	url := pgtest.Empty(t)
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenPostgres(t.Context(), secret.New(url), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var at [3]string
	for i := range at {
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	for i, listen := range []string{at[0] + "," + at[1], at[2]} {
		name := string(rune('a' + i))
		begin(t, t.TempDir(), []string{"INGOT_DEFAULT__HOST=" + name}, "serve", "--roles", "metadata", "--database", url, "--key-file", filepath.Join(dir, "key"), "--metadata-listen", listen)
	}
	for _, a := range at {
		patiently(t, "an answer at "+a, func() bool { return askMetadata(t, a, "127.0.0.1", "/").status == http.StatusOK })
	}
	n := &metal.Node{UUID: "10000000-0000-4000-8000-000000000001", Driver: "fake-hardware", ProvisionState: metal.Active}
	s, err := seed.Render(seed.Input{UUID: n.UUID, Name: "apart"})
	if err != nil {
		t.Fatal(err)
	}
	write := func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := db.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	write(func(tx *store.Tx) error {
		if err := tx.CreateNode(n); err != nil {
			return err
		}
		i := &store.Instance{ID: n.UUID, Deploy: "d", Seed: secret.New(string(s.Encode())), Request: secret.New(string(vendordata.Request{InstanceID: n.UUID}.Encode()))}
		if err := tx.SaveInstance(n, i); err != nil {
			return err
		}
		return tx.SaveInstanceAddresses(n.ID, store.FromNode, []store.InstanceAddress{{Address: netip.MustParseAddr("127.0.0.11")}})
	})
	everybody := func(status int, body string) {
		t.Helper()
		for _, a := range at {
			if got := askMetadata(t, a, "127.0.0.11", "/latest/meta-data/hostname"); got.status != status || !strings.Contains(got.body, body) {
				t.Errorf("%s says %d %q, want %d %q", a, got.status, got.body, status, body)
			}
			if got := askMetadata(t, a, "127.0.0.12", "/latest/meta-data/hostname"); got.status != http.StatusNotFound {
				t.Errorf("%s says to a stranger %d %q", a, got.status, got.body)
			}
		}
	}
	everybody(http.StatusOK, "apart")
	silent := make([]net.Conn, 0, 200)
	for range cap(silent) {
		c, err := net.Dial("tcp", at[0])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent = append(silent, c)
	}
	everybody(http.StatusOK, "apart")
	if got := askMetadata(t, at[0], "127.0.0.11", "/latest/meta-data/hostname", "X-Long", strings.Repeat("x", 64<<10)); got.status != 0 && got.status != http.StatusRequestHeaderFieldsTooLarge { // 0: it hung up before all was sent
		t.Errorf("long headers are answered with %d", got.status)
	}
	write(func(tx *store.Tx) error { return tx.DropInstance(n.ID) })
	everybody(http.StatusNotFound, "")
}

type metadataReply struct {
	status int
	body   string
}

// askMetadata asks a metadata service from an address of this host; headers are names and values in turn. No answer is status 0.
func askMetadata(t *testing.T, at, from, path string, headers ...string) metadataReply {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	res, err := (&http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return metadataReply{}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return metadataReply{}
	}
	return metadataReply{res.StatusCode, string(body)}
}
