package bmc

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"time"
)

// FakeMachine is a machine that is a struct: it does at once what it is told, and remembers it. Its extra
// methods play the guest. All of them may be called at any time from anywhere.
type FakeMachine struct {
	inv  Inventory
	macs []string

	mu      sync.Mutex
	next    NextBoot // nil while off
	boots   []Boot
	media   string
	console bytes.Buffer
	deaf    bool          // the guest ignores the power button
	off     chan struct{} // closed when the machine goes off; nil while off
	booted  chan struct{} // closed at the next boot; nil while nobody waits
}

// NewFakeMachine makes a machine that is off, with two NICs, 512 MiB and Secure Boot.
func NewFakeMachine() *FakeMachine {
	m := &FakeMachine{
		macs: []string{"52:54:00:fa:4e:01", "52:54:00:fa:4e:02"},
		inv: Inventory{
			UUID: "3f0c3a55-8f3e-4d63-9f5c-1d0f4a7c2b11", Manufacturer: "Ingot", Model: "Fake Machine",
			Serial: "FAKE0001", MemoryMiB: 512, CPUs: 2, CPUModel: "Emulated", SecureBoot: true,
			BootTargets: []string{"Pxe", "Hdd", "Cd", "UefiHttp", "BiosSetup"},
		},
	}
	m.inv.Keys = factoryKeys()
	return m
}

// factoryKeys are made once: nobody has what belongs to them, for nothing is verified here.
var factoryKeys = sync.OnceValue(func() KeyStore {
	made := func(names ...string) (out []Cert) {
		for _, name := range names {
			pub, key, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				panic(err) // there is no randomness: nothing works
			}
			t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().AddDate(10, 0, 0)}
			der, err := x509.CreateCertificate(rand.Reader, t, t, pub, key)
			if err != nil {
				panic(err)
			}
			out = append(out, Cert{DER: der, Owner: "77fa9abd-0359-4d32-bd60-28f4e78f784b"}) // Microsoft's, by its own list of keys
		}
		return out
	}
	return KeyStore{PK: made("Fake Maker PK"), KEK: made("Fake Maker KEK", "Fake OS KEK"), DB: made("Fake OS CA", "Fake Third Party CA")}
})

// Pretend makes the machine one of another make, before it has a BMC.
func (m *FakeMachine) Pretend(change func(*Inventory)) *FakeMachine {
	change(&m.inv)
	return m
}

// PowerOn implements Machine.
func (m *FakeMachine) PowerOn(_ context.Context, next NextBoot) error {
	m.mu.Lock()
	if m.next != nil {
		m.mu.Unlock()
		return nil
	}
	m.next, m.off = next, make(chan struct{})
	m.mu.Unlock()
	m.boot(next)
	return nil
}

// boot starts the guest. next is called without the lock: it takes the BMC's.
func (m *FakeMachine) boot(next NextBoot) {
	b := next()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boots = append(m.boots, b)
	m.media = b.Media
	fmt.Fprintf(&m.console, "boot %d from %q\n", len(m.boots), b.First)
	if m.booted != nil {
		close(m.booted)
		m.booted = nil
	}
}

// PowerOff implements Machine.
func (m *FakeMachine) PowerOff(ctx context.Context, hard bool) error {
	m.mu.Lock()
	off := m.off
	if hard || !m.deaf {
		m.stop()
	}
	m.mu.Unlock()
	if off == nil {
		return nil
	}
	select {
	case <-off:
		return nil
	case <-ctx.Done():
		return ErrGuestRunning
	}
}

// stop ends the guest; the lock is held.
func (m *FakeMachine) stop() {
	if m.off != nil {
		close(m.off)
	}
	m.next, m.off = nil, nil
}

// Powered implements Machine.
func (m *FakeMachine) Powered() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.next != nil
}

// SetMedia implements Machine.
func (m *FakeMachine) SetMedia(_ context.Context, path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.media = path
	return nil
}

// Console implements Machine.
func (m *FakeMachine) Console() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.console.Bytes())
}

// MACs implements Machine.
func (m *FakeMachine) MACs() []string { return slices.Clone(m.macs) }

// Inventory implements Machine.
func (m *FakeMachine) Inventory() Inventory { return m.inv }

// Boots lists every boot so far, the oldest first.
func (m *FakeMachine) Boots() []Boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.boots)
}

// AwaitBoots returns when the machine has booted n times since it was made, or with ctx's error.
func (m *FakeMachine) AwaitBoots(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		enough := len(m.boots) >= n
		if m.booted == nil {
			m.booted = make(chan struct{})
		}
		booted := m.booted
		m.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-booted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Media is what a running guest sees in its CD drive.
func (m *FakeMachine) Media() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.media
}

// Reboot is the guest resetting itself. A machine that is off stays off.
func (m *FakeMachine) Reboot() {
	m.mu.Lock()
	next := m.next
	m.mu.Unlock()
	if next != nil {
		m.boot(next)
	}
}

// Halt is the guest switching itself off.
func (m *FakeMachine) Halt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stop()
}

// IgnorePowerButton makes the guest deaf to a soft power-off, or lets it hear again.
func (m *FakeMachine) IgnorePowerButton(deaf bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deaf = deaf
}

// Print is the guest writing on its serial line.
func (m *FakeMachine) Print(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.console.WriteString(text)
}
