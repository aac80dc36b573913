package netem

import (
	"math"
	"strings"
	"testing"
	"time"
)

// losses sends datagrams at an interval and counts those that are lost, and in how many runs.
func losses(l *Link, n int, every time.Duration) (lost, runs int) {
	var buf [4]byte
	before, inRun := l.Stats().Lost, false
	for i := range n {
		send(l, at(time.Duration(i)*every), i, 1, 4)
		for ok := true; ok; {
			_, ok = l.Receive(at(time.Duration(i)*every), buf[:])
		}
		after := l.Stats().Lost
		if after > before {
			lost++
			if !inRun {
				runs++
			}
		}
		inRun, before = after > before, after
	}
	return lost, runs
}

// near reports whether a figure is within a share of another.
func near(got, want, share float64) bool { return math.Abs(got-want) <= share*want }

// Over many seeds the share of losses and the length of their runs are what was asked for, also where short runs leave no room for the
// share. No seed is far off.
func TestBurst(t *testing.T) {
	const seeds, n = 40, 20_000
	rnd := seeded(t)
	for _, c := range []struct{ loss, burst, want float64 }{
		{.1, 0, 1 / .9}, {.1, 3, 3}, {.01, 3, 3}, {.3, 8, 8}, {.8, 2, 4}, {.5, 1.5, 1.5}, {.6, 1, 1 / .4}, {.05, 1, 1 / .95},
	} {
		allLost, allRuns := 0, 0
		for range seeds {
			l := NewLink(Config{Loss: c.loss, Burst: c.burst, Seed: rnd.Uint64()})
			lost, runs := losses(l, n, 0)
			allLost, allRuns = allLost+lost, allRuns+runs
			deviation := math.Sqrt(c.loss * (1 - c.loss) * 2 * c.want / n) // of the share, with runs of that length
			if share := float64(lost) / n; math.Abs(share-c.loss) > 6*deviation {
				t.Errorf("loss %v in runs of %v: %v with one seed", c.loss, c.burst, share)
			}
		}
		if share := float64(allLost) / (seeds * n); math.Abs(share-c.loss) > 6*math.Sqrt(c.loss*(1-c.loss)*2*c.want/(seeds*n)) {
			t.Errorf("loss %v in runs of %v: %v were lost", c.loss, c.burst, share)
		}
		if mean := float64(allLost) / float64(allRuns); !near(mean, c.want, .1) {
			t.Errorf("loss %v in runs of %v: they were %v long", c.loss, c.burst, mean)
		}
	}
	for _, c := range []struct{ loss, want float64 }{{0, 0}, {-1, 0}, {1, 100}, {2, 100}} {
		if lost, _ := losses(NewLink(Config{Loss: c.loss, Burst: 3}), 100, 0); float64(lost) != c.want {
			t.Errorf("loss %v: %d of 100 were lost", c.loss, lost)
		}
	}
}

// Stepped by time a bad state is as long for a busy link as for a quiet one: it takes many datagrams of the first in a row, and of the
// second hardly two.
func TestBurstTime(t *testing.T) {
	rnd := seeded(t)
	const every = ms
	allLost, allRuns, quietLost, quietRuns := 0, 0, 0, 0
	const seeds, n = 20, 50_000
	for range seeds {
		cfg := Config{Loss: .1, BurstTime: 30 * ms, Seed: rnd.Uint64()}
		lost, runs := losses(NewLink(cfg), n, every)
		allLost, allRuns = allLost+lost, allRuns+runs
		lost, runs = losses(NewLink(cfg), n/20, 500*ms)
		quietLost, quietRuns = quietLost+lost, quietRuns+runs
	}
	if share := float64(allLost) / (seeds * n); !near(share, .1, .15) {
		t.Errorf("busy: %v were lost", share)
	}
	if mean := time.Duration(float64(allLost) / float64(allRuns) * float64(every)); mean < 27*ms || mean > 33*ms {
		t.Errorf("busy: runs of %v", mean)
	}
	if share := float64(quietLost) / (seeds * n / 20); !near(share, .1, .15) {
		t.Errorf("quiet: %v were lost", share)
	}
	if mean := float64(quietLost) / float64(quietRuns); mean > 1.2 {
		t.Errorf("quiet: runs of %v", mean)
	}
	for loss, want := range map[float64]int{0: 0, 1: 100} {
		if lost, _ := losses(NewLink(Config{Loss: loss, BurstTime: ms}), 100, ms); lost != want {
			t.Errorf("loss %v: %d of 100 were lost", loss, lost)
		}
	}
}

