package crypto

import (
	"math"
	"testing"
)

func TestReplayWindow(t *testing.T) {
	var w replayWindow
	steps := []struct {
		pn    uint64
		fresh bool
	}{
		{0, true}, {0, false}, {1, true}, {63, true}, {64, true}, {63, false}, {2, true},
		{4095, true}, {3, true}, // 0 is still inside
		{4096, true}, {0, false}, {4, true}, // 0 is out, 4 was not seen
		{4160, true}, {64, false}, {65, true},
		{1 << 40, true}, {1<<40 - 4096, false}, {1<<40 - 4095, true}, {1<<40 - 4095, false},
		{1<<40 + 4159, true}, {1<<40 + 4159 - 4095, true}, {1 << 40, false},
		{math.MaxUint64, true}, {math.MaxUint64, false}, {math.MaxUint64 - 1, true},
	}
	for i, s := range steps {
		if got := w.fresh(s.pn); got != s.fresh {
			t.Fatalf("step %d: fresh(%d) = %v, want %v", i, s.pn, got, s.fresh)
		}
		if s.fresh {
			w.mark(s.pn)
		}
	}
}

// The window does what a set of all numbers does.
func TestReplayWindowSim(t *testing.T) {
	for _, seed := range seeds() {
		r := newRand(seed)
		var w replayWindow
		seen := make(map[uint64]bool)
		var highest uint64
		for range 50_000 {
			pn := highest + r.Uint64N(80)
			switch r.IntN(4) {
			case 0, 1:
				pn = highest - min(highest, r.Uint64N(WindowSize+100))
			case 2:
				if r.IntN(300) == 0 {
					pn = highest + r.Uint64N(3*WindowSize)
				}
			}
			want := !seen[pn] && (pn > highest || highest-pn < WindowSize)
			if got := w.fresh(pn); got != want {
				t.Fatalf("seed %d: fresh(%d) = %v with highest %d, want %v", seed, pn, got, highest, want)
			}
			if want {
				w.mark(pn)
				seen[pn] = true
				highest = max(highest, pn)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	const e32 = 1 << 32
	for _, c := range []struct {
		highest uint64
		any     bool
		low     uint32
		want    uint64
	}{
		{0, false, 0, 0},
		{0, false, 5, 5},
		{0, false, math.MaxUint32, math.MaxUint32}, // there is nothing below
		{0, true, 1, 1},
		{99, true, 100, 100},
		{99, true, 40, 40},
		{e32 - 2, true, math.MaxUint32, e32 - 1},
		{e32 - 2, true, 0, e32},
		{e32 - 1, true, math.MaxUint32, e32 - 1},
		{e32 + 9, true, math.MaxUint32, e32 - 1},
		{e32 + 9, true, 10, e32 + 10},
		{5*e32 - 1, true, 1 << 31, 5*e32 + 1<<31}, // equally near: the higher
		{5*e32 - 1, true, 1<<31 + 1, 4*e32 + 1<<31 + 1},
		{5*e32 + 1<<31 - 1, true, 0, 6 * e32},
		{math.MaxUint64 - 1, true, math.MaxUint32, math.MaxUint64},
		{math.MaxUint64, true, 3, math.MaxUint64 - math.MaxUint32 + 3},
	} {
		w := replayWindow{highest: c.highest, any: c.any}
		if got := w.nearest(c.low); got != c.want {
			t.Errorf("after %d (%v), %#x is %#x, want %#x", c.highest, c.any, c.low, got, c.want)
		}
	}
}
