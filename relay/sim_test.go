package relay_test

import (
	"net/netip"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

var near = netem.Config{Delay: 5 * time.Millisecond}

// Every frame arrives, byte for byte, at 5 % loss on each hop in each direction and 50 ms round trip, for a minute, with clocks that
// are two hours apart and drift by 200 ppm either way.
func TestTwoHopsAtFivePercent(t *testing.T) {
	c := newCall(t, 11)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", time.Hour, 200, 100)
	play := c.player("192.0.2.20:2000", "live/a", -time.Hour, -200, time.Second)
	c.join(&push.party, lossy(25*time.Millisecond, 0.05, 1), lossy(25*time.Millisecond, 0.05, 2))
	c.join(&play.party, lossy(25*time.Millisecond, 0.05, 3), lossy(25*time.Millisecond, 0.05, 4))
	c.net.Run(2 * time.Second)
	push.talk(60)
	push.end()
	c.net.Run(2 * time.Second)
	play.same(t, push.sent)
	if !play.ended {
		t.Error("the player did not see the end")
	}
	t.Logf("capture to release p50 %v p95 %v p99 %v max %v", quantile(play.media, .5), quantile(play.media, .95), quantile(play.media, .99), quantile(play.media, 1))
	if p99 := quantile(play.media, .99); p99 > 400*time.Millisecond {
		t.Errorf("p99 of capture to release is %v", p99)
	}
}

// The first frame comes at most two round trips and 60 ms after the player's first datagram.
func TestFirstFrame(t *testing.T) {
	for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		c := newCall(t, 12)
		push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
		c.join(&push.party, near, near)
		c.net.Run(time.Second)
		push.push(videoConfig)
		push.push(videoFrame(1, 64<<10, true, 0))
		c.net.Run(time.Second)
		play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
		hop := netem.Config{Delay: rtt / 2}
		asked := c.net.Now()
		c.join(&play.party, hop, hop)
		c.net.Run(2 * time.Second)
		if play.first.IsZero() {
			t.Fatalf("rtt %v: no frame; %+v", rtt, play.playout.Stats())
		}
		took := play.first.Sub(asked)
		if limit := 2*rtt + 60*time.Millisecond; took > limit {
			t.Errorf("rtt %v: first frame after %v, want at most %v", rtt, took, limit)
		}
		t.Logf("round trip %v: first frame of 64 KB after %v", rtt, took)
	}
}

// A player that comes before its pusher waits, and misses nothing.
func TestPlayerFirst(t *testing.T) {
	c := newCall(t, 13)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, near, near)
	c.net.Run(time.Second)
	if len(play.status) != 1 || play.status[0] != 2007 {
		t.Fatalf("status %v, want 2007", play.status)
	}
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	c.net.Run(time.Second)
	push.talk(2)
	push.end()
	c.net.Run(time.Second)
	play.same(t, push.sent)
	if len(push.status) == 0 || push.status[0] != 1002 {
		t.Errorf("pusher's status %v, want 1002 first", push.status)
	}
}

// A player that joins in the middle begins with the newest key frame and the configurations that it needs, and the pusher is not asked
// for another key frame.
func TestJoinMidway(t *testing.T) {
	c := newCall(t, 14)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	c.net.Run(time.Second)
	push.talk(5) // key frames at 0, 2 and 4 s
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, 400*time.Millisecond)
	c.join(&play.party, near, near)
	c.net.Run(200 * time.Millisecond)
	if len(play.got) < 3 {
		t.Fatalf("got %d messages", len(play.got))
	}
	if play.got[0].Type != rtmpchunk.TypeVideo || play.got[0].Payload[1] != 0 || play.got[1].Type != rtmpchunk.TypeAudio || play.got[1].Payload[1] != 0 {
		t.Error("the configurations do not come first")
	}
	if first := play.got[2]; first.Type != rtmpchunk.TypeVideo || first.Payload[0] != 0x17 {
		t.Errorf("first frame is of type %d and begins with %#x, want a key frame", first.Type, first.Payload[0])
	}
	push.talk(1)
	push.end()
	c.net.Run(time.Second)
	if tail := push.sent[len(push.sent)-len(play.got)+2:]; !play.ended {
		t.Error("no end")
	} else {
		play.got = play.got[2:]
		play.same(t, tail)
	}
	if s := play.playout.Stats(); s.Skipped != [2]uint64{} {
		t.Errorf("skipped %v of the cached frames, which are older than the delay but wanted", s.Skipped)
	}
	if push.keys != 0 {
		t.Errorf("%d key-frame requests, want none: one was cached", push.keys)
	}
}

