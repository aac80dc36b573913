package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"duet/bench/netem"
	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// LinkConfig describes one call in virtual time: a pusher, a relay and a player, joined by links that lose, delay and narrow. The zero
// value of a field has the default named beside it.
type LinkConfig struct {
	Hops     int           // 2; with 1 the link from relay to player is perfect
	Burst    float64       // mean run of losses in datagrams, 1 or less: independent
	Loss     float64       // share of datagrams lost, on each hop, in each direction
	RTT      time.Duration // 50 ms, of each hop
	Jitter   time.Duration //
	Rate     int64         // bit/s of the bottleneck in the media direction, 0 unlimited
	Deadline time.Duration // 200 ms, capture to playout
	Duration time.Duration // 60 s
	Seed     uint64
	Bitrate  int // 1,500,000 bit/s of video
	FPS      int // 30
	GOP      int // 60 frames between key frames
	KeySize  int // 3: a key frame is so many times the size of another
	Policy   transport.Policy
}

func (c *LinkConfig) setDefaults() error {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.Hops, 2)
	set(&c.Bitrate, 1_500_000)
	set(&c.FPS, 30)
	set(&c.GOP, 60)
	set(&c.KeySize, 3)
	for v, d := range map[*time.Duration]time.Duration{&c.RTT: 50 * time.Millisecond, &c.Deadline: 200 * time.Millisecond, &c.Duration: time.Minute} {
		if *v == 0 {
			*v = d
		}
	}
	switch {
	case c.Hops != 1 && c.Hops != 2:
		return fmt.Errorf("hops must be 1 or 2, not %d", c.Hops)
	case c.Loss < 0 || c.Loss > 0.9:
		return fmt.Errorf("loss must be from 0 to 0.9, not %v", c.Loss)
	case c.RTT < 0 || c.Jitter < 0 || c.Deadline <= 0 || c.Duration <= 0 || c.Duration > 24*time.Hour:
		return errors.New("times must be positive, and the call at most a day long")
	case c.Bitrate < 10_000 || c.Bitrate > 100_000_000 || c.FPS < 1 || c.FPS > 240 || c.GOP < 1 || c.KeySize < 1:
		return errors.New("the video must have 10 kbit/s to 100 Mbit/s and 1 to 240 frames a second")
	}
	return nil
}

// Quantiles of a time, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// LinkReport is what came of a call. Ratios of bytes are UDP payload over the bytes of audio and video messages.
type LinkReport struct {
	Seed          uint64     `json:"seed"`
	Frames        int        `json:"frames"` // of video
	AudioFrames   int        `json:"audio_frames"`
	OnTime        float64    `json:"on_time_ratio"`       // video frames whole within the deadline
	AudioOnTime   float64    `json:"audio_on_time_ratio"` //
	Delay         Quantiles  `json:"delay_ms"`            // capture to frame complete
	Release       Quantiles  `json:"release_ms"`          // capture to release in order
	HopBytes      [2]float64 `json:"hop_bytes_ratio"`     // in the media direction
	FeedbackBytes [2]float64 `json:"feedback_ratio"`      // against it
	Redundancy    [2]float64 `json:"redundancy"`          // retransmissions and parity over packets
}

// linkCall is a call while it runs.
type linkCall struct {
	cfg        LinkConfig
	net        *transporttest.Network
	loop       *relay.Loop
	push, play *transport.Conn
	playout    *transport.Playout
	packetizer *rtmpchunk.Packetizer
	rng        *rand.Rand
	keys       *crypto.TokenKeys

	captured  []time.Time // by order
	complete  [2][]time.Duration
	release   []time.Duration
	onTime    [2]int
	sent      [2]int
	messages  int // bytes
	bytes     [2]int
	back      [2]int
	clock     [2]uint64
	clockSet  bool
	connected bool
	failed    error
}

var (
	linkPusher = netip.MustParseAddrPort("192.0.2.10:1000")
	linkPlayer = netip.MustParseAddrPort("192.0.2.20:2000")
	linkRelay  = transporttest.RelayAddr
)

const linkStream = "live/bench"

