package relay_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// What forwarding costs the relay: time and allocations inside the Loop's methods alone. Clients and network share the process with it
// and are left out.

// The load: one party's video at 1.5 Mbit/s and 30 frames a second with a key frame every 2 s, and its audio; every hop loses the same
// share in both directions.
const (
	costFPS    = 30
	costAudio  = 43 // frames a second
	costGOP    = 2 * costFPS
	costKey    = 40_000
	costDelta  = (1_500_000/8*2 - costKey) / (costGOP - 1)
	costBudget = 200 * time.Millisecond
	costOneWay = 25 * time.Millisecond

	// costLimit is what one player may cost with each frame of video, all that belongs to it included.
	costLimit = 60 * time.Microsecond
)

// meter is a relay that accounts for what happens inside it.
type meter struct {
	*relay.Loop
	mode      meterMode
	spent     time.Duration
	allocs    uint64
	datagrams uint64 // in and out
	stats     [2]runtime.MemStats
}

type meterMode uint8

const (
	meterNothing meterMode = iota
	meterTime
	meterAllocs
)

func (m *meter) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	m.datagrams++
	at := m.enter()
	m.Loop.HandleDatagram(now, from, b)
	m.leave(at)
}

func (m *meter) HandleTimeout(now time.Time) {
	at := m.enter()
	m.RunMail(now)
	m.Loop.HandleTimeout(now)
	m.leave(at)
}

func (m *meter) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	at := m.enter()
	tr, ok := m.Loop.Poll(now, buf)
	m.leave(at)
	if ok {
		m.datagrams += uint64((tr.Size + tr.Segment - 1) / tr.Segment)
	}
	return tr, ok
}

func (m *meter) enter() (at time.Time) {
	switch m.mode {
	case meterTime:
		at = time.Now()
	case meterAllocs:
		runtime.ReadMemStats(&m.stats[0])
	case meterNothing:
	}
	return at
}

func (m *meter) leave(at time.Time) {
	switch m.mode {
	case meterTime:
		m.spent += time.Since(at)
	case meterAllocs:
		runtime.ReadMemStats(&m.stats[1])
		m.allocs += m.stats[1].Mallocs - m.stats[0].Mallocs
	case meterNothing:
	}
}

// tally is a player that only counts.
type tally struct {
	*transport.Conn
	have  map[uint32]int // packets of a message, by its capture time
	whole int            // video frames that became whole in time
}

func (p *tally) drain(now time.Time, ticks uint32) {
	for {
		e, ok := p.PollEvent()
		if !ok {
			return
		}
		if e.Kind != transport.EventPacket {
			continue
		}
		h := &e.Packet.Header
		if h.Kind == rtmpchunk.Video {
			p.have[h.Capture]++
			if age := time.Duration(ticks-h.Capture) * transport.Tick; p.have[h.Capture] == int(h.Count) && age <= costBudget {
				p.whole++
			}
		}
		e.Packet.Release()
	}
}

// audience is a stream with its players.
type audience struct {
	tb         testing.TB
	net        *transporttest.Network
	relay      *meter
	push       *transport.Conn
	packetizer *rtmpchunk.Packetizer
	players    []*tally
	start      time.Time
	video      int // frames pushed
	audio      int
	bodies     [3]rtmpchunk.Message // key, delta, audio
}

var costPusher = netip.MustParseAddrPort("192.0.2.10:1000")

func newAudience(tb testing.TB, players int, loss float64, budget time.Duration) *audience {
	a := &audience{
		tb: tb, net: transporttest.NewNetwork(), packetizer: rtmpchunk.NewPacketizer(100),
		bodies: [...]rtmpchunk.Message{videoFrame(1, costKey, true, 0), videoFrame(2, costDelta, false, 0), audioFrame(3, 140, 0)},
	}
	keys := crypto.NewTokenKeys(1, [32]byte{7})
	loop := relay.NewLoop(a.net.Now(), relay.Config{Key: transporttest.ServerKey(), Secret: [32]byte{3}, Tokens: keys}, transporttest.Reader(80), func() {})
	a.relay = &meter{Loop: loop}
	a.net.Add(relayAddr, a.relay, nil)

	seed := uint64(0)
	connect := func(role wire.Role, action crypto.Action, party string) *transport.Conn {
		token, err := keys.Mint(crypto.Token{Action: action, KeyID: 1, Expiry: transporttest.Start.Add(time.Hour), Stream: "live/a", Party: party})
		if err != nil {
			tb.Fatal(err)
		}
		seed++
		cfg := transporttest.ClientConfig(role, seed*7919)
		cfg.Stream, cfg.Token, cfg.Budget, cfg.ClockOrigin = "live/a", token, budget, transporttest.Start
		conn, err := transport.New(a.net.Now(), cfg)
		if err != nil {
			tb.Fatal(err)
		}
		return conn
	}
	addrs := []netip.AddrPort{costPusher}
	link := func(loss float64) {
		for i, addr := range addrs {
			a.net.Join(addr, relayAddr, lossy(costOneWay, loss, uint64(2*i+1)), lossy(costOneWay, loss, uint64(2*i+2)))
			a.net.Kick(addr)
		}
	}

	a.push = connect(wire.RolePush, crypto.ActionPush, "alice")
	a.push.SetStreamClock(0)
	a.net.Add(costPusher, a.push, a.pushed)
	for i := range players {
		addr := netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:2000", 1+i))
		l := &tally{Conn: connect(wire.RolePlay, crypto.ActionPlay, ""), have: make(map[uint32]int)}
		a.players = append(a.players, l)
		a.net.Add(addr, l, func(now time.Time) { l.drain(now, transport.Ticks(a.push.Clock(now))) })
		addrs = append(addrs, addr)
	}
	link(0) // handshakes are not what is measured
	if !a.net.RunUntil(10*time.Second, func() bool { s := a.relay.Snapshot(); return s.Confirmed == uint64(players)+1 }) {
		tb.Fatalf("not everybody came in: %+v", a.relay.Snapshot())
	}
	link(loss)
	a.start = a.net.Now()
	return a
}

