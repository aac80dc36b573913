package transport

import "time"

// Jitter makes even the least delay of a tenth of a second stand above the least of many seconds. How much is learned when it can't be a
// queue of ours: before the first queue was met, and in a dip of the rate.
const (
	maxJitter    = 30 * time.Millisecond
	jitterGain   = 16
	jitterOdd    = 12 * time.Millisecond  // beyond four times the spread: not jitter
	jitterBefore = 500 * time.Millisecond // how far back recall goes, at least
	dipSettled   = 180 * time.Millisecond // then what was sent before the dip is out of sight
)

type jitter struct {
	present jitterLevel
	past    [2]jitterLevel
	pastAt  time.Time
}

// jitterLevel is the mean of what stands and its mean deviation.
type jitterLevel struct{ mean, spread time.Duration }

// look takes what stands now. dip is how long after the beginning of the last dip the newest datagram seen was sent.
func (j *jitter) look(now time.Time, standing, dip time.Duration, bounded bool) {
	if bounded && (dip < dipSettled || dip > dipLength) || standing > j.present.mean+4*j.present.spread+jitterOdd {
		return
	}
	if now.Sub(j.pastAt) > jitterBefore {
		j.past = [2]jitterLevel{j.present, j.past[0]}
		j.pastAt = now
	}
	j.present.spread += ((standing - j.present.mean).Abs() - j.present.spread) / jitterGain
	j.present.mean += (standing - j.present.mean) / jitterGain
}

// recall goes back to what was known before the queue that has just been met began to build up.
func (j *jitter) recall() { j.present = j.past[1] }

// level is what jitter explains.
func (j *jitter) level() time.Duration { return min(maxJitter, j.present.mean+2*j.present.spread) }
