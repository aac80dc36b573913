package crypto

import "math"

// WindowSize is how many packet numbers back from the highest one a packet may still be new (RFC 6479). At 10,000 packets a
// second it holds 400 ms of reordering.
const WindowSize = 4096

// windowWords is one word more than the window has, so that clearing whole words ahead never touches a number inside it.
const windowWords = WindowSize/64 + 1

// replayWindow remembers which packet numbers have been opened: a ring of bits, one word for 64 numbers. The zero value has
// seen none.
type replayWindow struct {
	highest uint64
	any     bool // highest means something
	bits    [windowWords]uint64
}

// fresh reports whether pn has neither been marked nor fallen out of the window.
func (w *replayWindow) fresh(pn uint64) bool {
	if !w.any || pn > w.highest {
		return true
	}
	if w.highest-pn >= WindowSize {
		return false
	}
	return w.bits[pn/64%windowWords]&(1<<(pn%64)) == 0
}

// mark remembers pn, which is fresh.
func (w *replayWindow) mark(pn uint64) {
	if !w.any || pn > w.highest {
		from := w.highest / 64
		for n := min(pn/64-from, windowWords); n > 0; n-- {
			from++
			w.bits[from%windowWords] = 0
		}
		w.highest, w.any = pn, true
	}
	w.bits[pn/64%windowWords] |= 1 << (pn % 64)
}

// nearest returns the packet number that ends in the 32 bits of low and is nearest to the highest one marked plus one; of two
// equally near, the higher.
func (w *replayWindow) nearest(low uint32) uint64 {
	const span = 1 << 32
	var expected uint64
	if w.any {
		expected = w.highest + min(1, math.MaxUint64-w.highest)
	}
	pn := expected&^(span-1) | uint64(low)
	switch {
	case pn < expected && expected-pn >= span/2 && pn <= math.MaxUint64-span:
		return pn + span
	case pn > expected && pn-expected > span/2 && pn >= span:
		return pn - span
	}
	return pn
}
