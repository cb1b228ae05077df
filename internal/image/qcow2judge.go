package image

import (
	"encoding/binary"

	"ingot/internal/fault"
)

// Walk sees that every table leads to places within the file, keeping none of it. It is for who only judges, in place of Map.
func (q *QCOW2File) Walk() error {
	table, before := make([]byte, q.cluster()), uint64(0)
	for _, ref := range q.tableRefs() {
		if ref.off == before {
			continue // the same one again, for a later part of the disk
		}
		before = ref.off
		if err := q.r.read(table, int64(ref.off)); err != nil {
			return err
		}
		for i := range min(q.perTable(), q.clusters()-int64(ref.index)*q.perTable()) {
			if _, err := q.place(binary.BigEndian.Uint64(table[8*i:])); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxShared is how many clusters of the disk one cluster of the file may stand for.
const maxShared = 1024

// checkShared refuses a bomb: a few bytes that are a whole disk. Programs that make images write each cluster once.
func (q *QCOW2File) checkShared() error {
	bomb := fault.New(fault.Invalid, "The qcow2 image is a bomb: over %d clusters of its disk are one cluster of the file.", maxShared)
	for i, n := 1, 1; i < q.packed.n; i++ {
		if n++; q.packed.at(i).entry() != q.packed.at(i-1).entry() {
			n = 1
		}
		if n > maxShared {
			return bomb
		}
	}
	for i, n := 1, 1; i < q.plain.n; i++ {
		if n++; q.plain.at(i).host != q.plain.at(i-1).host {
			n = 1
		}
		if n > maxShared {
			return bomb
		}
	}
	return nil
}
