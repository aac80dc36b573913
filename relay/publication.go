package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"duet/crypto"
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
	presence // the loop's, as the next two
	stream   *stream
	heardAt  time.Time
	loop     *Loop

	// KeyFrame, if set before the first Write, is called in the loop when a player needs a key frame. It must not block.
	KeyFrame func()

	mu        sync.Mutex // guards what follows
	packetize *rtmpchunk.Packetizer
	packets   []*transport.Packet // of the message being cut
	err       error
	done      chan struct{}
}

// Publish opens a publication of a token's stream for its party, as a session with the same token would; the token's call and epoch are
// held against floors, its action and expiry are for the caller to check. It fails with ErrRevoked, ErrBusy, ErrLimit, ErrStopped, or ctx's
// error. A publisher of the same party that is there already is replaced.
func (s *Server) Publish(ctx context.Context, t crypto.Token) (*Publication, error) {
	l := s.home(t.Stream)
	var seed [4]byte
	if _, err := io.ReadFull(l.rand, seed[:]); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	p := &Publication{
		loop: l, presence: presence{token: t}, packetize: rtmpchunk.NewPacketizer(binary.BigEndian.Uint32(seed[:])), done: make(chan struct{}),
	}
	var failed error
	err := l.mail.call(ctx, func(now time.Time) {
		if !l.group.floors.admits(&t) {
			failed = ErrRevoked
			return
		}
		st := l.open(t.Stream)
		if st == nil {
			failed = ErrLimit
			return
		}
		if !st.publish(now, p) {
			failed = ErrBusy
			return
		}
		p.stream, p.heardAt, p.id = st, now, l.newLocalID()
		l.enter(p)
		l.arrive(now, &p.presence)
		st.start(now, &wire.Control{Type: wire.ControlStart, Instance: p.packetize.Instance()})
	})
	if err != nil {
		_ = p.Close() // the loop may still come to it
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
		p.heardAt = now
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

// Done is closed when the publication is over: replaced, revoked, closed, or the relay stopped. Err then says which.
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
		if p.stream != nil && p.stream.pub == publisher(p) {
			p.stream.end(now, &wire.Control{Type: wire.ControlEnd, Order: end})
			p.stream.unpublish(now, p)
		}
		p.loop.exit(now, &p.presence)
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

// As a guest, in the loop.

func (p *Publication) here() *presence { return &p.presence }

func (p *Publication) pushes() bool { return true }

func (p *Publication) heard(time.Time) time.Time { return p.heardAt }

func (p *Publication) revoke(now time.Time) {
	p.stream.unpublish(now, p)
	go p.finish(ErrRevoked)
}

// As a publisher, in the loop. finish takes the mutex that Write holds while it waits for room in the mailbox, so it runs beside.

func (p *Publication) who() string { return p.token.Party }

func (p *Publication) replaced(now time.Time) {
	p.loop.exit(now, &p.presence)
	go p.finish(ErrReplaced)
}

func (p *Publication) requestKeyFrame(time.Time) {
	if p.KeyFrame != nil {
		p.KeyFrame()
	}
}

func (p *Publication) publishing(time.Time) {}

func (p *Publication) setArrival(time.Time, time.Duration, bool) {} // what is written here is here

func (p *Publication) setBitrate(time.Time, int64) {} // RTMP has no way to ask for less

func (p *Publication) clockOffset(time.Time) (time.Duration, bool) { return 0, true }
