package office

import (
	"context"
	"errors"
	"slices"
	"sync"

	"duet/signaling/desk"
)

// Event is a notice with its place among all.
type Event struct {
	Seq    uint64      `json:"seq"`
	Notice desk.Notice `json:"notice"`
}

const (
	maxRing    = 16_384 // events that are kept for those who come back
	maxLag     = 4_096  // events that wait for one subscriber
	seqShift   = 16     // an event's number is that of its entry and its place in it; below 2^53, so that JSON's numbers hold it
	lastInSeq  = 1<<seqShift - 1
	supervisor = desk.ToSupervisors
)

// ErrLagged means that a subscriber was too slow: it has to begin anew, from the state.
var ErrLagged = errors.New("office: the subscriber was too slow")

// ring has the last events, the oldest first.
type ring struct {
	Events []Event `json:"events"`
	Low    uint64  `json:"low"` // events above it are all there
}

func (r *ring) add(e Event) {
	r.Events = append(r.Events, e)
	if len(r.Events) > 2*maxRing {
		*r = r.newest()
		r.Events = slices.Clone(r.Events)
	}
}

// newest is the ring without what is beyond maxRing. It shares the memory, of which only the end is ever written to.
func (r *ring) newest() ring {
	cut := len(r.Events) - maxRing
	if cut <= 0 {
		return ring{slices.Clip(r.Events), r.Low}
	}
	return ring{slices.Clip(r.Events[cut:]), r.Events[cut-1].Seq}
}

// Subscription hands one subscriber its events in order.
type Subscription struct {
	o     *Office
	users []string
	seq   uint64

	mu     sync.Mutex
	queue  []Event
	err    error
	signal chan struct{} // one token: there is something in the queue, or an error
}

// Subscribe begins to keep a user's events; supervises adds those for supervisors. With after, what the user had last, those since then come
// first, and resumed is true, if all of them are still at hand.
func (o *Office) Subscribe(user string, supervises bool, after uint64) (s *Subscription, resumed bool) {
	return o.SubscribeView(user, supervises, after, func(*desk.State) {})
}

// SubscribeView is Subscribe that shows the state of the very moment: the events that come are those after it.
func (o *Office) SubscribeView(user string, supervises bool, after uint64, f func(*desk.State)) (s *Subscription, resumed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.state.Seq<<seqShift | lastInSeq
	s = &Subscription{o: o, users: []string{user}, seq: now, signal: make(chan struct{}, 1)}
	if supervises {
		s.users = append(s.users, supervisor)
	}
	if after > 0 && after >= o.events.Low && after <= now {
		resumed, s.seq = true, after
		i, _ := slices.BinarySearchFunc(o.events.Events, after+1, func(e Event, seq uint64) int {
			if e.Seq < seq {
				return -1
			}
			return 1
		})
		for _, e := range o.events.Events[i:] {
			if slices.Contains(s.users, e.Notice.To) {
				s.push(e)
			}
		}
	}
	for _, u := range s.users {
		if o.subs[u] == nil {
			o.subs[u] = make(map[*Subscription]struct{})
		}
		o.subs[u][s] = struct{}{}
	}
	f(o.state)
	return s, resumed
}

// Seq is where the subscription began: events above it come.
func (s *Subscription) Seq() uint64 { return s.seq }

// Next waits for an event. After ErrLagged there is nothing more.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 && !errors.Is(s.err, ErrLagged) {
			e := s.queue[0]
			s.queue = s.queue[1:]
			s.mu.Unlock()
			return e, nil
		}
		err := s.err
		s.mu.Unlock()
		if err != nil {
			return Event{}, err
		}
		select {
		case <-s.signal:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Close ends it.
func (s *Subscription) Close() {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	for _, u := range s.users {
		delete(s.o.subs[u], s)
		if len(s.o.subs[u]) == 0 {
			delete(s.o.subs, u)
		}
	}
}

func (s *Subscription) push(e Event) {
	s.mu.Lock()
	if len(s.queue) >= maxLag {
		s.err = ErrLagged
	} else if s.err == nil {
		s.queue = append(s.queue, e)
	}
	s.mu.Unlock()
	s.wake()
}

func (s *Subscription) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.wake()
}

func (s *Subscription) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// publish hands out an entry's notices. The caller holds the lock.
func (o *Office) publish(seq uint64, notices []desk.Notice) {
	for i, n := range notices {
		e := Event{seq<<seqShift | uint64(min(i, lastInSeq-1)), n}
		o.events.add(e)
		for s := range o.subs[n.To] {
			s.push(e)
		}
	}
	for c := range o.watch {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Changes signals after every entry, many as one, until stop.
func (o *Office) Changes() (c <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watch[ch] = struct{}{}
	return ch, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.watch, ch)
	}
}
