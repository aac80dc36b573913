package endpoint

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"duet/transport"
	"duet/transport/wire"
)

const (
	silence     = time.Second // nothing authentic heard: the network is lost; PINGs ask four times in this
	tryMin      = 250 * time.Millisecond
	tryMax      = time.Second
	maxTries    = 5 // handshakes alive at a time
	dialTimeout = 5 * time.Second
	exitGrace   = 400 * time.Millisecond
	// maxReliable is how many bytes may wait inside a reliable carrier before sessions hold back: what waits here is still dropped when it
	// is too old, what waits there is not. It is 100 ms of 2.5 Mbit/s.
	maxReliable = 32 << 10
	holdRetry   = 10 * time.Millisecond // a carrier that is full is looked at again
	maxCarriers = 64
)

// carrier is one way to the relay.
type carrier struct {
	reliable bool
	backlog  int
}

// session is one Conn: the present one, an attempt, or one that is saying goodbye.
type session struct {
	conn *transport.Conn
	try  bool
}

// link keeps an endpoint joined to its relay.
//
//	          ACCEPT                   1 s of silence, RESET, no carrier
//	dialing ─────────▶ connected ───────────────────────────▶ reconnecting ──▶ given up: -1307, -2301
//	   │                  ▲                                        │
//	   │ 3003, 3004       └──── heard again, or a new session ─────┘
//	   ▼
//	 failed
type link struct {
	cfg    Config
	role   wire.Role
	e      *Endpoint
	user   user
	origin time.Time // zero of the session clock, for all sessions

	carriers map[uint32]*carrier // that are up
	active   uint32              // 0: none is up

	sessions   []*session
	current    *session
	begunAt    time.Time // the first attempt
	joined     bool      // a session was open once
	succeeded  bool      // the user has what it is for
	joinedAt   time.Time
	lostAt     time.Time // since when the relay is not heard; zero: it is
	nextTry    time.Time
	isOver     bool
	exitAt     time.Time
	past       transport.Stats
	refused    string
	reportAt   time.Time
	reported   transport.Stats
	reconnects int
}

// path names a carrier to a Conn. The address is the same for all: the relay's is the carrier's business.
func (l *link) path(id uint32) transport.Path {
	return transport.Path{Carrier: id, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), 0)}
}

// carrierChanged takes a carrier that came up or is gone. The newest one that is up is used: the worker opens a second one only to take it.
func (l *link) carrierChanged(now time.Time, id uint32, up, reliable bool) {
	if !up {
		delete(l.carriers, id)
		if id != l.active {
			return
		}
		l.active = 0
		for other := range l.carriers {
			l.active = max(l.active, other)
		}
		if l.active == 0 && l.succeeded && !l.isOver && l.lostAt.IsZero() {
			l.lose(now, "the connection to the server was closed")
		}
	} else if len(l.carriers) < maxCarriers && id != 0 {
		l.carriers[id] = &carrier{reliable: reliable}
		l.active = id
		l.nextTry = now
	}
	if l.active != 0 {
		for _, s := range l.sessions {
			s.conn.SetPath(l.path(l.active))
		}
	}
}

// receive takes a datagram to the session that it is for. A RESET names the relay's ID, which only the Conns know.
func (l *link) receive(now time.Time, from transport.Path, b []byte) {
	kind := wire.KindOf(b)
	var id uint64
	switch kind {
	case wire.KindData:
		h, err := wire.ParseDataHeader(b)
		if err != nil {
			return
		}
		id = h.Session
	case wire.KindAccept:
		var h wire.Handshake
		if wire.ParseHandshake(b, &h) != nil {
			return
		}
		id = h.Client
	case wire.KindRetry:
		client, _, err := wire.ParseRetry(b)
		if err != nil {
			return
		}
		id = client
	case wire.KindReset:
	default:
		return
	}
	for _, s := range l.sessions {
		if kind == wire.KindReset || s.conn.LocalID() == id {
			s.conn.HandleDatagram(now, from, b)
			l.drain(now, s)
		}
	}
}

// drain handles a session's events.
func (l *link) drain(now time.Time, s *session) {
	for {
		e, ok := s.conn.PollEvent()
		if !ok {
			return
		}
		present := s == l.current && !l.isOver
		switch e.Kind {
		case transport.EventAccepted:
			if !l.isOver {
				l.adopt(now, s)
			}
		case transport.EventPacket:
			if present {
				l.user.packet(now, e.Packet)
			} else {
				e.Packet.Release()
			}
		case transport.EventControl:
			if present {
				l.user.control(now, &e.Control)
			}
		case transport.EventBitrate:
			if present {
				l.user.bitrate(now, e.Bitrate)
			}
		case transport.EventClosed:
			l.closed(now, s, &e)
		default: // the rest is the relay's
		}
	}
}

