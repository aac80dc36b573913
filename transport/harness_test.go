package transport_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// session is a client and a relay over an emulated network, with a stream going from the one that sends to the one that
// receives. It checks as it goes: what is released was sent, is intact, comes in order, and comes once.
type session struct {
	t      testing.TB
	net    *transporttest.Network
	relay  *transporttest.RelayEnd
	client *transport.Conn
	cfg    transport.Config
	addr   netip.AddrPort // the client's

	packetizer *rtmpchunk.Packetizer
	sent       map[uint64]sentMessage
	payload    byte

	playout  *transport.Playout
	released int
	skipped  uint64
	next     uint64 // lowest order that may still be released
	ended    bool
	delays   []time.Duration

	controls  []wire.Control // taken by the receiver or the sender, whichever they were for
	closed    [2]*transport.Event
	accepted  time.Time
	confirmed time.Time
	paths     int

	log func(who, text string) // nil: silent
}

type sentMessage struct {
	typ       uint8
	timestamp uint32
	payload   []byte
}

// options of a session; the zero value is a pusher on a perfect link.
type options struct {
	role     wire.Role
	seed     uint64
	up, down netem.Config
	maxDelay time.Duration
	client   func(*transport.Config)
	relay    func(*transport.AcceptorConfig)
}

func newSession(t testing.TB, o options) *session {
	t.Helper()
	if o.role == 0 {
		o.role = wire.RolePush
	}
	if o.maxDelay == 0 {
		o.maxDelay = time.Second
	}
	s := &session{
		t: t, net: transporttest.NewNetwork(), addr: transporttest.ClientAddr,
		packetizer: newPacketizer(), sent: make(map[uint64]sentMessage),
	}
	now := s.net.Now()
	s.relay = transporttest.NewRelayEndWith(now, 1000+o.seed, func(cfg *transport.AcceptorConfig) {
		if o.relay != nil {
			o.relay(cfg)
		}
	})
	s.cfg = transporttest.ClientConfig(o.role, 2000+o.seed)
	if o.client != nil {
		o.client(&s.cfg)
	}
	var err error
	if s.client, err = transport.New(now, s.cfg); err != nil {
		t.Fatal(err)
	}
	s.net.Add(transporttest.ClientAddr, s.client, func(now time.Time) { s.drain(now) })
	s.net.Add(transporttest.RelayAddr, s.relay, func(now time.Time) { s.drain(now) })
	o.up.Seed, o.down.Seed = o.up.Seed+3*o.seed+1, o.down.Seed+3*o.seed+2
	s.net.Join(transporttest.ClientAddr, transporttest.RelayAddr, o.up, o.down)
	s.playout = transport.NewPlayout(o.maxDelay, now)
	if o.role == wire.RolePush {
		s.client.SetStreamClock(0)
	}
	return s
}

func (s *session) say(who, format string, args ...any) {
	if s.log != nil {
		s.log(who, fmt.Sprintf(format, args...))
	}
}

// connect runs the handshake.
func (s *session) connect() {
	s.t.Helper()
	s.net.Kick(s.addr)
	if !s.net.RunUntil(5*time.Second, func() bool { return !s.confirmed.IsZero() }) {
		s.t.Fatal("no session within 5 s")
	}
	if s.cfg.Role == wire.RolePlay {
		s.relay.Conn().SetStreamClock(0)
	}
}

func (s *session) sender() *transport.Conn {
	if s.cfg.Role == wire.RolePush {
		return s.client
	}
	return s.relay.Conn()
}

func (s *session) receiver() *transport.Conn {
	if s.cfg.Role == wire.RolePush {
		return s.relay.Conn()
	}
	return s.client
}

func (s *session) senderAddr() netip.AddrPort {
	if s.cfg.Role == wire.RolePush {
		return s.addr
	}
	return transporttest.RelayAddr
}

