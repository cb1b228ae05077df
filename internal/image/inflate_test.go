package image

import (
	"bytes"
	stdflate "compress/flate"
	"io"
	"math/rand"
	"testing"

	"github.com/klauspost/compress/flate"
)

// samples are kinds of content that make different blocks: stored, fixed, dynamic, long and short distances.
func samples() [][]byte {
	r := rand.New(rand.NewSource(9))
	noise := make([]byte, 70_000)
	r.Read(noise)
	words := make([]byte, 0, 200_000)
	for len(words) < 190_000 {
		at := r.Intn(2000)
		words = append(words, noise[at:at+1+r.Intn(40)]...)
	}
	skewed := make([]byte, 100_000)
	for i := range skewed {
		skewed[i] = byte(r.ExpFloat64() * 6)
	}
	return [][]byte{[]byte("a"), []byte("short text, short text"), make([]byte, 65536), noise, words, skewed,
		bytes.Repeat([]byte("abc"), 20_000), append(bytes.Clone(words[:3000]), noise[:3000]...)}
}

func deflated(t testing.TB, b []byte, level int) []byte {
	var out bytes.Buffer
	w, err := stdflate.NewWriter(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestInflate(t *testing.T) {
	f := newInflater()
	for i, want := range samples() {
		for _, level := range []int{stdflate.NoCompression, stdflate.BestSpeed, 6, stdflate.BestCompression, stdflate.HuffmanOnly} {
			packed := deflated(t, want, level)
			for _, tail := range []int{0, 1, 9} { // what follows in the sector
				got := make([]byte, len(want))
				if err := f.inflate(got, append(bytes.Clone(packed), make([]byte, tail)...)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("sample %d, level %d: %v, or it differs", i, level, err)
				}
			}
			if err := f.inflate(make([]byte, len(want)+1), packed); err == nil {
				t.Errorf("sample %d, level %d: more came out than went in", i, level)
			}
			if half := len(packed) / 2; half > 10 {
				if err := f.inflate(make([]byte, len(want)), packed[:half]); err == nil {
					t.Errorf("sample %d, level %d: a cut stream was decoded", i, level)
				}
			}
			if err := f.inflate(make([]byte, len(want)/2), packed); err != nil {
				t.Errorf("sample %d, level %d: half of it: %v", i, level, err)
			}
		}
	}
}

// FuzzInflate compares with the standard library: what it decodes, we must; what we decode otherwise is not told.
func FuzzInflate(f *testing.F) {
	for _, s := range samples() {
		f.Add(deflated(f, s[:min(len(s), 3000)], 6))
	}
	f.Add(deflated(f, []byte("stored"), 0))
	g := newInflater()
	f.Fuzz(func(t *testing.T, packed []byte) {
		for _, size := range []int{1, 300, 4096} {
			got, want := make([]byte, size), make([]byte, size)
			ours := g.inflate(got, packed)
			_, theirs := io.ReadFull(stdflate.NewReader(bytes.NewReader(packed)), want)
			if theirs == nil && (ours != nil || !bytes.Equal(got, want)) {
				t.Fatalf("%d bytes: %v, or they differ", size, ours)
			}
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	want := samples()[4][:65536]
	packed := deflated(b, want, 6)
	out := make([]byte, len(want))
	b.Run("ours", func(b *testing.B) {
		f := newInflater()
		b.SetBytes(int64(len(out)))
		for b.Loop() {
			if err := f.inflate(out, packed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("klauspost", func(b *testing.B) {
		in := bytes.NewReader(packed)
		r := flate.NewReader(in)
		b.SetBytes(int64(len(out)))
		for b.Loop() {
			in.Reset(packed)
			if err := r.(flate.Resetter).Reset(in, nil); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(r, out); err != nil {
				b.Fatal(err)
			}
		}
	})
}