// RunLink runs one call to its end, in virtual time.
func RunLink(ctx context.Context, cfg LinkConfig) (*LinkReport, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	c := &linkCall{cfg: cfg, net: transporttest.NewNetwork(), keys: crypto.NewTokenKeys(1, [32]byte{7}), rng: rand.New(rand.NewPCG(cfg.Seed, 1))} //nolint:gosec // sizes of frames, the same for the same seed
	c.loop = relay.NewLoop(c.net.Now(), relay.Config{Key: transporttest.ServerKey(), Tokens: c.keys, Policy: cfg.Policy},
		transporttest.Reader(cfg.Seed+1), func() {})
	c.net.Add(linkRelay, c.loop, nil)
	c.net.Tap = c.count
	var err error
	if c.play, err = c.dial(wire.RolePlay, cfg.Seed+2); err != nil {
		return nil, err
	}
	if c.push, err = c.dial(wire.RolePush, cfg.Seed+3); err != nil {
		return nil, err
	}
	c.push.SetStreamClock(0)
	c.playout = transport.NewPlayout(cfg.Deadline, c.net.Now())
	c.packetizer = rtmpchunk.NewPacketizer(uint32(cfg.Seed))
	c.net.Add(linkPusher, c.push, c.drainPusher)
	c.net.Add(linkPlayer, &linkListener{Conn: c.play, c: c}, c.drainPlayer)
	c.net.Join(linkPusher, linkRelay, c.hop(1, true), c.hop(2, false))
	if cfg.Hops == 2 {
		c.net.Join(linkPlayer, linkRelay, c.hop(3, false), c.hop(4, true))
	} else {
		c.net.Join(linkPlayer, linkRelay, netem.Config{}, netem.Config{})
	}
	c.net.Kick(linkPlayer)
	c.net.Kick(linkPusher)
	if !c.net.RunUntil(10*time.Second, func() bool { return c.connected && c.loop.Snapshot().Players > 0 }) {
		return nil, errors.New("bench: the call was not set up within 10 s")
	}
	c.net.Run(2 * time.Second)
	c.bytes, c.back = [2]int{}, [2]int{}
	if err := c.talk(ctx); err != nil {
		return nil, err
	}
	return c.report(), nil
}

func (c *linkCall) hop(n uint64, media bool) netem.Config {
	cfg := netem.Config{Delay: c.cfg.RTT / 2, Jitter: c.cfg.Jitter, Loss: c.cfg.Loss, Burst: c.cfg.Burst, Seed: c.cfg.Seed*16 + n}
	if media {
		cfg.Rate = c.cfg.Rate
	}
	return cfg
}

func (c *linkCall) dial(role wire.Role, seed uint64) (*transport.Conn, error) {
	action := crypto.ActionPush
	if role == wire.RolePlay {
		action = crypto.ActionPlay
	}
	token, err := c.keys.Mint(crypto.Token{Action: action, KeyID: 1, Expiry: transporttest.Start.Add(48 * time.Hour), Stream: linkStream})
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	cfg := transporttest.ClientConfig(role, seed)
	cfg.Stream, cfg.Token, cfg.Budget, cfg.Policy = linkStream, token, c.cfg.Deadline, c.cfg.Policy
	return transport.New(c.net.Now(), cfg)
}

// count notes every datagram as it is sent.
func (c *linkCall) count(from, to netip.AddrPort, b []byte) [][]byte {
	switch {
	case from == linkPusher:
		c.bytes[0] += len(b)
	case to == linkPusher:
		c.back[0] += len(b)
	case to == linkPlayer:
		c.bytes[1] += len(b)
	default:
		c.back[1] += len(b)
	}
	return [][]byte{b}
}

func (c *linkCall) drainPusher(now time.Time) {
	for {
		e, ok := c.push.PollEvent()
		if !ok {
			return
		}
		switch e.Kind {
		case transport.EventAccepted:
			c.control(now, &wire.Control{Type: wire.ControlStart, Instance: c.packetizer.Instance(), Order: c.packetizer.Next()})
			c.connected = true
		case transport.EventClosed:
			c.failed = fmt.Errorf("bench: the pusher's session ended: %s", e.Reason)
		default:
		}
	}
}

func (c *linkCall) control(now time.Time, m *wire.Control) {
	if err := c.push.SendControl(now, m); err != nil && c.failed == nil {
		c.failed = fmt.Errorf("bench: %w", err)
	}
}

