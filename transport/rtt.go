package transport

import "time"

// initialRTT stands until the first sample.
const initialRTT = 100 * time.Millisecond

// minWindow is how long a minimum is trusted: two halves are kept, so it lives between one and two windows.
const minWindow = 10 * time.Second

// rttEstimator smooths round-trip samples as RFC 9002 section 5 does and keeps a windowed minimum.
type rttEstimator struct {
	latest, smoothed, variation time.Duration
	minNow, minBefore           time.Duration
	rotateAt                    time.Time
}

// sample takes one round trip, already without the peer's delay.
func (r *rttEstimator) sample(now time.Time, rtt time.Duration) {
	rtt = max(rtt, 50*time.Microsecond) // below a loopback's; also catches a peer that overstates its delay
	r.latest = rtt
	if r.smoothed == 0 {
		r.smoothed, r.variation = rtt, rtt/2
		r.minNow, r.minBefore = rtt, rtt
		r.rotateAt = now.Add(minWindow)
		return
	}
	if now.After(r.rotateAt) {
		r.minBefore, r.minNow = r.minNow, rtt
		r.rotateAt = now.Add(minWindow)
	}
	r.minNow = min(r.minNow, rtt)
	diff := (r.smoothed - rtt).Abs()
	r.variation += (diff - r.variation) / 4
	r.smoothed += (rtt - r.smoothed) / 8
}

func (r *rttEstimator) min() time.Duration {
	if r.smoothed == 0 {
		return initialRTT
	}
	return min(r.minNow, r.minBefore)
}

func (r *rttEstimator) srtt() time.Duration {
	if r.smoothed == 0 {
		return initialRTT
	}
	return r.smoothed
}

// probeAfter is how long without a report is worth a question: a round trip, its spread, and the peer's reporting delay.
func (r *rttEstimator) probeAfter() time.Duration {
	return r.srtt() + max(4*r.variation, 5*time.Millisecond) + feedbackInterval
}
