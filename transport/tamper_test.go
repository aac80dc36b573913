package transport_test

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// recorded is a datagram as it was sent.
type recorded struct {
	from netip.AddrPort
	b    []byte
}

// record notes every datagram of a session.
func record(s *session) *[]recorded {
	log := &[]recorded{}
	s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
		*log = append(*log, recorded{from: from, b: slices.Clone(b)})
		return [][]byte{b}
	}
	return log
}

// talk is a short session with everything in it: handshake, control, audio, video, a report of a loss, an end, a close.
func talk(s *session) {
	s.connect()
	s.net.Run(300 * time.Millisecond)
	s.start()
	s.push(9, []byte("\x17\x00configuration"))
	s.key(2500)
	s.audio(80)
	s.net.Run(60 * time.Millisecond)
	s.video(1500)
	s.finish(2 * time.Second)
	s.wantAll()
	s.client.Close(s.net.Now(), wire.CloseOK, "done")
	s.net.Kick(s.addr)
	s.net.Run(time.Second)
	for side, e := range s.closed {
		if e == nil || e.Code != wire.CloseOK {
			s.t.Errorf("side %d closed with %+v", side, e)
		}
	}
}

var oneWay25 = netem.Config{Delay: 25 * time.Millisecond}

// inject gives a datagram to the one it was for and reports how many drops that made, of the Conn and of the relay's acceptor.
func inject(s *session, d recorded, b []byte) (dropped uint64) {
	now := s.net.Now()
	if d.from == transporttest.RelayAddr {
		before := drops(s.client)
		s.client.HandleDatagram(now, transport.Path{Addr: transporttest.RelayAddr}, b)
		return drops(s.client) - before
	}
	path := transport.Path{Addr: d.from}
	before := s.relay.Acceptor.Stats()
	if wire.KindOf(d.b) == wire.KindInit {
		_, conn, _ := s.relay.Acceptor.Handle(now, path, b, nil)
		if conn != nil {
			s.t.Fatal("a session came of it")
		}
		after := s.relay.Acceptor.Stats()
		return after.Dropped + after.Retries + after.Repeated - before.Dropped - before.Retries - before.Repeated
	}
	c := s.relay.Conn()
	sum := drops(c)
	c.HandleDatagram(now, path, b)
	return drops(c) - sum
}

// TestEveryFlippedBitIsDropped gives every datagram of a session to its receiver with each of its bits flipped in turn, ahead of
// the genuine one.
func TestEveryFlippedBitIsDropped(t *testing.T) {
	for _, role := range []wire.Role{wire.RolePush, wire.RolePlay} {
		t.Run(role.String(), func(t *testing.T) {
			s := newSession(t, options{role: role, up: oneWay25, down: oneWay25, relay: func(c *transport.AcceptorConfig) { c.Rate = 1e6 }})
			flips := 0
			copied := make([]byte, wire.MaxDatagram)
			s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
				step := 1
				if wire.KindOf(b) == wire.KindInit {
					step = 7 // every flip is a public-key operation; no two neighbours of eight are alike
				}
				d := recorded{from: from, b: b}
				closed := s.client.Closed() || len(s.relay.Conns) > 0 && s.relay.Conn().Closed()
				for bit := 0; bit < len(b)*8 && !closed; bit += step {
					flipped := copied[:copy(copied, b)]
					flipped[bit/8] ^= 1 << (bit % 8)
					if n := inject(s, d, flipped); n != 1 {
						t.Fatalf("bit %d of a datagram of kind %d, %d bytes: %d drops", bit, wire.KindOf(b), len(b), n)
					}
					flips++
				}
				return [][]byte{b}
			}
			talk(s)
			if flips < 20_000 {
				t.Errorf("only %d flips", flips)
			}
			if len(s.relay.Conns) != 1 {
				t.Errorf("%d sessions", len(s.relay.Conns))
			}
		})
	}
}

