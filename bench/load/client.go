package load

import (
	"time"

	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// client is one session of the load: a pusher or a player.
type client struct {
	conn  *transport.Conn
	push  *push // one of the two
	play  *play
	slot  int64 // in the wheel; 0: none
	dirty bool
	over  bool
}

// push is a pusher's part: a stream.
type push struct {
	src     source
	cut     *rtmpchunk.Packetizer
	begin   time.Time // of its first frame, once the relay lets it push
	live    bool
	from    uint64 // orders [from, to) were captured within the window
	to      uint64
	refused uint64 // frames that found the queue full
}

// framesKept is how many frames may be under way to a player at once: 3 s of audio and video, three times what a session waits for.
const framesKept = 256

// packetsSeen bounds the packets of a frame that are told apart.
const packetsSeen = 256

// play is a player's part: which frames have come.
type play struct {
	of    *push
	next  uint64 // one past the highest order seen
	ring  [framesKept]arrival
	whole uint64 // frames of the window that came
	late  uint64
	delay *relay.Histogram
}

// arrival is a frame that is coming in.
type arrival struct {
	order uint64 // plus one; 0: none
	got   int
	seen  [packetsSeen / 64]uint64
}

// packet takes one of the stream's packets, which the kernel had at the given time of the shared clock.
func (p *play) packet(clock time.Duration, h *rtmpchunk.Header, late time.Duration) {
	order := p.next + uint64(int64(int16(h.Order-uint16(p.next))))
	if int64(order) < 0 {
		order = uint64(h.Order)
	}
	p.next = max(p.next, order+1)
	f := &p.ring[order%framesKept]
	if f.order != order+1 {
		*f = arrival{order: order + 1}
	}
	if i := int(h.Index); i < packetsSeen {
		if f.seen[i/64]&(1<<(i%64)) != 0 {
			return
		}
		f.seen[i/64] |= 1 << (i % 64)
	}
	if f.got++; f.got != int(h.Count) || order < p.of.from || p.of.to != 0 && order >= p.of.to || !p.of.measuring() {
		return
	}
	p.whole++
	d := clock - transport.FromTicks(h.Capture, clock)
	p.delay.Add(d)
	if d > late {
		p.late++
	}
}

// measuring reports whether the window has begun for this stream.
func (p *push) measuring() bool { return p.from > 0 }

// send hands a message to the session.
func (c *client) send(now time.Time, captured time.Duration, m rtmpchunk.Message, alloc func() *transport.Packet) {
	p := c.push
	var fresh *transport.Packet
	full := false
	record, err := p.cut.Push(m, transport.Ticks(captured), func() []byte {
		fresh = alloc()
		return fresh.Data
	}, func(b []byte, h rtmpchunk.Header) {
		fresh.Data, fresh.Header = b, h
		full = c.conn.Send(now, fresh) != nil || full
		fresh.Release()
	})
	if err != nil {
		panic(err) // sizes were checked before the run
	}
	if r := record; r != nil { // a configuration goes its own way; at the beginning of a session there is room
		_ = c.conn.SendControl(now, &wire.Control{
			Type: wire.ControlRecord, Order: r.Order, Slot: uint8(r.Slot), ID: r.ID, Message: r.Type, Timestamp: r.Timestamp, Data: r.Body,
		})
	}
	if full {
		p.refused++
	}
}

// control takes a message of the relay.
func (c *client) control(now time.Time, m *wire.Control) {
	p := c.push
	switch {
	case p == nil:
	case m.Type == wire.ControlStatus && m.Code == wire.StatusPushBegins && !p.live:
		p.live = true
		_ = c.conn.SendControl(now, &wire.Control{Type: wire.ControlStart, Instance: p.cut.Instance()}) // the first message: there is room
	case m.Type == wire.ControlKeyFrame:
		p.src.wantKey = true
	}
}
