package transport

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"duet/transport/wire"
)

var zero = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestSpare(t *testing.T) {
	for _, c := range []struct {
		k    int
		loss float64
		miss float64
	}{
		{1, 0, 1e-3}, {1, 0.01, 1e-3}, {1, 0.12, 1e-3}, {10, 0.01, 0.1}, {10, 0.05, 1e-3}, {10, 0.2, 1e-3}, {100, 0.05, 1e-3}, {128, 0.3, 1e-3},
	} {
		r := spare(c.k, c.loss, c.miss)
		if got := binomialTail(c.k+r, r, c.loss); got > c.miss {
			t.Errorf("k=%d loss=%v: %d spare symbols leave %v", c.k, c.loss, r, got)
		}
		if r > 0 {
			if got := binomialTail(c.k+r-1, r-1, c.loss); got <= c.miss {
				t.Errorf("k=%d loss=%v: %d spare symbols would do (%v)", c.k, c.loss, r-1, got)
			}
		}
	}
	if r := spare(MaxBlock, 0.9, 1e-9); r > 2*MaxBlock+2 {
		t.Errorf("%d spare symbols for a hopeless path", r)
	}
}

// binomialTail is the probability that more than r of n are lost, by logarithms of factorials.
func binomialTail(n, r int, p float64) (sum float64) {
	for i := r + 1; i <= n; i++ {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		c, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(a - b - c + float64(i)*math.Log(p) + float64(n-i)*math.Log(1-p))
	}
	return sum
}

func TestAdaptive(t *testing.T) {
	lossy := Plan{K: 10, Loss: 0.1}
	with := func(change func(*Plan)) Plan { p := lossy; change(&p); return p }
	for _, c := range []struct {
		name   string
		p      Plan
		parity bool
	}{
		{"no round left", lossy, true},
		{"two rounds", with(func(p *Plan) { p.Rounds = 2 }), true},
		{"no loss", with(func(p *Plan) { p.Loss = 0 }), false},
		{"a queue", with(func(p *Plan) { p.Queued = true }), false},
	} {
		if got := (Adaptive{}).Parity(c.p); (got > 0) != c.parity {
			t.Errorf("%s: parity %d", c.name, got)
		}
		if got := (Adaptive{}).Extra(2, c.p); got != 0 {
			t.Errorf("%s: extra %d", c.name, got)
		}
	}
}

