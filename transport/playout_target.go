package transport

import "time"

const (
	targetFall   = 0.015 // of the time that passes: 15 ms a second
	targetMargin = 5 * time.Millisecond
	targetWindow = 10 * time.Second // the worst of one to two of these counts
	targetOdd    = 500              // but for one frame in so many: the 0.998 quantile
)

const (
	// aimMargin is what seeing a loss and answering it take on two hops, beyond the round trips; a round trip on each is twice the way.
	aimMargin = 60 * time.Millisecond
	aimStep   = 10 * time.Millisecond
	wayWindow = 5 * time.Second // the least of one to two of these counts
)

// wayDelay is the shortest time from capture until a frame was whole, of late: what the way itself takes.
type wayDelay struct {
	least  time.Duration // 0: nothing is known
	window [2]time.Duration
	rotate time.Time
}

func (l *wayDelay) note(now time.Time, delay time.Duration) {
	delay = max(delay, time.Microsecond)
	if now.After(l.rotate) {
		l.window = [2]time.Duration{delay, l.window[0]}
		l.rotate = now.Add(wayWindow)
	}
	l.window[0] = min(l.window[0], delay)
	l.least = l.window[0]
	if l.window[1] > 0 {
		l.least = min(l.least, l.window[1])
	}
}

// playoutTarget is how long after their capture frames should be shown so that nearly all are whole by then. It rises at once when one was
// not, and falls slowly: a picture that runs a little faster nobody notices, one that stops everybody.
type playoutTarget struct {
	value  time.Duration
	worst  [2][2]time.Duration // of this window and the one before: the longest delay and the second longest
	frames [2]int
	rotate time.Time
	at     time.Time
}

// note takes the delay of a frame, from capture until it was whole.
func (t *playoutTarget) note(now time.Time, delay, limit time.Duration) {
	if t.rotate.IsZero() || now.After(t.rotate) {
		t.worst[1], t.frames[1] = t.worst[0], t.frames[0]
		t.worst[0], t.frames[0] = [2]time.Duration{}, 0
		t.rotate = now.Add(targetWindow)
	}
	t.frames[0]++
	switch w := &t.worst[0]; {
	case delay > w[0]:
		w[1], w[0] = w[0], delay
	case delay > w[1]:
		w[1] = delay
	}
	fall := time.Duration(targetFall * float64(now.Sub(t.at)))
	if t.at.IsZero() {
		fall = 0
	}
	t.at = now
	wanted := t.quantile() + targetMargin
	t.value = min(max(wanted, t.value-fall, delay), limit)
}

// quantile is the longest delay of late, or the second longest where there were frames enough for one to be odd.
func (t *playoutTarget) quantile() time.Duration {
	worst := time.Duration(0)
	for i, w := range t.worst {
		odd := 0
		if t.frames[i] >= targetOdd {
			odd = 1
		}
		worst = max(worst, w[odd])
	}
	return worst
}
