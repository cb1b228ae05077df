package redfish_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/driver/drivertest"
	"ingot/internal/driver/redfish"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/lab/bmc"
)

const iso = "http://192.0.2.1:6387/boot/PATHSECRET/boot.iso?signature=QUERYSECRET"

func TestWhatIsSoAlreadyIsNotAskedFor(t *testing.T) {
	r := newRig(t, quick())
	ctx := t.Context()
	for range 2 {
		for _, err := range []error{
			r.InsertMedia(ctx, r.node, iso),
			r.SetBootDevice(ctx, r.node, metal.BootDevice{Device: "cdrom", Persistent: true}),
			r.SetPower(ctx, r.node, metal.PowerOn),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	got := r.bmc.Counters()
	for name, want := range map[string]int{"InsertMedia": 1, "EjectMedia": 0, "SetBoot.Cd": 1, "Reset.On": 1, "login": 1} {
		if got[name] != want {
			t.Errorf("%s was asked %d times, want %d", name, got[name], want)
		}
	}
	if boots := r.machine.Boots(); len(boots) != 1 || boots[0].First != "Cd" || boots[0].Media != iso {
		t.Errorf("boots: %+v", boots)
	}
}

func TestSessionIsRenewedAndEnded(t *testing.T) {
	r := newRig(t, quick())
	for range 3 {
		if _, err := r.Power(t.Context(), r.node); err != nil {
			t.Fatal(err)
		}
		r.bmc.ExpireSessions()
	}
	if n := r.bmc.Counters()["login"]; n != 3 {
		t.Errorf("%d logins for three sessions", n)
	}
	if _, err := r.Power(t.Context(), r.node); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n := r.bmc.Sessions(); n != 0 {
		t.Errorf("%d sessions left after Close", n)
	}
	_, err := r.Power(t.Context(), r.node)
	is(t, err, fault.Unavailable)
}

func TestManyAtOnceShareOneSession(t *testing.T) {
	r := newRig(t, quick())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := r.Power(t.Context(), r.node); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.bmc.Counters()["login"]; n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestOldSessionsMakeRoom(t *testing.T) {
	cfg := quick()
	cfg.Sessions = 1
	r := newRig(t, cfg)
	for _, n := range []*metal.Node{r.node, r.with("redfish_auth_type", "session"), r.node} {
		if _, err := r.Power(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.bmc.Sessions(); n != 1 {
		t.Errorf("%d sessions are open, one was to be kept", n)
	}
}

// A server that is killed leaves its sessions behind. After the last one that the BMC has room for, basic
// authentication must do.
func TestNoRoomForASession(t *testing.T) {
	r := newRig(t, quick())
	for i := range 20 {
		if _, err := driver(t, quick()).Power(t.Context(), r.node); err != nil {
			t.Fatalf("beside %d others: %v", i, err)
		}
	}
	n := r.bmc.Sessions()
	if p, err := r.Power(t.Context(), r.node); err != nil || p != metal.PowerOff || n > 16 {
		t.Errorf("with %d sessions open: %q, %v", n, p, err)
	}
	_, err := r.Power(t.Context(), r.with("redfish_auth_type", "session"))
	is(t, err, fault.Unavailable)
}

func TestAuthTypes(t *testing.T) {
	for auth, logins := range map[string]int{"basic": 0, "session": 1, "auto": 1} {
		r := newRig(t, quick())
		if _, err := r.Power(t.Context(), r.with("redfish_auth_type", auth)); err != nil {
			t.Errorf("%s: %v", auth, err)
		}
		if n := r.bmc.Counters()["login"]; n != logins {
			t.Errorf("%s: %d logins, want %d", auth, n, logins)
		}
	}
	r := newRig(t, quick())
	_, err := r.Power(t.Context(), r.with("redfish_auth_type", "none"))
	is(t, err, fault.Invalid)
}

func TestWrongPassword(t *testing.T) {
	for _, auth := range []string{"auto", "basic", "session"} {
		r := newRig(t, quick())
		n := r.with("redfish_auth_type", auth)
		n.DriverInfo = n.DriverInfo.With("redfish_password", drivertest.Canary+"x")
		_, err := r.Power(t.Context(), n)
		if told := is(t, err, fault.Invalid); !strings.Contains(told, "refuses user admin: check redfish_username and redfish_password") {
			t.Errorf("%s: %q", auth, told)
		}
		if n := r.bmc.Counters()["401"]; n > 2 {
			t.Errorf("%s: a wrong password was tried %d times: that locks accounts", auth, n)
		}
	}
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.WrongPassword})
	is(t, r.SetPower(t.Context(), r.node, metal.PowerOn), fault.Invalid)
	r.plant(t)
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Errorf("after it was put right: %v", err)
	}
}

func TestBusyBMCIsAskedAgain(t *testing.T) {
	type act = func(*rig) error
	for name, do := range map[string]act{
		"read":   func(r *rig) error { _, err := r.Power(t.Context(), r.node); return err },
		"power":  func(r *rig) error { return r.SetPower(t.Context(), r.node, metal.PowerOn) },
		"boot":   func(r *rig) error { return r.SetBootDevice(t.Context(), r.node, metal.BootDevice{Device: "cdrom"}) },
		"insert": func(r *rig) error { return r.InsertMedia(t.Context(), r.node, iso) },
	} {
		r := newRig(t, quick())
		r.plant(t, bmc.Fault{Name: bmc.Busy, Times: 2})
		if err := do(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		r.plant(t, bmc.Fault{Name: bmc.Busy, Times: 1000})
		if err := r.SetPower(t.Context(), r.node, metal.PowerOff); err == nil {
			t.Errorf("%s: a BMC that stays busy is no error", name)
		} else {
			is(t, err, fault.Unavailable)
		}
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.RefusePower})
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err == nil {
		t.Error("a refused power on is no error")
	} else if told, _ := fault.PublicOf(err); !strings.Contains(told, "the BMC says: ") {
		t.Errorf("the BMC's words are missing: %q", told)
	}
	r.plant(t, bmc.Fault{Name: bmc.RefuseMedia})
	err := r.InsertMedia(t.Context(), r.node, iso)
	told, _ := fault.PublicOf(err)
	if err == nil || strings.Contains(told+err.Error(), "SECRET") {
		t.Errorf("refused media: %v", err)
	}
	r.plant(t, bmc.Fault{Name: bmc.MediaEmpty})
	told = is(t, r.InsertMedia(t.Context(), r.node, iso), fault.Internal)
	if !strings.Contains(told, "still empty") || !strings.Contains(told, "http://192.0.2.1:6387") || strings.Contains(told, "SECRET") {
		t.Errorf("accepted but empty: %q", told)
	}
	r.plant(t)
	if err := r.InsertMedia(t.Context(), r.node, iso); err != nil {
		t.Errorf("the next try: %v", err)
	}
}

func TestPowerThatLies(t *testing.T) {
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.PowerLies})
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	if p, err := r.Power(t.Context(), r.node); p != metal.PowerOff || err != nil {
		t.Errorf("power is %q, %v: the driver must tell what the BMC tells", p, err)
	}
}

