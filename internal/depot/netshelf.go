package depot

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// PushedBoot is a network boot as conductors push it to a boot host: what the machine is to boot, and under which names
// its files lie on the shelf there. As JSON it holds the boot's key and the agent's token.
type PushedBoot struct {
	Boot   metal.NetworkBoot         `json:"boot"`
	Key    string                    `json:"key"`
	Config string                    `json:"config"`
	Loader string                    `json:"loader"` // which file the firmware boots first
	Files  map[string]metal.BootFile `json:"files"`  // by the name that the machine asks for; Name is the shelf's
	// Seen, SeenAt and Fetches are what became of it here.
	Seen    string    `json:"seen,omitempty"`
	SeenAt  time.Time `json:"seen_at,omitzero"`
	Fetches int       `json:"fetches,omitempty"`
}

// Story is how far a boot is on a boot host.
type Story struct {
	Generation string    `json:"generation,omitempty"` // "": there is none
	Seen       string    `json:"seen,omitempty"`       // what the machine fetched last
	SeenAt     time.Time `json:"seen_at,omitzero"`
	Fetches    int       `json:"config_fetches,omitempty"`
}

// NetShelf keeps the network boots that were pushed to a boot host, each in a file that only its owner reads, until they
// are withdrawn or expire. It is safe for many goroutines.
type NetShelf struct {
	dir     string
	shelf   *Shelf
	scripts *Scripts
	hashes  hashes
	now     func() time.Time

	mu    sync.Mutex
	boots map[string]*PushedBoot // guarded by mu: by holder; what it points to is not changed
	keys  map[[32]byte]string    // guarded by mu: holders by the hash of a boot's key
	macs  map[string]string      // guarded by mu: holders by MAC
}

// maxPushedBoot bounds one boot's JSON, and maxPushedBoots how many there are.
const (
	maxPushedBoot  = 1 << 20
	maxPushedBoots = 10000
)

