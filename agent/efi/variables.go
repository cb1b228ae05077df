package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// global is the GUID of the variables that the specification defines. Source: UEFI specification 2.10, §3.3.
	global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	// attributes: non-volatile, boot service access, runtime access. They come before the value in efivarfs.
	attributes = 7
	active     = 1
	// entryPrefix begins the name of every boot entry that is ours.
	entryPrefix = "ingot: "
	// fsImmutable is FS_IMMUTABLE_FL, which efivarfs sets on what a careless rm could break.
	fsImmutable = 0x10
)

// Option is a boot entry. Source: UEFI specification 2.10, §3.1.3.
type Option struct {
	Description string
	Path        []byte // device path nodes, without the end node
}

// Encode gives an EFI_LOAD_OPTION that is active and has no data of its own.
func (o Option) Encode() []byte {
	path := append(slices.Clone(o.Path), 0x7f, 0xff, 4, 0)
	b := binary.LittleEndian.AppendUint32(nil, active)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	b = append(b, toUTF16(o.Description)...)
	return append(b, path...)
}

// Decode reads an EFI_LOAD_OPTION. The end node and what follows it are dropped.
func Decode(b []byte) (Option, error) {
	if len(b) < 6 {
		return Option{}, errors.New("boot entry is cut off")
	}
	length := int(binary.LittleEndian.Uint16(b[4:]))
	rest := b[6:]
	end := -1
	for i := 0; i+1 < len(rest); i += 2 {
		if rest[i] == 0 && rest[i+1] == 0 {
			end = i
			break
		}
	}
	if end < 0 || len(rest) < end+2+length {
		return Option{}, errors.New("boot entry is cut off")
	}
	path := rest[end+2 : end+2+length]
	path = bytes.TrimSuffix(path, []byte{0x7f, 0xff, 4, 0})
	return Option{fromUTF16(rest[:end]), slices.Clone(path)}, nil
}

// filePath is the file path media device path, and where it ends. Source: UEFI specification 2.10, §10.3.5.4.
func filePath(p string) []byte {
	text := toUTF16(p)
	b := []byte{4, 4}
	b = binary.LittleEndian.AppendUint16(b, uint16(4+len(text)))
	return append(b, text...)
}

// Variables are the firmware's, as efivarfs shows them in Dir.
type Variables struct{ Dir string }

var bootEntry = regexp.MustCompile(`^Boot([0-9A-F]{4})-` + global + `$`)

// Prefer makes o the first boot entry. Our other entries go; one that is the same already is kept, because
// the firmware's memory wears. The order of everybody else's stays.
func (v Variables) Prefer(o Option) error {
	entries, err := v.entries()
	if err != nil {
		return fmt.Errorf("read boot entries: %w", err)
	}
	want := o.Encode()
	number, found := uint16(0), false
	var stale []uint16
	for n, raw := range entries {
		old, err := Decode(raw)
		switch {
		case err != nil || !strings.HasPrefix(old.Description, entryPrefix):
		case !found && bytes.Equal(raw, want):
			number, found = n, true
		default:
			stale = append(stale, n)
		}
	}
	for _, n := range stale {
		if err := v.remove(n); err != nil {
			return fmt.Errorf("remove old boot entry %04X: %w", n, err)
		}
		delete(entries, n)
	}
	if !found {
		for number = 0; entries[number] != nil; number++ {
			if number == 0xffff {
				return errors.New("the firmware has no room for a boot entry")
			}
		}
		if err := v.write(fmt.Sprintf("Boot%04X", number), want); err != nil {
			return fmt.Errorf("write boot entry %04X: %w", number, err)
		}
	}
	return v.orderFirst(number, stale)
}

func (v Variables) orderFirst(number uint16, gone []uint16) error {
	old, err := v.read("BootOrder")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read boot order: %w", err)
	}
	order := binary.LittleEndian.AppendUint16(nil, number)
	for i := 0; i+1 < len(old); i += 2 {
		if n := binary.LittleEndian.Uint16(old[i:]); n != number && !slices.Contains(gone, n) {
			order = binary.LittleEndian.AppendUint16(order, n)
		}
	}
	if bytes.Equal(order, old) {
		return nil
	}
	if err := v.write("BootOrder", order); err != nil {
		return fmt.Errorf("write boot order: %w", err)
	}
	return nil
}

// entries gives the values of all Boot#### by number; never nil for one that exists.
func (v Variables) entries() (map[uint16][]byte, error) {
	files, err := os.ReadDir(v.Dir)
	if err != nil {
		return nil, err
	}
	entries := map[uint16][]byte{}
	for _, f := range files {
		m := bootEntry.FindStringSubmatch(f.Name())
		if m == nil {
			continue
		}
		n, err := strconv.ParseUint(m[1], 16, 16)
		if err != nil {
			continue
		}
		value, err := v.read("Boot" + m[1])
		if err != nil {
			value = []byte{} // its number is taken all the same
		}
		entries[uint16(n)] = value
	}
	return entries, nil
}

func (v Variables) path(name string) string { return filepath.Join(v.Dir, name+"-"+global) }

func (v Variables) read(name string) ([]byte, error) {
	b, err := os.ReadFile(v.path(name))
	if err != nil {
		return nil, err
	}
	if len(b) < 4 {
		return []byte{}, nil
	}
	return b[4:], nil
}

// write replaces a variable: attributes and value in one call, as efivarfs wants it.
func (v Variables) write(name string, value []byte) error {
	v.unlock(v.path(name))
	f, err := os.OpenFile(v.path(name), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	n, err := f.Write(append(binary.LittleEndian.AppendUint32(nil, attributes), value...))
	// In efivarfs a write is the whole value already; a plain directory in its place keeps an old tail.
	_ = f.Truncate(int64(n))
	return errors.Join(err, f.Close())
}

func (v Variables) remove(n uint16) error {
	path := v.path(fmt.Sprintf("Boot%04X", n))
	v.unlock(path)
	return os.Remove(path)
}

// unlock takes the immutable flag away where there is one. What then cannot be written says so itself.
func (v Variables) unlock(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && flags&fsImmutable != 0 {
		_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^fsImmutable)
	}
}
