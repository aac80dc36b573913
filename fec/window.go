package fec

import (
	"encoding/binary"

	"github.com/klauspost/reedsolomon"
)

// Limits of what a [Solver] looks at in one go.
const (
	MaxEquations = 48
	MaxUnknown   = 64
)

// Equation is one received parity symbol over the packets with sequence numbers Base … Base+K−1. A packet's place in the code is its
// sequence number modulo [MaxBlock], so that windows of at most MaxBlock packets which overlap speak of the same packets in the same way.
type Equation struct {
	Base  uint16
	K     int
	Index uint8
	Data  []byte
}

// AddWindow adds the packet with sequence number seq to symbol, parity symbol
// index of a window in the making, as [Encoder.Add] does for a block.
func (e *Encoder) AddWindow(symbol []byte, seq uint16, packet []byte, index int) []byte {
	return e.Add(symbol, int(seq%MaxBlock), packet, index)
}

// Solver rebuilds packets from parity symbols of overlapping windows by elimination: first on the coefficients alone, then with the bytes of
// what turns out to be solvable. The zero value is ready. It keeps scratch memory and refers to nothing that was passed in.
type Solver struct {
	gf      reedsolomon.LowLevel
	unknown [MaxUnknown]uint16
	rows    [MaxEquations]solverRow
	sums    [MaxEquations][]byte // of the equations, without the known packets
	summed  [MaxEquations]bool
	out     []byte
}

// solverRow is a combination of equations: what is left of the unknowns, and of which equations it is made.
type solverRow struct {
	unknown [MaxUnknown]byte
	from    [MaxEquations]byte
}

// Solve rebuilds what it can. packet gives the packet of a sequence number, nil if it is missing; out takes a rebuilt one, whose bytes are
// valid during the call only, and must not call the Solver. It looks at no more than [MaxEquations] equations, and at those among them whose
// missing packets, taken together, are at most [MaxUnknown]. Equations are taken for hostile: a result that no packet can have given is
// dropped, and ok is false then: at least one equation was wrong.
func (s *Solver) Solve(equations []Equation, packet func(seq uint16) []byte, out func(seq uint16, packet []byte)) (solved int, ok bool) {
	equations = equations[:min(len(equations), MaxEquations)]
	n := s.setUp(equations, packet)
	if n == 0 {
		return 0, true
	}
	ok = true
	for r := range s.eliminate(len(equations), n) {
		column, alone := s.single(r, n)
		if !alone {
			continue
		}
		rebuilt, good := s.combine(r, equations, packet, s.rows[r].unknown[column])
		if !good {
			ok = false
			continue
		}
		solved++
		out(s.unknown[column], rebuilt)
	}
	return solved, ok
}

// setUp lists the unknowns and fills the rows. An equation that would make them too many stays out.
func (s *Solver) setUp(equations []Equation, packet func(seq uint16) []byte) (n int) {
	for i := range equations {
		e := &equations[i]
		row := &s.rows[i]
		*row = solverRow{}
		s.summed[i] = false
		before := n
		for k := range e.K {
			seq := e.Base + uint16(k)
			if packet(seq) != nil {
				continue
			}
			column := 0
			for column < n && s.unknown[column] != seq {
				column++
			}
			if column == MaxUnknown {
				*row, n = solverRow{}, before
				break
			}
			if column == n {
				s.unknown[n] = seq
				n++
			}
			row.unknown[column] = coefficient(int(e.Index), int(seq%MaxBlock))
		}
		row.from[i] = 1
	}
	return n
}

// eliminate brings the rows to reduced echelon form over n unknowns and gives the number of rows that are not empty; those come first.
func (s *Solver) eliminate(rows, n int) int {
	rank := 0
	for column := 0; column < n && rank < rows; column++ {
		pivot := rank
		for pivot < rows && s.rows[pivot].unknown[column] == 0 {
			pivot++
		}
		if pivot == rows {
			continue
		}
		s.rows[rank], s.rows[pivot] = s.rows[pivot], s.rows[rank]
		scale(&s.rows[rank], reedsolomon.Inv(s.rows[rank].unknown[column]), rows, n)
		for r := range rows {
			if c := s.rows[r].unknown[column]; r != rank && c != 0 {
				addScaled(&s.rows[r], &s.rows[rank], c, rows, n)
			}
		}
		rank++
	}
	return rank
}

func scale(r *solverRow, c byte, rows, n int) {
	for i := range n {
		r.unknown[i] = mul(c, r.unknown[i])
	}
	for i := range rows {
		r.from[i] = mul(c, r.from[i])
	}
}

func addScaled(r, o *solverRow, c byte, rows, n int) {
	for i := range n {
		r.unknown[i] ^= mul(c, o.unknown[i])
	}
	for i := range rows {
		r.from[i] ^= mul(c, o.from[i])
	}
}

// single reports whether row r speaks of one unknown alone.
func (s *Solver) single(r, n int) (column int, alone bool) {
	column = -1
	for i := range n {
		if s.rows[r].unknown[i] != 0 {
			if column >= 0 {
				return 0, false
			}
			column = i
		}
	}
	return column, column >= 0
}

// combine gives the packet that row r, whose one unknown has weight c, is equal to.
func (s *Solver) combine(r int, equations []Equation, packet func(seq uint16) []byte, c byte) (rebuilt []byte, ok bool) {
	size := 0
	for i := range equations {
		if s.rows[r].from[i] != 0 {
			size = max(size, len(equations[i].Data))
		}
	}
	if cap(s.out) < size {
		s.out = make([]byte, size)
	}
	sum := s.out[:size]
	clear(sum)
	for i := range equations {
		if w := s.rows[r].from[i]; w != 0 {
			if !s.sum(i, &equations[i], packet) {
				return nil, false
			}
			s.gf.GalMulSliceXor(mul(w, reedsolomon.Inv(c)), s.sums[i], sum)
		}
	}
	if size < lengthPrefix {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(sum))
	if n > size-lengthPrefix {
		return nil, false
	}
	for _, v := range sum[lengthPrefix+n:] {
		if v != 0 {
			return nil, false
		}
	}
	return sum[lengthPrefix : lengthPrefix+n], true
}

// sum takes the known packets out of equation i, once.
func (s *Solver) sum(i int, e *Equation, packet func(seq uint16) []byte) bool {
	if s.summed[i] {
		return true
	}
	s.sums[i] = append(s.sums[i][:0], e.Data...)
	for k := range e.K {
		seq := e.Base + uint16(k)
		p := packet(seq)
		if p == nil {
			continue
		}
		if lengthPrefix+len(p) > len(s.sums[i]) {
			return false
		}
		accumulate(s.gf, s.sums[i], coefficient(int(e.Index), int(seq%MaxBlock)), p)
	}
	s.summed[i] = true
	return true
}
