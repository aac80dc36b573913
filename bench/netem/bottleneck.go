package netem

import "time"

// datagram is one on its way. A lost one has no bytes but still takes its time at the bottleneck.
type datagram struct {
	data   []byte
	size   int
	lost   bool
	marked bool // congestion experienced
	jitter float64

	again       bool // there will be a copy, which has jitter of its own
	againJitter float64

	at  time.Time // when it came to the bottleneck; on the wire, when it is due at the far end
	seq uint64    // order of leaving the bottleneck, among those due together
}

// bottleneck serves datagrams one after the other, at a rate or in the opportunities of a trace, either of which may change at any time.
// It holds the queue's state and no policy: who may enter is decided before, by wait and bytes.
type bottleneck struct {
	rate  int64 // bit/s; 0: nothing waits
	trace *Trace
	began time.Time // when the trace did

	waiting []datagram // a ring: the oldest, which is being served, at head
	head    int
	n       int
	bytes   int // of all

	turn  time.Time // when the oldest's service began
	since time.Time // when the present part of it did, which is later after a change
	left  int64     // of it, what was left then, in bits·10⁹

	// With a trace: the first opportunity that is not used up, and what is left of the one before, good at its time only.
	cursor int64
	spare  int64
}

// opportunity is what one opportunity of a trace serves, in bits·10⁹.
const opportunity = int64(TraceDatagram) * 8 * int64(time.Second)

// work is a datagram's service in bits·10⁹, which at a rate in bit/s is nanoseconds; below 2⁶³ for any size up to maxLimit.
func work(size int) int64 { return int64(size) * 8 * int64(time.Second) }

func (q *bottleneck) limited() bool { return q.rate > 0 || q.trace != nil }

// wait is how long a datagram that came now would wait until all before it have been served.
func (q *bottleneck) wait(now time.Time) time.Duration {
	if q.n == 0 || !q.limited() {
		return 0
	}
	total := q.left + work(q.bytes-q.waiting[q.head].size)
	if q.trace != nil {
		at, _ := q.served(total)
		return max(at.Sub(now), 0)
	}
	return max(time.Duration(total/q.rate)-now.Sub(q.since), 0)
}

// served is when an amount of work will have been served in the opportunities of the trace, and how many that takes.
func (q *bottleneck) served(work int64) (at time.Time, n int64) {
	if work > q.spare || q.spare == 0 { // even an empty datagram needs an opportunity
		n = max((work-q.spare+opportunity-1)/opportunity, 1)
	}
	return q.trace.at(q.began, q.cursor+n-1), n
}

// push adds a datagram at the end.
func (q *bottleneck) push(now time.Time, d datagram) {
	if q.n == len(q.waiting) {
		grown := make([]datagram, max(64, 2*q.n))
		n := copy(grown, q.waiting[q.head:])
		copy(grown[n:], q.waiting[:q.head])
		q.waiting, q.head = grown, 0
	}
	d.at = now
	q.waiting[(q.head+q.n)%len(q.waiting)] = d
	q.n++
	q.bytes += d.size
	if q.n == 1 {
		q.turn, q.since, q.left = now, now, work(d.size)
		q.aim(now)
	}
}

// aim makes the first opportunity after now the next. Those until now are gone, used or not.
func (q *bottleneck) aim(now time.Time) {
	if q.trace != nil {
		q.cursor, q.spare = q.trace.after(now.Sub(q.began)), 0
	}
}

// next is when the oldest datagram will have been served.
func (q *bottleneck) next() (time.Time, bool) {
	switch {
	case q.n == 0:
		return time.Time{}, false
	case q.trace != nil:
		at, _ := q.served(q.left)
		return at, true
	case q.rate == 0:
		return q.since, true
	}
	return q.since.Add(time.Duration((q.left + q.rate - 1) / q.rate)), true
}

// pop removes the oldest datagram, whose service ended at the time given, and tells how long it waited. At a rate that is until its
// service began; under a trace, where service takes no time but has to be waited for, until it left.
func (q *bottleneck) pop(at time.Time) (d datagram, wait time.Duration) {
	d = q.waiting[q.head]
	switch {
	case q.trace != nil:
		_, n := q.served(q.left)
		q.cursor += n
		q.spare += n*opportunity - q.left
		wait = at.Sub(d.at)
	case q.rate > 0:
		wait = q.turn.Sub(d.at)
	}
	q.waiting[q.head] = datagram{}
	q.head = (q.head + 1) % len(q.waiting)
	q.n--
	q.bytes -= d.size
	if q.n > 0 {
		q.turn, q.since, q.left = at, at, work(q.waiting[q.head].size)
	}
	return d, wait
}

// change goes on at another rate or under another trace from now on. Everything that was due before now has been popped. A trace that
// it has already goes on; another begins.
func (q *bottleneck) change(now time.Time, rate int64, trace *Trace) {
	q.settle(now)
	if trace != q.trace {
		q.trace, q.began = trace, now
		q.aim(now)
	}
	q.rate = rate
}

// settle ends the present part of the service.
func (q *bottleneck) settle(now time.Time) {
	switch {
	case q.n == 0:
		return
	case q.trace != nil:
		gone := q.trace.after(now.Sub(q.began)) - q.cursor
		q.left = max(q.left-q.spare-max(gone, 0)*opportunity, 0)
		q.cursor += max(gone, 0)
		q.spare = 0
	case q.rate > 0:
		q.left = max(q.left-now.Sub(q.since).Nanoseconds()*q.rate, 0)
	}
	q.since = now
}
