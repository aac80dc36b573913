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
	used   bool      // once: then began counts
	began  time.Time // the first use
	now    time.Time
	steps  []Step // of the schedule, those that are still to come
	chance chance
	queue  bottleneck
	wire   wire
	bytes  int // on their way
	free   [][]byte
	stats  Stats
}

// NewLink makes a link. A negative duration or rate counts as 0. The times of a Schedule or Trace count from the first call of another
// method than Next and Stats; to receive nothing is a way to say when.
func NewLink(cfg Config) *Link {
	l := &Link{cfg: cfg.withDefaults(), steps: sorted(cfg.Schedule)}
	l.chance.seed(cfg.Seed)
	return l
}

// Set changes what the link is from now on. What is on the wire arrives as it would have; what waits at the bottleneck goes on
// at the new rate and with the new delay and jitter, also if the new queue would not have taken it. Draws go on where they were. The
// new Schedule takes the place of the one before; its times, too, count from the link's first use.
func (l *Link) Set(now time.Time, cfg Config) {
	l.advance(now)
	l.steps = sorted(cfg.Schedule)
	past := 0
	for past < len(l.steps) && !l.began.Add(l.steps[past].At).After(l.now) {
		past++
	}
	l.become(l.now, cfg.after(l.steps[:past], l.now.Sub(l.began)))
	l.steps = l.steps[past:]
	l.advance(now)
}

// become changes the configuration at a time at which everything due before has been done.
func (l *Link) become(at time.Time, cfg Config) {
	cfg = cfg.withDefaults()
	if cfg.Loss != l.cfg.Loss || cfg.BurstTime != l.cfg.BurstTime {
		l.chance.change(at, &l.cfg, &cfg)
	}
	l.queue.change(at, cfg.Rate, cfg.Trace)
	l.cfg = cfg
}

// Send puts a copy of a datagram into the link.
func (l *Link) Send(now time.Time, b []byte) {
	l.advance(now)
	l.stats.Sent++
	l.stats.SentBytes += uint64(len(b))
	d := l.chance.draw(&l.cfg)
	switch {
	case l.cfg.Down:
		l.stats.DownDropped++
	case l.cfg.Drop != nil && l.cfg.Drop(b):
		l.stats.TestDropped++
	case !l.room(len(b)):
		l.stats.LimitDropped++
	case l.full(len(b)):
		l.stats.QueueDropped++
	default:
		d.size = len(b)
		if !d.lost {
			d.data = l.copyOf(b)
		}
		l.bytes += d.size
		l.stats.InTransit++
		l.queue.push(l.now, d)
		l.advance(now)
	}
}

// room reports whether a datagram would stay within the link's limits.
func (l *Link) room(size int) bool {
	return l.bytes+size <= l.cfg.Limit && l.queue.n+len(l.wire.heap) < maxDatagrams
}

// full reports whether the bottleneck's queue has no place for a datagram.
func (l *Link) full(size int) bool {
	if l.cfg.QueueBytes > 0 {
		return l.queue.n > 0 && l.queue.limited() && l.queue.bytes+size > l.cfg.QueueBytes
	}
	return l.queue.wait(l.now) > l.cfg.Queue
}

// Next is the time of the link's next event, and false if there is none before something is sent. At that time [Link.Receive]
// mostly has a datagram; sometimes one has only left the bottleneck, or the link has changed by its schedule, and Next then gives a
// later time.
func (l *Link) Next() (time.Time, bool) {
	at, ok := l.queue.next()
	if ok && len(l.steps) > 0 {
		if step := l.began.Add(l.steps[0].At); step.Before(at) {
			at = step // after which the bottleneck may be faster
		}
	}
	if len(l.wire.heap) > 0 {
		if due := l.wire.heap[0].at; !ok || due.Before(at) {
			return due, true
		}
	}
	return at, ok
}

// Receive copies the next datagram that has arrived by now into buf and gives its length, or false if there is none. Like a
// socket it cuts off what buf has no room for.
func (l *Link) Receive(now time.Time, buf []byte) (n int, ok bool) {
	n, _, ok = l.ReceiveMarked(now, buf)
	return n, ok
}

// ReceiveMarked is Receive, and tells whether the datagram is marked: congestion experienced.
func (l *Link) ReceiveMarked(now time.Time, buf []byte) (n int, ce, ok bool) {
	l.advance(now)
	if len(l.wire.heap) == 0 || l.wire.heap[0].at.After(l.now) {
		return 0, false, false
	}
	d := l.wire.pop()
	n = copy(buf, d.data)
	l.leave(&d)
	l.stats.Delivered++
	l.stats.DeliveredBytes += uint64(d.size)
	return n, d.marked, true
}

// Stats tells what has happened so far.
func (l *Link) Stats() Stats { return l.stats }

// advance does everything that is due by now, each at its time, however much later it is now.
func (l *Link) advance(now time.Time) {
	if !l.used {
		l.used, l.began, l.now = true, now, now
		l.queue.change(now, l.cfg.Rate, l.cfg.Trace)
		l.chance.change(now, &l.cfg, &l.cfg)
	}
	if now.After(l.now) {
		l.now = now
	}
	for len(l.steps) > 0 {
		at := l.began.Add(l.steps[0].At)
		if at.After(l.now) {
			break
		}
		l.serve(at)
		l.become(at, l.steps[0].Config)
		l.steps = l.steps[1:]
	}
	l.serve(l.now)
}

// serve moves every datagram that was served by a time from the bottleneck on. It leaves at the time its service ended.
func (l *Link) serve(until time.Time) {
	for {
		at, ok := l.queue.next()
		if !ok || at.After(until) {
			return
		}
		d, wait := l.queue.pop(at)
		l.stats.BottleneckBytes += uint64(d.size)
		if l.queue.limited() {
			l.stats.QueueDelay.note(wait)
		}
		if l.cfg.Mark > 0 && wait > l.cfg.Mark {
			d.marked = true
			l.stats.Marked++
		}
		if l.cfg.BurstTime > 0 && l.chance.at(at, &l.cfg) {
			d.lost = true
		}
		if d.lost {
			l.leave(&d)
			l.stats.Lost++
			continue
		}
		l.carry(at, d)
	}
}

// carry puts a datagram on the wire, and the copy of it if there is to be one and the limits allow.
func (l *Link) carry(at time.Time, d datagram) {
	var again datagram
	if d.again = d.again && l.room(d.size); d.again {
		again = datagram{data: l.copyOf(d.data), size: d.size, marked: d.marked, jitter: d.againJitter}
		l.bytes += d.size
		l.stats.InTransit++
		l.stats.Duplicated++
	}
	l.wire.push(at, d, &l.cfg)
	if d.again {
		l.wire.push(at, again, &l.cfg)
	}
}

// leave takes a datagram off the accounts of what is on its way.
func (l *Link) leave(d *datagram) {
	l.bytes -= d.size
	l.stats.InTransit--
	l.release(d.data)
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