// Whether a time is bad depends on nothing but the seed: neither on what is sent nor on the bottleneck.
func TestBurstTimeIsOfTheTime(t *testing.T) {
	bad := func(cfg Config, every time.Duration) map[time.Duration]bool {
		cfg.Loss, cfg.BurstTime, cfg.Seed = .3, 20*ms, 11
		l := NewLink(cfg)
		l.Receive(origin, nil)
		out := make(map[time.Duration]bool)
		for d := every; d < 4*time.Second; d += every {
			before := l.Stats().Lost
			send(l, at(d), 1, 1, 4)
			l.Receive(at(d+every-1), nil)
			out[d] = l.Stats().Lost > before
		}
		return out
	}
	often, seldom := bad(Config{}, ms), bad(Config{Jitter: 5 * ms}, 10*ms)
	for d, b := range seldom {
		if often[d] != b {
			t.Errorf("at %v a busy link lost %v, a quiet one %v", d, often[d], b)
		}
	}
	// Behind a bottleneck that takes 10 ms, what is sent at one time is on the wire at another.
	for d, b := range bad(Config{Rate: 3200}, 20*ms) {
		if often[d+10*ms] != b && d+10*ms < 4*time.Second {
			t.Errorf("at %v a slow link lost %v", d, b)
		}
	}
}

// A change of the means keeps the state, and a share that has become another holds from then on.
func TestBurstTimeChanges(t *testing.T) {
	lost, again := 0, 0
	for seed := range uint64(200) {
		l := NewLink(Config{Loss: .5, BurstTime: 50 * ms, Seed: seed})
		send(l, at(0), 1, 1, 4)
		lost += int(l.Stats().Lost)
		l.Set(at(0), Config{Loss: .05, BurstTime: 50 * ms})
		before := l.Stats().Lost
		for i := range 100 {
			send(l, at(time.Second+time.Duration(i)*100*ms), 1, 1, 4)
		}
		again += int(l.Stats().Lost - before)
	}
	if lost < 70 || lost > 130 {
		t.Errorf("%d of 200 began in the bad state", lost)
	}
	if again < 700 || again > 1300 {
		t.Errorf("%d of 20000 were lost after the change", again)
	}
	l := NewLink(Config{})
	l.Set(at(time.Hour), Config{Loss: .5, BurstTime: 10 * ms})
	send(l, at(2*time.Hour), 0, 1, 4)
	l.Set(at(3*time.Hour), Config{BurstTime: 10 * ms})
	before := l.Stats().Lost
	send(l, at(900*time.Hour), 0, 100, 4)
	if l.Stats().Lost > before {
		t.Error("lost without a loss")
	}
}

func TestDuplicate(t *testing.T) {
	for _, reorder := range []bool{false, true} {
		l := NewLink(Config{Delay: 10 * ms, Jitter: 20 * ms, Reorder: reorder, Duplicate: .25, Loss: .2, Seed: 7})
		const n = 8000
		for i := range n {
			send(l, at(time.Duration(i)*ms), i, 1, 100)
		}
		apart, times := 0, make(map[string]string)
		got := drain(t, l, at(forever))
		for _, line := range got {
			number, when, _ := strings.Cut(line, "@")
			if first, twice := times[number]; twice && first != when {
				apart++
			} else if twice {
				times[number] = "both"
			} else {
				times[number] = when
			}
		}
		s := l.Stats()
		checkStats(t, s)
		if want := .25 * .8 * n; !near(float64(s.Duplicated), want, .1) || len(got) != len(times)+int(s.Duplicated) {
			t.Errorf("reorder=%v: %d copies, %d datagrams of %d, %d arrivals", reorder, s.Duplicated, len(times), n, len(got))
		}
		if apart == 0 {
			t.Errorf("reorder=%v: no copy came at another time", reorder)
		}
	}
	l := NewLink(Config{Duplicate: 1, Limit: 250, Delay: ms})
	send(l, at(0), 1, 2, 100)
	expect(t, drain(t, l, at(forever)), "1@1ms 1@1ms") // no room for the second: the limit holds for copies too
	checkStats(t, l.Stats())
}

func TestDelays(t *testing.T) {
	var d Delays
	if d.Quantile(.5) != 0 || d.Count() != 0 {
		t.Errorf("empty: %v", d)
	}
	rnd := seeded(t)
	for range 10_000 {
		v := time.Duration(math.Exp(rnd.Float64()*15) * 1e5) // 100 µs to 5 min
		i := bucketOf(v)
		if low, high := bucketFloor(i), bucketFloor(i+1); v < low || v >= high && i < delayBuckets-1 || high-low > max(low/8, 1<<delayUnit) {
			t.Fatalf("%v is in bucket %d from %v to %v", v, i, low, high)
		}
	}
	for i := range 1000 {
		d.note(time.Duration(i) * ms / 10)
	}
	earlier := d
	for range 1000 {
		d.note(2 * time.Second)
	}
	d.note(-1)
	d.note(math.MaxInt64)
	for q, want := range map[float64]time.Duration{0: 0, .25: 50 * ms, .45: 90 * ms, .75: 2 * time.Second} {
		if got := d.Quantile(q); !near(float64(got), float64(want), .125) {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if late := d.Since(earlier); late.Count() != 1002 || !near(float64(late.Quantile(.5)), 2e9, .125) {
		t.Errorf("since: %v of %d", late, late.Count())
	}
	if sum := (Stats{QueueDelay: d}).Add(Stats{QueueDelay: earlier}); sum.QueueDelay.Count() != 3002 {
		t.Errorf("%d in the sum", sum.QueueDelay.Count())
	}
}
