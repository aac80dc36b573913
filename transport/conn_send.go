package transport

import (
	"time"

	"duet/transport/wire"
)

// tagSize is what sealing adds to a packet.
const tagSize = 16

// maxPlain is the room for frames in a datagram.
const maxPlain = wire.MaxDatagram - wire.DataHeaderSize - tagSize

// Poll writes what should be sent now into buf, which holds at least wire.MaxDatagram bytes, and says where it goes. A larger
// buf may come back with several media datagrams of equal size (the last may be shorter). It returns false when there is
// nothing to send now; Deadline then says when to look again.
func (c *Conn) Poll(now time.Time, buf []byte) (Transmit, bool) {
	now = c.advance(now)
	switch c.state {
	case stateHandshake:
		return c.pollHandshake(now, buf)
	case stateHalfOpen:
		return Transmit{}, false
	case stateClosing, stateClosed:
		return c.pollClose(now, buf)
	}
	c.rekey(now)
	if t, ok := c.path.poll(now, c, buf); ok {
		return t, true
	}
	if t, ok := c.pollFrames(now, buf); ok {
		return t, true
	}
	return c.pollMedia(now, buf)
}

// pollClose writes the CLOSE, or the answer to the peer's.
func (c *Conn) pollClose(now time.Time, buf []byte) (Transmit, bool) {
	if c.sealer == nil {
		return Transmit{}, false
	}
	if c.state == stateClosing && c.closing.left > 0 && (c.closing.answer || c.closing.left == closeRepeats) {
		c.closing.left--
		c.timer.setEarlier(timerClose, now.Add(closeInterval))
	} else if c.state != stateClosed || !c.closing.answer {
		return Transmit{}, false
	}
	c.closing.answer = false
	b := wire.AppendClose(c.beginPacket(buf), c.closing.code, c.closing.reason)
	n := c.sealPacket(now, b, sentPacket{})
	return c.transmit(now, c.path.active, n, n), true
}

// pollFrames writes one datagram of everything that is not media: answers, reports, control bytes, a PING.
func (c *Conn) pollFrames(now time.Time, buf []byte) (Transmit, bool) {
	b := c.beginPacket(buf)
	start := len(b)
	var record sentPacket
	if c.path.respond {
		c.path.respond = false
		// A client's datagrams all go to its relay. A relay answers where it was asked; if that is not the path in use, with nothing
		// else, and only for as many bytes as came from there.
		elsewhere := !c.client && c.path.answerTo != c.path.active
		if !elsewhere || c.path.spend(c.path.answerTo) {
			b = wire.AppendPath(b, wire.FramePathResponse, c.path.response)
			record.eliciting = true
		}
		if elsewhere && record.eliciting {
			n := c.sealPacket(now, b, record)
			return c.transmit(now, c.path.answerTo, n, n), true
		}
	}
	if c.pong.owed {
		c.pong.owed = false
		b = wire.AppendPong(b, [3]uint64{c.pong.echo, c.pong.received, c.clockAt(now)})
		c.feedback.due = true
	}
	if c.pings >= relayFirstPings && c.feedback.wants() && !now.Before(c.lastPing.Add(c.pingInterval()-pingEarly)) {
		c.clock.ping = true
	}
	probing := c.clock.ping
	if c.clock.ping {
		c.clock.ping = false
		c.pings++
		c.lastPing = now
		b = wire.AppendPing(b, c.clockAt(now))
		c.timer.set(timerPing, now.Add(c.pingInterval()))
	}
	// While nobody is heard control goes with the questions alone: it is there at once when the path is back, and is not sent into the void again
	// and again.
	if room := maxPlain - (len(b) - start); room > wire.ControlHeader && c.control.wants() && (probing || c.loss.probes < silentProbes) {
		if offset, data, ok := c.control.next(room - wire.ControlHeader); ok {
			b = wire.AppendControl(b, offset, data)
			record.eliciting = true
			record.kind, record.offset, record.length = sentControl, offset, uint16(len(data))
		}
	}
	if c.feedback.wants() {
		b = c.feedback.append(now, c, b, maxPlain-(len(b)-start))
	}
	if len(b) == start && c.show {
		b = append(b, byte(wire.FramePadding))
	}
	if len(b) == start {
		return Transmit{}, false
	}
	if c.show {
		c.show = false
	} else {
		c.timer.clear(timerTail)
	}
	n := c.sealPacket(now, b, record)
	return c.transmit(now, c.path.active, n, n), true
}

