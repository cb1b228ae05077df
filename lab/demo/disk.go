package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const sector = 512

// finding is what a look at a machine's disk from outside shows.
type finding struct {
	MBR       bool  // boot signature in the first sector (UEFI 2.10, 5.2.1)
	GPT       bool  // header in the second (5.3.2)
	BackupGPT bool  // header in the last
	Marker    int64 // how many times the marker is there
	Data      int64 // bytes that the file really holds; the rest was never written or was discarded
}

// clean tells whether nothing of a former user is left that we know how to recognise.
func (f finding) clean() bool { return !f.MBR && !f.GPT && !f.BackupGPT && f.Marker == 0 }

// String says what was found, for people.
func (f finding) String() string {
	tables := []string{}
	for _, t := range []struct {
		name  string
		found bool
	}{{"boot sector", f.MBR}, {"GPT", f.GPT}, {"backup GPT", f.BackupGPT}} {
		if t.found {
			tables = append(tables, t.name)
		}
	}
	table := "none"
	if len(tables) > 0 {
		table = strings.Join(tables, ", ")
	}
	return fmt.Sprintf("partition table: %s; marker found %d times; %.1f MiB of data", table, f.Marker, float64(f.Data)/(1<<20))
}

// look reads a raw disk file whole, but for its holes.
func look(name string, marker []byte) (finding, error) {
	var f finding
	file, err := os.Open(name)
	if err != nil {
		return f, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return f, err
	}
	if info.Size() < 3*sector {
		return f, fmt.Errorf("%s has %d bytes: that is no disk", name, info.Size())
	}
	at := func(offset int64, want string) (bool, error) {
		b := make([]byte, len(want))
		_, err := file.ReadAt(b, offset)
		return string(b) == want, err
	}
	var e1, e2, e3 error
	f.MBR, e1 = at(sector-2, "\x55\xaa")
	f.GPT, e2 = at(sector, "EFI PART")
	f.BackupGPT, e3 = at(info.Size()-sector, "EFI PART")
	if err := errors.Join(e1, e2, e3); err != nil {
		return f, fmt.Errorf("read %s: %w", name, err)
	}
	for offset := int64(0); offset < info.Size(); {
		start, end, err := extent(file, offset, info.Size())
		if err != nil {
			return f, fmt.Errorf("find the data in %s: %w", name, err)
		}
		n, err := count(io.NewSectionReader(file, start, end-start), marker)
		if err != nil {
			return f, fmt.Errorf("read %s: %w", name, err)
		}
		f.Marker += n
		f.Data += end - start
		offset = end
	}
	return f, nil
}

// extent finds the next stretch of data at or after offset. Where the file system cannot tell, all is data.
func extent(file *os.File, offset, size int64) (start, end int64, err error) {
	start, err = file.Seek(offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, syscall.ENXIO): // a hole up to the end
		return size, size, nil
	case errors.Is(err, syscall.EINVAL):
		return offset, size, nil
	case err != nil:
		return 0, 0, err
	}
	end, err = file.Seek(start, unix.SEEK_HOLE)
	return start, end, err
}

// count counts the marker in a stream, across the borders of its reads too.
func count(r io.Reader, marker []byte) (int64, error) {
	var n int64
	buffer := make([]byte, 1<<20)
	kept := 0
	for {
		got, err := r.Read(buffer[kept:])
		window := buffer[:kept+got]
		n += int64(bytes.Count(window, marker))
		// What may be the beginning of a marker is looked at again with what follows; a whole one cannot be,
		// because one byte too few is kept.
		kept = copy(buffer, window[max(0, len(window)-len(marker)+1):])
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
