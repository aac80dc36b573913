package relay_test

import (
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"duet/bench/netem"
	"duet/transport"
)

// What a seed draws: links and how they change, who comes and goes, what is said, and what the network does to datagrams.

type direction int

const (
	up   direction = iota // to the relay
	down                  // from it
)

// hop is the way between a client and the relay.
type hop struct {
	client *client
	begun  time.Time
	links  [2]link
	sent   [2]int // bytes handed to the network
}

// link is one direction of it.
type link struct {
	delay time.Duration
	cfg   netem.Config // but Down
	burst *burst
	until time.Duration // cut until then
	calm  bool
}

func (h *hop) way(d direction) time.Duration { return h.links[d].delay }

// clockError is how far a clock may be off that is read over a hop: the two ways are taken to be as long as each other.
func clockError(ways [2]time.Duration) time.Duration { return (ways[up] - ways[down]).Abs() / 2 }

// plan is what of a world is drawn beforehand.
type plan struct {
	heal, stop time.Duration
	harsh      float64 // how bad links are, from 0 to 1
	corrupt    float64 // share of datagrams with a bit turned over
	duplicate  float64
	replay     float64
	stranger   float64 // share that somebody else sends again from his address
	adapts     bool    // the encoder follows the bitrate that it is asked for
	events     []string
}

func (p *plan) String() string {
	return fmt.Sprintf("heals at %v, harsh %.2f, corrupt %.3f, duplicates %.3f, replays %.3f, strangers %.3f, adapts %v, %v", p.heal.Round(time.Millisecond), p.harsh, p.corrupt, p.duplicate, p.replay, p.stranger, p.adapts, p.events)
}

// maxWay is the longest delay of one direction of a hop.
const maxWay = 200 * time.Millisecond

var strangerAddr = netip.MustParseAddrPort("203.0.113.66:666")

func (w *world) chance(p float64) bool { return w.rand.Float64() < p }

// within draws evenly, the ends included.
func (w *world) within(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rand.Int64N(int64(to-from)+1))
}

// most draws from 0 to limit, small values more often.
func (w *world) most(limit time.Duration) time.Duration {
	x := w.rand.Float64()
	return time.Duration(x * x * float64(limit))
}

func (w *world) ppm() float64 { return w.rand.Float64()*400 - 200 }

func (w *world) at(at time.Duration, what string, f func()) {
	if what != "" {
		w.plan.events = append(w.plan.events, fmt.Sprintf("%s at %v", what, at.Round(time.Millisecond)))
	}
	w.net.At(at-w.net.Now().Sub(w.origin), func(time.Time) { f() })
}

// draw decides who and what there is.
func (w *world) draw() {
	p := &w.plan
	p.heal = w.within(2*time.Second, 15*time.Second)
	p.harsh = w.rand.Float64()
	if w.chance(0.1) {
		p.harsh = 0
	}
	some := func(share, limit float64) float64 {
		if !w.chance(share) {
			return 0
		}
		x := w.rand.Float64()
		return limit * x * x
	}
	p.corrupt, p.duplicate, p.replay, p.stranger = some(0.3, 0.1), some(0.4, 0.2), some(0.3, 0.1), some(0.2, 0.02)
	w.gop = w.within(500*time.Millisecond, 2*time.Second)
	p.adapts = w.chance(0.8)
	p.stop = p.heal + settleTime + w.gop + 2*time.Second

	pusher := w.newPusher("192.0.2.10:1000")
	w.ways = [2]time.Duration{w.most(maxWay), w.most(maxWay)}
	w.attach(&pusher.client, w.ways)
	w.at(w.most(time.Second), "", pusher.join)
	for i := range 1 + min(w.rand.IntN(6), w.rand.IntN(6)) {
		w.drawPlayer(i)
	}
	w.drawOutages()
	if w.chance(0.2) {
		w.drawRestart()
	}
	if w.chance(0.2) {
		w.drawTakeover()
	}
}

// attach lays a client's links.
func (w *world) attach(c *client, ways [2]time.Duration) {
	h := &hop{client: c, begun: w.net.Now()}
	for d := range h.links {
		h.links[d].delay = ways[d]
	}
	w.hops[c] = h
	for d := range h.links {
		w.redraw(h, direction(d))
	}
	if w.chance(0.2) {
		if at := w.within(0, w.plan.heal); at > w.net.Now().Sub(w.origin) {
			w.at(at, c.name+" begins again", c.again)
		}
	}
	for range 2 {
		if w.chance(0.3) {
			return
		}
		if at := w.within(0, w.plan.heal); at > w.net.Now().Sub(w.origin) {
			w.at(at, "", func() { w.rebind(c) })
		}
	}
}