// pushed takes the pusher's events.
func (a *audience) pushed(now time.Time) {
	for {
		e, ok := a.push.PollEvent()
		if !ok {
			return
		}
		if e.Kind != transport.EventAccepted {
			continue
		}
		if err := a.push.SendControl(now, &wire.Control{Type: wire.ControlStart, Instance: a.packetizer.Instance(), Order: a.packetizer.Next()}); err != nil {
			a.tb.Fatal(err)
		}
	}
}

// talk goes on until so many more frames of video have been pushed.
func (a *audience) talk(frames int) {
	for end := a.video + frames; a.video < end; {
		video, audio := time.Duration(a.video)*time.Second/costFPS, time.Duration(a.audio)*time.Second/costAudio
		a.net.Run(a.start.Add(min(video, audio)).Sub(a.net.Now()))
		body := a.bodies[2]
		switch {
		case video > audio:
			a.audio++
		case a.video%costGOP == 0:
			body = a.bodies[0]
			a.video++
		default:
			body = a.bodies[1]
			a.video++
		}
		now := a.net.Now()
		_, err := a.packetizer.Push(body, transport.Ticks(a.push.Clock(now)), func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
			func(b []byte, h rtmpchunk.Header) {
				if err := a.push.Send(now, &transport.Packet{Header: h, Data: b}); err != nil {
					a.tb.Fatal(err)
				}
			})
		if err != nil {
			a.tb.Fatal(err)
		}
		a.net.Kick(costPusher)
	}
}

// whole is how many frames the players have had in time, all together.
func (a *audience) whole() (n int) {
	for _, l := range a.players {
		n += l.whole
	}
	return n
}

// cost pushes so many frames and gives the time that each took the relay, for each player.
func (a *audience) cost(frames int) time.Duration {
	a.relay.mode, a.relay.spent = meterTime, 0
	defer func() { a.relay.mode = meterNothing }()
	a.talk(frames)
	return a.relay.spent / time.Duration(frames*len(a.players))
}

// BenchmarkPlayerFrame is the relay's time for a frame of video and what goes with it, to one player of 50.
func BenchmarkPlayerFrame(b *testing.B) {
	for _, loss := range []float64{0, 0.1, 0.3} {
		b.Run(fmt.Sprintf("loss=%g", loss), func(b *testing.B) {
			a := newAudience(b, 50, loss, costBudget)
			a.talk(5 * costGOP / 2)
			before, rounds, sum := a.relay.datagrams, 0, time.Duration(0)
			for b.Loop() {
				sum += a.cost(costGOP)
				rounds++
			}
			b.ReportMetric(float64(sum)/float64(rounds), "ns/player-frame")
			b.ReportMetric(float64(a.relay.datagrams-before)/float64(rounds*costGOP*len(a.players)), "datagrams/player-frame")
		})
	}
}

// TestCost holds the relay to costLimit: `DUET_COST=1 go test -run TestCost -v`. It measures stretches of one key frame and all up to the
// next, and takes the fastest: what else the machine does can only add.
func TestCost(t *testing.T) {
	if os.Getenv("DUET_COST") == "" || raceDetector {
		t.Skip("measures time: set DUET_COST=1")
	}
	for _, loss := range []float64{0, 0.1, 0.3} {
		a := newAudience(t, 50, loss, costBudget)
		a.talk(5 * costGOP / 2)
		before := a.relay.datagrams
		var costs []time.Duration
		for range 12 {
			costs = append(costs, a.cost(costGOP))
		}
		slices.Sort(costs)
		datagrams := float64(a.relay.datagrams-before) / float64(len(costs)*costGOP*len(a.players))
		a.net.Run(2 * costBudget) // what is still on its way counts for the frames that arrive
		t.Logf("loss %2.0f %%: %v per player and frame (median %v), %.1f datagrams in and out, %.2f %% of the frames whole in time",
			loss*100, costs[0], costs[len(costs)/2], datagrams, 100*float64(a.whole())/float64(a.video*len(a.players)))
		if costs[0] > costLimit {
			t.Errorf("at a loss of %g a player costs %v with every frame, want at most %v", loss, costs[0], costLimit)
		}
	}
}

// Repair allocates nothing either: neither what the first hop rebuilds nor what each player is sent again or sends reports of.
func TestRepairAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool drops at random")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pool
	for _, c := range []struct {
		loss   float64
		budget time.Duration
	}{
		{0.1, costBudget}, {0.3, costBudget},
		{0.03, 3 * costOneWay}, // no time for a report: parity over windows
	} {
		a := newAudience(t, 4, c.loss, c.budget)
		a.talk(18 * costFPS) // past the growth of every ring, and what a planner works out once
		a.relay.mode, a.relay.datagrams, a.relay.allocs = meterAllocs, 0, 0
		a.talk(3 * costFPS)
		if a.relay.datagrams < 3000 {
			t.Fatalf("loss %g, budget %v: only %d datagrams were measured", c.loss, c.budget, a.relay.datagrams)
		}
		perPacket := float64(a.relay.allocs) / float64(a.relay.datagrams)
		t.Logf("loss %g, budget %v: %d allocations for %d datagrams", c.loss, c.budget, a.relay.allocs, a.relay.datagrams)
		if perPacket >= 0.01 {
			t.Errorf("loss %g, budget %v: %.3f allocations per datagram (%d for %d), want none", c.loss, c.budget, perPacket, a.relay.allocs, a.relay.datagrams)
		}
	}
}
