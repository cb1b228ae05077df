package conductor

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// erasures are the certificates of the world's node, every one verified.
func (w *world) erasures() (certs []metal.ErasureCertificate) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		keys, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		var trusted []ed25519.PublicKey
		for _, k := range keys {
			one, err := metal.PublicKeys([]byte(k.Public))
			if err != nil {
				return err
			}
			trusted = append(trusted, one...)
		}
		records, err := tx.Erasures(w.node.UUID)
		if err != nil {
			return err
		}
		for _, r := range records {
			c, err := metal.VerifyErasure(r, trusted)
			if err != nil {
				return err
			}
			certs = append(certs, c)
		}
		return nil
	})
	return certs
}

func TestCleaningGivesCertificates(t *testing.T) { onEach(t, testCleaningGivesCertificates) }

func testCleaningGivesCertificates(t *testing.T) {
	w := journeys[1].begin(t)
	w.run(w.conductor("c1", func(string) error { return nil }))
	certs := w.erasures()
	if len(certs) != 1 {
		t.Fatalf("%d certificates, want one for the disk that was erased: %+v", len(certs), certs)
	}
	c := certs[0]
	if c.Device != (metal.ErasedDevice{Name: "/dev/sda", Serial: "S1", WWN: "0x5000", Model: "M?1", Size: 8000000000}) || c.Method != "overwrite" || c.Partial || c.Passes != 2 ||
		c.Step != "deploy.erase_devices" || c.Node != w.node.UUID || c.Server != "c1" || c.ReadBack.Samples != 2 || c.Ended.Sub(c.Began).Seconds() != 60 || c.Issued.IsZero() {
		t.Errorf("%+v", c)
	}
}

// TestKillingTheServerNeverSkipsAnErase kills the conductor at every point where it saves: each time the disk is erased
// at the end, and there is one certificate that was given after it.
func TestKillingTheServerNeverSkipsAnErase(t *testing.T) { onEach(t, testKillingNeverSkips) }

func testKillingNeverSkips(t *testing.T) {
	var points []string
	w := journeys[1].begin(t)
	w.run(w.conductor("c1", func(where string) error {
		if where != "dead?" {
			points = append(points, where)
		}
		return nil
	}))
	if len(points) < 10 {
		t.Fatalf("the server saves at %v only: this test kills nothing", points)
	}
	for kill := range points {
		w := journeys[1].begin(t)
		at, where, dead := 0, "", false
		w.run(w.conductor("c1", func(point string) error {
			if !dead && point != "dead?" {
				if dead = at == kill; dead {
					where = point
				}
				at++
			}
			if !dead {
				return nil
			}
			return errors.New("killed")
		}))
		n, _ := w.state()
		certs := w.erasures()
		if n.ProvisionState != metal.Available || w.times("step erase_devices") == 0 || w.times("step erase_devices_metadata") == 0 || len(certs) != 1 || certs[0].Partial {
			t.Errorf("killed %s: node is %s, the disk was erased %d times, certificates %+v", where, n.ProvisionState, w.times("step erase_devices"), certs)
		}
		w.close()
	}
}

// TestNoCertificateOfWhatWasNotDone: a step that says nothing of the disk, one of another's agent, and one that gives no proof give
// none.
func TestNoCertificateOfWhatWasNotDone(t *testing.T) {
	for name, said := range map[string]string{
		"nothing":             `null`,
		"upstream's":          `{"clean_result":{"/dev/sda":null}}`,
		"no proof":            `{"clean_result":{"/dev/sda":{"serial":"S1","size":1,"how":"skipped: read-only"}}}`,
		"an empty proof":      `{"clean_result":{"/dev/sda":{"serial":"S1","size":1,"how":"x","proof":{}}}}`,
		"something else":      `{"clean_result":{"sda":{"serial":"S1","size":1,"how":"x","proof":{"method":"overwrite"}}}}`,
		"of a service's step": `{"service_result":{"/dev/sda":{"serial":"S1","size":1,"how":"x","proof":{"method":"overwrite"}}}}`,
	} {
		w := journeys[1].begin(t)
		w.saysErased = said
		w.run(w.conductor("c1", func(string) error { return nil }))
		if certs := w.erasures(); len(certs) != 0 {
			t.Errorf("%s: %+v", name, certs)
		}
		w.close()
	}
}

// TestOddTimesOfAnAgentStopNothing: year 10000 in UTC has no form in JSON.
func TestOddTimesOfAnAgentStopNothing(t *testing.T) {
	w := journeys[1].begin(t)
	w.saysErased = `{"clean_result":{"/dev/sda":{"serial":"S1","size":1,"how":"x","proof":{"method":"overwrite","began":"0000-01-01T00:00:00+23:59","ended":"9999-12-31T23:59:59-23:59"}}}}`
	w.run(w.conductor("c1", func(string) error { return nil }))
	n, _ := w.state()
	if certs := w.erasures(); n.ProvisionState != metal.Available || len(certs) != 1 || !certs[0].Began.IsZero() || !certs[0].Ended.IsZero() {
		t.Errorf("%s, %s: %+v", n.ProvisionState, n.LastError, certs)
	}
}

func (w *world) times(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counters[what]
}