// TestEveryReplayIsDropped sends every datagram twice, and all of them again at the end.
func TestEveryReplayIsDropped(t *testing.T) {
	for _, role := range []wire.Role{wire.RolePush, wire.RolePlay} {
		t.Run(role.String(), func(t *testing.T) {
			s := newSession(t, options{role: role, up: oneWay25, down: oneWay25})
			var log []recorded
			s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
				log = append(log, recorded{from: from, b: slices.Clone(b)})
				return [][]byte{b, b}
			}
			s.connect()
			s.net.Run(300 * time.Millisecond)
			s.start()
			s.key(2500)
			s.audio(80)
			s.net.Run(100 * time.Millisecond)
			s.video(1500)
			s.finish(2 * time.Second)
			s.wantAll()
			released := s.released
			s.net.Run(time.Second)
			replayed := slices.Clone(log)
			for i, d := range replayed {
				if n := inject(s, d, slices.Clone(d.b)); n != 1 {
					t.Fatalf("datagram %d of kind %d: %d drops", i, wire.KindOf(d.b), n)
				}
			}
			s.net.Run(time.Second)
			if s.released != released || s.closed != [2]*transport.Event{} || !s.client.Open() || !s.relay.Conn().Open() {
				t.Errorf("released %d more, closed %v", s.released-released, s.closed)
			}
			if got := s.relay.Conn().Stats().PacketsReceived + s.client.Stats().PacketsReceived; got != uint64(3+1+2) {
				t.Errorf("%d packets", got)
			}
		})
	}
}

// TestReplayedInitTakesOverNothing replays a first message after the half-open time: nothing is confirmed by it, and it dies.
func TestReplayedInitTakesOverNothing(t *testing.T) {
	s := newSession(t, options{up: oneWay25, down: oneWay25})
	log := record(s)
	s.connect()
	genuine := s.relay.Conn()
	s.net.Run(5 * time.Second)
	confirmed := s.confirmed
	s.relay.HandleDatagram(s.net.Now(), transport.Path{Addr: netip.MustParseAddrPort("203.0.113.1:1")}, slices.Clone((*log)[0].b))
	if len(s.relay.Conns) != 2 {
		t.Fatalf("%d sessions, want a half-open one", len(s.relay.Conns))
	}
	// Its datagrams of then do not open under the keys of now.
	for _, d := range *log {
		if d.from == s.addr {
			s.relay.Conn().HandleDatagram(s.net.Now(), transport.Path{Addr: s.addr}, slices.Clone(d.b))
		}
	}
	s.net.Run(3100 * time.Millisecond)
	if !s.relay.Conn().Closed() || !s.confirmed.Equal(confirmed) || !genuine.Open() {
		t.Errorf("replayed: closed=%v confirmed=%v; genuine open=%v", s.relay.Conn().Closed(), !s.confirmed.Equal(confirmed), genuine.Open())
	}
}

// TestConfirmationFromElsewhere has the first data packet come from another address than the INIT: that alone makes the
// session real, and gives that address nothing.
func TestConfirmationFromElsewhere(t *testing.T) {
	s := newSession(t, options{role: wire.RolePlay, up: oneWay25, down: oneWay25})
	var first []byte
	toElsewhere := 0
	elsewhere := netip.MustParseAddrPort("203.0.113.1:1")
	s.net.Tap = func(from, to netip.AddrPort, b []byte) [][]byte {
		if from == s.addr && wire.KindOf(b) == wire.KindData && first == nil {
			first = slices.Clone(b)
			return nil
		}
		if to == elsewhere {
			toElsewhere += len(b)
		}
		return [][]byte{b}
	}
	s.net.Kick(s.addr)
	s.net.RunUntil(time.Second, func() bool { return first != nil })
	size := len(first)
	s.relay.HandleDatagram(s.net.Now(), transport.Path{Addr: elsewhere}, first)
	s.net.Kick(transporttest.RelayAddr)
	if s.confirmed.IsZero() {
		t.Fatal("not confirmed")
	}
	s.relay.Conn().SetStreamClock(0)
	s.start()
	s.key(5000)
	s.net.Run(time.Second)
	if toElsewhere > size {
		t.Errorf("%d bytes went to an address that sent %d and answered no challenge", toElsewhere, size)
	}
	s.finish(time.Second)
	s.wantAll()
}

