package endpoint

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

const (
	// maxVideoWait is how much video may wait here, in time, before more of it is refused: what waits longer comes too late, and the encoder
	// has to begin again with a key frame anyway. The worker leaves frames out before that.
	maxVideoWait = 700 * time.Millisecond
	// maxUnsent bounds what waits for room in a session, in packets. A session's queue has room for more than a second of media.
	maxUnsent    = 1024
	leastBitrate = 1000 // divides by no less, in bit/s
	backlogAge   = 500 * time.Millisecond
	backlogSmall = 100 * time.Millisecond // of media waiting, is none
	backlogEvery = 5 * time.Second        // between two 1101
	adaptedShare = 0.2                    // a target that moved less than this is not worth an event
	adaptedEvery = 2 * time.Second        // between two 1006
	closeTimeout = 2 * time.Second        // how long the end of a stream may take to arrive
	waitStep     = 5 * time.Millisecond   // a smaller change of what waits is not told
	keyEvery     = 300 * time.Millisecond // between two requests to the encoder
)

// pusher sends one stream.
type pusher struct {
	l          *link
	packetizer *rtmpchunk.Packetizer
	slots      [rtmpchunk.Slots]*rtmpchunk.Record // the newest of each
	unsent     []*transport.Packet                // cut, but the session has no room
	conn       *transport.Conn
	started    bool // START was sent on it
	ended      bool // and END
	closing    bool
	closeAt    time.Time
	needKey    bool // video that was refused leaves a gap that only a key frame ends
	askedKey   time.Time
	keyAsked   bool // of the encoder, and not come yet
	body       []byte
	meter      meter
	refused    uint64 // frames

	target, told int64 // bit/s: asked for, and said by the last 1006
	adaptedAt    time.Time
	flowsSince   time.Time
	smallAt      time.Time
	toldBytes    int
	toldWait     time.Duration
}

// NewPusher returns an endpoint that sends the stream of a push URL. It fails if Rand does.
func NewPusher(cfg Config) (*Endpoint, error) {
	var instance [4]byte
	if _, err := io.ReadFull(cfg.Rand, instance[:]); err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	e := newEndpoint(cfg, wire.RolePush)
	e.link.user = &pusher{l: &e.link, packetizer: rtmpchunk.NewPacketizer(binary.BigEndian.Uint32(instance[:]))}
	return e, nil
}

func (p *pusher) opened(now time.Time, c *transport.Conn) {
	c.SetStreamClock(0) // captures are on the session clock
	p.conn, p.started, p.ended, p.flowsSince = c, false, false, now
	p.toldWait = -time.Second // whatever it is, it is told anew
	p.dropUnsent()
}

func (p *pusher) lost(time.Time) {
	p.needKey = true
	p.dropUnsent()
}

func (p *pusher) dropUnsent() {
	for _, k := range p.unsent {
		k.Release()
	}
	clear(p.unsent)
	p.unsent = p.unsent[:0]
}

func (p *pusher) packet(_ time.Time, k *transport.Packet) { k.Release() } // a relay sends a pusher no media

func (p *pusher) control(now time.Time, m *wire.Control) {
	switch m.Type {
	case wire.ControlStatus:
		if m.Code == wire.StatusPushBegins && !p.started && p.conn != nil {
			p.l.e.event(codePushBegins, "push begins: "+p.l.cfg.URL.Stream)
			p.start(now)
			p.l.succeed(now)
		}
	case wire.ControlKeyFrame:
		p.askKey(now)
	default: // of no meaning to a pusher
	}
}

// start begins a session's media at the next message, with what a decoder must know before it.
func (p *pusher) start(now time.Time) {
	p.started, p.needKey = true, true
	next := p.packetizer.Next()
	p.send(now, &wire.Control{
		Type: wire.ControlStart, Instance: p.packetizer.Instance(), Order: next,
		Seq: [2]uint16{p.packetizer.NextSeq(rtmpchunk.Audio), p.packetizer.NextSeq(rtmpchunk.Video)},
	})
	for order := uint64(0); order < next; { // by order, as they were
		var first *rtmpchunk.Record
		for slot, r := range p.slots {
			if r != nil && rtmpchunk.Slot(slot) != rtmpchunk.SlotNone && r.Order >= order && (first == nil || r.Order < first.Order) {
				first = r
			}
		}
		if first == nil {
			break
		}
		p.sendRecord(now, first)
		order = first.Order + 1
	}
	p.askKey(now)
}

