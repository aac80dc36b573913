package fec

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// seeded gives a random source and tells its seed should the test fail.
func seeded(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with -seed=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// randomBlock makes k packets of 0 to longest bytes.
func randomBlock(rnd *rand.Rand, k, longest int) [][]byte {
	packets := make([][]byte, k)
	for j := range packets {
		packets[j] = make([]byte, rnd.IntN(longest+1))
		for i := range packets[j] {
			packets[j][i] = byte(rnd.Uint32())
		}
	}
	return packets
}

// allParity gives the first r parity symbols of a block.
func allParity(packets [][]byte, r int) []Symbol {
	var e Encoder
	parity := make([]Symbol, r)
	for i := range parity {
		parity[i] = Symbol{Index: uint8(i), Data: e.Parity(nil, packets, i)}
	}
	return parity
}

// repair runs d on a copy of packets and returns the copy with what was rebuilt filled in.
func repair(d *Decoder, packets [][]byte, parity []Symbol) ([][]byte, int, error) {
	whole := append([][]byte(nil), packets...)
	n, err := d.Repair(packets, parity, func(j, size int) []byte {
		whole[j] = make([]byte, size)
		return whole[j]
	})
	return whole, n, err
}

func diff(got, want [][]byte) error {
	for j := range want {
		if got[j] == nil || !bytes.Equal(got[j], want[j]) {
			return fmt.Errorf("packet %d: got %x, want %x", j, got[j], want[j])
		}
	}
	return nil
}

// TestAnyKSymbols goes through every way to lose packets and parity symbols of small blocks: whenever k of the k+r are left
// the block is whole again, else ErrDeficit.
func TestAnyKSymbols(t *testing.T) {
	rnd := seeded(t)
	var d Decoder
	for k := 1; k <= 9; k++ {
		for r := 1; k+r <= 10; r++ {
			sent := randomBlock(rnd, k, 40)
			parity := allParity(sent, r)
			for lost := range 1 << (k + r) {
				packets := append([][]byte(nil), sent...)
				missing := bits.OnesCount(uint(lost & (1<<k - 1)))
				var arrived []Symbol
				for j := range k {
					if lost>>j&1 != 0 {
						packets[j] = nil
					}
				}
				for i := range r {
					if lost>>(k+i)&1 == 0 {
						arrived = append(arrived, parity[i])
					}
				}
				got, n, err := repair(&d, packets, arrived)
				if missing > len(arrived) {
					if !errors.Is(err, ErrDeficit) || n != 0 || missingIn(got) != missing {
						t.Fatalf("k=%d r=%d lost=%b: rebuilt %d with error %v, want ErrDeficit", k, r, lost, n, err)
					}
					continue
				}
				if err != nil || n != missing {
					t.Fatalf("k=%d r=%d lost=%b: rebuilt %d of %d: %v", k, r, lost, n, missing, err)
				}
				if err := diff(got, sent); err != nil {
					t.Fatalf("k=%d r=%d lost=%b: %v", k, r, lost, err)
				}
			}
		}
	}
}

func missingIn(packets [][]byte) (n int) {
	for _, p := range packets {
		if p == nil {
			n++
		}
	}
	return n
}

// TestEveryPair shows that the coefficients stay independent in the corners of the matrix: all pairs of parity symbols repair
// packets 0 and 127.
func TestEveryPair(t *testing.T) {
	sent := randomBlock(seeded(t), MaxBlock, 4)
	parity := allParity(sent, MaxParity)
	packets := append([][]byte(nil), sent...)
	packets[0], packets[MaxBlock-1] = nil, nil
	var d Decoder
	for a := range MaxParity {
		for b := range a {
			got, _, err := repair(&d, packets, []Symbol{parity[a], parity[b]})
			if err == nil {
				err = diff(got, sent)
			}
			if err != nil {
				t.Fatalf("parity %d and %d: %v", a, b, err)
			}
		}
	}
}

func TestRandomBlocks(t *testing.T) {
	rnd := seeded(t)
	var d Decoder
	for range 150 {
		k := 1 + rnd.IntN(MaxBlock)
		sent := randomBlock(rnd, k, 1+rnd.IntN(1300))
		lost := 1 + rnd.IntN(k)
		packets := append([][]byte(nil), sent...)
		for _, j := range rnd.Perm(k)[:lost] {
			packets[j] = nil
		}
		var e Encoder
		var parity []Symbol
		for _, i := range rnd.Perm(MaxParity)[:lost] {
			parity = append(parity, Symbol{Index: uint8(i), Data: e.Parity(nil, sent, i)})
		}
		got, n, err := repair(&d, packets, parity)
		if err != nil || n != lost {
			t.Fatalf("k=%d lost=%d: rebuilt %d: %v", k, lost, n, err)
		}
		if err := diff(got, sent); err != nil {
			t.Fatalf("k=%d lost=%d: %v", k, lost, err)
		}
	}
}

// TestLongestPacket goes to the limit of the length prefix.
func TestLongestPacket(t *testing.T) {
	sent := [][]byte{bytes.Repeat([]byte{7}, MaxPacket), {1, 2, 3}}
	got, _, err := repair(new(Decoder), [][]byte{nil, nil}, allParity(sent, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := diff(got, sent); err != nil {
		t.Fatal("rebuilt packets differ")
	}
}

// TestParityAppends shows that Parity leaves what stands in dst before it, and clears what is left over behind it.
func TestParityAppends(t *testing.T) {
	packets := [][]byte{{1, 2, 3}, {4}}
	var e Encoder
	want := e.Parity(nil, packets, 5)
	if len(want) != SymbolSize(packets) {
		t.Fatalf("symbol of %d bytes, want %d", len(want), SymbolSize(packets))
	}
	dst := bytes.Repeat([]byte{0xee}, 64)[:3]
	got := e.Parity(dst, packets, 5)
	if !bytes.Equal(got, append([]byte{0xee, 0xee, 0xee}, want...)) {
		t.Errorf("got %x, want eeeeee%x", got, want)
	}
	if &got[0] != &dst[0] {
		t.Error("a new slice although dst had room")
	}
}

func TestAddInAnyOrder(t *testing.T) {
	rnd := seeded(t)
	var e Encoder
	packets := randomBlock(rnd, 20, 100)
	want := e.Parity(nil, packets, 3)
	symbol := bytes.Repeat([]byte{0xee}, 200)[:0]
	for _, j := range rnd.Perm(len(packets)) {
		symbol = e.Add(symbol, j, packets[j], 3)
	}
	if !bytes.Equal(symbol, want) {
		t.Errorf("packet by packet %x, at once %x", symbol, want)
	}
}

func TestEncoderMisuse(t *testing.T) {
	one := [][]byte{{1}}
	for name, call := range map[string]func(e *Encoder){
		"empty block":       func(e *Encoder) { e.Parity(nil, nil, 0) },
		"block too large":   func(e *Encoder) { e.Parity(nil, make([][]byte, MaxBlock+1), 0) },
		"packet too long":   func(e *Encoder) { e.Parity(nil, [][]byte{make([]byte, MaxPacket+1)}, 0) },
		"index too large":   func(e *Encoder) { e.Parity(nil, one, MaxParity) },
		"index negative":    func(e *Encoder) { e.Parity(nil, one, -1) },
		"packet's place":    func(e *Encoder) { e.Add(nil, MaxBlock, one[0], 0) },
		"long added packet": func(e *Encoder) { e.Add(nil, 0, make([]byte, MaxPacket+1), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			call(new(Encoder))
		})
	}
}

// TestHostileParity holds the decoder to its promise for parity that nobody honest sent.
func TestHostileParity(t *testing.T) {
	sent := [][]byte{{1, 2, 3, 4}, {5, 6}, {7, 8, 9}}
	good := allParity(sent, 3)
	longer := append(append([]byte(nil), good[0].Data...), 0)
	change := func(at int, to byte) []Symbol {
		data := append([]byte(nil), good[0].Data...)
		data[at] ^= to
		return []Symbol{{Index: 0, Data: data}}
	}
	for name, c := range map[string]struct {
		packets [][]byte
		parity  []Symbol
		want    error
	}{
		"empty block":                   {nil, good, ErrCorrupt},
		"block too large":               {make([][]byte, MaxBlock+1), good, ErrCorrupt},
		"packet too long":               {[][]byte{nil, make([]byte, MaxPacket+1)}, good, ErrCorrupt},
		"no parity":                     {[][]byte{nil, sent[1], sent[2]}, nil, ErrDeficit},
		"one parity for two":            {[][]byte{nil, nil, sent[2]}, good[:1], ErrDeficit},
		"the same twice":                {[][]byte{nil, nil, sent[2]}, []Symbol{good[1], good[1]}, ErrDeficit},
		"index too large":               {[][]byte{nil, sent[1], sent[2]}, []Symbol{{Index: MaxParity, Data: good[0].Data}}, ErrCorrupt},
		"no data":                       {[][]byte{nil, sent[1], sent[2]}, []Symbol{{}}, ErrCorrupt},
		"half a length":                 {[][]byte{nil, {}, {}}, []Symbol{{Data: []byte{1}}}, ErrCorrupt},
		"too long a symbol":             {[][]byte{nil}, []Symbol{{Data: make([]byte, MaxPacket+3)}}, ErrCorrupt},
		"shorter than a packet":         {[][]byte{sent[0], nil, sent[2]}, []Symbol{{Data: good[0].Data[:5]}}, ErrCorrupt},
		"different sizes":               {[][]byte{nil, nil, sent[2]}, []Symbol{good[1], {Index: 0, Data: longer}}, ErrCorrupt},
		"bad one beyond those needed":   {[][]byte{nil, sent[1], sent[2]}, []Symbol{good[0], {Index: 1}}, ErrCorrupt},
		"length beyond the symbol":      {[][]byte{sent[0], nil, sent[2]}, change(0, 1), ErrCorrupt},
		"something behind a packet":     {[][]byte{sent[0], nil, sent[2]}, change(5, 1), ErrCorrupt},
		"symbol longer than the block":  {[][]byte{nil, sent[1], sent[2]}, []Symbol{{Data: longer}}, ErrCorrupt},
		"parity of other packets":       {[][]byte{{9, 9, 9, 9}, {9, 9}, nil}, good, ErrCorrupt},
		"nothing missing, garbage sent": {sent, []Symbol{{Index: 255}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := new(Decoder).Repair(c.packets, c.parity, func(int, int) []byte {
				t.Error("a packet was rebuilt")
				return nil
			})
			if n != 0 || !errors.Is(err, c.want) {
				t.Errorf("rebuilt %d, error %v, want %v", n, err, c.want)
			}
		})
	}
}

// TestDeclinedPacket shows that a short buffer stays untouched and does not keep the others from being rebuilt.
func TestDeclinedPacket(t *testing.T) {
	sent := [][]byte{{1, 2, 3, 4}, {5, 6}, {7, 8, 9}}
	short := make([]byte, 3)
	long := make([]byte, 5)
	n, err := new(Decoder).Repair([][]byte{nil, sent[1], nil}, allParity(sent, 2), func(j, size int) []byte {
		if size != len(sent[j]) {
			t.Errorf("packet %d has %d bytes, asked for %d", j, len(sent[j]), size)
		}
		if j == 0 {
			return short
		}
		return long
	})
	if err != nil || n != 1 {
		t.Fatalf("rebuilt %d: %v", n, err)
	}
	if !bytes.Equal(short, []byte{0, 0, 0}) || !bytes.Equal(long, []byte{7, 8, 9, 0, 0}) {
		t.Errorf("buffers hold %x and %x", short, long)
	}
}

// TestInputsStay shows that a repair changes neither packets nor parity.
func TestInputsStay(t *testing.T) {
	sent := randomBlock(seeded(t), 8, 60)
	parity := allParity(sent, 3)
	packets := append([][]byte(nil), sent...)
	packets[1], packets[4], packets[7] = nil, nil, nil
	if _, _, err := repair(new(Decoder), packets, parity); err != nil {
		t.Fatal(err)
	}
	for i, s := range allParity(sent, 3) {
		if !bytes.Equal(s.Data, parity[i].Data) {
			t.Errorf("parity %d was changed", i)
		}
	}
	if missingIn(packets) != 3 {
		t.Error("packets was changed")
	}
}

func TestNoAllocation(t *testing.T) {
	packets := randomBlock(seeded(t), 10, 1136)
	parity := allParity(packets, 2)
	holes := append([][]byte(nil), packets...)
	holes[2], holes[7] = nil, nil
	var e Encoder
	var d Decoder
	dst := make([]byte, 0, SymbolSize(packets))
	buf := make([]byte, MaxPacket)
	out := func(_, size int) []byte { return buf[:size] }
	if n := testing.AllocsPerRun(100, func() { dst = e.Parity(dst[:0], packets, 1) }); n != 0 {
		t.Errorf("Parity allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		dst = dst[:0]
		for j, p := range packets {
			dst = e.Add(dst, j, p, 0)
		}
	}); n != 0 {
		t.Errorf("Add allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if n, err := d.Repair(holes, parity, out); n != 2 || err != nil {
			t.Fatalf("rebuilt %d: %v", n, err)
		}
	}); n != 0 {
		t.Errorf("Repair allocates %v times", n)
	}
}
