package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/store/pgtest"
	"ingot/internal/vendordata"
)

// open makes the database; done removes it.
func open(ctx context.Context, kind string) (db *store.DB, done func(), err error) {
	dir, err := os.MkdirTemp("", "metadatabench")
	if err != nil {
		return nil, nil, err
	}
	clean := func() { _ = os.RemoveAll(dir) } // it is a temporary folder's
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err == nil && kind == "sqlite" {
		db, err = store.OpenSQLite(ctx, filepath.Join(dir, "db"), key)
	} else if err == nil {
		var c *pgtest.Cluster
		var stop func()
		if c, stop, err = pgtest.Begin("autovacuum=on"); err == nil {
			removed := clean
			clean = func() { stop(); removed() }
			db, err = store.OpenPostgres(ctx, secret.New(c.URL("postgres")), key)
		}
	}
	if err != nil {
		clean()
		return nil, nil, err
	}
	return db, func() { _ = db.Close(); clean() }, nil
}

// addressOf is where an instance asks from.
func addressOf(i int) string { return fmt.Sprintf("127.%d.%d.%d", 100+i>>16, i>>8&0xff, i&0xff) }

// vendor is a vendordata service whose target says that its answers hold for an hour.
func vendor() (*vendordata.Service, func(), error) {
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = w.Write([]byte(`{"roles": "` + strings.Repeat("a", 500) + `"}`)) // who asked is here, too
	}))
	c := vendordata.Defaults()
	c.VendordataProviders = []string{vendordata.StaticJSON, vendordata.DynamicJSON}
	c.VendordataDynamicTargets = vendordata.TargetList{"site@" + target.URL}
	v, err := vendordata.New(c, vendordata.Options{}, slog.New(slog.DiscardHandler))
	return v, target.Close, err
}

// fill deploys the instances as a conductor does.
func fill(ctx context.Context, db *store.DB, v *vendordata.Service, n int) error {
	const batch = 500
	for from := 0; from < n; from += batch {
		err := db.Write(ctx, func(tx *store.Tx) error {
			for i := from; i < min(from+batch, n); i++ {
				if err := deploy(ctx, tx, v, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func uuidOf(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func nameOf(i int) string { return fmt.Sprintf("instance-%05d", i) }

func request(i int) vendordata.Request {
	return vendordata.Request{ProjectID: "p", InstanceID: uuidOf(i), ImageID: "image", Hostname: nameOf(i), UserData: userData}
}

var userData = secret.New("#cloud-config\n# " + strings.Repeat("x", 2<<10))

func deploy(ctx context.Context, tx *store.Tx, v *vendordata.Service, i int) error {
	n := &metal.Node{UUID: uuidOf(i), Name: nameOf(i), Driver: "bench", ProvisionState: metal.Active}
	if err := tx.CreateNode(n); err != nil {
		return err
	}
	mac := fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16, i>>8&0xff, i&0xff)
	if err := tx.CreatePort(&metal.Port{UUID: fmt.Sprintf("00000000-0000-4000-9000-%012d", i), NodeUUID: n.UUID, Address: mac, PXEEnabled: true}); err != nil {
		return err
	}
	network := map[string]any{"links": []any{map[string]any{"id": "l0", "type": "phy", "ethernet_mac_address": mac, "mtu": 1500}},
		"networks": []any{map[string]any{"id": "n0", "link": "l0", "network_id": "net", "type": "ipv4", "ip_address": addressOf(i), "netmask": "255.0.0.0", "routes": []any{}}}, "services": []any{}}
	s, err := seed.Render(seed.Input{UUID: n.UUID, Name: n.Name, ProjectID: "p", PublicKeys: map[string]string{"k": "ssh-ed25519 " + strings.Repeat("A", 68)}, UserData: userData,
		NetworkData: network, VendorData: map[string]any{}, RandomSeed: []byte(strings.Repeat("r", 512))})
	if err != nil {
		return err
	}
	r := request(i)
	answers, err := v.Fetch(ctx, r)
	if err != nil {
		return err
	}
	s = s.WithVendorData2(answers.VendorData2(v.Static()))
	in := &store.Instance{ID: n.UUID, Project: "p", Deploy: "deploy", Seed: secret.New(string(s.Encode())), Request: secret.New(string(r.Encode())), Answers: secret.New(string(answers.Encode()))}
	if err := tx.SaveInstance(n, in); err != nil {
		return err
	}
	return tx.SaveInstanceAddresses(n.ID, store.FromNode, []store.InstanceAddress{{Address: netip.MustParseAddr(addressOf(i)), MAC: mac}})
}
