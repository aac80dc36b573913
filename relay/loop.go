package relay

import (
	"io"
	"log/slog"
	"time"

	"duet/crypto"
	"duet/transport"
	"duet/transport/wire"
)

// resetRate bounds the RESETs a second, so that nobody can use the relay to make noise.
const resetRate = 200

// Stats is what a relay did and has.
type Stats struct {
	Sessions, Streams, Players int
	Handshakes                 transport.AcceptorStats
	Confirmed, Migrations      uint64
	DatagramsIn, DatagramsOut  uint64
	BytesIn, BytesOut          uint64
	Resets, Unknown, Malformed uint64 // RESETs sent; data for unknown sessions; not of this version
	PlayerSkips                uint64
	FramesThinned              uint64    // video messages left out for one slow player
	MediaIn, MediaBytesIn      uint64    // packets that streams took, without repeats
	SendErrors                 uint64    // of the socket
	KernelDrops                uint64    // datagrams that came faster than they were read
	Wakeups                    uint64    // of the loop
	Unsegmented                bool      // bursts are sent datagram by datagram
	Delay                      Histogram // of media, from the kernel to the send call, what the pacer holds back left out
	LoopLag                    Histogram // of alarms, from when they were due
	Floors                     int
	FloorsRefused              uint64                        // there were as many as are kept
	Loops                      int                           //
	HandedOver                 uint64                        // datagrams that came to a loop other than their session's
	HandoverDrops              uint64                        // of them: that one was too far behind
	Revoked                    uint64                        // sessions, publications and subscriptions that a floor ended
	Dropped                    [transport.DropReasons]uint64 // by closed and live sessions
	PacketsLive                int64                         // packets in the pool's hands
	Sent                       SentStats                     // by live sessions
}

// SentStats counts media datagrams to players.
type SentStats struct {
	PacketsSent, Retransmits, RepairsSent uint64
}

// Loop is a relay without its socket and clock, or one of several that share the work (group.go): sessions, streams and what joins them. It is
// driven like a transport.Conn, by one goroutine: HandleDatagram and HandleTimeout in, Poll out until it returns false, sleep until Deadline.
type Loop struct {
	cfg       Config
	group     *group
	index     int // in the group
	parcels   parcels
	policy    transport.Policy
	log       *slog.Logger
	rand      io.Reader
	origin    time.Time
	acceptor  *transport.Acceptor
	sessions  map[uint64]*session
	streams   map[string]*stream
	subs      map[*Subscription]struct{}
	alarms    deadlines
	dirty     []*session
	next      int // of dirty, to be polled
	replies   []reply
	bitrates  []int64 // scratch
	mail      *mailbox
	packets   *packetPool
	stopping  bool
	stopAt    time.Time
	resets    float64
	resetsAt  time.Time
	housekeep alarm
	calls     map[string][]guest // who belongs to a call, by call
	locals    uint64             // publications and subscriptions so far
	listen    alarm              // for silence; not set while there are no calls
	tell      alarm              // of a change
	toldAt    time.Time
	stopAlarm alarm
	media     uint64 // packets that streams took
	mediaIn   uint64 // and their bytes
	stats     Stats
}

// reply is a datagram outside of any session.
type reply struct {
	to transport.Path
	b  []byte
}

// maxReplies bounds the replies that wait to be polled; a driver that polls after every input never has more than one.
const maxReplies = 64

// NewLoop returns a relay that serves nobody yet. rand is the source of session IDs and keys; wake, called from other goroutines, makes
// the driver look at the mail (RunMail).
func NewLoop(now time.Time, cfg Config, rand io.Reader, wake func()) *Loop {
	return NewLoops(now, cfg, rand, []func(){wake})[0]
}

// newLoop returns a loop that is in no group yet.
func newLoop(now time.Time, cfg Config, rand io.Reader, wake func(), loops int) *Loop {
	l := &Loop{
		cfg: cfg, log: cfg.Logger, rand: rand, origin: now, policy: cfg.Policy,
		sessions: make(map[uint64]*session), streams: make(map[string]*stream), subs: make(map[*Subscription]struct{}), calls: make(map[string][]guest),
		mail: newMailbox(wake), packets: newPacketPool(), resets: resetRate, resetsAt: now,
	}
	if l.policy == nil { // one for all, since one goroutine drives them: what it works out for one player serves the others
		l.policy = transport.NewPlanner()
	}
	l.acceptor = transport.NewAcceptor(now, transport.AcceptorConfig{
		Key: cfg.Key, Cookies: crypto.NewCookieJar(cfg.Secret), ResetSecret: cfg.Secret, Rand: rand, ClockOrigin: now,
		Admit: l.admit, IdleTimeout: cfg.IdleTimeout, Rate: cfg.HandshakeRate / float64(loops),
	})
	l.housekeep.ring = l.clean
	l.listen.ring = l.lookForSilence
	l.tell.ring = l.tellChange
	l.stopAlarm.ring = func(time.Time) {}
	l.alarms.set(&l.housekeep, now.Add(streamMemory))
	return l
}

