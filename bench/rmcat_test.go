package bench

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"
)

const millis = time.Millisecond

// constantEnd sends datagrams of one size in even intervals; the other end of its flow is one that sends none.
type constantEnd struct {
	size  int
	every time.Duration
	next  time.Time
	got   int
}

func (e *constantEnd) HandleDatagram(_ time.Time, b []byte) { e.got += len(b) }
func (e *constantEnd) HandleTimeout(time.Time)              {}
func (e *constantEnd) Deadline() time.Time                  { return e.next }
func (e *constantEnd) Flush(now time.Time, send func(b []byte)) {
	for !e.next.IsZero() && !e.next.After(now) {
		send(make([]byte, e.size))
		e.next = e.next.Add(e.every)
	}
}

// constant runs a source of 1000-byte datagrams against 1 Mbit/s for 10 s.
func constant(t *testing.T, rate float64, loss float64) (*dumbbell, *constantEnd) {
	t.Helper()
	start := time.Unix(0, 0)
	d := newDumbbell(start, start, rmcatQueue)
	d.setRate(forward, mbit)
	sink := &constantEnd{}
	d.add([2]end{&constantEnd{size: 1000, every: time.Duration(8000 / rate * float64(sec)), next: start}, sink},
		[2]*leg{newLeg(rmcatOneWay, 0, loss, 1, 0), newLeg(rmcatOneWay, 0, loss, 1, 1)})
	if err := d.run(t.Context(), 10*sec); err != nil {
		t.Fatal(err)
	}
	return d, sink
}

// A source below the rate uses what it sends and waits for nothing; one above fills the queue and the link. Loss behind the bottleneck
// changes nothing in front of it.
func TestDumbbell(t *testing.T) {
	steps, whole := []step{{0, mbit}}, span{0, 10 * sec}
	for _, loss := range []float64{0, 0.2} {
		d, sink := constant(t, 0.9*mbit, loss)
		n := &d.necks[forward]
		if u := utilisation(n.passed, steps, whole); math.Abs(u-0.9) > 0.002 {
			t.Errorf("utilisation %.4f by a source of 0.9", u)
		}
		if q := quantiles(waits(n.passed, whole, nil)); q.P99 != 0 || n.dropped != 0 {
			t.Errorf("datagrams waited for %v ms, %d were dropped", q.P99, n.dropped)
		}
		if share := float64(sink.got) * 8 / 9e6; math.Abs(share-(1-loss)) > 0.05 {
			t.Errorf("%.3f arrived at loss %v", share, loss)
		}
	}
	d, _ := constant(t, 1.2*mbit, 0)
	n := &d.necks[forward]
	if u := utilisation(n.passed, steps, whole); u < 0.998 || u > 1 {
		t.Errorf("utilisation %.4f by a source of 1.2", u)
	}
	if q := quantiles(waits(n.passed, span{5 * sec, 10 * sec}, nil)); q.P50 < 290 || q.P99 > 300 {
		t.Errorf("datagrams waited for %v to %v ms in a full queue of 300", q.P50, q.P99)
	}
	if n.dropped == 0 {
		t.Error("nothing was dropped")
	}
}

// A rate that changes holds from that moment on.
func TestDumbbellRate(t *testing.T) {
	start := time.Unix(0, 0)
	d := newDumbbell(start, start, rmcatQueue)
	d.setRate(forward, mbit)
	d.at(5*sec, func(time.Time) { d.setRate(forward, mbit/2) })
	d.add([2]end{&constantEnd{size: 1000, every: 4 * millis, next: start}, &constantEnd{}},
		[2]*leg{newLeg(0, 0, 0, 1, 0), newLeg(0, 0, 0, 1, 1)})
	if err := d.run(t.Context(), 10*sec); err != nil {
		t.Fatal(err)
	}
	steps := []step{{0, mbit}, {5 * sec, mbit / 2}}
	for _, s := range []span{{1 * sec, 5 * sec}, {5 * sec, 10 * sec}, {1 * sec, 10 * sec}} {
		if u := utilisation(d.necks[forward].passed, steps, s); u < 0.995 || u > 1.005 {
			t.Errorf("utilisation %.4f in %v", u, s)
		}
	}
}

