package gateway

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"duet/rtmpchunk"
)

// Limits of what an RTMP client may send.
const (
	handshakeBytes  = 1 + 1536 + 1536 // C0, C1, C2
	maxChunkStreams = 64
	maxCommand      = 8 << 10                  // bytes of a command message
	maxPending      = 2 * rtmpchunk.MaxMessage // bytes of messages begun, in all
	maxKept         = 64 << 10                 // bytes of a chunk stream's buffer that stay for its next message
	// guardChunk is the chunk size towards go-rtmp and towards the client: no message is cut, not even one that got our prefix.
	guardChunk       = rtmpchunk.MaxMessage + 16
	defaultChunk     = 128                         // until the client says otherwise
	maxChunk         = 0xffffff                    //
	maxTimestamp24   = 0xffffff                    // from here on a header has the extended timestamp
	setDataFrame     = "\x02\x00\x0d@setDataFrame" // AMF0 string
	innerChunkStream = 3                           // of what go-rtmp reads
)

// RTMP message types beside those of rtmpchunk.
const (
	typeSetChunkSize = 1
	typeAbort        = 2
	typeCommand3     = 17
	typeAggregate    = 22
)

// errGuard is wrapped by everything that the guard refuses.
var errGuard = errors.New("gateway: malformed RTMP")

// guard is a client's connection as go-rtmp sees it: after the handshake it reads the chunk stream, and hands on one whole message at
// a time, as a single chunk with a full header. go-rtmp so meets no chunk that it would panic on, no extended timestamp in a
// continued chunk, which it does not know, no message that is larger than its memory should be, and no AMF0 that it could not
// stand. Handing on one message at a time also tells when go-rtmp is done with the one before: it reads again.
type guard struct {
	net.Conn
	r         *bufio.Reader
	handshake int // bytes of it still to come
	chunk     int // the client's chunk size
	streams   map[uint32]*chunkStream
	pending   int
	out       []byte // what go-rtmp has not read of the present message
	split     []inner
	timeout   time.Duration // of one chunk; 0 before admission, while the deadline of the connection's begin stands
	limit     int           // bytes of a message

	playing atomic.Bool // the client plays: it has nothing more to say
	ended   atomic.Bool // nothing more is to be read
	idle    func()      // called when go-rtmp reads and nothing is there
}

// chunkStream is the state of one of the client's chunk streams.
type chunkStream struct {
	timestamp, delta uint32
	length           int
	typ              uint8
	stream           uint32
	extended         bool
	body             []byte
	open             bool // a message is begun
	known            bool // a full header came
}

// inner is a message for go-rtmp.
type inner struct {
	typ       uint8
	timestamp uint32
	stream    uint32
	body      []byte
}

func newGuard(c net.Conn, idle func()) *guard {
	begin := time.Now().Add(handshakeTimeout)
	_, _ = c.SetReadDeadline(begin), c.SetWriteDeadline(begin) // fails for a closed connection only, and then so does what follows
	return &guard{
		Conn: c, r: bufio.NewReaderSize(c, 16<<10), handshake: handshakeBytes, chunk: defaultChunk,
		streams: make(map[uint32]*chunkStream), limit: maxCommand, idle: idle,
	}
}

// admit tells that the client has shown its right: from now on it has timeout for each chunk, and messages may have limit bytes. Before
// that it may send commands only, and has handshakeTimeout in all. It is called in the goroutine that reads.
func (g *guard) admit(timeout time.Duration, limit int) {
	g.timeout, g.limit = timeout, limit
}

// end makes go-rtmp meet the connection's end in what it reads, while what it has to write can still be written.
func (g *guard) end() {
	g.ended.Store(true)
	_ = g.SetReadDeadline(time.Now()) // fails for a closed connection only
}

// Read gives go-rtmp what it may see.
func (g *guard) Read(p []byte) (int, error) {
	if g.handshake > 0 {
		n, err := g.r.Read(p[:min(len(p), g.handshake)])
		g.handshake -= n
		return n, err
	}
	for len(g.out) == 0 {
		g.idle()
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.out)
	g.out = g.out[n:]
	return n, nil
}

