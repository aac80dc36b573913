package bench

import (
	"context"
	"fmt"
	"time"

	"duet/bench/netem"
)

// A dumbbell is many flows that share one bottleneck in each direction, in virtual time:
//
//	end ─┐                                   ┌─ leg ─▶ end
//	end ─┼─▶ bottleneck: rate, queue ────────┼─ leg ─▶ end
//	end ─┘                                   └─ leg ─▶ end
//
// and the same the other way round. A leg, one for each flow and direction, has the flow's delay, jitter and random loss.
type dumbbell struct {
	now   time.Time
	zero  time.Time // from which everything that is measured is counted
	necks [2]neck
	flows []*dumbbellFlow
	tasks []dumbbellTask
	buf   [2048]byte
}

// direction says which way a datagram goes.
type direction int

const (
	forward direction = iota
	backward
)

// end is one end of a flow: a state machine with a deadline.
type end interface {
	HandleDatagram(now time.Time, b []byte)
	HandleTimeout(now time.Time)

	// Flush gives everything that may be sent now to send, which copies it.
	Flush(now time.Time, send func(b []byte))

	// Deadline is when HandleTimeout is due, zero: never.
	Deadline() time.Time
}

// neck is a bottleneck and the record of what passed it.
type neck struct {
	link    *netem.Link
	queue   time.Duration
	inside  []passage // what is in the link, in order: at is when it came
	freed   time.Time // when the last one left
	passed  []passage
	dropped int
}

// passage is one datagram's way through a bottleneck.
type passage struct {
	flow int
	size int           // bytes of UDP payload
	at   time.Duration // since zero: when its first bit left the queue
	left time.Duration // since zero: when its last bit was served
	wait time.Duration // in the queue, its own service not counted
}

// dumbbellFlow is two ends and the legs towards them.
type dumbbellFlow struct {
	ends [2]end // by the direction in which an end sends
	legs [2]*leg
}

type dumbbellTask struct {
	at time.Time
	f  func(now time.Time)
}

type eventKind int

const (
	eventNone eventKind = iota
	eventTask
	eventNeck
	eventLeg
	eventEnd
)

// newDumbbell begins at start; until zero nothing counts. The bottlenecks have no limit before setRate.
func newDumbbell(start, zero time.Time, queue time.Duration) *dumbbell {
	d := &dumbbell{now: start, zero: zero}
	for i := range d.necks {
		d.necks[i] = neck{link: netem.NewLink(netem.Config{}), queue: queue, freed: start}
	}
	return d
}

// setRate changes a bottleneck from now on; 0 takes it away.
func (d *dumbbell) setRate(dir direction, rate int64) {
	n := &d.necks[dir]
	n.link.Set(d.now, netem.Config{Rate: rate, Queue: n.queue})
}

// add makes a flow; its number is what passages name.
func (d *dumbbell) add(ends [2]end, legs [2]*leg) int {
	d.flows = append(d.flows, &dumbbellFlow{ends: ends, legs: legs})
	return len(d.flows) - 1
}

// at runs f at a time since zero.
func (d *dumbbell) at(t time.Duration, f func(now time.Time)) {
	d.tasks = append(d.tasks, dumbbellTask{at: d.zero.Add(t), f: f})
}

// since is the time since zero.
func (d *dumbbell) since() time.Duration { return d.now.Sub(d.zero) }

// run goes on until a time since zero.
func (d *dumbbell) run(ctx context.Context, until time.Duration) error {
	stop := d.zero.Add(until)
	for n := 0; d.step(stop); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return fmt.Errorf("bench: %w", ctx.Err())
		}
	}
	d.now = stop
	return nil
}

// step goes to the next event that is not after stop; false: there is none. Among events of one time the order is tasks, bottlenecks,
// legs, ends, each in the order in which they were made, so that a run can be repeated.
func (d *dumbbell) step(stop time.Time) bool {
	var first time.Time
	kind, which, dir := eventNone, 0, forward
	look := func(at time.Time, k eventKind, w int, side direction) {
		if at.Before(d.now) {
			at = d.now
		}
		if kind == eventNone || at.Before(first) {
			first, kind, which, dir = at, k, w, side
		}
	}
	for i := range d.tasks {
		look(d.tasks[i].at, eventTask, i, forward)
	}
	for i := range d.necks {
		if at, ok := d.necks[i].link.Next(); ok {
			look(at, eventNeck, i, direction(i))
		}
	}
	for i, f := range d.flows {
		for j := range f.legs {
			if at, ok := f.legs[j].next(); ok {
				look(at, eventLeg, i, direction(j))
			}
			if at := f.ends[j].Deadline(); !at.IsZero() {
				look(at, eventEnd, i, direction(j))
			}
		}
	}
	if kind == eventNone || first.After(stop) {
		return false
	}
	d.now = first
	switch kind {
	case eventTask:
		t := d.tasks[which]
		d.tasks = append(d.tasks[:which], d.tasks[which+1:]...)
		t.f(d.now)
	case eventNeck:
		d.leaveNeck(dir)
	case eventLeg:
		f := d.flows[which]
		f.ends[1-dir].HandleDatagram(d.now, f.legs[dir].receive())
		d.flush(which, 1-dir)
	case eventEnd:
		e := d.flows[which].ends[dir]
		e.HandleTimeout(d.now)
		d.flush(which, dir)
		if at := e.Deadline(); !at.IsZero() && !at.After(d.now) {
			d.now = d.now.Add(time.Microsecond) // a deadline that does not move must not stop time
		}
	}
	return true
}

// flush sends what an end has to send.
func (d *dumbbell) flush(flow int, dir direction) {
	d.flows[flow].ends[dir].Flush(d.now, func(b []byte) { d.enterNeck(flow, dir, b) })
}

func (d *dumbbell) enterNeck(flow int, dir direction, b []byte) {
	n := &d.necks[dir]
	before := n.link.Stats().QueueDropped
	n.link.Send(d.now, b)
	if n.link.Stats().QueueDropped > before {
		n.dropped++
		return
	}
	n.inside = append(n.inside, passage{flow: flow, size: len(b), at: d.since()})
}

// leaveNeck takes what has been served to its leg.
func (d *dumbbell) leaveNeck(dir direction) {
	n := &d.necks[dir]
	size, ok := n.link.Receive(d.now, d.buf[:])
	if !ok {
		return
	}
	p := n.inside[0]
	n.inside = n.inside[1:]
	came := p.at
	p.at, p.left = max(came, n.freed.Sub(d.zero)), d.since()
	p.wait = p.at - came
	n.freed = d.now
	n.passed = append(n.passed, p)
	d.flows[p.flow].legs[dir].send(d.now, d.buf[:size])
}
