package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// Errors of local publications and subscriptions.
var (
	ErrReplaced = errors.New("relay: a newer publisher of the same party has taken over")
	ErrBusy     = errors.New("relay: another party publishes this stream")
	ErrLimit    = errors.New("relay: at its limit of streams or players; try again later")
	ErrClosed   = errors.New("relay: closed")
)

// Publication is a publisher inside the process, such as a gateway: messages go in, the stream's audience gets them as from any
// pusher. Its methods may be called from any goroutine.
type Publication struct {
	loop   *Loop
	stream *stream // loop's
	party  string

	// KeyFrame, if set before the first Write, is called in the loop when a player needs a key frame. It must not block.
	KeyFrame func()

	mu        sync.Mutex // guards what follows
	packetize *rtmpchunk.Packetizer
	packets   []*transport.Packet // of the message being cut
	err       error
	done      chan struct{}
}

// Publish opens a publication of a stream for a party. It fails with ErrBusy, ErrLimit, ErrStopped, or ctx's error. A publisher of the
// same party that is there already is replaced.
func (s *Server) Publish(ctx context.Context, name, party string) (*Publication, error) {
	var seed [4]byte
	if _, err := io.ReadFull(s.loop.rand, seed[:]); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	p := &Publication{
		loop: s.loop, party: party, packetize: rtmpchunk.NewPacketizer(binary.BigEndian.Uint32(seed[:])), done: make(chan struct{}),
	}
	var failed error
	err := s.loop.mail.call(ctx, func(now time.Time) {
		st := s.loop.open(name)
		if st == nil {
			failed = ErrLimit
			return
		}
		p.stream = st
		if !st.publish(now, p) {
			failed = ErrBusy
			return
		}
		st.start(now, &wire.Control{Type: wire.ControlStart, Instance: p.packetize.Instance()})
	})
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return p, nil
}

// Write sends one message, captured now. It waits while the relay is busy, and fails with rtmpchunk's errors for a message that is
// too large (the stream can go on), and for good once Done is closed.
func (p *Publication) Write(m rtmpchunk.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	captured := transport.Ticks(time.Since(p.loop.origin))
	p.packets = nil
	rec, err := p.packetize.Push(m, captured, p.alloc, p.emit)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	packets := p.packets
	p.packets = nil
	err = p.loop.mail.post(context.Background(), func(now time.Time) {
		live := p.stream.pub == publisher(p)
		if live && rec != nil {
			p.stream.record(now, recordMessage(rec))
		}
		for _, k := range packets {
			if live {
				p.stream.packet(now, k)
			}
			k.Release()
		}
	})
	if err != nil {
		for _, k := range packets {
			k.Release()
		}
	}
	return err
}

// alloc and emit serve Packetizer.Push: alloc's buffer is the one that emit gets back.
func (p *Publication) alloc() []byte {
	k := p.loop.packets.get()
	p.packets = append(p.packets, k)
	return k.Data
}

func (p *Publication) emit(packet []byte, h rtmpchunk.Header) {
	k := p.packets[len(p.packets)-1]
	k.Data, k.Header = packet, h
}

// Done is closed when the publication is over: replaced, closed, or the relay stopped. Err then says which.
func (p *Publication) Done() <-chan struct{} { return p.done }

// Err is nil until Done is closed.
func (p *Publication) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close ends the stream: players play what there is and get its end.
func (p *Publication) Close() error {
	p.mu.Lock()
	end := p.packetize.Next()
	p.mu.Unlock()
	err := p.loop.mail.post(context.Background(), func(now time.Time) {
		if p.stream.pub == publisher(p) {
			p.stream.end(now, &wire.Control{Type: wire.ControlEnd, Order: end})
			p.stream.unpublish(now, p)
		}
	})
	p.finish(ErrClosed)
	if errors.Is(err, ErrStopped) {
		return nil
	}
	return err
}

// finish records the first reason for the end.
func (p *Publication) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		close(p.done)
	}
}

// As a publisher, in the loop. finish takes the mutex that Write holds while it waits for room in the mailbox, so it runs beside.

func (p *Publication) who() string { return p.party }

func (p *Publication) replaced(time.Time) { go p.finish(ErrReplaced) }

func (p *Publication) requestKeyFrame(time.Time) {
	if p.KeyFrame != nil {
		p.KeyFrame()
	}
}

func (p *Publication) publishing(time.Time) {}

func (p *Publication) setArrival(time.Time, time.Duration, bool) {} // what is written here is here

func (p *Publication) setBitrate(time.Time, int64) {} // RTMP has no way to ask for less

func (p *Publication) clockOffset(time.Time) (time.Duration, bool) { return 0, true }
