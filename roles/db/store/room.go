package store

import "unsafe"

// roomStep is how many bytes are copied at once.
const roomStep = 64 << 10

// Room is s with room for n more elements, which have no pointers. append would copy all of a long
// one in a single step, into memory that the kernel provides page by page meanwhile: 90 ms for 10 MiB,
// for which everybody waits who waits for the garbage collector to begin.
func Room[E any](s []E, n int) []E {
	if cap(s)-len(s) >= n {
		return s
	}
	var e E
	step := max(1, roomStep/int(unsafe.Sizeof(e)))
	more := cap(s)
	if more > step {
		more /= 4
	}
	grown := make([]E, len(s), max(len(s)+n, cap(s)+more)) // cleared by the runtime in small steps
	for at := 0; at < len(s); at += step {
		copyStep(grown[at:], s[at:min(at+step, len(s))])
	}
	return grown
}

// copyStep is a call, before which the runtime can stop its caller: within a copy it cannot, and a loop of
// copies is hardly ever found between two of them.
//
//go:noinline
func copyStep[E any](dst, src []E) { copy(dst, src) }
