package fec

import (
	"bytes"
	"testing"
)

// fuzzBlock reads a block from fuzzing input: the number of packets, then for each a byte of length and its bytes. Missing
// input makes packets shorter.
func fuzzBlock(in []byte) [][]byte {
	next := func(n int) []byte {
		n = min(n, len(in))
		b := in[:n:n]
		in = in[n:]
		return b
	}
	k := 1
	if b := next(1); len(b) > 0 {
		k = 1 + int(b[0])%MaxBlock
	}
	packets := make([][]byte, k)
	for j := range packets {
		packets[j] = []byte{}
		if b := next(1); len(b) > 0 {
			packets[j] = next(int(b[0]))
		}
	}
	return packets
}

// usedDecoder has scratch memory full of something. Each input gets its own, because what a decoder has kept from the input
// before would make the paths through it, which guide the fuzzer, depend on chance.
func usedDecoder() *Decoder { return &Decoder{scratch: bytes.Repeat([]byte{0xee}, 4096)} }

// FuzzRoundTrip loses packets of any block as the bits of lost tell, and rebuilds them from parity symbols from first on.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{2, 3, 1, 2, 3, 1, 9, 0}, []byte{0b101}, uint8(0))
	f.Add([]byte{0, 1, 7}, []byte{1}, uint8(127))
	f.Add([]byte{127, 255, 1}, []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, uint8(9))
	f.Fuzz(func(t *testing.T, block, lost []byte, first uint8) {
		d := usedDecoder()
		sent := fuzzBlock(block)
		packets := append([][]byte(nil), sent...)
		var e Encoder
		var parity []Symbol
		for j := range packets {
			if j/8 < len(lost) && lost[j/8]>>(j%8)&1 != 0 {
				i := (int(first) + len(parity)) % MaxParity
				packets[j] = nil
				parity = append(parity, Symbol{Index: uint8(i), Data: e.Parity(nil, sent, i)})
			}
		}
		got, n, err := repair(d, packets, parity)
		if err != nil || n != len(parity) {
			t.Fatalf("rebuilt %d of %d: %v", n, len(parity), err)
		}
		if err := diff(got, sent); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRepair gives the decoder any parity at all. What it takes must be exactly what an encoder makes of the packets that it
// gave back; what it does not take must leave no trace.
func FuzzRepair(f *testing.F) {
	f.Add([]byte{2, 3, 1, 2, 3, 1, 9, 0}, []byte{0b101}, []byte{0, 1}, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, uint8(5))
	f.Add([]byte{0, 0}, []byte{1}, []byte{7}, []byte{0, 0}, uint8(2))
	f.Add([]byte{1, 1, 65, 1, 66}, []byte{2}, []byte{200}, []byte{0, 1, 2}, uint8(3))
	f.Fuzz(func(t *testing.T, block, lost, indexes, data []byte, size uint8) {
		d := usedDecoder()
		packets := fuzzBlock(block)
		missing := 0
		for j := range packets {
			if j/8 < len(lost) && lost[j/8]>>(j%8)&1 != 0 {
				packets[j] = nil
				missing++
			}
		}
		var parity []Symbol
		for _, i := range indexes {
			n := min(int(size), len(data))
			parity = append(parity, Symbol{Index: i, Data: data[:n]})
			data = data[n:]
		}
		asked := 0
		whole := append([][]byte(nil), packets...)
		n, err := d.Repair(packets, parity, func(j, size int) []byte {
			if packets[j] != nil {
				t.Fatalf("packet %d was not missing", j)
			}
			asked++
			guarded := bytes.Repeat([]byte{0xee}, size+8)
			whole[j] = guarded[:size]
			return guarded
		})
		if err != nil {
			if n != 0 || asked != 0 {
				t.Fatalf("%d packets written, %d asked for, and yet: %v", n, asked, err)
			}
			return
		}
		if n != missing || asked != missing {
			t.Fatalf("%d packets written, %d asked for, %d missing", n, asked, missing)
		}
		for j, p := range whole {
			if packets[j] == nil && !bytes.Equal(p[:len(p)+8][len(p):], bytes.Repeat([]byte{0xee}, 8)) {
				t.Fatalf("packet %d was written beyond its end", j)
			}
		}
		var e Encoder
		seen := make(map[uint8]bool)
		for _, s := range parity {
			if len(seen) == missing {
				break
			}
			if !seen[s.Index] && !bytes.Equal(e.Parity(nil, whole, int(s.Index)), s.Data) {
				t.Fatalf("parity %d is not that of the block it gave", s.Index)
			}
			seen[s.Index] = true
		}
	})
}
