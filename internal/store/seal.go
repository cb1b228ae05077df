package store

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ingot/internal/secret"
)

// keySize is that of AES-256.
const keySize = 32

// ErrSealed is what opening a sealed value gives when the key is wrong or the value was changed or moved.
var ErrSealed = errors.New("a sealed value does not open: the key is not the one this database was written with, or the value was altered")

// Key seals private values. It cannot be printed. Copies of it are the same key: what one learns of the database's keys
// (see ring) all know.
type Key struct{ ring *ring }

// Derive gives a key for another purpose, hex: who knows it learns nothing of the sealing key. It is the same after a
// rotation, for what was signed or sealed with it lies outside the database.
func (k Key) Derive(purpose string) (out secret.Secret) {
	k.ring.base().raw.Use(func(raw []byte) { out = secret.New(hex.EncodeToString(derive(raw, "ingot "+purpose, keySize))) })
	return out
}

// ID names the key that this process was given; it tells nothing of it.
func (k Key) ID() string { return k.ring.given().id }

func derive(raw []byte, purpose string, size int) []byte {
	sub, err := hkdf.Key(sha256.New, raw, nil, purpose, size)
	if err != nil { // only for a length no hash can give
		panic("store: derive a key: " + err.Error())
	}
	return sub
}

// LoadKey reads the key file, making it (mode 0600, random) if it does not exist. A file that others can
// read, or of the wrong size, is refused.
func LoadKey(path string) (Key, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("read key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return Key{}, fmt.Errorf("key file %s can be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("read key file: %w", err)
	}
	return newKey(raw)
}

// makeKey makes the file whole or not at all: half a key would be worth nothing.
func makeKey(path string) (Key, error) {
	raw := make([]byte, keySize)
	rand.Read(raw)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	defer os.Remove(f.Name()) // only the link below stays
	if _, err = f.Write(raw); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	err = os.Link(f.Name(), path)
	if errors.Is(err, fs.ErrExist) { // another server was quicker: use its key
		return LoadKey(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("make key file: %w", err)
	}
	return newKey(raw)
}

// KeyFor is LoadKey for a database file: where the database is there and the key is not, nothing is made, for
// a new key opens nothing that an old one sealed.
func KeyFor(database, path string) (Key, error) {
	_, noKey := os.Stat(path)
	if info, err := os.Stat(database); err == nil && info.Size() > 0 && errors.Is(noKey, fs.ErrNotExist) {
		return Key{}, fmt.Errorf("the key file %s is missing, and the database %s was written with a key: put the file back from your backup, or give the key as it was given before (the variable INGOT_SEALING_KEY, or --config with [database] key_command)", path, database)
	}
	return LoadKey(path)
}

func newKey(raw []byte) (Key, error) {
	k, err := newSingle(raw)
	if err != nil {
		return Key{}, err
	}
	return Key{newRing(k)}, nil
}

// seal encrypts plain for one field of one row. Layout: version, in version 2 the 8 bytes of the key's id, 12 bytes of
// nonce, ciphertext and tag.
func (k Key) seal(plain []byte, row, field string) []byte {
	by := k.ring.sealing()
	out := by.mark()
	nonce := make([]byte, by.aead.NonceSize())
	rand.Read(nonce)
	return by.aead.Seal(append(out, nonce...), nonce, plain, associated(out[0], row, field))
}

func (k Key) open(sealed []byte, row, field string) ([]byte, error) {
	by, rest, err := k.ring.sealed(sealed)
	if err != nil {
		return nil, err
	}
	n := by.aead.NonceSize()
	if len(rest) < n {
		return nil, ErrSealed
	}
	plain, err := by.aead.Open(nil, rest[:n], rest[n:], associated(sealed[0], row, field))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func associated(version byte, row, field string) []byte {
	return []byte(strconv.Itoa(int(version)) + "\x00" + row + "\x00" + field)
}

func (k Key) sealMap(m secret.Map, row, field string) ([]byte, error) {
	plain, err := json.Marshal(m.Expose())
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", field, err)
	}
	return k.seal(plain, row, field), nil
}

// openMap opens a sealed object at once, so that a wrong key is told, and decodes it when it is first looked
// into: most readers of a node never do.
func (k Key) openMap(sealed []byte, row, field string) (secret.Map, error) {
	plain, err := k.open(sealed, row, field)
	if err != nil {
		return secret.Map{}, fmt.Errorf("%s: %w", field, err)
	}
	if string(plain) == "{}" {
		return secret.Map{}, nil
	}
	return secret.Later(func() map[string]any {
		m := map[string]any{}
		if err := json.Unmarshal(plain, &m); err != nil { // it is authenticated: sealMap made it of a map
			panic("store: a sealed " + field + " of " + row + " is not a JSON object")
		}
		return m
	}), nil
}