// Write bounds the time that a client may take.
func (g *guard) Write(p []byte) (int, error) {
	if err := g.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}

// next reads chunks until a message is whole and of a kind to hand on.
func (g *guard) next() error {
	for {
		if len(g.split) > 0 {
			m := g.split[0]
			g.split = g.split[1:]
			g.handOn(&m)
			return nil
		}
		if g.timeout > 0 {
			if err := g.SetReadDeadline(time.Now().Add(g.timeout)); err != nil {
				return err
			}
		}
		if g.ended.Load() { // after the deadline is set: end's comes later, or else is seen here
			return io.EOF
		}
		s, err := g.readChunk()
		if err != nil {
			return err
		}
		if s.open {
			continue
		}
		if err := g.message(s); err != nil {
			return err
		}
		g.pending -= len(s.body)
		if s.body = s.body[:0]; cap(s.body) > maxKept {
			s.body = nil
		}
	}
}

// readChunk reads one chunk of the client's.
func (g *guard) readChunk() (*chunkStream, error) {
	format, id, err := g.basicHeader()
	if err != nil {
		return nil, err
	}
	s := g.streams[id]
	if s == nil {
		if len(g.streams) >= maxChunkStreams {
			return nil, fmt.Errorf("%w: more than %d chunk streams", errGuard, maxChunkStreams)
		}
		s = &chunkStream{}
		g.streams[id] = s
	}
	if format != 3 && s.open || format != 0 && !s.known {
		return nil, fmt.Errorf("%w: a chunk header that does not belong there", errGuard)
	}
	if err := g.messageHeader(format, s); err != nil {
		return nil, err
	}
	n := min(g.chunk, s.length-len(s.body))
	if g.pending += n; g.pending > maxPending {
		return nil, fmt.Errorf("%w: more than %d bytes of messages begun", errGuard, maxPending)
	}
	at := len(s.body)
	s.body = append(s.body, make([]byte, n)...)
	if _, err := io.ReadFull(g.r, s.body[at:]); err != nil {
		return nil, err
	}
	s.open = len(s.body) < s.length
	return s, nil
}

func (g *guard) basicHeader() (format byte, id uint32, err error) {
	b, err := g.r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	format, id = b>>6, uint32(b&0x3f)
	switch id {
	case 0, 1:
		var more [2]byte
		if _, err := io.ReadFull(g.r, more[:id+1]); err != nil {
			return 0, 0, err
		}
		id = uint32(more[0]) + uint32(more[1])<<8 + 64
	default:
	}
	return format, id, nil
}

// messageHeader reads the header of a chunk; docs: Adobe RTMP 1.0, 5.3.1.2.
func (g *guard) messageHeader(format byte, s *chunkStream) error {
	var b [11]byte
	size := [4]int{11, 7, 3, 0}[format]
	if _, err := io.ReadFull(g.r, b[:size]); err != nil {
		return err
	}
	begins := !s.open
	field := uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	if format < 3 {
		s.extended = field == maxTimestamp24
	}
	if s.extended { // repeated in chunks without a header, as clients in the field do
		if format == 3 {
			peek, err := g.r.Peek(4)
			if err != nil {
				return err
			}
			if v := binary.BigEndian.Uint32(peek); v != s.timestamp && v != s.delta {
				s.extended = false // one of those who do not
			}
		}
		if s.extended {
			var ext [4]byte
			if _, err := io.ReadFull(g.r, ext[:]); err != nil {
				return err
			}
			field = binary.BigEndian.Uint32(ext[:])
		}
	}
	switch format {
	case 0:
		s.timestamp, s.delta, s.known = field, field, true // a message without a header after it counts on from it by this (5.3.1.2.4)
		s.stream = binary.LittleEndian.Uint32(b[7:])
	case 1, 2:
		s.delta = field
		s.timestamp += field
	default:
		if begins {
			s.timestamp += s.delta
		}
	}
	if format <= 1 {
		s.length = int(b[3])<<16 | int(b[4])<<8 | int(b[5])
		s.typ = b[6]
	}
	if begins && s.length > g.limit {
		return fmt.Errorf("%w: a message of %d bytes", errGuard, s.length)
	}
	return nil
}

