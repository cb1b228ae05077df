package image

import "sort"

// long is a list that grows without being copied: while a slice grows, the old and the new are both in memory.
type long[T any] struct {
	pieces [][]T
	n      int
}

// longPiece is how many elements are allocated at a time.
const longPiece = 1 << 14

func (l *long[T]) add(v T) {
	if l.n%longPiece == 0 {
		l.pieces = append(l.pieces, make([]T, 0, longPiece))
	}
	last := len(l.pieces) - 1
	l.pieces[last] = append(l.pieces[last], v)
	l.n++
}

func (l *long[T]) at(i int) *T { return &l.pieces[i/longPiece][i%longPiece] }

// last is the last element; nil if there is none.
func (l *long[T]) last() *T {
	if l.n == 0 {
		return nil
	}
	return l.at(l.n - 1)
}

// sort orders the list by a comparison as slices.SortFunc takes it.
func (l *long[T]) sort(compare func(a, b *T) int) { sort.Sort(&longSorter[T]{l, compare}) }

type longSorter[T any] struct {
	*long[T]
	compare func(a, b *T) int
}

// Len is sort.Interface's.
func (s *longSorter[T]) Len() int { return s.n }

// Less is sort.Interface's.
func (s *longSorter[T]) Less(i, j int) bool { return s.compare(s.at(i), s.at(j)) < 0 }

// Swap is sort.Interface's.
func (s *longSorter[T]) Swap(i, j int) {
	a, b := s.at(i), s.at(j)
	*a, *b = *b, *a
}
