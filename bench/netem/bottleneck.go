package netem

import "time"

// datagram is one on its way. A lost one has no bytes but still takes its time at the bottleneck.
type datagram struct {
	data   []byte
	size   int
	lost   bool
	jitter float64

	due time.Time // at the far end: known once it is on the wire
	seq uint64    // order of leaving the bottleneck, among those due together
}

// bottleneck serves datagrams one after the other at a rate that may change at any time. It holds the queue's state and no
// policy: who may enter is decided by wait, before.
type bottleneck struct {
	waiting []datagram // a ring: the oldest, which is being served, at head
	head    int
	n       int

	since time.Time // when the present part of the oldest's service began
	left  int64     // of it, what was left then, in bits·10⁹
	bits  int64     // of all the others
}

// work is a datagram's service in bits·10⁹, which at a rate in bit/s is nanoseconds; below 2⁶³ for any size up to maxLimit.
func work(size int) int64 { return int64(size) * 8 * int64(time.Second) }

// wait is how long a datagram that came now would wait for its service.
func (q *bottleneck) wait(now time.Time, rate int64) time.Duration {
	if q.n == 0 || rate == 0 {
		return 0
	}
	total := q.left + q.bits*int64(time.Second)
	return max(time.Duration(total/rate)-now.Sub(q.since), 0)
}

// push adds a datagram at the end.
func (q *bottleneck) push(now time.Time, d datagram) {
	if q.n == len(q.waiting) {
		grown := make([]datagram, max(64, 2*q.n))
		n := copy(grown, q.waiting[q.head:])
		copy(grown[n:], q.waiting[:q.head])
		q.waiting, q.head = grown, 0
	}
	q.waiting[(q.head+q.n)%len(q.waiting)] = d
	q.n++
	if q.n == 1 {
		q.since, q.left = now, work(d.size)
	} else {
		q.bits += int64(d.size) * 8
	}
}

// next is when the oldest datagram will have been served.
func (q *bottleneck) next(rate int64) (time.Time, bool) {
	switch {
	case q.n == 0:
		return time.Time{}, false
	case rate == 0:
		return q.since, true
	}
	return q.since.Add(time.Duration((q.left + rate - 1) / rate)), true
}

// pop removes the oldest datagram, whose service ended at the time given.
func (q *bottleneck) pop(at time.Time) datagram {
	d := q.waiting[q.head]
	q.waiting[q.head] = datagram{}
	q.head = (q.head + 1) % len(q.waiting)
	q.n--
	if q.n > 0 {
		size := q.waiting[q.head].size
		q.since, q.left = at, work(size)
		q.bits -= int64(size) * 8
	}
	return d
}

// settle ends the present part of the service, because from now on the rate is another. Everything that was due before now
// has been popped.
func (q *bottleneck) settle(now time.Time, rate int64) {
	if q.n == 0 {
		return
	}
	if rate > 0 {
		q.left = max(q.left-now.Sub(q.since).Nanoseconds()*rate, 0)
	}
	q.since = now
}
