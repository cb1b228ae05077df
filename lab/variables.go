package lab

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

// attrTenant is a variable that an operating system writes and finds again: non-volatile, for the firmware and at run time. Source: UEFI
// specification 2.10, §8.2.
const attrTenant = 7

// PlantVariable puts a variable into the firmware's flash as an operating system would have. The machine is off.
func (m *MachineState) PlantVariable(namespace uuid.UUID, name string, value []byte) error {
	return m.nvram(func(n *nvram) (bool, error) { return true, n.set(mixed(namespace), name, attrTenant, value) })
}

// Variable reads one from the flash: what the firmware would give. Bytes of deleted variables may lie there still, until the firmware
// makes room.
func (m *MachineState) Variable(namespace uuid.UUID, name string) (value []byte, there bool, err error) {
	err = m.nvram(func(n *nvram) (bool, error) {
		value, there = n.get(mixed(namespace), name)
		return false, nil
	})
	return value, there, err
}

func (m *MachineState) nvram(f func(*nvram) (changed bool, err error)) error {
	path := filepath.Join(filepath.Dir(m.DiskPath), "vars.fd")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n, err := readNVRAM(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	changed, err := f(n)
	if err != nil || !changed {
		return err
	}
	return os.WriteFile(path, n.data, 0o600)
}

// mixed is the order of a GUID's bytes in flash: its first three fields are little-endian.
func mixed(u uuid.UUID) guid {
	return guid{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
}