// A newer session of the same party takes over at once; the older one is told that it was replaced. Another party is refused.
func TestTakeover(t *testing.T) {
	c := newCall(t, 15)
	older := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&older.party, near, near)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, near, near)
	c.net.Run(time.Second)
	older.talk(1)
	newer := c.pusher("192.0.2.11:1000", "live/a", "alice", 0, 0, 200)
	c.join(&newer.party, near, near)
	c.net.Run(100 * time.Millisecond)
	if older.closed == nil || older.closed.Code != wire.CloseReplaced {
		t.Fatalf("the older pusher's session: %+v, want it replaced", older.closed)
	}
	newer.talk(1)
	newer.end()
	stranger := c.pusher("192.0.2.12:1000", "live/a", "bob", 0, 0, 300)
	c.join(&stranger.party, near, near)
	c.net.Run(time.Second)
	if stranger.closed == nil || stranger.closed.Code != wire.CloseBusy {
		t.Errorf("another party's session: %+v, want it refused as busy", stranger.closed)
	}
	all := append(append([]rtmpchunk.Message(nil), older.sent...), newer.sent...)
	play.same(t, all)
}

// After a NAT rebinding a pusher's media goes on with its next datagram, and a player's within two round trips of its first datagram
// from the new address; there is no new handshake.
func TestRebinding(t *testing.T) {
	const rtt = 60 * time.Millisecond
	hop := netem.Config{Delay: rtt / 2}
	c := newCall(t, 16)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, hop, hop)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, hop, hop)
	c.net.Run(time.Second)
	push.talk(1)

	c.net.Move(push.addr, netip.MustParseAddrPort("192.0.2.99:4444"))
	push.addr = netip.MustParseAddrPort("192.0.2.99:4444")
	before := len(play.got)
	push.push(audioFrame(9, 100, 5000))
	c.net.Run(rtt + 5*time.Millisecond) // one way to the relay, one way to the player
	if len(play.got) <= before {
		t.Error("the moved pusher's next datagram did not get through")
	}
	push.talk(1)

	moved := netip.MustParseAddrPort("192.0.2.98:5555")
	c.net.Move(play.addr, moved)
	play.addr = moved
	var firstFrom, firstTo time.Time
	c.net.Tap = func(from, to netip.AddrPort, b []byte) [][]byte {
		if from == moved && firstFrom.IsZero() {
			firstFrom = c.net.Now()
		}
		if to == moved && len(b) > 600 && firstTo.IsZero() {
			firstTo = c.net.Now().Add(rtt / 2)
		}
		return [][]byte{b}
	}
	push.talk(1)
	if firstTo.IsZero() || firstTo.Sub(firstFrom) > 2*rtt+5*time.Millisecond {
		t.Errorf("media reached the moved player %v after its first datagram, want two round trips at most", firstTo.Sub(firstFrom))
	}
	push.end()
	c.net.Run(2 * time.Second)
	play.same(t, push.sent)
	if s := c.loop.Snapshot(); s.Handshakes.Accepted != 2 || s.Migrations != 2 {
		t.Errorf("%d handshakes and %d migrations, want 2 and 2", s.Handshakes.Accepted, s.Migrations)
	}
}

// A first message that is seen and repeated by somebody else takes over nothing and is counted as nobody.
func TestReplayedInit(t *testing.T) {
	c := newCall(t, 17)
	var init []byte
	c.net.Tap = func(from, to netip.AddrPort, b []byte) [][]byte {
		if wire.KindOf(b) == wire.KindInit && init == nil {
			init = append([]byte(nil), b...)
		}
		return [][]byte{b}
	}
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, near, near)
	c.net.Run(time.Second)
	push.talk(1)
	for i := range 50 { // from many addresses, and from its own
		from := transport.Path{Addr: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.5"), uint16(1000+i))}
		c.loop.HandleDatagram(c.net.Now(), from, append([]byte(nil), init...))
	}
	c.loop.HandleDatagram(c.net.Now(), transport.Path{Addr: push.addr}, append([]byte(nil), init...))
	c.net.Run(100 * time.Millisecond)
	push.talk(1)
	push.end()
	c.net.Run(time.Second)
	play.same(t, push.sent)
	if push.closed != nil {
		t.Errorf("the pusher's session ended: %+v", push.closed)
	}
	c.net.Run(10 * time.Second)
	if s := c.loop.Snapshot(); s.Sessions != 2 || s.Confirmed != 2 {
		t.Errorf("%d sessions, %d ever confirmed; want 2 and 2", s.Sessions, s.Confirmed)
	}
}

// A relay that restarts answers with RESET, and both sides know at once.
func TestRestart(t *testing.T) {
	c := newCall(t, 18)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, near, near)
	c.net.Run(time.Second)
	push.talk(1)
	c.loop = c.newLoop(99)
	c.at.Loop = c.loop
	c.net.Run(300 * time.Millisecond)
	for name, p := range map[string]*party{"pusher": &push.party, "player": &play.party} {
		if p.closed == nil || p.closed.Cause != transport.CauseReset {
			t.Errorf("%s: %+v, want a reset", name, p.closed)
		}
	}
}

