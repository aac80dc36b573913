package relay_test

import (
	"encoding/binary"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// sentMessage is one message of a run, as it was handed over.
type sentMessage struct {
	rtmpchunk.Message
	at      time.Time // the world's
	record  *rtmpchunk.Record
	header  rtmpchunk.Header // of a frame's first packet
	packets []*transport.Packet
}

// run is one life of a pusher: an instance and its messages by order.
type run struct {
	instance uint32
	sent     []sentMessage
}

// caller is a pusher that keeps what it sent and goes on with it over a new session.
type caller struct {
	client
	run        *run
	packetizer *rtmpchunk.Packetizer
	started    bool // START was said in this session
	handed     int  // order of the next message for the session
	handedSize int  // bytes of media handed to sessions so far
	ended      bool // the stream is over
	endTold    bool
	wantKey    bool
	recent     time.Duration // how far back from when it last heard the relay it sends again in a new session
}

func (p *caller) opened(_ time.Time, c *transport.Conn) {
	c.SetStreamClock(0)
	p.started, p.endTold = false, false
}

func (p *caller) packet(_ time.Time, k *transport.Packet) { k.Release() }
func (p *caller) deadline() time.Time                     { return time.Time{} }

func (p *caller) control(now time.Time, m *wire.Control) {
	switch {
	case m.Type == wire.ControlKeyFrame:
		p.wantKey = true
	case m.Type == wire.ControlStatus && m.Code == wire.StatusPushBegins && !p.started:
		p.start(now, m)
	}
}

// start begins a session's media where the relay says that it is with our run, and with what may have been on its way; or at a key
// frame if it has nothing of it.
func (p *caller) start(now time.Time, m *wire.Control) {
	sent, since := p.run.sent, p.heardAt.Add(-p.recent)
	from := len(sent)
	if m.Instance == p.run.instance && m.Order <= uint64(len(sent)) {
		from = int(m.Order)
		for from > 0 && !sent[from-1].at.Before(since) {
			from--
		}
	} else {
		for i := range sent {
			if sent[i].header.Key && (from == len(sent) || !sent[i].at.After(since)) {
				from = i
			}
		}
	}
	var seq [2]uint16
	for i := len(sent) - 1; i >= 0; i-- { // the numbers of each kind's first packet from there on
		if sent[i].record == nil && i >= from {
			seq[sent[i].header.Kind] += uint16(len(sent[i].packets))
		}
	}
	for k := range seq {
		seq[k] = p.packetizer.NextSeq(rtmpchunk.Kind(k)) - seq[k]
	}
	p.say(now, &wire.Control{Type: wire.ControlStart, Instance: p.run.instance, Order: uint64(from), Seq: seq})
	var slots [rtmpchunk.Slots]*rtmpchunk.Record
	for i := range sent[:from] {
		if r := sent[i].record; r != nil && r.Slot != rtmpchunk.SlotNone {
			slots[r.Slot] = r
		}
	}
	for _, r := range slots {
		if r != nil {
			p.say(now, recordControl(r))
		}
	}
	p.started, p.handed = true, from
}

func recordControl(r *rtmpchunk.Record) *wire.Control {
	return &wire.Control{
		Type: wire.ControlRecord, Order: r.Order, Slot: uint8(r.Slot), ID: r.ID, Message: r.Type, Timestamp: r.Timestamp, Data: r.Body,
	}
}

func (p *caller) say(now time.Time, m *wire.Control) bool {
	return p.current.conn.SendControl(now, m) == nil
}

// step hands over what the session has not had.
func (p *caller) step(now time.Time) {
	if p.current == nil || !p.started || !p.lostAt.IsZero() || !p.current.conn.Open() {
		return
	}
	for ; p.handed < len(p.run.sent); p.handed++ {
		m := &p.run.sent[p.handed]
		if m.record != nil {
			if !p.say(now, recordControl(m.record)) {
				return
			}
			p.handedSize += len(m.record.Body)
			continue
		}
		for _, k := range m.packets {
			if p.current.conn.Send(now, k) != nil {
				return
			}
			p.handedSize += len(k.Data)
		}
	}
	if p.ended && !p.endTold {
		p.endTold = p.say(now, &wire.Control{Type: wire.ControlEnd, Order: uint64(len(p.run.sent))})
	}
}

// push adds a message to the stream, captured now.
func (p *caller) push(m rtmpchunk.Message) {
	now := p.local()
	s := sentMessage{Message: m, at: p.w.net.Now()}
	clock := now.Sub(p.skew.Local(p.w.origin))
	rec, err := p.packetizer.Push(m, transport.Ticks(clock), func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
		func(b []byte, h rtmpchunk.Header) {
			s.packets = append(s.packets, &transport.Packet{Header: h, Data: b})
		})
	if err != nil {
		panic(err) // the messages are ours
	}
	if s.record = rec; rec == nil {
		s.header = s.packets[0].Header
	}
	p.run.sent = append(p.run.sent, s)
	p.w.pushed(&s)
	p.step(now)
	p.w.net.Kick(p.addr)
}

func (p *caller) end() {
	p.ended = true
	p.step(p.local())
	p.w.net.Kick(p.addr)
}

// stamp is what the body of a record ends with: its run and order, so that it can be told among those that hold the same.
const stampSize = 12

func stamp(b []byte, instance uint32, order int) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, instance), uint64(order))
}

