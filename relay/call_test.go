package relay_test

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// A call in virtual time: pushers and players joined to a whole relay by emulated links.

var relayAddr = transporttest.RelayAddr

type call struct {
	t    *testing.T
	net  *transporttest.Network
	loop *relay.Loop
	at   *house
	keys *crypto.TokenKeys
	seed uint64
}

// newCall starts a relay whose wall clock runs driftPPM faster than the network's and is skew ahead.
func newCall(t *testing.T, seed uint64) *call {
	t.Helper()
	c := &call{t: t, net: transporttest.NewNetwork(), keys: crypto.NewTokenKeys(1, [32]byte{7}), seed: seed}
	c.loop = c.newLoop(seed)
	c.at = &house{c.loop}
	c.net.Add(relayAddr, c.at, nil)
	return c
}

// house is where a relay is; another may move in.
type house struct{ *relay.Loop }

func (c *call) newLoop(seed uint64) *relay.Loop {
	return relay.NewLoop(c.net.Now(), relay.Config{Key: transporttest.ServerKey(), Secret: [32]byte{3}, Tokens: c.keys}, transporttest.Reader(seed), func() {})
}

func (c *call) token(action crypto.Action, stream, party string) string {
	c.t.Helper()
	tok, err := c.keys.Mint(crypto.Token{Action: action, KeyID: 1, Expiry: transporttest.Start.Add(time.Hour), Stream: stream, Party: party})
	if err != nil {
		c.t.Fatal(err)
	}
	return tok
}

// party is one client with its own clock.
type party struct {
	call    *call
	addr    netip.AddrPort
	conn    *transport.Conn
	ahead   time.Duration // its clock before ours at the start
	ppm     float64       // and how much faster it runs
	out     func(now time.Time)
	closed  *transport.Event
	status  []uint16
	started time.Time
}

// local turns network time into the party's clock, and back.
func (p *party) local(now time.Time) time.Time {
	d := now.Sub(transporttest.Start)
	return now.Add(p.ahead + time.Duration(float64(d)*p.ppm*1e-6))
}

func (p *party) global(local time.Time) time.Time {
	if local.IsZero() {
		return local
	}
	d := local.Add(-p.ahead).Sub(transporttest.Start)
	return transporttest.Start.Add(time.Duration(float64(d) / (1 + p.ppm*1e-6)))
}

// As an Endpoint, with time translated.

func (p *party) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	p.conn.HandleDatagram(p.local(now), from, b)
}
func (p *party) HandleTimeout(now time.Time) { p.conn.HandleTimeout(p.local(now)) }
func (p *party) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	return p.conn.Poll(p.local(now), buf)
}
func (p *party) Deadline() time.Time {
	at := p.global(p.conn.Deadline())
	if at.IsZero() {
		return at
	}
	return at.Add(time.Nanosecond) // rounding must not wake it too early
}