// begin starts a handshake over the carrier that is up.
func (l *link) begin(now time.Time) {
	conn, err := transport.New(now, transport.Config{
		Role: l.role, Stream: l.cfg.URL.Stream, Token: l.cfg.URL.Token, Server: l.cfg.URL.Key, Path: l.path(l.active), Rand: l.cfg.Rand,
		Budget: l.cfg.Budget, ClockOrigin: l.origin,
		Bitrate: transport.BitrateLimits{Min: l.cfg.MinBitrate, Start: l.cfg.StartBitrate, Max: l.cfg.MaxBitrate},
	})
	if err != nil {
		l.finish(now, codeHandshake, err.Error())
		return
	}
	l.sessions = append(l.sessions, &session{conn: conn, try: true})
	alive := 0
	var oldest *session
	for _, s := range l.sessions {
		if s.try {
			alive++
			if oldest == nil {
				oldest = s
			}
		}
	}
	if alive > maxTries {
		oldest.conn.Abandon()
	}
}

// adopt makes an attempt that was let in the present session. The relay takes a pusher's new session for the old one by itself; a
// player's old one is closed, or the relay would go on sending to both.
func (l *link) adopt(now time.Time, s *session) {
	s.try = false
	for _, other := range l.sessions {
		switch {
		case other == s:
		case other.try, l.role == wire.RolePush:
			other.conn.Abandon()
		default:
			other.conn.Close(now, wire.CloseOK, "")
		}
	}
	l.current = s
	text := "connected to " + l.cfg.URL.Host
	if l.joined {
		l.reconnects++
		text += " again"
	}
	l.joined, l.joinedAt, l.lostAt = true, now, time.Time{}
	l.e.event(l.code(codePushConnected, codePlayConnected), text)
	l.user.opened(now, s.conn)
}

// code is the pusher's or the player's of two.
func (l *link) code(push, play int) int {
	if l.role == wire.RolePush {
		return push
	}
	return play
}

// succeed notes that the user has what it is for: from now on it reconnects.
func (l *link) succeed(now time.Time) {
	if !l.succeeded {
		l.succeeded, l.reportAt = true, now.Add(reportInterval)
	}
}

// tick does what is due.
func (l *link) tick(now time.Time) {
	for _, s := range l.sessions {
		s.conn.HandleTimeout(now)
		l.drain(now, s)
	}
	if l.isOver {
		return
	}
	switch {
	case !l.joined:
		if l.begunAt.IsZero() && l.active != 0 {
			l.begunAt = now
			l.begin(now)
		}
	case !l.succeeded && now.Sub(l.joinedAt) > dialTimeout:
		l.finish(now, codeConnection, "the relay let us in and then said nothing")
	case !l.succeeded:
	case l.lostAt.IsZero():
		if now.Sub(l.current.conn.LastHeard()) > silence {
			l.lose(now, "nothing heard from "+l.cfg.URL.Host)
		}
	default:
		l.reconnect(now)
	}
	if !l.isOver && l.succeeded && !now.Before(l.reportAt) {
		l.report(now)
	}
}

// lose begins to reconnect.
func (l *link) lose(now time.Time, why string) {
	l.lostAt, l.nextTry = now, now
	l.e.event(l.code(codePushReconnecting, codePlayReconnecting), why)
	l.user.lost(now)
}

// reconnect begins handshakes until one is answered, the old session is heard again, or the time for it is over.
func (l *link) reconnect(now time.Time) {
	if l.active != 0 && l.current != nil && l.current.conn.LastHeard().After(l.lostAt) {
		for _, s := range l.sessions {
			if s.try {
				s.conn.Abandon()
			}
		}
		l.lostAt = time.Time{}
		l.e.event(l.code(codePushConnected, codePlayConnected), l.cfg.URL.Host+" is heard again: the session goes on")
		return
	}
	if now.Sub(l.lostAt) >= l.cfg.Reconnect {
		text := l.cfg.URL.Host + " was not reached again"
		if l.refused != "" {
			text += "; its last answer: " + l.refused
		}
		l.finish(now, l.code(codePushGaveUp, codePlayGaveUp), text)
		return
	}
	if l.active == 0 || now.Before(l.nextTry) {
		return
	}
	l.nextTry = now.Add(l.jitter())
	l.begin(now)
}

// jitter is a random time from tryMin to tryMax.
func (l *link) jitter() time.Duration {
	var b [2]byte
	if _, err := l.cfg.Rand.Read(b[:]); err != nil {
		return tryMax
	}
	return tryMin + (tryMax-tryMin)*time.Duration(binary.BigEndian.Uint16(b[:]))/(1<<16)
}

