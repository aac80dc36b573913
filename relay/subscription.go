package relay

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// Limits of a Subscription.
const (
	subscriptionDelay    = time.Second // how long it waits for a frame after its capture
	maxSubscriptionBytes = 16 << 20    // messages that its reader has not taken; beyond, media is dropped up to a key frame
	messageCost          = 64          // counted for each message beside its payload
)

// Subscription is an audience inside the process: whole messages in their order, from the newest key frame on, with the
// configurations and metadata that they need. A reader that is slow loses frames up to a later key frame; it never slows
// anybody else.
type Subscription struct {
	presence
	loop    *Loop
	stream  *stream
	playout *transport.Playout
	alarm   alarm
	origin  time.Time
	blind   blindness

	mu       sync.Mutex // guards what follows
	queue    []Delivery
	bytes    int
	dropping bool
	dropped  uint64
	err      error // after the queue
	ready    chan struct{}
}

// Delivery is a message with when it was captured.
type Delivery struct {
	Message  rtmpchunk.Message
	Run      uint32    // of the publisher: another one begins its timestamps anew
	Captured time.Time // by our clock, with a monotonic reading; when it was released, where the publisher's clock is not known
}

// Subscribe joins the audience of a token's stream, as a session with the same token would; the token's call, party and epoch are held
// against floors, its action and expiry are for the caller to check. A stream that nobody publishes yet is waited for. It fails with
// ErrRevoked, ErrLimit, ErrStopped or ctx's error.
func (s *Server) Subscribe(ctx context.Context, t crypto.Token) (*Subscription, error) {
	l := s.home(t.Stream)
	sub := &Subscription{loop: l, presence: presence{token: t}, origin: l.origin, playout: transport.NewPlayout(subscriptionDelay, l.origin), ready: make(chan struct{}, 1)}
	sub.alarm.ring = sub.flush
	var failed error
	err := l.mail.call(ctx, func(now time.Time) {
		if !l.group.floors.admits(&t) {
			failed = ErrRevoked
			return
		}
		st := l.open(t.Stream)
		if st == nil || len(st.players) >= l.cfg.MaxPlayers {
			failed = ErrLimit
			return
		}
		sub.stream, sub.id = st, l.newLocalID()
		l.enter(sub)
		l.arrive(now, &sub.presence)
		l.subs[sub] = struct{}{}
		st.join(now, sub)
	})
	if err != nil {
		_ = sub.Close() // the loop may still come to it
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return sub, nil
}

// Read returns the next message, waiting for it. Its payload is the caller's. It fails with io.EOF after the stream's end, with
// ErrClosed, ErrStopped, ctx's error, and at once, whatever was still to be read, with ErrRevoked.
func (s *Subscription) Read(ctx context.Context) (rtmpchunk.Message, error) {
	d, err := s.Next(ctx)
	return d.Message, err
}

// Next is Read with the time of capture.
func (s *Subscription) Next(ctx context.Context) (Delivery, error) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			d := s.queue[0]
			s.queue[0] = Delivery{}
			s.queue = s.queue[1:]
			s.bytes -= len(d.Message.Payload) + messageCost
			s.mu.Unlock()
			return d, nil
		}
		err := s.err
		s.mu.Unlock()
		if err != nil {
			return Delivery{}, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

// Dropped is how many messages the reader was too slow for.
func (s *Subscription) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Close leaves the stream.
func (s *Subscription) Close() error {
	_ = s.loop.mail.post(context.Background(), func(now time.Time) {
		s.detach(now)
		s.loop.exit(now, &s.presence)
	})
	s.stop(ErrClosed)
	return nil
}

// stop ends reading after what is queued; the first reason counts.
func (s *Subscription) stop(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// detach takes it out of its stream. Until Close it stays in its call's index, since its reader may have much to read yet.
func (s *Subscription) detach(now time.Time) {
	if _, in := s.loop.subs[s]; !in {
		return
	}
	delete(s.loop.subs, s)
	s.loop.depart(now, &s.presence)
	s.loop.alarms.remove(&s.alarm)
	s.playout.Close()
	s.stream.leave(now, s)
}

// flush moves what the playout releases to the reader's queue. It runs in the loop.
func (s *Subscription) flush(now time.Time) {
	for {
		r, ok := s.playout.Poll(now)
		if !ok {
			break
		}
		switch r.Kind {
		case transport.ReleaseMessage:
			s.put(now, &r)
		case transport.ReleaseEnd:
			s.stop(io.EOF)
			s.detach(now)
			return
		case transport.ReleaseRun:
		}
	}
	s.loop.alarms.set(&s.alarm, s.playout.Deadline())
}

// put copies a message into the queue, or drops it.
func (s *Subscription) put(now time.Time, r *transport.Release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Media {
		if s.bytes+len(r.Message.Payload) > maxSubscriptionBytes {
			s.dropping = true
		} else if s.dropping && (r.Header.Key || !s.stream.cache.video) && s.bytes < maxSubscriptionBytes/2 {
			s.dropping = false
		}
		if s.dropping {
			s.dropped++
			return
		}
	}
	m := r.Message
	m.Payload = bytes.Clone(m.Payload)
	at := r.Captured
	if at.IsZero() {
		at = now
	}
	s.queue = append(s.queue, Delivery{Message: m, Run: r.Run, Captured: at})
	s.bytes += len(m.Payload) + messageCost
	s.signal()
}

// As a guest, in the loop.

func (s *Subscription) here() *presence { return &s.presence }

func (s *Subscription) pushes() bool { return false }

func (s *Subscription) heard(now time.Time) time.Time { return now }

func (s *Subscription) revoke(now time.Time) {
	s.detach(now)
	s.mu.Lock()
	s.queue, s.bytes, s.err = nil, 0, ErrRevoked
	s.mu.Unlock()
	s.signal()
}

// As an audience, in the loop.

func (s *Subscription) begin(now time.Time, st *stream) {
	order, seq := st.joinPoint()
	s.blind = blindness{on: st.needsKey()}
	s.playout.Start(now, &wire.Control{Type: wire.ControlStart, Instance: st.run, Order: order, Seq: seq})
	if st.clockOK {
		s.clock(now, st.offset)
	}
	for i := range st.cache.records {
		s.playout.Record(now, recordMessage(&st.cache.records[i]))
	}
	for i := range st.cache.skips {
		s.playout.Skip(&st.cache.skips[i])
	}
	for i, p := range st.cache.packets {
		s.packet(now, p, st.cache.orders[i])
	}
}

func (s *Subscription) packet(now time.Time, p *transport.Packet, order uint64) {
	if drop, skip := s.blind.drops(p, order); drop {
		if skip {
			s.playout.Skip(&wire.Control{Type: wire.ControlSkip, Order: order, Count: 1})
		}
		return
	}
	p.Retain()
	s.playout.Packet(now, p)
}

func (s *Subscription) control(now time.Time, m *wire.Control) {
	switch m.Type {
	case wire.ControlRecord:
		s.playout.Record(now, m)
	case wire.ControlSkip:
		s.playout.Skip(m)
	case wire.ControlEnd:
		s.playout.End(now, m)
	default:
	}
}

func (s *Subscription) clock(_ time.Time, offset time.Duration) { s.playout.SetClock(offset) }

func (s *Subscription) waiting(time.Time) {}

func (s *Subscription) arrival() (time.Duration, bool) { return subscriptionDelay, true }

func (s *Subscription) bitrate() int64 { return 0 }
