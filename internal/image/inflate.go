package image

import (
	"encoding/binary"
	"errors"
)

// inflater decodes DEFLATE (RFC 1951) from memory into memory. Clusters are small and whole, and most of an agent's
// time with a zlib qcow2 goes here: a decoder that never waits for input and has no window of its own takes two
// thirds of the time of one that reads a stream. It keeps only tables between calls.
type inflater struct {
	lit, dist           huffman
	fixedLit, fixedDist huffman
	lengths             [320]byte

	in  []byte
	pos int    // next byte of in
	b   uint64 // bits read ahead; those above n are not yet counted
	n   uint
}

var errDeflate = errors.New("the deflate stream is damaged")

// A table entry is nothing (0), or: bits 0-3 the length of the code, 8-9 its kind, 10-13 how many extra bits
// follow, 16-31 a literal, the base of a length or distance, or where a second table is.
const (
	litEntry = iota << 8
	baseEntry
	endEntry
	subEntry

	kindMask = 3 << 8
	never    = endEntry | 1<<16 // of a symbol that has a code but no meaning
)

// huffman looks codes up by the next bits: up to firstBits of them at once, longer codes in a second step.
type huffman struct {
	table [1 << firstBits]uint32
	more  []uint32
}

const (
	maxCode   = 15
	firstBits = 11
	moreBits  = maxCode - firstBits
	firstMask = 1<<firstBits - 1
	moreMask  = 1<<moreBits - 1
)

// build makes the table for canonical codes of these lengths. entry is what a symbol stands for. Codes that are left
// over have the entry 0.
func (h *huffman) build(lengths []byte, entry func(symbol int) uint32) error {
	var count [maxCode + 1]int
	for _, l := range lengths {
		count[l]++
	}
	count[0] = 0
	var next [maxCode + 2]uint32
	for l, left := 1, 1; l <= maxCode; l++ {
		if left = left<<1 - count[l]; left < 0 {
			return errDeflate // more codes than there can be
		}
		next[l+1] = (next[l] + uint32(count[l])) << 1
	}
	clear(h.table[:])
	h.more = h.more[:0]
	for symbol, l := range lengths {
		if l == 0 {
			continue
		}
		code := reverse(next[l], uint(l))
		next[l]++
		h.place(code, uint(l), entry(symbol)|uint32(l))
	}
	return nil
}

// place writes an entry wherever bits that begin with code lead.
func (h *huffman) place(code uint32, length uint, entry uint32) {
	if length <= firstBits {
		for i := code; i < 1<<firstBits; i += 1 << length {
			h.table[i] = entry
		}
		return
	}
	low := code & firstMask
	if h.table[low] == 0 {
		h.table[low] = uint32(len(h.more))<<16 | subEntry
		h.more = append(h.more, make([]uint32, 1<<moreBits)...)
	}
	more := h.more[h.table[low]>>16:][:1<<moreBits]
	for i := code >> firstBits; i < 1<<moreBits; i += 1 << (length - firstBits) {
		more[i] = entry
	}
}

// lookup finds the entry for the next bits; 0 if no code begins so.
func (h *huffman) lookup(bits uint64) uint32 {
	e := h.table[bits&firstMask]
	if e&kindMask != subEntry {
		return e
	}
	at := uint64(e>>16) + bits>>firstBits&moreMask
	if at >= uint64(len(h.more)) {
		return 0
	}
	return h.more[at]
}

func reverse(code uint32, length uint) (out uint32) {
	for range length {
		out, code = out<<1|code&1, code>>1
	}
	return out
}

