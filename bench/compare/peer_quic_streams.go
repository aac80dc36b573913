package main

import (
	"context"
	"io"
	"time"

	"github.com/quic-go/quic-go"
)

// quicStreams sends every frame on a unidirectional stream of its own, which the relay passes on as it comes.
type quicStreams struct{}

func (quicStreams) name() string { return "quic-stream" }

func (quicStreams) settings(c *config) string {
	return quicCommon + "; one stream a frame, relay cuts through; a stream is reset when it is " + c.deadline.String() + " old"
}

func (quicStreams) open(ctx context.Context, b *bed) (func(frame) error, error) {
	out, in, err := quicHop(ctx, b, 1)
	if err != nil {
		return nil, err
	}
	receiver, forward, err := quicHop(ctx, b, 2)
	if err != nil {
		return nil, err
	}
	go eachStream(in, func(from *quic.ReceiveStream) {
		to, err := newStream(forward, b.cfg.deadline)
		if err != nil {
			return
		}
		if _, err := io.Copy(to, from); err != nil {
			to.CancelWrite(0)
			from.CancelRead(0)
			return
		}
		_ = to.Close()
	})
	go eachStream(receiver, func(from *quic.ReceiveStream) {
		body, err := io.ReadAll(io.LimitReader(from, maxFrame))
		if err == nil {
			b.got(body, time.Now())
		}
	})
	return func(f frame) error {
		s, err := newStream(out, b.cfg.deadline)
		if err != nil {
			return err
		}
		go func() { // Write waits for the congestion control; the next frame must not
			if _, err := s.Write(f.body); err == nil {
				_ = s.Close()
			}
		}()
		return nil
	}, nil
}

// newStream opens a stream that is reset when its frame is of no use any more, which takes nothing from one that is done.
func newStream(conn *quic.Conn, deadline time.Duration) (*quic.SendStream, error) {
	s, err := conn.OpenUniStream()
	if err != nil {
		return nil, err
	}
	time.AfterFunc(deadline, func() { s.CancelWrite(0) })
	return s, nil
}

// eachStream calls f for every stream, in a goroutine for each, until the connection ends.
func eachStream(conn *quic.Conn, f func(*quic.ReceiveStream)) {
	for {
		s, err := conn.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		go f(s)
	}
}
