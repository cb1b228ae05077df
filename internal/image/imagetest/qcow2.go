package imagetest

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"math/rand"

	"github.com/klauspost/compress/zstd"
)

// QCOW2 says how to make a qcow2 file. The zero value is version 3 with clusters of 64 KiB, uncompressed, in
// the disk's order.
type QCOW2 struct {
	Version int  // 2 or 3; 0 is 3
	Bits    uint // clusters of 1<<Bits bytes; 0 is 16
	Packed  bool // compressed clusters: deflate, or zstd
	Zstd    bool
	Shuffle int64 // not 0: clusters and tables lie in an order drawn with this seed
	Share   bool  // clusters with the same content are one in the file
	Every   int   // with Packed: each Every-th cluster is left uncompressed; 0 is none
}

// Make gives the file. Clusters of zeros are left out.
func (o QCOW2) Make(disk []byte) []byte {
	if o.Version == 0 {
		o.Version = 3
	}
	if o.Bits == 0 {
		o.Bits = 16
	}
	cs := 1 << o.Bits
	perTable := cs / 8
	clusters := (len(disk) + cs - 1) / cs
	tables := (clusters + perTable - 1) / perTable
	m := &qcow2Maker{o: o, cs: cs, entries: make([]uint64, clusters), shared: map[string]uint64{}}
	m.file = make([]byte, cs)
	l1 := m.alloc(tables * 8)

	order := make([]int, clusters)
	for i := range order {
		order[i] = i
	}
	if o.Shuffle != 0 {
		rand.New(rand.NewSource(o.Shuffle)).Shuffle(clusters, func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	for _, i := range order {
		cluster := make([]byte, cs)
		copy(cluster, disk[i*cs:])
		m.add(i, cluster)
	}
	be := binary.BigEndian
	for t := range tables {
		part := m.entries[t*perTable : min((t+1)*perTable, clusters)]
		table := make([]byte, cs)
		for i, e := range part {
			be.PutUint64(table[8*i:], e)
		}
		if len(bytes.Trim(table, "\x00")) == 0 {
			continue
		}
		at := m.alloc(cs)
		copy(m.file[at:], table)
		be.PutUint64(m.file[l1+8*t:], uint64(at)|1<<63)
	}
	m.header(len(disk), tables, l1)
	m.refcounts()
	return m.file
}

type qcow2Maker struct {
	o       QCOW2
	cs      int
	file    []byte
	entries []uint64
	shared  map[string]uint64
	n       int
}

// alloc appends whole clusters.
func (m *qcow2Maker) alloc(n int) int {
	at := (len(m.file) + m.cs - 1) / m.cs * m.cs
	m.file = append(m.file, make([]byte, at+(n+m.cs-1)/m.cs*m.cs-len(m.file))...)
	return at
}

func (m *qcow2Maker) add(i int, cluster []byte) {
	if len(bytes.Trim(cluster, "\x00")) == 0 {
		if m.o.Version == 3 && i%2 == 0 {
			m.entries[i] = 1 // the flag "reads as zeros", the same as being left out
		}
		return
	}
	if e, ok := m.shared[string(cluster)]; ok && m.o.Share {
		m.entries[i] = e
		return
	}
	m.n++
	e, ok := uint64(0), false
	if m.o.Packed && (m.o.Every == 0 || m.n%m.o.Every != 0) {
		e, ok = m.pack(cluster)
	}
	if !ok {
		at := m.alloc(m.cs)
		copy(m.file[at:], cluster)
		e = uint64(at) | 1<<63
	}
	m.entries[i] = e
	if m.o.Share {
		m.shared[string(cluster)] = e
	}
}

// pack appends a compressed cluster right behind what is there, at any byte, unless it does not become smaller.
func (m *qcow2Maker) pack(cluster []byte) (uint64, bool) {
	var out bytes.Buffer
	if m.o.Zstd {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		out.Write(w.EncodeAll(cluster, nil))
		w.Close()
	} else {
		w, err := flate.NewWriter(&out, flate.BestSpeed)
		if err != nil {
			panic(err)
		}
		w.Write(cluster)
		w.Close()
	}
	if out.Len() >= m.cs {
		return 0, false
	}
	at := len(m.file)
	m.file = append(m.file, out.Bytes()...)
	sectors := (at%512+out.Len()+511)/512 - 1
	return 1<<62 | uint64(sectors)<<(62-(m.o.Bits-8)) | uint64(at), true
}

// refcounts appends a table that says of every cluster that it is used once. QEMU does not open a file without.
func (m *qcow2Maker) refcounts() {
	be := binary.BigEndian
	used := (len(m.file)+m.cs-1)/m.cs + 2
	blocks := used/(m.cs/2-2) + 1
	table := m.alloc(blocks * 8)
	first := m.alloc(blocks * m.cs)
	for i := range blocks {
		be.PutUint64(m.file[table+8*i:], uint64(first+i*m.cs))
	}
	for i := range len(m.file) / m.cs {
		be.PutUint16(m.file[first+2*i:], 1)
	}
	be.PutUint64(m.file[48:], uint64(table))
	be.PutUint32(m.file[56:], uint32((blocks*8+m.cs-1)/m.cs))
}

func (m *qcow2Maker) header(size, tables, l1 int) {
	be, h := binary.BigEndian, m.file
	copy(h, "QFI\xfb")
	be.PutUint32(h[4:], uint32(m.o.Version))
	be.PutUint32(h[20:], uint32(m.o.Bits))
	be.PutUint64(h[24:], uint64(size))
	be.PutUint32(h[36:], uint32(tables))
	be.PutUint64(h[40:], uint64(l1))
	if m.o.Version == 3 {
		be.PutUint32(h[96:], 4)
		be.PutUint32(h[100:], 112)
		if m.o.Zstd {
			be.PutUint64(h[72:], 8)
			h[104] = 1
		}
	}
}
