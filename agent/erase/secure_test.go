package erase

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fakes are disks that answer commands as the standards say, over a file that holds their data.
type fakes struct {
	drive *nvmeDrive
	disk  *ataDisk
}

func (f fakes) nvme(file *os.File) nvmeWire { f.drive.file = file; return f.drive }
func (f fakes) ata(file *os.File) ataWire   { f.disk.file = file; return f.disk }

// nvmeDrive is a controller with one open namespace, its third.
type nvmeDrive struct {
	file                      *os.File
	oacs                      uint16
	fna                       byte
	sanicap                   uint32
	liar                      bool // says that it erased and did not
	status                    int  // of format and sanitize
	busy                      int  // how many looks at the log sanitize takes
	stuck                     chan struct{}
	formatted, sanitized, how uint32

	mu     sync.Mutex
	inside int
	most   int
}

func (n *nvmeDrive) namespace() (uint32, error) { return 3, nil }

func (n *nvmeDrive) admin(c nvmeCommand, data []byte, _ time.Duration) (int, error) {
	switch c.opcode {
	case nvmeIdentify:
		if c.cdw10 == identifyController {
			binary.LittleEndian.PutUint16(data[256:], n.oacs)
			data[524] = n.fna
			binary.LittleEndian.PutUint32(data[328:], n.sanicap)
		} else {
			data[26], data[29] = 0x31, 0x0a // format 17, metadata in line; protection type 2, at the start
		}
		return 0, nil
	case nvmeGetLogPage:
		state := uint16(1)
		if n.busy > 0 {
			n.busy--
			state = 2
		}
		binary.LittleEndian.PutUint16(data[2:], state)
		return 0, nil
	case nvmeFormat, nvmeSanitize:
		if n.status != 0 {
			return n.status, nil
		}
		n.mu.Lock()
		n.inside++
		n.most = max(n.most, n.inside)
		n.mu.Unlock()
		defer func() { n.mu.Lock(); n.inside--; n.mu.Unlock() }()
		if n.stuck != nil {
			<-n.stuck
		}
		n.how = c.cdw10
		if c.opcode == nvmeFormat {
			n.formatted = c.namespace
		} else {
			n.sanitized++
		}
		return 0, n.clear()
	}
	return 0x4001, nil // invalid command opcode, do not retry
}

func (n *nvmeDrive) clear() error {
	if n.liar {
		return nil
	}
	size, err := n.file.Seek(0, 2)
	if err != nil {
		return err
	}
	_, err = n.file.WriteAt(make([]byte, size), 0)
	return err
}

// ataDisk is a disk with the security feature set. A command in a state that does not allow it is aborted.
type ataDisk struct {
	file                                             *os.File
	none, frozen, expired, enhanced, liar, mute      bool
	enabled, locked, foreign, broken, took, prepared bool
	deaf                                             bool // takes a password, and its answer is lost
	begun, goes                                      chan struct{}
	limit                                            time.Duration // of its erase
	time                                             uint16        // its erase takes, as it says
	mode                                             uint16
}

var errAborted = errors.New("refused: SCSI status 0x2, host 0x0, sense key 0xb")

func (a *ataDisk) read(command byte, _ time.Duration) ([]byte, error) {
	if a.mute || command != ataIdentify {
		return nil, errAborted
	}
	data := make([]byte, 512)
	put := func(n int, v uint16) { binary.LittleEndian.PutUint16(data[2*n:], v) }
	if !a.none {
		var s uint16
		for i, on := range []bool{true, a.enabled, a.locked, a.frozen, a.expired, a.enhanced} {
			if on {
				s |= 1 << i
			}
		}
		put(82, 2)
		put(128, s)
		put(89, max(a.time, 30))
		put(90, 0x8000|2)
	}
	return data, nil
}

