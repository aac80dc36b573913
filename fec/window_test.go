package fec

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// streamOf makes packets with random lengths and the symbols of windows that slide over them, per packets a frame and n symbols a frame.
func streamOf(r *rand.Rand, first uint16, packets int) map[uint16][]byte {
	m := make(map[uint16][]byte)
	for i := range packets {
		p := make([]byte, 1+r.IntN(300))
		for j := range p {
			p[j] = byte(r.Uint32())
		}
		m[first+uint16(i)] = p
	}
	return m
}

func equation(m map[uint16][]byte, base uint16, k, index int) Equation {
	var e Encoder
	var symbol []byte
	for i := range k {
		symbol = e.AddWindow(symbol, base+uint16(i), m[base+uint16(i)], index)
	}
	return Equation{Base: base, K: k, Index: uint8(index), Data: symbol}
}

// Whatever windows overlap how: as many equations as unknowns give all of them back when every window holds them all, and what comes back
// is always what was sent.
func TestSolverRebuilds(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		first := uint16(r.Uint32())
		m := streamOf(r, first, 60)
		lost := make(map[uint16]bool)
		for range 1 + r.IntN(10) {
			lost[first+20+uint16(r.IntN(20))] = true
		}
		var eqs []Equation
		for i := range len(lost) {
			begin := r.IntN(21)
			eqs = append(eqs, equation(m, first+uint16(begin), 60-begin, (int(seed)+i)%MaxParity))
		}
		r.Shuffle(len(eqs), func(i, j int) { eqs[i], eqs[j] = eqs[j], eqs[i] })
		var s Solver
		rebuilt := 0
		n, ok := s.Solve(eqs, func(seq uint16) []byte {
			if lost[seq] {
				return nil
			}
			return m[seq]
		}, func(seq uint16, p []byte) {
			rebuilt++
			if !lost[seq] || !bytes.Equal(p, m[seq]) {
				t.Fatalf("seed %d: packet %d is not what was sent", seed, seq)
			}
		})
		if n != len(lost) || rebuilt != n || !ok {
			t.Fatalf("seed %d: %d of %d rebuilt, ok %t", seed, n, len(lost), ok)
		}
	}
}

// A window is a block whose packets stand where their sequence numbers say.
func TestWindowIsABlock(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, first := range []uint16{0, 256, 100, 65500} {
		m := streamOf(r, first, 40)
		places := make([][]byte, MaxBlock)
		longest := 0
		for seq, p := range m {
			places[seq%MaxBlock] = p
			longest = max(longest, len(p))
		}
		for _, index := range []int{0, 5, 127} {
			want := make([]byte, lengthPrefix+longest)
			var e Encoder
			for j, p := range places {
				if p != nil {
					want = e.Add(want, j, p, index)
				}
			}
			if got := equation(m, first, 40, index).Data; !bytes.Equal(got, want) {
				t.Errorf("window from %d, parity %d: %x, want %x", first, index, got[:8], want[:8])
			}
		}
	}
}

// Equations that are too few for all may still be enough for some.
func TestSolverRebuildsWhatItCan(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	m := streamOf(r, 65530, 20)
	lost := map[uint16]bool{65531: true, 1: true, 8: true, 9: true}
	known := func(seq uint16) []byte {
		if lost[seq] {
			return nil
		}
		return m[seq]
	}
	var got []uint16
	var s Solver
	n, ok := s.Solve([]Equation{equation(m, 65530, 4, 3), equation(m, 65530, 10, 4), equation(m, 65530, 18, 5)}, known,
		func(seq uint16, _ []byte) { got = append(got, seq) })
	if n != 2 || !ok || len(got) != 2 || got[0] != 65531 || got[1] != 1 {
		t.Errorf("rebuilt %v, %d, %t", got, n, ok)
	}
	if n, ok := s.Solve([]Equation{equation(m, 65530, 18, 5)}, func(seq uint16) []byte { return m[seq] }, nil); n != 0 || !ok {
		t.Errorf("nothing missing: %d, %t", n, ok)
	}
}

// A symbol that somebody has made up gives no packet but what its bytes may say, and never more than was asked for.
func TestSolverOfLies(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	m := streamOf(r, 100, 30)
	var s Solver
	for range 500 {
		e := Equation{Base: 100, K: 1 + r.IntN(MaxBlock), Index: uint8(r.IntN(MaxParity)), Data: make([]byte, r.IntN(400))}
		for i := range e.Data {
			e.Data[i] = byte(r.Uint32())
		}
		s.Solve([]Equation{e}, func(seq uint16) []byte {
			if seq == 103 {
				return nil
			}
			return m[seq]
		}, func(seq uint16, p []byte) {
			if seq == 103 && len(p)+lengthPrefix > len(e.Data) {
				t.Fatalf("%d bytes from a symbol of %d", len(p), len(e.Data))
			}
		})
	}
}

func BenchmarkSolver(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	m := streamOf(r, 0, 30)
	var eqs []Equation
	for i := range 4 {
		eqs = append(eqs, equation(m, 0, 30, i))
	}
	var s Solver
	for b.Loop() {
		s.Solve(eqs, func(seq uint16) []byte {
			if seq%9 == 3 {
				return nil
			}
			return m[seq]
		}, func(uint16, []byte) {})
	}
}
