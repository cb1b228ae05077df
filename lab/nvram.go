package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unicode/utf16"

	"ingot/lab/bmc"
)

// nvram is a firmware's variables as OVMF keeps them in its flash: a firmware volume with a store of authenticated
// variables, each with its state, in the order in which they were written. A variable that was replaced or deleted stays
// until the store is full; only its state says so. What is edited here is what the firmware would write, while no
// firmware runs. Source: EDK II, MdePkg/Include/Guid/VariableFormat.h and Pi/PiFirmwareVolume.h.
type nvram struct {
	data  []byte
	start int // of the first variable
	end   int // of the store
	free  int // where the next variable goes
	vars  []variable
}

// variable is where one lies in the data.
type variable struct {
	at         int // its header
	guid       guid
	name       string
	value, len int
	next       int
}

// guid as it lies in memory.
type guid [16]byte

// What is looked for, and the namespaces of variables.
var (
	guidVolume    = guid{0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c, 0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50} // EFI_SYSTEM_NV_DATA_FV_GUID
	guidStore     = guid{0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92} // gEfiAuthenticatedVariableGuid
	guidGlobal    = guid{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c} // PK, KEK, Boot0000
	guidImages    = guid{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f} // db, dbx
	guidSecureSet = guid{0xc7, 0x0b, 0xa3, 0xf0, 0x08, 0xaf, 0x56, 0x45, 0x99, 0xc4, 0x00, 0x10, 0x09, 0xc9, 0x3a, 0x44} // SecureBootEnable
)

const (
	volumeHeader   = 0x48 // at least; its length is in it
	storeHeader    = 28
	variableHeader = 60
	startOfHeader  = 0x55aa
	stateAdded     = 0x3f // added and not deleted
	stateDeleting  = 0x3e // being replaced: still good unless a newer one is there
	bitDeleted     = 0x02 // cleared in a variable that is gone; flash can clear bits only
	erased         = 0xff // what empty flash holds
	attrBoot       = 3    // non-volatile, for the firmware alone
	maxNVRAM       = 16 << 20
)

// readNVRAM takes a variable store apart. What it cannot vouch for it refuses whole.
func readNVRAM(data []byte) (*nvram, error) {
	le := binary.LittleEndian
	if len(data) < volumeHeader+storeHeader || len(data) > maxNVRAM || guid(data[16:32]) != guidVolume {
		return nil, errors.New("not a firmware volume of variables")
	}
	at := int(le.Uint16(data[48:]))
	if at < volumeHeader || at > len(data)-storeHeader || guid(data[at:at+16]) != guidStore {
		return nil, errors.New("no store of authenticated variables")
	}
	size := uint64(le.Uint32(data[at+16:]))
	if size < storeHeader || size > uint64(len(data)-at) {
		return nil, fmt.Errorf("a store of %d bytes does not fit in its volume", size)
	}
	n := &nvram{data: data, start: aligned(at + storeHeader), end: at + int(size)}
	for at = n.start; at <= n.end-variableHeader && le.Uint16(data[at:]) == startOfHeader; {
		nameSize, dataSize := uint64(le.Uint32(data[at+36:])), uint64(le.Uint32(data[at+40:]))
		room := uint64(n.end - at - variableHeader)
		if nameSize > room || dataSize > room-nameSize || nameSize%2 != 0 {
			return nil, fmt.Errorf("the variable at %#x is larger than the store", at)
		}
		v := variable{at: at, guid: guid(data[at+44 : at+60]), value: at + variableHeader + int(nameSize), len: int(dataSize)}
		v.name = fromUTF16(data[at+variableHeader : v.value])
		v.next = aligned(v.value + v.len)
		n.vars = append(n.vars, v)
		at = v.next
	}
	n.free = min(at, n.end)
	if rest := data[n.free:n.end]; len(bytes.Trim(rest, "\xff")) > 0 {
		return nil, fmt.Errorf("what follows the last variable at %#x is not empty", n.free)
	}
	return n, nil
}

func aligned(at int) int { return (at + 3) &^ 3 }

func fromUTF16(b []byte) string {
	u := make([]uint16, 0, len(b)/2)
	for i := 0; i+1 < len(b); i += 2 {
		u = append(u, binary.LittleEndian.Uint16(b[i:]))
	}
	for len(u) > 0 && u[len(u)-1] == 0 {
		u = u[:len(u)-1]
	}
	return string(utf16.Decode(u))
}

// find gives the variable that is in force.
func (n *nvram) find(g guid, name string) (variable, bool) {
	var old variable
	ok := false
	for _, v := range n.vars {
		if v.guid != g || v.name != name {
			continue
		}
		switch n.data[v.at+2] {
		case stateAdded:
			return v, true
		case stateDeleting:
			old, ok = v, true
		}
	}
	return old, ok
}

