package fec

import (
	"fmt"
	"slices"

	"github.com/klauspost/reedsolomon"
)

// Limits of a block (docs/wire.md, section 9). 128 and 128 share GF(2⁸) evenly: more of one would leave less for the other.
const (
	MaxBlock  = 128 // packets in a block
	MaxParity = 128 // parity symbols of a block; indexes go from 0 to MaxParity-1

	// MaxPacket is the longest packet in bytes: what the 2 bytes of length in a symbol can say.
	MaxPacket = 1<<16 - 1

	lengthPrefix = 2
)

// SymbolSize is the number of bytes in each parity symbol of a block of these packets: 2 more than the longest has.
func SymbolSize(packets [][]byte) int {
	longest := 0
	for _, p := range packets {
		longest = max(longest, len(p))
	}
	return lengthPrefix + longest
}

// Encoder computes parity symbols. The zero value is ready. It keeps nothing between calls, neither packets nor results, so
// one serves any number of blocks; like all of the core it must not be used by two goroutines at once.
type Encoder struct {
	gf reedsolomon.LowLevel
}

// Parity appends parity symbol index of the block to dst and returns the longer slice. The symbol has [SymbolSize] bytes;
// nothing is allocated if dst has room for them. packets are all packets of the block in order, 1 to [MaxBlock] of at most
// [MaxPacket] bytes, none of which may overlap dst's free capacity. A block out of these limits, or an index that is not
// below [MaxParity], is a mistake of the caller and panics.
func (e *Encoder) Parity(dst []byte, packets [][]byte, index int) []byte {
	if len(packets) < 1 || len(packets) > MaxBlock {
		panic(fmt.Sprintf("fec: block of %d packets", len(packets)))
	}
	size := SymbolSize(packets)
	checkEncode(0, size-lengthPrefix, index)
	start := len(dst)
	dst = slices.Grow(dst, size)[:start+size]
	symbol := dst[start:]
	clear(symbol)
	for j, p := range packets {
		e.add(symbol, j, p, index)
	}
	return dst
}

// Add adds packet j of a block to symbol, the parity symbol index of that block in the making, and returns it, longer if this
// is the longest packet so far. A sender that gets the packets of a block one by one begins with an empty slice and has what
// [Encoder.Parity] gives once each packet was added once, in any order. Limits are those of Parity.
func (e *Encoder) Add(symbol []byte, j int, packet []byte, index int) []byte {
	checkEncode(j, len(packet), index)
	if grow := lengthPrefix + len(packet) - len(symbol); grow > 0 {
		have := len(symbol)
		symbol = slices.Grow(symbol, grow)[:have+grow]
		clear(symbol[have:])
	}
	e.add(symbol, j, packet, index)
	return symbol
}

// add adds c(index,j) times the symbol of packet to a parity symbol that is long enough for it.
func (e *Encoder) add(symbol []byte, j int, packet []byte, index int) {
	accumulate(e.gf, symbol, coefficient(index, j), packet)
}

// accumulate adds c times the source symbol of packet to symbol. The packet's length takes the slow way, so that nobody has
// to copy the packet behind it.
func accumulate(gf reedsolomon.LowLevel, symbol []byte, c byte, packet []byte) {
	symbol[0] ^= mul(c, byte(len(packet)>>8))
	symbol[1] ^= mul(c, byte(len(packet)))
	gf.GalMulSliceXor(c, packet, symbol[lengthPrefix:])
}

func checkEncode(j, length, index int) {
	if j < 0 || j >= MaxBlock || length > MaxPacket || index < 0 || index >= MaxParity {
		panic(fmt.Sprintf("fec: packet %d of %d bytes, parity %d", j, length, index))
	}
}