func (p *pusher) send(now time.Time, m *wire.Control) bool { return p.conn.SendControl(now, m) == nil }

func (p *pusher) sendRecord(now time.Time, r *rtmpchunk.Record) bool {
	return p.send(now, &wire.Control{
		Type: wire.ControlRecord, Order: r.Order, Slot: uint8(r.Slot), ID: r.ID, Message: r.Type, Timestamp: r.Timestamp, Data: r.Body,
	})
}

// askKey asks the encoder for a key frame.
func (p *pusher) askKey(now time.Time) {
	if p.keyAsked && now.Sub(p.askedKey) < keyEvery {
		return
	}
	p.keyAsked, p.askedKey = true, now
	p.l.e.out.begin(OutKeyFrame)
	p.l.e.out.end()
}

// flowing reports whether media can go out now.
func (p *pusher) flowing() bool {
	return p.conn != nil && p.conn.Open() && p.started && p.l.lostAt.IsZero() && !p.closing
}

func (p *pusher) bitrate(_ time.Time, bps int64) {
	p.target = bps
	w := &p.l.e.out
	w.begin(OutBitrate)
	w.f64(float64(bps))
	w.end()
}

func (p *pusher) record(now time.Time, kind InType, r *reader) {
	switch kind {
	case InFrame:
		codec, flags, timestamp, capture := rtmpchunk.Codec(r.u8()), r.u8(), r.u32(), r.f64()
		if !r.bad {
			p.frame(now, codec, flags, timestamp, p.l.e.time(capture), r.b)
		}
	case InMessage:
		if timestamp := r.u32(); !r.bad && len(r.b) <= maxDataMessage {
			p.push(now, rtmpchunk.Message{Type: rtmpchunk.TypeData, Timestamp: timestamp, Payload: textMessage(string(r.b))}, now)
		}
	case InSize:
		if width, height, fps := r.u16(), r.u16(), r.u16(); !r.bad {
			p.push(now, rtmpchunk.Message{Type: rtmpchunk.TypeData, Payload: metadata(width, height, fps)}, now)
		}
	case InClose:
		p.close(now)
	default: // of no meaning to a pusher
	}
}

func (p *pusher) close(now time.Time) {
	switch {
	case p.closing || p.l.isOver:
	case !p.flowing():
		p.l.finish(now, 0, "")
	default:
		p.closing, p.closeAt = true, now.Add(closeTimeout)
	}
}

// frame takes what an encoder made.
func (p *pusher) frame(now time.Time, codec rtmpchunk.Codec, flags uint8, timestamp uint32, capture time.Time, data []byte) {
	body, kind, ok := appendBody(p.body[:0], codec, flags, data)
	p.body = body
	if !ok {
		return
	}
	key := flags&FlagKey != 0
	if flags&FlagConfig == 0 {
		if !p.flowing() {
			p.needKey = true
			p.refused++
			return
		}
		if kind == rtmpchunk.Video && !p.room(now, key) {
			p.refused++
			return
		}
	}
	p.push(now, rtmpchunk.Message{Type: kind.MessageType(), Timestamp: timestamp, Payload: body}, capture)
	if flags&FlagConfig == 0 {
		p.meter.frame(kind, key, timestamp, len(data))
	}
}

// room decides on a frame of video: nothing goes out between a gap and the next key frame.
func (p *pusher) room(now time.Time, key bool) bool {
	if key {
		p.keyAsked, p.needKey = false, false
		return true
	}
	if !p.needKey {
		if _, wait := p.backlog(); wait <= maxVideoWait {
			return true
		}
		p.needKey = true
	}
	p.askKey(now)
	return false
}

// push cuts a message and hands it on.
func (p *pusher) push(now time.Time, m rtmpchunk.Message, capture time.Time) {
	var list []*transport.Packet
	rec, err := p.packetizer.Push(m, transport.Ticks(capture.Sub(p.l.origin)),
		func() []byte {
			k := &transport.Packet{Data: make([]byte, 0, rtmpchunk.MaxPacket)}
			list = append(list, k)
			return k.Data
		},
		func(packet []byte, h rtmpchunk.Header) { k := list[len(list)-1]; k.Data, k.Header = packet, h })
	switch {
	case err != nil: // too large: an encoder's key frame of more than 4 MB
		p.needKey = true
	case rec != nil:
		if rec.Slot != rtmpchunk.SlotNone {
			p.slots[rec.Slot] = rec
		}
		if p.conn != nil && p.started {
			p.sendRecord(now, rec)
		}
	default:
		p.unsent = append(p.unsent, list...)
		p.feed(now)
	}
}

