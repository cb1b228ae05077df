package disk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
	"ingot/internal/source"
)

const (
	imageSize = 24 * mib
	diskSize  = 92 * mib
	old       = 0xee // what the disk is full of before
)

// content is the inside of a 24 MiB image: data, holes of several sizes, and zeros too short to be holes.
func content() []byte {
	b := make([]byte, imageSize)
	r := rand.New(rand.NewSource(3))
	r.Read(b[mib : 9*mib])
	clear(b[2*mib : 5*mib])                 // a large hole
	clear(b[6*mib : 6*mib+granule])         // the smallest hole
	clear(b[7*mib+100 : 7*mib+100+granule]) // not aligned: no hole
	r.Read(b[20*mib+777 : 21*mib])
	return b
}

func gptImage(extra ...imagetest.Part) []byte {
	b := content()
	parts := append([]imagetest.Part{
		{Type: image.TypeESP, First: 2048, Last: 4*2048 - 1, Name: "esp"},
		{Type: image.TypeLinuxRoot, First: 4 * 2048, Last: 20 * 2048, Name: "root"},
	}, extra...)
	imagetest.GPT(b, 512, parts...)
	return b
}

func mbrImage(slots ...imagetest.Slot) []byte {
	b := content()
	imagetest.MBR(b, 0xfeedc0de, append([]imagetest.Slot{{Type: 0x83, First: 2048, Size: 20 * 2048}}, slots...)...)
	return b
}

func pack(how string, b []byte) []byte {
	var out bytes.Buffer
	switch how {
	case "gzip":
		w := gzip.NewWriter(&out)
		w.Write(b)
		w.Close()
	case "zstd":
		w, _ := zstd.NewWriter(&out)
		w.Write(b)
		w.Close()
	case "qcow2":
		return imagetest.QCOW2{}.Make(b)
	case "qcow2 zlib":
		return imagetest.QCOW2{Packed: true, Every: 5, Shuffle: 1}.Make(b)
	case "qcow2 zstd":
		return imagetest.QCOW2{Packed: true, Zstd: true, Share: true, Bits: 20}.Make(b)
	default:
		return b
	}
	return out.Bytes()
}

// serve offers b with a tag and ranges; before, if not nil, sees every request first and may answer it.
func serve(t testing.TB, b []byte, before func(n int, w http.ResponseWriter, r *http.Request) bool) string {
	t.Helper()
	var mu sync.Mutex
	n := -1
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		mine := n
		mu.Unlock()
		w.Header().Set("ETag", `"1"`)
		if before == nil || !before(mine, w, r) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/img"
}

// oldDisk is a sparse file with old data on it: everywhere an image may come to lie, and in marks at both
// edges of every granule beyond, up to its last byte.
func oldDisk(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(memoryDir(t), "disk")
	data := bytes.Repeat([]byte{old}, int(min(size, imageSize+2*mib)))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(len(data)); at < size; at += granule {
		for _, edge := range []int64{at, min(at+granule, size) - 512} {
			if _, err := f.WriteAt(data[:512], edge); err != nil {
				t.Fatal(err)
			}
		}
	}
	return path
}

// memoryDir is a directory in memory where there is room, as every test here flushes what it writes.
func memoryDir(t testing.TB) string {
	t.Helper()
	var free unix.Statfs_t
	if unix.Statfs("/dev/shm", &free) != nil || free.Bavail*uint64(free.Bsize) < 1<<30 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "ingot-disk-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func request(device, url string, served []byte) Request {
	sum := sha256.Sum256(served)
	return Request{Device: device, Image: agentapi.ImageInfo{ID: "img", URLs: []string{url}, DiskFormat: "raw", HashAlgo: "sha256", HashValue: hex.EncodeToString(sum[:])},
		fetch: source.Options{Backoff: time.Millisecond, Tries: 3}}
}

