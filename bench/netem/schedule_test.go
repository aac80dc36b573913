package netem

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A link changes at the very time, in the midst of a datagram's service, and without being looked at.
func TestSchedule(t *testing.T) {
	steps := []Step{ // not in order
		{At: 100 * ms, Config: Config{Down: true}},
		{At: 50 * ms, Config: Config{Rate: 80_000}},
		{At: 200 * ms, Config: Config{Delay: 10 * ms, Schedule: []Step{{At: 0, Config: Config{Down: true}}}}},
	}
	for _, looks := range []bool{true, false} {
		l := NewLink(Config{Rate: 8000, Schedule: steps})
		var got []string
		look := func(until time.Duration) {
			if looks {
				got = append(got, drain(t, l, at(until))...)
			}
		}
		send(l, at(0), 1, 1, 100) // 50 ms of 100 at the first rate, 5 at the second
		look(99 * ms)
		send(l, at(100*ms), 2, 1, 100) // the change is before what comes at its time
		look(150 * ms)
		send(l, at(200*ms-1), 3, 1, 100)
		send(l, at(200*ms), 4, 1, 100)
		look(forever)
		if looks {
			expect(t, got, "1@55ms 4@210ms")
			if _, ok := l.Next(); ok {
				t.Error("an event that nobody waits for")
			}
		}
		if s := l.Stats(); s.DownDropped != 2 || s.BottleneckBytes != 200 {
			t.Errorf("looks=%v: %+v", looks, s)
		}
	}
}

// Times count from the first use, whatever that is; a new schedule takes the place of the old one, and its past is made up for.
func TestScheduleOrigin(t *testing.T) {
	down := []Step{{At: 10 * ms, Config: Config{Down: true}}, {At: 20 * ms}}
	l := NewLink(Config{Schedule: down})
	if _, ok := l.Next(); ok {
		t.Error("an event before the first use")
	}
	l.Receive(at(time.Hour), nil)
	send(l, at(time.Hour+9*ms), 1, 1, 4)
	send(l, at(time.Hour+10*ms), 2, 1, 4)
	l.Set(at(time.Hour+15*ms), Config{Delay: ms, Schedule: down})
	send(l, at(time.Hour+15*ms), 3, 1, 4)
	l.Set(at(time.Hour+16*ms), Config{Delay: ms})
	send(l, at(time.Hour+16*ms), 4, 1, 4)
	send(l, at(time.Hour+30*ms), 5, 1, 4)
	expect(t, arrivals(l, at(forever)), "1@1h0m0.009s 4@1h0m0.017s 5@1h0m0.031s")
}