// Bases and extra bits of lengths and distances. Source: RFC 1951, 3.2.5.
var (
	lengthBase = [29]uint32{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint32{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	codeOrder  = [19]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

func litSymbol(s int) uint32 {
	switch {
	case s < 256:
		return uint32(s)<<16 | litEntry
	case s == 256:
		return endEntry
	case s-257 < len(lengthBase):
		return lengthBase[s-257]<<16 | lengthBits[s-257]<<10 | baseEntry
	}
	return never
}

func distSymbol(s int) uint32 {
	if s >= 30 {
		return never
	}
	extra := uint32(max(0, s/2-1))
	base := uint32(s) + 1
	if s >= 4 {
		base = (2+uint32(s)&1)<<extra + 1
	}
	return base<<16 | extra<<10 | baseEntry
}

func newInflater() *inflater {
	f := &inflater{}
	for i := range 288 {
		switch {
		case i < 144, i >= 280:
			f.lengths[i] = 8
		case i < 256:
			f.lengths[i] = 9
		default:
			f.lengths[i] = 7
		}
	}
	_ = f.fixedLit.build(f.lengths[:288], litSymbol) // they are complete
	for i := range 32 {
		f.lengths[i] = 5
	}
	_ = f.fixedDist.build(f.lengths[:32], distSymbol)
	return f
}

// inflate fills out. What of the stream is left then is not looked at; a stream that ends before is an error.
func (f *inflater) inflate(out, in []byte) error {
	f.in, f.pos, f.b, f.n = in, 0, 0, 0
	for o, last := 0, false; o < len(out); {
		if last {
			return errDeflate
		}
		header, err := f.bits(3)
		if err != nil {
			return err
		}
		last = header&1 == 1
		lit, dist := &f.lit, &f.dist
		switch header >> 1 {
		case 0:
			if o, err = f.stored(out, o); err != nil {
				return err
			}
			continue
		case 1:
			lit, dist = &f.fixedLit, &f.fixedDist
		case 2:
			err = f.dynamic()
		default:
			err = errDeflate
		}
		if err != nil {
			return err
		}
		if o, err = f.block(out, o, lit, dist); err != nil {
			return err
		}
	}
	return nil
}

// refill reads ahead at least 56 bits, or all there are.
func (f *inflater) refill() {
	if f.pos+8 <= len(f.in) {
		f.b |= binary.LittleEndian.Uint64(f.in[f.pos:]) << f.n
		f.pos += int(63-f.n) >> 3
		f.n |= 56
		return
	}
	f.b &= 1<<f.n - 1
	for f.n < 56 && f.pos < len(f.in) {
		f.b |= uint64(f.in[f.pos]) << f.n
		f.pos++
		f.n += 8
	}
}

// bits takes up to 16 bits.
func (f *inflater) bits(k uint) (uint32, error) {
	if f.n < k {
		if f.refill(); f.n < k {
			return 0, errDeflate
		}
	}
	v := uint32(f.b & (1<<k - 1))
	f.b, f.n = f.b>>k, f.n-k
	return v, nil
}

// stored copies a block that is not compressed.
func (f *inflater) stored(out []byte, o int) (int, error) {
	f.pos -= int(f.n >> 3)
	f.b, f.n = 0, 0
	if f.pos+4 > len(f.in) {
		return o, errDeflate
	}
	size, check := binary.LittleEndian.Uint16(f.in[f.pos:]), binary.LittleEndian.Uint16(f.in[f.pos+2:])
	f.pos += 4
	if size != ^check {
		return o, errDeflate
	}
	n := min(int(size), len(out)-o)
	if f.pos+n > len(f.in) {
		return o, errDeflate
	}
	copy(out[o:], f.in[f.pos:f.pos+n])
	f.pos += int(size)
	return o + n, nil
}

// dynamic reads the codes of a block. Source: RFC 1951, 3.2.7.
func (f *inflater) dynamic() error {
	header, err := f.bits(14)
	if err != nil {
		return err
	}
	lits, dists, codes := int(header&31)+257, int(header>>5&31)+1, int(header>>10)+4
	clear(f.lengths[:])
	for _, i := range codeOrder[:codes] {
		l, err := f.bits(3)
		if err != nil {
			return err
		}
		f.lengths[i] = byte(l)
	}
	if err := f.dist.build(f.lengths[:19], func(s int) uint32 { return uint32(s) << 16 }); err != nil {
		return err
	}
	clear(f.lengths[:19])
	for i := 0; i < lits+dists; {
		if f.n < maxCode {
			f.refill()
		}
		e := f.dist.lookup(f.b)
		if e == 0 || uint(e&0xff) > f.n {
			return errDeflate
		}
		f.b, f.n = f.b>>(e&0xff), f.n-uint(e&0xff)
		symbol := e >> 16
		if symbol < 16 {
			f.lengths[i] = byte(symbol)
			i++
			continue
		}
		what, width, times := byte(0), uint(3), 3
		switch symbol {
		case 16:
			if i == 0 {
				return errDeflate
			}
			what, width = f.lengths[i-1], 2
		case 18:
			width, times = 7, 11
		}
		more, err := f.bits(width)
		if err != nil || i+times+int(more) > lits+dists {
			return errDeflate
		}
		for range times + int(more) {
			f.lengths[i] = what
			i++
		}
	}
	if err := f.lit.build(f.lengths[:lits], litSymbol); err != nil {
		return err
	}
	return f.dist.build(f.lengths[lits:lits+dists], distSymbol)
}

// block decodes until the end of a block or of out. The reader's state is in variables meanwhile: this is where the
// time goes.
func (f *inflater) block(out []byte, o int, lit, dist *huffman) (int, error) {
	in, pos, b, n := f.in, f.pos, f.b, f.n
	for o < len(out) {
		// One fill is enough for a length of 15+5 bits and a distance of 15+13.
		if n < 48 {
			if pos+8 <= len(in) {
				b |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
				pos += int(63-n) >> 3
				n |= 56
			} else {
				f.pos, f.b, f.n = pos, b, n
				f.refill()
				pos, b, n = f.pos, f.b, f.n
			}
		}
		e := lit.lookup(b)
		k := uint(e & 15)
		if k == 0 || k > n {
			return o, errDeflate
		}
		b, n = b>>k, n-k
		if e&kindMask == litEntry {
			out[o] = byte(e >> 16)
			o++
			continue
		}
		if e&kindMask != baseEntry {
			f.pos, f.b, f.n = pos, b, n
			if e&^15 == endEntry {
				return o, nil
			}
			return o, errDeflate
		}
		extra := uint(e >> 10 & 15)
		length := int(e>>16) + int(b&(1<<extra-1))
		b >>= extra
		used := extra
		e = dist.lookup(b)
		k = uint(e & 15)
		if k == 0 || e&kindMask != baseEntry {
			return o, errDeflate
		}
		b >>= k
		extra = uint(e >> 10 & 15)
		back := int(e>>16) + int(b&(1<<extra-1))
		b >>= extra
		used += k + extra
		if used > n || back > o {
			return o, errDeflate
		}
		n -= used
		o = repeat(out, o, back, min(length, len(out)-o))
	}
	return o, nil
}

// repeat copies length bytes from back bytes before o to o. The two may overlap.
func repeat(out []byte, o, back, length int) int {
	end, from := o+length, o-back
	if back >= 8 && end+8 <= len(out) {
		for ; o < end; o, from = o+8, from+8 { // up to 7 bytes too many, which are written over next
			binary.LittleEndian.PutUint64(out[o:o+8], binary.LittleEndian.Uint64(out[from:from+8]))
		}
		return end
	}
	if back >= length {
		copy(out[o:end], out[from:])
		return end
	}
	for ; o < end; o, from = o+1, from+1 {
		out[o] = out[from]
	}
	return end
}
