package rtmpchunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
)

// randomHeader returns any header that can be written.
func randomHeader(r *rand.Rand) Header {
	count := r.IntN(MaxPackets) + 1
	return Header{
		Kind: Kind(r.IntN(2)), Key: r.IntN(2) == 0, Discardable: r.IntN(2) == 0, Layer: uint8(r.IntN(MaxLayer + 1)),
		Config: uint8(r.Uint32()), Index: uint16(r.IntN(count)), Count: uint16(count), Order: uint16(r.Uint32()),
		Capture: r.Uint32(), Seq: uint16(r.Uint32()), Timestamp: r.Uint32(), Instance: r.Uint32() &^ 1,
	}
}

// pionHeader builds the same header through pion/rtp.
func pionHeader(t *testing.T, h Header) []byte {
	t.Helper()
	var flags byte
	if h.Kind == Video {
		flags |= 0x80
	}
	if h.Key {
		flags |= 0x40
	}
	if h.Discardable {
		flags |= 0x20
	}
	e := []byte{flags | h.Layer<<2, h.Config}
	position := uint32(h.Index)<<12 | uint32(h.Count-1)
	e = append(e, byte(position>>16), byte(position>>8), byte(position))
	e = binary.BigEndian.AppendUint16(e, h.Order)
	e = binary.BigEndian.AppendUint32(e, h.Capture)
	p := rtp.Header{
		Version: 2, Marker: h.Index == h.Count-1, PayloadType: 96 + uint8(h.Kind), SequenceNumber: h.Seq,
		Timestamp: h.Timestamp, SSRC: h.Instance + uint32(h.Kind), ExtensionProfile: rtp.ExtensionProfileOneByte,
	}
	if err := p.SetExtension(1, e); err != nil {
		t.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHeaderIsWhatPionMakes(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	var parser Parser
	for range 2000 {
		h := randomHeader(r)
		packet := make([]byte, HeaderSize+1)
		if n, err := h.Marshal(packet); err != nil || n != HeaderSize {
			t.Fatalf("seed %d: Marshal(%+v) = %d, %v", seed, h, n, err)
		}
		if want := pionHeader(t, h); !bytes.Equal(packet[:HeaderSize], want) {
			t.Fatalf("seed %d: %+v\n got %x\nwant %x", seed, h, packet[:HeaderSize], want)
		}
		var got Header
		payload, err := parser.Parse(packet, &got)
		if err != nil || got != h || len(payload) != 1 {
			t.Fatalf("seed %d: Parse = %+v, %d bytes, %v\nwant %+v", seed, got, len(payload), err, h)
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	good := Header{Kind: Video, Count: 2, Index: 1}
	for name, change := range map[string]func(*Header){
		"kind":     func(h *Header) { h.Kind = 2 },
		"layer":    func(h *Header) { h.Layer = MaxLayer + 1 },
		"no count": func(h *Header) { h.Count = 0 },
		"count":    func(h *Header) { h.Count = MaxPackets + 1 },
		"index":    func(h *Header) { h.Index = 2 },
		"instance": func(h *Header) { h.Instance = 1 },
	} {
		h := good
		change(&h)
		if n, err := h.Marshal(make([]byte, HeaderSize)); err == nil || n != 0 {
			t.Errorf("%s: Marshal = %d, %v; want an error", name, n, err)
		}
	}
	if _, err := good.Marshal(make([]byte, HeaderSize-1)); err == nil {
		t.Error("Marshal into 27 bytes succeeded")
	}
}

func TestParseRefuses(t *testing.T) {
	h := Header{Kind: Video, Key: true, Config: 1, Index: 0, Count: 2, Order: 7, Capture: 9, Seq: 11, Timestamp: 13, Instance: 0x1234}
	good := append(make([]byte, HeaderSize), 1, 2, 3)
	if _, err := h.Marshal(good); err != nil {
		t.Fatal(err)
	}
	set := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = v; return b }
	}
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   PacketError
	}{
		{"empty", func(b []byte) []byte { return nil }, ErrPacketSize},
		{"no payload", func(b []byte) []byte { return b[:HeaderSize] }, ErrPacketSize},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, MaxPacket)...) }, ErrPacketSize},
		{"version 1", set(0, 0x50), ErrPacketHeader},
		{"padding", set(0, 0xb0), ErrPacketHeader},
		{"CSRC", set(0, 0x91), ErrPacketHeader},
		{"15 CSRC", set(0, 0x9f), ErrPacketHeader},
		{"no extension", set(0, 0x80), ErrPacketHeader},
		{"marker without being last", set(1, 0x80|97), ErrPacketIndex},
		{"audio's payload type", set(1, 96), ErrPacketKind},
		{"payload type 98", set(1, 98), ErrPacketKind},
		{"audio's SSRC", set(11, 0x34), ErrPacketKind},
		{"another profile", set(12, 0x10), ErrPacketExtension},
		{"a longer extension", set(15, 4), ErrPacketHeader},
		{"a shorter extension", set(15, 2), ErrPacketHeader},
		{"element 2", set(16, 0x2a), ErrPacketExtension},
		{"an element of 10 bytes", set(16, 0x19), ErrPacketExtension},
		{"an element beyond the extension", set(16, 0x1b), ErrPacketHeader},
		{"audio's flag", set(17, 0x40), ErrPacketKind},
		{"reserved bit 0", set(17, 0xc1), ErrPacketExtension},
		{"reserved bit 1", set(17, 0xc2), ErrPacketExtension},
		{"index beyond count", set(19, 0x10), ErrPacketIndex},
		{"last without marker", set(20, 0x10), ErrPacketIndex},
	} {
		var p Parser
		var got Header
		_, err := p.Parse(c.change(bytes.Clone(good)), &got)
		var reason PacketError
		if !errors.As(err, &reason) || reason != c.want {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
	}
}

func TestPacketsCostNoAllocation(t *testing.T) {
	h := Header{Kind: Video, Count: 1, Instance: 2}
	packet := append(make([]byte, HeaderSize), 1)
	var parser Parser
	var got Header
	if _, err := h.Marshal(packet); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := h.Marshal(packet); err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(packet, &got); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Marshal and Parse: %v allocations", n)
	}

	p := NewPacketizer(2)
	buf := make([]byte, 0, MaxPacket)
	alloc := func() []byte { return buf }
	emit := func([]byte, Header) {}
	m := Message{Type: TypeVideo, Payload: append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 5000)...)}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := p.Push(m, 0, alloc, emit); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Push: %v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	r := rand.New(rand.NewPCG(2, 0))
	for range 4 {
		h := randomHeader(r)
		packet := append(make([]byte, HeaderSize), 1, 2, 3)
		if _, err := h.Marshal(packet); err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		var p Parser
		var h Header
		payload, err := p.Parse(packet, &h)
		if err != nil {
			return
		}
		again := make([]byte, HeaderSize, len(packet))
		if _, err := h.Marshal(again); err != nil {
			t.Fatalf("%+v was read but can't be written: %v", h, err)
		}
		if again = append(again, payload...); !bytes.Equal(again, packet) {
			t.Fatalf("read %x\nwrote %x", packet, again)
		}
	})
}
