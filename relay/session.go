package relay

import (
	"errors"
	"math"
	"time"

	"duet/transport"
	"duet/transport/wire"
)

// STATUS codes that the relay sends; the numbers are those of pushers and players in the field.
const (
	codePushBegins = wire.StatusPushBegins
	codePlaying    = 2002 // the stream is live
	codeWaiting    = 2007 // there is no pusher at present
)

// clockInterval is how often a publisher's clock is looked at.
const clockInterval = 500 * time.Millisecond

// session is a client's session with its place in the relay. It belongs to the loop.
type session struct {
	presence
	loop   *Loop
	conn   *transport.Conn
	stream *stream // set once confirmed
	alarm  alarm
	dirty  bool
	ended  bool // publisher: END was said

	clockAt  time.Time // publisher: when to look at the clock again
	first    uint64    // player: order of its START
	skipping bool      // player: its queue is full, media is dropped until a key frame
	skipFrom uint64
	thin     thinning  // player
	blind    blindness // player
}

// drain handles the session's events.
func (s *session) drain(now time.Time) {
	for {
		e, ok := s.conn.PollEvent()
		if !ok {
			return
		}
		switch e.Kind {
		case transport.EventConfirmed:
			s.confirmed(now)
		case transport.EventPacket:
			if s.stream != nil && s.stream.pub == publisher(s) {
				s.stream.packet(now, e.Packet)
			}
			e.Packet.Release()
		case transport.EventControl:
			if s.stream != nil {
				m := e.Control // a copy: a pointer to e would put every event on the heap
				s.handleControl(now, &m)
			}
		case transport.EventClosed:
			s.closed(now, e.Code, e.Cause)
		case transport.EventBitrate:
			if s.stream != nil {
				s.stream.updateBitrate(now)
			}
		case transport.EventPath:
			s.loop.stats.Migrations++
		}
		if s.stream != nil && s.stream.pub == publisher(s) && !now.Before(s.clockAt) {
			if s.stream.updateClock(now) {
				s.clockAt = now.Add(clockInterval)
			}
			s.stream.updateArrival(now)
		}
	}
}

// confirmed puts the client, who has now shown that it has the keys, into its place.
func (s *session) confirmed(now time.Time) {
	s.loop.stats.Confirmed++
	st := s.loop.open(s.token.Stream)
	if st == nil {
		s.conn.Close(now, wire.CloseLimit, "the relay has as many streams as it may have; try again later")
		return
	}
	if s.conn.Role() == wire.RolePlay {
		if len(st.players) >= s.loop.cfg.MaxPlayers {
			s.conn.Close(now, wire.CloseLimit, "the stream has as many players as it may have; try again later")
			s.loop.forget(now, st)
			return
		}
		s.stream = st
		st.join(now, s)
		s.loop.arrive(now, &s.presence)
		return
	}
	s.stream = st
	if !st.publish(now, s) {
		s.stream = nil
		s.conn.Close(now, wire.CloseBusy, "another party pushes this stream")
		return
	}
	s.loop.arrive(now, &s.presence)
}

// handleControl takes what the client says on the control stream.
func (s *session) handleControl(now time.Time, m *wire.Control) {
	if s.conn.Role() == wire.RolePlay {
		if m.Type == wire.ControlKeyFrame {
			s.stream.requestKeyFrame(now)
		}
		return
	}
	if s.stream.pub != publisher(s) {
		return
	}
	switch m.Type {
	case wire.ControlStart:
		s.ended = false
		s.stream.start(now, m)
	case wire.ControlSkip:
		s.stream.skip(now, m)
	case wire.ControlRecord:
		s.stream.record(now, m)
	case wire.ControlEnd:
		s.stream.end(now, m)
	default:
	}
}

// closed takes the session out of everything.
func (s *session) closed(now time.Time, code wire.CloseCode, cause transport.CloseCause) {
	if st := s.stream; st != nil {
		s.stream = nil
		if s.conn.Role() == wire.RolePlay {
			st.leave(now, s)
		} else {
			st.unpublish(now, s)
		}
		s.loop.depart(now, &s.presence)
		s.loop.log.Info("session over", "stream", st.name, "role", s.conn.Role().String(), "code", code.String(), "cause", causeNames[cause])
	}
}

var causeNames = [...]string{
	transport.CauseLocal: "closed here", transport.CauseRemote: "closed by the client", transport.CauseTimeout: "timeout",
	transport.CauseReset: "reset", transport.CauseInternal: "internal",
}

// As a guest.

func (s *session) here() *presence { return &s.presence }

func (s *session) pushes() bool { return s.conn.Role() == wire.RolePush }

func (s *session) heard(time.Time) time.Time { return s.conn.LastHeard() }

// revoke takes the session out of its place at once; its CLOSE may still be on the way.
func (s *session) revoke(now time.Time) {
	s.conn.Close(now, wire.CloseRevoked, revoked)
	s.closed(now, wire.CloseRevoked, transport.CauseLocal)
	s.loop.touch(s)
}

// As a publisher.

func (s *session) who() string { return s.token.Party }

