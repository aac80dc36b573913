package bench

import (
	"math/rand/v2"
	"time"
)

// jitterDeviations is where RFC 8868 cuts its normal distribution off, in standard deviations on each side (section 4.5.3).
const jitterDeviations = 3

// leg is what a flow has of its own behind the bottleneck, in one direction: random loss, delay, and jitter without reordering as
// RFC 8868, section 4.5.2 and 4.5.3, has it: a truncated normal distribution, here from nothing to the whole, and a datagram that would
// overtake another arrives with it. netem's is even, which is much harsher than what the test cases ask for.
type leg struct {
	delay  time.Duration
	jitter time.Duration // the most that is added: 30 ms are a standard deviation of 5
	loss   float64
	rng    *rand.Rand

	onWay []legDatagram
	last  time.Time // the latest due time so far
	free  [][]byte
	in    []byte // what was received last
}

type legDatagram struct {
	due time.Time
	b   []byte
}

func newLeg(delay, jitter time.Duration, loss float64, seed, stream uint64) *leg {
	return &leg{delay: delay, jitter: jitter, loss: loss, rng: rand.New(rand.NewPCG(seed, stream))} //nolint:gosec // the same for the same seed
}

// send puts a copy of a datagram on its way.
func (l *leg) send(now time.Time, b []byte) {
	lost, extra := l.rng.Float64() < l.loss, l.drawJitter()
	if lost {
		return
	}
	due := now.Add(l.delay + extra)
	if due.Before(l.last) {
		due = l.last
	}
	l.last = due
	var kept []byte
	if n := len(l.free); n > 0 {
		kept, l.free = l.free[n-1], l.free[:n-1]
	}
	l.onWay = append(l.onWay, legDatagram{due: due, b: append(kept[:0], b...)})
}

func (l *leg) drawJitter() time.Duration {
	for {
		if x := l.rng.NormFloat64(); x >= -jitterDeviations && x <= jitterDeviations {
			return time.Duration((x + jitterDeviations) / (2 * jitterDeviations) * float64(l.jitter))
		}
	}
}

// next is when the next datagram arrives, and false if there is none.
func (l *leg) next() (time.Time, bool) {
	if len(l.onWay) == 0 {
		return time.Time{}, false
	}
	return l.onWay[0].due, true
}

// receive takes the next datagram out; it is valid until the next call.
func (l *leg) receive() []byte {
	if l.in != nil {
		l.free = append(l.free, l.in)
	}
	l.in = l.onWay[0].b
	l.onWay = l.onWay[1:]
	return l.in
}
