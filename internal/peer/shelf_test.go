package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
)

// memory is a shelf in memory that takes what is as it was announced.
type memory struct {
	mu    sync.Mutex
	files []ShelfFile
}

func (m *memory) Put(_ context.Context, f ShelfFile, body io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(body, f.Size+1))
	sum := sha256.Sum256(b)
	if err != nil || int64(len(b)) != f.Size || hex.EncodeToString(sum[:]) != f.SHA256 {
		return fault.Wrap(fault.Invalid, err, "not as it was announced")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = append(m.files, f)
	return nil
}

func (m *memory) List() ([]ShelfFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.files), nil
}

func (m *memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = slices.DeleteFunc(m.files, func(f ShelfFile) bool { return f.Name == name })
	return nil
}

func (m *memory) Hold(name, holder string, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.files {
		if f.Name == name {
			f.Holder, f.Expires = holder, until
			m.files = append(m.files, f)
			return true, nil
		}
	}
	return false, nil
}

func (m *memory) Release(holder string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = slices.DeleteFunc(m.files, func(f ShelfFile) bool { return f.Holder == holder })
	return nil
}

func holdError(p *Peer, at Server, name string) error {
	_, err := p.HoldFile(context.Background(), at, name, "one", time.Now().Add(time.Minute))
	return err
}

// TestConductorsPush: a conductor pushes, lists and removes; nobody else does any of it.
func TestConductorsPush(t *testing.T) {
	cl := newCluster(t)
	shelf := &memory{}
	host := cl.joined("boot1", Boot)
	host.o.Shelf, host.o.BootURL = shelf, "http://192.0.2.1:6387"
	at := Server{"boot1", cl.serve(host)}
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	sum := sha256.Sum256(content)
	f := ShelfFile{Name: strings.Repeat("n", 43), Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]), Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}

	two := cl.joined("two", Conductor)
	if h, err := two.Hello(t.Context(), at); err != nil || h.BootURL != "http://192.0.2.1:6387" || !slices.Equal(h.Roles, []Role{Boot}) {
		t.Errorf("hello: %+v, %v", h, err)
	}
	if err := two.Push(t.Context(), at, f, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if all, err := two.Pushed(t.Context(), at); err != nil || len(all) != 1 || all[0] != f {
		t.Errorf("listed: %+v, %v", all, err)
	}
	if err := two.Push(t.Context(), at, f, bytes.NewReader(append([]byte("x"), content[1:]...))); fault.KindOf(err) != fault.Invalid {
		t.Errorf("with another checksum: %v", err)
	}

	for name, p := range map[string]*Peer{"an API": cl.joined("three", API, AgentAPI), "another boot host": cl.joined("boot2", Boot)} {
		_, listed := p.Pushed(t.Context(), at)
		for what, err := range map[string]error{"pushes": p.Push(t.Context(), at, f, bytes.NewReader(content)), "lists": listed, "removes": p.Unpush(t.Context(), at, f.Name),
			"holds": holdError(p, at, f.Name), "releases": p.ReleaseFiles(t.Context(), at, "one")} {
			if fault.KindOf(err) != fault.Forbidden && fault.KindOf(err) != fault.Unavailable { // refused before the body was read
				t.Errorf("%s %s: %v", name, what, err)
			}
		}
	}
	foreign := newCluster(t)
	stranger := foreign.joined("two", Conductor)
	_, listed := stranger.Pushed(t.Context(), at)
	if err := errors.Join(stranger.Push(t.Context(), at, f, bytes.NewReader(content)), listed, stranger.Unpush(t.Context(), at, f.Name)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a conductor of another cluster: %v", err)
	}
	if all, _ := shelf.List(); len(all) != 1 {
		t.Errorf("on the shelf: %+v", all)
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	for name, want := range map[string]bool{f.Name: true, strings.Repeat("m", 43): false} {
		if there, err := two.HoldFile(t.Context(), at, name, "one", until); err != nil || there != want {
			t.Errorf("hold %s: %v, %v", name, there, err)
		}
	}
	if all, _ := shelf.List(); len(all) != 2 || all[1].Holder != "one" || !all[1].Expires.Equal(until) {
		t.Errorf("held: %+v", all)
	}
	if err := two.ReleaseFiles(t.Context(), at, "one"); err != nil {
		t.Error(err)
	}
	if all, _ := shelf.List(); len(all) != 1 {
		t.Errorf("released: %+v", all)
	}
	if err := two.Unpush(t.Context(), at, f.Name); err != nil {
		t.Error(err)
	}
	if all, _ := shelf.List(); len(all) != 0 {
		t.Errorf("after the removal: %+v", all)
	}
}
