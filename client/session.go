package client

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"duet/transport"
	"duet/transport/wire"
)

const (
	silence  = time.Second            // nothing authentic heard: the network is lost; PINGs ask four times in this
	tryMin   = 250 * time.Millisecond // between new handshakes
	tryMax   = time.Second
	maxTries = 5                      // alive at a time
	stagger  = 250 * time.Millisecond // between a name's addresses at the start
	// dialTimeout is how long after ACCEPT the relay may take to say what Dial waits for.
	dialTimeout = 5 * time.Second
	lookEvery   = 5 * time.Second // new look-ups of the name while the network is lost
)

// session is one Conn of a link: the present one, an attempt, or one that is saying goodbye.
type session struct {
	conn *transport.Conn
	try  bool
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

// begin starts a handshake.
func (l *link) begin(now time.Time, to netip.AddrPort) {
	conn, err := transport.New(now, transport.Config{
		Role: l.cfg.role, Stream: l.cfg.url.Stream, Token: l.cfg.url.Token, Server: l.cfg.url.Key, Suite: l.cfg.suite,
		Path: transport.Path{Addr: to}, Rand: rand.Reader, Budget: l.cfg.budget, ClockOrigin: l.origin, Alloc: l.pool.get,
		Bitrate: l.cfg.bitrate,
	})
	if err != nil {
		l.finish(now, &CodeError{Code: CodeHandshake, Text: err.Error(), Err: err})
		return
	}
	l.tries++
	l.sessions = append(l.sessions, &session{conn: conn, try: true})
	var alive []*session
	for _, s := range l.sessions {
		if s.try {
			alive = append(alive, s)
		}
	}
	if len(alive) > maxTries {
		alive[0].conn.Abandon()
	}
}

// adopt makes an attempt that was let in the present session. The relay takes a pusher's new session for the old one by itself; a
// player's old one is closed, or the relay would go on sending to both.
func (l *link) adopt(now time.Time, s *session) {
	s.try = false
	for _, other := range l.sessions {
		switch {
		case other == s:
		case other.try, l.cfg.role == wire.RolePush:
			other.conn.Abandon()
		default:
			other.conn.Close(now, wire.CloseOK, "")
		}
	}
	l.current = s
	text := "connected to " + l.cfg.url.Host
	if l.joined {
		l.reconnects++
		text = fmt.Sprintf("connected to %s again, after %v", l.cfg.url.Host, now.Sub(l.lostAt).Round(time.Millisecond))
	}
	l.joined, l.joinedAt, l.lostAt, l.tries = true, now, time.Time{}, 0
	l.emit(now, l.cfg.connected, text)
	l.user.opened(now, s.conn)
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
		l.dial(now)
	case !l.succeeded && now.Sub(l.joinedAt) > dialTimeout:
		l.finish(now, &CodeError{Code: CodeConnection, Text: fmt.Sprintf("%s let us in and then said nothing for %v", l.cfg.url.Host, dialTimeout)})
	case !l.succeeded:
	case l.lostAt.IsZero():
		if now.Sub(l.current.conn.LastHeard()) > silence {
			l.lose(now, fmt.Sprintf("nothing heard from %s for %v", l.cfg.url.Host, silence))
		}
	default:
		l.reconnect(now)
	}
	if !l.isOver && !now.Before(l.reportAt) {
		l.report(now)
	}
}

// deadline is when tick has something to do that no session's timer stands for.
func (l *link) deadline() time.Time {
	switch {
	case !l.joined:
		return l.nextTry
	case !l.succeeded:
		return l.joinedAt.Add(dialTimeout + time.Millisecond)
	case l.lostAt.IsZero():
		return l.current.conn.LastHeard().Add(silence + time.Millisecond)
	default:
		return l.nextTry
	}
}

// dial begins the first handshakes: one for each address of the relay's name, a little apart.
func (l *link) dial(now time.Time) {
	if l.tries >= len(l.addrs) {
		l.nextTry = time.Time{}
		return
	}
	if now.Before(l.nextTry) {
		return
	}
	l.nextTry = now.Add(stagger)
	l.begin(now, l.addrs[l.tries])
}

// lose begins to reconnect.
func (l *link) lose(now time.Time, why string) {
	l.lostAt, l.nextTry, l.tries = now, now, 0
	if l.current != nil {
		l.heardAt = l.current.conn.LastHeard()
	}
	l.emit(now, l.cfg.reconnecting, why)
	l.user.lost(now)
}