func (a *ataDisk) write(command byte, data []byte, limit time.Duration) error {
	if _, err := a.file.Stat(); err != nil {
		return err // closed
	}
	was := a.prepared
	a.prepared = false
	switch {
	case a.none || a.frozen:
		return errAborted
	case command == ataUnlock:
		if a.foreign {
			return errAborted
		}
		a.locked = false
	case command == ataSetPassword && !a.locked:
		a.enabled, a.took = true, true
		if a.deaf {
			return errAborted
		}
	case command == ataErasePrepare:
		a.prepared = true
	case command == ataErase && was && a.enabled:
		a.limit = limit
		if a.begun != nil {
			close(a.begun)
			<-a.goes
		}
		if a.broken {
			a.locked = true
			return errAborted
		}
		a.mode = binary.LittleEndian.Uint16(data)
		a.enabled = false
		if a.liar {
			return nil
		}
		return (&nvmeDrive{file: a.file}).clear()
	case command == ataDisable && !a.locked:
		a.enabled = false
	default:
		return errAborted
	}
	return nil
}

var all = Options{ATA: true, NVMe: true, Iterations: 1, Zeroize: true}

func TestNVMeDrivesEraseThemselves(t *testing.T) {
	for _, c := range []struct {
		name   string
		drive  *nvmeDrive
		shared bool
		how    string // begins with
		cdw10  uint32 // of the command
		err    string
	}{
		{"format", &nvmeDrive{oacs: 2}, false, "NVMe format, user data erased, samples verified", 1<<12 | 1<<9 | 1<<8 | 2<<5 | 1<<4 | 1, ""},
		{"format by key", &nvmeDrive{oacs: 2, fna: 4}, false, "NVMe format, encryption key erased, samples verified", 1<<12 | 2<<9 | 1<<8 | 2<<5 | 1<<4 | 1, ""},
		{"all namespaces, and all are to be erased", &nvmeDrive{oacs: 2, fna: 3}, false, "NVMe format, user data", 1<<12 | 1<<9 | 1<<8 | 2<<5 | 1<<4 | 1, ""},
		{"all namespaces, and another is to be kept", &nvmeDrive{oacs: 2, fna: 1, sanicap: 3}, true, Discarded + " (its own secure erase: not supported by this device: it erases all namespaces", 0, ""},
		{"this namespace only, another is to be kept", &nvmeDrive{oacs: 2}, true, "NVMe format, user data", 1<<12 | 1<<9 | 1<<8 | 2<<5 | 1<<4 | 1, ""},
		{"sanitize blocks", &nvmeDrive{sanicap: 2, busy: 1}, false, "NVMe sanitize, blocks erased, samples verified", 2, ""},
		{"sanitize by key", &nvmeDrive{sanicap: 3}, false, "NVMe sanitize, encryption key erased, samples verified", 4, ""},
		{"neither", &nvmeDrive{sanicap: 4}, false, Discarded + " (its own secure erase: not supported by this device: it has neither format nor sanitize)", 0, ""},
		{"a drive that refuses", &nvmeDrive{oacs: 2, status: 0x10a}, false, "", 0, "NVMe format: the drive answers with status 0x10a"},
		{"a drive that lies", &nvmeDrive{oacs: 2, liar: true}, false, "", 1<<12 | 1<<9 | 1<<8 | 2<<5 | 1<<4 | 1, "the data at 0 is still there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path, o := disk(t, 2<<20), all
			o.wires = fakes{drive: c.drive}
			how, err := Everything(t.Context(), []Disk{{Path: path, Kind: NVMe, Controller: "nvme0", Shared: c.shared}}, o)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v %v", how, err)
				}
			} else if err != nil || !strings.HasPrefix(how[path].How, c.how) || !allZero(read(t, path)) {
				t.Errorf("%v %v", how, err)
			}
			if c.drive.how != c.cdw10 || c.drive.formatted != 0 && c.drive.formatted != 3 {
				t.Errorf("cdw10 0x%x, want 0x%x; namespace %d", c.drive.how, c.cdw10, c.drive.formatted)
			}
		})
	}
}

