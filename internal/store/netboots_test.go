package store

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

func networkBoot(n *metal.Node, generation string, macs ...string) *metal.NetworkBoot {
	return &metal.NetworkBoot{NodeUUID: n.UUID, NodeName: n.Name, Generation: generation, Interface: metal.BootIPXE, MACs: macs, Firmware: metal.UEFI,
		Arch: "x86_64", Expires: time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC(), KernelParams: "console=tty0",
		Kernel: metal.BootFile{Name: "kernel", Size: 7, SHA256: "ab"}, Initramfs: metal.BootFile{Name: "initramfs", Size: 8, SHA256: "cd"},
		Key: secret.New("key-" + generation), Config: secret.New(`{"agent_token":"hush"}`)}
}

func TestNetworkBootIsOfOneNode(t *testing.T) { each(t, testNetworkBootIsOfOneNode) }

func testNetworkBootIsOfOneNode(t *testing.T, open opener) {
	db := open(t)
	n, other := addNode(t, db, 1), addNode(t, db, 2)
	by := func(f func(*Tx) (*metal.NetworkBoot, error)) *metal.NetworkBoot { return read(t, db, f) }
	byMAC := func(mac string) *metal.NetworkBoot {
		return by(func(tx *Tx) (*metal.NetworkBoot, error) { return tx.NetworkBootByMAC(mac) })
	}
	byKey := func(key string) *metal.NetworkBoot {
		return by(func(tx *Tx) (*metal.NetworkBoot, error) { return tx.NetworkBootByKey(key) })
	}
	if byMAC("52:54:00:00:00:01") != nil || byKey("key-a") != nil {
		t.Fatal("a boot of nobody")
	}
	first := networkBoot(n, "a", "52:54:00:00:00:01", "52:54:00:00:00:02")
	write(t, db, func(tx *Tx) error { return tx.SaveNetworkBoot(n.ID, first) })
	for _, got := range []*metal.NetworkBoot{byMAC("52:54:00:00:00:01"), byMAC("52:54:00:00:00:02"), byKey("key-a"),
		by(func(tx *Tx) (*metal.NetworkBoot, error) { return tx.NetworkBootOf(n.ID) })} {
		if got == nil || got.Key.Expose() != "key-a" || got.Config.Expose() != first.Config.Expose() || got.Generation != "a" || !got.Expires.Equal(first.Expires) ||
			got.Kernel != first.Kernel || got.KernelParams != first.KernelParams || len(got.MACs) != 2 {
			t.Fatalf("the boot comes back as %+v", got)
		}
	}
	if err := db.Write(t.Context(), func(tx *Tx) error {
		return tx.SaveNetworkBoot(other.ID, networkBoot(other, "x", "52:54:00:00:00:02"))
	}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("two boots of one MAC: %v", err)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveNetworkBoot(n.ID, networkBoot(n, "b", "52:54:00:00:00:01")) })
	if byKey("key-a") != nil || byMAC("52:54:00:00:00:02") != nil || byMAC("52:54:00:00:00:01").Generation != "b" {
		t.Error("an earlier boot is there still")
	}
	write(t, db, func(tx *Tx) error { return tx.ForgetNetworkBoot(n.ID) })
	if byKey("key-b") != nil || byMAC("52:54:00:00:00:01") != nil {
		t.Error("a boot that is over is found")
	}
}

func TestNetworkBootExpires(t *testing.T) { each(t, testNetworkBootExpires) }

func testNetworkBootExpires(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	b := networkBoot(n, "a", "52:54:00:00:00:01")
	b.Expires = time.Now().Add(-time.Second)
	write(t, db, func(tx *Tx) error { return tx.SaveNetworkBoot(n.ID, b) })
	if got := read(t, db, func(tx *Tx) (*metal.NetworkBoot, error) { return tx.NetworkBootByMAC("52:54:00:00:00:01") }); got != nil {
		t.Errorf("an expired boot is given: %+v", got)
	}
	other := addNode(t, db, 2) // to which the NIC was moved
	write(t, db, func(tx *Tx) error {
		return tx.SaveNetworkBoot(other.ID, networkBoot(other, "x", "52:54:00:00:00:01"))
	})
	if got := read(t, db, func(tx *Tx) (*metal.NetworkBoot, error) { return tx.NetworkBootByMAC("52:54:00:00:00:01") }); got == nil || got.Generation != "x" {
		t.Errorf("an expired boot keeps its MAC: %+v", got)
	}
	err := db.Write(t.Context(), func(tx *Tx) error { _, err := tx.GiveNetworkConfig("a", 4); return err })
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("its configuration: %v", err)
	}
}

