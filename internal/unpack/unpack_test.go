package unpack_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ingot/internal/unpack"
)

// As many bytes as may be are read, whatever the pieces that they come in, and the next one is too many.
func TestBounded(t *testing.T) {
	over := errors.New("too much")
	for _, c := range []struct {
		text string
		left int64
		want error
	}{{"", 0, nil}, {"abc", 3, nil}, {"abc", 2, over}, {"a", 0, over}, {strings.Repeat("x", 5000), 5000, nil}, {strings.Repeat("x", 5001), 5000, over}} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.text), "by bytes": iotest.OneByteReader(strings.NewReader(c.text)), "with its end": iotest.DataErrReader(strings.NewReader(c.text))} {
			got, err := io.ReadAll(&unpack.Bounded{R: r, Left: c.left, Over: over})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || int64(len(got)) > c.left || err == nil && string(got) != c.text {
				t.Errorf("%d bytes of %d, %s: %d read, %v", len(c.text), c.left, name, len(got), err)
			}
		}
	}
}

// What is wrong with the stream is said in a sentence; its end, and that there is too much, as they are.
func TestBoundedSays(t *testing.T) {
	over, broken := errors.New("too much"), errors.New("broken")
	said := errors.New("it cannot be read")
	says := func(err error) error { return errors.Join(said, err) }
	_, err := io.ReadAll(&unpack.Bounded{R: iotest.ErrReader(broken), Left: 5, Over: over, Says: says})
	if !errors.Is(err, said) || !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, err := io.ReadAll(&unpack.Bounded{R: strings.NewReader("abc"), Left: 2, Over: over, Says: says}); err != over {
		t.Errorf("%v, want that it is too much", err)
	}
	if got, err := io.ReadAll(&unpack.Bounded{R: strings.NewReader("abc"), Left: 3, Over: over, Says: says}); err != nil || string(got) != "abc" {
		t.Errorf("%q %v", got, err)
	}
}

func TestPackings(t *testing.T) {
	text := strings.Repeat("what is packed; ", 10000)
	var zipped, zst bytes.Buffer
	g := gzip.NewWriter(&zipped)
	z, err := zstd.NewWriter(&zst, zstd.WithWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{g, z} {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	read := func(r io.Reader, end func(), err error) (string, error) {
		if err != nil {
			return "", err
		}
		defer end()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	if got, err := read(unpack.Gzip(bytes.NewReader(zipped.Bytes()))); err != nil || got != text {
		t.Errorf("gzip: %d bytes, %v", len(got), err)
	}
	if got, err := read(unpack.Zstd(bytes.NewReader(zst.Bytes()), 64<<10, 1<<20)); err != nil || got != text {
		t.Errorf("zstd: %d bytes, %v", len(got), err)
	}
	if _, err := read(unpack.Zstd(bytes.NewReader(zst.Bytes()), 32<<10, 1<<20)); err == nil {
		t.Error("a window that is larger than it may be is taken")
	}
	one, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	segment := one.EncodeAll([]byte(text), nil)
	if got, err := read(unpack.Zstd(bytes.NewReader(segment), 1<<20, 1<<20)); err != nil || got != text {
		t.Errorf("one segment: %d bytes, %v", len(got), err)
	}
	if _, err := read(unpack.Zstd(bytes.NewReader(segment), 1<<20, 64<<10)); err == nil {
		t.Error("a segment of more memory than may be is taken")
	}
	for name, half := range map[string]func() (io.Reader, func(), error){
		"gzip": func() (io.Reader, func(), error) {
			return unpack.Gzip(bytes.NewReader(zipped.Bytes()[:zipped.Len()/2]))
		},
		"zstd": func() (io.Reader, func(), error) {
			return unpack.Zstd(bytes.NewReader(zst.Bytes()[:zst.Len()/2]), 64<<10, 1<<20)
		},
		"no gzip": func() (io.Reader, func(), error) { return unpack.Gzip(strings.NewReader("no gzip at all")) },
	} {
		if _, err := read(half()); err == nil {
			t.Errorf("%s: half of it is taken for the whole", name)
		}
	}
}