// reconnect begins handshakes until one is answered, the old session is heard again, or the time for it is over.
func (l *link) reconnect(now time.Time) {
	if l.current != nil && l.current.conn.LastHeard().After(l.lostAt) {
		for _, s := range l.sessions {
			if s.try {
				s.conn.Abandon()
			}
		}
		l.emit(now, l.cfg.connected, fmt.Sprintf("%s is heard again, after %v: the session goes on", l.cfg.url.Host, now.Sub(l.lostAt).Round(time.Millisecond)))
		l.lostAt, l.tries = time.Time{}, 0
		return
	}
	if now.Sub(l.lostAt) >= l.cfg.reconnect {
		text := fmt.Sprintf("%s was not reached again within %v", l.cfg.url.Host, l.cfg.reconnect.Round(100*time.Millisecond))
		if l.refused != nil {
			text += "; its last answer: " + l.refused.Error()
		}
		l.finish(now, &CodeError{Code: l.cfg.gaveUp, Text: text, Err: l.refused})
		return
	}
	if now.Before(l.nextTry) {
		return
	}
	l.nextTry = now.Add(jitter())
	l.begin(now, l.addrs[l.tries%len(l.addrs)])
	l.look(now)
}

// look asks for the relay's addresses again, beside: it may have moved.
func (l *link) look(now time.Time) {
	if l.looking || now.Sub(l.lookedAt) < lookEvery {
		return
	}
	if _, err := netip.ParseAddrPort(l.cfg.url.Host); err == nil {
		return
	}
	l.looking, l.lookedAt = true, now
	go func() {
		addrs, err := resolve(l.ctx, l.cfg.url.Host)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.stopped {
			return
		}
		l.mail = append(l.mail, func(time.Time) {
			l.looking = false
			if err == nil {
				l.addrs = addrs
			}
		})
		l.poke()
	}()
}

// closed takes the end of a session.
func (l *link) closed(now time.Time, s *session, e *transport.Event) {
	if l.isOver {
		return
	}
	if s.try {
		l.attemptFailed(now, s, e)
		return
	}
	if s != l.current {
		return
	}
	if l.lostAt.IsZero() {
		l.heardAt = s.conn.LastHeard()
	}
	l.current = nil
	switch {
	case e.Cause == transport.CauseRemote && e.Code.Final(), e.Cause == transport.CauseRemote && e.Code == wire.CloseOK:
		l.finish(now, closedError(l.cfg.url.Host, e))
	case e.Code == wire.CloseProtocol, e.Cause == transport.CauseInternal, e.Cause == transport.CauseLocal:
		l.finish(now, &CodeError{Code: CodeIO, Text: "the session broke: " + e.Reason})
	case !l.succeeded:
		l.finish(now, &CodeError{Code: CodeConnection, Text: l.cfg.url.Host + ": " + e.Reason})
	default:
		l.refused = nil
		if e.Cause == transport.CauseRemote {
			l.refused = errors.New(e.Reason)
		}
		if l.lostAt.IsZero() {
			l.lose(now, l.cfg.url.Host+": "+e.Reason)
		}
		l.nextTry = now // the old session is no hope any more, and a RESET says that the relay is back
	}
}

// attemptFailed takes the end of a handshake that was refused or not answered.
func (l *link) attemptFailed(now time.Time, s *session, e *transport.Event) {
	s.try = false
	switch {
	case e.Cause == transport.CauseRemote && e.Code.Final():
		l.finish(now, closedError(l.cfg.url.Host, e))
	case e.Cause == transport.CauseRemote && !l.joined:
		l.finish(now, &CodeError{Code: CodeConnection, Text: l.cfg.url.Host + ": " + e.Reason})
	case e.Cause == transport.CauseRemote:
		l.refused = errors.New(e.Reason) // at its limit or going down: later, perhaps
	case l.joined, l.trying(), l.tries < len(l.addrs):
	case !l.sentAny && l.sendErr != nil:
		l.finish(now, &CodeError{Code: CodeConnection, Text: fmt.Sprintf("nothing can be sent to %s: %v", l.cfg.url.Host, l.sendErr), Err: l.sendErr})
	default:
		l.finish(now, &CodeError{Code: CodeHandshake, Text: fmt.Sprintf(
			"no answer from %s in %v: the relay is not there or a firewall blocks UDP, or the URL's server key (k=) is not this relay's",
			l.cfg.url.Host, transport.DefaultHandshakeTimeout)})
	}
}

// trying reports whether an attempt is under way.
func (l *link) trying() bool {
	for _, s := range l.sessions {
		if s.try {
			return true
		}
	}
	return false
}

// closedError is the error of a session that the relay ended on purpose.
func closedError(host string, e *transport.Event) error {
	err := &CodeError{Code: CodeClosed, Text: host + ": " + e.Reason}
	if e.Reason == "" {
		err.Text = host + ": " + e.Code.String()
	}
	if e.Code == wire.CloseReplaced {
		err.Err = ErrReplaced
	}
	return err
}
