package rtmpchunk

import (
	"fmt"

	"github.com/pion/rtp"
)

// Payloader and Depacketizer offer the chunks to programs built on pion/rtp, where a frame is a whole FLV tag: its header
// of 11 bytes, and its body. Inside duet, Packetizer and AppendBody do the same work without that header and with fewer
// allocations.
var (
	_ rtp.Payloader    = (*Payloader)(nil)
	_ rtp.Depacketizer = (*Depacketizer)(nil)
)

// Payloader cuts FLV tags into RTP payloads. It has no state.
type Payloader struct{}

// Payload cuts one audio or video tag into RTP payloads of at most mtu bytes, and at most [MaxPayload]. It returns nil for
// anything else, for a tag larger than [MaxMessage], and for an mtu that leaves no room. The payloads share one new buffer.
func (*Payloader) Payload(mtu uint16, tag []byte) [][]byte {
	if len(tag) < flvTagHeader || len(tag)-flvTagHeader > MaxMessage {
		return nil
	}
	body := tag[flvTagHeader:]
	if int(uint24(tag[1:])) != len(body) {
		return nil
	}
	c, err := newCut(tag[0], tagTimestamp(tag), len(body), min(int(mtu), MaxPayload))
	if err != nil {
		return nil
	}
	payloads := make([][]byte, c.count)
	buf := make([]byte, c.count*c.size)
	for i := range payloads {
		n, used := c.put(buf, i, body)
		payloads[i] = buf[:n:n]
		buf, body = buf[n:], body[used:]
	}
	return payloads
}

// Depacketizer puts FLV tags together again from RTP payloads that come in order: what it returns for the payloads of one
// message is, put in a row, the tag. The zero value is ready.
type Depacketizer struct {
	message cut
	rest    int // bytes of the message that are still to come
}

// Unmarshal returns the part of the tag that a payload holds: from a message's first payload a new buffer with the tag's
// header before the bytes, from another one a part of payload. A payload that does not go on where the last one ended is an
// error, after which only a first payload is accepted.
func (d *Depacketizer) Unmarshal(payload []byte) ([]byte, error) {
	if d.IsPartitionHead(payload) {
		d.rest = 0
		c, content, err := parseFirst(payload)
		if err != nil {
			return nil, err
		}
		if len(content) > c.body {
			return nil, fmt.Errorf("%w: longer than declared", ErrChunk)
		}
		d.message, d.rest = c, c.body-len(content)
		tag := make([]byte, flvTagHeader+len(content))
		putTagHeader(tag, c.typ, c.timestamp, c.body)
		copy(tag[flvTagHeader:], content)
		return tag, nil
	}
	if d.rest == 0 {
		return nil, fmt.Errorf("%w: the first chunk is missing", ErrChunk)
	}
	content, err := d.message.parseNext(payload)
	if err == nil && len(content) > d.rest {
		err = fmt.Errorf("%w: longer than declared", ErrChunk)
	}
	if err != nil {
		d.rest = 0
		return nil, err
	}
	d.rest -= len(content)
	return content, nil
}

// IsPartitionHead reports whether a payload is the first of a message: the chunk has a type 0 header.
func (*Depacketizer) IsPartitionHead(payload []byte) bool {
	return len(payload) > 0 && payload[0]&formMask == form0
}

// IsPartitionTail reports whether a payload is the last of a message, which the marker bit says.
func (*Depacketizer) IsPartitionTail(marker bool, _ []byte) bool { return marker }