func readDisk(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantType checks the type of a command error and what it says.
func wantType(t *testing.T, err error, kind, says string) {
	t.Helper()
	c, ok := err.(*agentapi.CommandError)
	if !ok || c.Type != kind || !strings.Contains(c.Details, says) || c.Message == "" || c.Code == 0 {
		t.Errorf("error = %#v, want %s about %q", err, kind, says)
	}
}

// wantUnbootable checks that nothing on the disk could be taken for a partition table.
func wantUnbootable(t *testing.T, disk []byte) {
	t.Helper()
	if !isZero(disk[:mib]) || !isZero(disk[len(disk)-mib:]) {
		t.Error("the first and the last MiB are not zero")
	}
	if at := bytes.Index(disk, []byte("EFI PART")); at >= 0 {
		t.Errorf("there is a GPT header at byte %d", at)
	}
}

func sgdisk(t *testing.T, path string) {
	t.Helper()
	tool, err := exec.LookPath("sgdisk")
	if err != nil {
		t.Log("sgdisk is not installed: the table is only checked by our own parser")
		return
	}
	out, err := exec.Command(tool, "-v", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk -v: %v\n%s", err, out)
	}
}

func TestWriteEveryForm(t *testing.T) {
	for _, how := range []string{"", "gzip", "zstd", "qcow2", "qcow2 zlib", "qcow2 zstd"} {
		for kind, img := range map[string][]byte{"gpt": gptImage(), "mbr": mbrImage()} {
			t.Run(kind+how, func(t *testing.T) {
				served, path := pack(how, img), oldDisk(t, diskSize)
				r := request(path, serve(t, served, nil), served)
				format, _, _ := strings.Cut(cmp.Or(how, "raw"), " ")
				compression := how
				if r.Image.DiskFormat = "qcow2"; format != "qcow2" {
					r.Image.DiskFormat, format = "", "raw"
				} else {
					compression = ""
				}
				var last agentapi.Progress
				r.Progress = func(p agentapi.Progress) { last = p }
				report, err := WriteImage(context.Background(), r)
				if err != nil {
					t.Fatal(err)
				}
				disk := readDisk(t, path)
				end := imageSize
				if kind == "gpt" {
					sgdisk(t, path)
					end -= 33 * 512 // the image's backup table is cleared, as the disk has its own
					if !isZero(disk[end:imageSize]) || !bytes.Equal(disk[2*512:34*512], img[2*512:34*512]) {
						t.Error("the image's old backup table is there, or its entries are not")
					}
					if report.RootUUID != report.Partitions[1].UUID || report.ESP == nil || report.ESP.Number != 1 || report.ESP.Start != mib {
						t.Errorf("report = %+v", report)
					}
				} else if report.RootUUID != "0xfeedc0de" || !bytes.Equal(disk[:mib], img[:mib]) {
					t.Errorf("root %s, or the first MiB differs", report.RootUUID)
				}
				if !bytes.Equal(disk[mib:end], img[mib:end]) {
					t.Error("the disk differs from the image")
				}
				if disk[imageSize+mib] != old {
					t.Error("the disk was written past the image")
				}
				if report.Format != format || report.Compression != compression || report.ImageSize != imageSize || report.Downloaded != int64(len(served)) ||
					report.Zeroed < 11*mib || report.Written+report.Zeroed != imageSize || report.Table != kind {
					t.Errorf("report = %+v", report)
				}
				if last.Done != int64(len(served)) || last.Total != int64(len(served)) || last.Unit != "bytes" {
					t.Errorf("last progress = %+v", last)
				}
			})
		}
	}
}

func TestNothingBootsBeforeTheDigest(t *testing.T) {
	img := gptImage()
	path := oldDisk(t, imageSize) // as large as the image: its backup table would be the disk's
	seen := make(chan []byte, 1)
	url := serve(t, img, func(n int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(img)))
		w.Write(img[:imageSize-100])
		w.(http.Flusher).Flush()
		for b := []byte(nil); ; { // until the writer has put the block before the last on the disk
			if b, _ = os.ReadFile(path); bytes.Equal(b[20*mib:21*mib], img[20*mib:21*mib]) {
				seen <- b
				break
			}
			if r.Context().Err() != nil {
				break
			}
		}
		w.Write(img[imageSize-100:])
		return true
	})
	if _, err := WriteImage(context.Background(), request(path, url, img)); err != nil {
		t.Fatal(err)
	}
	wantUnbootable(t, <-seen)
	if !bytes.Equal(readDisk(t, path), img) {
		t.Error("an image as large as the disk is not the disk")
	}
	sgdisk(t, path)
}