// message acts on a whole message: the chunk stream's own are the guard's, what go-rtmp needs is handed on, the rest is dropped.
func (g *guard) message(s *chunkStream) error {
	b := s.body
	m := inner{typ: s.typ, timestamp: s.timestamp, stream: s.stream, body: b}
	switch s.typ {
	case typeSetChunkSize:
		if len(b) < 4 {
			return errGuard
		}
		n := binary.BigEndian.Uint32(b)
		if n == 0 || n > 0x7fffffff {
			return fmt.Errorf("%w: chunk size %d", errGuard, n)
		}
		g.chunk = int(min(n, maxChunk))
		return nil
	case typeAbort:
		if len(b) < 4 {
			return errGuard
		}
		if other := g.streams[binary.BigEndian.Uint32(b)]; other != nil && other.open {
			g.pending -= len(other.body)
			other.body, other.open = other.body[:0], false
		}
		return nil
	}
	if len(b) == 0 || g.playing.Load() {
		return nil
	}
	switch s.typ {
	case typeAggregate:
		return g.aggregate(&m)
	case typeCommand3, rtmpchunk.TypeData3: // AMF3 in name: one byte 0, then AMF0
		if b[0] != 0 {
			return fmt.Errorf("%w: AMF3", errGuard)
		}
		m.body = b[1:]
		if m.typ = rtmpchunk.TypeCommand; s.typ == rtmpchunk.TypeData3 {
			m.typ = rtmpchunk.TypeData
		}
	}
	return g.accept(&m)
}

// accept queues a message for go-rtmp if it is one of those that it gets.
func (g *guard) accept(m *inner) error {
	if len(m.body) == 0 { // as AMF3 in name leaves it; go-rtmp would panic
		return nil
	}
	switch m.typ {
	case rtmpchunk.TypeAudio, rtmpchunk.TypeVideo:
	case rtmpchunk.TypeData:
		// Under this name go-rtmp hands a body on unread.
		m.body = append([]byte(setDataFrame), rtmpchunk.StripSetDataFrame(m.body)...)
	case rtmpchunk.TypeCommand:
		if len(m.body) > maxCommand {
			return fmt.Errorf("%w: a command of %d bytes", errGuard, len(m.body))
		}
		if err := checkAMF(m.body); err != nil {
			return err
		}
	default:
		return nil
	}
	m.body = append([]byte(nil), m.body...)
	g.split = append(g.split, *m)
	return nil
}

// aggregate takes a message apart that is a sequence of FLV tags; their timestamps count from the first one's.
func (g *guard) aggregate(m *inner) error {
	const tagHeader, tagTrailer = 11, 4
	first, begun := uint32(0), false
	for b := m.body; len(b) > 0; {
		if len(b) < tagHeader {
			return fmt.Errorf("%w: aggregate", errGuard)
		}
		n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		ts := uint32(b[7])<<24 | uint32(b[4])<<16 | uint32(b[5])<<8 | uint32(b[6])
		if len(b) < tagHeader+n {
			return fmt.Errorf("%w: aggregate", errGuard)
		}
		if !begun {
			first, begun = ts, true
		}
		if n > 0 {
			if err := g.accept(&inner{typ: b[0], timestamp: m.timestamp + ts - first, stream: m.stream, body: b[tagHeader : tagHeader+n]}); err != nil {
				return err
			}
		}
		b = b[min(len(b), tagHeader+n+tagTrailer):]
	}
	return nil
}

// handOn writes a message for go-rtmp: one chunk with a full header.
func (g *guard) handOn(m *inner) {
	b := append(g.out[:0], innerChunkStream)
	b = append24(b, min(m.timestamp, maxTimestamp24))
	b = append24(b, uint32(len(m.body)))
	b = append(b, m.typ)
	b = binary.LittleEndian.AppendUint32(b, m.stream)
	if m.timestamp >= maxTimestamp24 {
		b = binary.BigEndian.AppendUint32(b, m.timestamp)
	}
	g.out = append(b, m.body...)
}

func append24(b []byte, v uint32) []byte {
	return append(b, byte(v>>16), byte(v>>8), byte(v))
}