func TestHabitsOfBMCs(t *testing.T) {
	for _, habit := range []string{bmc.PatchOnly, bmc.NeedETag, bmc.NoBootMode} {
		r := newRig(t, quick())
		r.plant(t, bmc.Fault{Name: habit})
		for _, dev := range []string{"cdrom", "disk"} {
			if err := r.SetBootDevice(t.Context(), r.node, metal.BootDevice{Device: dev}); err != nil {
				t.Errorf("%s: %v", habit, err)
			}
		}
		if err := r.InsertMedia(t.Context(), r.node, iso); err != nil {
			t.Errorf("%s: %v", habit, err)
		}
		if got, err := r.Media(t.Context(), r.node); err != nil || got != iso {
			t.Errorf("%s: in the drive %q, %v", habit, got, err)
		}
		if err := r.EjectMedia(t.Context(), r.node); err != nil {
			t.Errorf("%s: %v", habit, err)
		}
	}
}

func TestBMCThatIsGone(t *testing.T) {
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.Gone})
	_, err := r.Power(t.Context(), r.node)
	is(t, err, fault.Unavailable)

	r.plant(t, bmc.Fault{Name: bmc.Gone, Times: 1})
	if _, err := r.Power(t.Context(), r.node); err != nil {
		t.Errorf("one dropped connection: %v", err)
	}
	r.plant(t, bmc.Fault{Name: bmc.Hang})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = r.Power(ctx, r.node)
	if told := is(t, err, fault.Unavailable); !strings.Contains(told, "did not answer in time") || time.Since(start) > 2*time.Second {
		t.Errorf("a hanging BMC: %q after %s", told, time.Since(start))
	}
	if err := r.bmc.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = r.Power(t.Context(), r.node)
	if told := is(t, err, fault.Unavailable); !strings.Contains(told, "connection refused") {
		t.Errorf("a BMC that is off: %q", told)
	}
}

func TestHangingBMCIsGivenUpOnce(t *testing.T) {
	cfg := quick()
	cfg.ReadLimit = 50 * time.Millisecond
	r := newRig(t, cfg)
	r.plant(t, bmc.Fault{Name: bmc.Hang})
	start := time.Now()
	_, err := r.Power(t.Context(), r.node)
	is(t, err, fault.Unavailable)
	if d := time.Since(start); d > time.Second {
		t.Errorf("gave up after %s: a dead BMC must not hold a worker", d)
	}
}

