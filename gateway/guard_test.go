package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/yutopp/go-amf0"

	"duet/rtmpchunk"
)

// feed is a connection whose peer has sent b and nothing more.
type feed struct {
	net.Conn
	r io.Reader
}

func (f *feed) Read(p []byte) (int, error)       { return f.r.Read(p) }
func (f *feed) SetReadDeadline(time.Time) error  { return nil }
func (f *feed) SetWriteDeadline(time.Time) error { return nil }
func (f *feed) Write(p []byte) (int, error)      { return len(p), nil }
func (f *feed) Close() error                     { return nil }
func handshakeOf(b []byte) []byte                { return append(make([]byte, handshakeBytes), b...) }

// guarded is a guard of a client that has been admitted.
func guarded(b []byte) *guard {
	g := newGuard(&feed{r: bytes.NewReader(handshakeOf(b))}, func() {})
	g.admit(readTimeout, rtmpchunk.MaxMessage)
	return g
}

// chunker writes a client's chunks.
type chunker struct {
	b    []byte
	size int
}

// full writes a message with a full header on chunk stream cs, continued by headerless chunks, the extended timestamp repeated.
func (c *chunker) full(cs, typ byte, ts, stream uint32, body []byte) {
	c.b = append(c.b, cs)
	c.b = append24(c.b, min(ts, 0xffffff))
	c.b = append24(c.b, uint32(len(body)))
	c.b = append(c.b, typ)
	c.b = binary.LittleEndian.AppendUint32(c.b, stream)
	c.rest(cs, ts, body)
}

func (c *chunker) rest(cs byte, ts uint32, body []byte) {
	for i := 0; ; i++ {
		if i > 0 {
			c.b = append(c.b, 0xc0|cs)
		}
		if ts >= 0xffffff {
			c.b = binary.BigEndian.AppendUint32(c.b, ts)
		}
		n := min(len(body), c.size)
		c.b = append(c.b, body[:n]...)
		if body = body[n:]; len(body) == 0 {
			return
		}
	}
}