func TestWrongDigest(t *testing.T) {
	for _, size := range []int64{imageSize, imageSize + 512<<10, diskSize} {
		for _, how := range []string{"", "zstd", "qcow2 zlib"} {
			img, path := gptImage(), oldDisk(t, size)
			served := pack(how, img)
			r := request(path, serve(t, served, nil), served)
			r.Image.HashValue, r.Image.DiskFormat = strings.Repeat("0", 64), ""
			_, err := WriteImage(context.Background(), r)
			wantType(t, err, checksumError, "was expected")
			wantUnbootable(t, readDisk(t, path))
		}
	}
}

func TestDamagedStreamIsAChecksumError(t *testing.T) {
	img := gptImage()
	for how, kind := range map[string]string{"gzip": checksumError, "zstd": checksumError} {
		good := pack(how, img)
		bad := bytes.Clone(good)
		for i := range 64 {
			bad[len(bad)/2+i] ^= 0x55
		}
		path := oldDisk(t, diskSize)
		_, err := WriteImage(context.Background(), request(path, serve(t, bad, nil), good))
		wantType(t, err, kind, "")
		wantUnbootable(t, readDisk(t, path))
		_, err = WriteImage(context.Background(), request(path, serve(t, bad, nil), bad))
		wantType(t, err, invalidImage, "damaged")
		wantUnbootable(t, readDisk(t, path))
	}
}

