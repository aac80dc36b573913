package transport_test

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

var seedFlag = flag.Uint64("seed", 0, "run the simulation with this seed only")

// TestSim runs sessions over random links with random messages, an outage in the middle of some, a change of address in others.
// The session checks all along that what is released is intact, in order, and comes once; here, that every message is accounted
// for and that the stream lives when the network does.
func TestSim(t *testing.T) {
	if *seedFlag != 0 {
		simulate(t, *seedFlag)
		return
	}
	for seed := uint64(1); seed <= 50 && !t.Failed(); seed++ {
		simulate(t, seed)
		if t.Failed() {
			t.Logf("go test -run Sim -seed=%d", seed)
		}
	}
}

func simulate(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	link := func() netem.Config {
		c := netem.Config{
			Delay: time.Duration(1+r.IntN(120)) * time.Millisecond, Jitter: time.Duration(r.IntN(30)) * time.Millisecond,
			Loss: []float64{0, 0.01, 0.05, 0.2, 0.3}[r.IntN(5)], Reorder: r.IntN(2) == 0, Seed: seed,
		}
		if r.IntN(3) == 0 {
			c.Rate = int64(1_000_000 + r.IntN(20_000_000))
		}
		return c
	}
	role := []wire.Role{wire.RolePush, wire.RolePlay}[r.IntN(2)]
	budget := time.Duration(200+r.IntN(1500)) * time.Millisecond
	up, down := link(), link()
	s := newSession(t, options{
		role: role, seed: seed, up: up, down: down, maxDelay: budget,
		client: func(c *transport.Config) { c.Budget, c.HandshakeTimeout = budget, 30*time.Second },
	})
	s.net.Kick(s.addr)
	if !s.net.RunUntil(30*time.Second, func() bool { return !s.confirmed.IsZero() }) {
		t.Errorf("seed %d: no session in 30 s", seed)
		return
	}
	if role == wire.RolePlay {
		s.relay.Conn().SetStreamClock(0)
	}
	s.start()
	traffic := func(d time.Duration) {
		for end := s.net.Now().Add(d); s.net.Now().Before(end); {
			switch r.IntN(5) {
			case 0:
				s.audio(6 + r.IntN(600))
			case 1:
				s.key(6 + r.IntN(40_000))
			case 2:
				s.push(18, append([]byte("\x02\x00\x0aonMetaData\x08"), make([]byte, r.IntN(3000))...))
			default:
				s.video(6 + r.IntN(8000))
			}
			s.net.Run(time.Duration(r.IntN(60)) * time.Millisecond)
		}
	}
	traffic(1500 * time.Millisecond)
	switch r.IntN(3) {
	case 0:
		s.net.Join(s.addr, transporttest.RelayAddr, netem.Config{Down: true}, netem.Config{Down: true})
		traffic(time.Duration(r.IntN(4000)) * time.Millisecond)
		s.net.Join(s.addr, transporttest.RelayAddr, up, down)
	case 1:
		moved := netip.AddrPortFrom(s.addr.Addr(), 6000)
		s.net.Move(s.addr, moved)
		s.addr = moved
	}
	traffic(500 * time.Millisecond)
	// The network heals.
	good := netem.Config{Delay: 10 * time.Millisecond}
	s.net.Join(s.addr, transporttest.RelayAddr, good, good)
	s.net.Run(budget + 2*time.Second)
	released, skipped := s.released, s.skipped
	for range 20 {
		s.video(3000)
		s.audio(100)
		s.net.Run(33 * time.Millisecond)
	}
	s.net.Run(200 * time.Millisecond)
	if s.released-released != 40 || s.skipped != skipped {
		t.Errorf("seed %d: %d released and %d skipped of 40 messages after the network healed; %+v", seed, s.released-released, s.skipped-skipped, s.sender().Stats())
	}
	s.control(&wire.Control{Type: wire.ControlEnd, Order: s.packetizer.Next()})
	if !s.net.RunUntil(budget+time.Second, func() bool { s.poll(s.net.Now()); return s.ended }) {
		t.Errorf("seed %d: no end", seed)
	}
	// A record that comes when its turn has passed is skipped first and released after.
	if total := uint64(s.released) + s.skipped; total < s.packetizer.Next() {
		t.Errorf("seed %d: %d released and %d skipped of %d", seed, s.released, s.skipped, s.packetizer.Next())
	}
	s.net.Run(time.Second)
	if st := s.sender().Stats(); !s.sender().Drained() || st.InFlight != 0 || st.QueuedBytes != 0 {
		t.Errorf("seed %d: left over: %+v", seed, st)
	}
	dropped := drops(s.client) + drops(s.relay.Conn())
	dropped -= s.client.Stats().Dropped[transport.DropHandshake] // a repeated INIT has two answers
	if dropped != 0 {
		t.Errorf("seed %d: an honest network's datagrams were dropped: %v %v", seed, s.client.Stats().Dropped, s.relay.Conn().Stats().Dropped)
	}
}