// feed hands packets over until the session's queue is full.
func (p *pusher) feed(now time.Time) {
	n := 0
	for n < len(p.unsent) && p.conn.Send(now, p.unsent[n]) == nil {
		n++
	}
	rest := copy(p.unsent, p.unsent[n:])
	clear(p.unsent[rest:])
	p.unsent = p.unsent[:rest]
	if rest > maxUnsent { // the session takes nothing any more: silence will end it
		p.dropUnsent()
		p.needKey = true
	}
}

// backlog is how much waits to be sent for the first time: bytes, and the time that they will take.
func (p *pusher) backlog() (bytes int, wait time.Duration) {
	if p.conn == nil {
		return 0, 0
	}
	for _, k := range p.unsent {
		bytes += len(k.Data)
	}
	s := p.conn.Stats()
	bytes += s.QueuedBytes
	wait = time.Duration(bytes) * bitsPerByte * time.Second / time.Duration(max(s.Rate, leastBitrate))
	return bytes, max(wait, s.Queue)
}

func (p *pusher) step(now time.Time) {
	if p.conn != nil && len(p.unsent) > 0 {
		p.feed(now)
	}
	if p.closing {
		p.finishClose(now)
		return
	}
	if !p.flowing() {
		p.flowsSince = now
		return
	}
	bytes, wait := p.backlog()
	p.watch(now, bytes, wait)
	p.tellBitrate(now)
	if d := wait - p.toldWait; max(d, -d) >= waitStep || bytes == 0 && p.toldBytes > 0 {
		p.toldBytes, p.toldWait = bytes, wait
		w := &p.l.e.out
		w.begin(OutBacklog)
		w.f64(float64(bytes))
		w.f64(ms(wait))
		w.end()
	}
}

func (p *pusher) finishClose(now time.Time) {
	switch {
	case p.conn == nil || !now.Before(p.closeAt) || !p.l.lostAt.IsZero():
		p.l.finish(now, 0, "")
	case !p.ended:
		p.ended = p.send(now, &wire.Control{Type: wire.ControlEnd, Order: p.packetizer.Next()})
	case p.conn.Drained():
		p.l.finish(now, 0, "")
	}
}

// watch tells 1101 when media has been waiting for long.
func (p *pusher) watch(now time.Time, bytes int, wait time.Duration) {
	if wait < backlogSmall {
		p.flowsSince = now
		return
	}
	if now.Sub(p.flowsSince) >= backlogAge && (p.smallAt.IsZero() || now.Sub(p.smallAt) >= backlogEvery) {
		p.smallAt = now
		p.l.e.event(codeUplinkTooSmall, fmt.Sprintf("%d KB wait to be sent, about %d ms; the network takes %d kbit/s", bytes/1000, wait.Milliseconds(), p.conn.Stats().Rate/bitsPerKbit))
	}
}

// tellBitrate tells 1006 of encoders that are asked for another bitrate.
func (p *pusher) tellBitrate(now time.Time) {
	if p.target == 0 {
		return
	}
	if p.told == 0 {
		p.told = p.target
	}
	d := float64(p.target - p.told)
	if max(d, -d) < adaptedShare*float64(p.told) || now.Sub(p.adaptedAt) < adaptedEvery {
		return
	}
	p.l.e.event(codeBitrateAdapted, fmt.Sprintf("%d kbit/s after %d", p.target/bitsPerKbit, p.told/bitsPerKbit))
	p.told, p.adaptedAt = p.target, now
}

func (p *pusher) status(now time.Time, s *status, growth transport.Stats) {
	p.meter.read(now, s)
	bytes, _ := p.backlog()
	s.waiting, s.target, s.skipped = float64(bytes), float64(p.target)/bitsPerKbit, float64(p.refused+p.l.reported.MessagesSkipped)
	if p.conn != nil {
		c := p.conn.Stats()
		s.netJitter, s.loss = ms(max(0, c.RTT-c.MinRTT)), 100*c.Loss
	}
	s.quality = quality(s.loss, s.rtt, growth.MessagesSkipped > 0)
}

func (p *pusher) over(time.Time) {
	p.conn = nil
	p.dropUnsent()
}
