package rtmpchunk

import (
	"encoding/binary"
	"errors"

	"github.com/pion/rtp"
)

// Sizes of a packet in bytes.
const (
	// HeaderSize is the length of every packet's RTP header with its extension.
	HeaderSize = 28
	// MaxPacket is the length of the longest packet. What must fit into a datagram of 1200 bytes is the parity over such
	// packets: 2 bytes of length and 1136 of packet, the REPAIR frame's header (6), data packet header and tag (29), and
	// room kept for end-to-end encryption (24) make 1197.
	MaxPacket = 1136
	// MaxPayload is the length of the longest RTP payload, which is one chunk.
	MaxPayload = MaxPacket - HeaderSize
	// MaxPackets is the largest number of packets in a message: index and count have 12 bits. A message of MaxMessage bytes
	// needs fewer.
	MaxPackets = 1 << 12
	// MaxLayer is the highest layer number that the header can name.
	MaxLayer = 7
)

// Fields of the header that never change: the payload types, and the extension of RFC 8285 with one element.
const (
	payloadTypeAudio = 96
	payloadTypeVideo = 97
	extensionProfile = rtp.ExtensionProfileOneByte
	extensionWords   = 3
	extensionID      = 1
	extensionSize    = 11
)

// Bits of the extension's first byte.
const (
	flagVideo       = 1 << 7
	flagKey         = 1 << 6
	flagDiscardable = 1 << 5
	layerShift      = 2
	reservedBits    = 0x03
)

// Header is what a packet's RTP header and its extension say. It is comparable.
type Header struct {
	Kind        Kind
	Key         bool   // part of a key frame
	Discardable bool   // no other frame refers to this one
	Layer       uint8  // temporal layer, 0 the base, at most MaxLayer
	Config      uint8  // ID of the decoder configuration that the frame needs, 0 none
	Index       uint16 // of this packet in its message
	Count       uint16 // packets in the message, 1 to MaxPackets
	Order       uint16 // the message's order, low 16 bits
	Capture     uint32 // stream time in ticks of 64 µs
	Seq         uint16 // sequence number, per kind
	Timestamp   uint32 // RTMP timestamp in ms
	Instance    uint32 // the pusher's run; its low bit is 0
}

// Last reports whether the packet is its message's last one.
func (h *Header) Last() bool { return h.Index+1 == h.Count }

// PacketError says why [Parser.Parse] refuses a packet. Its values are few and fixed, so that a receiver can count by
// reason; making one costs no allocation.
type PacketError string

// Error returns the reason.
func (e PacketError) Error() string { return "rtmpchunk: packet refused: " + string(e) }

// The reasons for which a packet is refused.
const (
	ErrPacketSize      PacketError = "its length is not 29 to 1136 bytes"
	ErrPacketHeader    PacketError = "its RTP header is not one of duet's"
	ErrPacketExtension PacketError = "its header extension is not one of duet's"
	ErrPacketKind      PacketError = "payload type, SSRC and extension disagree on audio or video"
	ErrPacketIndex     PacketError = "packet index, packet count and marker bit disagree"
)

// What Marshal refuses: only a fault of the caller's makes one.
var (
	errHeaderField = errors.New("rtmpchunk: header field out of range")
	errHeaderSpace = errors.New("rtmpchunk: no room for a 28-byte header")
)

// Marshal writes the header's 28 bytes to the start of dst. It fails if dst is shorter or if a field does not fit.
//
// It writes them itself: pion/rtp's Header takes an extension only through SetExtension, whose argument escapes to the
// heap, so the way through it costs two allocations a packet. The tests hold the bytes equal to what pion/rtp makes.
func (h *Header) Marshal(dst []byte) (n int, err error) {
	if len(dst) < HeaderSize {
		return 0, errHeaderSpace
	}
	if h.Kind > Video || h.Layer > MaxLayer || h.Count == 0 || h.Count > MaxPackets || h.Index >= h.Count || h.Instance&1 != 0 {
		return 0, errHeaderField
	}
	b := dst[:HeaderSize]
	b[0] = 2<<6 | 1<<4
	b[1] = payloadTypeAudio + byte(h.Kind)
	if h.Last() {
		b[1] |= 1 << 7
	}
	binary.BigEndian.PutUint16(b[2:], h.Seq)
	binary.BigEndian.PutUint32(b[4:], h.Timestamp)
	binary.BigEndian.PutUint32(b[8:], h.Instance|uint32(h.Kind))
	binary.BigEndian.PutUint16(b[12:], extensionProfile)
	binary.BigEndian.PutUint16(b[14:], extensionWords)
	b[16] = extensionID<<4 | (extensionSize - 1)

	flags := h.Layer << layerShift
	if h.Kind == Video {
		flags |= flagVideo
	}
	if h.Key {
		flags |= flagKey
	}
	if h.Discardable {
		flags |= flagDiscardable
	}
	b[17] = flags
	b[18] = h.Config
	last := h.Count - 1
	b[19] = byte(h.Index >> 4)
	b[20] = byte(h.Index<<4) | byte(last>>8)
	b[21] = byte(last)
	binary.BigEndian.PutUint16(b[22:], h.Order)
	binary.BigEndian.PutUint32(b[24:], h.Capture)
	return HeaderSize, nil
}

// Parser reads packets. It keeps pion/rtp's header between calls, so that reading a packet that is accepted allocates
// nothing. The zero value is ready; it is not safe for concurrent use.
type Parser struct {
	rtp rtp.Header
}

// Parse reads one packet into h and returns its payload, which is a part of packet. It is strict: the header it accepts is
// the one that [Header.Marshal] writes for h, byte for byte. Any other packet is refused with a [PacketError], and h then
// means nothing.
func (p *Parser) Parse(packet []byte, h *Header) (payload []byte, err error) {
	if len(packet) <= HeaderSize || len(packet) > MaxPacket {
		return nil, ErrPacketSize
	}
	n, err := p.rtp.Unmarshal(packet)
	r := &p.rtp
	if err != nil || n != HeaderSize || r.Version != 2 || r.Padding || len(r.CSRC) != 0 {
		return nil, ErrPacketHeader
	}
	// With 12 bytes of extension in all, an element of 11 bytes leaves no room for another one or for padding.
	e := r.GetExtension(extensionID)
	if !r.Extension || r.ExtensionProfile != extensionProfile || len(e) != extensionSize || e[0]&reservedBits != 0 {
		return nil, ErrPacketExtension
	}

	kind := Kind(e[0] >> 7)
	if r.PayloadType != payloadTypeAudio+uint8(kind) || r.SSRC&1 != uint32(kind) {
		return nil, ErrPacketKind
	}
	index := uint16(e[2])<<4 | uint16(e[3])>>4
	last := uint16(e[3]&0x0f)<<8 | uint16(e[4])
	if index > last || r.Marker != (index == last) {
		return nil, ErrPacketIndex
	}
	*h = Header{
		Kind:        kind,
		Key:         e[0]&flagKey != 0,
		Discardable: e[0]&flagDiscardable != 0,
		Layer:       e[0] >> layerShift & MaxLayer,
		Config:      e[1],
		Index:       index,
		Count:       last + 1,
		Order:       binary.BigEndian.Uint16(e[5:]),
		Capture:     binary.BigEndian.Uint32(e[7:]),
		Seq:         r.SequenceNumber,
		Timestamp:   r.Timestamp,
		Instance:    r.SSRC &^ 1,
	}
	return packet[HeaderSize:], nil
}