// closed takes the end of a session.
func (l *link) closed(now time.Time, s *session, e *transport.Event) {
	if l.isOver {
		return
	}
	remote := e.Cause == transport.CauseRemote
	reason := e.Reason
	if reason == "" {
		reason = e.Code.String()
	}
	if s.try {
		s.try = false
		switch {
		case remote && e.Code.Final():
			l.finish(now, codeClosed, reason)
		case remote && !l.joined:
			l.finish(now, codeConnection, reason)
		case remote:
			l.refused = reason
		case l.joined || l.trying():
		default:
			l.finish(now, codeHandshake, "no answer from "+l.cfg.URL.Host+": the relay is not there, or the URL's server key is not this relay's")
		}
		return
	}
	if s != l.current {
		return
	}
	l.current = nil
	switch {
	case remote && (e.Code.Final() || e.Code == wire.CloseOK):
		l.finish(now, codeClosed, reason)
	case e.Code == wire.CloseProtocol, e.Cause == transport.CauseInternal, e.Cause == transport.CauseLocal:
		l.finish(now, codeIO, "the session broke: "+reason)
	case !l.succeeded:
		l.finish(now, codeConnection, reason)
	default:
		l.refused = ""
		if remote {
			l.refused = reason
		}
		if l.lostAt.IsZero() {
			l.lose(now, reason)
		}
		l.nextTry = now // the old session is no hope any more, and a RESET says that the relay is back
	}
}

func (l *link) trying() bool {
	for _, s := range l.sessions {
		if s.try {
			return true
		}
	}
	return false
}

// finish ends the link: with a CLOSE where the relay is still there. The first reason counts; code 0 is an end without trouble.
func (l *link) finish(now time.Time, code int, text string) {
	if l.isOver {
		return
	}
	l.isOver, l.exitAt = true, now.Add(exitGrace)
	for _, s := range l.sessions {
		s.conn.Close(now, wire.CloseOK, "")
	}
	l.current = nil
	if code != 0 {
		l.e.event(code, text)
	}
	l.e.out.begin(OutOver)
	l.e.out.u32(uint32(int32(code)))
	l.e.out.text(text)
	l.e.out.end()
	l.user.over(now)
}

// flush sends what the sessions have and forgets those that are over.
func (l *link) flush(now time.Time) {
	var b batch
	kept := l.sessions[:0]
	if l.isOver && !now.Before(l.exitAt) {
		for _, s := range l.sessions {
			s.conn.Abandon()
		}
	}
	sent := 0
	for _, s := range l.sessions {
		for !l.full(sent) {
			t, ok := s.conn.Poll(now, l.e.buf)
			if !ok {
				break
			}
			for off := 0; off < t.Size; off += t.Segment {
				l.e.datagram(&b, t.Path.Carrier, l.e.buf[off:min(off+t.Segment, t.Size)])
			}
			sent += t.Size
		}
		b.close(l.e) // events come between
		l.drain(now, s)
		if s.conn.Closed() {
			l.past = addStats(l.past, s.conn.Stats())
			continue
		}
		kept = append(kept, s)
	}
	clear(l.sessions[len(kept):])
	l.sessions = kept
}

// full reports whether a reliable carrier has enough to do.
func (l *link) full(sent int) bool {
	c := l.carriers[l.active]
	return c != nil && c.reliable && c.backlog+sent > maxReliable
}

// settle is when Step must be called again, zero when all is over.
func (l *link) settle(now time.Time) time.Time {
	if l.isOver && len(l.sessions) == 0 {
		return time.Time{}
	}
	wake := now.Add(maxWait)
	sooner := func(at time.Time) {
		if !at.IsZero() && at.Before(wake) {
			wake = at
		}
	}
	least := now
	if l.full(0) {
		least = now.Add(holdRetry)
	}
	for _, s := range l.sessions {
		if at := s.conn.Deadline(); !at.IsZero() {
			if at.Before(least) {
				at = least
			}
			sooner(at)
		}
	}
	switch {
	case l.isOver:
		sooner(l.exitAt)
		return wake
	case !l.joined:
	case !l.succeeded:
		sooner(l.joinedAt.Add(dialTimeout + time.Millisecond))
	case l.lostAt.IsZero():
		sooner(l.current.conn.LastHeard().Add(silence + time.Millisecond))
	case l.active != 0:
		sooner(l.nextTry)
	}
	if p, ok := l.user.(*player); ok {
		sooner(p.playout.Deadline())
	}
	if l.succeeded {
		sooner(l.reportAt)
	}
	return wake
}

func count(n uint64, what string) string { return strconv.FormatUint(n, 10) + " " + what }