// A pusher that goes on with the same run after a lost session: the player sees no break and nothing twice.
func TestResumedRun(t *testing.T) {
	c := newCall(t, 19)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, near, near)
	c.net.Run(time.Second)
	push.talk(1)
	again := c.pusher("192.0.2.11:1000", "live/a", "alice", 0, 0, 100)
	again.packetizer, again.sent = push.packetizer, push.sent
	c.join(&again.party, near, near)
	c.net.Run(time.Second)
	again.talk(1)
	again.end()
	c.net.Run(time.Second)
	play.same(t, again.sent)
}

// One flow each: with a budget of less than a round trip nothing can be asked for again, so parity must carry it.
func TestParityAlone(t *testing.T) {
	c := newCall(t, 20)
	hop := 60 * time.Millisecond
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, netem.Config{Delay: hop}, netem.Config{Delay: hop})
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, 190*time.Millisecond)
	c.join(&play.party, netem.Config{Delay: hop}, lossy(hop, 0.1, 3))
	c.net.Run(time.Second)
	push.talk(20)
	push.end()
	c.net.Run(time.Second)
	s := play.playout.Stats()
	released, skipped := s.Released[0]+s.Released[1], s.Skipped[0]+s.Skipped[1]
	if share := float64(skipped) / float64(released+skipped); share > 0.02 {
		t.Errorf("%d of %d frames skipped, want at most 2 %%", skipped, released+skipped)
	}
	if st := play.conn.Stats(); st.PacketsRepaired == 0 {
		t.Errorf("nothing was repaired by parity: %+v", st)
	}
}

// A player that joins where no key frame is cached hears at once, sees from the next key frame on, and has the pusher asked for one.
func TestJoinWithoutKeyFrame(t *testing.T) {
	c := newCall(t, 21)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	c.net.Run(time.Second)
	push.push(videoConfig)
	push.push(audioConfig)
	for i := range 30 { // as from an encoder that was started long ago
		push.push(videoFrame(i, 3000, false, uint32(i*33)))
		push.push(audioFrame(i, 100, uint32(i*33)))
		c.net.Run(33 * time.Millisecond)
	}
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, near, near)
	c.net.Run(100 * time.Millisecond)
	if push.keys != 1 {
		t.Errorf("the pusher was asked for %d key frames, want 1", push.keys)
	}
	for i := 30; i < 60; i++ {
		push.push(videoFrame(i, 3000, i == 50, uint32(i*33)))
		push.push(audioFrame(i, 100, uint32(i*33)))
		c.net.Run(33 * time.Millisecond)
	}
	push.end()
	c.net.Run(time.Second)
	audio, video := 0, 0
	for _, m := range play.got[2:] {
		switch {
		case m.Type == rtmpchunk.TypeAudio:
			audio++
		case video == 0 && m.Payload[0] != 0x17:
			t.Fatal("the first picture is not a key frame")
		default:
			video++
		}
	}
	if audio != 30 || video != 10 {
		t.Errorf("got %d audio and %d video frames, want 30 and 10", audio, video)
	}
	if late := quantile(play.media, 1); late > 100*time.Millisecond {
		t.Errorf("a frame took %v: skipped messages were waited for", late)
	}
}

// Media that overtakes its run's START, and audio that overtakes the first key frame, are not lost: neither for a player that is
// there nor for one that joins later.
func TestMediaBeforeStart(t *testing.T) {
	c := newCall(t, 22)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	push.mute = true
	c.join(&push.party, near, near)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, time.Second)
	c.join(&play.party, near, near)
	c.net.Run(time.Second)
	key := videoFrame(1, 20_000, true, 0)
	// In order: the key frame, then audio. On the wire: audio, the key frame, START.
	late := rtmpchunk.NewPacketizer(100)
	var packets []*transport.Packet
	for _, m := range []rtmpchunk.Message{key, audioFrame(2, 100, 1), audioFrame(3, 100, 24)} {
		_, err := late.Push(m, transport.Ticks(push.conn.Clock(c.net.Now())), func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
			func(b []byte, h rtmpchunk.Header) { packets = append(packets, &transport.Packet{Header: h, Data: b}) })
		if err != nil {
			t.Fatal(err)
		}
		push.sent = append(push.sent, m)
	}
	for i := len(packets) - 1; i >= 0; i-- {
		if err := push.conn.Send(c.net.Now(), packets[i]); err != nil {
			t.Fatal(err)
		}
		c.net.Kick(push.addr)
		c.net.Run(time.Millisecond)
	}
	c.net.Run(50 * time.Millisecond)
	push.control(&wire.Control{Type: wire.ControlStart, Instance: late.Instance()})
	c.net.Kick(push.addr)
	c.net.Run(100 * time.Millisecond)
	join := c.player("192.0.2.21:2000", "live/a", 0, 0, time.Second)
	c.join(&join.party, near, near)
	c.net.Run(100 * time.Millisecond)
	play.same(t, push.sent)
	join.same(t, push.sent)
}
