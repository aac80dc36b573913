package transport

import (
	"time"

	"duet/rtmpchunk"
	"duet/transport/wire"
)

// Limits of a playout.
const (
	maxAhead     = 4096     // messages held beyond the next one
	maxEarly     = 2048     // packets held before their START
	maxApart     = 256      // messages beyond the next one that are looked at for a frame of the other kind
	maxHeldBytes = 64 << 20 // packets held: more than the longest GOP that a relay caches
	slotCost     = 8        // bytes that a packet takes before it has come: a message may say that it has thousands
)

// ReleaseKind says what a Playout released.
type ReleaseKind uint8

// The kinds.
const (
	ReleaseMessage ReleaseKind = iota + 1 // a message, media or record
	ReleaseRun                            // another run of the pusher begins: timestamps start anew
	ReleaseEnd                            // the stream has ended; everything before was released
)

// Release is one thing that leaves a Playout.
type Release struct {
	Kind     ReleaseKind
	Message  rtmpchunk.Message // its Payload is valid until the next Poll
	Media    bool              // an audio or video frame; else a record: configuration, metadata, data
	Header   rtmpchunk.Header  // of a frame's first packet
	Run      uint32            // the pusher's instance
	Captured time.Time         // by our clock; zero while the clocks are not known
	Complete time.Time         // when its last packet came or was rebuilt
	Gap      bool              // frames of this kind were skipped since the last one released
}

// PlayoutStats counts frames. A message of which nothing ever came is counted as video: audio is sent first and most often.
type PlayoutStats struct {
	Released, Skipped [2]uint64 // by kind
	Late              uint64    // packets of messages that were released or skipped before
	Early             uint64    // packets dropped because too much was held
	Held              int       // bytes now
}

// Playout puts packets and records back into messages, in the order in which the pusher sent them. It releases a message as
// soon as it is whole and all before it have been released, skipped, or given up, or, if it is smooth, evenly, at a delay that nearly all
// frames are whole within (Target); it gives one up MaxDelay after its capture.
// Its order, and so its output, does not depend on the network, unless it is apart: then audio and video do not wait for each other.
type Playout struct {
	maxDelay time.Duration
	origin   time.Time // zero of our session clock

	started     bool
	run         uint32
	joined      time.Time // frames captured before count from here
	next        uint64    // order of the next message
	floor       uint64    // nothing missing below this will come
	highest     uint64    // one past the highest order known of
	slots       map[uint64]*playSlot
	free        []*playSlot
	early       []*Packet
	ended       bool
	end         uint64
	endAt       time.Time
	clockKnown  bool
	stream      time.Duration // stream time minus our session clock
	gap         [2]bool
	config      [2]uint8                // ID of the newest configuration released, by kind
	lastRecord  [rtmpchunk.Slots]uint64 // order plus one of the newest record released, by slot
	out         []Release               // decided, not polled yet: few
	releasedEnd bool

	smooth bool
	apart  bool
	seq    [2]uint16 // sequence number after the newest frame released, by kind
	seqSet [2]bool
	target playoutTarget
	way    wayDelay

	body     []byte
	payloads [][]byte
	stats    PlayoutStats
}

// playSlot is what is known of one message.
type playSlot struct {
	skipped  bool
	released bool // out of turn: nothing is held of it any more
	record   *rtmpchunk.Record
	header   rtmpchunk.Header
	packets  []*Packet // by index
	got      int
	first    time.Time // when the first packet came
	complete time.Time
}

func (s *playSlot) whole() bool { return s.record != nil || s.got > 0 && s.got == len(s.packets) }

// NewPlayout returns a playout that waits for a frame until maxDelay after its capture. origin is the zero of the session clock that
// SetClock speaks of.
func NewPlayout(maxDelay time.Duration, origin time.Time) *Playout {
	if maxDelay <= 0 {
		maxDelay = DefaultBudget
	}
	return &Playout{maxDelay: maxDelay, origin: origin, slots: make(map[uint64]*playSlot)}
}

// SetSmooth makes it release frames evenly: each Target after its capture, audio and video alike.
func (p *Playout) SetSmooth(on bool) { p.smooth = on }

// SetApart makes it release the frames of each kind in their order, whatever is missing of the other: for a player that brings them together itself.
func (p *Playout) SetApart(on bool) { p.apart = on }

// Target is how long after their capture frames are released if it is smooth, and should be shown if it is not. 0 while nothing is known.
func (p *Playout) Target() time.Duration { return p.target.value }

// Aim is how long after their capture frames should be whole for a conversation: what the way takes at the least, and an answer to a loss on each of two hops.
// 0 while nothing is known.
func (p *Playout) Aim() time.Duration {
	if p.way.least == 0 {
		return 0
	}
	return min(3*p.way.least+aimMargin, p.maxDelay).Round(aimStep)
}

// Stats returns the counters.
func (p *Playout) Stats() PlayoutStats { return p.stats }

// SetClock tells how stream time relates to our session clock: stream minus ours.
func (p *Playout) SetClock(offset time.Duration) { p.stream, p.clockKnown = offset, true }

// Start takes a hop's START: media of the run m.Instance comes from m.Order on. For a run that is being played already it only
// tells that nothing below m.Order will come.
func (p *Playout) Start(now time.Time, m *wire.Control) {
	p.joined = now
	if p.started && m.Instance == p.run {
		p.floor = max(p.floor, m.Order)
		p.takeEarly(now)
		return
	}
	if p.started {
		p.flush()
	}
	p.started, p.run = true, m.Instance
	p.next, p.floor, p.highest = m.Order, m.Order, m.Order
	p.ended, p.releasedEnd, p.clockKnown = false, false, false
	p.gap, p.config, p.lastRecord, p.seqSet = [2]bool{}, [2]uint8{}, [rtmpchunk.Slots]uint64{}, [2]bool{}
	p.out = append(p.out, Release{Kind: ReleaseRun, Run: p.run})
	p.takeEarly(now)
}