func TestBlockSpan(t *testing.T) {
	for _, count := range []uint16{1, 2, 127, 128, 129, 255, 256, 257, 1000, 3789, 4096} {
		next := 0
		for index := range count {
			first, k := blockSpan(index, count)
			if k < 1 || k > MaxBlock || int(index) < first || int(index) >= first+k || first+k > int(count) {
				t.Fatalf("packet %d of %d: block of %d from %d", index, count, k, first)
			}
			if int(index) == first {
				if first != next {
					t.Fatalf("%d packets: block at %d, want %d", count, first, next)
				}
				next = first + k
			}
		}
		if next != int(count) {
			t.Errorf("%d packets: blocks up to %d", count, next)
		}
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		low  uint32
		near uint64
		want uint64
	}{
		{0, 0, 0}, {5, 3, 5}, {0xffffffff, 0x1_0000_0000, 0xffffffff}, {1, 0xffffffff, 0x1_0000_0001}, {0xffffffff, 2, 0xffffffff},
	} {
		if got := expand(c.low, c.near); got != c.want {
			t.Errorf("expand(%#x, %#x) = %#x, want %#x", c.low, c.near, got, c.want)
		}
	}
	for _, c := range []struct {
		low  uint16
		near uint64
		want uint64
	}{
		{0, 0, 0}, {0xffff, 0x10000, 0xffff}, {1, 0xffff, 0x10001}, {0xffff, 2, 0xffff},
	} {
		if got := expand16(c.low, c.near); got != c.want {
			t.Errorf("expand16(%#x, %#x) = %#x, want %#x", c.low, c.near, got, c.want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, clock := range []time.Duration{0, 63 * time.Microsecond, time.Hour, 80 * time.Hour, 1000 * time.Hour} {
		ticks := Ticks(clock)
		for _, off := range []time.Duration{-time.Hour, -time.Millisecond, 0, time.Second, time.Hour} {
			if got := FromTicks(ticks, clock+off); (got - clock).Abs() >= Tick {
				t.Errorf("%v near %v came back as %v", clock, clock+off, got)
			}
		}
	}
}

func TestSentLogGrowsAndForgets(t *testing.T) {
	var l sentLog
	forgotten := 0
	for i := range 3 * maxSent {
		forgotten += l.add(sentPacket{at: zero.Add(time.Duration(i)), size: 10, eliciting: i%2 == 0})
	}
	if len(l.ring) != maxSent || l.next != 3*maxSent || l.next-l.base > maxSent {
		t.Fatalf("ring of %d holds [%d, %d)", len(l.ring), l.base, l.next)
	}
	if want := int(l.base) / 2 * 10; forgotten != want {
		t.Errorf("forgot %d bytes in flight, want %d", forgotten, want)
	}
	if l.get(l.base-1) != nil || l.get(l.next) != nil || l.get(l.base) == nil {
		t.Error("the log's ends")
	}
	// What is in flight stays, however old; what comes before it and is settled goes.
	l.get(l.base + 100).state = sentInFlight
	for pn := l.base; pn < l.base+100; pn++ {
		l.get(pn).state = sentAcked
	}
	base := l.base
	l.prune(zero.Add(time.Hour))
	if l.base != base+100 && l.base != base+101 {
		t.Errorf("pruned up to %d, want the first in flight at %d", l.base, base+100)
	}
}

// TestControlStreamUnderChaos loses, repeats and reorders frames at random: the messages come whole, in order, once.
func TestControlStreamUnderChaos(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 9))
		var p struct{ from, to Conn }
		p.from.state, p.to.state = stateOpen, stateOpen
		var want [][]byte
		type flight struct {
			at   span
			data []byte
		}
		var out []flight
		for range 20_000 {
			if len(want) < 60 && r.IntN(20) == 0 {
				body := make([]byte, r.IntN(3000)*r.IntN(20)/10)
				for i := range body {
					body[i] = byte(r.Uint32())
				}
				if err := p.from.SendControl(zero, &wire.Control{Type: wire.ControlRecord, Order: uint64(len(want)), Data: body}); err != nil {
					t.Fatal(err)
				}
				want = append(want, body)
			}
			if p.from.control.wants() && r.IntN(2) == 0 {
				if offset, data, ok := p.from.control.next(1 + r.IntN(1200)); ok {
					out = append(out, flight{span{offset, offset + uint32(len(data))}, bytes.Clone(data)})
				}
			}
			if len(out) == 0 || r.IntN(2) == 0 {
				continue
			}
			i := r.IntN(len(out))
			f := out[i]
			switch r.IntN(4) {
			case 0: // lost
				p.from.control.lost(f.at.from, len(f.data))
			case 1: // arrives, and the report of it is lost
				p.to.receiveControl(zero, f.at.from, f.data)
				p.from.control.lost(f.at.from, len(f.data))
			default:
				if p.to.receiveControl(zero, f.at.from, f.data) {
					p.from.control.acked(f.at.from, len(f.data))
				} else {
					p.from.control.lost(f.at.from, len(f.data))
				}
			}
			out = append(out[:i], out[i+1:]...)
			if len(p.to.control.holes) > maxControlHoles {
				t.Fatalf("seed %d: %d holes", seed, len(p.to.control.holes))
			}
		}
		for range 10_000 { // the network heals
			if !p.from.control.wants() && len(out) == 0 {
				break
			}
			if offset, data, ok := p.from.control.next(1171); ok {
				out = append(out, flight{span{offset, offset + uint32(len(data))}, bytes.Clone(data)})
			}
			for _, f := range out {
				p.to.receiveControl(zero, f.at.from, f.data)
				p.from.control.acked(f.at.from, len(f.data))
			}
			out = nil
		}
		got := 0
		for e, ok := p.to.PollEvent(); ok; e, ok = p.to.PollEvent() {
			if e.Control.Order != uint64(got) || !bytes.Equal(e.Control.Data, want[got]) {
				t.Fatalf("seed %d: message %d is another", seed, got)
			}
			got++
		}
		if got != len(want) || !p.from.control.drained() || p.to.state != stateOpen {
			t.Errorf("seed %d: %d of %d messages, drained=%v, state %d", seed, got, len(want), p.from.control.drained(), p.to.state)
		}
	}
}