func TestATADisksEraseThemselves(t *testing.T) {
	for _, c := range []struct {
		name string
		disk *ataDisk
		how  string
		mode uint16
		err  string
	}{
		{"normal", &ataDisk{}, "ATA security erase, samples verified", 0, ""},
		{"enhanced", &ataDisk{enhanced: true}, "ATA enhanced security erase, samples verified", 2, ""},
		{"locked by one who was interrupted", &ataDisk{enabled: true, locked: true}, "ATA security erase", 0, ""},
		{"locked by a stranger", &ataDisk{enabled: true, locked: true, foreign: true}, "", 0, "locked with a password that is not ours"},
		{"frozen", &ataDisk{frozen: true}, "", 0, "the firmware has frozen the disk's security"},
		{"too many tries", &ataDisk{expired: true}, "", 0, "takes no password"},
		{"no such feature", &ataDisk{none: true}, Discarded + " (its own secure erase: not supported by this device: it has no ATA security)", 0, ""},
		{"a controller that passes nothing on", &ataDisk{mute: true}, Discarded + " (its own secure erase: not supported by this device: ATA identify", 0, ""},
		{"an erase that fails", &ataDisk{broken: true}, "", 0, "ATA security erase: refused"},
		{"an answer that is lost", &ataDisk{deaf: true}, "", 0, "ATA set password: refused"},
		{"a disk that lies", &ataDisk{liar: true}, "", 0, "is still there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path, o := disk(t, 2<<20), all
			o.wires = fakes{disk: c.disk}
			how, err := Everything(t.Context(), []Disk{{Path: path, Kind: ATA}}, o)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v %v", how, err)
				}
			} else if err != nil || !strings.HasPrefix(how[path].How, c.how) || !allZero(read(t, path)) {
				t.Errorf("%v %v", how, err)
			}
			if c.disk.mode != c.mode || c.disk.took && (c.disk.enabled || c.disk.locked) {
				t.Errorf("mode %d; a password is left: %v, locked %v", c.disk.mode, c.disk.enabled, c.disk.locked)
			}
		})
	}
}

func TestWhatTheOperatorWants(t *testing.T) {
	path, o := disk(t, 2<<20), all
	drive := &nvmeDrive{oacs: 2, status: 2}
	o.wires, o.Continue = fakes{drive: drive}, true
	disks := []Disk{{Path: path, Kind: NVMe, Controller: "nvme0"}}
	how, err := Everything(t.Context(), disks, o)
	if want := Discarded + " (its own secure erase: NVMe format: the drive answers with status 0x2)"; err != nil || how[path].How != want {
		t.Errorf("going on after a failure: %v %v", how, err)
	}
	drive.status, o.NVMe = 0, false
	if how, err = Everything(t.Context(), disks, o); err != nil || how[path].How != Discarded || drive.formatted != 0 {
		t.Errorf("switched off: %v %v", how, err)
	}
	o.NVMe = true
	plain := disk(t, 16<<20)
	how, err = Express(t.Context(), append(disks, Disk{Path: plain}), o)
	if err != nil || !strings.HasPrefix(how[path].How, "NVMe format") || how[plain].How != Wiped || allZero(read(t, plain)[5<<20:6<<20]) {
		t.Errorf("express: %v %v", how, err)
	}
	drive.oacs = 0
	if how, err = Express(t.Context(), disks, o); err != nil || !strings.HasPrefix(how[path].How, Wiped+" (its own secure erase: not supported") {
		t.Errorf("express: %v %v", how, err)
	}
}

func TestNamespacesOfOneDriveEraseInTurn(t *testing.T) {
	o, drive := all, &nvmeDrive{oacs: 2}
	o.wires, o.Parallel = fakes{drive: drive}, 4
	var disks []Disk
	for range 4 {
		disks = append(disks, Disk{Path: disk(t, 1<<20), Kind: NVMe, Controller: "nvme0"})
	}
	// They share one struct, whose file is the last one opened: only whether they meet is looked at.
	_, _ = Everything(t.Context(), disks, o)
	if drive.most != 1 {
		t.Errorf("%d at once", drive.most)
	}
}

