package redfish_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/lab/bmc"
)

// ownKey is one RSA key; certificates of any name are made for it.
var ownKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ownCert(t *testing.T, name string) string {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, ownKey().Public(), ownKey())
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(der)
}

func enrolling(args map[string]any) metal.Step {
	return metal.Step{Interface: "management", Step: "enroll_secure_boot_keys", Args: args}
}

// held is what the BMC shows, as "PK: A; KEK: B, C; db: D".
func (r *rig) held(t *testing.T) string {
	t.Helper()
	list, err := r.SecureBootKeys(t.Context(), r.node)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, db := range list {
		var names []string
		for _, c := range db.Certificates {
			names = append(names, strings.TrimPrefix(c.Subject, "CN="))
		}
		out = append(out, db.Name+": "+strings.Join(names, ", "))
	}
	return strings.Join(out, "; ")
}

func TestOwnKeysAreEnrolled(t *testing.T) {
	r := newRig(t, quick())
	const factory = "PK: Fake Maker PK; KEK: Fake Maker KEK, Fake OS KEK; db: Fake OS CA, Fake Third Party CA"
	if got := r.held(t); got != factory {
		t.Fatalf("from the factory: %s", got)
	}
	run := func(args map[string]any) error {
		_, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, enrolling(args), "op/0")
		return err
	}
	two := ownCert(t, "Ours 1") + ownCert(t, "Ours 2")
	for range 2 { // a second entry of the same run
		if err := run(map[string]any{"db": two}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.held(t); got != strings.Replace(factory, "Party CA", "Party CA, Ours 1, Ours 2", 1) || r.bmc.Counters()["Certificate.db"] != 2 {
		t.Errorf("beside the factory's: %s, %v", got, r.bmc.Counters())
	}
	if told := is(t, run(map[string]any{"pk": ownCert(t, "Our PK")}), fault.Conflict); !strings.Contains(told, "another platform key (CN=Fake Maker PK)") {
		t.Errorf("told %q", told)
	}
	all := map[string]any{"pk": ownCert(t, "Our PK"), "kek": ownCert(t, "Our KEK"), "db": two, "replace": true}
	for range 2 {
		if err := run(all); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.held(t); got != "PK: Our PK; KEK: Our KEK; db: Ours 1, Ours 2" {
		t.Errorf("in place of the factory's: %s", got)
	}
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	boot := r.machine.Boots()[0]
	if boot.KeyStore == nil || len(boot.KeyStore.PK) != 1 || len(boot.KeyStore.DB) != 2 || !boot.SecureBoot {
		t.Errorf("the machine booted with %+v", boot)
	}
	if err := r.ResetSecureBootKeys(t.Context(), r.node, metal.DefaultKeys); err != nil {
		t.Fatal(err)
	}
	if got := r.held(t); got != factory {
		t.Errorf("after a reset: %s", got)
	}
}

// TestEnrolmentThatStopsHalfWay: the BMC refuses in the middle; the next run does what is left.
func TestEnrolmentThatStopsHalfWay(t *testing.T) {
	r := newRig(t, quick())
	args := map[string]any{"pk": ownCert(t, "Our PK"), "kek": ownCert(t, "Our KEK"), "db": ownCert(t, "Ours"), "replace": true}
	for range 3 {
		r.plant(t, bmc.Fault{Name: bmc.CertRefused, Times: 1})
		_, err := r.RunStep(t.Context(), r.node, metal.ServiceSteps, enrolling(args), "op/0")
		if told, _ := fault.PublicOf(err); !strings.Contains(told, "refuses to enrol Secure Boot keys (400): the BMC says: The certificate was refused") {
			t.Fatalf("told %q", told)
		}
		r.plant(t)
		args["replace"] = true
	}
	if _, err := r.RunStep(t.Context(), r.node, metal.ServiceSteps, enrolling(args), "op/0"); err != nil {
		t.Fatal(err)
	}
	if got := r.held(t); got != "PK: Our PK; KEK: Our KEK; db: Ours" {
		t.Errorf("at last: %s", got)
	}
}

// TestReplacedKeysLeaveNothingOdd: an entry that nobody can read is trusted by the firmware as the others are.
func TestReplacedKeysLeaveNothingOdd(t *testing.T) {
	r := rigOf(t, quick(), func(i *bmc.Inventory) { i.Keys.DB = append(i.Keys.DB, bmc.Cert{DER: []byte("no certificate")}) })
	for _, replace := range []bool{false, true} {
		args := map[string]any{"db": ownCert(t, "Ours"), "replace": replace}
		if _, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, enrolling(args), "op/0"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	if db := r.machine.Boots()[0].KeyStore.DB; len(db) != 1 {
		t.Errorf("the machine boots with %d entries in db, want the one", len(db))
	}
}

func TestKeysThatAreNotShown(t *testing.T) {
	for _, row := range []struct {
		fault string
		kind  fault.Kind
		want  string
	}{
		{bmc.PatchIgnored, fault.Conflict, "accepted the keys for db and does not show them"},
		{bmc.AtReset, fault.Conflict, "some apply keys at the next boot only"},
		{bmc.NoDatabases, fault.NotSupported, "does not show the databases of Secure Boot keys"},
	} {
		r := newRig(t, quick())
		r.plant(t, bmc.Fault{Name: row.fault})
		_, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, enrolling(map[string]any{"db": ownCert(t, "Ours")}), "op/0")
		if told := is(t, err, row.kind); !strings.Contains(told, row.want) {
			t.Errorf("%s: told %q", row.fault, told)
		}
	}
	// A make that is known to show it after a boot is believed.
	r := rigOf(t, quick(), func(i *bmc.Inventory) { i.Manufacturer = "Dell Inc." })
	r.plant(t, bmc.Fault{Name: bmc.AtReset})
	if _, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, enrolling(map[string]any{"db": ownCert(t, "Ours")}), "op/0"); err != nil {
		t.Fatal(err)
	}
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	if got := r.held(t); !strings.HasSuffix(got, "Ours") {
		t.Errorf("after the boot: %s", got)
	}
}

func TestEnrolmentsThatAreNone(t *testing.T) {
	r := newRig(t, quick())
	for want, args := range map[string]map[string]any{
		"there is no key to enrol":             {"replace": true},
		"replace is neither true nor false":    {"db": ownCert(t, "Ours"), "replace": "yes"},
		"takes pk, kek and db":                 {"dbx": "x"},
		"something else than certificates":     {"db": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"},
		"db holds 0 certificates":              {"db": " "},
		"pk holds 2 certificates":              {"pk": ownCert(t, "A") + ownCert(t, "B")},
		"more than 16 certificates":            {"db": strings.Repeat(ownCert(t, "A"), 17)},
		"kek: the key of CN=Fake OS CA is not": {"kek": pemOf(bmc.NewFakeMachine().Inventory().Keys.DB[0].DER)},
	} {
		_, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, enrolling(args), "op/0")
		if told := is(t, err, fault.Invalid); !strings.Contains(told, want) {
			t.Errorf("%s: told %q", want, told)
		}
	}
	if n := r.bmc.Counters()["POST"]; n > 1 { // the login
		t.Errorf("the BMC was asked %d times to change something", n)
	}
}
