package journal

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestRingKeepsTheNewest(t *testing.T) {
	r := NewRing(50)
	for i := range 100 {
		if n, err := fmt.Fprintf(r, "line %02d\n", i); n != 8 || err != nil {
			t.Fatal(n, err)
		}
	}
	text := string(r.Text())
	if want := "(94 older lines are lost)\nline 94\n"; !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "line 99\n") {
		t.Errorf("%q", text)
	}
	fmt.Fprint(r, strings.Repeat("x", 51))
	if text := string(r.Text()); text != "(101 older lines are lost)\n" {
		t.Errorf("%q", text)
	}
	if text := NewRing(10).Text(); len(text) != 0 {
		t.Errorf("%q", text)
	}
}

func TestArchive(t *testing.T) {
	packed, err := Archive([]File{{"b", []byte("two")}, {"a", nil}}, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name+"="+string(data))
	}
	if strings.Join(got, " ") != "a= b=two" {
		t.Error(got)
	}
}
