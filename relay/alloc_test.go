package relay_test

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// Forwarding a packet to a player allocates nothing: from the datagram that comes in to the one that goes out, with the reports that
// players and relay exchange.
func TestForwardingAllocatesNothing(t *testing.T) {
	c := newCall(t, 30)
	push := c.pusher("192.0.2.10:1000", "live/a", "alice", 0, 0, 100)
	c.join(&push.party, near, near)
	play := c.player("192.0.2.20:2000", "live/a", 0, 0, 300*time.Millisecond)
	c.join(&play.party, near, near)
	c.net.Run(time.Second)
	push.talk(20) // fills pools, rings and free lists

	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pool
	buf, in := make([]byte, 8*wire.MaxDatagram), make([]byte, 2048)
	delta, key := videoFrame(1, 5000, false, 0), videoFrame(1, 5000, true, 0)
	var allocs, packets uint64
	for i := range 600 {
		body := delta
		if i%60 == 0 {
			body = key
		}
		now := c.net.Now()
		_, err := push.packetizer.Push(body, transport.Ticks(push.conn.Clock(now)), func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
			func(b []byte, h rtmpchunk.Header) {
				if err := push.conn.Send(now, &transport.Packet{Header: h, Data: b}); err != nil {
					t.Fatal(err)
				}
			})
		if err != nil {
			t.Fatal(err)
		}
		allocs += forward(c, push, play, buf, in, i >= 300, &packets)
		c.net.Run(33 * time.Millisecond)
	}
	if packets < 1000 {
		t.Fatalf("only %d packets were measured", packets)
	}
	if perPacket := float64(allocs) / float64(packets); perPacket > 0.01 && !raceDetector { // under it sync.Pool drops at random
		t.Errorf("%.3f allocations per forwarded packet (%d for %d), want none", perPacket, allocs, packets)
	}
}

// forward hands what the pusher sends to the relay and what the relay sends to the player, and counts the allocations of the relay.
func forward(c *call, push *pusher, play *play, buf, in []byte, measured bool, packets *uint64) (allocs uint64) {
	now := c.net.Now()
	out := make([]byte, 64*wire.MaxDatagram)
	for {
		tr, ok := push.conn.Poll(now, buf)
		if !ok {
			return allocs
		}
		for off := 0; off < tr.Size; off += tr.Segment {
			n := copy(in, buf[off:min(off+tr.Segment, tr.Size)])
			type sent struct{ at, size, segment int }
			var list [64]sent
			count, used := 0, 0
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c.loop.HandleDatagram(now, transport.Path{Addr: push.addr}, in[:n])
			for count < len(list) && used+8*wire.MaxDatagram <= len(out) {
				o, ok := c.loop.Poll(now, out[used:used+8*wire.MaxDatagram])
				if !ok {
					break
				}
				if o.Path.Addr == play.addr {
					list[count] = sent{used, o.Size, o.Segment}
					count++
					used += o.Size
				}
			}
			runtime.ReadMemStats(&after)
			if measured {
				allocs += after.Mallocs - before.Mallocs
				*packets++
			}
			for _, s := range list[:count] {
				for o := 0; o < s.size; o += s.segment {
					play.HandleDatagram(now, transport.Path{Addr: relayAddr}, out[s.at+o:s.at+min(o+s.segment, s.size)])
				}
				play.drain(now)
			}
		}
	}
}
