package relay_test

import (
	"fmt"
	"net/netip"
	"time"

	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// quiet is how long an impatient client hears nothing before it tries a new handshake beside the session that it has.
const quiet = time.Second

// client is a pusher or a player as a program would be: sessions one after the other, handshakes until one is answered, a clock of its
// own. Its methods take its own time; the world's goes through the Skewed that stands before it.
type client struct {
	w         *world
	name      string
	addr      netip.AddrPort
	cfg       transport.Config // Rand and ClockOrigin are set for each session
	skew      *transporttest.Skewed
	user      clientUser
	impatient bool

	sessions []*attempt
	current  *attempt
	nextTry  time.Time // local; zero: not trying
	lostAt   time.Time // local; since when an impatient client tries beside the session that it has
	gone     bool      // left, or vanished: no session is begun any more
	heardAt  time.Time // the world's; when the relay was last heard in the session before
}

// clientUser is what a client is for.
type clientUser interface {
	opened(now time.Time, c *transport.Conn)
	packet(now time.Time, p *transport.Packet)
	control(now time.Time, m *wire.Control)
	step(now time.Time)
	deadline() time.Time
}

// attempt is one session, or the handshake that should become one.
type attempt struct {
	conn     *transport.Conn
	born     time.Time // the world's
	restarts int       // of the relay before it
	try      bool
	left     bool   // we said CLOSE
	hears    ear    // what it is told
	heard    ear    // what the relay hears of it
	remote   uint64 // the relay's ID for it
}

func (c *client) local() time.Time { return c.skew.Local(c.w.net.Now()) }

// begin starts a handshake.
func (c *client) begin(now time.Time) {
	cfg := c.cfg
	cfg.Rand = transporttest.Reader(c.w.rand.Uint64())
	cfg.ClockOrigin = c.skew.Local(transporttest.Start)
	conn, err := transport.New(now, cfg)
	if err != nil {
		panic(err) // the configuration is ours
	}
	c.sessions = append(c.sessions, &attempt{conn: conn, born: c.w.net.Now(), restarts: c.w.restarts, try: true})
	tries := 0
	for i := len(c.sessions) - 1; i >= 0; i-- {
		if a := c.sessions[i]; a.try && !a.conn.Closed() {
			if tries++; tries > 5 {
				a.conn.Abandon()
			}
		}
	}
	c.nextTry = now.Add(250*time.Millisecond + time.Duration(c.w.rand.Int64N(int64(750*time.Millisecond))))
}

// join begins the first handshake.
func (c *client) join() {
	c.begin(c.local())
	c.w.net.Kick(c.addr)
}

// again begins a session beside the one that there is, as after a change of networks.
func (c *client) again() {
	if !c.gone && c.current != nil {
		c.begin(c.local())
		c.w.net.Kick(c.addr)
	}
}

// leave says goodbye; vanish does not.
func (c *client) leave() {
	c.gone, c.nextTry, c.lostAt = true, time.Time{}, time.Time{}
	for _, a := range c.sessions {
		a.left = true
		a.conn.Close(c.local(), wire.CloseOK, "")
	}
	c.w.net.Kick(c.addr)
}

func (c *client) vanish() {
	c.gone, c.nextTry, c.lostAt = true, time.Time{}, time.Time{}
	for _, a := range c.sessions {
		a.conn.Abandon()
	}
	c.current = nil
}

// HandleDatagram implements transporttest.Endpoint.
func (c *client) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	id, kind := uint64(0), wire.KindOf(b)
	switch kind {
	case wire.KindData:
		if h, err := wire.ParseDataHeader(b); err == nil {
			id = h.Session
			c.listen(h, b)
		}
	case wire.KindAccept:
		var h wire.Handshake
		if wire.ParseHandshake(b, &h) == nil {
			id = h.Client
		}
	case wire.KindRetry:
		id, _, _ = wire.ParseRetry(b)
	default: // a RESET names the relay's ID, which only the Conns know
	}
	for _, a := range c.sessions {
		if kind == wire.KindReset || a.conn.LocalID() == id {
			a.conn.HandleDatagram(now, from, b)
		}
	}
	c.drain(now)
}

// listen notes what comes for a session, if nobody has damaged it.
func (c *client) listen(h wire.DataHeader, b []byte) {
	for _, a := range c.sessions {
		if a.conn.LocalID() == h.Session && !c.w.damaged(b) {
			a.hears.note(c.w.net.Now(), h.PacketNumber)
		}
	}
}