// pollMedia writes media and parity, as many equal datagrams as fit, as pacer and window allow.
func (c *Conn) pollMedia(now time.Time, buf []byte) (Transmit, bool) {
	if !c.sender {
		return Transmit{}, false
	}
	total, segment := 0, 0
	for len(buf)-total >= wire.MaxDatagram {
		it, ok := c.send.peek(now, c)
		if !ok {
			break
		}
		size := wire.DataHeaderSize + it.size() + tagSize
		if segment != 0 && size > segment {
			break
		}
		if !c.cc.allows(size) {
			c.stats.WindowLimited++
			c.cc.limited = true
			break
		}
		rate, burst := c.cc.pacing(now, &c.rtt, c.send.queuedBytes)
		if at, ok := c.pacer.ready(now, rate, burst); !ok {
			c.cc.limited = c.cc.limited || c.cc.bounded && c.cc.piled(c.send.queuedBytes)
			c.timer.set(timerPacer, at)
			break
		}
		b := c.send.write(it, c.beginPacket(buf[total:]))
		n := c.sealPacket(now, b, c.send.record(it))
		c.send.pop(now, it, c)
		c.pacer.sent(n)
		if c.loss.rate.estimate() >= lossFloor {
			c.shown = 0
			c.timer.set(timerTail, now.Add(tailDelay))
		}
		total += n
		if segment == 0 {
			segment = n
		}
		if n < segment {
			break
		}
	}
	if total == 0 {
		return Transmit{}, false
	}
	return c.transmit(now, c.path.active, total, segment), true
}

// showTail asks for a packet that shows what was lost of the media before it. Where losses come in runs it may share the fate of that
// media: a second and a third follow, later each.
func (c *Conn) showTail(now time.Time) {
	c.show = true
	if c.shown++; c.shown < tailShows && c.loss.rate.burst >= tailRun {
		c.timer.set(timerTail, now.Add(time.Duration(c.shown+1)*tailDelay))
	}
}

// beginPacket writes the data header for the next packet number at the front of buf.
func (c *Conn) beginPacket(buf []byte) []byte {
	return wire.AppendDataHeader(buf[:0], wire.DataHeader{Phase: c.sealer.Phase(), Session: c.remoteID, PacketNumber: uint32(c.sent.next)})
}

// sealPacket seals what beginPacket and the frame writers made, notes it as sent, and returns the datagram's size.
func (c *Conn) sealPacket(now time.Time, b []byte, record sentPacket) int {
	pn := c.sent.next
	out := c.sealer.Seal(b[:wire.DataHeaderSize], b[:wire.DataHeaderSize], b[wire.DataHeaderSize:], pn)
	record.at, record.size = now, uint16(len(out))
	c.meter.add(now, len(out))
	if forgotten := c.sent.add(record); forgotten > 0 {
		c.cc.lost(forgotten)
	}
	if record.eliciting {
		c.cc.sent(len(out))
		c.timer.setEarlier(timerProbe, now.Add(c.probeAfter()))
	}
	return len(out)
}

// transmit counts a datagram (or several) on its way out.
func (c *Conn) transmit(now time.Time, path Path, size, segment int) Transmit {
	c.lastSent = now
	c.stats.DatagramsSent += uint64((size + segment - 1) / segment)
	c.stats.BytesSent += uint64(size)
	if c.keepsAlive() && c.state == stateOpen {
		c.timer.setEarlier(timerPing, now.Add(playKeepAlive))
	}
	return Transmit{Path: path, Size: size, Segment: segment}
}

// rekey begins the next key phase long before the AEAD's limit, once the peer has shown that it has the present one.
func (c *Conn) rekey(now time.Time) {
	if c.sent.next-c.phaseFrom < rekeyPackets && now.Sub(c.phaseAt) < rekeyInterval || !c.sent.ackedSince(c.phaseFrom) {
		return
	}
	c.sealer.Next()
	c.phaseFrom, c.phaseAt = c.sent.next, now
	c.stats.Rekeys++
}

// Send queues a packet for the peer; Poll transmits it. The Conn takes a reference of its own. It fails with ErrQueueFull at
// the queue's limit (the caller then skips to a place where it can go on, and says so with a SKIP) and with ErrClosed.
func (c *Conn) Send(now time.Time, p *Packet) error {
	now = c.advance(now)
	if c.state == stateClosing || c.state == stateClosed {
		return ErrClosed
	}
	return c.send.add(now, p, c)
}