// hangUp sends n bytes of b and resets the connection.
func hangUp(w http.ResponseWriter, b []byte, n int) bool {
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	w.Write(b[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestDroppedConnectionContinues(t *testing.T) {
	served := pack("zstd", gptImage())
	path := oldDisk(t, diskSize)
	url := serve(t, served, func(n int, w http.ResponseWriter, r *http.Request) bool {
		return n == 0 && hangUp(w, served, len(served)/2)
	})
	report, err := WriteImage(context.Background(), request(path, url, served))
	if err != nil || report.Breaks != 1 || report.Downloaded != int64(len(served)) {
		t.Errorf("report = %+v, %v", report, err)
	}
	if disk := readDisk(t, path); !bytes.Equal(disk[mib:20*mib], gptImage()[mib:20*mib]) {
		t.Error("the disk differs from the image")
	}
}

func TestTruncatedDownload(t *testing.T) {
	served := pack("", gptImage())
	path := oldDisk(t, diskSize)
	url := serve(t, served, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 0 {
			panic(http.ErrAbortHandler)
		}
		return hangUp(w, served, 8*mib)
	})
	_, err := WriteImage(context.Background(), request(path, url, served))
	wantType(t, err, downloadError, "Download of http")
	wantUnbootable(t, readDisk(t, path))
}

func TestImageShorterThanItsPartitions(t *testing.T) {
	short := gptImage()[:8*mib]
	for how, written := range map[string]bool{"": false, "gzip": true} {
		served, path := pack(how, short), oldDisk(t, diskSize)
		_, err := WriteImage(context.Background(), request(path, serve(t, served, nil), served))
		wantType(t, err, invalidImage, "cut short")
		if disk := readDisk(t, path); written {
			wantUnbootable(t, disk)
		} else if disk[0] != old {
			t.Error("the disk was written before the refusal")
		}
	}
}

func TestLargerThanTheDisk(t *testing.T) {
	img := mbrImage()
	for _, c := range []struct {
		how     string
		written bool
	}{{"", false}, {"zstd-known", false}, {"gzip", true}} {
		served := pack(c.how, img)
		if c.how == "zstd-known" {
			w, _ := zstd.NewWriter(nil)
			served = w.EncodeAll(img, nil)
		}
		path := oldDisk(t, 22*mib) // the partitions fit, the image does not
		_, err := WriteImage(context.Background(), request(path, serve(t, served, nil), served))
		wantType(t, err, writeError, "disk")
		disk := readDisk(t, path)
		if len(disk) != 22*mib {
			t.Errorf("%s: the file has grown to %d bytes", c.how, len(disk))
		}
		if c.written {
			wantUnbootable(t, disk)
		} else if disk[0] != old || disk[len(disk)-1] != old {
			t.Errorf("%s: the disk was written before the refusal", c.how)
		}
	}
}

func TestRefusedBeforeTheFirstWrite(t *testing.T) {
	good := gptImage()
	qcow := make([]byte, 2*mib)
	copy(qcow, "QFI\xfb\x00\x00\x00\x03")
	for _, c := range []struct {
		name   string
		served []byte
		change func(*Request)
		kind   string
		says   string
	}{
		{"not much of a qcow2", qcow, nil, invalidImage, "qcow2"},
		{"qcow2 declared raw", pack("qcow2", good), nil, invalidImage, "declared as \"raw\""},
		{"qcow2 of no disk", imagetest.QCOW2{}.Make(make([]byte, 8*mib)), anyFormat, invalidImage, "not a whole-disk image"},
		{"qcow2 with a bad table", badTable(pack("qcow2", good)), anyFormat, invalidImage, "damaged"},
		{"qcow2 for a larger disk", imagetest.QCOW2{}.Make(append(bytes.Clone(good), make([]byte, 32*mib)...)), anyFormat, writeError, "disk has"},
		{"no table", make([]byte, 2*mib), nil, invalidImage, "not a whole-disk image"},
		{"web page", []byte("<html><body>sign in</body></html>"), nil, invalidImage, "web page"},
		{"declared qcow2", good, func(r *Request) { r.Image.DiskFormat = "qcow2" }, invalidImage, "declared"},
		{"vmdk", imagetest.StreamVMDK(), anyFormat, invalidImage, "Image img is refused. The image is a VMware disk (vmdk)"},
		{"several formats", append([]byte("QED\x00"), good[4:]...), nil, invalidImage, "several formats"},
		{"qcow2 with a backing file", backedUp(pack("qcow2", good)), anyFormat, invalidImage, "backing file"},
		{"qcow2 with a backing file, inspected shallowly", backedUp(pack("qcow2", good)), func(r *Request) { r.Image.Shallow, r.Image.DiskFormat = true, "" }, invalidImage, "backing file"},
		{"raw where qcow2 is permitted", good, func(r *Request) { r.Image.Permitted = []string{"qcow2"} }, invalidImage, "permitted_image_formats"},
		{"qcow2 where raw is permitted", pack("qcow2", good), func(r *Request) { r.Image.Permitted, r.Image.DiskFormat = []string{"raw"}, "" }, invalidImage, "permitted_image_formats"},
		{"ISO declared as raw", append([]byte(nil), isoImage()...), nil, invalidImage, "declared"},
		{"no checksum", good, func(r *Request) { r.Image.HashValue = "" }, paramsError, "checksum"},
		{"md5", good, func(r *Request) { r.Image.HashAlgo, r.Image.HashValue = "md5", strings.Repeat("0", 32) }, paramsError, "forged"},
		{"no urls", good, func(r *Request) { r.Image.URLs = nil }, paramsError, "urls"},
		{"unknown type", good, func(r *Request) { r.Image.ImageType = "half-disk" }, paramsError, "whole-disk"},
		{"404", good, func(r *Request) { r.Image.URLs[0] += "/../none?sig=hunter2" }, downloadError, "404"},
		{"drive not base64", good, func(r *Request) { r.ConfigDrive = "***" }, deployError, "config drive"},
		{"drive not gzip", good, func(r *Request) { r.ConfigDrive = "H4sIAAAA" }, deployError, "config drive"},
		{"drive missing", good, func(r *Request) { r.ConfigDrive = r.Image.URLs[0] + "/../none" }, downloadError, "404"},
	} {
		path := oldDisk(t, 32*mib)
		before := readDisk(t, path)
		url := serve(t, c.served, func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/img" {
				http.NotFound(w, r)
			}
			return r.URL.Path != "/img"
		})
		r := request(path, url, c.served)
		if c.change != nil {
			c.change(&r)
		}
		_, err := WriteImage(context.Background(), r)
		wantType(t, err, c.kind, c.says)
		if strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: a secret is in %v", c.name, err)
		}
		if !bytes.Equal(readDisk(t, path), before) {
			t.Errorf("%s: the disk was written", c.name)
		}
	}
}