// start sends START.
func (s *session) start() {
	s.t.Helper()
	s.control(&wire.Control{
		Type: wire.ControlStart, Instance: s.packetizer.Instance(), Order: s.packetizer.Next(),
		Seq: [2]uint16{s.packetizer.NextSeq(rtmpchunk.Audio), s.packetizer.NextSeq(rtmpchunk.Video)},
	})
}

// control sends a message of the sender's.
func (s *session) control(m *wire.Control) {
	s.t.Helper()
	if err := s.sender().SendControl(s.net.Now(), m); err != nil {
		s.t.Fatalf("SendControl: %v", err)
	}
	s.net.Kick(s.senderAddr())
}

// body makes a video or audio frame of a size, unlike any other.
func (s *session) body(kind rtmpchunk.Kind, key bool, size int) []byte {
	b := make([]byte, max(size, 6))
	head := []byte{0xaf, 1}
	if kind == rtmpchunk.Video {
		head = []byte{0x27, 1, 0, 0, 0}
		if key {
			head[0] = 0x17
		}
	}
	s.payload++
	for i := range b {
		b[i] = byte(i*7) ^ byte(i>>8) ^ s.payload
	}
	copy(b, head)
	return b
}

// push sends a message: a frame as packets, anything else as a record. It returns its order.
func (s *session) push(typ uint8, body []byte) uint64 {
	s.t.Helper()
	now := s.net.Now()
	order := s.packetizer.Next()
	m := rtmpchunk.Message{Type: typ, Timestamp: uint32(now.Sub(transporttest.Start) / time.Millisecond), Payload: body}
	s.sent[order] = sentMessage{typ: typ, timestamp: m.Timestamp, payload: bytes.Clone(body)}
	capture := transport.Ticks(s.sender().Clock(now))
	rec, err := s.packetizer.Push(m, capture, func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) }, func(p []byte, h rtmpchunk.Header) {
		if err := s.sender().Send(now, &transport.Packet{Header: h, Data: p}); err != nil {
			s.t.Fatalf("Send: %v", err)
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if rec != nil {
		s.control(&wire.Control{
			Type: wire.ControlRecord, Order: rec.Order, Slot: uint8(rec.Slot), ID: rec.ID, Message: rec.Type, Timestamp: rec.Timestamp, Data: rec.Body,
		})
	}
	s.net.Kick(s.senderAddr())
	return order
}

func (s *session) video(size int) uint64 { return s.push(9, s.body(rtmpchunk.Video, false, size)) }
func (s *session) key(size int) uint64   { return s.push(9, s.body(rtmpchunk.Video, true, size)) }
func (s *session) audio(size int) uint64 { return s.push(8, s.body(rtmpchunk.Audio, false, size)) }

// call pushes audio and video for a while: 30 frames a second of a size, a key frame twice as large every second.
func (s *session) call(d time.Duration, size int) {
	for i := 0; time.Duration(i)*33*time.Millisecond < d; i++ {
		if i%30 == 0 {
			s.key(2 * size)
		} else {
			s.video(size)
		}
		s.audio(200)
		s.net.Run(33 * time.Millisecond)
	}
}

// finish sends END and waits until the stream has come to its end.
func (s *session) finish(within time.Duration) {
	s.t.Helper()
	s.control(&wire.Control{Type: wire.ControlEnd, Order: s.packetizer.Next()})
	if !s.net.RunUntil(within, func() bool { s.poll(s.net.Now()); return s.ended }) {
		s.t.Fatalf("no end within %v: %d of %d released, %+v, next %d", within, s.released, len(s.sent), s.playout.Stats(), s.next)
	}
}

// drain takes the events of both ends.
func (s *session) drain(now time.Time) {
	for {
		e, ok := s.client.PollEvent()
		if !ok {
			break
		}
		s.event(now, 0, "client", s.client, &e)
	}
	for i, c := range s.relay.Conns {
		who := "relay"
		if i > 0 {
			who = fmt.Sprintf("relay/%d", i)
		}
		for {
			e, ok := c.PollEvent()
			if !ok {
				break
			}
			s.event(now, 1, who, c, &e)
		}
	}
	s.poll(now)
}

func (s *session) event(now time.Time, side int, who string, c *transport.Conn, e *transport.Event) {
	switch e.Kind {
	case transport.EventAccepted:
		s.accepted = now
		s.say(who, "accepted")
	case transport.EventConfirmed:
		s.confirmed = now
		s.say(who, "confirmed")
	case transport.EventPath:
		s.paths++
		s.say(who, "path is now %v", c.ActivePath().Addr)
	case transport.EventClosed:
		s.closed[side] = e
		cause := [...]string{"local", "remote", "timeout", "reset", "internal"}[e.Cause]
		s.say(who, "closed %v %q (%s)", e.Code, e.Reason, cause)
	case transport.EventPacket:
		s.playout.Packet(now, e.Packet)
	case transport.EventControl:
		m := e.Control
		switch m.Type {
		case wire.ControlStart:
			s.playout.Start(now, &m)
		case wire.ControlRecord:
			s.playout.Record(now, &m)
		case wire.ControlSkip:
			s.playout.Skip(&m)
		case wire.ControlEnd:
			s.playout.End(now, &m)
		}
		s.controls = append(s.controls, m)
		s.say(who, "got %s", transporttest.DescribeControl(&m))
	}
}

// poll takes out what the playout releases and compares it with what was sent.
func (s *session) poll(now time.Time) {
	if len(s.relay.Conns) > 0 && !s.receiver().Closed() {
		if offset, ok := s.receiver().PeerClock(now); ok {
			s.playout.SetClock(offset)
		}
	}
	for {
		r, ok := s.playout.Poll(now)
		if !ok {
			break
		}
		switch r.Kind {
		case transport.ReleaseRun:
			s.say("playout", "run begins")
		case transport.ReleaseEnd:
			s.ended = true
			s.say("playout", "end")
		case transport.ReleaseMessage:
			s.release(now, &r)
		}
	}
	stats := s.playout.Stats()
	if n := stats.Skipped[0] + stats.Skipped[1]; n != s.skipped {
		s.say("playout", "skipped %d", n-s.skipped)
		s.skipped = n
	}
}

func (s *session) release(now time.Time, r *transport.Release) {
	s.t.Helper()
	s.released++
	if !r.Media {
		s.say("playout", "record of %d bytes", len(r.Message.Payload))
		return
	}
	order := s.next + uint64(r.Header.Order-uint16(s.next))
	want, sent := s.sent[order]
	if !sent || want.typ != r.Message.Type || want.timestamp != r.Message.Timestamp || !bytes.Equal(want.payload, r.Message.Payload) {
		s.t.Fatalf("message %d was released as something else than what was sent", order)
	}
	s.next = order + 1
	delete(s.sent, order) // so that a second release fails
	delay := now.Sub(r.Captured)
	if !r.Captured.IsZero() {
		s.delays = append(s.delays, delay)
	}
	gap := ""
	if r.Gap {
		gap = " after a gap"
	}
	s.say("playout", "%v order=%d bytes=%d%s", r.Header.Kind, order, len(r.Message.Payload), gap)
}

// wantAll fails unless everything was released.
func (s *session) wantAll() {
	s.t.Helper()
	st := s.playout.Stats()
	if s.skipped != 0 || s.released == 0 || uint64(s.released) != s.packetizer.Next() {
		s.t.Errorf("released %d of %d messages, skipped %d; playout %+v", s.released, s.packetizer.Next(), s.skipped, st)
	}
}

// drops sums up what a Conn dropped, by reason.
func drops(c *transport.Conn) (sum uint64) {
	for _, n := range c.Stats().Dropped {
		sum += n
	}
	return sum
}

func newPacketizer() *rtmpchunk.Packetizer { return rtmpchunk.NewPacketizer(42) }