func (n *nvram) get(g guid, name string) ([]byte, bool) {
	v, ok := n.find(g, name)
	if !ok {
		return nil, false
	}
	return n.data[v.value : v.value+v.len], true
}

// remove marks every instance of a variable as gone.
func (n *nvram) remove(g guid, name string) {
	for _, v := range n.vars {
		if v.guid == g && v.name == name {
			n.data[v.at+2] &^= bitDeleted
		}
	}
}

// setByte changes a variable of one byte, where it is if it is there.
func (n *nvram) setByte(g guid, name string, value byte) error {
	if v, ok := n.find(g, name); ok && v.len == 1 {
		n.data[v.value] = value
		return nil
	}
	return n.set(g, name, attrBoot, []byte{value})
}

// set gives a variable another value.
func (n *nvram) set(g guid, name string, attributes uint32, value []byte) error {
	raw := make([]byte, variableHeader)
	binary.LittleEndian.PutUint16(raw, startOfHeader)
	raw[2] = stateAdded
	binary.LittleEndian.PutUint32(raw[4:], attributes)
	units := append(utf16.Encode([]rune(name)), 0)
	binary.LittleEndian.PutUint32(raw[36:], uint32(2*len(units)))
	binary.LittleEndian.PutUint32(raw[40:], uint32(len(value)))
	copy(raw[44:], g[:])
	for _, u := range units {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	n.remove(g, name)
	return n.add(append(raw, value...))
}

// copyFrom takes a variable over from another store, as it is there.
func (n *nvram) copyFrom(other *nvram, g guid, name string) error {
	v, ok := other.find(g, name)
	if !ok {
		return nil
	}
	n.remove(g, name)
	return n.add(bytes.Clone(other.data[v.at : v.value+v.len]))
}

func (n *nvram) add(raw []byte) error {
	if n.free+len(raw) > n.end {
		return errors.New("the store of variables is full: the firmware makes room when it starts")
	}
	copy(n.data[n.free:], raw)
	fresh, err := readNVRAM(n.data)
	if err != nil {
		return err
	}
	*n = *fresh
	return nil
}

// secureKeys are the variables that Secure Boot goes by.
var secureKeys = []struct {
	guid guid
	name string
}{{guidGlobal, "PK"}, {guidGlobal, "KEK"}, {guidImages, "db"}, {guidImages, "dbx"}}

// setSecureBoot makes the store one with which the firmware enforces Secure Boot or not, and has keys for it or none. The
// factory's keys come from template; own has others. Everything else stays, the boot entries above all.
func (n *nvram) setSecureBoot(on, keys bool, own *bmc.KeyStore, template *nvram) error {
	for _, k := range secureKeys {
		if !keys {
			n.remove(k.guid, k.name)
			continue
		}
		have, there := n.get(k.guid, k.name)
		value, others, err := wanted(own, k.name)
		factory, _ := template.get(k.guid, k.name)
		switch {
		case err != nil:
			return err
		case !others && !there, !others && k.name != "dbx" && !bytes.Equal(have, factory): // dbx grows by itself
			err = n.copyFrom(template, k.guid, k.name)
		case others && len(value) == 0:
			n.remove(k.guid, k.name)
		case others && !bytes.Equal(have, value):
			err = n.set(k.guid, k.name, attrKeys, value)
		}
		if err != nil {
			return err
		}
	}
	if !keys { // the firmware makes it anew when it gets keys
		n.remove(guidSecureSet, "SecureBootEnable")
		return nil
	}
	value := byte(0)
	if on {
		value = 1
	}
	return n.setByte(guidSecureSet, "SecureBootEnable", value)
}

// applySecureBoot edits a machine's variables for its next boot. No QEMU may be running.
func applySecureBoot(path, templatePath string, on, keys bool, own *bmc.KeyStore) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n, err := readNVRAM(bytes.Clone(before))
	if err != nil {
		return fmt.Errorf("read the firmware's variables: %w", err)
	}
	raw, err := os.ReadFile(templatePath)
	if err != nil {
		return err
	}
	template, err := readNVRAM(raw)
	if err != nil {
		return fmt.Errorf("read the firmware's variables of the factory: %w", err)
	}
	if err := n.setSecureBoot(on, keys, own, template); err != nil {
		return fmt.Errorf("set Secure Boot in the firmware's variables: %w", err)
	}
	if bytes.Equal(n.data, before) {
		return nil
	}
	if err := os.WriteFile(path+".new", n.data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