// HandleTimeout does what is due.
func (l *Loop) HandleTimeout(now time.Time) {
	for a := l.alarms.due(now); a != nil; a = l.alarms.due(now) {
		a.ring(now)
	}
}

// Deadline is when HandleTimeout should be called next.
func (l *Loop) Deadline() time.Time { return l.alarms.next() }

// RunMail runs what other goroutines have handed over.
func (l *Loop) RunMail(now time.Time) { l.mail.run(now) }

// Poll writes the next datagrams into buf, at least wire.MaxDatagram bytes, as transport.Conn's does.
func (l *Loop) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	l.parcels.send(l.group)
	if len(l.replies) > 0 {
		r := l.replies[0]
		l.replies = l.replies[1:]
		n := copy(buf, r.b)
		return l.transmit(transport.Transmit{Path: r.to, Size: n, Segment: n}), true
	}
	for l.next < len(l.dirty) { // draining may append more
		s := l.dirty[l.next]
		s.drain(now)
		if t, ok := s.conn.Poll(now, buf); ok {
			return l.transmit(t), true
		}
		s.drain(now)
		s.dirty = false
		l.dirty[l.next] = nil
		l.next++
		if s.conn.Closed() {
			l.remove(now, s)
		} else {
			l.alarms.set(&s.alarm, s.conn.Deadline())
		}
	}
	l.dirty, l.next = l.dirty[:0], 0
	for sub := range l.subs {
		sub.flush(now)
	}
	return transport.Transmit{}, false
}

func (l *Loop) transmit(t transport.Transmit) transport.Transmit {
	l.stats.DatagramsOut += uint64((t.Size + t.Segment - 1) / t.Segment)
	l.stats.BytesOut += uint64(t.Size)
	return t
}

// HandleDatagram takes one datagram to its session. It decrypts in place and keeps nothing of b.
func (l *Loop) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	l.stats.DatagramsIn++
	l.stats.BytesIn += uint64(len(b))
	switch wire.KindOf(b) {
	case wire.KindInit:
		l.init(now, from, b)
	case wire.KindData:
		h, err := wire.ParseDataHeader(b)
		if err != nil {
			l.stats.Malformed++
			return
		}
		if owner := l.group.owner(h.Session); owner != nil && owner != l {
			l.handOver(owner, from, b)
			return
		}
		l.data(now, from, h.Session, b)
	default:
		l.stats.Malformed++
	}
}

// data takes a data packet to its session.
func (l *Loop) data(now time.Time, from transport.Path, id uint64, b []byte) {
	s := l.sessions[id]
	if s == nil && l.mail.waiting() { // the session itself may have been handed over a moment ago
		l.mail.run(now)
		s = l.sessions[id]
	}
	if s == nil {
		l.unknown(now, from, id, len(b))
		return
	}
	s.conn.HandleDatagram(now, from, b)
	s.drain(now)
	l.touch(s)
}

// init takes an INIT.
func (l *Loop) init(now time.Time, from transport.Path, b []byte) {
	out, conn, req := l.acceptor.Handle(now, from, b, nil)
	if conn != nil {
		token, err := l.cfg.Tokens.Verify(now, req.Token, actionOf(req.Role), req.Stream)
		if err != nil { // it was valid a moment ago, in admit
			conn.Abandon()
			return
		}
		if owner := l.group.home(req.Stream); owner == l {
			l.adopt(conn, token)
		} else if !owner.mail.hand(func(time.Time) { owner.adopt(conn, token) }) { // before its client can have the answer
			conn.Abandon()
			return
		}
	}
	l.reply(out, from)
}

// adopt takes a session in whose handshake this or another loop has done.
func (l *Loop) adopt(conn *transport.Conn, token crypto.Token) {
	s := &session{loop: l, conn: conn, presence: presence{token: token, id: conn.LocalID()}}
	s.alarm.ring = func(now time.Time) {
		s.conn.HandleTimeout(now)
		s.drain(now)
		l.touch(s)
	}
	if l.stopping || l.sessions[s.id] != nil || !l.group.floors.admits(&token) {
		conn.Abandon() // as in admit, just before; a client that comes again is told why not
		return
	}
	l.group.sessions.Add(1)
	l.sessions[s.id] = s
	l.enter(s)
	l.touch(s)
}

