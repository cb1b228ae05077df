package image

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

// clusterDecoder decodes compressed clusters, one after another. It is for one goroutine.
type clusterDecoder struct {
	zstd  *zstd.Decoder
	flate *inflater
	err   error // why there is no decoder
}

func newClusterDecoder(h qcow2Header) *clusterDecoder {
	d := &clusterDecoder{}
	if h.zstd {
		d.zstd, d.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecodeAllCapLimit(true))
	} else {
		d.flate = newInflater()
	}
	return d
}

func (d *clusterDecoder) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}

// cluster decodes a cluster from the sectors it lies in. What follows it there is another's.
func (d *clusterDecoder) cluster(out, in []byte) error {
	err := d.err
	switch {
	case err != nil:
	case d.zstd != nil:
		err = d.frames(out, in)
	default:
		err = d.flate.inflate(out, in)
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The qcow2 image is damaged: a compressed cluster cannot be decompressed.")
	}
	return nil
}

var errShortFrame = errors.New("the zstd frame is cut short")

// frames decodes zstd frames until the cluster is full, as QEMU does.
func (d *clusterDecoder) frames(out, in []byte) error {
	for n := 0; n < len(out); {
		size, err := frameSize(in)
		if err != nil {
			return err
		}
		got, err := d.zstd.DecodeAll(in[:size], out[n:n:len(out)])
		if err != nil {
			return err
		}
		if len(got) == 0 && size == len(in) {
			return errShortFrame
		}
		n, in = n+len(got), in[size:]
	}
	return nil
}

// frameSize finds the end of a zstd frame without decoding it. Source: RFC 8878, 3.1.1.
func frameSize(b []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return 0, err
	}
	if h.Skippable {
		if n := h.HeaderSize + int(h.SkippableSize); n <= len(b) {
			return n, nil
		}
		return 0, errShortFrame
	}
	for at := h.HeaderSize; at+3 <= len(b); {
		block := uint32(b[at]) | uint32(binary.LittleEndian.Uint16(b[at+1:]))<<8
		size := int(block >> 3)
		if block>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		at += 3 + size
		if block&1 == 0 {
			continue
		}
		if h.HasCheckSum {
			at += 4
		}
		if at > len(b) {
			break
		}
		return at, nil
	}
	return 0, errShortFrame
}