func TestNetworkConfigIsCounted(t *testing.T) { each(t, testNetworkConfigIsCounted) }

func testNetworkConfigIsCounted(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	write(t, db, func(tx *Tx) error { return tx.SaveNetworkBoot(n.ID, networkBoot(n, "a", "52:54:00:00:00:01")) })
	give := func() (times int, err error) {
		err = db.Write(t.Context(), func(tx *Tx) error { times, err = tx.GiveNetworkConfig("a", 2); return err })
		return times, err
	}
	for want := 1; want <= 2; want++ {
		if times, err := give(); times != want || err != nil {
			t.Fatalf("given %d times: %v", times, err)
		}
	}
	if _, err := give(); fault.KindOf(err) != fault.Conflict {
		t.Errorf("a third time: %v", err)
	}
	write(t, db, func(tx *Tx) error { return tx.SeeNetworkBoot("a", "kernel") })
	if s := read(t, db, func(tx *Tx) (NetworkBootSeen, error) { return tx.NetworkBootSeen("a") }); s.What != "kernel" || s.At.IsZero() {
		t.Errorf("seen %+v", s)
	}
	if s := read(t, db, func(tx *Tx) (NetworkBootSeen, error) { return tx.NetworkBootSeen("b") }); s != (NetworkBootSeen{}) {
		t.Errorf("seen of no boot %+v", s)
	}
}

// TestNetworkBootIsSealed: neither the key nor the token is in the row as it is, and a row that was moved does not open.
func TestNetworkBootIsSealed(t *testing.T) { each(t, testNetworkBootIsSealed) }

func testNetworkBootIsSealed(t *testing.T, open opener) {
	db := open(t)
	n, other := addNode(t, db, 1), addNode(t, db, 2)
	write(t, db, func(tx *Tx) error { return tx.SaveNetworkBoot(n.ID, networkBoot(n, "a", "52:54:00:00:00:01")) })
	type row struct{ hash, body string }
	got := read(t, db, func(tx *Tx) (r row, err error) {
		var body []byte
		err = tx.row("SELECT key_hash, body FROM network_boots").Scan(&r.hash, &body)
		r.body = string(body)
		return r, err
	})
	for _, private := range []string{"key-a", "hush", "console=tty0"} {
		if strings.Contains(got.body, private) || strings.Contains(got.hash, private) {
			t.Errorf("the row shows %q", private)
		}
	}
	write(t, db, func(tx *Tx) error {
		if _, err := tx.exec("DELETE FROM network_boot_macs"); err != nil {
			return err
		}
		_, err := tx.exec("UPDATE network_boots SET node_id = ?", other.ID)
		return err
	})
	if err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.NetworkBootOf(other.ID); return err }); err == nil {
		t.Error("a row that was moved opens")
	}
}

func TestANetworkBootOfAnInstaller(t *testing.T) { each(t, testANetworkBootOfAnInstaller) }

func testANetworkBootOfAnInstaller(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	b := networkBoot(n, "a", "52:54:00:00:00:01")
	b.Interface, b.Installer, b.ISO, b.Kernel, b.Initramfs, b.Config = metal.BootHTTP, true, metal.BootFile{Name: "shelf", Size: 9, SHA256: "ef"}, metal.BootFile{}, metal.BootFile{}, secret.Secret{}
	write(t, db, func(tx *Tx) error { return tx.SaveNetworkBoot(n.ID, b) })
	byKey := func() *metal.NetworkBoot {
		return read(t, db, func(tx *Tx) (*metal.NetworkBoot, error) { return tx.NetworkBootByKey("key-a") })
	}
	if got := byKey(); got == nil || !got.Installer || got.ISO != b.ISO || got.Kernel != (metal.BootFile{}) || got.Config.Expose() != "" || got.Key.Expose() != "key-a" {
		t.Fatalf("the boot comes back as %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.SeeNetworkBoot("a", "boot.iso") })
	if seen := read(t, db, func(tx *Tx) (NetworkBootSeen, error) { return tx.NetworkBootSeen("a") }); seen.What != "boot.iso" {
		t.Errorf("seen %+v", seen)
	}
	write(t, db, func(tx *Tx) error { return tx.ForgetAgent(n.ID) }) // as whoever gives an operation up does
	if got := byKey(); got != nil {
		t.Errorf("a boot that is over is found: %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveNetworkBoot(n.ID, networkBoot(n, "ramdisk", "52:54:00:00:00:01")) })
	if got := read(t, db, func(tx *Tx) (*metal.NetworkBoot, error) { return tx.NetworkBootOf(n.ID) }); got == nil || got.Installer || got.ISO != (metal.BootFile{}) {
		t.Errorf("the next boot, of a ramdisk, is %+v", got)
	}
}
