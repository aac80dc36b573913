package rtmpchunk

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// unhex reads hexadecimal text with any white space in it.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatalf("not hexadecimal: %v", err)
	}
	return b
}

// hexLines writes bytes as lines of 50.
func hexLines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(len(b), 50)
		fmt.Fprintf(&s, "%x\n", b[:n])
		b = b[n:]
	}
	return s.String()
}

var packetNames = [...]string{
	"other", "frames", "framesX", "sequence-start", "sequence-end", "metadata", "mpeg2ts-start", "multichannel",
}

// describe writes an Info as the vectors do.
func describe(i Info) string {
	var w []string
	if i.Media {
		w = append(w, i.Kind.String(), i.Codec.String(), packetNames[i.Packet])
	} else {
		w = append(w, "data")
	}
	for _, f := range []struct {
		on   bool
		text string
	}{
		{i.Enhanced, "enhanced"},
		{i.Multitrack, fmt.Sprintf("multitrack track=%d", i.Track)},
		{i.Key, "key"},
		{i.Discardable, "discardable"},
		{i.Layer != 0, fmt.Sprintf("layer=%d", i.Layer)},
		{i.Composition != 0, fmt.Sprintf("composition=%d", i.Composition)},
		{i.Record, fmt.Sprintf("record slot=%d", i.Slot)},
	} {
		if f.on {
			w = append(w, f.text)
		}
	}
	return strings.Join(w, " ")
}

func TestTagVectors(t *testing.T) {
	datadriven.RunTest(t, "testdata/vectors/tags.txt", func(t *testing.T, d *datadriven.TestData) string {
		var typ int
		d.ScanArgs(t, "type", &typ)
		m := Message{Type: uint8(typ), Payload: unhex(t, d.Input)}
		out := describe(Classify(m))
		if md, err := ParseMetadata(m.Payload); err == nil {
			out += fmt.Sprintf("\n%+v", md)
		}
		return out + "\n"
	})
}

// TestPacketVectors replays a stream. "push" gives a message to one packetizer and shows what comes out; the packets must
// then give the message back.
func TestPacketVectors(t *testing.T) {
	p := NewPacketizer(0)
	datadriven.RunTest(t, "testdata/vectors/packets.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		switch d.Cmd {
		case "instance":
			b := unhex(t, d.Input)
			p = NewPacketizer(uint32(b[0])<<24 | uint24(b[1:]))
			fmt.Fprintf(&out, "instance %08x\n", p.Instance())
		case "push":
			var typ int
			var ts, capture uint64
			d.ScanArgs(t, "type", &typ)
			d.ScanArgs(t, "timestamp", &ts)
			d.ScanArgs(t, "capture", &capture)
			m := Message{Type: uint8(typ), Timestamp: uint32(ts), Payload: unhex(t, d.Input)}
			packets, rec, err := push(p, m, uint32(capture))
			switch {
			case err != nil:
				fmt.Fprintf(&out, "error: %v\n", err)
			case rec != nil:
				fmt.Fprintf(&out, "record order=%d slot=%d id=%d type=%d timestamp=%d bytes=%d\n",
					rec.Order, rec.Slot, rec.ID, rec.Type, rec.Timestamp, len(rec.Body))
			}
			for _, packet := range packets {
				fmt.Fprintf(&out, "packet of %d bytes\n%s", len(packet), hexLines(packet))
			}
			if len(packets) > 0 {
				checkRebuilt(t, m, packets)
			}
		}
		return out.String()
	})
}

// push gives a message to a packetizer and returns what comes out.
func push(p *Packetizer, m Message, capture uint32) (packets [][]byte, rec *Record, err error) {
	rec, err = p.Push(m, capture,
		func() []byte { return make([]byte, 0, MaxPacket) },
		func(packet []byte, _ Header) { packets = append(packets, packet) })
	return packets, rec, err
}

// checkRebuilt parses a message's packets and compares what they make with the message.
func checkRebuilt(tb testing.TB, m Message, packets [][]byte) {
	tb.Helper()
	var parser Parser
	var chunks [][]byte
	for i, packet := range packets {
		var h Header
		chunk, err := parser.Parse(packet, &h)
		if err != nil {
			tb.Fatalf("packet %d: %v", i, err)
		}
		if int(h.Index) != i || int(h.Count) != len(packets) || h.Kind.MessageType() != m.Type || h.Timestamp != m.Timestamp {
			tb.Fatalf("packet %d of %d: header %+v", i, len(packets), h)
		}
		chunks = append(chunks, chunk)
	}
	got, _, err := AppendBody(nil, chunks)
	if err != nil {
		tb.Fatalf("message of %d bytes in %d packets: %v", len(m.Payload), len(packets), err)
	}
	if !equalMessage(got, m) {
		tb.Fatalf("message of %d bytes, timestamp %d came back as %d bytes, timestamp %d", len(m.Payload), m.Timestamp, len(got.Payload), got.Timestamp)
	}
}

func equalMessage(a, b Message) bool {
	return a.Type == b.Type && a.Timestamp == b.Timestamp && string(a.Payload) == string(b.Payload)
}