func (w *world) drawPlayer(i int) {
	ways := [2]time.Duration{w.most(maxWay), w.most(maxWay)}
	least := w.ways[up] + ways[down] + clockError(w.ways) + clockError(ways) // with less nothing can come in time
	p := w.newPlayer(fmt.Sprintf("192.0.2.%d:2000", 20+i), least+w.within(150*time.Millisecond, 1500*time.Millisecond))
	w.attach(&p.client, ways)
	join := w.most(w.plan.heal + time.Second)
	w.at(join, "", p.join)
	p.due = w.origin.Add(join)
	if !w.chance(0.25) {
		return
	}
	if leave := join + w.most(w.plan.heal); leave < w.plan.heal {
		if w.chance(0.5) {
			w.at(leave, p.name+" leaves", p.leave)
		} else {
			w.at(leave, p.name+" vanishes", p.vanish)
		}
	}
}

// drawOutages cuts hops, for up to 8 s, before the network heals.
func (w *world) drawOutages() {
	for _, c := range w.clients() {
		for w.chance(0.25) {
			from, lasts := w.within(0, w.plan.heal), w.most(8*time.Second)
			both, which := w.chance(0.7), direction(w.rand.IntN(2))
			until := min(from+lasts, w.plan.heal)
			w.at(from, fmt.Sprintf("%s is cut for %v", c.name, (until-from).Round(time.Millisecond)), func() {
				for d := range direction(2) {
					if both || d == which {
						w.hops[c].links[d].until = until
						w.set(w.hops[c], d)
					}
				}
			})
			w.at(until, "", func() { w.set(w.hops[c], up); w.set(w.hops[c], down) })
		}
	}
}

// drawRestart kills the relay and starts it again.
func (w *world) drawRestart() {
	at, lasts := w.within(0, w.plan.heal), w.most(2*time.Second)
	w.at(at, "relay killed", func() {
		w.restarts++
		w.relay.loop = nil
	})
	w.at(min(at+lasts, w.plan.heal), "relay back", w.relay.start)
}

// drawTakeover lets another process of the same party push: a new run. The old one is gone, or still there to be told.
func (w *world) drawTakeover() {
	w.at(w.within(time.Second, w.plan.heal), "takeover", func() {
		old := w.pusher
		// Only from a session that the relay knows: one that it gets to know later is the newer one, and takes over itself.
		if len(old.sessions) != 1 || old.current == nil || old.current.heard.first.IsZero() {
			return
		}
		w.takenOver[&old.client] = true
		if w.chance(0.5) {
			old.vanish()
		}
		old.gone, old.nextTry, old.lostAt = true, time.Time{}, time.Time{} // takes nothing back
		p := w.newPusher("192.0.2.11:1000")
		w.attach(&p.client, w.ways)
		p.join()
	})
}

// rebind gives a client another address, as a NAT does.
func (w *world) rebind(c *client) {
	if w.healed.is {
		return
	}
	to := netip.AddrPortFrom(c.addr.Addr(), uint16(3000+w.rand.IntN(60000)))
	if w.byAddr[to] != nil {
		return
	}
	delete(w.byAddr, c.addr)
	w.net.Move(c.addr, to)
	c.addr = to
	w.byAddr[to] = c
}

// redraw makes a link another, now and again every few seconds, until the network heals.
func (w *world) redraw(h *hop, d direction) {
	l := &h.links[d]
	if w.healed.is {
		l.calm = true
		w.set(h, d)
		return
	}
	bad := func() bool { return w.chance(0.6 * w.plan.harsh) }
	c := netem.Config{Delay: l.delay, Seed: w.rand.Uint64()}
	if bad() {
		c.Jitter, c.Reorder = w.most(100*time.Millisecond), w.chance(0.5)
	}
	if bad() {
		x := w.rand.Float64()
		c.Loss = 0.4 * x * x
	}
	l.burst = nil
	if bad() && w.chance(0.5) {
		l.burst = w.newBurst()
		c.Drop = l.burst.drop
	}
	if bad() && w.chance(0.5) {
		c.Rate = int64(200_000 * math.Pow(50, w.rand.Float64())) // 0.2 to 10 Mbit/s
		c.Queue = w.within(50*time.Millisecond, time.Second)
	}
	l.cfg = c
	w.set(h, d)
	w.net.At(w.within(500*time.Millisecond, 5*time.Second), func(time.Time) {
		if !w.healed.is {
			w.redraw(h, d)
		}
	})
}

