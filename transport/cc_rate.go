package transport

import "time"

// The rate, in bytes of datagrams a second. It rises by half each round trip in the beginning, then by the same step for everybody, which
// makes rates that share a bottleneck equal, and faster and faster once nothing has queued for a while, away from where a queue was met.
// For a queue that may be jitter it falls a little, for one that can't be to less than what comes through.
const (
	queueHigh    = 8 * time.Millisecond // stands
	queueLow     = 3 * time.Millisecond // less is none
	queueCertain = 25 * time.Millisecond
	queueRising  = 10 * time.Millisecond  // since the last cut: it was not enough
	queueDrain   = 100 * time.Millisecond // a queue of this stops the encoder

	cutLeast   = 0.03
	cutMost    = 0.15
	cutQueue   = 250 * time.Millisecond
	deepestCut = 0.2
	minRate    = 8_000

	startGrowth   = 0.5                    // of the rate, a round trip
	stepGrowth    = 15_000.0               // a second
	stepShare     = 0.01                   // of the rate, a second
	maxGrowth     = 0.08                   // of the rate, each growthTime
	pressedGrowth = 0.25                   // of the rate, a round trip, while media waits here
	growthTime    = 100 * time.Millisecond // at least; a longer round trip counts instead
	growthDelay   = time.Second            // after a queue was seen, before growth is more than a step
	growthRamp    = 2 * time.Second        // from then to maxGrowth
	ceilingNear   = 0.1                    // of where a queue was met: there only step by step
	sentShare     = 2.0                    // the rate is at most so many times what is really sent: more is not known

	// From time to time less is sent than the path carries, so that it is seen without our own queue, by us and by others.
	dipEvery  = 10 * time.Second
	dipLength = 300 * time.Millisecond
	dipTo     = 0.75
)

type rate struct {
	now      float64
	start    float64
	starting bool      // no queue was met yet
	ceiling  float64   // where one was met last
	cut      time.Time // when that was
	cutQueue time.Duration
	dip      time.Time // when the last one began
}

// adjust sets the rate by what the last report has shown.
func (g *congestion) adjust(now, newest time.Time, rtt *rttEstimator, loss *lossRate, sent float64) {
	r := &g.rate
	switch {
	case g.rival.on:
		g.compete(now, rtt, loss)
		return
	case g.queue > queueCertain, g.bounded && g.queue > queueHigh:
		g.reduce(now, newest, loss)
		return
	case g.bounded && !g.queueing() && now.Sub(r.dip) > dipEvery:
		r.dip = now
	}
	if !g.queueing() {
		r.cutQueue = 0
	}
	g.grow(now, rtt, sent)
}

// reduce answers a standing queue, and then no more before what was sent after that has shown its effect, unless the queue goes on rising:
// then what came through the first time was measured too early.
func (g *congestion) reduce(now, newest time.Time, loss *lossRate) {
	r := &g.rate
	if newest.Sub(r.cut) < arrivalWindow*arrivalBucket && g.queue < r.cutQueue+queueRising {
		return
	}
	to := r.now * (1 - min(cutMost, max(cutLeast, g.queue.Seconds()/cutQueue.Seconds())))
	if g.queue > queueCertain && g.queue >= r.cutQueue+queueRising { // what comes through meanwhile is what the path carries
		to = min(r.now, max(deepestCut*r.now, (1-cutLeast)*g.arrived.rate()/(1-min(loss.quiet, 0.9))))
	}
	if r.starting {
		g.jitter.recall()
	}
	r.cut, r.cutQueue, r.ceiling = now, g.queue, to
	r.now, r.starting, g.bounded = max(minRate, to), false, true
}

// grow raises the rate while nothing stands.
func (g *congestion) grow(now time.Time, rtt *rttEstimator, sent float64) {
	r := &g.rate
	if !g.bounded {
		r.now = max(r.now, sent) // it went through
	}
	d := min(now.Sub(g.reported), growthTime)
	if g.reported.IsZero() || d <= 0 || !g.limited && r.now > sentShare*sent || g.queueing() {
		return
	}
	to := r.now
	if r.starting {
		to *= 1 + startGrowth*d.Seconds()/rtt.srtt().Seconds()
	} else {
		to += (stepGrowth + stepShare*to) * d.Seconds()
		near := to > r.ceiling*(1-ceilingNear) && to < r.ceiling*(1+ceilingNear)
		switch quiet := now.Sub(g.queued) - growthDelay; {
		case near:
		case g.limited && quiet > -growthDelay/2: // more is waiting
			to *= 1 + pressedGrowth*d.Seconds()/rtt.srtt().Seconds()
		case quiet > 0:
			ramp := min(1, quiet.Seconds()/growthRamp.Seconds())
			to *= 1 + ramp*maxGrowth*d.Seconds()/max(growthTime, rtt.srtt()).Seconds()
		}
	}
	if !g.limited {
		to = min(to, sentShare*sent)
	}
	r.now = max(r.now, to)
}

// wanted is the rate at which new bytes should be made: less while a queue stands, so that it drains.
func (g *congestion) wanted(now time.Time) float64 {
	switch r := &g.rate; {
	case !g.bounded, g.rival.on:
		return r.now
	case now.Sub(r.dip) < dipLength:
		return dipTo * r.now
	default:
		over := g.queue - queueLow
		return r.now * min(1, max(0, 1-over.Seconds()/queueDrain.Seconds()))
	}
}