// TestChallengeFromElsewhere has a client use the relay as a reflector: a challenge from somebody else's address gets the answer and
// nothing else that waits to be sent.
func TestChallengeFromElsewhere(t *testing.T) {
	s := newSession(t, options{role: wire.RolePlay, up: oneWay25, down: oneWay25})
	s.connect()
	s.net.Run(time.Second)
	victim := transport.Path{Addr: netip.MustParseAddrPort("203.0.113.1:1")}
	now, relay := s.net.Now(), s.relay.Conn()
	for range 3 {
		if err := relay.SendControl(now, &wire.Control{Type: wire.ControlRecord, Data: make([]byte, 2000)}); err != nil {
			t.Fatal(err)
		}
	}
	b := s.client.SealPlain(now, wire.AppendPath(wire.AppendPing(nil, 1), wire.FramePathChallenge, [8]byte{1}))
	size := len(b)
	relay.HandleDatagram(now, victim, b)
	got := 0
	var buf [8 * wire.MaxDatagram]byte
	for {
		tr, ok := relay.Poll(now, buf[:])
		if !ok {
			break
		}
		if tr.Path == victim {
			got += tr.Size
		}
	}
	if got == 0 || got > size {
		t.Errorf("a challenge of %d bytes gave %d", size, got)
	}
}

// shares reports whether a run of 16 bytes of b is in a set.
func shares(set map[[16]byte]bool, b []byte) bool {
	for i := 0; i+16 <= len(b); i++ {
		if set[[16]byte(b[i:i+16])] {
			return true
		}
	}
	return false
}

func TestNothingOnTheWireRepeats(t *testing.T) {
	logs := [2]*[]recorded{}
	for i := range logs {
		s := newSession(t, options{seed: uint64(i), up: oneWay25, down: oneWay25})
		logs[i] = record(s)
		talk(s)
	}
	set := make(map[[16]byte]bool)
	add := func(b []byte) {
		for i := 0; i+16 <= len(b); i++ {
			set[[16]byte(b[i:i+16])] = true
		}
	}
	body := (&session{}).body(1, true, 2500)
	add(body)
	add([]byte("\x17\x00configuration"))
	for i, d := range *logs[0] {
		if shares(set, d.b) {
			t.Errorf("datagram %d shows 16 bytes of what was sent", i)
		}
	}
	for _, d := range *logs[0] {
		if k := wire.KindOf(d.b); k == wire.KindData {
			add(d.b[wire.DataHeaderSize:])
		} else {
			add(d.b[wire.HandshakeHeader:])
		}
	}
	for i, d := range *logs[1] {
		if k := wire.KindOf(d.b); k == wire.KindData && shares(set, d.b[wire.DataHeaderSize:]) || k != wire.KindData && shares(set, d.b[wire.HandshakeHeader:]) {
			t.Errorf("datagram %d of the second session has 16 bytes of the first's", i)
		}
	}
}

// TestSameSeedSameBytes runs a lossy call twice and compares every datagram.
func TestSameSeedSameBytes(t *testing.T) {
	run := func(seed uint64) (sum [32]byte, n int) {
		lossy := netem.Config{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.1}
		s := newSession(t, options{seed: seed, up: lossy, down: lossy})
		h := sha256.New()
		s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
			text, _ := from.MarshalBinary()
			h.Write(text)
			h.Write(b)
			n++
			return [][]byte{b}
		}
		s.connect()
		s.start()
		s.call(2*time.Second, 4000)
		s.finish(3 * time.Second)
		return [32]byte(h.Sum(nil)), n
	}
	first, n := run(7)
	second, _ := run(7)
	other, _ := run(8)
	if first != second || first == other || n < 300 {
		t.Errorf("%d datagrams; same seed same bytes: %v; other seed same bytes: %v", n, first == second, first == other)
	}
}