// unknown answers data for a session that does not exist with a RESET, shorter than what came.
func (l *Loop) unknown(now time.Time, from transport.Path, id uint64, size int) {
	l.stats.Unknown++
	l.resets = min(resetRate, l.resets+now.Sub(l.resetsAt).Seconds()*resetRate)
	l.resetsAt = now
	if l.resets < 1 || size <= wire.ResetSize || l.stopping {
		return
	}
	l.resets--
	l.stats.Resets++
	l.reply(wire.AppendReset(nil, id, crypto.ResetValue(l.cfg.Secret, id)), from)
}

func (l *Loop) reply(b []byte, to transport.Path) {
	if len(b) > 0 && len(l.replies) < maxReplies {
		l.replies = append(l.replies, reply{to: to, b: b})
	}
}

// touch puts a session on the list of those to flush.
func (l *Loop) touch(s *session) {
	if !s.dirty {
		s.dirty = true
		l.dirty = append(l.dirty, s)
	}
}

// remove forgets a session.
func (l *Loop) remove(now time.Time, s *session) {
	id := s.conn.LocalID()
	if l.sessions[id] != s {
		return
	}
	delete(l.sessions, id)
	l.group.sessions.Add(-1)
	l.alarms.remove(&s.alarm)
	st := s.conn.Stats()
	for i, n := range st.Dropped {
		l.stats.Dropped[i] += n
	}
	if s.stream != nil {
		s.closed(now, wire.CloseOK, transport.CauseLocal)
	}
	l.exit(now, &s.presence)
}

// open finds or makes a stream; nil at the limit.
func (l *Loop) open(name string) *stream {
	if st := l.streams[name]; st != nil {
		return st
	}
	if l.group.streams.Add(1) > int64(l.cfg.MaxStreams) {
		l.group.streams.Add(-1)
		return nil
	}
	st := &stream{name: name, loop: l}
	l.streams[name] = st
	return st
}

// forget drops a stream that nobody uses; one whose publisher vanished in mid-run is remembered for streamMemory.
func (l *Loop) forget(now time.Time, st *stream) {
	if st.pub == nil && len(st.players) == 0 && (!st.live || now.Sub(st.idleAt) >= streamMemory) {
		st.cache.reset()
		delete(l.streams, st.name)
		l.group.streams.Add(-1)
	}
}

// clean forgets what nobody came back to.
func (l *Loop) clean(now time.Time) {
	for _, st := range l.streams {
		if st.pub == nil && st.live && now.Sub(st.idleAt) >= streamMemory {
			st.end(now, &wire.Control{Type: wire.ControlEnd, Order: st.next})
			st.live = false
		}
		l.forget(now, st)
	}
	l.group.floors.forget(now)
	l.alarms.set(&l.housekeep, now.Add(streamMemory/4))
}

// shutdown tells everybody and stops soon after.
func (l *Loop) shutdown(now time.Time) {
	if l.stopping {
		return
	}
	l.stopping, l.stopAt = true, now.Add(shutdownGrace)
	for _, s := range l.sessions {
		s.conn.Close(now, wire.CloseShutdown, "the relay is going down")
		l.touch(s)
	}
	l.alarms.set(&l.stopAlarm, l.stopAt)
}

// stopped reports whether a shutdown is complete.
func (l *Loop) stopped(now time.Time) bool {
	return l.stopping && (len(l.sessions) == 0 || !now.Before(l.stopAt))
}

// release ends what is local and gives packets back, after the loop has stopped.
func (l *Loop) release() {
	for _, s := range l.sessions {
		s.conn.Abandon()
	}
	for sub := range l.subs {
		sub.stop(ErrStopped)
	}
	for _, st := range l.streams {
		if p, ok := st.pub.(*Publication); ok {
			p.finish(ErrStopped)
		}
		st.cache.drop()
	}
}

// Snapshot returns the counters.
func (l *Loop) Snapshot() Stats {
	s := l.stats
	s.Loops, s.Sessions, s.Streams = 1, len(l.sessions), len(l.streams)
	s.Floors, s.FloorsRefused = l.group.floors.counts()
	for _, st := range l.streams {
		s.Players += len(st.players)
	}
	for _, c := range l.sessions {
		cs := c.conn.Stats()
		for i, n := range cs.Dropped {
			s.Dropped[i] += n
		}
		s.Sent.PacketsSent += cs.PacketsSent
		s.Sent.Retransmits += cs.Retransmits
		s.Sent.RepairsSent += cs.RepairsSent
	}
	s.Handshakes = l.acceptor.Stats()
	s.MediaIn, s.MediaBytesIn = l.media, l.mediaIn
	s.PacketsLive = l.packets.live.Load()
	return s
}