// linkListener is the player's Conn with its playout's deadlines.
type linkListener struct {
	*transport.Conn
	c *linkCall
}

// Deadline is the earlier of the two.
func (l *linkListener) Deadline() time.Time {
	at, d := l.Conn.Deadline(), l.c.playout.Deadline()
	if at.IsZero() || !d.IsZero() && d.Before(at) {
		return d
	}
	return at
}

func (c *linkCall) drainPlayer(now time.Time) {
	for {
		e, ok := c.play.PollEvent()
		if !ok {
			break
		}
		switch e.Kind {
		case transport.EventPacket:
			c.playout.Packet(now, e.Packet)
		case transport.EventControl:
			m := e.Control
			switch m.Type {
			case wire.ControlStart:
				c.playout.Start(now, &m)
			case wire.ControlSkip:
				c.playout.Skip(&m)
			case wire.ControlRecord:
				c.playout.Record(now, &m)
			case wire.ControlEnd:
				c.playout.End(now, &m)
			case wire.ControlClock:
				c.clock, c.clockSet = m.Clock, true
			default:
			}
		case transport.EventClosed:
			c.failed = fmt.Errorf("bench: the player's session ended: %s", e.Reason)
		default:
		}
	}
	if off, ok := c.play.PeerClock(now); ok && c.clockSet {
		c.playout.SetClock(time.Duration(c.clock[0]-c.clock[1])*time.Microsecond + off)
	}
	for {
		r, ok := c.playout.Poll(now)
		if !ok {
			return
		}
		if r.Kind != transport.ReleaseMessage || !r.Media {
			continue
		}
		order := int(r.Header.Order)
		for order+65536 < len(c.captured) && c.captured[order+65536].Before(now) {
			order += 65536
		}
		took := r.Complete.Sub(c.captured[order])
		c.complete[r.Header.Kind] = append(c.complete[r.Header.Kind], took)
		c.release = append(c.release, now.Sub(c.captured[order]))
		if took <= c.cfg.Deadline {
			c.onTime[r.Header.Kind]++
		}
	}
}

// talk pushes the call's media and waits until what is under way has come.
func (c *linkCall) talk(ctx context.Context) error {
	start := c.net.Now()
	size := c.cfg.Bitrate / 8 / c.cfg.FPS * c.cfg.GOP / (c.cfg.GOP - 1 + c.cfg.KeySize)
	for v, a := 0, 0; ; {
		if ctx.Err() != nil {
			return fmt.Errorf("bench: %w", ctx.Err())
		}
		vt, at := time.Duration(v)*time.Second/time.Duration(c.cfg.FPS), time.Duration(a)*time.Second/50
		if min(vt, at) >= c.cfg.Duration || c.failed != nil {
			break
		}
		c.net.Run(start.Add(min(vt, at)).Sub(c.net.Now()))
		if vt <= at {
			n, first := size*(80+c.rng.IntN(41))/100, byte(0x27)
			if v%c.cfg.GOP == 0 {
				n, first = size*c.cfg.KeySize, 0x17
			}
			body := make([]byte, max(n, 6))
			body[0], body[1] = first, 1
			c.send(rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(vt / time.Millisecond), Payload: body})
			v++
		} else {
			body := make([]byte, 120)
			body[0], body[1] = 0xaf, 1
			c.send(rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: uint32(at / time.Millisecond), Payload: body})
			a++
		}
	}
	c.net.Run(2*c.cfg.Deadline + 4*c.cfg.RTT)
	return c.failed
}

func (c *linkCall) send(m rtmpchunk.Message) {
	now := c.net.Now()
	c.captured = append(c.captured, now)
	c.messages += len(m.Payload)
	if m.Type == rtmpchunk.TypeVideo {
		c.sent[rtmpchunk.Video]++
	} else {
		c.sent[rtmpchunk.Audio]++
	}
	_, err := c.packetizer.Push(m, transport.Ticks(c.push.Clock(now)), func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
		func(b []byte, h rtmpchunk.Header) {
			if err := c.push.Send(now, &transport.Packet{Header: h, Data: b}); err != nil && c.failed == nil {
				c.failed = fmt.Errorf("bench: %w", err)
			}
		})
	if err != nil && c.failed == nil {
		c.failed = fmt.Errorf("bench: %w", err)
	}
	c.net.Kick(linkPusher)
}