// set gives a link its present condition.
func (w *world) set(h *hop, d direction) {
	var cfg [2]netem.Config
	for i := range h.links {
		l := &h.links[i]
		cfg[i] = l.cfg
		if l.calm {
			cfg[i] = netem.Config{Delay: l.delay}
		}
		cfg[i].Down = !l.calm && w.net.Now().Sub(w.origin) < l.until
	}
	w.net.Join(h.client.addr, relayAddr, cfg[up], cfg[down])
}

// heal ends all that is wrong with the network.
func (w *world) heal() {
	w.healed.is, w.healed.at = true, w.net.Now()
	for _, c := range w.clients() {
		h := w.hops[c]
		h.links[up].calm, h.links[down].calm = true, true
		w.set(h, up)
	}
}

// burst loses datagrams in runs: two states, one of which loses everything (Gilbert).
type burst struct {
	rand       *rand.Rand
	bad        bool
	begin, end float64
}

func (w *world) newBurst() *burst {
	mean := 1 + 20*w.rand.Float64()
	loss := 0.4 * w.rand.Float64()
	return &burst{rand: rand.New(rand.NewPCG(w.rand.Uint64(), 1)), end: 1 / mean, begin: loss / (1 - loss) / mean}
}

func (b *burst) drop([]byte) bool {
	if b.bad {
		b.bad = b.rand.Float64() >= b.end
	} else {
		b.bad = b.rand.Float64() < b.begin
	}
	return b.bad
}

// tap does to datagrams what a link does not, and keeps the accounts.
func (w *world) tap(from, to netip.AddrPort, b []byte) [][]byte {
	w.transcript = (w.transcript ^ uint64(b[len(b)-1])<<8 ^ uint64(len(b))) * 0x100000001b3
	d, other := up, from
	if from == relayAddr {
		d, other = down, to
	}
	if to == strangerAddr {
		w.toStranger += len(b)
		return nil
	}
	c := w.byAddr[other]
	if c == nil {
		return nil // an address that was left
	}
	w.hops[c].sent[d] += len(b)
	out := [][]byte{b}
	if w.healed.is {
		return out
	}
	p := &w.plan
	if p.corrupt > 0 && w.chance(p.corrupt) {
		hurt := slices.Clone(b)
		for range 1 + w.rand.IntN(3) {
			hurt[w.rand.IntN(len(hurt))] ^= 1 << w.rand.IntN(8)
		}
		w.hurt[maphash.Bytes(w.hash, hurt)] = struct{}{}
		out[0] = hurt
	}
	if p.duplicate > 0 && w.chance(p.duplicate) {
		out = append(out, out[0])
	}
	if p.replay > 0 {
		if w.chance(p.replay) {
			if old := w.recent[w.rand.IntN(len(w.recent))]; old != nil {
				out = append(out, old)
			}
		}
		if w.chance(0.2) {
			w.recent[w.recentAt] = slices.Clone(b)
			w.recentAt = (w.recentAt + 1) % len(w.recent)
		}
	}
	if d == up && p.stranger > 0 && w.relay.loop != nil && w.chance(p.stranger) {
		w.intrude(b)
	}
	return out
}

// damaged reports whether a datagram is one that the tap has hurt.
func (w *world) damaged(b []byte) bool {
	if len(w.hurt) == 0 {
		return false
	}
	_, ok := w.hurt[maphash.Bytes(w.hash, b)]
	return ok
}

// intrude sends a copy of a client's datagram from a stranger's address, on a way that may be shorter.
func (w *world) intrude(b []byte) {
	c := slices.Clone(b)
	w.net.At(w.most(200*time.Millisecond), func(time.Time) {
		w.fromStranger += len(c)
		w.gate.HandleDatagram(w.net.Now(), transport.Path{Addr: strangerAddr}, c)
		w.net.Kick(relayAddr)
	})
}