// noise fills b with bytes that depend on the seed (Vigna's SplitMix64).
func noise(b []byte, seed uint64) []byte {
	for i := range b {
		if i%8 == 0 {
			seed += 0x9e3779b97f4a7c15
		}
		x := (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
		b[i] = byte(x >> (8 + i%8*7))
	}
	return b
}

// listener is a player whose playout outlives its sessions.
type listener struct {
	client
	playout  *transport.Playout
	maxDelay time.Duration
	clock    time.Duration // stream time minus the relay's clock
	clockOK  bool
	clockRun uint32
	askedAt  time.Time
	due      time.Time // the world's: when it joins
	runs     map[uint32]*heardRun
	present  *heardRun
	ended    bool
	offered  int // bytes that the relay may have sent of its own accord: caches at joining
}

func (p *listener) opened(time.Time, *transport.Conn) {
	_, bytes := p.w.relay.cached()
	p.offered += bytes
}

func (p *listener) packet(now time.Time, k *transport.Packet) { p.playout.Packet(now, k) }
func (p *listener) deadline() time.Time                       { return p.playout.Deadline() }

func (p *listener) control(now time.Time, m *wire.Control) {
	switch m.Type {
	case wire.ControlStart:
		if m.Instance != p.clockRun {
			p.clockRun, p.clockOK = m.Instance, false
		}
		p.playout.Start(now, m)
		p.heardRun(m.Instance).join(m.Order)
	case wire.ControlSkip:
		p.playout.Skip(m)
	case wire.ControlRecord:
		p.playout.Record(now, m)
	case wire.ControlEnd:
		p.playout.End(now, m)
	case wire.ControlClock:
		p.clock, p.clockOK = time.Duration(int64(m.Clock[0]-m.Clock[1]))*time.Microsecond, true
	default:
	}
}

// step releases what is due.
func (p *listener) step(now time.Time) {
	if p.current != nil && p.clockOK {
		if offset, ok := p.current.conn.PeerClock(now); ok {
			p.playout.SetClock(p.clock + offset)
		}
	}
	for {
		r, ok := p.playout.Poll(now)
		if !ok {
			return
		}
		switch r.Kind {
		case transport.ReleaseRun:
			p.present, p.ended = p.heardRun(r.Run), false
		case transport.ReleaseEnd:
			p.ended = true
		case transport.ReleaseMessage:
			p.w.judgeRelease(p, &r)
			if r.Gap && r.Header.Kind == rtmpchunk.Video && !r.Header.Key && p.current != nil && now.Sub(p.askedAt) > 300*time.Millisecond {
				p.askedAt = now
				_ = p.current.conn.SendControl(now, &wire.Control{Type: wire.ControlKeyFrame})
			}
		}
	}
}

// heardRun is what a player has had of a run.
type heardRun struct {
	instance uint32
	from     uint64               // order of the first START
	joined   bool                 //
	at       map[uint64]time.Time // release of each order, the world's time
	next     uint64               // one past the highest frame
	records  [rtmpchunk.Slots]uint64
	config   [2]uint8
	stray    int // records behind frames that come after them
	begun    int // of them, from before the first START
}

func (h *heardRun) join(order uint64) {
	if !h.joined {
		h.joined, h.from = true, order
	}
}

func (p *listener) heardRun(instance uint32) *heardRun {
	h := p.runs[instance]
	if h == nil {
		h = &heardRun{instance: instance, at: make(map[uint64]time.Time)}
		p.runs[instance] = h
	}
	return h
}
