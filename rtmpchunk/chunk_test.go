package rtmpchunk

import (
	"bytes"
	"errors"
	"testing"

	"github.com/pion/rtp"
)

// message returns a message with a body of n bytes, each of them telling its place.
func message(typ uint8, timestamp uint32, n int) Message {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i*5)
	}
	if n > 0 { // an ordinary frame, never a record
		b[0] = 0x20
	}
	return Message{Type: typ, Timestamp: timestamp, Payload: b}
}

// TestCutIsEven goes through the lengths around each limit.
func TestCutIsEven(t *testing.T) {
	p := NewPacketizer(42)
	for _, timestamp := range []uint32{0, extension - 1, extension, 1<<32 - 1} {
		var sizes []int
		for _, around := range []int{0, 1096, 2203, 3310, 128 * 1107} {
			for d := -18; d <= 18; d++ {
				if around+d >= 0 {
					sizes = append(sizes, around+d)
				}
			}
		}
		for _, n := range append(sizes, MaxMessage-1, MaxMessage) {
			m := message(TypeVideo, timestamp, n)
			packets, rec, err := push(p, m, 0)
			if err != nil || rec != nil || len(packets) == 0 {
				t.Fatalf("%d bytes: %d packets, %v, %v", n, len(packets), rec, err)
			}
			total := 0
			for i, packet := range packets {
				total += len(packet)
				if i < len(packets)-1 && len(packet) != len(packets[0]) || len(packet) > len(packets[0]) || len(packet) > MaxPacket {
					t.Fatalf("%d bytes: packet %d of %d has %d bytes, the first %d", n, i, len(packets), len(packet), len(packets[0]))
				}
			}
			if fewest := (total - len(packets)*HeaderSize + MaxPayload - 1) / MaxPayload; len(packets) != fewest {
				t.Fatalf("%d bytes: %d packets, %d would do", n, len(packets), fewest)
			}
			checkRebuilt(t, m, packets)
		}
	}
}

// chunksOf returns the chunks of a message of n bytes.
func chunksOf(t testing.TB, m Message) [][]byte {
	t.Helper()
	packets, _, err := push(NewPacketizer(0), m, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		packets[i] = packets[i][HeaderSize:]
	}
	return packets
}

func TestAppendBodyRefuses(t *testing.T) {
	for _, c := range []struct {
		name      string
		timestamp uint32
		change    func(c [][]byte) [][]byte
	}{
		{"nothing", 0, func(c [][]byte) [][]byte { return nil }},
		{"the last one missing", 0, func(c [][]byte) [][]byte { return c[:2] }},
		{"the first one missing", 0, func(c [][]byte) [][]byte { return c[1:] }},
		{"two firsts", 0, func(c [][]byte) [][]byte { return [][]byte{c[0], c[0], c[2]} }},
		{"the last one before its turn", 0, func(c [][]byte) [][]byte { return [][]byte{c[0], c[2], c[1]} }},
		{"an empty one", 0, func(c [][]byte) [][]byte { c[1] = nil; return c }},
		{"a header alone", 0, func(c [][]byte) [][]byte { c[1] = c[1][:1]; return c }},
		{"one too long", 0, func(c [][]byte) [][]byte { c[2] = append(c[2], 0); return c }},
		{"another chunk stream", 0, func(c [][]byte) [][]byte { c[1][0] = 0xc4; return c }},
		{"the first one on another chunk stream", 0, func(c [][]byte) [][]byte { c[0][0] = 4; return c }},
		{"another type", 0, func(c [][]byte) [][]byte { c[0][7] = TypeAudio; return c }},
		{"data", 0, func(c [][]byte) [][]byte { c[0][7] = TypeData; return c }},
		{"another message stream", 0, func(c [][]byte) [][]byte { c[0][8] = 2; return c }},
		{"larger than 4 MiB", 0, func(c [][]byte) [][]byte { putUint24(c[0][4:], MaxMessage+1); return c }},
		{"a type 0 header cut off", 0, func(c [][]byte) [][]byte { return [][]byte{c[0][:11]} }},
		{"an extended timestamp cut off", 1 << 24, func(c [][]byte) [][]byte { return [][]byte{c[0][:15]} }},
		{"extended timestamps that differ", 1 << 24, func(c [][]byte) [][]byte { c[1][4]++; return c }},
		{"an extended timestamp that needs none", 1 << 24, func(c [][]byte) [][]byte {
			for _, b := range c {
				at := nextHeader
				if b[0]&formMask == form0 {
					at = firstHeader
				}
				b[at] = 0
			}
			return c
		}},
	} {
		chunks := c.change(chunksOf(t, message(TypeVideo, c.timestamp, 3000)))
		dst := []byte("before")
		m, out, err := AppendBody(dst, chunks)
		if !errors.Is(err, ErrChunk) && !errors.Is(err, ErrTooLarge) || string(out) != "before" || m.Payload != nil {
			t.Errorf("%s: %d bytes, %v", c.name, len(m.Payload), err)
		}
	}
}

func TestAppendBodyAppends(t *testing.T) {
	m := message(TypeAudio, 77, 2500)
	chunks := chunksOf(t, m)
	buf := make([]byte, 0, 4096)
	got, out, err := AppendBody(append(buf, "before"...), chunks)
	if err != nil || !equalMessage(got, m) || string(out[:6]) != "before" || !bytes.Equal(out[6:], m.Payload) {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := AppendBody(buf, chunks); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations with room in dst", n)
	}
}

// tag returns a message as an FLV tag.
func tag(m Message) []byte {
	b := make([]byte, flvTagHeader, flvTagHeader+len(m.Payload))
	putTagHeader(b, m.Type, m.Timestamp, len(m.Payload))
	return append(b, m.Payload...)
}

