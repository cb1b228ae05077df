package lab

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"ingot/lab/bmc"
)

// store makes a variable store with room for some more.
func store(t testing.TB) []byte {
	t.Helper()
	b := bytes.Repeat([]byte{erased}, 8192)
	copy(b, make([]byte, volumeHeader))
	copy(b[16:], guidVolume[:])
	binary.LittleEndian.PutUint16(b[48:], volumeHeader)
	copy(b[volumeHeader:], guidStore[:])
	binary.LittleEndian.PutUint32(b[volumeHeader+16:], 4096)
	return b
}

// filled is a store as the factory leaves it, with a boot entry that was written since.
func filled(t testing.TB) *nvram {
	t.Helper()
	n, err := readNVRAM(store(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range secureKeys {
		if err := n.setByte(k.guid, k.name, 7); err != nil {
			t.Fatal(err)
		}
	}
	for name, v := range map[string]byte{"Boot0003": 3, "BootOrder": 9} {
		if err := n.setByte(guidGlobal, name, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.setByte(guidSecureSet, "SecureBootEnable", 1); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSecureBootIsSwitchedInTheStore(t *testing.T) {
	template, n := filled(t), filled(t)
	is := func(label string, on, keys bool) {
		t.Helper()
		again, err := readNVRAM(n.data)
		if err != nil {
			t.Fatalf("%s: %v", label, err)
		}
		v, set := again.get(guidSecureSet, "SecureBootEnable")
		_, pk := again.get(guidGlobal, "PK")
		_, db := again.get(guidImages, "db")
		if pk != keys || db != keys || set != keys || set && (v[0] == 1) != on {
			t.Errorf("%s: enabled %v %v, keys %v %v", label, set, v, pk, db)
		}
		for name, want := range map[string]byte{"Boot0003": 3, "BootOrder": 9} {
			if v, ok := again.get(guidGlobal, name); !ok || v[0] != want {
				t.Errorf("%s: %s is %v", label, name, v)
			}
		}
	}
	is("at first", true, true)
	for _, row := range []struct{ on, keys bool }{{false, true}, {true, true}, {false, false}, {true, true}, {true, true}, {false, true}} {
		if err := n.setSecureBoot(row.on, row.keys, nil, template); err != nil {
			t.Fatal(err)
		}
		is("then", row.on, row.keys)
	}
}

func TestAFullStoreIsRefused(t *testing.T) {
	n := filled(t)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		n.remove(guidGlobal, "x")
		err = n.setByte(guidGlobal, "x", 1)
	}
	if err == nil {
		t.Error("a store took more than it has room for")
	}
	if _, err := readNVRAM(n.data); err != nil {
		t.Errorf("and is damaged: %v", err)
	}
}

// TestDebiansStore edits what Debian's firmware comes with.
func TestDebiansStore(t *testing.T) {
	raw, err := os.ReadFile(varsSecure)
	if err != nil {
		t.Skip("the firmware is not installed: " + firmwareHint)
	}
	path := filepath.Join(t.TempDir(), "vars.fd")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ on, keys bool }{{true, true}, {false, true}, {false, false}, {true, true}} {
		if err := applySecureBoot(path, varsSecure, row.on, row.keys, nil); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := readNVRAM(b)
		if err != nil {
			t.Fatal(err)
		}
		_, pk := n.get(guidGlobal, "PK")
		order, ok := n.get(guidGlobal, "Boot0000")
		if pk != row.keys || !ok || len(order) == 0 {
			t.Errorf("%+v: keys %v, the boot entry of the factory %v", row, pk, ok)
		}
	}
	factory := factoryKeys(varsSecure)
	if len(factory.PK) != 1 || len(factory.KEK) == 0 || len(factory.DB) < 2 || factory.DB[0].Owner != "77fa9abd-0359-4d32-bd60-28f4e78f784b" {
		t.Fatalf("the factory's keys: %d PK, %d KEK, %d db, %+v", len(factory.PK), len(factory.KEK), len(factory.DB), factory.DB)
	}
	own := &bmc.KeyStore{PK: factory.DB[:1], DB: factory.PK}
	for _, row := range []struct {
		keys *bmc.KeyStore
		want bmc.KeyStore
	}{{own, *own}, {nil, factory}} {
		if err := applySecureBoot(path, varsSecure, true, true, row.keys); err != nil {
			t.Fatal(err)
		}
		if got := factoryKeys(path); !reflect.DeepEqual(got, row.want) {
			t.Errorf("written %+v, read %+v", row.want, got)
		}
	}
}

func FuzzSignatureLists(f *testing.F) {
	good, err := signatureLists([]bmc.Cert{{DER: []byte("one")}, {DER: []byte("another"), Owner: "77fa9abd-0359-4d32-bd60-28f4e78f784b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		certs := readSignatureLists(b)
		out, err := signatureLists(certs)
		if err != nil || len(certs) > 0 && !reflect.DeepEqual(readSignatureLists(out), certs) {
			t.Fatalf("%v does not come back: %v", certs, err)
		}
	})
}

func FuzzNVRAM(f *testing.F) {
	f.Add(store(f))
	f.Add(filled(f).data)
	f.Add(filled(f).data[:5000])
	template := filled(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := readNVRAM(bytes.Clone(b))
		if err != nil {
			return
		}
		if err := n.setSecureBoot(true, true, nil, template); err != nil {
			return
		}
		again, err := readNVRAM(n.data)
		if err != nil {
			t.Fatalf("an edited store cannot be read: %v", err)
		}
		if v, ok := again.get(guidSecureSet, "SecureBootEnable"); !ok || len(v) != 1 || v[0] != 1 {
			t.Fatalf("it was set and is %v %v", v, ok)
		}
	})
}
