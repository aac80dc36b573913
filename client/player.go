package client

import (
	"context"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// DefaultWait is how long a Player waits for a pusher.
const DefaultWait = 60 * time.Second

// PlayerConfig says what a Player receives. Only URL is required.
type PlayerConfig struct {
	URL       crypto.URL    // a play URL
	Reconnect time.Duration // how long to try after a loss of the network; default DefaultReconnect
	MaxDelay  time.Duration // how long after its capture a frame is waited for; default a second, at most a minute
	Smooth    bool          // hand frames out evenly, at a delay that adapts to the network, and not each as soon as it can be
	Wait      time.Duration // how long a stream without a pusher is waited for, at the beginning and later; default DefaultWait
	Suite     crypto.Suite  // default crypto.SuiteAESGCM

	// OnEvent runs in the player's goroutine: it must not block, and must not call the Player's methods but Done.
	OnEvent func(Event)
}

// Frame is one message of the stream, in the pusher's order. Times are by this process's clock.
type Frame struct {
	Message  rtmpchunk.Message // the payload is the reader's
	Media    bool              // audio or video; else a configuration, metadata or data message, of which Message and Run are set
	Kind     rtmpchunk.Kind
	Key      bool      // key frame
	Run      uint32    // the pusher's run: where it changes, timestamps start anew
	Gap      bool      // frames of this kind were given up since the last one
	Captured time.Time // zero while the clocks are not known to each other
	Complete time.Time // when the last of it came or was rebuilt
	Released time.Time // when its turn had come
}

// Player receives one stream. Its methods may be called from any goroutine.
type Player struct {
	cfg   PlayerConfig
	link  link
	queue *frameQueue

	// The rest is the link's goroutine's.

	playout     *transport.Playout
	conn        *transport.Conn // the present session's, nil while there is none
	clock       time.Duration   // stream time minus the relay's clock
	clockKnown  bool
	clockRun    uint32
	live        bool      // the relay says that there is a pusher
	waitingFrom time.Time // since when there is none; zero: there is one
	playing     bool      // frames come: 2004 was told and nothing has stopped it since
	released    time.Time // the newest frame
	keyTold     bool      // 2003, in this run
	askedKey    time.Time
	askKey      bool
	skipped     uint64 // told by 2107
	skipToldAt  time.Time
	arrival     [2]arrival
	jitter      jitterMeter
	meter       meter
	delays      delays
	counts      Stats
	firstFrame  time.Duration
	toldAim     time.Duration
}

// DialPlayer connects to the relay and returns once the relay has let it in (2001), or with the reason why it has not: a [CodeError],
// or ctx's error. ctx bounds the dialling only; Close ends the Player.
func DialPlayer(ctx context.Context, cfg PlayerConfig) (*Player, error) {
	if cfg.Reconnect <= 0 {
		cfg.Reconnect = DefaultReconnect
	}
	if cfg.MaxDelay <= 0 {
		cfg.MaxDelay = transport.DefaultBudget
	}
	cfg.MaxDelay = min(cfg.MaxDelay, time.Minute) // as the transport does
	if cfg.Wait <= 0 {
		cfg.Wait = DefaultWait
	}
	now := time.Now()
	p := &Player{cfg: cfg, queue: newFrameQueue(), playout: transport.NewPlayout(cfg.MaxDelay, now), meter: meter{at: now}}
	p.playout.SetSmooth(cfg.Smooth)
	p.queue.wake = p.link.poke
	p.link.origin = now
	p.link.user = p
	p.link.cfg = linkConfig{
		role: wire.RolePlay, url: cfg.URL, suite: cfg.Suite, budget: cfg.MaxDelay, reconnect: cfg.Reconnect, onEvent: cfg.OnEvent,
		connected: CodePlayConnected, reconnecting: CodePlayReconnecting, gaveUp: CodePlayGaveUp,
	}
	if err := p.link.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Read returns the next message, waiting for it. It fails with io.EOF at the stream's end, with a [CodeError] when the Player has
// failed (also when no pusher came within PlayerConfig.Wait: -2301), with ErrClosed after Close, always after everything that was
// released before; and with ctx's error.
//
// A reader that is too slow makes nobody wait: what it has not taken is kept up to a limit, then frames are given up.
func (p *Player) Read(ctx context.Context) (Frame, error) { return p.queue.get(ctx) }

// Close leaves the stream. It returns once the relay has been told, which takes less than half a second.
func (p *Player) Close() error {
	p.link.stop()
	<-p.link.done
	return nil
}

// Done is closed when the Player is over: at the stream's end, closed, or failed. Read returns what is left.
func (p *Player) Done() <-chan struct{} { return p.link.done }

// RequestKeyFrame asks the pusher for a key frame, at most every 300 ms. The Player does so by itself when video was skipped.
func (p *Player) RequestKeyFrame() { p.link.call(func(time.Time) { p.askKey = true }) }

// Rebind goes on from a new socket with another local port, as after a change of networks. The session stays.
func (p *Player) Rebind() error { return p.link.rebind() }

// Stats returns what was done so far.
func (p *Player) Stats() Stats {
	var s Stats
	p.link.call(func(time.Time) {
		s = p.link.stats()
		played := p.playout.Stats()
		s.AudioFrames, s.VideoFrames = played.Released[rtmpchunk.Audio], played.Released[rtmpchunk.Video]
		s.Skipped = played.Skipped[rtmpchunk.Audio] + played.Skipped[rtmpchunk.Video]
		s.Records, s.MediaBytes = p.counts.Records, p.counts.MediaBytes
		expected, missing := p.arrival[0].total()
		e, m := p.arrival[1].total()
		if expected, missing = expected+e, missing+m; expected > 0 {
			s.Loss = 100 * float64(missing) / float64(expected)
		}
		s.PacketsLost = missing
		s.Delay, s.FirstFrame = p.delays.summary(), p.firstFrame
	})
	return s
}