func TestWithOutage(t *testing.T) {
	describe := func(c Config) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%v", c.Delay)
		for _, s := range c.Schedule {
			fmt.Fprintf(&b, " %v:%v", s.At, s.Config.Delay)
			if s.Config.Down {
				b.WriteString("x")
			}
			if s.Config.Schedule != nil {
				b.WriteString("!")
			}
		}
		return b.String()
	}
	plain := Config{Delay: 1}
	stepped := Config{Delay: 1, Schedule: []Step{{20, Config{Delay: 2}}, {40, Config{Delay: 3}}}}
	for _, c := range []struct{ got, want string }{
		{describe(plain.WithOutage(10, 5)), "1ns 10ns:1nsx 15ns:1ns"},
		{describe(plain.WithOutage(10, 0)), "1ns 10ns:1ns"},
		{describe(plain.WithOutage(-10, 5)), "1ns 0s:1nsx 5ns:1ns"},
		{describe(stepped.WithOutage(10, 50)), "1ns 10ns:1nsx 20ns:2nsx 40ns:3nsx 60ns:3ns"},
		{describe(stepped.WithOutage(20, 20)), "1ns 20ns:2nsx 40ns:3ns"},
		{describe(plain.WithOutage(10, 50).WithOutage(20, 10)), "1ns 10ns:1nsx 20ns:1nsx 30ns:1nsx 60ns:1ns"},
		{describe(plain.WithOutage(20, 10).WithOutage(10, 15)), "1ns 10ns:1nsx 20ns:1nsx 25ns:1nsx 30ns:1ns"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
	l := NewLink(plain.WithOutage(100*ms, 50*ms))
	send(l, at(0), 0, 1, 4)
	for d := 99 * ms; d <= 151*ms; d += ms {
		send(l, at(d), 0, 1, 4)
	}
	if s := l.Stats(); s.DownDropped != 50 {
		t.Errorf("%d dropped in 50 ms", s.DownDropped)
	}
}

func TestQueueBytes(t *testing.T) {
	l := NewLink(Config{Rate: 1e6, QueueBytes: 2500, Queue: 1}) // the queue in time is not looked at
	send(l, at(0), 1, 3, 1000)
	send(l, at(0), 4, 1, 500)
	expect(t, drain(t, l, at(forever)), "1@8ms 2@16ms 4@20ms")
	l.Set(at(time.Second), Config{Rate: 1e6, QueueBytes: 1})
	send(l, at(time.Second), 5, 2, 1000) // one alone passes
	if s := l.Stats(); s.QueueDropped != 2 {
		t.Errorf("%+v", s)
	}
	l.Set(at(2*time.Second), Config{QueueBytes: 1})
	send(l, at(2*time.Second), 7, 2, 1000) // without a bottleneck there is no queue
	if s := l.Stats(); s.QueueDropped != 2 {
		t.Errorf("%+v", s)
	}
	checkStats(t, l.Stats())
}

func TestMark(t *testing.T) {
	marks := func(l *Link) (out string) {
		var buf [1500]byte
		for {
			_, ce, ok := l.ReceiveMarked(at(forever), buf[:])
			if !ok {
				return out
			}
			out += map[bool]string{false: "-", true: "M"}[ce]
		}
	}
	// The n-th waits 8·(n−1) ms: 16 ms is still no longer than the threshold.
	l := NewLink(Config{Rate: 1e6, Mark: 16 * ms, Delay: 30 * ms})
	send(l, at(0), 1, 6, 1000)
	if got := marks(l); got != "---MMM" || l.Stats().Marked != 3 {
		t.Errorf("%s, %d marked", got, l.Stats().Marked)
	}
	s := l.Stats()
	if p50, p95 := s.QueueDelay.Quantile(.5), s.QueueDelay.Quantile(.95); !near(float64(p50), 16e6, .15) || !near(float64(p95), 40e6, .15) || s.QueueDelay.Count() != 6 {
		t.Errorf("%v of %d", s.QueueDelay, s.QueueDelay.Count())
	}
	for name, c := range map[string]Config{"none": {Rate: 1e6}, "no bottleneck": {Mark: 1}} {
		l := NewLink(c)
		send(l, at(0), 1, 3, 1000)
		if got := marks(l); got != "---" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Under a trace to wait for an opportunity counts. A copy has the mark of the first.
	l = NewLink(Config{Trace: parse(t, "10\n20\n30\n"), Mark: 19 * ms, Duplicate: 1})
	send(l, at(0), 1, 3, 1500)
	if got := marks(l); got != "--MMMM" || l.Stats().Marked != 2 {
		t.Errorf("%s, %d marked", got, l.Stats().Marked)
	}
}

// Everything at once, drawn at random: the result is the same for the same seed, however seldom it is fetched, and every datagram is
// accounted for.
func TestEverythingAtOnce(t *testing.T) {
	rnd := seeded(t)
	traces := []*Trace{nil, parse(t, "3\n3\n9\n50\n"), parse(t, "1\n")}
	draw := func() Config {
		c := Config{
			Delay: time.Duration(rnd.IntN(50)) * ms, Jitter: time.Duration(rnd.IntN(20)) * ms, Reorder: rnd.IntN(2) == 0,
			Loss: rnd.Float64() / 2, Burst: float64(rnd.IntN(4)), BurstTime: time.Duration(rnd.IntN(2)*rnd.IntN(50)) * ms,
			Duplicate: rnd.Float64() / 3, Rate: int64(rnd.IntN(3)) * 1e6, Trace: traces[rnd.IntN(len(traces))],
			QueueBytes: rnd.IntN(2) * 20_000, Mark: time.Duration(rnd.IntN(30)) * ms, Down: rnd.IntN(8) == 0, Seed: 5,
		}
		return c
	}
	for range 50 {
		cfg := draw()
		for range rnd.IntN(5) {
			cfg.Schedule = append(cfg.Schedule, Step{At: time.Duration(rnd.IntN(1500)) * ms, Config: draw()})
		}
		inputs := rnd.Uint64()
		run := func(each bool) (lines []string) {
			r := rand.New(rand.NewPCG(inputs, 1))
			l := NewLink(cfg)
			now := time.Duration(0)
			for i := range 500 {
				now += time.Duration(r.IntN(8000)) * time.Microsecond
				send(l, at(now), i, 1, 4+r.IntN(1400))
				if each {
					lines = append(lines, arrivals(l, at(now))...)
				}
			}
			lines = append(lines, arrivals(l, at(forever))...)
			checkStats(t, l.Stats())
			if l.Stats().InTransit != 0 || l.bytes != 0 || l.queue.bytes != 0 {
				t.Errorf("something is left: %+v", l.Stats())
			}
			return append(lines, fmt.Sprintf("%+v", l.Stats()))
		}
		if first, late := run(true), run(false); !slices.Equal(first, late) {
			t.Fatalf("the result depends on when it is fetched, of %+v", cfg)
		}
	}
}

// arrivals is drain for a link that is fetched from late: it tells when each was due.
func arrivals(l *Link, until time.Time) (lines []string) {
	var buf [1500]byte
	for {
		due, ok := l.Next()
		if !ok || due.After(until) {
			return lines
		}
		if _, ok := l.Receive(due, buf[:]); ok {
			lines = append(lines, fmt.Sprintf("%d@%v", binary.BigEndian.Uint32(buf[:]), due.Sub(origin)))
		}
	}
}