func TestCertificates(t *testing.T) {
	r := newRig(t, quick())
	other := strings.Repeat("ab", 32)
	_, err := r.Power(t.Context(), r.with("redfish_certificate_fingerprint", other))
	told := is(t, err, fault.Invalid)
	for _, want := range []string{other, r.bmc.Fingerprint(), "set redfish_certificate_fingerprint to"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is missing in %q", want, told)
		}
	}
	_, err = r.Power(t.Context(), r.with("redfish_certificate_fingerprint", nil))
	if told := is(t, err, fault.Invalid); !strings.Contains(told, r.bmc.Fingerprint()) || !strings.Contains(told, "cannot be verified") {
		t.Errorf("an unknown CA: %q", told)
	}
	if n := r.bmc.Counters(); n["login"]+n["GET"] != 0 {
		t.Errorf("a BMC that is not trusted was asked: %v", n)
	}
	n := r.with("redfish_certificate_fingerprint", nil)
	n.DriverInfo = n.DriverInfo.With("redfish_verify_ca", pemOf(r.bmc.CertificateDER()))
	if _, err := r.Power(t.Context(), n); err != nil {
		t.Errorf("with its certificate as CA: %v", err)
	}
	n.DriverInfo = n.DriverInfo.With("redfish_verify_ca", "False")
	if told := is(t, r.Validate(n), fault.Invalid); !strings.Contains(told, "pin the BMC's certificate in redfish_certificate_fingerprint") {
		t.Errorf("unverified: %q", told)
	}
	lax := redfish.New(redfish.Config{AllowUnverifiedTLS: true})
	defer lax.Close()
	if _, err := lax.Power(t.Context(), n); err != nil {
		t.Errorf("unverified and allowed: %v", err)
	}
}

func TestInspect(t *testing.T) {
	r := newRig(t, quick())
	got, err := r.Inspect(t.Context(), r.node)
	if err != nil {
		t.Fatal(err)
	}
	if got.Manufacturer != "Ingot" || got.Serial != "FAKE0001" || got.MemoryMiB != 512 || got.CPUs != 2 || got.BootMode != "uefi" ||
		got.SecureBoot == nil || !*got.SecureBoot || strings.Join(got.MACs, " ") != "52:54:00:fa:4e:01 52:54:00:fa:4e:02" {
		t.Errorf("inspect: %+v", got)
	}
}

func TestConsoleKeepsTheEnd(t *testing.T) {
	r := newRig(t, quick())
	for range 50 {
		r.machine.Print("a line of the boot\n")
	}
	r.machine.Print("the end\n")
	got, err := r.ConsoleLog(t.Context(), r.node, 30)
	if err != nil || string(got) != "a line of the boot\nthe end\n" {
		t.Errorf("the last 30 bytes: %q, %v", got, err)
	}
}

func TestProbe(t *testing.T) {
	r := newRig(t, quick())
	got, err := redfish.Probe(t.Context(), r.bmc.URL())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Reachable || !got.Redfish || !got.AuthNeeded || !got.Sessions || got.Verified || got.VerifyError == "" ||
		got.Fingerprint != r.bmc.Fingerprint() || len(got.Chain) != 1 || got.RedfishVersion == "" || got.UUID == "" || got.URL != r.bmc.URL() {
		t.Errorf("probe: %+v", got)
	}
	if n := r.bmc.Counters()["login"]; n != 0 {
		t.Errorf("a probe logged in %d times", n)
	}
	if _, err := redfish.Probe(t.Context(), "ftp://192.0.2.1"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no address: %v", err)
	}
	if err := r.bmc.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := redfish.Probe(t.Context(), r.bmc.URL()); fault.KindOf(err) != fault.Unavailable || got.Reachable {
		t.Errorf("nobody there: %+v, %v", got, err)
	}
}

func TestLogHasNoSecret(t *testing.T) {
	r := newRig(t, quick())
	for _, f := range bmc.FaultNames() {
		if f == bmc.Hang || f == bmc.Slow {
			continue
		}
		r.plant(t, bmc.Fault{Name: f, Times: 5})
		for _, err := range []error{
			r.SetPower(t.Context(), r.node, metal.PowerOn),
			r.SetBootDevice(t.Context(), r.node, metal.BootDevice{Device: "disk", Persistent: true}),
			r.InsertMedia(t.Context(), r.node, iso),
			r.EjectMedia(t.Context(), r.node),
			r.SetPower(t.Context(), r.node, metal.PowerOff),
		} {
			drivertest.Clean(t, err)
			if err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: an error shows the image's URL: %v", f, err)
			}
		}
	}
	if s := r.log.String(); strings.Contains(s, "c4nary") || strings.Contains(s, "SECRET") {
		t.Errorf("the log shows a secret: %s", s)
	}
}
