package erase

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands of the security feature set. Source: ATA/ATAPI Command Set 3 (ACS-3), §7.12 and §7.37 ff.
const (
	ataIdentify     = 0xec
	ataSetPassword  = 0xf1
	ataUnlock       = 0xf2
	ataErasePrepare = 0xf3
	ataErase        = 0xf4
	ataDisable      = 0xf6
)

const (
	ataQuick = time.Minute
	// ataLeast is how long an erase may take at least: what disks say of themselves is often too little. ataMost
	// is what the kernel can count to, and more than any disk needs.
	ataLeast, ataMost = 12 * time.Hour, 30 * 24 * time.Hour
)

// ataWire sends commands to an open disk.
type ataWire interface {
	// read gives 512 bytes, write sends as many; nil data is a command without.
	read(command byte, limit time.Duration) ([]byte, error)
	write(command byte, data []byte, limit time.Duration) error
}

// ataSecurity is the state of a disk's security. Source: ACS-3, §7.12.7.65 (IDENTIFY DEVICE, word 128).
type ataSecurity struct {
	supported, enabled, locked, frozen, expired, enhanced bool
	normalTime, enhancedTime                              time.Duration // 0: it does not say
}

func ataState(w ataWire) (ataSecurity, error) {
	data, err := w.read(ataIdentify, ataQuick)
	if err != nil {
		return ataSecurity{}, fmt.Errorf("ATA identify: %w", err)
	}
	word := func(n int) uint16 { return binary.LittleEndian.Uint16(data[2*n:]) }
	s := word(128)
	return ataSecurity{
		supported: word(82)&2 != 0 && s&1 != 0,
		enabled:   s&2 != 0, locked: s&4 != 0, frozen: s&8 != 0, expired: s&16 != 0, enhanced: s&32 != 0,
		normalTime: ataTime(word(89)), enhancedTime: ataTime(word(90)),
	}, nil
}

// ataTime reads the time an erase takes, in units of two minutes; the highest value means more than that.
// Source: ACS-3, §7.12.7.43.
func ataTime(w uint16) time.Duration {
	if w&0x8000 != 0 {
		return time.Duration(w&0x7fff) * 2 * time.Minute
	}
	return time.Duration(w&0xff) * 2 * time.Minute
}

// eraseATA has the disk erase itself, with a password that is all zeros, so that a disk that was interrupted
// is unlocked by whoever comes next. After it no password is left.
func eraseATA(w ataWire) (how string, err error) {
	s, err := ataState(w)
	if err != nil {
		// A disk behind a controller that does not pass commands on.
		return "", unsupported(err.Error())
	}
	switch {
	case !s.supported:
		return "", unsupported("it has no ATA security")
	case s.frozen:
		return "", errors.New("the firmware has frozen the disk's security: it can be erased after the disk was without power while the machine ran, or with another firmware setting")
	case s.expired:
		return "", errors.New("the disk takes no password until it was without power")
	}
	if s.locked {
		if err := w.write(ataUnlock, password(0), ataQuick); err != nil {
			return "", fmt.Errorf("the disk is locked with a password that is not ours: ATA unlock: %w", err)
		}
	}
	if err := w.write(ataSetPassword, password(0), ataQuick); err != nil {
		err = fmt.Errorf("ATA set password: %w", err)
		if !s.enabled { // the disk may have taken it, and only its answer was lost
			err = errors.Join(err, ataForget(w))
		}
		return "", err
	}
	how, word, takes := "ATA security erase", uint16(0), s.normalTime
	if s.enhanced {
		how, word, takes = "ATA enhanced security erase", 2, s.enhancedTime
	}
	err = w.write(ataErasePrepare, nil, ataQuick)
	if err == nil {
		err = w.write(ataErase, password(word), min(max(2*takes, ataLeast), ataMost))
	}
	return how, errors.Join(wrapped("ATA security erase", err), ataForget(w))
}

// ataForget sees that no password is left: erasing takes it away, and a failed erase may not.
func ataForget(w ataWire) error {
	s, err := ataState(w)
	if err != nil || !s.enabled {
		return err
	}
	if s.locked {
		_ = w.write(ataUnlock, password(0), ataQuick) // what follows tells
	}
	_ = w.write(ataDisable, password(0), ataQuick)
	if s, err = ataState(w); err == nil && s.enabled {
		err = errors.New("a password of zeros is left on the disk")
	}
	return err
}

// password is the data of security commands: a word of flags, and 32 bytes of password. Source: ACS-3, §7.45.
func password(flags uint16) []byte {
	data := make([]byte, 512)
	binary.LittleEndian.PutUint16(data, flags)
	return data
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// ataFile is an open disk of the SCSI layer, which passes ATA commands on.
type ataFile struct{ file *os.File }

// sgHeader is struct sg_io_hdr. Source: Linux, include/scsi/sg.h.
type sgHeader struct {
	interfaceID, direction                 int32
	commandLength, maxSense                uint8
	vectors                                uint16
	length                                 uint32
	data, command, sense                   uintptr
	timeout /* ms */, flags                uint32
	packID                                 int32
	user                                   uintptr
	status, maskedStatus, message, written uint8
	hostStatus, driverStatus               uint16
	residual                               int32
	duration, info                         uint32
}

const (
	sgIO                          = 0x2285
	sgNone, sgToDisk, sgFromDisk  = -1, -2, -3
	ataPassThrough                = 0x85 // ATA PASS-THROUGH (16). Source: SCSI/ATA Translation 3 (SAT-3), §12.2.2
	protoNone, protoIn, protoOut  = 3, 4, 5
	lengthInCount, inBlocks, from = 2, 1 << 2, 1 << 3
)

func (a ataFile) read(command byte, limit time.Duration) ([]byte, error) {
	data := make([]byte, 512)
	return data, a.send(command, protoIn, sgFromDisk, lengthInCount|inBlocks|from, data, limit)
}

func (a ataFile) write(command byte, data []byte, limit time.Duration) error {
	if data == nil {
		return a.send(command, protoNone, sgNone, 0, nil, limit)
	}
	return a.send(command, protoOut, sgToDisk, lengthInCount|inBlocks, data, limit)
}

func (a ataFile) send(command, protocol byte, direction int32, flags byte, data []byte, limit time.Duration) error {
	cdb := [16]byte{ataPassThrough, protocol << 1, flags, 14: command}
	var sense [32]byte
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&cdb[0])
	pin.Pin(&sense[0])
	h := sgHeader{interfaceID: 'S', direction: direction, commandLength: uint8(len(cdb)), maxSense: uint8(len(sense)),
		command: uintptr(unsafe.Pointer(&cdb[0])), sense: uintptr(unsafe.Pointer(&sense[0])), timeout: uint32(limit.Milliseconds())}
	if len(data) > 0 {
		cdb[6] = byte(len(data) / 512)
		pin.Pin(&data[0])
		h.data, h.length = uintptr(unsafe.Pointer(&data[0])), uint32(len(data))
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, a.file.Fd(), sgIO, uintptr(unsafe.Pointer(&h))); errno != 0 {
		return errno
	}
	if h.status != 0 || h.hostStatus != 0 || h.driverStatus&0xf != 0 {
		key := sense[1] & 0xf // of descriptor sense data
		if sense[0]&0x7f < 0x72 {
			key = sense[2] & 0xf
		}
		return fmt.Errorf("refused: SCSI status 0x%x, host 0x%x, sense key 0x%x", h.status, h.hostStatus, key)
	}
	return nil
}
