package bench

import (
	"context"
	"errors"
	"fmt"
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

const (
	linkStream  = "live/bench"
	linkSetUp   = 30 * time.Second // a call that is not set up by then fails
	linkWarmUp  = 2 * time.Second  // of silence before the talk, in which clocks and round trips are learnt
	linkTail    = time.Second      // after the talk, beyond what the deadline and the round trips take
	linkExpires = 48 * time.Hour   // tokens; longer than the longest call
)

var (
	linkPusher = netip.MustParseAddrPort("192.0.2.10:1000")
	linkPlayer = netip.MustParseAddrPort("192.0.2.20:2000")
	linkRelay  = transporttest.RelayAddr
)

// linkCall is a call in virtual time while it runs.
type linkCall struct {
	cfg        LinkConfig
	rec        *linkRecord
	src        *linkSource
	net        *transporttest.Network
	loop       *relay.Loop
	push, play *transport.Conn
	playout    *transport.Playout
	packetizer *rtmpchunk.Packetizer
	keys       *crypto.TokenKeys
	neck       *linkNeck // the first hop's, if it has one

	clock     [2]uint64
	clockSet  bool
	connected bool
	aim       time.Duration // that the relay was told
	failed    error
	pushed    transport.Stats // at the beginning of the talk
	relayed   relay.SentStats
}

// RunLink runs one call to its end, in virtual time: minutes of it in a second. The same configuration gives the same report.
func RunLink(ctx context.Context, cfg LinkConfig) (*LinkReport, error) {
	t, err := callLink(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return t.report(), nil
}

// callLink is RunLink with a result that can be added up.
func callLink(ctx context.Context, cfg LinkConfig) (*linkTotals, error) {
	cfg, err := cfg.prepared()
	if err != nil {
		return nil, err
	}
	c := &linkCall{
		cfg: cfg, net: transporttest.NewNetwork(), keys: crypto.NewTokenKeys(1, [32]byte{7}),
		packetizer: rtmpchunk.NewPacketizer(uint32(cfg.Seed)),
	}
	c.rec, c.src = newLinkRecord(&c.cfg), newLinkSource(&c.cfg)
	c.playout = transport.NewPlayout(cfg.Deadline, c.net.Now())
	c.loop = relay.NewLoop(c.net.Now(), relay.Config{Key: transporttest.ServerKey(), Tokens: c.keys, Policy: cfg.Policy},
		transporttest.Reader(cfg.Seed+1), func() {})
	if c.play, err = c.dial(wire.RolePlay, cfg.Seed+2); err != nil {
		return nil, err
	}
	if c.push, err = c.dial(wire.RolePush, cfg.Seed+3); err != nil {
		return nil, err
	}
	c.push.SetStreamClock(0)
	c.join()
	c.net.Kick(linkPlayer)
	c.net.Kick(linkPusher)
	if !c.net.RunUntil(linkSetUp, func() bool { return c.failed != nil || c.connected && c.loop.Snapshot().Players > 0 }) {
		return nil, fmt.Errorf("bench: the call was not set up within %v: the links lose or delay too much", linkSetUp)
	}
	c.net.Run(linkWarmUp)
	if err := c.talk(ctx); err != nil {
		return nil, err
	}
	return c.rec.totals(), nil
}

// join builds the path. The network itself delivers at once; the links are those of the ends, in front of what they receive.
func (c *linkCall) join() {
	relayEnd := &linkEnd{Endpoint: c.loop}
	pushEnd := &linkEnd{Endpoint: c.push}
	playEnd := &linkEnd{Endpoint: &linkListener{Conn: c.play, c: c}}
	relayEnd.add(linkPusher, c.path(0, true, 1))
	pushEnd.add(linkRelay, c.path(0, false, 2))
	relayEnd.add(linkPlayer, c.path(1, false, 3))
	playEnd.add(linkRelay, c.path(1, true, 4))
	c.net.Add(linkRelay, relayEnd, nil)
	c.net.Add(linkPusher, pushEnd, c.drainPusher)
	c.net.Add(linkPlayer, playEnd, c.drainPlayer)
	c.net.Join(linkPusher, linkRelay, netem.Config{}, netem.Config{})
	c.net.Join(linkPlayer, linkRelay, netem.Config{}, netem.Config{})
	c.net.Tap = c.count
}

// path is one direction of a hop; n tells the links' chances apart.
func (c *linkCall) path(hop int, media bool, n uint64) *linkPath {
	if hop >= c.cfg.Hops {
		return &linkPath{wire: netem.NewLink(netem.Config{})}
	}
	wire := c.cfg.back(n)
	if media {
		wire = c.cfg.wire(n)
	}
	p := &linkPath{wire: netem.NewLink(wire)}
	if media && c.cfg.bottlenecked() {
		p.neck = newLinkNeck(c.cfg.neck())
		if hop == 0 {
			c.neck = p.neck
		}
		p.neck.passed = func(left time.Time, wait time.Duration, b []byte) {
			c.rec.waited(hop, left, wait, len(b))
			p.wire.Send(left, b)
		}
	}
	if media {
		p.lose = func() { c.rec.hops[hop].lost++ }
	}
	return p
}

func (c *linkCall) dial(role wire.Role, seed uint64) (*transport.Conn, error) {
	token, err := linkToken(c.keys, role, transporttest.Start)
	if err != nil {
		return nil, err
	}
	cfg := transporttest.ClientConfig(role, seed)
	cfg.Stream, cfg.Token, cfg.Budget, cfg.Policy, cfg.Bitrate = linkStream, token, c.cfg.Deadline, c.cfg.Policy, c.cfg.limits()
	cfg.HandshakeTimeout = linkSetUp // as patient as a client that tries again
	conn, err := transport.New(c.net.Now(), cfg)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return conn, nil
}

func linkToken(keys *crypto.TokenKeys, role wire.Role, now time.Time) (string, error) {
	action := crypto.ActionPush
	if role == wire.RolePlay {
		action = crypto.ActionPlay
	}
	token, err := keys.Mint(crypto.Token{Action: action, KeyID: 1, Expiry: now.Add(linkExpires), Stream: linkStream})
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	return token, nil
}

// count notes every datagram as it is sent.
func (c *linkCall) count(from, to netip.AddrPort, b []byte) [][]byte {
	switch {
	case from == linkPusher:
		c.rec.carried(0, true, len(b))
	case to == linkPusher:
		c.rec.carried(0, false, len(b))
	case to == linkPlayer:
		c.rec.carried(1, true, len(b))
	default:
		c.rec.carried(1, false, len(b))
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
			err := c.push.SendControl(now, &wire.Control{Type: wire.ControlStart, Instance: c.packetizer.Instance(), Order: c.packetizer.Next()})
			if err != nil {
				c.fail(err)
			}
			c.connected = true
		case transport.EventClosed:
			c.fail(fmt.Errorf("the pusher's session ended: %s", e.Reason))
		default:
		}
	}
}

func (c *linkCall) fail(err error) {
	if c.failed == nil {
		c.failed = fmt.Errorf("bench: %w", err)
	}
}

// talk pushes the call's media and waits until what is under way has come.
func (c *linkCall) talk(ctx context.Context) error {
	start := c.net.Now()
	c.rec.start(start, c.neck)
	c.pushed, c.relayed = c.push.Stats(), c.loop.Snapshot().Sent
	for {
		at, kind, ok := c.src.next()
		if !ok || c.failed != nil {
			break
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		c.advance(start, at)
		c.send(kind)
		if c.cfg.Progress != nil && len(c.rec.frames)%256 == 0 {
			c.cfg.Progress(float64(at) / float64(c.cfg.Duration))
		}
	}
	c.advance(start, c.cfg.Duration)
	c.net.Run(2*c.cfg.Deadline + 4*max(c.cfg.RTT, 0) + linkTail)
	push, relayed := c.push.Stats(), c.loop.Snapshot().Sent
	c.rec.hops[0].repaired(push.PacketsSent-c.pushed.PacketsSent, push.Retransmits+push.RepairsSent-c.pushed.Retransmits-c.pushed.RepairsSent)
	c.rec.hops[1].repaired(relayed.PacketsSent-c.relayed.PacketsSent, relayed.Retransmits+relayed.RepairsSent-c.relayed.Retransmits-c.relayed.RepairsSent)
	return c.failed
}

func (h *hopRecord) repaired(packets, repair uint64) { h.packets, h.repair = int(packets), int(repair) }

// advance lets time pass until a time of the talk, and looks at the counters at the end of each bin.
func (c *linkCall) advance(start time.Time, to time.Duration) {
	for {
		at, ok := c.rec.nextSample()
		if !ok || at > to {
			break
		}
		c.net.Run(start.Add(at).Sub(c.net.Now()))
		c.rec.sample(at, c.push.Bitrate())
	}
	c.net.Run(start.Add(to).Sub(c.net.Now()))
}

func (c *linkCall) send(kind rtmpchunk.Kind) {
	now, target := c.net.Now(), c.push.Bitrate()
	m := c.src.frame(target)
	c.rec.capture(now, kind, len(m.Payload), target)
	refused := false
	_, err := c.packetizer.Push(m, transport.Ticks(c.push.Clock(now)), func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
		func(b []byte, h rtmpchunk.Header) {
			switch err := c.push.Send(now, &transport.Packet{Header: h, Data: b}); {
			case errors.Is(err, transport.ErrQueueFull):
				refused = true
			case err != nil:
				c.fail(err)
			}
		})
	if err != nil {
		c.fail(err)
	}
	if refused {
		c.rec.refuse++
	}
	c.net.Kick(linkPusher)
}
