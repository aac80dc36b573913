package tcp

import (
	"math"
	"time"
)

// Constants of RFC 9438, section 4; windows are in segments, times in seconds.
const (
	cubicC    = 0.4
	beta      = 0.7
	alpha     = 3 * (1 - beta) / (1 + beta) // of the Reno-friendly region, section 4.3
	maxGrowth = 1.5                         // of one round trip, section 4.2
	minWindow = 2

	initialWindow = 10 // RFC 6928
)

// cubic is the window.
type cubic struct {
	window   float64
	ssthresh float64
	max      float64   // W_max
	prior    float64   // window before the last reduction
	epoch    time.Time // begin of the present congestion avoidance, zero before its first acknowledgment
	k        float64
	reno     float64 // W_est
}

func newCubic() cubic { return cubic{window: initialWindow, ssthresh: math.Inf(1)} }

// acked grows the window by n segments that arrived while it was full.
func (c *cubic) acked(now time.Time, n float64, rtt time.Duration) {
	if c.window < c.ssthresh {
		c.window += n
		return
	}
	if c.epoch.IsZero() {
		c.epoch, c.reno = now, c.window
		if c.max > c.window {
			c.k = math.Cbrt((c.max - c.window) / cubicC)
		} else {
			c.k, c.max = 0, c.window
		}
	}
	t := now.Sub(c.epoch).Seconds()
	if c.reno < c.prior {
		c.reno += alpha * n / c.window
	} else {
		c.reno += n / c.window
	}
	if c.at(t) < c.reno {
		c.window = max(c.window, c.reno)
		return
	}
	target := min(max(c.at(t+rtt.Seconds()), c.window), maxGrowth*c.window)
	c.window += n * (target - c.window) / c.window
}

// at is W_cubic, section 4.2.
func (c *cubic) at(t float64) float64 { d := t - c.k; return cubicC*d*d*d + c.max }

// lost reduces the window, at most once a round trip, with fast convergence (section 4.7).
func (c *cubic) lost() {
	if c.window < c.max {
		c.max = c.window * (1 + beta) / 2
	} else {
		c.max = c.window
	}
	c.prior = c.window
	c.ssthresh = max(c.window*beta, minWindow)
	c.window = c.ssthresh
	c.epoch = time.Time{}
}

// timedOut begins again with slow start; the curve after it begins at its inflection (section 4.8).
func (c *cubic) timedOut() {
	c.prior = c.window
	c.ssthresh = max(c.window*beta, minWindow)
	c.window, c.max = 1, 0
	c.epoch = time.Time{}
}
