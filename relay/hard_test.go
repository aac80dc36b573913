package relay_test

import (
	"fmt"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/rtmpchunk"
	"duet/transport/transporttest"
)

// links joins a player and a pusher to the relay with the same link everywhere.
func (c *call) links(link func(n uint64) netem.Config, parties ...*party) {
	for i, p := range parties {
		c.net.Join(p.addr, relayAddr, link(uint64(2*i+1)), link(uint64(2*i+2)))
	}
}

// Loss that steps from 1 to 15 % on every link costs hardly a frame while the estimates catch up.
func TestLossStep(t *testing.T) {
	worst := 0
	for seed := range uint64(5) {
		c := newCall(t, 40+seed)
		push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
		play := c.player("192.0.2.20:2000", "live/a", 0, 0, 200*time.Millisecond)
		link := func(loss float64) func(uint64) netem.Config {
			return func(n uint64) netem.Config { return lossy(25*time.Millisecond, loss, 100*seed+n) }
		}
		c.join(&push.party, link(0)(1), link(0)(2))
		c.join(&play.party, link(0)(3), link(0)(4))
		c.net.Run(2 * time.Second)
		c.links(link(0.01), &push.party, &play.party)
		push.talk(20)
		c.links(link(0.15), &push.party, &play.party)
		began := len(push.sent)
		push.talk(3)
		c.net.Run(time.Second)
		worst = max(worst, len(push.sent)-len(play.got))
		t.Logf("seed %d: %d of the last %d messages late", seed, len(push.sent)-len(play.got), len(push.sent)-began)
	}
	if worst >= 4 {
		t.Errorf("%d late", worst)
	}
}

// After a second without any network the first frame that was captured after its end comes at once: one round trip and 150 ms at most.
func TestOutageOfASecond(t *testing.T) {
	for _, who := range []string{"pusher", "player"} {
		c := newCall(t, 50)
		push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
		play := c.player("192.0.2.20:2000", "live/a", 0, 0, 300*time.Millisecond)
		hop := netem.Config{Delay: 25 * time.Millisecond}
		down := hop
		down.Down = true
		c.join(&push.party, hop, hop)
		c.join(&play.party, hop, hop)
		c.net.Run(2 * time.Second)
		push.talk(5)
		p := &push.party
		if who == "player" {
			p = &play.party
		}
		c.links(func(uint64) netem.Config { return down }, p)
		push.talk(1)
		c.links(func(uint64) netem.Config { return hop }, p)
		end := c.net.Now().Sub(transporttest.Start)
		play.onRelease = func(m rtmpchunk.Message) {
			if at := time.Duration(m.Timestamp) * time.Millisecond; m.Type == rtmpchunk.TypeVideo && at >= end && play.after == 0 {
				play.after = c.net.Now().Sub(transporttest.Start) - end
			}
		}
		push.talk(3)
		c.net.Run(time.Second)
		t.Logf("%s: first new frame %v after the end of the outage", who, play.after)
		if limit := 50*time.Millisecond + 150*time.Millisecond; play.after == 0 || play.after > limit {
			t.Errorf("%s: first new frame after %v, want at most %v", who, play.after, limit)
		}
	}
}

// A frame that is left out for one player is not a loss, for that player or any other: nothing is asked for again, and everybody else gets
// everything. A hundred players, 10 % loss; one has a network that is too small, one joins in the middle.
func TestThinningHurtsNobody(t *testing.T) {
	const players = 100
	c := newCall(t, 60)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	c.net.Run(time.Second)
	var all []*play
	add := func(i int, rate int64) *play {
		p := c.player(fmt.Sprintf("198.51.100.%d:%d", i+1, 3000+i), "live/a", 0, 0, 500*time.Millisecond)
		hop := lossy(10*time.Millisecond, 0.1, uint64(1000+2*i))
		up := hop
		up.Seed++
		hop.Rate = rate
		c.join(&p.party, up, hop)
		return p
	}
	for i := range players - 1 {
		rate := int64(0)
		if i == 0 {
			rate = 1_000_000
		}
		all = append(all, add(i, rate))
	}
	c.net.Run(3 * time.Second)
	push.disposable = true
	push.talk(6)
	first := len(push.sent)
	all = append(all, add(players-1, 0))
	push.talk(4)
	c.net.Run(2 * time.Second)
	stats := c.loop.Snapshot()
	if stats.FramesThinned == 0 {
		t.Error("nothing was left out for the slow player")
	}
	for i, p := range all[1 : players-1] {
		if missing := len(push.sent) - len(p.got); missing > len(push.sent)/500 {
			t.Errorf("player %d misses %d of %d", i+1, missing, len(push.sent))
		}
	}
	if late := all[players-1]; len(late.got) < len(push.sent)-first {
		t.Errorf("who joined in the middle has %d of %d", len(late.got), len(push.sent)-first)
	}
	slow := all[0]
	if len(slow.got) < len(push.sent)/4 || slow.playout.Stats().Skipped[rtmpchunk.Audio] > uint64(len(push.sent)/50) {
		t.Errorf("the slow player has %d of %d; %+v", len(slow.got), len(push.sent), slow.playout.Stats())
	}
	t.Logf("%d frames left out for the slow player, who has %d of %d messages; skipped %v", stats.FramesThinned, len(slow.got), len(push.sent), slow.playout.Stats().Skipped)
}
