package netem

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// seeded gives a random source and tells its seed should the test fail.
func seeded(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with -seed=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// origin is when all tests begin.
var origin = time.Unix(1000, 0)

func at(d time.Duration) time.Time { return origin.Add(d) }

const ms = time.Millisecond

// send sends datagrams of the given size that hold their number.
func send(l *Link, now time.Time, from, count, size int) {
	b := make([]byte, size)
	for i := range count {
		binary.BigEndian.PutUint32(b, uint32(from+i))
		l.Send(now, b)
	}
}

// drain receives all until the given time, going from event to event, and tells number and time of each.
func drain(t *testing.T, l *Link, until time.Time) (lines []string) {
	t.Helper()
	var buf [1500]byte
	for {
		now, ok := l.Next()
		if !ok || now.After(until) {
			return lines
		}
		for {
			n, ok := l.Receive(now, buf[:])
			if !ok {
				break
			}
			if n < 4 {
				t.Fatalf("datagram of %d bytes", n)
			}
			lines = append(lines, fmt.Sprintf("%d@%v", binary.BigEndian.Uint32(buf[:]), now.Sub(origin)))
		}
		if later, ok := l.Next(); ok && !later.After(now) {
			t.Fatalf("at %v the next event is at %v", now.Sub(origin), later.Sub(origin))
		}
	}
}

func expect(t *testing.T, got []string, want string) {
	t.Helper()
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// checkStats holds that every datagram is accounted for once.
func checkStats(t *testing.T, s Stats) {
	t.Helper()
	sum := s.Delivered + s.InTransit + s.Lost + s.QueueDropped + s.DownDropped + s.TestDropped + s.LimitDropped
	if s.Sent+s.Duplicated != sum {
		t.Errorf("%d sent or copied but %d accounted for: %+v", s.Sent+s.Duplicated, sum, s)
	}
}

const forever = 1000 * time.Hour

func TestZeroConfig(t *testing.T) {
	l := NewLink(Config{})
	if _, ok := l.Next(); ok {
		t.Error("a new link has an event")
	}
	sent := []byte("hello")
	l.Send(origin, sent)
	sent[0] = 'j'
	var buf [10]byte
	n, ok := l.Receive(origin, buf[:])
	if !ok || string(buf[:n]) != "hello" {
		t.Errorf("received %q, %v", buf[:n], ok)
	}
	if _, ok := l.Receive(at(time.Hour), buf[:]); ok {
		t.Error("received it twice")
	}
	l.Send(at(time.Hour), nil)
	if n, ok := l.Receive(at(time.Hour), buf[:]); n != 0 || !ok {
		t.Error("an empty datagram did not arrive")
	}
	l.Send(at(time.Hour), []byte("longer than the buffer"))
	if n, _ := l.Receive(at(time.Hour), buf[:]); string(buf[:n]) != "longer tha" {
		t.Errorf("received %q", buf[:n])
	}
	checkStats(t, l.Stats())
}

func TestDelay(t *testing.T) {
	l := NewLink(Config{Delay: 50 * ms})
	send(l, at(0), 1, 2, 100)
	send(l, at(10*ms), 3, 1, 100)
	var buf [100]byte
	if _, ok := l.Receive(at(50*ms-1), buf[:]); ok {
		t.Error("a datagram came too early")
	}
	expect(t, drain(t, l, at(forever)), "1@50ms 2@50ms 3@60ms")
}

func TestRate(t *testing.T) {
	// 1000 bytes at 1 Mbit/s take 8 ms.
	l := NewLink(Config{Delay: 50 * ms, Rate: 1e6})
	send(l, at(0), 1, 2, 1000)
	send(l, at(12*ms), 3, 1, 1000)
	expect(t, drain(t, l, at(100*ms)), "1@58ms 2@66ms 3@74ms")
	send(l, at(100*ms), 4, 1, 1000)
	expect(t, drain(t, l, at(forever)), "4@158ms")
}

func TestQueue(t *testing.T) {
	// The wait of the n-th is 8·(n−1) ms: the sixth would wait 40 ms, which is allowed, the seventh 48 ms.
	l := NewLink(Config{Rate: 1e6, Queue: 40 * ms})
	send(l, at(0), 1, 9, 1000)
	if s := l.Stats(); s.QueueDropped != 3 || s.InTransit != 6 {
		t.Errorf("%+v", s)
	}
	// After 8 ms one has been served, so there is room for one.
	send(l, at(8*ms), 10, 2, 1000)
	expect(t, drain(t, l, at(forever)), "1@8ms 2@16ms 3@24ms 4@32ms 5@40ms 6@48ms 10@56ms")
	checkStats(t, l.Stats())
}

// TestQueueTakesOne shows that a datagram alone passes however slow the link is.
func TestQueueTakesOne(t *testing.T) {
	l := NewLink(Config{Rate: 1000})
	send(l, at(0), 1, 2, 1000)
	expect(t, drain(t, l, at(forever)), "1@8s")
}

func TestRateChanges(t *testing.T) {
	l := NewLink(Config{Rate: 1e6})
	send(l, at(0), 1, 4, 1000)
	// At 4 ms half of the first is out. At half the rate the other half takes 8 ms.
	l.Set(at(4*ms), Config{Rate: 5e5})
	// At 20 ms the second has had 8 of its 16 ms; the rest goes at 4 Mbit/s.
	expect(t, drain(t, l, at(20*ms)), "1@12ms")
	l.Set(at(20*ms), Config{Rate: 4e6})
	expect(t, drain(t, l, at(23*ms)), "2@21ms 3@23ms")
	// Without a rate nothing waits any more.
	l.Set(at(24*ms), Config{})
	expect(t, drain(t, l, at(forever)), "4@24ms")
}

// TestDelayFalls shows that what is sent after the delay became shorter does not overtake, unless it may.
func TestDelayFalls(t *testing.T) {
	for _, c := range []struct {
		reorder bool
		want    string
	}{{false, "1@50ms 2@50ms"}, {true, "2@11ms 1@50ms"}} {
		l := NewLink(Config{Delay: 50 * ms, Reorder: c.reorder})
		send(l, at(0), 1, 1, 100)
		l.Set(at(ms), Config{Delay: 10 * ms, Reorder: c.reorder})
		send(l, at(ms), 2, 1, 100)
		expect(t, drain(t, l, at(forever)), c.want)
	}
}

func TestDown(t *testing.T) {
	l := NewLink(Config{Delay: 10 * ms})
	send(l, at(0), 1, 1, 100)
	l.Set(at(5*ms), Config{Delay: 10 * ms, Down: true})
	send(l, at(5*ms), 2, 1, 100)
	l.Set(at(6*ms), Config{Delay: 10 * ms})
	send(l, at(6*ms), 3, 1, 100)
	expect(t, drain(t, l, at(forever)), "1@10ms 3@16ms")
	if s := l.Stats(); s.DownDropped != 1 {
		t.Errorf("%+v", s)
	}
}

func TestDrop(t *testing.T) {
	l := NewLink(Config{Drop: func(b []byte) bool { return b[3] == 2 }})
	send(l, at(0), 1, 3, 4)
	expect(t, drain(t, l, at(forever)), "1@0s 3@0s")
	if s := l.Stats(); s.TestDropped != 1 {
		t.Errorf("%+v", s)
	}
}

func TestLimits(t *testing.T) {
	l := NewLink(Config{Delay: time.Second, Limit: 1000})
	send(l, at(0), 1, 11, 100)
	if s := l.Stats(); s.LimitDropped != 1 || s.InTransit != 10 {
		t.Errorf("%+v", s)
	}
	l = NewLink(Config{Delay: time.Second})
	send(l, at(0), 1, maxDatagrams+5, 4)
	if s := l.Stats(); s.LimitDropped != 5 {
		t.Errorf("%+v", s)
	}
	drain(t, l, at(forever))
	checkStats(t, l.Stats())
	if len(l.free) > maxFree {
		t.Errorf("%d buffers kept", len(l.free))
	}
}

// TestLoss counts losses; 4.5 standard deviations are allowed.
func TestLoss(t *testing.T) {
	const n = 40000
	for _, c := range []struct{ loss, low, high float64 }{
		{0, 0, 0}, {.05, .0451, .0549}, {.3, .2897, .3103}, {1, 1, 1}, {-1, 0, 0}, {2, 1, 1},
	} {
		l := NewLink(Config{Loss: c.loss, Seed: 7})
		send(l, at(0), 0, n, 4)
		if got := float64(l.Stats().Lost) / n; got < c.low || got > c.high {
			t.Errorf("loss %v: %v were lost", c.loss, got)
		}
	}
}

// TestLossUsesTheBottleneck shows where losses happen.
func TestLossUsesTheBottleneck(t *testing.T) {
	l := NewLink(Config{Rate: 1e6, Loss: 1})
	send(l, at(0), 1, 1, 1000)
	l.Set(at(0), Config{Rate: 1e6})
	send(l, at(0), 2, 1, 1000)
	expect(t, drain(t, l, at(forever)), "2@16ms")
	checkStats(t, l.Stats())
}

func TestJitter(t *testing.T) {
	const n = 5000
	for _, reorder := range []bool{false, true} {
		l := NewLink(Config{Delay: 20 * ms, Jitter: 30 * ms, Reorder: reorder, Seed: 3})
		var buf [4]byte
		last, sum, overtaken := -1, time.Duration(0), 0
		receive := func(now time.Time) {
			for {
				due, _ := l.Next()
				if _, ok := l.Receive(now, buf[:]); !ok {
					return
				}
				i := int(binary.BigEndian.Uint32(buf[:]))
				delay := due.Sub(at(time.Duration(i) * ms))
				if delay < 20*ms || delay > 50*ms {
					t.Fatalf("reorder=%v: datagram %d took %v", reorder, i, delay)
				}
				sum += delay
				if i < last {
					overtaken++
				}
				last = i
			}
		}
		for i := range n {
			receive(at(time.Duration(i) * ms))
			send(l, at(time.Duration(i)*ms), i, 1, 4)
		}
		receive(at(forever))
		if l.Stats().Delivered != n {
			t.Errorf("reorder=%v: %+v", reorder, l.Stats())
		}
		if (overtaken > 0) != reorder {
			t.Errorf("reorder=%v: %d were overtaken", reorder, overtaken)
		}
		if mean := sum / n; reorder && (mean < 34*ms || mean > 36*ms) {
			t.Errorf("mean delay %v", mean)
		}
	}
}

// TestTimeRunsBackwards shows that an earlier time than before is taken for the latest.
func TestTimeRunsBackwards(t *testing.T) {
	l := NewLink(Config{Delay: 10 * ms, Rate: 1e6})
	send(l, at(20*ms), 1, 1, 1000)
	send(l, at(0), 2, 1, 1000)
	expect(t, drain(t, l, at(forever)), "1@38ms 2@46ms")
}

// script runs a link through random sends and changes, which depend on the source alone, receives whatever came after each
// step, or only at the end, and writes down when and what.
func script(rnd *rand.Rand, seed uint64, receiveEach bool) string {
	var out strings.Builder
	l := NewLink(Config{Seed: seed})
	var buf [1500]byte
	now := origin
	receive := func(until time.Time) {
		for {
			due, ok := l.Next()
			if !ok || due.After(until) {
				return
			}
			if n, ok := l.Receive(due, buf[:]); ok {
				fmt.Fprintf(&out, "%v %x\n", due.Sub(origin), buf[:min(n, 4)])
			}
		}
	}
	for i := range 400 {
		now = now.Add(time.Duration(rnd.IntN(5000)) * time.Microsecond)
		if rnd.IntN(20) == 0 {
			l.Set(now, Config{
				Delay:   time.Duration(rnd.IntN(100)) * ms,
				Jitter:  time.Duration(rnd.IntN(30)) * ms,
				Rate:    int64(rnd.IntN(3)) * 1e6,
				Loss:    float64(rnd.IntN(3)) / 5,
				Reorder: rnd.IntN(2) == 0,
			})
		}
		send(l, now, i, 1, 4+rnd.IntN(1400))
		if receiveEach {
			receive(now)
		}
	}
	receive(at(forever))
	fmt.Fprintf(&out, "%+v\n", l.Stats())
	return out.String()
}

func TestSameSeedSameResult(t *testing.T) {
	inputs := seeded(t).Uint64()
	run := func(seed uint64, each bool) string { return script(rand.New(rand.NewPCG(inputs, 1)), seed, each) }
	first := run(5, true)
	if again := run(5, true); again != first {
		t.Error("the same seed gave another result")
	}
	if run(6, true) == first {
		t.Error("another seed gave the same result")
	}
	if late := run(5, false); late != first {
		t.Error("the result depends on when it is fetched")
	}
}

// TestLossStaysWhenTheRateChanges shows that runs with the same seed lose the same datagrams whatever else is different.
func TestLossStaysWhenTheRateChanges(t *testing.T) {
	run := func(cfg Config) (arrived []byte) {
		cfg.Loss, cfg.Seed = .3, 9
		l := NewLink(cfg)
		var buf [4]byte
		for i := range 200 {
			send(l, at(time.Duration(i)*20*ms), i, 1, 4)
		}
		for {
			if _, ok := l.Receive(at(forever), buf[:]); !ok {
				return arrived
			}
			arrived = append(arrived, buf[3])
		}
	}
	if !bytes.Equal(run(Config{}), run(Config{Rate: 1e5, Jitter: 10 * ms, Delay: ms})) {
		t.Error("other datagrams were lost")
	}
}

// TestVirtualTimeOrder compares the heap and the ring with a sorted list under random load.
func TestVirtualTimeOrder(t *testing.T) {
	rnd := seeded(t)
	l := NewLink(Config{Jitter: 50 * ms, Reorder: true, Rate: 50e6, Seed: rnd.Uint64()})
	var buf [1500]byte
	last := origin
	for i := range 5000 {
		now := at(time.Duration(i) * 200 * time.Microsecond)
		send(l, now, i, 1, 4+rnd.IntN(1000))
		for {
			due, ok := l.Next()
			if !ok || due.After(now) {
				break
			}
			if due.Before(last) {
				t.Fatalf("event at %v after one at %v", due.Sub(origin), last.Sub(origin))
			}
			last = due
			l.Receive(due, buf[:])
		}
	}
	checkStats(t, l.Stats())
}
