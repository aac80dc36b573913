package fec

import (
	"math/rand/v2"
	"testing"

	"github.com/klauspost/reedsolomon"
)

// A block of the size that a frame of video has, two parity symbols, full packets.
const (
	benchK    = 10
	benchR    = 2
	benchSize = 1136
)

func benchBlock() [][]byte {
	rnd := rand.New(rand.NewPCG(1, 0))
	packets := make([][]byte, benchK)
	for j := range packets {
		packets[j] = make([]byte, benchSize)
		for i := range packets[j] {
			packets[j][i] = byte(rnd.Uint32())
		}
	}
	return packets
}

// perPacket reports the time per packet of the block.
func perPacket(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchK, "ns/packet")
}

// BenchmarkFloor does nothing but the multiplications that a block's parity takes: what the others are measured against.
func BenchmarkFloor(b *testing.B) {
	packets := benchBlock()
	var gf reedsolomon.LowLevel
	symbol := make([]byte, 2+benchSize)
	for b.Loop() {
		for i := range benchR {
			for j, p := range packets {
				gf.GalMulSliceXor(byte(2+i+j), p, symbol[2:])
			}
		}
	}
	perPacket(b)
}

func BenchmarkParity(b *testing.B) {
	packets := benchBlock()
	var e Encoder
	symbol := make([]byte, 0, 2+benchSize)
	for b.Loop() {
		for i := range benchR {
			symbol = e.Parity(symbol[:0], packets, i)
		}
	}
	perPacket(b)
}

func BenchmarkRepair(b *testing.B) {
	packets := benchBlock()
	parity := allParity(packets, benchR)
	packets[3], packets[8] = nil, nil
	var d Decoder
	buf := make([]byte, benchSize)
	out := func(_, size int) []byte { return buf[:size] }
	for b.Loop() {
		if _, err := d.Repair(packets, parity, out); err != nil {
			b.Fatal(err)
		}
	}
	perPacket(b)
}