func (c *call) party(role wire.Role, addr, stream, token string, ahead time.Duration, ppm float64, budget time.Duration) *party {
	c.t.Helper()
	p := &party{call: c, addr: netip.MustParseAddrPort(addr), ahead: ahead, ppm: ppm, started: c.net.Now()}
	c.seed++
	cfg := transporttest.ClientConfig(role, c.seed*7919)
	cfg.Stream, cfg.Token, cfg.Budget = stream, token, budget
	cfg.ClockOrigin = p.local(transporttest.Start) // one for all sessions of a process
	conn, err := transport.New(p.local(c.net.Now()), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	p.conn = conn
	c.net.Add(p.addr, p, func(now time.Time) {
		if p.out != nil {
			p.out(now)
		}
	})
	return p
}

func (c *call) join(p *party, up, down netem.Config) {
	c.net.Join(p.addr, relayAddr, up, down)
	c.net.Kick(p.addr)
}

// pusher is a party that sends generated frames.
type pusher struct {
	party
	packetizer *rtmpchunk.Packetizer
	sent       []rtmpchunk.Message
	keys       int  // key-frame requests
	mute       bool // does not say START by itself
	disposable bool // every other frame is one that no other refers to
}

func (c *call) pusher(addr, stream, name string, ahead time.Duration, ppm float64, instance uint32) *pusher {
	p := &pusher{packetizer: rtmpchunk.NewPacketizer(instance)}
	pp := c.party(wire.RolePush, addr, stream, c.token(crypto.ActionPush, stream, name), ahead, ppm, time.Second)
	p.party = *pp
	p.conn.SetStreamClock(0)
	pp.out = func(now time.Time) {
		for {
			e, ok := p.conn.PollEvent()
			if !ok {
				return
			}
			switch e.Kind {
			case transport.EventAccepted:
				if p.mute {
					break
				}
				p.control(&wire.Control{Type: wire.ControlStart, Instance: p.packetizer.Instance(), Order: p.packetizer.Next()})
			case transport.EventControl:
				switch e.Control.Type {
				case wire.ControlStatus:
					p.status = append(p.status, e.Control.Code)
				case wire.ControlKeyFrame:
					p.keys++
				default:
				}
			case transport.EventClosed:
				p.closed = &e
			default:
			}
		}
	}
	return p
}

func (p *pusher) control(m *wire.Control) {
	if err := p.conn.SendControl(p.local(p.call.net.Now()), m); err != nil {
		p.call.t.Fatal(err)
	}
}

// push sends one message now.
func (p *pusher) push(m rtmpchunk.Message) {
	p.call.t.Helper()
	now := p.local(p.call.net.Now())
	p.sent = append(p.sent, m)
	rec, err := p.packetizer.Push(m, transport.Ticks(p.conn.Clock(now)), func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
		func(b []byte, h rtmpchunk.Header) {
			if err := p.conn.Send(now, &transport.Packet{Header: h, Data: b}); err != nil {
				p.call.t.Fatal(err)
			}
		})
	if err != nil {
		p.call.t.Fatal(err)
	}
	if rec != nil {
		p.control(&wire.Control{Type: wire.ControlRecord, Order: rec.Order, Slot: uint8(rec.Slot), ID: rec.ID, Message: rec.Type, Timestamp: rec.Timestamp, Data: rec.Body})
	}
	p.call.net.Kick(p.addr)
}

func (p *pusher) end() {
	p.control(&wire.Control{Type: wire.ControlEnd, Order: p.packetizer.Next()})
	p.call.net.Kick(p.addr)
}

// Bodies as an AVC and AAC encoder makes them, filled with bytes that depend on n.
func videoFrame(n, size int, key bool, ts uint32) rtmpchunk.Message {
	b := fill(n, size)
	b[0], b[1], b[2], b[3], b[4] = 0x27, 1, 0, 0, 0
	if key {
		b[0] = 0x17
	}
	return rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: ts, Payload: b}
}

func audioFrame(n, size int, ts uint32) rtmpchunk.Message {
	b := fill(n, size)
	b[0], b[1] = 0xaf, 1
	return rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: ts, Payload: b}
}

func fill(n, size int) []byte {
	b := make([]byte, size)
	_, _ = transporttest.Reader(uint64(n)).Read(b)
	return b
}

var (
	videoConfig = rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0, 0x1f, 0xff}}
	audioConfig = rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0xaf, 0, 0x12, 0x10}}
)

// play is a party that receives.
type play struct {
	party
	playout  *transport.Playout
	got      []rtmpchunk.Message
	media    []time.Duration // capture to release
	first    time.Time       // when the first media frame was released
	ended    bool
	clock    [2]uint64
	hasClock bool

	onRelease func(rtmpchunk.Message)
	after     time.Duration // used by it
}

func (c *call) player(addr, stream string, ahead time.Duration, ppm float64, maxDelay time.Duration) *play {
	p := &play{}
	pp := c.party(wire.RolePlay, addr, stream, c.token(crypto.ActionPlay, stream, ""), ahead, ppm, maxDelay)
	p.party = *pp
	p.playout = transport.NewPlayout(maxDelay, p.local(transporttest.Start))
	pp.out = func(now time.Time) { p.drain(now) }
	return p
}

func (p *play) Deadline() time.Time {
	at := p.party.Deadline()
	if d := p.global(p.playout.Deadline()); !d.IsZero() && (at.IsZero() || d.Before(at)) {
		return d.Add(time.Nanosecond)
	}
	return at
}