// A leg delays by no less than its delay and no more than its jitter beside it, in order.
func TestLeg(t *testing.T) {
	l := newLeg(rmcatOneWay, DefaultRmcatJitter, 0.1, 5, 6)
	start := time.Unix(0, 0)
	const n, every = 5000, 10 * millis
	var sum time.Duration
	for i := range n {
		l.send(start.Add(time.Duration(i)*every), []byte{byte(i), byte(i >> 8)})
	}
	got, last := 0, -1
	for at, ok := l.next(); ok; at, ok = l.next() {
		b := l.receive()
		i := int(b[0]) | int(b[1])<<8
		took := at.Sub(start.Add(time.Duration(i) * every))
		if i <= last || took < rmcatOneWay || took > rmcatOneWay+DefaultRmcatJitter {
			t.Fatalf("datagram %d after %d, %v after it was sent", i, last, took)
		}
		last, sum, got = i, sum+took-rmcatOneWay, got+1
	}
	if mean := sum / time.Duration(got); mean < 14*millis || mean > 17*millis {
		t.Errorf("mean jitter %v", mean)
	}
	if share := float64(n-got) / n; share < 0.085 || share > 0.115 {
		t.Errorf("%.3f lost", share)
	}
}

func TestJain(t *testing.T) {
	for _, c := range []struct {
		shares []float64
		want   float64
	}{{[]float64{2, 2, 2}, 1}, {[]float64{1, 0, 0, 0}, 0.25}, {[]float64{3, 1}, 0.8}, {nil, 0}, {[]float64{0, 0}, 0}} {
		if got := jain(c.shares); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", c.shares, got, c.want)
		}
	}
}

// queueOf is datagrams that leave the queue every 10 ms, having waited as long as f says.
func queueOf(s span, f func(t time.Duration) time.Duration) []passage {
	var out []passage
	for t := s.from; t < s.to; t += 10 * millis {
		out = append(out, passage{at: t, left: t + 10*millis, wait: f(t), size: 1250})
	}
	return out
}

func TestRecovery(t *testing.T) {
	whole := span{10 * sec, 20 * sec}
	high := func(spans ...span) []passage {
		return queueOf(whole, func(t time.Duration) time.Duration {
			if slices.ContainsFunc(spans, func(s span) bool { return s.holds(t) }) {
				return recoveredQueue
			}
			return recoveredQueue - 1
		})
	}
	at := func(from, to int) span { return span{10*sec + ms(from), 10*sec + ms(to)} }
	for _, c := range []struct {
		name   string
		passed []passage
		want   int // ms, less than 0: never
	}{
		{"no queue", high(), 0},
		{"a queue of its own later", high(at(300, 900)), 0},
		{"a queue", high(at(0, 400)), 390},
		{"a queue that begins late", high(at(150, 400)), 390},
		{"back only for a moment", high(at(0, 400), at(450, 600)), 590},
		{"back, and again much later", high(at(0, 400), at(700, 900)), 390},
		{"to the end", high(at(0, 10_000)), -1},
		{"nothing passes", nil, 0},
	} {
		got, ok := recovery(c.passed, whole)
		if ok != (c.want >= 0) || ok && got.Truncate(millis) != ms(c.want) || !ok && got != 10*sec {
			t.Errorf("%s: %v, %v; want %d ms", c.name, got, ok, c.want)
		}
	}
}

func TestRise(t *testing.T) {
	// 1 Mbit/s, and from 2.5 s on every datagram is 1.9 times as large.
	passed := queueOf(span{0, 5 * sec}, func(time.Duration) time.Duration { return 0 })
	for i := range passed {
		if passed[i].left > 2500*millis {
			passed[i].size = 2375
		}
	}
	steps := []step{{0, mbit}, {2 * sec, 2 * mbit}}
	if got, ok := rise(passed, steps, span{2 * sec, 5 * sec}); !ok || got < 940*millis || got > 960*millis {
		t.Errorf("rise %v, %v; want 0.5 s and 8/9 of the window", got, ok)
	}
	if got, ok := rise(passed, []step{{0, 3 * mbit}}, span{0, 5 * sec}); ok || got != 5*sec {
		t.Errorf("rise %v, %v to a rate that was never reached", got, ok)
	}
}

// What is left out after a drop is what began to leave the queue in the second after it, no more.
func TestWaits(t *testing.T) {
	whole := span{0, 10 * sec}
	passed := queueOf(whole, func(t time.Duration) time.Duration { return t / 1000 })
	if n := len(waits(passed, whole, nil)); n != 1000 {
		t.Errorf("%d waits of 1000", n)
	}
	drops, rises := changes([]step{{0, 2}, {3 * sec, 1}, {5 * sec, 4}, {9500 * millis, 3}}, 10*sec)
	if !slices.Equal(drops, []span{{3 * sec, 5 * sec}, {9500 * millis, 10 * sec}}) || !slices.Equal(rises, []span{{5 * sec, 9500 * millis}}) {
		t.Fatalf("drops %v, rises %v", drops, rises)
	}
	if n := len(waits(passed, whole, drops)); n != 850 {
		t.Errorf("%d waits outside of what follows the drops, want 850", n)
	}
}

