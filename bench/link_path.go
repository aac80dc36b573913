package bench

import (
	"fmt"
	"net/netip"
	"time"

	"duet/bench/netem"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// linkPath is one direction of a hop in virtual time: the bottleneck if there is one, then the wire, which loses and delays.
type linkPath struct {
	from netip.AddrPort
	neck *linkNeck // its passed sends into wire
	wire *netem.Link
	lose func() // is called for every datagram that is lost; may be nil
	lost uint64 // on the wire, so far
}

func (p *linkPath) send(now time.Time, b []byte) {
	switch {
	case p.neck == nil:
		p.wire.Send(now, b)
	case !p.neck.enter(now, b):
		p.tell(1)
	}
}

// advance moves what has left the bottleneck on.
func (p *linkPath) advance(now time.Time) {
	if p.neck != nil {
		p.neck.advance(now)
	}
}

// receive gives the next datagram that has arrived.
func (p *linkPath) receive(now time.Time, buf []byte) (n int, ok bool) {
	n, ok = p.wire.Receive(now, buf)
	s := p.wire.Stats()
	if lost := s.Lost + s.LimitDropped; lost > p.lost {
		p.tell(lost - p.lost)
		p.lost = lost
	}
	return n, ok
}

func (p *linkPath) tell(n uint64) {
	for range n {
		if p.lose != nil {
			p.lose()
		}
	}
}

func (p *linkPath) next() (at time.Time, ok bool) {
	at, ok = p.wire.Next()
	if p.neck != nil {
		if leaves, some := p.neck.next(); some && (!ok || leaves.Before(at)) {
			return leaves, true
		}
	}
	return at, ok
}

// linkEnd is an end of the call with the paths that lead to it. The links stand here and not in the Network so that it can be told what
// happens on them.
type linkEnd struct {
	transporttest.Endpoint
	paths []*linkPath
	buf   [2048]byte
}

func (e *linkEnd) add(from netip.AddrPort, p *linkPath) {
	p.from = from
	e.paths = append(e.paths, p)
}

// HandleDatagram puts what a sender has sent into its path.
func (e *linkEnd) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	for _, p := range e.paths {
		if p.from == from.Addr {
			p.send(now, b)
			e.arrive(now)
			return
		}
	}
	panic(fmt.Sprintf("bench: a datagram from %v, which nothing joins", from.Addr))
}

// HandleTimeout hands over what has come out.
func (e *linkEnd) HandleTimeout(now time.Time) {
	e.arrive(now)
	e.Endpoint.HandleTimeout(now)
}

func (e *linkEnd) arrive(now time.Time) {
	for _, p := range e.paths {
		p.advance(now)
		for n, ok := p.receive(now, e.buf[:]); ok; n, ok = p.receive(now, e.buf[:]) {
			e.Endpoint.HandleDatagram(now, transport.Path{Addr: p.from}, e.buf[:n])
		}
	}
}

// Deadline is the earliest of all.
func (e *linkEnd) Deadline() time.Time {
	first := e.Endpoint.Deadline()
	for _, p := range e.paths {
		if at, ok := p.next(); ok && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// linkListener is the player's Conn with its playout's deadlines.
type linkListener struct {
	*transport.Conn
	c *linkCall
}

// Deadline is the earlier of the two.
func (l *linkListener) Deadline() time.Time {
	at, d := l.Conn.Deadline(), l.c.playout.Deadline()
	if at.IsZero() || !d.IsZero() && d.Before(at) {
		return d
	}
	return at
}

func (c *linkCall) drainPlayer(now time.Time) {
	for {
		e, ok := c.play.PollEvent()
		if !ok {
			break
		}
		switch e.Kind {
		case transport.EventPacket:
			c.playout.Packet(now, e.Packet)
		case transport.EventControl:
			c.control(now, &e.Control)
		case transport.EventClosed:
			c.fail(fmt.Errorf("the player's session ended: %s", e.Reason))
		default:
		}
	}
	if off, ok := c.play.PeerClock(now); ok && c.clockSet {
		c.playout.SetClock(time.Duration(c.clock[0]-c.clock[1])*time.Microsecond + off)
	}
	if aim := c.playout.Aim(); c.cfg.Aim && aim != c.aim {
		c.aim = aim
		if err := c.play.SendControl(now, &wire.Control{Type: wire.ControlAim, Arrival: uint32(aim / time.Millisecond)}); err != nil {
			c.fail(err)
		}
	}
	for {
		r, ok := c.playout.Poll(now)
		if !ok {
			return
		}
		if r.Kind == transport.ReleaseMessage && r.Media {
			c.rec.release(now, r.Complete, r.Header.Kind, r.Message.Payload)
		}
	}
}

func (c *linkCall) control(now time.Time, m *wire.Control) {
	switch m.Type {
	case wire.ControlStart:
		c.playout.Start(now, m)
	case wire.ControlSkip:
		c.playout.Skip(m)
	case wire.ControlRecord:
		c.playout.Record(now, m)
	case wire.ControlEnd:
		c.playout.End(now, m)
	case wire.ControlClock:
		c.clock, c.clockSet = m.Clock, true
	default: // of no meaning to a player
	}
}
