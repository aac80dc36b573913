package rtmpchunk

import (
	"errors"
	"fmt"
)

// Slot says which of a stream's cached records a record replaces.
type Slot uint8

// The slots. A relay gives the newest record of each slot but SlotNone to a player that joins.
const (
	SlotNone          Slot = 0 // not cached: cue points, text, commands
	SlotAudioConfig   Slot = 1 // AudioSpecificConfig, OpusHead and the like
	SlotVideoConfig   Slot = 2 // decoder configuration record
	SlotMetadata      Slot = 3 // onMetaData
	SlotVideoMetadata Slot = 4 // colour and HDR information
	SlotAudioMetadata Slot = 5 // channel layout
	Slots                  = 6 // their number
)

// MaxRecord is the size of the largest record's body in bytes. Real ones are below 2 KB.
const MaxRecord = 1 << 16

// ErrRecordTooLarge means a configuration, metadata or data message larger than [MaxRecord].
var ErrRecordTooLarge = errors.New("configuration or data message is larger than 64 KiB")

// Record is a message that travels on the reliable control channel: a decoder configuration, metadata, any data or command.
type Record struct {
	Order     uint64
	Slot      Slot
	ID        uint8 // of a configuration, 1 to 255; 0 in the other slots
	Type      uint8 // RTMP message type
	Timestamp uint32
	Body      []byte
}

// Message returns the record as the message that it was made of. The payload is shared.
func (r *Record) Message() Message {
	return Message{Type: r.Type, Timestamp: r.Timestamp, Payload: r.Body}
}

// Packetizer numbers the messages of one run of a pusher and cuts them into packets. It belongs to the stream and not to a
// session, so that a pusher that reconnects goes on where it was. It is not safe for concurrent use.
type Packetizer struct {
	instance uint32
	order    uint64
	seq      [2]uint16
	config   [2]uint8
	decoder  decoderConfig
}

// NewPacketizer returns the packetizer of a new run. The instance should be random; its low bit is cleared.
func NewPacketizer(instance uint32) *Packetizer {
	return &Packetizer{instance: instance &^ 1}
}

// Instance returns the run's number.
func (p *Packetizer) Instance() uint32 { return p.instance }

// Next returns the order that the next message will get.
func (p *Packetizer) Next() uint64 { return p.order }

// NextSeq returns the sequence number of the next packet of a kind.
func (p *Packetizer) NextSeq(k Kind) uint16 { return p.seq[k] }

// Push takes the next message of the stream, captured at a stream time given in ticks of 64 µs.
//
// A frame is cut into packets: for each, in order, Push calls alloc for a buffer with a capacity of at least [MaxPacket],
// writes the packet to its start and calls emit with it; the buffer is then emit's. It returns no record.
// Any other message comes back as a record, with a copy of the payload. A configuration that repeats the one before is a
// record too, with an ID of its own: each message that goes in at one end comes out at the other.
//
// Messages are never reordered or dropped. One that is too large gives [ErrTooLarge] or [ErrRecordTooLarge], takes no
// number, and the stream can go on. Push retains nothing of m.
func (p *Packetizer) Push(m Message, capture uint32, alloc func() []byte, emit func(packet []byte, h Header)) (*Record, error) {
	info := p.decoder.classify(m)
	if info.Record {
		return p.record(m, info)
	}
	if len(m.Payload) > MaxMessage {
		return nil, tooLarge(len(m.Payload))
	}
	c, err := newCut(m.Type, m.Timestamp, len(m.Payload), MaxPayload)
	if err != nil {
		return nil, err
	}
	h := Header{
		Kind:        info.Kind,
		Key:         info.Key,
		Discardable: info.Discardable,
		Layer:       info.Layer,
		Config:      p.config[info.Kind],
		Count:       uint16(c.count),
		Order:       uint16(p.order),
		Capture:     capture,
		Timestamp:   m.Timestamp,
		Instance:    p.instance,
	}
	p.order++
	rest := m.Payload
	for i := range c.count {
		h.Index, h.Seq = uint16(i), p.seq[h.Kind]
		p.seq[h.Kind]++
		packet := alloc()[:MaxPacket]
		n, err := h.Marshal(packet)
		if err != nil {
			panic(err) // every field was set above
		}
		k, used := c.put(packet[n:], i, rest)
		rest = rest[used:]
		emit(packet[:n+k], h)
	}
	return nil, nil
}

// record makes the record of a message that is no frame.
func (p *Packetizer) record(m Message, info Info) (*Record, error) {
	if len(m.Payload) > MaxRecord {
		return nil, fmt.Errorf("%w: type %d, %d bytes", ErrRecordTooLarge, m.Type, len(m.Payload))
	}
	r := &Record{
		Order:     p.order,
		Slot:      info.Slot,
		Type:      m.Type,
		Timestamp: m.Timestamp,
		Body:      append([]byte(nil), m.Payload...),
	}
	p.order++
	if info.Slot == SlotAudioConfig || info.Slot == SlotVideoConfig {
		id := &p.config[info.Kind]
		*id = *id%255 + 1 // 0 means no configuration
		r.ID = *id
		p.decoder.learn(m, info)
	}
	return r, nil
}
