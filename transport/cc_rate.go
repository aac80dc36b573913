package transport

import (
	"time"

	"duet/transport/wire"
)

// The rate, in bytes of datagrams a second. It rises by half each round trip in the beginning, then by the same step for everybody, which
// makes rates that share a bottleneck equal, and faster and faster once nothing has queued for a while, away from where a queue was met.
// For a queue that may be jitter it falls a little, for one that can't be to less than what comes through.
const (
	queueLeast     = 5 * time.Millisecond   // is tolerable at any rate
	tolerableBytes = 1.2 * wire.MaxDatagram // in the queue, of ours
	queueMost      = 20 * time.Millisecond  // is tolerable at most
	queueLow       = 3 * time.Millisecond   // less is none
	queueCertain   = 25 * time.Millisecond
	queueRising    = 10 * time.Millisecond  // since the last cut: it was not enough
	queueDrain     = 100 * time.Millisecond // a queue of this stops the encoder

	// A cut is cutLeast to cutMost of the rate for a queue that may be jitter, a full one at cutQueue. One that can't be goes down to what
	// comes through, but by no more than the square of what the queue is of certainCut: what comes through was measured over little.
	cutLeast   = 0.04
	cutMost    = 0.15
	cutQueue   = 400 * time.Millisecond
	certainCut = 88 * time.Millisecond
	deepestCut = 0.2 // of the rate, at least, remains
	minRate    = 8_000

	// Of what goes at our users' worst networks at random more than a quarter arrives. Where less does, most of what we send overflows a queue
	// that was full before we came, or is turned away by a policer: then what arrives is what the path carries.
	floodLoss = 0.75

	startGrowth   = 0.5                    // of the rate, a round trip
	stepGrowth    = 10_000.0               // a second
	stepShare     = 0.01                   // of the rate, a second
	maxGrowth     = 0.07                   // of the rate, each growthTime
	pressedGrowth = 0.4                    // of the rate, a round trip, while media waits here
	growthTime    = 100 * time.Millisecond // at least; a longer round trip counts instead
	growthDelay   = 500 * time.Millisecond // without a queue, before growth is more than a step
	growthRamp    = time.Second            // from then to maxGrowth
	ceilingNear   = 0.1                    // below where a queue was met, and
	ceilingAbove  = 0.15                   // above it: there only step by step
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
func (g *congestion) adjust(now, newest time.Time, standing time.Duration, rtt *rttEstimator, loss *lossRate, sent float64) {
	r := &g.rate
	switch {
	case loss.fast > floodLoss && newest.Sub(r.cut) > arrivalWindow*arrivalBucket:
		r.cut, r.now = now, max(minRate, min(r.now, sent)*(1-loss.fast))
		r.ceiling, r.starting, g.bounded = r.now, false, true
		return
	case g.rival.on:
		g.compete(now, rtt, loss)
		return
	case g.queue > queueCertain, g.bounded && g.queue > g.tolerable():
		g.reduce(now, newest, standing, loss)
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
func (g *congestion) reduce(now, newest time.Time, standing time.Duration, loss *lossRate) {
	r := &g.rate
	if newest.Sub(r.cut) < arrivalWindow*arrivalBucket && g.queue < r.cutQueue+queueRising {
		return
	}
	to := r.now * (1 - min(cutMost, max(cutLeast, g.queue.Seconds()/cutQueue.Seconds())))
	carried := g.arrived.served(standing/2) / (1 - min(loss.quiet, 0.9))
	if g.queue > queueCertain && g.queue >= r.cutQueue+queueRising { // it can't be jitter
		depth := g.queue.Seconds() / certainCut.Seconds()
		to = min(r.now, max(r.now*max(deepestCut, 1-depth*depth), (1-cutLeast)*carried))
	}
	r.cut, r.cutQueue, r.ceiling = now, g.queue, max(to, min(r.now, carried))
	r.now, r.starting, g.bounded = max(minRate, to), false, true
}

// grow raises the rate while nothing stands.
func (g *congestion) grow(now time.Time, rtt *rttEstimator, sent float64) {
	r := &g.rate
	if !g.bounded {
		r.now = max(r.now, sent) // it went through
	}
	d := min(now.Sub(g.reported), growthTime)
	if g.reported.IsZero() || d <= 0 || !g.limited && r.now > sentShare*sent || g.queue > g.tolerable() {
		return
	}
	to := r.now
	if r.starting {
		to *= 1 + startGrowth*d.Seconds()/rtt.srtt().Seconds()
	} else {
		to += (stepGrowth + stepShare*to) * d.Seconds()
		near := to > r.ceiling*(1-ceilingNear) && to < r.ceiling*(1+ceilingAbove)
		switch {
		case near || g.calm < growthDelay:
		case g.limited: // more is waiting
			to *= 1 + pressedGrowth*d.Seconds()/rtt.srtt().Seconds()
		default:
			ramp := min(1, (g.calm-growthDelay).Seconds()/growthRamp.Seconds())
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
