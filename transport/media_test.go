package transport_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

func TestEveryFrameArrivesUnderLoss(t *testing.T) {
	for _, role := range []wire.Role{wire.RolePush, wire.RolePlay} {
		for _, loss := range []float64{0, 0.05, 0.2} {
			lossy := netem.Config{Delay: 25 * time.Millisecond, Loss: loss}
			s := newSession(t, options{role: role, seed: 5, up: lossy, down: lossy})
			s.connect()
			s.net.Run(500 * time.Millisecond)
			s.start()
			s.call(10*time.Second, 6000)
			s.finish(2 * time.Second)
			s.wantAll()
			if worst := slices.Max(s.delays); worst > time.Second {
				t.Errorf("%v at loss %v: a frame came after %v", role, loss, worst)
			}
			s.net.Run(time.Second)
			if st := s.sender().Stats(); !s.sender().Drained() || st.InFlight != 0 || st.QueuedBytes != 0 {
				t.Errorf("%v at loss %v: left over: %+v", role, loss, st)
			}
		}
	}
}

// TestLargestMessage sends a message of 4 MiB, which has 30 blocks, over a lossy path.
func TestLargestMessage(t *testing.T) {
	link := netem.Config{Delay: 10 * time.Millisecond, Loss: 0.05, Rate: 100_000_000}
	s := newSession(t, options{up: link, down: link, maxDelay: 20 * time.Second, client: func(c *transport.Config) { c.Budget = 20 * time.Second }})
	s.connect()
	s.start()
	s.key(4 << 20)
	s.audio(100)
	s.video(2000)
	s.finish(20 * time.Second)
	s.wantAll()
}

// TestFirstKeyFrameIsPaced sends 64 KB to a player that has just joined: all of it leaves within 45 ms (12 Mbit/s), not at once,
// and never more than the window is in flight.
func TestFirstKeyFrameIsPaced(t *testing.T) {
	for _, delay := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
		link := netem.Config{Delay: delay}
		s := newSession(t, options{role: wire.RolePlay, up: link, down: link})
		s.connect()
		began := s.net.Now()
		total, early := 0, 0
		var last time.Time
		s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
			if from == transporttest.RelayAddr {
				total += len(b)
				last = s.net.Now()
				if last.Sub(began) < time.Millisecond {
					early += len(b)
				}
			}
			if st := s.relay.Conn().Stats(); st.InFlight > st.Window+wire.MaxDatagram {
				t.Errorf("%d bytes in flight, window %d", st.InFlight, st.Window)
			}
			return [][]byte{b}
		}
		s.start()
		s.key(64 << 10)
		s.net.Run(300 * time.Millisecond)
		if took := last.Sub(began); total < 64<<10 || s.released != 1 {
			t.Errorf("one-way %v: %d bytes in %v, %d released", delay, total, took, s.released)
		}
		if early > 30_000 {
			t.Errorf("one-way %v: %d bytes within the first millisecond", delay, early)
		}
		if worst := s.delays[0]; worst > delay+45*time.Millisecond {
			t.Errorf("one-way %v: the key frame took %v", delay, worst)
		}
	}
}

