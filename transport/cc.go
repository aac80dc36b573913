package transport

import "time"

// Congestion window and pacing. The window is sane, not clever: it opens while the round trip stays near its minimum and
// closes when a queue builds up. Loss by itself is not a signal: our users have networks that lose 10 to 30 % at random.
const (
	// initialWindow lets a cached key frame of 64 KB go out at once, headers included.
	initialWindow = 80 << 10
	minWindowSize = 16 << 10
	maxWindowSize = 8 << 20
	// minPacingRate in bytes a second: 16 Mbit/s, so that 64 KB leave within 35 ms.
	minPacingRate = 2_000_000
	pacingGain    = 2.0
	// queueTolerance of extra round trip is a queue; less may be jitter.
	queueTolerance = 60 * time.Millisecond
	queueGrowth    = 25 * time.Millisecond // while below this, the window may grow
	backoff        = 0.85
)

// congestion counts what is in flight against a window.
type congestion struct {
	window    int
	inFlight  int
	limited   bool // the window held something back since the last report
	queuedAt  time.Time
	reducedAt time.Time
}

func (g *congestion) init() {
	*g = congestion{window: initialWindow, inFlight: g.inFlight}
}

// allows reports whether a datagram of n bytes may go.
func (g *congestion) allows(n int) bool { return g.inFlight == 0 || g.inFlight+n <= g.window }

func (g *congestion) sent(n int) { g.inFlight += n }

func (g *congestion) lost(n int) { g.inFlight = max(0, g.inFlight-n) }

// acked takes a report that n bytes arrived.
func (g *congestion) acked(now time.Time, n int, rtt *rttEstimator) {
	g.inFlight = max(0, g.inFlight-n)
	queue := rtt.latest - rtt.min()
	if queue < queueTolerance {
		g.queuedAt = time.Time{}
	} else if g.queuedAt.IsZero() {
		g.queuedAt = now
	}
	switch {
	case !g.queuedAt.IsZero() && now.Sub(g.queuedAt) >= rtt.srtt() && now.Sub(g.reducedAt) >= rtt.srtt():
		g.reducedAt = now
		g.window = max(minWindowSize, int(float64(g.window)*backoff))
	case g.limited && queue < queueGrowth:
		g.window = min(maxWindowSize, g.window+n)
	}
	g.limited = false
}

// pacingRate is in bytes a second.
func (g *congestion) pacingRate(rtt *rttEstimator) float64 {
	return max(minPacingRate, pacingGain*float64(g.window)/rtt.srtt().Seconds())
}