// HandleTimeout implements transporttest.Endpoint.
func (c *client) HandleTimeout(now time.Time) {
	for _, a := range c.sessions {
		a.conn.HandleTimeout(now)
	}
	c.drain(now)
	if c.gone {
		return
	}
	if c.impatient && c.current != nil {
		switch heard := c.current.conn.LastHeard(); {
		case c.lostAt.IsZero() && now.Sub(heard) > quiet:
			c.lostAt, c.nextTry = now, now
		case !c.lostAt.IsZero() && heard.After(c.lostAt): // the old session goes on
			c.lostAt, c.nextTry = time.Time{}, time.Time{}
			for _, a := range c.sessions {
				if a.try {
					a.conn.Abandon()
				}
			}
		}
	}
	if !c.nextTry.IsZero() && !now.Before(c.nextTry) {
		c.begin(now)
	}
}

// Poll implements transporttest.Endpoint.
func (c *client) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	for _, a := range c.sessions {
		if t, ok := a.conn.Poll(now, buf); ok {
			if h, err := wire.ParseDataHeader(buf[:t.Size]); err == nil && a.remote == 0 && wire.KindOf(buf) == wire.KindData {
				a.remote = h.Session
				c.w.ears[h.Session] = &a.heard
			}
			return t, true
		}
	}
	kept := c.sessions[:0]
	for _, a := range c.sessions {
		if !a.conn.Closed() {
			kept = append(kept, a)
		}
	}
	clear(c.sessions[len(kept):])
	c.sessions = kept
	return transport.Transmit{}, false
}

// Deadline implements transporttest.Endpoint.
func (c *client) Deadline() time.Time {
	var first time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, a := range c.sessions {
		sooner(a.conn.Deadline())
	}
	sooner(c.nextTry)
	if c.impatient && c.current != nil && c.lostAt.IsZero() && !c.gone {
		sooner(c.current.conn.LastHeard().Add(quiet + time.Millisecond))
	}
	sooner(c.user.deadline())
	return first
}

// drain handles the events of all sessions.
func (c *client) drain(now time.Time) {
	for i := 0; i < len(c.sessions); i++ { //nolint:intrange // there may be more at the end
		a := c.sessions[i]
		for {
			e, ok := a.conn.PollEvent()
			if !ok {
				break
			}
			switch e.Kind {
			case transport.EventAccepted:
				c.adopt(now, a)
			case transport.EventPacket:
				if a == c.current {
					c.user.packet(now, e.Packet)
				}
			case transport.EventControl:
				if a == c.current {
					m := e.Control
					c.user.control(now, &m)
				}
			case transport.EventClosed:
				c.closed(now, a, &e)
			default:
			}
		}
	}
	c.user.step(now)
}

// adopt makes an attempt that was let in the present session. A relay takes a pusher's new session for the old one by itself.
func (c *client) adopt(now time.Time, a *attempt) {
	if c.gone {
		return
	}
	a.try = false
	if c.current != nil {
		c.heardAt = c.current.hears.last
	}
	for _, other := range c.sessions {
		switch {
		case other == a:
		case other.try, c.cfg.Role == wire.RolePush:
			other.conn.Abandon()
		default:
			other.left = true
			other.conn.Close(now, wire.CloseOK, "")
		}
	}
	c.current, c.nextTry, c.lostAt = a, time.Time{}, time.Time{}
	a.hears.last = c.w.net.Now()
	c.user.opened(now, a.conn)
}

// closed takes the end of a session, asks whether it had to be, and tries again.
func (c *client) closed(now time.Time, a *attempt, e *transport.Event) {
	c.w.judgeEnd(c, a, e)
	if a == c.current {
		c.current, c.heardAt = nil, a.hears.last
	}
	switch {
	case e.Cause == transport.CauseRemote && e.Code.Final():
		c.gone, c.nextTry = true, time.Time{}
	case !c.gone && c.current == nil && c.nextTry.IsZero():
		c.nextTry = now
	}
}

func (c *client) String() string { return fmt.Sprintf("%s at %v", c.name, c.addr) }

// ear remembers when the end of a session was last told something new that nobody had damaged, and its silences. It hears less than
// the session does, never more: what comes late or again does not count.
type ear struct {
	first, last time.Time
	highest     uint32
	longest     time.Duration
}

func (e *ear) note(now time.Time, pn uint32) {
	if !e.first.IsZero() && pn <= e.highest {
		return
	}
	if e.first.IsZero() {
		e.first = now
	}
	if !e.last.IsZero() {
		e.longest = max(e.longest, now.Sub(e.last))
	}
	e.last, e.highest = now, pn
}

// silent reports whether there was, or is, a silence of at least d.
func (e *ear) silent(now time.Time, d time.Duration) bool {
	return e.last.IsZero() || e.longest >= d || now.Sub(e.last) >= d
}
