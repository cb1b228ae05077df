package erase

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Admin commands and their fields. Source: NVM Express Base Specification 1.4, §5.13 (format), §5.14 (get log
// page), §5.15 (identify), §5.24 (sanitize).
const (
	nvmeGetLogPage = 0x02
	nvmeIdentify   = 0x06
	nvmeFormat     = 0x80
	nvmeSanitize   = 0x84

	identifyNamespace, identifyController = 0, 1

	eraseUserData, eraseCrypto    = 1, 2 // format: secure erase settings
	sanitizeBlocks, sanitizeCrypt = 2, 4 // sanitize: action

	sanitizeLog   = 0x81
	allNamespaces = 0xffffffff
)

const (
	// nvmeQuick is how long a command may take that only asks, nvmeLong one that erases.
	nvmeQuick = time.Minute
	nvmeLong  = 24 * time.Hour
	// sanitizePoll is how often a drive is asked how far it is.
	sanitizePoll = 2 * time.Second
)

// nvmeCommand is struct nvme_passthru_cmd. Source: Linux, include/uapi/linux/nvme_ioctl.h.
type nvmeCommand struct {
	opcode, flags                            uint8
	_                                        uint16
	namespace, cdw2, cdw3                    uint32
	metadata, address                        uint64
	metadataLength, dataLength               uint32
	cdw10, cdw11, cdw12, cdw13, cdw14, cdw15 uint32
	timeout /* ms */, result                 uint32
}

// nvmeWire sends admin commands to the controller of an open namespace.
type nvmeWire interface {
	// admin gives the drive's status: 0 is success.
	admin(c nvmeCommand, data []byte, limit time.Duration) (status int, err error)
	// namespace is the number of the open one.
	namespace() (uint32, error)
}

// nvmeFile is an open /dev/nvmeXnY.
type nvmeFile struct{ file *os.File }

// Requests of ioctl: _IO('N', 0x40) and _IOWR('N', 0x41, struct nvme_passthru_cmd).
const (
	nvmeIoctlID    = 0x4e40
	nvmeIoctlAdmin = 3<<30 | unsafe.Sizeof(nvmeCommand{})<<16 | 'N'<<8 | 0x41
)

func (n nvmeFile) namespace() (uint32, error) {
	id, err := unix.IoctlRetInt(int(n.file.Fd()), nvmeIoctlID)
	return uint32(id), err
}

func (n nvmeFile) admin(c nvmeCommand, data []byte, limit time.Duration) (int, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	if len(data) > 0 {
		pin.Pin(&data[0])
		c.address, c.dataLength = uint64(uintptr(unsafe.Pointer(&data[0]))), uint32(len(data))
	}
	c.timeout = uint32(limit.Milliseconds())
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, n.file.Fd(), nvmeIoctlAdmin, uintptr(unsafe.Pointer(&c)))
	runtime.KeepAlive(data)
	if errno != 0 {
		return 0, errno
	}
	return int(status), nil
}

// nvmeAbilities is what a controller says it can.
type nvmeAbilities struct {
	format, formatCrypto, formatAll bool
	sanitizeCrypto, sanitizeBlock   bool
}

// nvmeCan asks a controller. Source: NVM Express Base Specification 1.4, figure 247 (OACS, SANICAP, FNA).
func nvmeCan(w nvmeWire) (nvmeAbilities, error) {
	data := make([]byte, 4096)
	if err := nvmeDo(w, "identify", nvmeCommand{opcode: nvmeIdentify, cdw10: identifyController}, data, nvmeQuick); err != nil {
		return nvmeAbilities{}, err
	}
	optional, formats, sanitize := binary.LittleEndian.Uint16(data[256:]), data[524], binary.LittleEndian.Uint32(data[328:])
	return nvmeAbilities{
		format:         optional&2 != 0,
		formatAll:      formats&3 != 0, // of one namespace formats or erases all
		formatCrypto:   formats&4 != 0,
		sanitizeCrypto: sanitize&1 != 0,
		sanitizeBlock:  sanitize&2 != 0,
	}, nil
}

