package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// DefaultReconnect is how long a client tries to reach its relay again.
const DefaultReconnect = 60 * time.Second

// closePatience is how long Close tries to reach a relay that was lost before: the end is worth telling, not worth a minute.
const closePatience = 5 * time.Second

// PusherConfig says what a Pusher sends where. Only URL is required.
type PusherConfig struct {
	URL       crypto.URL    // a push URL
	Reconnect time.Duration // how long to try after a loss of the network; default DefaultReconnect
	Budget    time.Duration // how long after its capture a frame is still sent; default transport.DefaultBudget, at most a minute
	Suite     crypto.Suite  // default crypto.SuiteAESGCM

	// Bounds of the bitrate that an encoder is asked for, in bit/s of messages, audio and video together: at least, before the network
	// has shown what it carries, and at most. Defaults: transport.DefaultMinBitrate, DefaultStartBitrate and DefaultMaxBitrate.
	// After a loss of the network it begins with what was asked for before.
	MinBitrate, StartBitrate, MaxBitrate int64

	// The callbacks run in the pusher's goroutine: they must not block, and must not call the Pusher's methods but Done, Err and Uplink.
	OnEvent    func(Event)
	OnKeyFrame func()          // a player needs a key frame
	OnBitrate  func(bps int64) // the encoder should make this from now on, in bit/s of messages, audio and video together
}

// Pusher sends one stream. Its methods may be called from any goroutine.
type Pusher struct {
	cfg  PusherConfig
	link link
	in   *inbox

	mu         sync.Mutex // guards what follows, and keeps the order of messages
	packetizer *rtmpchunk.Packetizer
	cut        []*transport.Packet // of the message being cut

	upMu sync.Mutex // guards up
	up   Uplink

	leftOut atomic.Uint64 // frames that Renditions did not write, for want of room

	// The rest is the link's goroutine's.

	history  history
	conn     *transport.Conn // the present session's, nil while there is none
	started  bool            // START was sent on it
	openedAt time.Time
	adapt    adaptation
	closing  bool
	ended    bool // END was sent on the present session
	taken    []message
	meter    meter
	counts   Stats // of messages
}

// DialPusher connects to the relay and returns once push has begun (1002), or with the reason why it has not: a [CodeError], or ctx's
// error. ctx bounds the dialling only; Close ends the Pusher.
func DialPusher(ctx context.Context, cfg PusherConfig) (*Pusher, error) {
	if cfg.Reconnect <= 0 {
		cfg.Reconnect = DefaultReconnect
	}
	var instance [4]byte
	if _, err := io.ReadFull(rand.Reader, instance[:]); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	now := time.Now()
	p := &Pusher{cfg: cfg, in: newInbox(), packetizer: rtmpchunk.NewPacketizer(binary.BigEndian.Uint32(instance[:])), meter: meter{at: now}}
	p.up.Bitrate = startBitrate(&cfg)
	p.adapt.target.value, p.adapt.told = p.up.Bitrate, p.up.Bitrate
	p.link.origin = now
	p.link.user = p
	p.link.cfg = linkConfig{
		role: wire.RolePush, url: cfg.URL, suite: cfg.Suite, budget: cfg.Budget, reconnect: cfg.Reconnect, onEvent: cfg.OnEvent,
		bitrate:   transport.BitrateLimits{Min: cfg.MinBitrate, Start: cfg.StartBitrate, Max: cfg.MaxBitrate},
		connected: CodePushConnected, reconnecting: CodePushReconnecting, gaveUp: CodePushGaveUp,
	}
	if err := p.link.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Write sends one message, captured now. It blocks while too much waits for the network, also while that is lost. It copies what it keeps.
// It fails with rtmpchunk's errors for a message that is too large, after which the stream can go on; with ErrClosed after Close;
// and with the reason for the end once Done is closed.
func (p *Pusher) Write(m rtmpchunk.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.in.wait(context.Background()); err != nil {
		return err
	}
	now := time.Now()
	p.cut = nil // the slice goes along with the message
	rec, err := p.packetizer.Push(m, transport.Ticks(now.Sub(p.link.origin)), p.alloc, p.emit)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	out := message{at: now, record: rec, packets: p.cut, bytes: len(m.Payload)}
	if rec == nil {
		h := &p.cut[0].Header
		out.kind, out.key = h.Kind, h.Key
	}
	p.cut = nil
	if err := p.in.put(out); err != nil {
		for _, k := range out.packets {
			k.Release()
		}
		return err
	}
	p.link.poke()
	return nil
}

// alloc and emit serve Packetizer.Push: alloc's buffer is the one that emit gets back.
func (p *Pusher) alloc() []byte {
	k := p.link.pool.get()
	p.cut = append(p.cut, k)
	return k.Data
}

func (p *Pusher) emit(packet []byte, h rtmpchunk.Header) {
	k := p.cut[len(p.cut)-1]
	k.Data, k.Header = packet, h
}

// Close ends the stream: it waits until everything that was written has arrived or has been given up, tells the relay that the
// stream ends there, and says goodbye. If ctx ends before that, the session is closed without waiting, and ctx's error returned;
// players then wait for a pusher that may come back. A Pusher that has failed returns the reason.
func (p *Pusher) Close(ctx context.Context) error {
	p.in.close(ErrClosed)
	p.link.call(func(now time.Time) {
		if !p.closing {
			p.closing = true
			if !p.link.lostAt.IsZero() {
				p.link.patience(now, closePatience)
			}
		}
	})
	select {
	case <-p.link.done:
	case <-ctx.Done():
		p.link.stop()
		<-p.link.done
		if p.link.err == nil {
			return ctx.Err()
		}
	}
	return p.link.err
}

// Done is closed when the Pusher is over: closed, or failed.
func (p *Pusher) Done() <-chan struct{} { return p.link.done }

// Err is nil until Done is closed, and after a Close without trouble; else it tells why the Pusher failed.
func (p *Pusher) Err() error {
	select {
	case <-p.link.done:
		return p.link.err
	default:
		return nil
	}
}

// Rebind goes on from a new socket with another local port, as after a change of networks. The session stays.
func (p *Pusher) Rebind() error { return p.link.rebind() }

// Stats returns what was done so far.
func (p *Pusher) Stats() Stats {
	var s Stats
	p.link.call(func(time.Time) {
		s = p.link.stats()
		s.AudioFrames, s.VideoFrames, s.Records = p.counts.AudioFrames, p.counts.VideoFrames, p.counts.Records
		s.MediaBytes = p.counts.MediaBytes
		s.Switches = p.counts.Switches
		s.Skipped = p.counts.Skipped + p.link.totals().MessagesSkipped + p.leftOut.Load()
		if s.DatagramsSent > 0 {
			s.Loss = 100 * float64(s.PacketsLost) / float64(s.DatagramsSent)
		}
	})
	return s
}
