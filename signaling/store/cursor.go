package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	readAhead   = 256                    // entries asked for ahead of f; times MaxEntry in memory at worst
	pullSpan    = 30 * time.Second       // of one request for entries
	pullBeat    = 5 * time.Second        // how often the server tells that the request is alive
	stallTime   = 5 * time.Second        // without an entry, before the log's end is looked at: nothing waits for what will never come
	readerSpan  = 5 * time.Minute        // after that a reader of which nothing is heard is forgotten by the server
	aheadTime   = time.Second            // that a log may end too early: a server that has just begun to lead it may be behind
	firstPause  = 20 * time.Millisecond  // before another try; doubled each time
	longPause   = 500 * time.Millisecond // at most
	goodbyeTime = time.Second            // for removing a reader from the server
)

// errAgain: the reader on the server is of no more use, and another is to be made.
var errAgain = errors.New("store: read on")

// cursor reads the log from next on. Every entry's number has to be the one after the last, so a server that skips or repeats, a
// connection that breaks and a reader that is forgotten are all the same: it asks again from next on.
type cursor struct {
	s      *Store
	next   uint64
	to     uint64 // the last entry to be read; 0: no end
	f      func(Entry) error
	failed error     // f's
	short  time.Time // since when the log is shorter than what was read
}

// follow reads until f fails, the last entry is read, or ctx ends. joined is ctx, ending also at Close.
func (c *cursor) follow(ctx, joined context.Context) error {
	pause := firstPause
	for {
		before := c.next
		err := c.read(joined)
		if c.final(joined, err) {
			return c.finish(ctx, err)
		}
		if c.next > before {
			pause = firstPause
		}
		c.s.wait(joined, pause)
		pause = min(2*pause, longPause)
	}
}

// final reports whether reading ends with err.
func (c *cursor) final(joined context.Context, err error) bool {
	return err == nil || joined.Err() != nil || c.failed != nil || errors.Is(err, ErrGone) || errors.Is(err, ErrAhead) || errors.Is(err, ErrDamaged)
}

// finish makes the error that the caller gets.
func (c *cursor) finish(ctx context.Context, err error) error {
	switch {
	case c.failed != nil:
		return c.failed
	case err == nil, errors.Is(err, ErrGone), errors.Is(err, ErrAhead), errors.Is(err, ErrDamaged):
		return err
	}
	return c.s.fault(ctx, "read", err)
}

// few reads a few entries one by one.
func (c *cursor) few(ctx context.Context) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := c.check(ctx)
		for err == nil && c.next <= c.to {
			err = c.fetch(ctx)
		}
		if c.final(ctx, err) {
			return err
		}
		c.s.wait(ctx, pause)
	}
}

// read reads through one reader on the server.
func (c *cursor) read(ctx context.Context) error {
	ctx, cancel := c.s.during(ctx)
	defer cancel()
	if err := c.check(ctx); err != nil {
		return err
	}
	consumer, err := c.s.log.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: c.next,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: readerSpan, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return err
	}
	defer c.forget(consumer)
	it, err := consumer.Messages(jetstream.PullMaxMessages(readAhead), jetstream.PullExpiry(pullSpan), jetstream.PullHeartbeat(pullBeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer it.Stop()
	for c.to == 0 || c.next <= c.to {
		m, err := c.await(ctx, it)
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		seq := meta.Sequence.Stream
		for c.next < seq && (c.to == 0 || c.next <= c.to) { // skipped: it may be there nevertheless
			if err := c.fetch(ctx); err != nil {
				return err
			}
		}
		if seq != c.next {
			continue
		}
		if err := c.give(Entry{Seq: seq, Time: meta.Timestamp.In(time.UTC), Data: m.Data()}); err != nil {
			return err
		}
	}
	return nil
}

// await waits for the next message. If none comes for a while it looks whether there should have been one.
func (c *cursor) await(ctx context.Context, it jetstream.MessagesContext) (jetstream.Msg, error) {
	for {
		m, err := nextWithin(ctx, it, stallTime)
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return m, err
		}
		st, err := c.s.state(ctx)
		switch {
		case err != nil:
			return nil, err
		case st.LastSeq < c.next-1:
			return nil, errAgain // check tells
		case st.LastSeq >= c.next:
			if err := c.fetch(ctx); err != nil {
				return nil, err
			}
			return nil, errAgain
		}
	}
}

func nextWithin(ctx context.Context, it jetstream.MessagesContext, span time.Duration) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	return it.Next(jetstream.NextContext(ctx))
}

// check compares what is to be read with what the log has.
func (c *cursor) check(ctx context.Context) error {
	st, err := c.s.state(ctx)
	switch {
	case err != nil:
		return err
	case c.next < st.FirstSeq:
		return fmt.Errorf("%w: entry %d is asked for, %d is the first", ErrGone, c.next, st.FirstSeq)
	case st.LastSeq >= c.next-1 && st.LastSeq >= c.to:
		c.short = time.Time{}
		return nil
	}
	now := time.Now()
	if c.short.IsZero() {
		c.short = now
	}
	if c.s.server == nil && now.Sub(c.short) < aheadTime {
		return errAgain
	}
	return fmt.Errorf("%w: entry %d is asked for, %d is the last", ErrAhead, max(c.next-1, c.to), st.LastSeq)
}

// fetch reads the next entry directly. The log has or had it: if it can't be read it was removed or is damaged.
func (c *cursor) fetch(ctx context.Context) error {
	e, err := c.s.entry(ctx, c.next)
	switch {
	case err == nil:
		return c.give(e)
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return err
	}
	st, err := c.s.state(ctx)
	switch {
	case err != nil:
		return err
	case c.next < st.FirstSeq:
		return fmt.Errorf("%w: entry %d is asked for, %d is the first", ErrGone, c.next, st.FirstSeq)
	case c.next > st.LastSeq:
		return errAgain
	}
	return fmt.Errorf("%w: entry %d is missing, and there are %d to %d", ErrDamaged, c.next, st.FirstSeq, st.LastSeq)
}

func (c *cursor) give(e Entry) error {
	if c.failed = c.f(e); c.failed != nil {
		return c.failed
	}
	c.next++
	return nil
}

// forget removes a reader from the server, which else does it after readerSpan.
func (c *cursor) forget(consumer jetstream.Consumer) {
	if c.s.life.Err() != nil || !c.s.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(c.s.life, goodbyeTime)
	defer cancel()
	_ = c.s.log.DeleteConsumer(ctx, consumer.CachedInfo().Name)
}