// all reads what go-rtmp would: messages as single chunks with full headers.
func all(t testing.TB, g *guard) ([]inner, error) {
	t.Helper()
	b, err := io.ReadAll(g)
	b = b[min(len(b), handshakeBytes):]
	var list []inner
	for len(b) > 0 {
		if len(b) < 12 || b[0] != innerChunkStream {
			t.Fatalf("not a chunk with a full header: % x", b[:min(len(b), 16)])
		}
		m := inner{
			timestamp: uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), typ: b[7], stream: binary.LittleEndian.Uint32(b[8:]),
		}
		n := int(b[4])<<16 | int(b[5])<<8 | int(b[6])
		b = b[12:]
		if m.timestamp == 0xffffff {
			m.timestamp = binary.BigEndian.Uint32(b)
			b = b[4:]
		}
		if n == 0 || n > len(b) {
			t.Fatalf("a message of %d bytes, %d are left", n, len(b))
		}
		m.body, b = b[:n], b[n:]
		list = append(list, m)
	}
	return list, err
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// What a client cuts into chunks comes out whole, with its timestamps, also beyond 24 bits, and with the other ways to write a header.
func TestGuardRebuildsMessages(t *testing.T) {
	c := &chunker{size: defaultChunk}
	big := random(70_000)
	c.full(6, rtmpchunk.TypeVideo, 0xffffff+5, 1, big)
	c.full(2, typeSetChunkSize, 0, 0, []byte{0, 0, 0x10, 0})
	c.size = 4096
	c.full(4, rtmpchunk.TypeAudio, 100, 1, random(300))
	// A header with a delta, then one with nothing new.
	c.b = append(c.b, 0x40|4, 0, 0, 23, 0, 0, 200, rtmpchunk.TypeAudio)
	c.b = append(c.b, random(200)...)
	c.b = append(c.b, 0xc0|4)
	c.b = append(c.b, random(200)...)
	// Two messages whose chunks alternate.
	a, v := random(5000), random(6000)
	c.b = append(c.b, 7, 0, 1, 0, 0, 0x13, 0x88, rtmpchunk.TypeAudio, 1, 0, 0, 0)
	c.b = append(c.b, a[:4096]...)
	c.b = append(c.b, 8, 0, 1, 1, 0, 0x17, 0x70, rtmpchunk.TypeVideo, 1, 0, 0, 0)
	c.b = append(c.b, v[:4096]...)
	c.b = append(append(c.b, 0xc0|7), a[4096:]...)
	c.b = append(append(c.b, 0xc0|8), v[4096:]...)
	got, err := all(t, guarded(c.b))
	if err != nil {
		t.Fatal(err)
	}
	want := []inner{
		{rtmpchunk.TypeVideo, 0xffffff + 5, 1, big}, {rtmpchunk.TypeAudio, 100, 1, random(300)}, {rtmpchunk.TypeAudio, 123, 1, random(200)},
		{rtmpchunk.TypeAudio, 146, 1, random(200)}, {rtmpchunk.TypeAudio, 256, 1, a}, {rtmpchunk.TypeVideo, 257, 1, v},
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i, m := range got {
		if w := want[i]; m.typ != w.typ || m.timestamp != w.timestamp || m.stream != w.stream || !bytes.Equal(m.body, w.body) {
			t.Errorf("message %d: type %d at %d, %d bytes; want type %d at %d, %d bytes", i, m.typ, m.timestamp, len(m.body), w.typ, w.timestamp, len(w.body))
		}
	}
}

// Aggregates are taken apart, AMF3 in name is AMF0, data messages get the one name that go-rtmp hands on unread, an aborted message
// is forgotten, and what go-rtmp does not need never reaches it.
func TestGuardTranslates(t *testing.T) {
	c := &chunker{size: 1 << 20}
	tag := func(typ byte, ts uint32, body []byte) []byte {
		b := append24([]byte{typ}, uint32(len(body)))
		b = append24(b, ts)
		b = append(b, byte(ts>>24), 0, 0, 0)
		return append(append(b, body...), 0, 0, 0, 0)
	}
	c.full(5, typeAggregate, 1000, 1, append(tag(rtmpchunk.TypeAudio, 50, []byte{1}), tag(rtmpchunk.TypeVideo, 60, []byte{2, 2})...))
	meta := append([]byte{amfString, 0, 10}, "onMetaData"...)
	c.full(5, rtmpchunk.TypeData, 0, 1, append([]byte(setDataFrame), meta...))
	c.full(5, rtmpchunk.TypeData3, 0, 1, append([]byte{0}, meta...))
	command := append(append([]byte{amfString, 0, 4}, "ping"...), amfNumber, 0, 0, 0, 0, 0, 0, 0, 0)
	c.full(3, typeCommand3, 0, 0, append([]byte{0}, command...))
	c.full(3, rtmpchunk.TypeAudio, 0, 1, nil)                // empty: go-rtmp panics
	c.full(2, 5, 0, 0, []byte{0, 0, 0, 1})                   // window size: go-rtmp would acknowledge from another goroutine
	c.full(2, 4, 0, 0, []byte{0, 7, 0, 0, 0, 0})             // ping response
	c.b = append(c.b, 9, 0, 0, 0, 0x20, 0, 0, 9, 1, 0, 0, 0) // a message of 2 MiB, of which
	c.size = 1 << 20
	c.b = append(c.b, make([]byte, defaultChunk)...) // a chunk comes
	c.full(2, typeAbort, 0, 0, []byte{0, 0, 0, 9})
	c.full(9, rtmpchunk.TypeVideo, 7, 1, []byte{3})
	// The client's chunk size is still 128: what is longer above was cut by nobody, so keep the bodies short.
	got, err := all(t, guarded(c.b))
	if err != nil {
		t.Fatal(err)
	}
	want := []inner{
		{rtmpchunk.TypeAudio, 1000, 1, []byte{1}}, {rtmpchunk.TypeVideo, 1010, 1, []byte{2, 2}},
		{rtmpchunk.TypeData, 0, 1, append([]byte(setDataFrame), meta...)}, {rtmpchunk.TypeData, 0, 1, append([]byte(setDataFrame), meta...)},
		{rtmpchunk.TypeCommand, 0, 0, command}, {rtmpchunk.TypeVideo, 7, 1, []byte{3}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d: %v", len(got), len(want), got)
	}
	for i, m := range got {
		if w := want[i]; m.typ != w.typ || m.timestamp != w.timestamp || !bytes.Equal(m.body, w.body) {
			t.Errorf("message %d: %v, want %v", i, m, w)
		}
	}
}

// What is beyond a limit or makes no sense ends the connection with an error, not with memory.
func TestGuardRefuses(t *testing.T) {
	var tooMany chunker
	for i := range 70 {
		tooMany.b = append(tooMany.b, 0, byte(i), 0, 0, 0, 0, 0, 1, 4, 1, 0, 0, 0, 0)
	}
	deep := append([]byte{amfString, 0, 1, 'x'}, bytes.Repeat([]byte{amfObject, 0, 1, 'a'}, 100)...)
	for name, b := range map[string][]byte{
		"a message of 5 MiB":          {3, 0, 0, 0, 0x50, 0, 0, 8, 1, 0, 0, 0},
		"no full header first":        {0xc0 | 3},
		"a new header in mid-message": append([]byte{3, 0, 0, 0, 0, 1, 0, 8, 1, 0, 0, 0}, append(make([]byte, 128), 3, 0, 0, 0, 0, 1, 0, 8, 1, 0, 0, 0)...),
		"chunk size 0":                {2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0},
		"too many chunk streams":      tooMany.b,
		"AMF0 that goes too deep":     (func() []byte { c := chunker{size: 128}; c.full(3, rtmpchunk.TypeCommand, 0, 0, deep); return c.b })(),
		"an array of 4 billion": (func() []byte {
			c := chunker{size: 128}
			c.full(3, rtmpchunk.TypeCommand, 0, 0, []byte{10, 255, 255, 255, 255})
			return c.b
		})(),
		"a command of 9 kB": (func() []byte {
			c := chunker{size: 128}
			c.full(3, rtmpchunk.TypeCommand, 0, 0, make([]byte, 9000))
			return c.b
		})(),
		"an aggregate that is cut off": (func() []byte { c := chunker{size: 128}; c.full(3, typeAggregate, 0, 0, make([]byte, 5)); return c.b })(),
	} {
		if got, err := all(t, guarded(b)); err == nil || !errors.Is(err, errGuard) && !errors.Is(err, errAMF) || len(got) != 0 {
			t.Errorf("%s: %d messages and %v", name, len(got), err)
		}
	}
}

// FuzzGuard: whatever comes, the guard neither panics nor hands on anything but whole messages within its limits.
func FuzzGuard(f *testing.F) {
	c := &chunker{size: defaultChunk}
	c.full(6, rtmpchunk.TypeVideo, 0xffffff+5, 1, random(700))
	f.Add(c.b)
	f.Add([]byte{3, 0, 0, 0, 0, 0, 9, typeAggregate, 1, 0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _ := all(t, guarded(b))
		for _, m := range list {
			if len(m.body) > rtmpchunk.MaxMessage+len(setDataFrame) {
				t.Errorf("a message of %d bytes", len(m.body))
			}
		}
	})
}

// FuzzCheckAMF: what the check lets through, go-amf0 decodes without a panic.
func FuzzCheckAMF(f *testing.F) {
	f.Add([]byte{amfString, 0, 1, 'x', amfObject, 0, 1, 'a', amfNull, 0, 0, amfObjectEnd})
	f.Add([]byte{amfECMAArray, 0, 0, 0, 1, 0, 1, 'a', amfBoolean, 1, 0, 0, amfObjectEnd})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) > maxCommand || checkAMF(b) != nil {
			return
		}
		d := amf0.NewDecoder(bytes.NewReader(b))
		for {
			var v any
			if d.Decode(&v) != nil {
				return
			}
		}
	})
}
