package transport

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// trial is a sender's congestion control over a path of one bottleneck, in steps of a datagram. The sender makes what it is asked for.
type trial struct {
	g        congestion
	rtt      rttEstimator
	loss     lossRate
	meter    meter
	rng      *rand.Rand
	now      time.Time
	path     trialPath
	free     time.Time // when the bottleneck has served all that it was given
	last     time.Time // the newest arrival: no datagram overtakes another
	flight   []trialDatagram
	reported time.Time

	credit  float64       // bytes of video that are due
	sent    float64       // bytes
	longest time.Duration // queue, since it was last reset
}

type trialPath struct {
	rate    float64 // bytes a second
	way     time.Duration
	jitter  time.Duration
	stalled time.Time     // nothing arrives before
	drift   float64       // of the peer's clock
	others  time.Duration // a queue that somebody else keeps standing
	source  float64       // bytes a second that the source makes at most; 0: what it is asked for
}

type trialDatagram struct {
	left, arrives time.Time
	size          int
}

const (
	trialSize       = 1000
	trialAudio      = 120
	trialAudioEvery = 20 * time.Millisecond
	trialReport     = 25 * time.Millisecond
	trialQueue      = 300 * time.Millisecond
	trialMbit       = 125_000.0
)

func newTrial(rate float64) *trial {
	s := &trial{now: zero, rng: rand.New(rand.NewPCG(1, 2)), path: trialPath{rate: rate, way: 50 * time.Millisecond}}
	s.reported, s.free, s.last = s.now, s.now, s.now
	s.g.init(trialMbit / 4)
	return s
}

// run lets time pass in steps of a millisecond: audio every 20 ms, and video as asked for.
func (s *trial) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(time.Millisecond) {
		rate := s.g.wanted(s.now)
		if s.path.source > 0 {
			rate = min(rate, s.path.source)
		}
		s.credit = min(s.credit+rate/1000, 2*trialSize)
		if s.now.Sub(zero)%trialAudioEvery == 0 {
			s.send(trialAudio)
			s.credit -= trialAudio
		}
		for ; s.credit >= trialSize; s.credit -= trialSize {
			s.send(trialSize)
		}
		if s.now.Sub(s.reported) >= trialReport {
			s.report()
		}
	}
}

func (s *trial) send(size int) {
	if s.free.Before(s.now) {
		s.free = s.now
	}
	s.g.sent(size)
	s.meter.add(s.now, size)
	s.sent += float64(size)
	queue := s.free.Sub(s.now) + s.path.others
	if queue > trialQueue {
		s.g.lost(size)
		s.loss.note(true, s.g.queueing())
		return
	}
	s.longest = max(s.longest, queue)
	s.free = s.free.Add(time.Duration(float64(size) / s.path.rate * float64(time.Second)))
	at := s.free.Add(s.path.way + s.path.others)
	if s.path.jitter > 0 {
		at = at.Add(time.Duration(s.rng.Int64N(int64(s.path.jitter))))
	}
	if at.Before(s.path.stalled) {
		at = s.path.stalled
	}
	if at.Before(s.last) {
		at = s.last
	}
	s.last = at
	s.flight = append(s.flight, trialDatagram{s.now, at, size})
}

// report tells of all that arrived one way ago.
func (s *trial) report() {
	s.reported = s.now
	acked, n := 0, 0
	var newest time.Time
	for _, d := range s.flight {
		if d.arrives.Add(s.path.way).After(s.now) {
			break
		}
		arrived := d.arrives.Sub(zero)
		arrived += time.Duration(s.path.drift * float64(arrived))
		s.g.arrived.note(s.now, Ticks(arrived), Ticks(d.left.Sub(zero)), d.size, s.g.rival.on)
		s.rtt.sample(s.now, d.arrives.Add(s.path.way).Sub(d.left))
		s.loss.note(false, s.g.queueing())
		acked, newest = acked+d.size, d.left
		n++
	}
	s.flight = append(s.flight[:0], s.flight[n:]...)
	if n > 0 {
		s.g.report(s.now, acked, newest, &s.rtt, &s.loss, s.meter.rate(s.now))
	}
}

// share runs on and tells what part of the path was used.
func (s *trial) share(d time.Duration) float64 {
	s.sent, s.longest = 0, 0
	s.run(d)
	return s.sent / s.path.rate / d.Seconds()
}

func TestCongestionFindsTheRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		path  trialPath
		share float64
		queue time.Duration
	}{
		{"1 Mbit/s", trialPath{rate: trialMbit, way: 50 * time.Millisecond}, 0.88, 60 * time.Millisecond},
		{"300 kbit/s", trialPath{rate: 0.3 * trialMbit, way: 50 * time.Millisecond}, 0.7, 250 * time.Millisecond},
		{"4 Mbit/s", trialPath{rate: 4 * trialMbit, way: 50 * time.Millisecond}, 0.85, 60 * time.Millisecond},
		{"1 ms away", trialPath{rate: trialMbit, way: time.Millisecond}, 0.85, 100 * time.Millisecond},
		{"a satellite", trialPath{rate: trialMbit, way: 200 * time.Millisecond}, 0.8, 150 * time.Millisecond},
		{"jitter", trialPath{rate: trialMbit, way: 50 * time.Millisecond, jitter: 15 * time.Millisecond}, 0.8, 80 * time.Millisecond},
		{"a clock that is 400 ppm fast", trialPath{rate: trialMbit, way: 50 * time.Millisecond, drift: 400e-6}, 0.85, 60 * time.Millisecond},
		{"a clock that is 400 ppm slow", trialPath{rate: trialMbit, way: 50 * time.Millisecond, drift: -400e-6}, 0.85, 60 * time.Millisecond},
	} {
		s := newTrial(c.path.rate)
		s.path = c.path
		s.run(20 * time.Second)
		if got := s.share(30 * time.Second); got < c.share || got > 1.03 || s.longest > c.queue {
			t.Errorf("%s: uses %.2f of it, queue up to %v; want at least %.2f, at most %v", c.name, got, s.longest, c.share, c.queue)
		}
	}
}

func TestCongestionDrop(t *testing.T) {
	s := newTrial(2.5 * trialMbit)
	s.run(20 * time.Second)
	s.path.rate = 0.6 * trialMbit
	s.run(time.Second)
	if got := s.share(10 * time.Second); got < 0.8 || s.longest > 80*time.Millisecond {
		t.Errorf("a second after a drop: %.2f of it used, queue up to %v", got, s.longest)
	}
}

func TestCongestionRise(t *testing.T) {
	s := newTrial(trialMbit)
	s.run(20 * time.Second)
	s.path.rate = 2.5 * trialMbit
	s.run(4 * time.Second)
	if got := s.share(3 * time.Second); got < 0.8 {
		t.Errorf("4 s after a rise: %.2f of it used", got)
	}
}

// A way that has become longer is no queue.
func TestCongestionLongerWay(t *testing.T) {
	s := newTrial(trialMbit)
	s.run(20 * time.Second)
	s.path.way += 60 * time.Millisecond
	s.run(4 * time.Second)
	if got := s.share(5 * time.Second); got < 0.8 {
		t.Errorf("4 s after the way has become longer: %.2f of it used", got)
	}
}

// Against a queue that stands whatever we do, the rate does not go to nothing.
func TestCongestionRival(t *testing.T) {
	s := newTrial(trialMbit)
	s.run(10 * time.Second)
	begun := s.now
	for s.now.Sub(begun) < 20*time.Second { // it goes up and down, as that of TCP does
		s.path.others = 150*time.Millisecond + time.Duration(100e6*math.Sin(s.now.Sub(begun).Seconds()*3))
		s.run(50 * time.Millisecond)
	}
	if !s.g.rival.on || s.g.rate.now < trialMbit/3 {
		t.Errorf("after 20 s beside a rival: noticed=%v, rate %.0f", s.g.rival.on, s.g.rate.now)
	}
	s.path.others = 0
	s.run(6 * time.Second)
	if s.g.rival.on {
		t.Error("it is gone, and not forgotten")
	}
}

// After a stall everything comes at once: that is no queue, and costs little.
func TestCongestionStall(t *testing.T) {
	s := newTrial(trialMbit)
	s.run(20 * time.Second)
	before := s.g.rate.now
	for range 5 {
		s.path.stalled = s.now.Add(150 * time.Millisecond)
		s.run(time.Second)
	}
	if s.g.rate.now < 0.6*before {
		t.Errorf("rate %.0f after stalls, %.0f before", s.g.rate.now, before)
	}
}

// A source that makes little does not let the rate run away, and a path that is wide enough is never bounded.
func TestCongestionIdle(t *testing.T) {
	s := newTrial(8 * trialMbit)
	s.path.source = trialMbit / 2
	s.run(60 * time.Second)
	if s.g.bounded {
		t.Error("bounded, and nothing has queued")
	}
	if limit := 2.5 * s.path.source; s.g.rate.now > limit {
		t.Errorf("rate %.0f for a source of %.0f", s.g.rate.now, s.path.source)
	}
}

