package transport

import "time"

// A rival is somebody else's flow that fills the queue until it overflows, as TCP does. Against it a sender that yields to every queue
// starves. So where a queue stands for long although we yield, the rate goes by loss.
const (
	rivalAfter = 2 * time.Second // a queue that we make ourselves is gone sooner
	rivalLoss  = 0.02            // share of packets lost beyond what is lost when nothing queues: the queue overflows
	rivalCut   = 0.75
)

type rival struct {
	on    bool
	since time.Time // when the queue began to stand; zero: it does not
}

// look watches the queue.
func (r *rival) look(now time.Time, queue, tolerable time.Duration) {
	switch {
	case queue <= tolerable:
		*r = rival{}
	case r.since.IsZero():
		r.since = now
	case now.Sub(r.since) >= rivalAfter:
		r.on = true
	}
}

// A way that has become longer, by another route or a handover, looks like a queue that neither grows nor shrinks, whatever we send.
const (
	longerAfter  = 500 * time.Millisecond
	longerRounds = 2 // beside: others take a round trip to fill what we have left
	longerFlat   = 4 * time.Millisecond
)

type longer struct {
	level time.Duration // that stands
	since time.Time
}

// look reports whether what stands is the way itself.
func (l *longer) look(now time.Time, standing, jitter, rtt time.Duration, bounded bool) bool {
	if (standing-l.level).Abs() > longerFlat+jitter || standing < queueLeast+jitter {
		*l = longer{level: standing, since: now}
		return false
	}
	if !bounded || now.Sub(l.since) < longerAfter+longerRounds*rtt {
		return false
	}
	*l = longer{since: now}
	return true
}

// compete raises the rate step by step, and reduces it once a round trip while the queue overflows.
func (g *congestion) compete(now time.Time, rtt *rttEstimator, loss *lossRate) {
	r := &g.rate
	if loss.fast > loss.quiet+rivalLoss && now.Sub(r.cut) > rtt.srtt()+arrivalBucket {
		r.cut = now
		r.now = max(minRate, rivalCut*r.now)
		return
	}
	if d := now.Sub(g.reported); d > 0 {
		r.now += stepGrowth * min(d, growthTime).Seconds()
	}
}
