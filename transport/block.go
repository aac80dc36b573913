package transport

import (
	"time"

	"duet/rtmpchunk"
)

// MaxBlock is the largest number of packets protected together. Messages of more packets are cut into blocks of equal size.
const MaxBlock = 128

// blockSpan tells which packets of a message share a block with packet index: k packets from first on. Sender and receiver
// both derive it from the RTP header.
func blockSpan(index, count uint16) (first, k int) {
	blocks := (int(count) + MaxBlock - 1) / MaxBlock
	size := (int(count) + blocks - 1) / blocks
	first = int(index) / size * size
	return first, min(size, int(count)-first)
}

// symbolState is what the sender knows of one packet of a block.
type symbolState uint8

const (
	symbolAbsent    symbolState = iota // not handed to us yet
	symbolQueued                       // to be sent for the first time
	symbolAgain                        // lost, and queued again
	symbolInFlight                     // sent, fate open
	symbolLost                         // lost, and enough others may be under way
	symbolDelivered                    // acknowledged
)

// block is a message's packets (or a part of a large one's) on the send side. Any k of its packets and parity symbols complete
// it at the receiver, so what must still be sent is counted, not listed: k minus what was delivered, is in flight, or queued.
type block struct {
	gen      uint32 // changes when the block is reused: stale references are told by it
	live     bool
	video    bool
	key      bool
	run      uint32 // the pusher's instance
	order    uint16
	baseSeq  uint16
	first, k int
	have     int // packets handed to us
	sent     int // of them sent at least once
	packets  [MaxBlock]*Packet
	state    [MaxBlock]symbolState

	delivered int // symbols, source and parity
	inFlight  int
	queued    int
	parity    int  // next unused parity index
	planned   bool // policy has been asked
	doubtful  bool // abandoned, but parity over a window may make it whole
	abandoned bool // its time is over and the receiver has not been told yet

	deadline time.Time // after this nobody wants it; zero while the clocks are not known
	added    time.Time
	capture  uint32
}

// blockKey finds the block that a packet belongs to, among those alive. Orders repeat after 65,536 messages, which outlive no
// block.
type blockKey struct {
	run   uint32
	order uint16
	first uint16
}

func keyOf(h *rtmpchunk.Header) (blockKey, int) {
	first, k := blockSpan(h.Index, h.Count)
	return blockKey{run: h.Instance, order: h.Order, first: uint16(first)}, k
}

// reset makes the block ready for a new message part.
func (b *block) reset(h *rtmpchunk.Header, first, k int, now time.Time) {
	gen := b.gen + 1
	*b = block{
		gen: gen, live: true, video: h.Kind == rtmpchunk.Video, key: h.Key, run: h.Instance, order: h.Order,
		baseSeq: h.Seq - h.Index + uint16(first), first: first, k: k, capture: h.Capture, added: now,
	}
}

// kind is what the block is of.
func (b *block) kind() rtmpchunk.Kind {
	if b.video {
		return rtmpchunk.Video
	}
	return rtmpchunk.Audio
}

// missing is how many symbols must still be sent so that the receiver can complete what we have of the block.
func (b *block) missing() int { return b.have - b.delivered - b.inFlight - b.queued }

// done reports whether the receiver has enough.
func (b *block) done() bool { return b.delivered >= b.k }

// release gives the packets back.
func (b *block) release() {
	for i, p := range b.packets[:b.k] {
		if p != nil {
			p.Release()
			b.packets[i] = nil
		}
	}
	b.live = false
}

// unsentBytes is what of the block waits to be sent for the first time.
func (b *block) unsentBytes() int {
	n := 0
	for i, p := range b.packets[:b.k] {
		if p != nil && b.state[i] == symbolQueued {
			n += len(p.Data)
		}
	}
	return n
}

// symbolSize is the size of a parity symbol of a whole block.
func (b *block) symbolSize() int {
	longest := 0
	for _, p := range b.packets[:b.k] {
		longest = max(longest, len(p.Data))
	}
	return 2 + longest
}
