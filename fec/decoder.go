package fec

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/reedsolomon"
)

// What [Decoder.Repair] reports. Neither is a fault of the program: the first is answered by waiting for more, the second by
// giving up on the block's parity.
var (
	ErrDeficit = errors.New("fec: fewer parity symbols than missing packets")
	ErrCorrupt = errors.New("fec: parity does not fit its block")
)

// rowAlign is what the scratch rows' length is rounded up to: a row then has no end shorter than a SIMD register, which would
// be multiplied byte by byte.
const rowAlign = 64

// Symbol is one received parity symbol.
type Symbol struct {
	Index uint8
	Data  []byte
}

// Decoder rebuilds missing packets. The zero value is ready, and one serves any number of blocks. It keeps scratch memory
// between calls, at most twice as much as the parity symbols that the largest repair used, rounded up to 64 bytes each, and
// refers to nothing that was passed in.
type Decoder struct {
	gf reedsolomon.LowLevel

	missing [MaxBlock]uint8  // packets to rebuild, ascending
	chosen  [MaxBlock]uint8  // indexes of the parity symbols used, as many
	data    [MaxBlock][]byte // their bytes
	rowLog  [MaxBlock]int    // the inverse's factors by parity symbol, as logarithms
	colLog  [MaxBlock]int    // and by missing packet
	scratch []byte
}

// Repair rebuilds the packets that are nil in packets, a block of 1 to [MaxBlock], from the others and the parity symbols
// received. A present packet without bytes must not be nil.
//
// For each rebuilt packet Repair asks out for a buffer, with the packet's place in the block and its size, and fills the
// first size bytes of it. A buffer that is shorter declines the packet. The buffers must overlap nothing else that was passed
// in. repaired is the number of packets written; packets itself is left as it is.
//
// The parity is taken for hostile: its indexes must be below [MaxParity], its symbols equally long, and what comes of it a
// block that can have given it, with lengths that fit, zeros behind them and no symbol longer than the longest packet needs;
// else the error is [ErrCorrupt]. An index that comes twice counts once. With fewer symbols than missing packets it is
// [ErrDeficit]. In both cases out was not called. Without a missing packet there is nothing to do and parity is not looked
// at. Nothing is allocated once the scratch memory has grown.
func (d *Decoder) Repair(packets [][]byte, parity []Symbol, out func(j, size int) []byte) (repaired int, err error) {
	m, longest, ok := d.findMissing(packets)
	if !ok {
		return 0, ErrCorrupt
	}
	if m == 0 {
		return 0, nil
	}
	defer clear(d.data[:m])
	size, err := d.choose(parity, m, longest)
	if err != nil {
		return 0, err
	}

	stride := (size + rowAlign - 1) / rowAlign * rowAlign
	if need := 2 * m * stride; cap(d.scratch) < need {
		d.scratch = make([]byte, need)
	}
	sums, rebuilt := d.scratch[:m*stride], d.scratch[m*stride:2*m*stride]
	d.reduce(sums, packets, size, m)
	d.solve(rebuilt, sums, m)
	if !plausible(rebuilt, size, m, longest) {
		return 0, ErrCorrupt
	}

	for b := range m {
		row := rebuilt[b*stride:]
		n := int(binary.BigEndian.Uint16(row))
		if buf := out(int(d.missing[b]), n); len(buf) >= n {
			copy(buf, row[lengthPrefix:lengthPrefix+n])
			repaired++
		}
	}
	return repaired, nil
}

// findMissing lists the missing packets and measures the others.
func (d *Decoder) findMissing(packets [][]byte) (m, longest int, ok bool) {
	if len(packets) < 1 || len(packets) > MaxBlock {
		return 0, 0, false
	}
	for j, p := range packets {
		if p == nil {
			d.missing[m] = uint8(j)
			m++
		}
		longest = max(longest, len(p))
	}
	return m, longest, longest <= MaxPacket
}

// choose takes the first m parity symbols of different index, having checked all of them.
func (d *Decoder) choose(parity []Symbol, m, longest int) (size int, err error) {
	var seen [MaxParity]bool
	n := 0
	for i, s := range parity {
		if i == 0 {
			size = len(s.Data)
		}
		if s.Index >= MaxParity || len(s.Data) != size ||
			size < lengthPrefix+longest || size > lengthPrefix+MaxPacket {
			return 0, ErrCorrupt
		}
		if n < m && !seen[s.Index] {
			seen[s.Index] = true
			d.chosen[n], d.data[n] = s.Index, s.Data
			n++
		}
	}
	if n < m {
		return 0, ErrDeficit
	}
	return size, nil
}

// reduce takes the present packets out of the chosen parity symbols: what is left in the rows of sums are sums over the
// missing packets alone.
func (d *Decoder) reduce(sums []byte, packets [][]byte, size, m int) {
	stride := len(sums) / m
	for a := range m {
		row := sums[a*stride : (a+1)*stride]
		copy(row, d.data[a])
		clear(row[size:])
		for j, p := range packets {
			if p != nil {
				accumulate(d.gf, row, coefficient(int(d.chosen[a]), j), p)
			}
		}
	}
}

// solve multiplies the rows of sums by the inverse of their coefficients. With x for the parity symbols' 255 − i and y for
// the missing packets' j, those are 1/(x_a + y_b), and the inverse of such a matrix is
//
//	         Π_k (x_a + y_k) · Π_k (x_k + y_b)
//	──────────────────────────────────────────────────────────      k over all rows or columns, as the index tells
//	(x_a + y_b) · Π_{k≠a} (x_a + x_k) · Π_{k≠b} (y_b + y_k)
//
// in row b and column a (Schechter, On the inversion of certain matrices, 1959), plus being ⊕ here. All differences are of
// different numbers, so none of the factors is 0 and logarithms will do.
func (d *Decoder) solve(rebuilt, sums []byte, m int) {
	for a := range m {
		x, y := 255-d.chosen[a], d.missing[a]
		row, col := 0, 0
		for k := range m {
			xk, yk := 255-d.chosen[k], d.missing[k]
			row += int(logs[x^yk])
			col += int(logs[xk^y])
			if k != a {
				row -= int(logs[x^xk])
				col -= int(logs[y^yk])
			}
		}
		d.rowLog[a], d.colLog[a] = row, col
	}
	stride := len(sums) / m
	for b := range m {
		to := rebuilt[b*stride : (b+1)*stride]
		for a := range m {
			x, y := 255-d.chosen[a], d.missing[b]
			c := power(d.rowLog[a] + d.colLog[b] - int(logs[x^y]))
			from := sums[a*stride : (a+1)*stride]
			if a == 0 {
				d.gf.GalMulSlice(c, from, to)
			} else {
				d.gf.GalMulSliceXor(c, from, to)
			}
		}
	}
}

// plausible reports whether every rebuilt symbol is a length, that many bytes and zeros, and the longest packet of the block,
// rebuilt or not, fills its symbol.
func plausible(rebuilt []byte, size, m, longest int) bool {
	stride := len(rebuilt) / m
	for b := range m {
		row := rebuilt[b*stride : b*stride+size]
		n := int(binary.BigEndian.Uint16(row))
		if n > size-lengthPrefix {
			return false
		}
		for _, v := range row[lengthPrefix+n:] {
			if v != 0 {
				return false
			}
		}
		longest = max(longest, n)
	}
	return lengthPrefix+longest == size
}