// TestPayloaderInPion sends tags through pion's own packetizer.
func TestPayloaderInPion(t *testing.T) {
	sequencer := rtp.NewFixedSequencer(1)
	packetizer := rtp.NewPacketizer(1200, payloadTypeVideo, 7, &Payloader{}, sequencer, 1000)
	var d Depacketizer
	for _, n := range []int{0, 1, 1000, 5000, 100000} {
		want := tag(message(TypeVideo, extension+uint32(n), n))
		var got []byte
		packets := packetizer.Packetize(want, 40)
		for i, p := range packets {
			if d.IsPartitionHead(p.Payload) != (i == 0) || d.IsPartitionTail(p.Marker, p.Payload) != (i == len(packets)-1) {
				t.Fatalf("%d bytes: packet %d of %d is misjudged", n, i, len(packets))
			}
			part, err := d.Unmarshal(p.Payload)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, part...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back as another tag of %d bytes", n, len(got))
		}
	}
}

func TestPayloaderRefuses(t *testing.T) {
	good := tag(message(TypeAudio, 0, 100))
	wrongLength := bytes.Clone(good)
	wrongLength[3]++
	for name, c := range map[string]struct {
		mtu uint16
		tag []byte
	}{
		"no tag":         {1200, []byte{8}},
		"a wrong length": {1200, wrongLength},
		"data":           {1200, tag(Message{Type: TypeData, Payload: []byte{2, 0, 0}})},
		"no room":        {12, good},
		"too large":      {1200, tag(message(TypeVideo, 0, MaxMessage+1))},
		"too many":       {13, tag(message(TypeVideo, 0, 1<<16))},
	} {
		if got := (&Payloader{}).Payload(c.mtu, c.tag); got != nil {
			t.Errorf("%s: %d payloads", name, len(got))
		}
	}
}

func TestDepacketizerWantsOrder(t *testing.T) {
	c := chunksOf(t, message(TypeVideo, 0, 3000))
	for name, order := range map[string][]int{
		"the first missing": {1},
		"one too many":      {0, 1, 2, 2},
		"another one first": {1, 0},
	} {
		var d Depacketizer
		var failed error
		for _, i := range order {
			if _, err := d.Unmarshal(c[i]); err != nil {
				failed = err
			}
		}
		if !errors.Is(failed, ErrChunk) {
			t.Errorf("%s: %v", name, failed)
		}
	}
	var d Depacketizer // after a fault the next first one is understood
	for i, want := range []struct {
		chunk int
		ok    bool
	}{{2, false}, {0, true}, {1, true}, {1, false}, {2, false}, {0, true}, {1, true}, {2, true}, {2, false}} {
		if _, err := d.Unmarshal(c[want.chunk]); (err == nil) != want.ok {
			t.Errorf("step %d, chunk %d: %v", i, want.chunk, err)
		}
	}
}

func FuzzAppendBody(f *testing.F) {
	for _, n := range []int{0, 10, 3000} {
		m := message(TypeVideo, extension, n)
		f.Add(bytes.Join(chunksOf(f, m), nil), uint16(len(chunksOf(f, m)[0])))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		size = max(size%MaxPayload, 1)
		var chunks [][]byte
		for rest := data; len(rest) > 0; {
			n := min(int(size), len(rest))
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
		m, out, err := AppendBody(nil, chunks)
		if err != nil {
			return
		}
		if len(out) > len(data) {
			t.Fatalf("%d bytes from %d", len(out), len(data))
		}
		c := cut{kind: Kind(m.Type - TypeAudio), typ: m.Type, timestamp: m.Timestamp, body: len(m.Payload), size: int(size)}
		var again []byte
		rest := m.Payload
		for i := range chunks {
			b := make([]byte, size)
			n, used := c.put(b, i, rest)
			again, rest = append(again, b[:n]...), rest[used:]
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("read %x\nwrote %x", data, again)
		}
	})
}

func FuzzPayloader(f *testing.F) {
	f.Add(uint16(1200), uint8(TypeVideo), uint32(0), []byte("frame"))
	f.Add(uint16(14), uint8(TypeAudio), uint32(extension), []byte("frame of several chunks"))
	f.Fuzz(func(t *testing.T, mtu uint16, typ uint8, timestamp uint32, body []byte) {
		want := tag(Message{Type: typ, Timestamp: timestamp, Payload: body})
		payloads := (&Payloader{}).Payload(mtu, want)
		if payloads == nil {
			return
		}
		var d Depacketizer
		var got []byte
		for i, p := range payloads {
			if len(p) > int(mtu) || len(p) == 0 {
				t.Fatalf("payload %d has %d bytes, the limit is %d", i, len(p), mtu)
			}
			part, err := d.Unmarshal(p)
			if err != nil {
				t.Fatalf("payload %d: %v", i, err)
			}
			got = append(got, part...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("tag %x came back as %x", want, got)
		}
		if m, _, err := AppendBody(nil, payloads); err != nil || !bytes.Equal(m.Payload, body) {
			t.Fatalf("AppendBody: %x, %v", m.Payload, err)
		}
	})
}

func FuzzDepacketizer(f *testing.F) {
	c := (&Payloader{}).Payload(20, tag(message(TypeVideo, 0, 40)))
	f.Add(c[0], c[1], c[2])
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		var d Depacketizer
		for _, p := range [][]byte{a, b, c} {
			part, err := d.Unmarshal(p)
			if err == nil && len(part) > len(p)+flvTagHeader {
				t.Fatalf("%d bytes from %d", len(part), len(p))
			}
		}
	})
}
