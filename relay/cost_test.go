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

	"duet/bench/netem"
	"duet/relay"
	"duet/transport"
)

// What forwarding costs the relay: CPU time and allocations inside the Loop's methods alone, while clients and network, which share the
// process, are left out.

// metered is a Loop that accounts for what happens inside it.
type metered struct {
	*relay.Loop
	timed, counted bool
	spent          time.Duration
	allocs         uint64
	datagrams      uint64 // in, and out
	before, after  runtime.MemStats
}

// meter runs f, which is one of the Loop's methods.
func (m *metered) meter(f func()) {
	if m.counted {
		runtime.ReadMemStats(&m.before)
		f()
		runtime.ReadMemStats(&m.after)
		m.allocs += m.after.Mallocs - m.before.Mallocs
		return
	}
	if !m.timed {
		f()
		return
	}
	start := time.Now()
	f()
	m.spent += time.Since(start)
}

func (m *metered) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	m.datagrams++
	m.meter(func() { m.Loop.HandleDatagram(now, from, b) })
}

func (m *metered) HandleTimeout(now time.Time) {
	m.meter(func() {
		m.RunMail(now)
		m.Loop.HandleTimeout(now)
	})
}

func (m *metered) Poll(now time.Time, buf []byte) (tr transport.Transmit, ok bool) {
	m.meter(func() { tr, ok = m.Loop.Poll(now, buf) })
	if ok {
		m.datagrams += uint64((tr.Size + tr.Segment - 1) / tr.Segment)
	}
	return tr, ok
}

// The load: one party's video at 1.5 Mbit/s and 30 frames a second, and its audio.
const (
	costFPS    = 30
	costGOP    = 60
	costKey    = 40_000
	costDelta  = (1_500_000/8*costGOP/costFPS - costKey) / (costGOP - 1)
	costBudget = 200 * time.Millisecond
	costOneWay = 25 * time.Millisecond
)

// audience is a stream with players that all lose the same share, in both directions.
type audience struct {
	call    *call
	meter   *metered
	push    *pusher
	players []*play
	frame   int
	audio   int
}

func newAudience(t testing.TB, players int, loss float64) *audience {
	c := newCall(&testing.T{}, 80)
	a := &audience{call: c, meter: &metered{Loop: c.loop}}
	// The relay's node is made anew, with the meter in its place; the network knows no other way, and nobody has joined yet.
	c.net.Add(relayAddr, a.meter, nil)
	_ = t
	a.push = c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&a.push.party, lossy(costOneWay, loss, 1), lossy(costOneWay, loss, 2))
	for i := range players {
		p := c.player(fmt.Sprintf("198.51.100.%d:2000", 1+i), "live/a", 0, 0, costBudget)
		c.join(&p.party, lossy(costOneWay, loss, uint64(10+2*i)), lossy(costOneWay, loss, uint64(11+2*i)))
		a.players = append(a.players, p)
	}
	c.net.Run(2 * time.Second)
	return a
}
var _ = []any{slices.Sort[[]int], os.Getenv, debug.SetGCPercent, netip.AddrPort{}, netem.Config{}}
