package rtmpchunk

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Chunk headers, Adobe RTMP 1.0, section 5.3.1: a basic header of one byte (2 bits form, 6 bits chunk stream), then in form
// 0 timestamp 3, length 3, type 1, message stream 4 (the only little-endian field); form 3 has nothing more. A timestamp of
// 0xFFFFFF in form 0 announces 4 bytes of extended timestamp in every chunk of the message.
const (
	chunkStreamAudio = 4
	chunkStreamVideo = 6
	messageStream    = 1

	firstHeader  = 12
	nextHeader   = 1
	extendedSize = 4

	form0     = 0 << 6
	form3     = 3 << 6
	formMask  = 3 << 6
	extension = 0xffffff // timestamp field that announces an extended one
)

// ErrChunk means that RTP payloads are not the chunks of one message.
var ErrChunk = errors.New("rtmpchunk: not the chunks of one message")

// chunkStream returns the chunk stream of a kind.
func chunkStream(k Kind) byte {
	if k == Video {
		return chunkStreamVideo
	}
	return chunkStreamAudio
}

// cut is how one message is split into chunks.
type cut struct {
	kind      Kind
	typ       uint8
	timestamp uint32
	body      int // bytes of the message
	count     int // chunks
	size      int // length of every chunk but the last, headers included
}

// newCut plans the split of an audio or video message into chunks of at most limit bytes: as few as possible, all but the
// last of equal length, and that as small as this number allows.
func newCut(messageType uint8, timestamp uint32, body, limit int) (cut, error) {
	kind, media := kindOf(messageType)
	if !media {
		return cut{}, fmt.Errorf("%w: type %d is neither audio nor video", ErrChunk, messageType)
	}
	c := cut{kind: kind, typ: messageType, timestamp: timestamp, body: body}
	header := c.header(1)
	if limit <= c.header(0) {
		return cut{}, fmt.Errorf("rtmpchunk: no chunk fits into %d bytes", limit)
	}
	// The first header's surplus over the others counts as content, so that every chunk has room for the same.
	content := body + c.header(0) - header
	c.count = (content + limit - header - 1) / (limit - header)
	c.size = (content+c.count-1)/c.count + header
	if c.count > 1 { // with a tiny limit, even chunks may be shorter than the first one's header
		c.size = max(c.size, c.header(0)+1)
	}
	if c.count > MaxPackets {
		return cut{}, tooLarge(body)
	}
	return c, nil
}

// extended reports whether the timestamp needs the extended field.
func (c *cut) extended() bool { return c.timestamp >= extension }

// header returns the length of chunk i's header.
func (c *cut) header(i int) int {
	n := nextHeader
	if i == 0 {
		n = firstHeader
	}
	if c.extended() {
		n += extendedSize
	}
	return n
}

// put writes chunk i to dst, with as much of rest, the message from there on, as belongs to it. It returns the length of the
// chunk and how much of rest it used.
func (c *cut) put(dst []byte, i int, rest []byte) (n, used int) {
	if i == 0 {
		dst[0] = form0 | chunkStream(c.kind)
		putUint24(dst[1:], min(c.timestamp, extension))
		putUint24(dst[4:], uint32(c.body))
		dst[7] = c.typ
		binary.LittleEndian.PutUint32(dst[8:], messageStream)
		n = firstHeader
	} else {
		dst[0] = form3 | chunkStream(c.kind)
		n = nextHeader
	}
	if c.extended() {
		binary.BigEndian.PutUint32(dst[n:], c.timestamp)
		n += extendedSize
	}
	used = copy(dst[n:c.size], rest)
	return n + used, used
}

// parseFirst reads the type 0 header of a message's first chunk and returns the plan as far as the header tells it, and the
// chunk's content.
func parseFirst(chunk []byte) (c cut, content []byte, err error) {
	if len(chunk) < firstHeader || chunk[0]&formMask != form0 {
		return c, nil, fmt.Errorf("%w: the first one has no type 0 header", ErrChunk)
	}
	c.typ = chunk[7]
	kind, media := kindOf(c.typ)
	if !media || chunk[0] != form0|chunkStream(kind) {
		return c, nil, fmt.Errorf("%w: message type %d on chunk stream %d", ErrChunk, c.typ, chunk[0]&^formMask)
	}
	if id := binary.LittleEndian.Uint32(chunk[8:]); id != messageStream {
		return c, nil, fmt.Errorf("%w: message stream %d", ErrChunk, id)
	}
	c.kind = kind
	c.timestamp = uint24(chunk[1:])
	c.body = int(uint24(chunk[4:]))
	if c.body > MaxMessage {
		return c, nil, tooLarge(c.body)
	}
	content = chunk[firstHeader:]
	if c.timestamp == extension {
		if len(content) < extendedSize {
			return c, nil, fmt.Errorf("%w: extended timestamp is cut off", ErrChunk)
		}
		c.timestamp = binary.BigEndian.Uint32(content)
		if c.timestamp < extension {
			return c, nil, fmt.Errorf("%w: extended timestamp %d needs no extension", ErrChunk, c.timestamp)
		}
		content = content[extendedSize:]
	}
	return c, content, nil
}

// parseNext reads the type 3 header of one of the message's other chunks and returns the chunk's content.
func (c *cut) parseNext(chunk []byte) (content []byte, err error) {
	n := c.header(1)
	if len(chunk) <= n || chunk[0] != form3|chunkStream(c.kind) {
		return nil, fmt.Errorf("%w: not a type 3 chunk of the same chunk stream", ErrChunk)
	}
	if c.extended() && binary.BigEndian.Uint32(chunk[nextHeader:]) != c.timestamp {
		return nil, fmt.Errorf("%w: extended timestamps differ", ErrChunk)
	}
	return chunk[n:], nil
}

// AppendBody rebuilds a message from the payloads of all its packets, in the order of their index. It appends the message's
// body to dst and returns the message, whose payload is that part of the returned slice. It checks what the chunk headers
// say: forms, chunk stream, timestamp, equal lengths, and that the declared length is what there is; the caller, who knows
// the RTP headers, compares the message's type and timestamp with them. On an error dst comes back unchanged.
func AppendBody(dst []byte, chunks [][]byte) (Message, []byte, error) {
	if len(chunks) == 0 || len(chunks) > MaxPackets {
		return Message{}, dst, fmt.Errorf("%w: %d chunks", ErrChunk, len(chunks))
	}
	c, content, err := parseFirst(chunks[0])
	if err != nil {
		return Message{}, dst, err
	}
	// The sum first: a declared length that is not there must not cost memory.
	sum := len(content)
	for i, chunk := range chunks[1:] {
		part, err := c.parseNext(chunk)
		if err != nil {
			return Message{}, dst, err
		}
		if i+2 < len(chunks) && len(chunk) != len(chunks[0]) {
			return Message{}, dst, fmt.Errorf("%w: chunk %d has another length than the first", ErrChunk, i+1)
		}
		sum += len(part)
	}
	if sum != c.body {
		return Message{}, dst, fmt.Errorf("%w: %d bytes declared, %d there", ErrChunk, c.body, sum)
	}
	out := append(dst, content...)
	for _, chunk := range chunks[1:] {
		out = append(out, chunk[c.header(1):]...)
	}
	return Message{Type: c.typ, Timestamp: c.timestamp, Payload: out[len(dst):]}, out, nil
}

func putUint24(b []byte, v uint32) {
	_ = b[2]
	b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v)
}

func uint24(b []byte) uint32 {
	_ = b[2]
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
}