// TestNarrowLinkIsNotFlooded pushes 2 Mbit/s into 1 Mbit/s with a queue of 300 ms, then 500 kbit/s.
func TestNarrowLinkIsNotFlooded(t *testing.T) {
	narrow := netem.Config{Delay: 20 * time.Millisecond, Rate: 1_000_000, Queue: 300 * time.Millisecond}
	s := newSession(t, options{up: narrow, down: oneWay25})
	s.connect()
	s.net.Run(500 * time.Millisecond)
	s.start()
	most, before := 0, 0
	s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
		st := s.client.Stats()
		if len(b) > 600 && st.InFlight > before && st.InFlight > st.Window+wire.MaxDatagram { // the window may shrink below what is out there; control is not held back by it
			t.Errorf("%d bytes in flight, window %d", st.InFlight, st.Window)
		}
		before = st.InFlight
		most = max(most, before)
		return [][]byte{b}
	}
	s.call(6*time.Second, 8000)
	skips := 0
	for _, m := range s.controls {
		if m.Type == wire.ControlSkip {
			skips++
		}
	}
	st := s.client.Stats()
	if s.skipped == 0 || skips == 0 || s.released == 0 {
		t.Errorf("%d released, %d skipped, %d SKIPs: the link carries half of it", s.released, s.skipped, skips)
	}
	// What the link could carry in the time, and the windows that the sender filled its queue with before it knew.
	if limit := uint64(6*1_000_000/8) + 200_000; st.BytesSent > limit {
		t.Errorf("%d bytes sent into a link that carries %d", st.BytesSent, limit)
	}
	s.net.Run(1500 * time.Millisecond) // the budget and the queue
	if st := s.client.Stats(); st.InFlight != 0 || st.QueuedBytes != 0 {
		t.Errorf("in flight %d, queued %d: the queue does not drain", st.InFlight, st.QueuedBytes)
	}
	skipped := s.skipped
	s.delays = nil
	s.call(3*time.Second, 1500)
	s.finish(2 * time.Second)
	if s.skipped != skipped {
		t.Errorf("%d skipped at half the link's rate", s.skipped-skipped)
	}
	if len(s.delays) < 150 || slices.Max(s.delays) > 400*time.Millisecond {
		t.Errorf("%d frames, delay up to %v at half the link's rate", len(s.delays), slices.Max(s.delays))
	}
	t.Logf("at most %d bytes in flight; %d released, %d skipped", most, s.released, s.skipped)
}

// TestReportCadence looks at when a receiver reports, on a clean path and on one with losses.
func TestReportCadence(t *testing.T) {
	for _, loss := range []float64{0, 0.1} {
		s := newSession(t, options{up: netem.Config{Delay: 25 * time.Millisecond, Loss: loss}, down: oneWay25})
		sniffer, err := transporttest.NewSniffer(s.cfg, 2000)
		if err != nil {
			t.Fatal(err)
		}
		var reports []time.Time
		s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
			if what := sniffer.Describe(from, b); from == transporttest.RelayAddr && strings.Contains(what, "FEEDBACK") && !strings.Contains(what, "PONG") {
				reports = append(reports, s.net.Now())
			}
			return [][]byte{b}
		}
		s.connect()
		s.net.Run(time.Second)
		s.start()
		talk := func(frames int) {
			for range frames {
				s.video(600)
				s.net.Run(5 * time.Millisecond)
			}
		}
		talk(600) // longer than steadyAfter
		reports = nil
		talk(400)
		least, longest := 60, 60*time.Millisecond
		if loss == 0 { // all is well: fewer do. Some go along with a PONG and are not counted here
			least, longest = 10, 160*time.Millisecond
		}
		if n := len(reports); n < least || n > 250 {
			t.Errorf("loss %v: %d reports in 2 s", loss, n)
		}
		for i := 1; i < len(reports); i++ {
			gap := reports[i].Sub(reports[i-1])
			if gap < 4*time.Millisecond || gap > longest {
				t.Errorf("loss %v: %v between reports", loss, gap)
			}
		}
	}
}

