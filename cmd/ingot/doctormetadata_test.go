package main

import (
	"net"
	"testing"
	"time"

	"ingot/internal/metadata"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

func TestMetadataThatNobodyServes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		config  metadata.Config
		serving bool
		want    metal.Level
	}{
		"nothing":                  {metadata.Config{}, false, metal.Fine},
		"a free address":           {metadata.Config{Listen: []string{"127.0.0.1:0"}}, false, metal.Fine},
		"one in use":               {metadata.Config{Listen: []string{taken.Addr().String()}}, false, metal.Warn},
		"one in use by the server": {metadata.Config{Listen: []string{taken.Addr().String()}}, true, metal.Fine},
		"one of another host":      {metadata.Config{Listen: []string{"192.0.2.254:80"}}, false, metal.Warn},
		"a proxy without a secret": {metadata.Config{ServiceMetadataProxy: true}, false, metal.Fail},
		"a proxy that finds none":  {metadata.Config{ServiceMetadataProxy: true, SharedSecret: secret.New("x")}, false, metal.Warn},
		"no address":               {metadata.Config{Listen: []string{"here"}}, false, metal.Fail},
	} {
		if got := examineMetadata(c.config, c.serving); len(got) != 1 || got[0].Level != c.want || got[0].Said == "" {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
	for _, c := range []struct {
		without       int
		served, hosts bool
		want          metal.Level
	}{{0, false, false, metal.Fine}, {3, true, false, metal.Fine}, {3, false, true, metal.Fine}, {3, false, false, metal.Warn}} {
		if got := examineServed(c.without, c.served, c.hosts); got.Level != c.want {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestMachinesThatInstallThemselvesAreAnswered(t *testing.T) {
	whole := store.Server{Name: "one", Roles: []string{"api", "conductor", "metadata"}}
	apart := store.Server{Name: "two", Roles: []string{"metadata"}}
	certified := store.Server{Name: "three", Roles: []string{"metadata"}, CertificateUntil: time.Now()}
	for name, c := range map[string]struct {
		count int
		by    []store.Server
		want  metal.Level
	}{
		"none": {0, nil, metal.Fine}, "nobody answers": {2, nil, metal.Warn}, "all in one": {2, []store.Server{whole}, metal.Fine},
		"apart": {2, []store.Server{whole, apart}, metal.Warn}, "apart and certified": {2, []store.Server{certified}, metal.Fine},
	} {
		if got := examineSelves(c.count, c.by); got.Level != c.want || got.Said == "" || (got.Do == "") != (c.want == metal.Fine) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
