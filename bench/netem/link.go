package netem

import "time"

// Buffers are kept for reuse up to this many, each large enough for any datagram on an Ethernet; what is larger is left to the
// garbage collector.
const (
	maxFree    = 1024
	bufferSize = 1500
)

// Link is one direction of a path. One goroutine owns it. Time that runs backwards is taken for the latest seen.
type Link struct {
	cfg    Config
	now    time.Time
	chance chance
	queue  bottleneck
	wire   wire
	bytes  int // on their way
	free   [][]byte
	stats  Stats
}

// NewLink makes a link. A negative duration or rate counts as 0.
func NewLink(cfg Config) *Link {
	l := &Link{cfg: cfg.withDefaults()}
	l.chance.seed(cfg.Seed)
	return l
}

// Set changes what the link is from now on. What is on the wire arrives as it would have; what waits at the bottleneck goes on
// at the new rate and with the new delay and jitter, also if the new queue would not have taken it. Draws go on where they were.
func (l *Link) Set(now time.Time, cfg Config) {
	l.advance(now)
	l.queue.settle(l.now, l.cfg.Rate)
	l.cfg = cfg.withDefaults()
	l.advance(now)
}

// Send puts a copy of a datagram into the link.
func (l *Link) Send(now time.Time, b []byte) {
	l.advance(now)
	l.stats.Sent++
	l.stats.SentBytes += uint64(len(b))
	lost, jitter := l.chance.draw(l.cfg.Loss, l.cfg.Burst)
	switch {
	case l.cfg.Down:
		l.stats.DownDropped++
	case l.cfg.Drop != nil && l.cfg.Drop(b):
		l.stats.TestDropped++
	case l.bytes+len(b) > l.cfg.Limit || l.queue.n+len(l.wire.heap) >= maxDatagrams:
		l.stats.LimitDropped++
	case l.queue.wait(l.now, l.cfg.Rate) > l.cfg.Queue:
		l.stats.QueueDropped++
	default:
		d := datagram{size: len(b), lost: lost, jitter: jitter}
		if !lost {
			d.data = l.copyOf(b)
		}
		l.bytes += d.size
		l.stats.InTransit++
		l.queue.push(l.now, d)
		l.advance(now)
	}
}

// Next is the time of the link's next event, and false if there is none before something is sent. At that time [Link.Receive]
// mostly has a datagram; sometimes one has only left the bottleneck, and Next then gives a later time.
func (l *Link) Next() (time.Time, bool) {
	at, ok := l.queue.next(l.cfg.Rate)
	if len(l.wire.heap) > 0 {
		if due := l.wire.heap[0].due; !ok || due.Before(at) {
			return due, true
		}
	}
	return at, ok
}

// Receive copies the next datagram that has arrived by now into buf and gives its length, or false if there is none. Like a
// socket it cuts off what buf has no room for.
func (l *Link) Receive(now time.Time, buf []byte) (n int, ok bool) {
	l.advance(now)
	if len(l.wire.heap) == 0 || l.wire.heap[0].due.After(l.now) {
		return 0, false
	}
	d := l.wire.pop()
	n = copy(buf, d.data)
	l.leave(&d)
	l.stats.Delivered++
	l.stats.DeliveredBytes += uint64(d.size)
	l.release(d.data)
	return n, true
}

// Stats tells what has happened so far.
func (l *Link) Stats() Stats { return l.stats }

// advance moves every datagram that was served by now from the bottleneck on. It leaves at the time its service ended,
// however much later it is now.
func (l *Link) advance(now time.Time) {
	if now.After(l.now) {
		l.now = now
	}
	for {
		at, ok := l.queue.next(l.cfg.Rate)
		if !ok || at.After(l.now) {
			return
		}
		d := l.queue.pop(at)
		if d.lost {
			l.leave(&d)
			l.stats.Lost++
			continue
		}
		l.wire.push(at, d, &l.cfg)
	}
}

// leave takes a datagram off the accounts of what is on its way.
func (l *Link) leave(d *datagram) {
	l.bytes -= d.size
	l.stats.InTransit--
}

func (l *Link) copyOf(b []byte) []byte {
	if n := len(l.free); n > 0 && len(b) <= bufferSize {
		kept := l.free[n-1]
		l.free = l.free[:n-1]
		return append(kept[:0], b...)
	}
	return append(make([]byte, 0, max(len(b), bufferSize)), b...)
}

func (l *Link) release(b []byte) {
	if cap(b) == bufferSize && len(l.free) < maxFree {
		l.free = append(l.free, b)
	}
}