func TestADiskThatErasesItselfIsNotWaitedForAtTheEnd(t *testing.T) {
	o, drive := all, &nvmeDrive{oacs: 2, stuck: make(chan struct{})}
	defer close(drive.stuck)
	o.wires = fakes{drive: drive}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Everything(ctx, []Disk{{Path: disk(t, 1<<20), Kind: NVMe}}, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// An erase that nobody waits for any more takes its password along when it ends.
func TestAnATADiskKeepsNoPasswordWhenTheStepIsAborted(t *testing.T) {
	for _, broken := range []bool{false, true} {
		o, d := all, &ataDisk{broken: broken, begun: make(chan struct{}), goes: make(chan struct{})}
		o.wires = fakes{disk: d}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-d.begun; cancel() }()
		if _, err := Everything(ctx, []Disk{{Path: disk(t, 1<<20), Kind: ATA}}, o); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(d.goes)
		for { // the handle is closed when all is done
			if _, err := d.file.Stat(); err != nil {
				break
			}
			runtime.Gosched()
		}
		if !d.took || d.enabled || d.locked {
			t.Errorf("erase fails %v: took a password %v, which is left: %v, locked %v", broken, d.took, d.enabled, d.locked)
		}
	}
}

func TestADiskThatLiesHasSomethingToLieAbout(t *testing.T) {
	for kind, w := range map[Kind]fakes{NVMe: {drive: &nvmeDrive{oacs: 2, liar: true}}, ATA: {disk: &ataDisk{liar: true}}} {
		path, o := disk(t, 4<<20), all
		o.wires = w
		content := make([]byte, 4<<20)
		copy(content[1<<20+5000:], "what the tenant left, between the samples")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if how, err := Everything(t.Context(), []Disk{{Path: path, Kind: kind}}, o); err == nil || !strings.Contains(err.Error(), "is still there") {
			t.Errorf("%v %v", how, err)
		}
	}
}

func TestTheLimitOfAnEraseFitsTheKernel(t *testing.T) {
	for says, want := range map[uint16]time.Duration{30: ataLeast, 0x8000 | 17896: ataMost, 0xffff: ataMost} {
		o, d := all, &ataDisk{time: says}
		o.wires = fakes{disk: d}
		if how, err := Everything(t.Context(), []Disk{{Path: disk(t, 1<<20), Kind: ATA}}, o); err != nil || d.limit != want || d.limit.Milliseconds() > 1<<32-1 {
			t.Errorf("0x%x: %v, %v %v", says, d.limit, how, err)
		}
	}
}

// The shapes are the kernel's: sizes and places of fields on 64-bit machines.
func TestShapesOfCommands(t *testing.T) {
	var c nvmeCommand
	var h sgHeader
	for what, got := range map[string][2]uintptr{
		"nvme_passthru_cmd":        {unsafe.Sizeof(c), 72},
		"nvme_passthru_cmd.addr":   {unsafe.Offsetof(c.address), 24},
		"nvme_passthru_cmd.cdw10":  {unsafe.Offsetof(c.cdw10), 40},
		"nvme_passthru_cmd.result": {unsafe.Offsetof(c.result), 68},
		"NVME_IOCTL_ADMIN_CMD":     {nvmeIoctlAdmin, 0xc0484e41},
		"sg_io_hdr":                {unsafe.Sizeof(h), 88},
		"sg_io_hdr.dxferp":         {unsafe.Offsetof(h.data), 16},
		"sg_io_hdr.timeout":        {unsafe.Offsetof(h.timeout), 40},
		"sg_io_hdr.status":         {unsafe.Offsetof(h.status), 64},
		"sg_io_hdr.info":           {unsafe.Offsetof(h.info), 80},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d, want %d", what, got[0], got[1])
		}
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := (ataFile{f}).read(ataIdentify, time.Second); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("ATA on what is no disk: %v", err)
	}
	if _, err := (nvmeFile{f}).admin(nvmeCommand{opcode: nvmeIdentify}, make([]byte, 4096), time.Second); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("NVMe on what is no disk: %v", err)
	}
}