// eraseNVMe formats the namespace, its layout kept, or sanitizes the drive where it cannot be formatted. shared:
// other namespaces of the drive must keep their data.
func eraseNVMe(ctx context.Context, w nvmeWire, shared bool) (string, error) {
	can, err := nvmeCan(w)
	if err != nil {
		return "", err
	}
	switch {
	case can.format && !(can.formatAll && shared):
		return formatNVMe(w, can.formatCrypto)
	case (can.sanitizeCrypto || can.sanitizeBlock) && !shared:
		return sanitizeNVMe(ctx, w, can.sanitizeCrypto)
	case can.format || can.sanitizeCrypto || can.sanitizeBlock:
		return "", unsupported("it erases all namespaces of the drive, and not all are to be erased")
	}
	return "", unsupported("it has neither format nor sanitize")
}

func formatNVMe(w nvmeWire, crypto bool) (string, error) {
	id, err := w.namespace()
	if err != nil {
		return "", fmt.Errorf("ask for the namespace: %w", err)
	}
	data := make([]byte, 4096)
	if err := nvmeDo(w, "identify", nvmeCommand{opcode: nvmeIdentify, namespace: id, cdw10: identifyNamespace}, data, nvmeQuick); err != nil {
		return "", err
	}
	// FLBAS and DPS as they are: sector size, metadata and protection stay. Source: figures 245 and 332.
	layout, protection := uint32(data[26]), uint32(data[29])
	setting, how := uint32(eraseUserData), "NVMe format, user data erased"
	if crypto {
		setting, how = eraseCrypto, "NVMe format, encryption key erased"
	}
	c := nvmeCommand{opcode: nvmeFormat, namespace: id}
	c.cdw10 = layout&0xf | layout>>4&1<<4 | protection&7<<5 | protection>>3&1<<8 | setting<<9 | layout>>5&3<<12
	return how, nvmeDo(w, "format", c, nil, nvmeLong)
}

// sanitizeNVMe erases the whole drive and waits for it. Source: NVM Express Base Specification 1.4, §5.24 and
// figure 203 (sanitize status).
func sanitizeNVMe(ctx context.Context, w nvmeWire, crypto bool) (string, error) {
	action, how := uint32(sanitizeBlocks), "NVMe sanitize, blocks erased"
	if crypto {
		action, how = sanitizeCrypt, "NVMe sanitize, encryption key erased"
	}
	if err := nvmeDo(w, "sanitize", nvmeCommand{opcode: nvmeSanitize, cdw10: action}, nil, nvmeQuick); err != nil {
		return "", err
	}
	log := make([]byte, 512)
	read := nvmeCommand{opcode: nvmeGetLogPage, namespace: allNamespaces, cdw10: sanitizeLog | uint32(len(log)/4-1)<<16}
	for {
		if err := nvmeDo(w, "read the sanitize log", read, log, nvmeQuick); err != nil {
			return "", err
		}
		switch state := binary.LittleEndian.Uint16(log[2:]) & 7; state {
		case 1, 4:
			return how, nil
		case 2:
		default:
			return "", fmt.Errorf("sanitize ended with state %d", state)
		}
		t := time.NewTimer(sanitizePoll)
		select {
		case <-ctx.Done():
			t.Stop()
			return "", ctx.Err()
		case <-t.C:
		}
	}
}

func nvmeDo(w nvmeWire, what string, c nvmeCommand, data []byte, limit time.Duration) error {
	status, err := w.admin(c, data, limit)
	if err != nil {
		return fmt.Errorf("NVMe %s: %w", what, err)
	}
	if status != 0 {
		return fmt.Errorf("NVMe %s: the drive answers with status 0x%x", what, status)
	}
	return nil
}
