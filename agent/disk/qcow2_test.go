package disk

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"ingot/internal/image/imagetest"
)

// TestQCOW2LeavesNoOldData has an image that reaches into all that is held back, on a disk of its size: every byte
// must be the image's.
func TestQCOW2LeavesNoOldData(t *testing.T) {
	for _, o := range []imagetest.QCOW2{{}, {Bits: 12, Packed: true, Shuffle: 3}, {Bits: 21, Packed: true, Zstd: true}} {
		img := gptImage()
		served, path := o.Make(img), oldDisk(t, imageSize)
		r := request(path, serve(t, served, nil), served)
		r.Image.DiskFormat = "qcow2"
		if _, err := WriteImage(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(readDisk(t, path), img) {
			t.Errorf("%+v: an image as large as the disk is not the disk", o)
		}
		sgdisk(t, path)
	}
}

// TestQCOW2Served tells what a server may do while tables are read by range and clusters in one go.
func TestQCOW2Served(t *testing.T) {
	img := gptImage()
	served := pack("qcow2 zlib", img)
	other := bytes.Clone(served)
	other[110] ^= 1 // in the header, where nobody looks
	ranged := func(r *http.Request) bool { return strings.Contains(r.Header.Get("Range"), "-") }
	whole := func(w http.ResponseWriter, r *http.Request, b []byte) {
		r.Header.Del("Range")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
	for _, c := range []struct {
		name   string
		answer func(n int, w http.ResponseWriter, r *http.Request) bool
		kind   string // "" for success
		says   string
		wrote  bool
	}{
		{"no ranges", func(n int, w http.ResponseWriter, r *http.Request) bool { whole(w, r, served); return true },
			downloadError, "range requests", false},
		{"a range fails once", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
			}
			return n == 1
		}, "", "", true},
		{"the download breaks off", func(n int, w http.ResponseWriter, r *http.Request) bool {
			return n == 0 && hangUp(w, served, len(served)/2)
		}, "", "", true},
		{"other tables by range", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if ranged(r) {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other))
			}
			return ranged(r)
		}, downloadError, "not what they were", true},
		{"another tag by range", func(n int, w http.ResponseWriter, r *http.Request) bool {
			if ranged(r) {
				w.Header().Set("ETag", `"2"`)
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(served))
			}
			return ranged(r)
		}, downloadError, "changed", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := oldDisk(t, 32*mib)
			r := request(path, serve(t, served, c.answer), served)
			r.Image.DiskFormat = "qcow2"
			_, err := WriteImage(context.Background(), r)
			disk := readDisk(t, path)
			switch {
			case c.kind == "" && (err != nil || !bytes.Equal(disk[mib:20*mib], img[mib:20*mib])):
				t.Errorf("%v, or the disk differs", err)
			case c.kind != "":
				wantType(t, err, c.kind, c.says)
			}
			if !c.wrote && disk[0] != old {
				t.Error("the disk was written before the refusal")
			}
			if c.wrote && c.kind != "" {
				wantUnbootable(t, disk)
			}
		})
	}
}

// One compressed cluster can stand for a whole disk, and then all of the writing comes after the download.
func TestQCOW2StopsWhenItIsCancelled(t *testing.T) {
	path := oldDisk(t, 32*mib)
	dev, err := openDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.close()
	ctx, cancel := context.WithCancel(t.Context())
	p := newPlacer(newScatter(ctx, dev, nil), func() {})
	if _, err := p.WriteAt(make([]byte, mib), 2*mib); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := p.WriteAt(make([]byte, mib), 4*mib); !errors.Is(err, context.Canceled) || !errors.Is(p.err, context.Canceled) {
		t.Errorf("%v, %v", err, p.err)
	}
	if disk := readDisk(t, path); disk[2*mib] != 0 || disk[4*mib] != old {
		t.Error("it was written after it was cancelled")
	}
}