// A source that makes more than fits is held back here, not on the path.
func TestCongestionTooMuch(t *testing.T) {
	s := newTrial(trialMbit)
	s.run(10 * time.Second)
	s.sent, s.longest = 0, 0
	for range 1000 { // whatever the encoder makes, only what pacer and window allow leaves
		rate, _ := s.g.pacing(s.now, &s.rtt, 1<<20)
		s.path.source = rate
		s.g.limited = true
		s.run(10 * time.Millisecond)
	}
	if s.longest > 120*time.Millisecond || s.sent < 0.7*10*trialMbit {
		t.Errorf("%.0f bytes in 10 s, queue up to %v", s.sent, s.longest)
	}
}

// One datagram that came a shorter way does not make of that a queue.
func TestCongestionShorterCopy(t *testing.T) {
	s := newTrial(4 * trialMbit)
	s.run(10 * time.Second)
	ticks := Ticks(s.now.Sub(zero))
	s.g.arrived.note(s.now, ticks-Ticks(30*time.Millisecond), ticks-Ticks(40*time.Millisecond), trialSize, false)
	s.run(200 * time.Millisecond)
	if s.g.queue > 15*time.Millisecond {
		t.Errorf("a queue of %v after a copy that was 40 ms early", s.g.queue)
	}
}

func TestJitterIsNotAQueue(t *testing.T) {
	var j jitter
	rng := rand.New(rand.NewPCG(3, 4))
	now := zero
	for range 200 {
		now = now.Add(jitterEvery)
		j.look(now, time.Duration(rng.Int64N(int64(10*time.Millisecond))))
	}
	if level := j.level(); level < 5*time.Millisecond || level > 12*time.Millisecond {
		t.Errorf("level %v of what is even from 0 to 10 ms", level)
	}
	var q jitter
	for i := range 200 { // a queue that builds up and drains over a second
		now = now.Add(jitterEvery)
		q.look(now, time.Duration(10e6*(1+math.Sin(float64(i)/2))))
	}
	if level := q.level(); level > 6*time.Millisecond {
		t.Errorf("level %v of a queue that comes and goes", level)
	}
}

func TestSizesAgreeOnTheQueue(t *testing.T) {
	var a arrivals
	now := zero
	feed := func(d time.Duration, extra [sizeClasses]time.Duration) time.Duration {
		var queue time.Duration
		for end := now.Add(d); now.Before(end); now = now.Add(5 * time.Millisecond) {
			for class := range extra {
				ticks := Ticks(now.Sub(zero))
				a.note(now, ticks+Ticks(50*time.Millisecond+extra[class]), ticks, class*sizeClassSpan+100, false)
			}
			queue = a.standing(now, 0)
		}
		return queue
	}
	feed(time.Second, [sizeClasses]time.Duration{20 * time.Millisecond, 20 * time.Millisecond, 0}) // two sizes are 20 ms too good later
	if q := feed(2*time.Second, [sizeClasses]time.Duration{20 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond}); q != 0 {
		t.Errorf("a queue of %v, which the others do not see", q)
	}
	if base := a.leastKnown(); base[2].ticks < base[0].ticks+int32(15*time.Millisecond/Tick) {
		t.Errorf("bases %v: the third was not corrected", base)
	}
	if q := feed(time.Second, [sizeClasses]time.Duration{60 * time.Millisecond, 60 * time.Millisecond, 80 * time.Millisecond}); q < 38*time.Millisecond || q > 42*time.Millisecond {
		t.Errorf("a queue of %v, want 40 ms", q)
	}
}

// What the path carries is measured while a queue stands, however the datagrams come.
func TestServed(t *testing.T) {
	s := newTrial(trialMbit)
	s.run(3 * time.Second)
	s.free = s.now.Add(150 * time.Millisecond) // a burst of somebody's
	for range 20 {
		s.send(trialSize)
	}
	s.run(400 * time.Millisecond)
	if got := s.g.arrived.served(10 * time.Millisecond); got > 1.3*trialMbit {
		t.Errorf("served %.0f bytes a second by a path of %.0f", got, trialMbit)
	}
}

func TestCongestionAllocatesNothing(t *testing.T) {
	s := newTrial(trialMbit)
	s.run(5 * time.Second)
	if n := testing.AllocsPerRun(100, func() { s.run(100 * time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations in a tenth of a second", n)
	}
}

func TestRatioForgets(t *testing.T) {
	var r ratio
	for range 100 {
		r.add(130, 100, 0.05)
	}
	if got := r.over / r.under; math.Abs(got-1.3) > 0.01 {
		t.Errorf("1.3 is %v", got)
	}
	r.add(20, 0, 0.05) // a moment with repairs alone
	if got := r.over / r.under; got > 1.35 {
		t.Errorf("a moment without messages makes it %v", got)
	}
	for range 200 {
		r.add(220, 200, 0.05)
	}
	if got := r.over / r.under; math.Abs(got-1.1) > 0.01 {
		t.Errorf("1.1 is %v", got)
	}
}