// TestClocksApart lets the ends' clocks differ by an hour and drift by 200 ppm either way, for five minutes.
func TestClocksApart(t *testing.T) {
	for _, ppm := range []float64{-200, 200} {
		n := transporttest.NewNetwork()
		relayHost := &transporttest.Skewed{Ahead: time.Hour, PPM: ppm}
		relay := transporttest.NewRelayEnd(relayHost.Local(n.Now()).Add(-42*time.Minute), 1, nil) // an origin of its own
		relayHost.Endpoint = relay
		origin := relayHost.Local(n.Now()).Add(-42 * time.Minute)
		client, err := transport.New(n.Now(), transporttest.ClientConfig(wire.RolePush, 2))
		if err != nil {
			t.Fatal(err)
		}
		client.SetStreamClock(0)
		received, closed := 0, 0
		var worst time.Duration
		n.Add(transporttest.ClientAddr, client, func(time.Time) {
			for {
				if e, ok := client.PollEvent(); !ok {
					return
				} else if e.Kind == transport.EventClosed {
					closed++
				}
			}
		})
		n.Add(transporttest.RelayAddr, relayHost, func(now time.Time) {
			c := relay.Conn()
			for c != nil {
				e, ok := c.PollEvent()
				if !ok {
					break
				}
				switch e.Kind {
				case transport.EventPacket:
					received++
				case transport.EventClosed:
					closed++
				}
			}
			if c == nil || now.Sub(transporttest.Start) < time.Second {
				return
			}
			local := relayHost.Local(now)
			want := client.Clock(now) - local.Sub(origin)
			if got, ok := c.PeerClock(local); !ok {
				t.Error("clock unknown")
			} else {
				worst = max(worst, (got - want).Abs())
			}
		})
		link := netem.Config{Delay: 30 * time.Millisecond, Jitter: 5 * time.Millisecond, Seed: 3}
		n.Join(transporttest.ClientAddr, transporttest.RelayAddr, link, link)
		n.Kick(transporttest.ClientAddr)
		n.Run(500 * time.Millisecond)
		s := &session{t: t, net: n, client: client, addr: transporttest.ClientAddr, relay: relay, cfg: transporttest.ClientConfig(wire.RolePush, 2)}
		s.packetizer, s.sent = newPacketizer(), map[uint64]sentMessage{}
		s.start()
		for range 1500 {
			s.video(1500)
			n.Run(200 * time.Millisecond)
		}
		if st := client.Stats(); received != 3000 || st.BlocksAbandoned != 0 || closed != 0 {
			t.Errorf("%v ppm: %d packets, %d abandoned, %d closed", ppm, received, st.BlocksAbandoned, closed)
		}
		if worst > 5*time.Millisecond {
			t.Errorf("%v ppm: the peer's clock is off by up to %v", ppm, worst)
		}
	}
}

// TestReconnectionGoesOn has a stream go on over a second session: the same run, a START that repeats, nothing twice.
func TestReconnectionGoesOn(t *testing.T) {
	s := newSession(t, options{up: oneWay25, down: oneWay25})
	s.connect()
	s.start()
	s.call(500*time.Millisecond, 3000)
	s.net.Run(200 * time.Millisecond)
	old := s.client
	cfg := s.cfg
	cfg.Rand = transporttest.Reader(99)
	next, err := transport.New(s.net.Now(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	old.Abandon()
	s.client = next
	next.SetStreamClock(s.net.Now().Sub(transporttest.Start)) // its clock begins now, the stream's did not
	addr := netip.MustParseAddrPort("192.0.2.1:5001")
	s.net.Add(addr, next, s.drain)
	s.net.Join(addr, transporttest.RelayAddr, oneWay25, oneWay25)
	s.addr, s.confirmed = addr, time.Time{}
	s.connect()
	if len(s.relay.Conns) != 2 {
		t.Fatalf("%d sessions", len(s.relay.Conns))
	}
	s.start()
	s.call(500*time.Millisecond, 3000)
	s.finish(2 * time.Second)
	s.wantAll()
}

func TestIdleTimeoutIsTheRelaysChoice(t *testing.T) {
	s := newSession(t, options{up: oneWay25, down: oneWay25, relay: func(c *transport.AcceptorConfig) { c.IdleTimeout = 2 * time.Second }})
	s.connect()
	s.net.Run(5 * time.Second)
	if !s.client.Open() || !s.relay.Conn().Open() {
		t.Fatal("an idle session that keeps alive has ended")
	}
	down := netem.Config{Down: true}
	s.net.Join(s.addr, transporttest.RelayAddr, down, down)
	s.net.Run(2500 * time.Millisecond)
	for side, e := range s.closed {
		if e == nil || e.Cause != transport.CauseTimeout || e.Code != wire.CloseIdle {
			t.Errorf("side %d: %+v", side, e)
		}
	}
}

// TestPlayerIsNeverSilent holds a player to 100 ms between datagrams, so that its new address is found at once.
func TestPlayerIsNeverSilent(t *testing.T) {
	s := newSession(t, options{role: wire.RolePlay, up: oneWay25, down: oneWay25})
	s.connect()
	last := s.net.Now()
	s.net.Tap = func(from, _ netip.AddrPort, b []byte) [][]byte {
		if from == s.addr {
			if gap := s.net.Now().Sub(last); gap > 101*time.Millisecond {
				t.Errorf("silent for %v", gap)
			}
			last = s.net.Now()
		}
		return [][]byte{b}
	}
	s.net.Run(20 * time.Second)
	if s.net.Now().Sub(last) > 101*time.Millisecond {
		t.Error("fell silent")
	}
}
