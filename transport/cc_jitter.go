package transport

import "time"

// Jitter makes even the least delay of a tenth of a second stand above the least of many seconds. How far follows from how much it differs
// from the tenths of a second before and after: jitter is another each time, a queue builds up and drains over several. The least of about a
// hundred draws lies two and a half deviations below their mean, whatever they are of.
const (
	maxJitter   = 30 * time.Millisecond
	jitterEvery = arrivalWindow * arrivalBucket
	jitterFirst = 16  // so many are averaged at first, and
	jitterMost  = 64  // so many later
	jitterScale = 2.5 // deviations; one is about the mean distance of a draw from the middle of its neighbours
	jitterOdd   = 2 * time.Millisecond
	jitterClip  = 3 // times what is expected, and jitterOdd, is all that a single change counts
)

// jitter is the mean distance of what stood in one arrivalWindow from the middle between those before and after.
type jitter struct {
	distance time.Duration
	seen     int
	last     [2]time.Duration // the newest first
	count    int              // of them, without a gap
	at       time.Time
}

// look takes what stands now. Where that is certainly a queue, other flows' bursts would be taken for jitter.
func (j *jitter) look(now time.Time, standing time.Duration) {
	d := now.Sub(j.at)
	if standing > j.level()+queueCertain {
		j.count = 0
		return
	}
	if d < jitterEvery {
		return
	}
	if d > 2*jitterEvery {
		j.count = 0
	}
	if j.count == len(j.last) {
		odd := (j.last[0] - (standing+j.last[1])/2).Abs()
		odd = min(odd, jitterClip*j.distance+jitterOdd)
		j.seen = min(j.seen+1, jitterMost)
		j.distance += (odd - j.distance) / time.Duration(max(j.seen, jitterFirst))
	}
	j.last = [2]time.Duration{standing, j.last[0]}
	j.count = min(j.count+1, len(j.last))
	j.at = now
}

// level is what jitter explains.
func (j *jitter) level() time.Duration {
	return min(maxJitter, time.Duration(jitterScale*float64(j.distance)))
}