func (s *session) replaced(now time.Time) {
	s.stream = nil
	s.loop.depart(now, &s.presence)
	s.conn.Close(now, wire.CloseReplaced, "a newer session of the same party pushes this stream")
	s.loop.touch(s)
}

func (s *session) requestKeyFrame(now time.Time) {
	s.send(now, &wire.Control{Type: wire.ControlKeyFrame})
}

func (s *session) publishing(now time.Time) {
	m := &wire.Control{Type: wire.ControlStatus, Code: codePushBegins}
	if s.stream.live {
		m.Instance, m.Order = s.stream.run, s.stream.next
	}
	s.send(now, m)
}

func (s *session) clockOffset(now time.Time) (time.Duration, bool) { return s.conn.PeerClock(now) }

func (s *session) setArrival(now time.Time, d time.Duration, final bool) {
	s.send(now, &wire.Control{Type: wire.ControlArrival, Arrival: uint32(d / time.Millisecond), Final: final})
}

func (s *session) setBitrate(now time.Time, bps int64) {
	s.send(now, &wire.Control{Type: wire.ControlBitrate, Bitrate: uint32(min(bps, math.MaxUint32))})
}

// As an audience.

// begin sends a run from the join point on: START, the records that go with it, the cached packets.
func (s *session) begin(now time.Time, st *stream) {
	order, seq := st.joinPoint()
	s.first, s.skipping, s.blind, s.thin = order, false, blindness{on: st.needsKey()}, thinning{}
	s.send(now, &wire.Control{Type: wire.ControlStart, Instance: st.run, Order: order, Seq: seq})
	s.send(now, &wire.Control{Type: wire.ControlStatus, Code: codePlaying})
	if st.clockOK {
		s.clock(now, st.offset)
	}
	for i := range st.cache.records {
		s.send(now, recordMessage(&st.cache.records[i]))
	}
	for i := range st.cache.skips {
		s.send(now, &st.cache.skips[i])
	}
	for i, p := range st.cache.packets {
		s.packet(now, p, st.cache.orders[i])
	}
}

func (s *session) packet(now time.Time, p *transport.Packet, order uint64) {
	if order < s.first {
		return
	}
	if drop, skip := s.blind.drops(p, order); drop {
		if skip {
			s.send(now, &wire.Control{Type: wire.ControlSkip, Order: order, Count: 1})
		}
		return
	}
	if drop, skip := s.thin.drops(now, &p.Header, order, s.conn); drop {
		if skip {
			s.loop.stats.FramesThinned++
			if s.thin.tail {
				s.stream.requestKeyFrame(now)
			}
			s.send(now, &wire.Control{Type: wire.ControlSkip, Order: order, Count: 1})
		}
		return
	}
	if s.skipping {
		if !p.Header.Key || s.conn.QueuedBytes() > maxPlayerQueue/2 {
			return
		}
		s.skipping = false
		if order > s.skipFrom {
			s.send(now, &wire.Control{Type: wire.ControlSkip, Order: s.skipFrom, Count: uint32(order - s.skipFrom)})
		}
		s.first = order
	}
	if s.conn.QueuedBytes() > maxPlayerQueue || errors.Is(s.conn.Send(now, p), transport.ErrQueueFull) {
		s.skipping, s.skipFrom = true, order
		s.loop.stats.PlayerSkips++
		s.stream.requestKeyFrame(now)
	}
	s.loop.touch(s)
}

// maxPlayerQueue is how much a slow player may have waiting before it skips to the next key frame. The cache fits in.
const maxPlayerQueue = maxCacheBytes + 1<<20

func (s *session) control(now time.Time, m *wire.Control) {
	s.send(now, m)
}

func (s *session) clock(now time.Time, offset time.Duration) {
	s.conn.SetStreamClock(offset)
	ours := s.conn.Clock(now)
	s.send(now, &wire.Control{Type: wire.ControlClock, Clock: [2]uint64{
		uint64((ours + offset) / time.Microsecond), uint64(ours / time.Microsecond),
	}})
}

// arrival leaves this player's hop the time for one report and its answer, if it loses anything.
func (s *session) arrival() (d time.Duration, final bool) {
	st, aim := s.conn.Stats(), s.conn.Aim()
	if st.Loss < lossless {
		return max(aim-st.RTT/2, minArrival), aim == s.conn.Budget()
	}
	return max(aim-st.RTT-st.RTT/2-transport.RepairMargin, minArrival), false
}

// lossless is a share of packets lost that needs no time to repair.
const lossless = 1e-3

func (s *session) bitrate() int64 {
	if !s.conn.BitrateKnown() {
		return 0
	}
	return s.conn.Bitrate()
}

// minArrival is asked for at the least: less than the way itself takes can't be met.
const minArrival = 20 * time.Millisecond

func (s *session) waiting(now time.Time) {
	s.send(now, &wire.Control{Type: wire.ControlStatus, Code: codeWaiting})
}

// send puts a message on the control stream. A client that lets it fill up is not reading any more.
func (s *session) send(now time.Time, m *wire.Control) {
	if err := s.conn.SendControl(now, m); err != nil && !errors.Is(err, transport.ErrClosed) {
		s.conn.Close(now, wire.CloseProtocol, "the control stream is not being read")
	}
	s.loop.touch(s)
}