// The suite is well formed, and every bound is that of a figure that its case has. How well the figures keep to them is not judged here.
func TestRmcatSuite(t *testing.T) {
	for _, c := range rmcatSuite() {
		for _, steps := range c.capacity {
			if !slices.IsSortedFunc(steps, func(a, b step) int { return int(a.at - b.at) }) || len(steps) > 0 && steps[len(steps)-1].at >= c.length {
				t.Errorf("%s: capacity %v", c.id, steps)
			}
		}
		if c.length > 800*sec {
			t.Errorf("%s: orders of frames would repeat", c.id)
		}
		c.length = min(c.length, 100*sec)
		r, err := runRmcatCase(t.Context(), &c, DefaultRmcatJitter, 1)
		if err != nil {
			t.Errorf("%s: %v", c.id, err)
			continue
		}
		for _, b := range c.bounds {
			if !slices.ContainsFunc(r.Figures, func(f RmcatFigure) bool { return f.Name == b.figure && (f.Min != nil || f.Max != nil) }) {
				t.Errorf("%s has no figure %q", c.id, b.figure)
			}
		}
		if len(r.Flows) != len(c.media)+c.long+c.short {
			t.Errorf("%s: %d flows", c.id, len(r.Flows))
		}
		for _, f := range r.Flows {
			if f.Rate < 1 || f.Media != nil && (f.Media.Frames == 0 || f.Media.Goodput > f.Rate) {
				t.Errorf("%s: flow %+v", c.id, f)
			}
		}
	}
}

// The same seed gives the same report, another one another.
func TestRmcatRepeats(t *testing.T) {
	run := func(seed uint64) []*RmcatReport {
		r, err := RunRmcat(t.Context(), RmcatConfig{Cases: []string{"5.1"}, Losses: []float64{0.1}, Jitter: DefaultRmcatJitter, Seed: seed})
		if err != nil || len(r) != 1 {
			t.Fatal(r, err)
		}
		return r
	}
	a := run(4)
	if !reflect.DeepEqual(a, run(4)) {
		t.Error("a seed gave two reports")
	}
	if b := run(5); reflect.DeepEqual(a[0].Figures, b[0].Figures) {
		t.Error("two seeds gave one report")
	}
}

func TestRmcatChoice(t *testing.T) {
	for _, c := range []struct {
		cfg  RmcatConfig
		want int // cases, below 0: refused
	}{
		{RmcatConfig{}, 11}, {RmcatConfig{Cases: []string{"5.1"}}, 3}, {RmcatConfig{Cases: []string{"5.6", "5.4"}}, 3},
		{RmcatConfig{Cases: []string{"5.1"}, Losses: []float64{0}}, 1}, {RmcatConfig{Cases: []string{"5.6"}, Losses: []float64{0, 0.3}}, 4},
		{RmcatConfig{Cases: []string{"5"}}, -1}, {RmcatConfig{Losses: []float64{1}}, -1}, {RmcatConfig{Losses: []float64{math.NaN()}}, -1},
		{RmcatConfig{Jitter: -1}, -1},
	} {
		got, err := c.cfg.choose()
		if (err != nil) != (c.want < 0) || err == nil && len(got) != c.want {
			t.Errorf("%+v: %d cases, %v", c.cfg, len(got), err)
		}
	}
	got, err := (&RmcatConfig{Cases: []string{"5.1"}, Losses: []float64{0.1}}).choose()
	if err != nil || len(got) != 1 || len(got[0].bounds) == 0 || got[0].loss != 0.1 {
		t.Errorf("the suite's own case with loss has lost its bounds: %+v, %v", got, err)
	}
}

func TestRmcatFigureOK(t *testing.T) {
	one, two := 1.0, 2.0
	for _, c := range []struct {
		f    RmcatFigure
		want bool
	}{
		{RmcatFigure{Value: 9}, true}, {RmcatFigure{Value: 9, Never: true}, true}, {RmcatFigure{Value: 1.5, Min: &one, Max: &two}, true},
		{RmcatFigure{Value: 0.9, Min: &one}, false}, {RmcatFigure{Value: 2.1, Max: &two}, false}, {RmcatFigure{Value: 1, Max: &two, Never: true}, false},
	} {
		if got := c.f.OK(); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