var (
	bootKey   = regexp.MustCompile(`^[A-Za-z0-9_-]{32,128}$`)
	bootNames = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/-]{0,190}$`)
)

// OpenNetShelf opens the folder of pushed boots, made when it is missing. Files of boots lie on the shelf.
func OpenNetShelf(dir string, shelf *Shelf, scripts *Scripts) (*NetShelf, error) {
	s := &NetShelf{dir: dir, shelf: shelf, scripts: scripts, now: time.Now, boots: map[string]*PushedBoot{}, keys: map[[32]byte]string{}, macs: map[string]string{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		holder, ok := strings.CutSuffix(e.Name(), shelfNote)
		if ok {
			raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			p, err := s.read(holder, raw)
			if ok = err == nil; ok {
				s.remember(holder, p)
			}
		}
		if !ok { // half written, expired, or its files are gone
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// read judges a pushed boot.
func (s *NetShelf) read(holder string, raw []byte) (*PushedBoot, error) {
	p := &PushedBoot{}
	if len(raw) > maxPushedBoot || holder == "" || !holderName.MatchString(holder) {
		return nil, fault.New(fault.Invalid, "A pushed boot needs a holder, and may have %d bytes.", maxPushedBoot)
	}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The pushed boot is not valid JSON.")
	}
	p.Boot.Key, p.Boot.Config = secret.New(p.Key), secret.New(p.Config)
	switch {
	case !bootKey.MatchString(p.Key) || p.Boot.Generation == "" || p.Config == "" || len(p.Boot.MACs) == 0:
		return nil, fault.New(fault.Invalid, "A pushed boot needs a key, a generation, a configuration and MAC addresses.")
	case !p.Boot.Expires.After(s.now()):
		return nil, fault.New(fault.Invalid, "The pushed boot is over already; it is %s here.", s.now().UTC().Format(time.RFC3339))
	}
	for _, mac := range p.Boot.MACs {
		if m, err := net.ParseMAC(mac); err != nil || m.String() != mac {
			return nil, fault.New(fault.Invalid, "%q is no MAC address in lower case.", mac)
		}
	}
	if _, ok := p.Files[p.Loader]; !ok {
		return nil, fault.New(fault.Invalid, "A pushed boot needs its loader among its files.")
	}
	for name, f := range p.Files {
		if !bootNames.MatchString(name) || !pushedName.MatchString(f.Name) {
			return nil, fault.New(fault.Invalid, "%q can be no file of a pushed boot.", name)
		}
		file, is, err := s.shelf.open(f.Name)
		if err != nil || is.Size != f.Size || is.SHA256 != f.SHA256 {
			return nil, fault.Wrap(fault.Conflict, err, "The file %s of this boot is not on the boot host: push it first.", name)
		}
		file.Close() // read-only: nothing is lost
	}
	return p, nil
}

// Put keeps a boot in place of the holder's last.
func (s *NetShelf) Put(holder string, raw []byte) error {
	if err := s.Sweep(); err != nil {
		return err
	}
	p, err := s.read(holder, raw)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, mac := range p.Boot.MACs {
		if other, ok := s.macs[mac]; ok && other != holder {
			return fault.New(fault.Conflict, "Another node boots with the MAC address %s.", mac)
		}
	}
	if was := s.boots[holder]; was != nil && was.Boot.Generation == p.Boot.Generation { // the same once more
		p.Seen, p.SeenAt, p.Fetches = was.Seen, was.SeenAt, was.Fetches
	} else if len(s.boots) >= maxPushedBoots {
		return fault.New(fault.TooLarge, "There are %d boots here already.", len(s.boots))
	}
	return s.keep(holder, p)
}

// keep writes a boot and then knows it.
func (s *NetShelf) keep(holder string, p *PushedBoot) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	to := filepath.Join(s.dir, holder+shelfNote)
	f, err := os.OpenFile(to+shelfPart, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(to+shelfPart, to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(to+shelfPart))
	}
	s.forget(holder)
	s.remember(holder, p)
	return nil
}

func (s *NetShelf) remember(holder string, p *PushedBoot) {
	s.boots[holder] = p
	s.keys[sha256.Sum256([]byte(p.Key))] = holder
	for _, mac := range p.Boot.MACs {
		s.macs[mac] = holder
	}
}

func (s *NetShelf) forget(holder string) {
	p := s.boots[holder]
	if p == nil {
		return
	}
	delete(s.boots, holder)
	delete(s.keys, sha256.Sum256([]byte(p.Key)))
	for _, mac := range p.Boot.MACs {
		delete(s.macs, mac)
	}
}

// Remove ends a holder's boot, if it is the one of that generation ("": whichever it is). None is no error.
func (s *NetShelf) Remove(holder, generation string) error {
	if holder == "" || !holderName.MatchString(holder) {
		return errHolder
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.boots[holder]; p == nil || generation != "" && p.Boot.Generation != generation {
		return nil
	}
	return s.remove(holder)
}

func (s *NetShelf) remove(holder string) error {
	s.forget(holder)
	if err := os.Remove(filepath.Join(s.dir, holder+shelfNote)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a pushed boot: %w", err)
	}
	return nil
}

// Sweep removes what has expired.
func (s *NetShelf) Sweep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for holder, p := range s.boots {
		if !p.Boot.Expires.After(s.now()) {
			errs = append(errs, s.remove(holder))
		}
	}
	return errors.Join(errs...)
}

// Run removes what expires until ctx ends.
func (s *NetShelf) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	return s.run(ctx, tick.C)
}

func (s *NetShelf) run(ctx context.Context, tick <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
		if err := s.Sweep(); err != nil {
			s.shelf.o.Log.Warn("boots that are over cannot be removed", "error", err)
		}
	}
}

// ByMAC is the boot of a machine; nil for none.
func (s *NetShelf) ByMAC(mac string) *metal.NetworkBoot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current(s.macs[mac])
}

// ByKey is the boot with that key; nil for none. Keys are found by their hash: the time it takes tells nothing of them.
func (s *NetShelf) ByKey(key string) *metal.NetworkBoot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current(s.keys[sha256.Sum256([]byte(key))])
}

func (s *NetShelf) current(holder string) *metal.NetworkBoot {
	p := s.boots[holder]
	if p == nil || !p.Boot.Expires.After(s.now()) {
		return nil
	}
	b := p.Boot
	b.MACs, b.ConfigFetches = slices.Clone(b.MACs), p.Fetches
	return &b
}

// of is the boot that b is a copy of; nil when that is over.
func (s *NetShelf) of(b *metal.NetworkBoot) (string, *PushedBoot) {
	for _, mac := range b.MACs {
		if p := s.boots[s.macs[mac]]; p != nil && p.Boot.Generation == b.Generation {
			return s.macs[mac], p
		}
	}
	return "", nil
}

// Loader is what a firmware boots first.
func (s *NetShelf) Loader(b *metal.NetworkBoot, arch, firmware string) (string, error) {
	if err := fits(b, arch, firmware); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, p := s.of(b)
	if p == nil {
		return "", errBootOver
	}
	return p.Loader, nil
}

var errBootOver = fault.New(fault.NotFound, "This network boot is over.")

// Open opens a file of a boot. What was pushed was verified then, and is verified again when it has changed since.
func (s *NetShelf) Open(b *metal.NetworkBoot, name string, at NetPlace) (NetFile, error) {
	s.mu.Lock()
	_, p := s.of(b)
	s.mu.Unlock()
	if p == nil {
		return NetFile{}, errBootOver
	}
	switch name {
	case NetConfig:
		data, err := ConfigArchive([]byte(p.Config))
		return inMemory(data), err
	case NetScript, NetGrub:
		return s.scripts.open(b, name, at)
	}
	f, ok := p.Files[name]
	if !ok {
		return NetFile{}, noNetFile(name)
	}
	file, err := s.hashes.open(s.shelf.path(f.Name, shelfData), f)
	if err != nil {
		return NetFile{}, err
	}
	return onDisk(file)
}

// Saw notes what a machine fetched. What is only told first is no news after anything else.
func (s *NetShelf) Saw(b *metal.NetworkBoot, what string, first bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	holder, p := s.of(b)
	if p == nil || p.Seen == what || first && p.Seen != "" {
		return nil
	}
	next := *p
	next.Seen, next.SeenAt = what, s.now()
	return s.keep(holder, &next)
}

// Give counts that the configuration is given out; fault.Conflict beyond most.
func (s *NetShelf) Give(b *metal.NetworkBoot, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	holder, p := s.of(b)
	switch {
	case p == nil:
		return errBootOver
	case p.Fetches >= most:
		return fault.New(fault.Conflict, "The configuration of this boot was given out %d times, and is to nobody any more.", p.Fetches)
	}
	next := *p
	next.Fetches++
	return s.keep(holder, &next)
}

// Story is how far a holder's boot is.
func (s *NetShelf) Story(holder string) Story {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.boots[holder]
	if p == nil {
		return Story{}
	}
	return Story{Generation: p.Boot.Generation, Seen: p.Seen, SeenAt: p.SeenAt, Fetches: p.Fetches}
}
