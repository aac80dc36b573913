package client

import (
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// The pusher in the link's goroutine: what goes out over which session.

func (p *Pusher) opened(now time.Time, c *transport.Conn) {
	c.SetStreamClock(0) // captures are on the session clock
	p.conn, p.started, p.ended, p.openedAt = c, false, false, now
}

// lost does not end the session, which stays usable; but nothing more is handed to it, for a new one could not get it any more.
func (p *Pusher) lost(now time.Time) {
	if p.closing {
		p.link.patience(now, closePatience)
	}
}

func (p *Pusher) packet(_ time.Time, k *transport.Packet) { k.Release() } // a relay sends a pusher no media

func (p *Pusher) control(now time.Time, m *wire.Control) {
	switch m.Type {
	case wire.ControlStatus:
		if m.Code == wire.StatusPushBegins && !p.started && p.conn != nil {
			p.link.emit(now, CodePushBegins, "push begins: "+p.cfg.URL.Stream)
			p.start(now, m)
			p.link.succeed()
		}
	case wire.ControlKeyFrame:
		if p.cfg.OnKeyFrame != nil {
			p.cfg.OnKeyFrame()
		}
	default: // of no meaning to a pusher
	}
}

// start begins a session's media, where the relay says it is with our run, or where it can begin.
func (p *Pusher) start(now time.Time, m *wire.Control) {
	h := &p.history
	instance := p.packetizer.Instance() // set once
	var from uint64
	known := false
	if h.next() > 0 { // else there is nothing yet
		since := p.link.heardAt.Add(-p.conn.Budget())
		if oldest := now.Add(-resendWindow); since.Before(oldest) {
			since = oldest
		}
		if m.Instance == instance {
			from, known = h.resume(m.Order, since)
		}
		if !known {
			from = h.begin(since)
		}
	}
	if !known && h.video && len(h.keys) == 0 && p.cfg.OnKeyFrame != nil {
		p.cfg.OnKeyFrame() // nothing that is kept can be begun with
	}
	p.counts.Skipped += h.rewind(from)
	p.started = true
	p.send(now, &wire.Control{Type: wire.ControlStart, Instance: instance, Order: from, Seq: h.seqAt(from)})
	for _, r := range h.recordsBefore(from) {
		p.send(now, recordControl(r))
	}
}

// send puts a message on the control stream. It is full only when the relay has acknowledged nothing for long: the session is
// about to be given up anyway.
func (p *Pusher) send(now time.Time, m *wire.Control) bool { return p.conn.SendControl(now, m) == nil }

func recordControl(r *rtmpchunk.Record) *wire.Control {
	return &wire.Control{
		Type: wire.ControlRecord, Order: r.Order, Slot: uint8(r.Slot), ID: r.ID, Message: r.Type, Timestamp: r.Timestamp, Data: r.Body,
	}
}

// step takes what was written and hands the session what it can take.
func (p *Pusher) step(now time.Time) {
	p.taken = p.in.take(p.taken)
	for i := range p.taken {
		p.count(&p.taken[i])
		p.history.add(p.taken[i])
	}
	clear(p.taken)
	p.feed(now)
	keep := p.history.sent
	if !p.flowing() {
		keep = p.history.next() // a resumed stream skips what is old
	}
	p.history.trim(now, keep)
	if !p.closing || !p.flowing() || !p.link.lostAt.IsZero() || p.history.sent < p.history.next() {
		return
	}
	if !p.ended {
		p.ended = p.send(now, &wire.Control{Type: wire.ControlEnd, Order: p.history.next()})
	} else if p.conn.Drained() {
		p.link.finish(now, nil)
	}
}

// flowing reports whether the session takes media.
func (p *Pusher) flowing() bool { return p.conn != nil && p.conn.Open() && p.started }

func (p *Pusher) count(m *message) {
	p.counts.MediaBytes += uint64(m.bytes)
	switch {
	case m.record != nil:
		p.counts.Records++
		p.meter.data(m.record.Message())
		return
	case m.kind == rtmpchunk.Video:
		p.counts.VideoFrames++
	default:
		p.counts.AudioFrames++
	}
	p.meter.frame(m.kind, m.key, m.packets[0].Header.Timestamp, m.bytes)
}

// feed hands messages over until the session's queue is full.
func (p *Pusher) feed(now time.Time) {
	if !p.flowing() || !p.link.lostAt.IsZero() {
		return
	}
	h := &p.history
	for h.sent < h.next() {
		m := h.get(h.sent)
		if m.record != nil && !p.send(now, recordControl(m.record)) {
			return
		}
		for ; h.part < len(m.packets); h.part++ {
			if p.conn.Send(now, m.packets[h.part]) != nil {
				return // full: the next step goes on here
			}
		}
		h.advance()
	}
}

// backlog is how many bytes wait for the network.
func (p *Pusher) backlog() int {
	n := p.history.unsent
	if p.conn != nil {
		n += p.conn.QueuedBytes()
	}
	return n
}

// settle lets writers go on, and tells how the network does.
func (p *Pusher) settle(now time.Time) time.Time {
	n, limit := p.backlog(), maxBacklog
	if !p.flowing() || !p.link.lostAt.IsZero() {
		limit = maxOfflineBacklog
	}
	p.in.set(n, limit)
	p.measure(now, n)
	return p.tellBitrate(now)
}

func (p *Pusher) status(now time.Time, info *NetStatus, growth transport.Stats) {
	video := max(p.meter.bytes[rtmpchunk.Video], 1)
	frames := p.meter.frames[rtmpchunk.Video]
	p.meter.read(now, info)
	p.adapt.pushed = int64(growth.MessageBytesSent) * bitsPerByte
	info.PushBitrate = int(p.adapt.pushed / bitsPerKbit)
	info.TargetBitrate = int(p.adapt.target.value / bitsPerKbit)
	for order := max(p.history.sent, p.history.base); order < p.history.next(); order++ {
		switch m := p.history.get(order); {
		case m.record != nil:
		case m.kind == rtmpchunk.Video:
			info.VideoCache++
		default:
			info.AudioCache++
		}
	}
	if p.conn != nil { // the session's queue is counted in bytes; audio leaves it first
		s := p.conn.Stats()
		info.VideoCache += (s.QueuedBytes*frames + video - 1) / video
		info.NetJitter = ms(max(0, s.RTT-s.MinRTT))
		info.Loss = 100 * s.Loss
	}
	info.Quality = quality(info.Loss, info.RTT, growth.MessagesSkipped > 0)
}

func (p *Pusher) over(err error) {
	p.conn = nil
	if err == nil {
		err = ErrClosed
	}
	p.in.close(err)
	for _, m := range p.in.take(nil) {
		for _, k := range m.packets {
			k.Release()
		}
	}
	p.history.sent = max(p.history.sent, p.history.next())
	p.history.drop(p.history.next())
}
