package bench

import (
	"time"

	"duet/bench/netem"
)

// linkNeck is the bottleneck of one direction of a hop: a link that has a rate and a queue and nothing else, and a note of how long each
// datagram had to wait. Loss, delay and jitter come behind it.
type linkNeck struct {
	link    *netem.Link
	entered []time.Time // when what is inside came, in order
	freed   time.Time   // when the last one left
	first   time.Time   // when anything came first: a trace begins there
	traced  bool        // by opportunities, not by a rate
	buf     [2048]byte

	// passed, if set, is shown each datagram as it leaves: how long it waited, its own service not counted, and when it left. b is valid
	// until it returns.
	passed func(left time.Time, wait time.Duration, b []byte)
}

func newLinkNeck(cfg netem.Config) *linkNeck {
	return &linkNeck{link: netem.NewLink(cfg), traced: cfg.Trace != nil}
}

// enter puts a datagram in; false: the queue was full.
func (n *linkNeck) enter(now time.Time, b []byte) bool {
	n.advance(now)
	if n.first.IsZero() {
		n.first = now
	}
	before := n.link.Stats()
	n.link.Send(now, b)
	after := n.link.Stats()
	if after.QueueDropped > before.QueueDropped || after.LimitDropped > before.LimitDropped {
		return false
	}
	n.entered = append(n.entered, now)
	return true
}

// next is when a datagram leaves.
func (n *linkNeck) next() (time.Time, bool) { return n.link.Next() }

// advance shows what has left by now, each at the time at which it did.
func (n *linkNeck) advance(now time.Time) {
	for {
		at, ok := n.link.Next()
		if !ok || at.After(now) {
			return
		}
		for size, ok := n.link.Receive(at, n.buf[:]); ok; size, ok = n.link.Receive(at, n.buf[:]) {
			came := n.entered[0]
			n.entered = n.entered[1:]
			served := came
			if n.traced { // there is no service, only the wait for an opportunity
				served = at
			} else if n.freed.After(came) {
				served = n.freed
			}
			n.freed = at
			if n.passed != nil {
				n.passed(at, served.Sub(came), n.buf[:size])
			}
		}
	}
}

// capacity is what the bottleneck can pass in each bin of a time, in bytes. A trace is then at from.
func (c *LinkConfig) capacity(from, bin time.Duration, bins int) []float64 {
	out := make([]float64, bins)
	for i := range out {
		if c.Trace != nil {
			at := from + time.Duration(i)*bin
			out[i] = float64(c.Trace.Bytes(at, at+bin))
		} else {
			out[i] = float64(c.Rate) / 8 * bin.Seconds()
		}
	}
	return out
}
