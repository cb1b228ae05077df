package netboot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"ingot/internal/fault"
)

// LeaseFile keeps leases in a file, where there is no database. One process has it.
type LeaseFile struct {
	path string

	mu     sync.Mutex
	leases map[netip.Addr]Lease
}

// forgetAfter is how long a lease is remembered after its end, so that a machine gets the same address again.
const forgetAfter = 7 * 24 * time.Hour

// OpenLeaseFile reads a file of leases; there need not be one yet. One that is damaged is an error: an address that a
// machine has must not be given to another.
func OpenLeaseFile(path string) (*LeaseFile, error) {
	f := &LeaseFile{path: path, leases: map[netip.Addr]Lease{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the leases: %w", err)
	}
	var all []Lease
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("the file of leases %s is damaged: when no machine has a lease any more, remove it: %w", path, err)
	}
	for _, l := range all {
		f.leases[l.Address] = l
	}
	return f, nil
}

// List gives the leases of a network.
func (f *LeaseFile) List(_ context.Context, network string) ([]Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Lease
	for _, l := range f.leases {
		if network == "" || l.Network == network {
			out = append(out, l)
		}
	}
	return out, nil
}

// Hold takes an address, or takes it for longer.
func (f *LeaseFile) Hold(_ context.Context, l Lease, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	held, found := f.leases[l.Address]
	if found && held.Until.After(now) && !held.sameHolder(l) {
		return fault.New(fault.Conflict, "The address %s is leased to another machine.", l.Address)
	}
	return f.change(now, func() { f.leases[l.Address] = l })
}

// Drop ends a lease.
func (f *LeaseFile) Drop(_ context.Context, l Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if held, found := f.leases[l.Address]; !found || !held.sameHolder(l) {
		return nil
	}
	return f.change(time.Now(), func() { delete(f.leases, l.Address) })
}

// Holder is the lease of an address that lasts.
func (f *LeaseFile) Holder(_ context.Context, a netip.Addr, now time.Time) (*Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, found := f.leases[a]
	if !found || l.Declined || !l.Until.After(now) {
		return nil, nil //nolint:nilnil // nobody has it
	}
	return &l, nil
}

// Addresses are those that a MAC has at the time now, the newest first.
func (f *LeaseFile) Addresses(mac string, now time.Time) (out []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var has []Lease
	for _, l := range f.leases {
		if l.MAC == mac && !l.Declined && l.Until.After(now) {
			has = append(has, l)
		}
	}
	slices.SortFunc(has, func(a, b Lease) int { return cmp.Or(b.Until.Compare(a.Until), a.Address.Compare(b.Address)) })
	for _, l := range has {
		out = append(out, l.Address)
	}
	return out
}

func (l Lease) sameHolder(o Lease) bool { return !l.Declined && l.MAC == o.MAC && l.Client == o.Client }

// change writes the file with a change, or has not changed anything.
func (f *LeaseFile) change(now time.Time, do func()) error {
	before := make(map[netip.Addr]Lease, len(f.leases))
	for a, l := range f.leases {
		before[a] = l
	}
	do()
	for a, l := range f.leases {
		if l.Until.Add(forgetAfter).Before(now) {
			delete(f.leases, a)
		}
	}
	if err := f.write(); err != nil {
		f.leases = before
		return fmt.Errorf("write the leases: %w", err)
	}
	return nil
}

// write replaces the file as a whole: after a crash it is the old or the new one.
func (f *LeaseFile) write() (err error) {
	all := make([]Lease, 0, len(f.leases))
	for _, l := range f.leases {
		all = append(all, l)
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	t, err := os.CreateTemp(filepath.Dir(f.path), ".leases-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(t.Name())
		}
	}()
	_, err = t.Write(raw)
	if err = errors.Join(err, t.Sync(), t.Close()); err != nil {
		return err
	}
	return os.Rename(t.Name(), f.path)
}