func (p *play) drain(global time.Time) {
	now := p.local(global)
	for {
		e, ok := p.conn.PollEvent()
		if !ok {
			break
		}
		switch e.Kind {
		case transport.EventPacket:
			p.playout.Packet(now, e.Packet)
		case transport.EventControl:
			p.take(now, &e.Control)
		case transport.EventClosed:
			p.closed = &e
		default:
		}
	}
	if off, ok := p.conn.PeerClock(now); ok && p.hasClock {
		p.playout.SetClock(time.Duration(p.clock[0]-p.clock[1])*time.Microsecond + off)
	}
	for {
		r, ok := p.playout.Poll(now)
		if !ok {
			return
		}
		switch r.Kind {
		case transport.ReleaseMessage:
			m := r.Message
			m.Payload = bytes.Clone(m.Payload)
			p.got = append(p.got, m)
			if p.onRelease != nil {
				p.onRelease(m)
			}
			if r.Media {
				if p.first.IsZero() {
					p.first = global
				}
				if !r.Captured.IsZero() {
					p.media = append(p.media, now.Sub(r.Captured))
				}
			}
		case transport.ReleaseEnd:
			p.ended = true
		case transport.ReleaseRun:
		}
	}
}

func (p *play) take(now time.Time, m *wire.Control) {
	switch m.Type {
	case wire.ControlStart:
		p.playout.Start(now, m)
		p.hasClock = false // a CLOCK belongs to the run of the START before it
	case wire.ControlSkip:
		p.playout.Skip(m)
	case wire.ControlRecord:
		p.playout.Record(now, m)
	case wire.ControlEnd:
		p.playout.End(now, m)
	case wire.ControlClock:
		p.clock, p.hasClock = m.Clock, true
	case wire.ControlStatus:
		p.status = append(p.status, m.Code)
	default:
	}
}

// same fails the test unless the player got exactly what was sent from the message `from` on.
func (p *play) same(t *testing.T, sent []rtmpchunk.Message) {
	t.Helper()
	if len(p.got) != len(sent) {
		t.Errorf("player got %d messages, %d were sent; playout %+v", len(p.got), len(sent), p.playout.Stats())
	}
	for i := range min(len(p.got), len(sent)) {
		a, b := p.got[i], sent[i]
		if a.Type != b.Type || a.Timestamp != b.Timestamp || !bytes.Equal(a.Payload, b.Payload) {
			t.Fatalf("message %d differs: type %d at %d ms, %d bytes; sent type %d at %d ms, %d bytes", i, a.Type, a.Timestamp, len(a.Payload), b.Type, b.Timestamp, len(b.Payload))
		}
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Clone(d)
	slices.Sort(s)
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func lossy(delay time.Duration, loss float64, seed uint64) netem.Config {
	return netem.Config{Delay: delay, Loss: loss, Seed: seed}
}

// talk pushes seconds of a call: 30 frames of video and 43 of audio a second, a key frame every 2 s.
func (p *pusher) talk(seconds int) {
	if len(p.sent) == 0 {
		p.push(videoConfig)
		p.push(audioConfig)
	}
	start := p.call.net.Now()
	v, a := 0, 0
	for {
		vt, at := time.Duration(v)*time.Second/30, time.Duration(a)*time.Second/43
		if vt >= time.Duration(seconds)*time.Second && at >= time.Duration(seconds)*time.Second {
			return
		}
		next := min(vt, at)
		p.call.net.Run(start.Add(next).Sub(p.call.net.Now()))
		base := uint32(start.Sub(transporttest.Start) / time.Millisecond)
		if vt <= at {
			size := 5000 + v%7*300
			if v%60 == 0 {
				size = 40_000
			}
			m := videoFrame(v, size, v%60 == 0, base+uint32(vt/time.Millisecond))
			if p.disposable && v%2 == 1 {
				m.Payload[0] = 0x37
			}
			p.push(m)
			v++
		} else {
			p.push(audioFrame(a, 140, base+uint32(at/time.Millisecond)))
			a++
		}
	}
}