// takeEarly handles the packets that came before their START.
func (p *Playout) takeEarly(now time.Time) {
	early := p.early
	p.early = nil
	for _, k := range early {
		if k.Header.Instance == p.run {
			p.Packet(now, k)
		} else {
			k.Release()
		}
	}
}

// flush drops everything held of the run that is over.
func (p *Playout) flush() {
	for order, s := range p.slots {
		p.drop(order, s)
	}
	p.stats.Held = 0
}

func (p *Playout) drop(order uint64, s *playSlot) {
	delete(p.slots, order)
	p.empty(s)
	*s = playSlot{packets: s.packets[:0]}
	if len(p.free) < 64 {
		p.free = append(p.free, s)
	}
}

// empty gives back the packets of a message.
func (p *Playout) empty(s *playSlot) {
	for i, k := range s.packets {
		if k != nil {
			p.stats.Held -= len(k.Data)
			k.Release()
			s.packets[i] = nil
		}
	}
	p.stats.Held -= len(s.packets) * slotCost
	s.packets, s.got = s.packets[:0], 0
}

// Packet takes a packet, and the reader's reference to it.
func (p *Playout) Packet(now time.Time, k *Packet) {
	if !p.started || k.Header.Instance != p.run {
		if len(p.early) >= maxEarly {
			p.stats.Early++
			k.Release()
			return
		}
		p.early = append(p.early, k)
		return
	}
	order := expand16(k.Header.Order, p.next)
	if order < p.next {
		p.stats.Late++
		k.Release()
		return
	}
	if order >= p.next+maxAhead || p.stats.Held+len(k.Data)+int(k.Header.Count)*slotCost > maxHeldBytes {
		p.stats.Early++
		k.Release()
		return
	}
	s := p.slot(order)
	if s.skipped || s.released || s.record != nil || s.got > 0 && len(s.packets) != int(k.Header.Count) {
		k.Release()
		return
	}
	if s.got == 0 {
		s.header, s.first = k.Header, now
		s.packets = append(s.packets[:0], make([]*Packet, k.Header.Count)...)
		p.stats.Held += len(s.packets) * slotCost
	}
	if s.packets[k.Header.Index] != nil {
		k.Release()
		return
	}
	if k.Header.Index == 0 {
		s.header = k.Header
	}
	s.packets[k.Header.Index] = k
	s.got++
	p.stats.Held += len(k.Data)
	if s.whole() {
		s.complete = now
		p.measure(s)
	}
}

// slot finds or makes the slot of an order that is not released yet.
func (p *Playout) slot(order uint64) *playSlot {
	if s := p.slots[order]; s != nil {
		return s
	}
	var s *playSlot
	if n := len(p.free); n > 0 {
		s = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		s = &playSlot{}
	}
	p.slots[order] = s
	p.highest = max(p.highest, order+1)
	return s
}

// Record takes a RECORD. One from before START, or one that comes when its turn has passed, is released at once:
// configurations must not get lost. A repeat after a reconnection is dropped.
func (p *Playout) Record(now time.Time, m *wire.Control) {
	if !p.started || int(m.Slot) >= rtmpchunk.Slots {
		return
	}
	rec := &rtmpchunk.Record{Order: m.Order, Slot: rtmpchunk.Slot(m.Slot), ID: m.ID, Type: m.Message, Timestamp: m.Timestamp, Body: m.Data}
	switch {
	case m.Order < p.lastRecord[m.Slot]:
	case m.Order < p.next:
		p.releaseRecord(now, rec)
	case m.Order < p.next+maxAhead:
		if s := p.slot(m.Order); s.record == nil && !s.released {
			p.empty(s) // a message is a record or a frame, never both
			s.record, s.first, s.complete = rec, now, now
		}
	}
}

func (p *Playout) releaseRecord(now time.Time, rec *rtmpchunk.Record) {
	p.lastRecord[rec.Slot] = max(p.lastRecord[rec.Slot], rec.Order+1)
	switch rec.Slot {
	case rtmpchunk.SlotAudioConfig:
		p.config[rtmpchunk.Audio] = rec.ID
	case rtmpchunk.SlotVideoConfig:
		p.config[rtmpchunk.Video] = rec.ID
	default:
	}
	p.out = append(p.out, Release{
		Kind: ReleaseMessage, Run: p.run, Complete: now,
		Message: rtmpchunk.Message{Type: rec.Type, Timestamp: rec.Timestamp, Payload: rec.Body},
	})
}

// Skip takes a SKIP: these messages will not come. Of parts that came nothing is kept.
func (p *Playout) Skip(m *wire.Control) {
	if !p.started {
		return
	}
	for order := max(m.Order, p.next); order < m.Order+uint64(m.Count) && order < p.next+maxAhead; order++ {
		s := p.slot(order)
		if s.whole() || s.released {
			continue
		}
		p.empty(s)
		s.skipped = true
	}
}

// End takes an END: the stream stops before m.Order.
func (p *Playout) End(now time.Time, m *wire.Control) {
	if p.started && !p.ended {
		p.ended, p.end, p.endAt = true, m.Order, now
	}
}

// Close gives every packet back.
func (p *Playout) Close() {
	p.flush()
	for _, k := range p.early {
		k.Release()
	}
	p.early = nil
}