func TestControlLimits(t *testing.T) {
	var c Conn
	c.state = stateOpen
	// More holes than are held: not kept, not fatal, and room again once one closes.
	for i := range uint32(maxControlHoles) {
		if !c.receiveControl(zero, 10+2*i, []byte{0}) {
			t.Fatalf("hole %d not held", i)
		}
	}
	if c.receiveControl(zero, 10+2*maxControlHoles, []byte{0}) || c.state != stateOpen || c.stats.Dropped[DropControl] != 1 {
		t.Errorf("a hole too many: state %d, %d drops", c.state, c.stats.Dropped[DropControl])
	}
	if !c.receiveControl(zero, 0, make([]byte, 11)) || !c.receiveControl(zero, 10+2*maxControlHoles, []byte{0}) {
		t.Error("no room after a hole has closed")
	}
	// Bytes far beyond what an honest sender has in flight: a breach.
	c.receiveControl(zero, maxControlBuffer+100, []byte{0})
	if c.state != stateClosing || c.closing.code != wire.CloseProtocol {
		t.Errorf("bytes beyond the buffer: state %d, code %v", c.state, c.closing.code)
	}

	var s Conn
	s.state = stateOpen
	record := &wire.Control{Type: wire.ControlRecord, Data: make([]byte, wire.MaxRecordBody)}
	n := 0
	for ; s.SendControl(zero, record) == nil; n++ {
		if n > 100 {
			t.Fatal("no limit")
		}
	}
	if err := s.SendControl(zero, record); err != ErrControlFull || n != maxControlBuffer/wire.MaxRecordBody-1 {
		t.Errorf("after %d records: %v", n, err)
	}
	for s.control.wants() {
		s.control.next(1000)
	}
	if flight := s.control.sentTo - s.control.base; flight > maxControlFlight+1000 {
		t.Errorf("%d control bytes in flight", flight)
	}
}

func TestMalformedControlEndsTheSession(t *testing.T) {
	var c Conn
	c.state = stateOpen
	c.receiveControl(zero, 0, []byte{byte(wire.ControlKeyFrame), 0, 0, 1, 0})
	if c.state != stateClosing || c.closing.code != wire.CloseProtocol {
		t.Errorf("state %d, code %v", c.state, c.closing.code)
	}
}

func TestPacer(t *testing.T) {
	const rate = 1_500_000.0
	var p pacer
	p.init(zero)
	now, sent := zero, 0
	for now.Before(zero.Add(time.Second)) {
		at, ok := p.ready(now, rate, paceBurst)
		if !ok {
			if !at.After(now) {
				t.Fatal("not now, and no later time")
			}
			now = at
			continue
		}
		p.sent(1200)
		sent += 1200
	}
	if sent < rate || sent > rate+2*paceBurst {
		t.Errorf("%d bytes in a second at %v", sent, rate)
	}
	// A long silence gives no more than a burst.
	now = now.Add(time.Hour)
	burst := 0
	for ok := true; ok; burst += 1200 {
		if _, ok = p.ready(now, rate, paceBurst); ok {
			p.sent(1200)
		}
	}
	if burst > 2*paceBurst+2400 {
		t.Errorf("%d bytes at once after a silence", burst)
	}
}

func TestRTTMinimumForgets(t *testing.T) {
	var r rttEstimator
	now := zero
	r.sample(now, 20*time.Millisecond)
	for range 300 {
		now = now.Add(100 * time.Millisecond)
		r.sample(now, 80*time.Millisecond)
	}
	if r.min() != 80*time.Millisecond || (r.srtt()-80*time.Millisecond).Abs() > time.Millisecond {
		t.Errorf("min %v, srtt %v half a minute after the path grew longer", r.min(), r.srtt())
	}
}

func TestLossRateRisesFastAndFallsSlowly(t *testing.T) {
	var r lossRate
	for range 20 {
		r.note(true, false)
	}
	if r.estimate() < 0.2 {
		t.Errorf("after 20 losses: %v", r.estimate())
	}
	high := r.estimate()
	for range 64 {
		r.note(false, false)
	}
	if got := r.estimate(); got > high || got < high/20 {
		t.Errorf("from %v to %v in 64 packets", high, got)
	}
	for i := range 4000 {
		r.follow(i%10 < 3)
	}
	if r.burst < 2.5 || r.burst > 3.5 {
		t.Errorf("mean run of losses %v of runs of three", r.burst)
	}
}
