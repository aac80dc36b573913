package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// directReads is up to how many entries Read asks for one by one; for more a reader on the server is worth its making.
const directReads = 8

// Append writes an entry behind the entry number after, 0 for the first, and returns its number: after + 1. ErrConflict and ErrTooLarge mean
// that nothing was written. After any other error, ctx's too, it may have been written or not, and may still be in a moment: the caller reads on
// from after, and may append the same again with the same after. No answer within 5 s is such an error. data is not kept.
//
// The entry has no message ID by which the server would drop a second copy: the expected sequence does that, for as long as the log exists, where a
// window for message IDs ends after minutes and costs memory. Of two copies with the same expectation at most one fits.
func (s *Store) Append(ctx context.Context, after uint64, data []byte) (seq uint64, err error) {
	if len(data) > MaxEntry {
		return 0, fmt.Errorf("%w: an entry of %d bytes, %d at most", ErrTooLarge, len(data), MaxEntry)
	}
	joined, cancel := s.during(ctx) // over a break of the connection no answer comes
	defer cancel()
	if ctx.Err() != nil || s.life.Err() != nil {
		return 0, s.fault(ctx, "append", joined.Err())
	}
	joined, end := context.WithTimeout(joined, apiTime)
	defer end()
	ack, err := s.js.PublishMsg(joined, &nats.Msg{Subject: s.cfg.Name + logSubject, Data: data},
		jetstream.WithExpectLastSequence(after), jetstream.WithExpectStream(s.cfg.Name+logStream))
	if err != nil {
		var api *jetstream.APIError
		if errors.As(err, &api) {
			switch api.ErrorCode {
			case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
				return 0, ErrConflict
			case jetstream.JSErrCodeStreamMessageExceedsMaximum:
				return 0, ErrTooLarge
			}
		}
		return 0, s.fault(ctx, "append", err)
	}
	if s.server != nil {
		if err := s.server.mark.raise(ack.Sequence); err != nil {
			s.cfg.Logger.Warn("the mark of the log's end can't be written", "error", err)
		}
	}
	return ack.Sequence, nil
}

// Last is the number of the log's last entry, 0 if it has none.
func (s *Store) Last(ctx context.Context) (uint64, error) {
	joined, cancel := s.join(ctx)
	defer cancel()
	st, err := s.state(joined)
	if err != nil {
		return 0, s.fault(ctx, "the log's end", err)
	}
	return st.LastSeq, nil
}

// Read calls f with the entries from to to, both included, in order. It returns f's error as it is, ErrGone if from is before the first entry that is
// kept, and ErrAhead if to is behind the last. It goes on where it was if the connection breaks, until ctx ends.
func (s *Store) Read(ctx context.Context, from, to uint64, f func(Entry) error) error {
	from = max(from, 1)
	if from > to {
		return nil
	}
	joined, cancel := s.join(ctx)
	defer cancel()
	c := cursor{s: s, next: from, to: to, f: f}
	if to-from < directReads {
		return c.finish(ctx, c.few(joined))
	}
	return c.follow(ctx, joined)
}

// Follow calls f with every entry behind entry number after, in order and without gap or repetition: first those that are there, then each as it comes. It
// goes on where it was whenever the connection breaks. It returns f's error as it is, ctx's, ErrClosed, or ErrGone, ErrAhead or ErrDamaged.
func (s *Store) Follow(ctx context.Context, after uint64, f func(Entry) error) error {
	joined, cancel := s.join(ctx)
	defer cancel()
	c := cursor{s: s, next: after + 1, f: f}
	return c.follow(ctx, joined)
}

// state is what the server that leads the log says of its extent.
func (s *Store) state(ctx context.Context) (jetstream.StreamState, error) {
	info, err := s.log.Info(ctx)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	return info.State, nil
}

// entry reads one entry from the server that leads the log. The error is jetstream.ErrMsgNotFound if it can't have it.
func (s *Store) entry(ctx context.Context, seq uint64) (Entry, error) {
	m, err := s.log.GetMsg(ctx, seq)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Seq: m.Sequence, Time: m.Time.In(time.UTC), Data: m.Data}, nil
}