// backedUp names a backing file in a qcow2.
func backedUp(b []byte) []byte {
	binary.BigEndian.PutUint64(b[8:], 256)
	binary.BigEndian.PutUint32(b[16:], 11)
	copy(b[256:], "/etc/shadow")
	return b
}

// isoImage is a medium with a partition table.
func isoImage() []byte { return imagetest.Hybrid() }

// TestHybridISO writes a medium that has a partition table as the disk that it is.
func TestHybridISO(t *testing.T) {
	img := isoImage()
	path := oldDisk(t, diskSize)
	r := request(path, serve(t, img, nil), img)
	r.Image.DiskFormat = "iso"
	report, err := WriteImage(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	disk := readDisk(t, path)
	if report.Format != "iso" || report.Table != "gpt" || report.ESP == nil || !bytes.Equal(disk[32<<10:len(img)-33*512], img[32<<10:len(img)-33*512]) {
		t.Errorf("%+v, or the disk differs from the medium", report)
	}
}

func anyFormat(r *Request) { r.Image.DiskFormat = "" }

// badTable spoils the last entry of a qcow2's last table.
func badTable(b []byte) []byte {
	l1 := binary.BigEndian.Uint64(b[40:])
	l2 := binary.BigEndian.Uint64(b[l1:]) &^ (1 << 63)
	binary.BigEndian.PutUint64(b[l2+8*(imageSize/(64<<10)-1):], 1<<63|1<<50)
	return b
}

func TestNoSuchDisk(t *testing.T) {
	img := gptImage()
	_, err := WriteImage(context.Background(), request("/nonexistent/disk", serve(t, img, nil), img))
	wantType(t, err, writeError, "cannot be written")
	_, err = WriteImage(context.Background(), request(oldDisk(t, mib), serve(t, img, nil), img))
	wantType(t, err, writeError, "only 1048576 bytes")
}

func TestCancel(t *testing.T) {
	img := gptImage()
	path := oldDisk(t, diskSize)
	ctx, cancel := context.WithCancel(context.Background())
	url := serve(t, img, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(img)))
		w.Write(img[:10*mib])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
		return true
	})
	_, err := WriteImage(ctx, request(path, url, img))
	wantType(t, err, executeError, "cancelled")
	disk := readDisk(t, path)
	if disk[0] == old { // cancelled before the first write
		return
	}
	wantUnbootable(t, disk)
}

func TestLyingDeviceIsOverwritten(t *testing.T) {
	path := oldDisk(t, 26*mib)
	d, err := openDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.sampled(4*mib, 25*mib) {
		t.Error("old data passes for zeros")
	}
	d.punch, d.runs = true, []run{{2 * mib, mib}, {9 * mib, 2 * mib}}
	if err := d.distrust(context.Background()); err != nil || d.punch {
		t.Fatalf("punch = %v, %v", d.punch, err)
	}
	disk := readDisk(t, path)
	if !isZero(disk[2*mib:3*mib]) || !isZero(disk[9*mib:10*mib]) || !isZero(disk[10*mib:11*mib]) || disk[3*mib] != old {
		t.Error("the pretended runs are not zeros, or more than them is")
	}
}
