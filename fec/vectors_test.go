package fec

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/vectors anew")

const vectorFile = "testdata/vectors/parity.txt"

const vectorHead = `# Parity of blocks of packets: docs/wire.md, section 9.
#
# One item a line, bytes in hexadecimal, "-" for none:
#   block NAME        begins a block
#   packet BYTES      the block's packets in order, which are the RTP packets of the format
#   parity I BYTES    parity symbol I of these packets
`

// vector is one block of the file.
type vector struct {
	name    string
	packets [][]byte
	parity  []Symbol
}

// slowParity is section 9 of docs/wire.md word for word, sharing no code with the package.
func slowParity(packets [][]byte, i int) []byte {
	longest := 0
	for _, p := range packets {
		longest = max(longest, len(p))
	}
	sum := make([]byte, 2+longest)
	for j, p := range packets {
		symbol := make([]byte, 2+longest)
		symbol[0], symbol[1] = byte(len(p)>>8), byte(len(p))
		copy(symbol[2:], p)
		c := byte(1)
		for slowMul(c, byte(255-i)^byte(j)) != 1 {
			c++
		}
		for n := range sum {
			sum[n] ^= slowMul(c, symbol[n])
		}
	}
	return sum
}

// pattern makes packets that somebody else can make too: byte n of packet j is 17j + n + 1, modulo 256.
func pattern(lengths ...int) [][]byte {
	packets := make([][]byte, len(lengths))
	for j, n := range lengths {
		packets[j] = make([]byte, n)
		for i := range packets[j] {
			packets[j][i] = byte(17*j + i + 1)
		}
	}
	return packets
}

func makeVectors() []vector {
	full := make([]int, MaxBlock)
	for j := range full {
		full[j] = j % 3
	}
	vectors := []vector{
		{name: "one packet", packets: pattern(4)},
		{name: "equal lengths", packets: pattern(5, 5, 5)},
		{name: "a short last packet", packets: pattern(8, 8, 8, 3)},
		{name: "an empty packet", packets: pattern(2, 0, 1)},
		{name: "a length of two bytes", packets: pattern(259, 1)},
		{name: "the largest block", packets: pattern(full...)},
	}
	for v := range vectors {
		for _, i := range []int{0, 1, 2, 127} {
			vectors[v].parity = append(vectors[v].parity,
				Symbol{Index: uint8(i), Data: slowParity(vectors[v].packets, i)})
		}
	}
	return vectors
}

func writeVectors(t *testing.T) {
	var b strings.Builder
	b.WriteString(vectorHead)
	for _, v := range makeVectors() {
		fmt.Fprintf(&b, "\nblock %s\n", v.name)
		for _, p := range v.packets {
			fmt.Fprintf(&b, "packet %s\n", hexOrDash(p))
		}
		for _, s := range v.parity {
			fmt.Fprintf(&b, "parity %d %s\n", s.Index, hexOrDash(s.Data))
		}
	}
	if err := os.WriteFile(vectorFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func hexOrDash(b []byte) string {
	if len(b) == 0 {
		return "-"
	}
	return hex.EncodeToString(b)
}

func readVectors(t *testing.T) (vectors []vector) {
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.TrimPrefix(s, "-"))
		if err != nil {
			t.Fatalf("%s: %v", vectorFile, err)
		}
		return b
	}
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		last := len(vectors) - 1
		switch word {
		case "", "#":
		case "block":
			vectors = append(vectors, vector{name: rest})
		case "packet":
			vectors[last].packets = append(vectors[last].packets, unhex(rest))
		case "parity":
			index, data, _ := strings.Cut(rest, " ")
			i, err := strconv.ParseUint(index, 10, 8)
			if err != nil {
				t.Fatalf("%s: %v", vectorFile, err)
			}
			vectors[last].parity = append(vectors[last].parity, Symbol{Index: uint8(i), Data: unhex(data)})
		default:
			t.Fatalf("%s: %q", vectorFile, line)
		}
	}
	return vectors
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	vectors := readVectors(t)
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			var e Encoder
			for _, s := range v.parity {
				if got := e.Parity(nil, v.packets, int(s.Index)); !bytes.Equal(got, s.Data) {
					t.Errorf("parity %d is %x, want %x", s.Index, got, s.Data)
				}
			}
			holes := append([][]byte(nil), v.packets...)
			for j := range min(len(v.packets), len(v.parity)) {
				holes[j] = nil
			}
			got, _, err := repair(new(Decoder), holes, v.parity)
			if err != nil {
				t.Fatal(err)
			}
			if err := diff(got, v.packets); err != nil {
				t.Error(err)
			}
		})
	}
}
