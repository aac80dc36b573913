package transport

import (
	"io"
	"time"

	"duet/transport/wire"
)

const (
	pathTries       = 6 // challenges to a new address
	pathRetry       = 200 * time.Millisecond
	amplifyDatagram = wire.DataHeaderSize + wire.PathSize + 16 // bytes of a challenge on the wire
)

// pathState is where a session's datagrams go. Only a relay sees paths change: a client's side of a change is the operating
// system's (its socket's address) or its carrier's (SetPath).
type pathState struct {
	active Path

	candidate Path // an address the peer was heard from, not validated yet
	trying    bool
	challenge [8]byte
	send      bool // a challenge is due
	tries     int
	credit    int // bytes heard from the candidate minus bytes sent to it

	respond  bool // a PATH_RESPONSE is owed
	response [8]byte
	answerTo Path
}

// heard notes an authentic packet of size bytes from a path; newest says that its number is the highest so far.
func (p *pathState) heard(from Path, size int, newest bool, c *Conn) {
	switch {
	case from == p.active:
		return
	case p.trying && from == p.candidate:
		p.credit += size
		return
	case !newest:
		return // an old packet that came a longer way
	}
	if _, err := io.ReadFull(c.rand, p.challenge[:]); err != nil {
		return
	}
	p.candidate, p.trying, p.send, p.tries, p.credit = from, true, true, 0, size
}

// timeout sends the challenge again, or leaves the new address alone.
func (p *pathState) timeout() {
	if !p.trying {
		return
	}
	if p.tries >= pathTries {
		p.trying = false
		return
	}
	p.send = true
}

// poll writes a challenge to the new address, never more bytes than came from there.
func (p *pathState) poll(now time.Time, c *Conn, buf []byte) (Transmit, bool) {
	if !p.trying || !p.send || p.credit < amplifyDatagram {
		return Transmit{}, false
	}
	p.spend(p.candidate)
	p.send = false
	p.tries++
	c.timer.set(timerPath, now.Add(pathRetry))
	b := c.beginPacket(buf)
	b = wire.AppendPath(b, wire.FramePathChallenge, p.challenge)
	n := c.sealPacket(now, b, sentPacket{})
	return c.transmit(now, p.candidate, n, n), true
}

// spend takes the bytes of a challenge or a response off what an address that is being tried may get, false if that is not enough. To an
// address that is not (a packet that came late, or out of turn) one such datagram may go for each that came.
func (p *pathState) spend(to Path) bool {
	if !p.trying || to != p.candidate {
		return true
	}
	if p.credit < amplifyDatagram {
		return false
	}
	p.credit -= amplifyDatagram
	return true
}

// answered takes a PATH_RESPONSE: if it is right and came from the new address, that is now the path.
func (p *pathState) answered(now time.Time, from Path, data []byte, c *Conn) {
	if !p.trying || from != p.candidate || [8]byte(data) != p.challenge {
		return
	}
	p.trying = false
	p.active = from
	c.timer.clear(timerPath)
	c.cc.init(c.cc.rate.now) // the new path's capacity is unknown
	c.pacer.init(now)
	c.loss.steady.trouble(now)
	c.sendAgain(now) // what is in flight went to the old address
	c.stats.Migrations++
	c.events.push(Event{Kind: EventPath})
}

// SetPath makes a client send over another path, for instance another carrier. The relay finds out by itself.
func (c *Conn) SetPath(p Path) { c.path.active = p }
