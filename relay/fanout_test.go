package relay_test

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"testing"
	"time"

	"duet/bench/netem"
)

// playerAddr is where newAudience puts a player.
func playerAddr(i int) netip.AddrPort {
	return netip.MustParseAddrPort(fmt.Sprintf("198.51.100.%d:2000", 1+i))
}

// Forwarding to a hundred players allocates nothing either, and a packet that waits nowhere is sealed from memory that all of them share.
func TestFanoutAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector sync.Pool drops at random")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pool
	a := newAudience(t, 100, 0, time.Second)
	a.talk(5 * costGOP / 2) // past the growth of every ring
	a.relay.mode, a.relay.datagrams, a.relay.allocs = meterAllocs, 0, 0
	a.talk(20)
	if a.relay.datagrams < 10_000 {
		t.Fatalf("only %d datagrams were measured", a.relay.datagrams)
	}
	if perPacket := float64(a.relay.allocs) / float64(a.relay.datagrams); perPacket >= 0.01 {
		t.Errorf("%.3f allocations per datagram (%d for %d), want none", perPacket, a.relay.allocs, a.relay.datagrams)
	}
}

// One player that reads nothing and one behind 200 kbit/s, of a stream of 1.5 Mbit/s with a hundred: the other 98 get every frame in time, and what
// the two cost the relay is bounded.
func TestSlowPlayersHurtNobody(t *testing.T) {
	const players, frames = 100, 6 * costFPS
	a := newAudience(t, players, 0, costBudget)
	a.net.Join(playerAddr(0), relayAddr, netem.Config{Down: true}, netem.Config{Down: true})
	a.net.Join(playerAddr(1), relayAddr, netem.Config{Delay: costOneWay}, netem.Config{Delay: costOneWay, Rate: 200_000})
	a.talk(frames)
	a.net.Run(2 * costBudget)
	for i, p := range a.players[2:] {
		if p.whole != frames {
			t.Errorf("player %d has %d of %d frames in time", i+2, p.whole, frames)
		}
	}
	if a.players[0].whole != 0 || a.players[1].whole > frames/2 {
		t.Errorf("the slow ones have %d and %d: they are not slow", a.players[0].whole, a.players[1].whole)
	}
	if s := a.relay.Snapshot(); s.PlayerSkips+s.FramesThinned == 0 {
		t.Error("nothing that was left out was counted")
	}
}

// BenchmarkForward is the loop's own time and allocations for each datagram that goes in or out, without sockets.
func BenchmarkForward(b *testing.B) {
	for _, players := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("players=%d", players), func(b *testing.B) {
			a := newAudience(b, players, 0, time.Second)
			a.talk(5 * costGOP / 2)
			var spent time.Duration
			var timed, counted, allocs uint64
			for b.Loop() {
				before := a.relay.datagrams
				spent += a.cost(costGOP) * time.Duration(costGOP*players)
				timed += a.relay.datagrams - before
			}
			a.relay.mode, a.relay.datagrams, a.relay.allocs = meterAllocs, 0, 0
			a.talk(20)
			counted, allocs = a.relay.datagrams, a.relay.allocs
			b.ReportMetric(float64(spent)/float64(timed), "ns/datagram")
			b.ReportMetric(float64(allocs)/float64(counted), "allocs/datagram")
			b.ReportMetric(0, "ns/op")
		})
	}
}
