package endpoint

import (
	"fmt"
	"math"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

const (
	keyFrameEvery = 300 * time.Millisecond // requests to the pusher
	stallAfter    = 500 * time.Millisecond
	skipEvery     = time.Second          // between two 2107
	targetStep    = 2 * time.Millisecond // a smaller change of the target is not told
)

// player receives one stream.
type player struct {
	l           *link
	playout     *transport.Playout
	conn        *transport.Conn
	clock       time.Duration // stream time minus the relay's clock
	clockKnown  bool
	clockRun    uint32
	live        bool      // the relay says that there is a pusher
	waitingFrom time.Time // since when there is none; zero: there is one
	playing     bool
	released    time.Time
	keyTold     bool
	askedKey    time.Time
	wantKey     bool
	skipped     uint64 // told by 2107
	skipToldAt  time.Time
	lastSkipped uint64 // at the last status
	arrival     [2]arrival
	meter       meter
	toldTarget  time.Duration
}

// NewPlayer returns an endpoint that receives the stream of a play URL.
func NewPlayer(cfg Config) (*Endpoint, error) {
	e := newEndpoint(cfg, wire.RolePlay)
	p := &player{l: &e.link, playout: transport.NewPlayout(e.link.cfg.Budget, e.link.origin)}
	p.playout.SetApart(true) // the page has a decoder for each
	e.link.user = p
	return e, nil
}

func (p *player) opened(now time.Time, c *transport.Conn) {
	p.conn, p.live, p.waitingFrom = c, false, now
	for i := range p.arrival {
		p.arrival[i].any = false // a session begins somewhere
	}
	p.l.succeed(now)
}

func (p *player) lost(time.Time) { p.playing = false }

func (p *player) packet(now time.Time, k *transport.Packet) {
	p.arrival[k.Header.Kind].packet(now, &k.Header)
	p.playout.Packet(now, k)
}

func (p *player) bitrate(time.Time, int64) {} // of no meaning to a player

func (p *player) record(now time.Time, kind InType, _ *reader) {
	switch kind {
	case InKeyFrame:
		p.wantKey = true
	case InClose:
		p.l.finish(now, 0, "")
	default: // of no meaning to a player
	}
}

func (p *player) control(now time.Time, m *wire.Control) {
	switch m.Type {
	case wire.ControlStart:
		if m.Instance != p.clockRun {
			p.clockRun, p.clockKnown = m.Instance, false
		}
		p.waitingFrom = time.Time{}
		p.playout.Start(now, m)
	case wire.ControlSkip:
		p.playout.Skip(m)
	case wire.ControlRecord:
		p.playout.Record(now, m)
	case wire.ControlEnd:
		p.playout.End(now, m)
	case wire.ControlClock:
		p.clock, p.clockKnown = time.Duration(int64(m.Clock[0]-m.Clock[1]))*time.Microsecond, true
	case wire.ControlStatus:
		switch m.Code {
		case codePulling:
			p.waitingFrom = time.Time{}
			if !p.live {
				p.live = true
				p.l.e.event(codePulling, "the stream is live: "+p.l.cfg.URL.Stream)
			}
		case codeLoading:
			p.live, p.playing, p.waitingFrom = false, false, now
			p.l.e.event(codeLoading, "no pusher at present: waiting for one")
		}
	default: // of no meaning to a player
	}
}

func (p *player) step(now time.Time) {
	if p.conn != nil && p.clockKnown {
		if offset, ok := p.conn.PeerClock(now); ok {
			p.playout.SetClock(p.clock + offset)
		}
	}
	for {
		r, ok := p.playout.Poll(now)
		if !ok {
			break
		}
		switch r.Kind {
		case transport.ReleaseMessage:
			p.release(now, &r)
		case transport.ReleaseRun:
			p.keyTold = false
			p.l.e.out.begin(OutRun)
			p.l.e.out.end()
		case transport.ReleaseEnd:
			p.l.e.event(codeEnded, "the stream has ended: "+p.l.cfg.URL.Stream)
			p.l.finish(now, 0, "the stream has ended")
			return
		}
	}
	p.watch(now)
	if p.wantKey && p.conn != nil && (p.askedKey.IsZero() || now.Sub(p.askedKey) >= keyFrameEvery) {
		p.wantKey, p.askedKey = false, now
		_ = p.conn.SendControl(now, &wire.Control{Type: wire.ControlKeyFrame}) // a session that is over needs none
	}
	if t := p.playout.Target(); t-p.toldTarget > targetStep || p.toldTarget-t > targetStep {
		p.toldTarget = t
		p.l.e.out.begin(OutTarget)
		p.l.e.out.f64(ms(t))
		p.l.e.out.end()
	}
}

// release puts a message out.
func (p *player) release(now time.Time, r *transport.Release) {
	m := r.Message
	info := rtmpchunk.Classify(m)
	if !info.Media {
		p.data(m)
		return
	}
	body, ok := rtmpchunk.Body(m)
	if !ok {
		return
	}
	flags := uint8(0)
	switch info.Packet {
	case rtmpchunk.PacketSequenceStart:
		flags = FlagConfig
	case rtmpchunk.PacketFrames, rtmpchunk.PacketFramesX:
	default:
		if !r.Media {
			return // side information
		}
	}
	if r.Media {
		p.count(now, r, len(m.Payload))
		if r.Header.Key || info.Key {
			flags |= FlagKey
		}
		if r.Gap {
			flags |= FlagGap
			p.wantKey = p.wantKey || r.Header.Kind == rtmpchunk.Video && !r.Header.Key
		}
	}
	captured := math.NaN()
	if !r.Captured.IsZero() {
		captured = p.l.e.ms(r.Captured)
	}
	complete := p.l.e.ms(now)
	if !r.Complete.IsZero() {
		complete = p.l.e.ms(r.Complete)
	}
	w := &p.l.e.out
	w.begin(OutFrame)
	w.u8(uint8(info.Codec))
	w.u8(flags)
	w.u32(m.Timestamp)
	w.u32(uint32(info.Composition))
	w.f64(captured)
	w.f64(complete)
	w.data(body)
	w.end()
}

// count follows the frames that are released.
func (p *player) count(now time.Time, r *transport.Release, size int) {
	h := &r.Header
	if h.Key && h.Kind == rtmpchunk.Video && !p.keyTold {
		p.keyTold = true
		p.l.e.event(codeFirstKeyFrame, "first key frame received")
	}
	p.released = now
	if !p.playing {
		p.playing = true
		p.l.e.event(codePlaying, "playback begins")
	}
	p.meter.frame(h.Kind, h.Key, r.Message.Timestamp, size)
	p.arrival[h.Kind].released(h.Capture)
}

// data takes what is no media.
func (p *player) data(m rtmpchunk.Message) {
	if m.Type != rtmpchunk.TypeData {
		return
	}
	w := &p.l.e.out
	if text, ok := parseText(m.Payload); ok {
		w.begin(OutMessage)
		w.u32(m.Timestamp)
		w.text(text)
		w.end()
		return
	}
	if meta, err := rtmpchunk.ParseMetadata(m.Payload); err == nil && meta.Width > 0 && meta.Height > 0 {
		w.begin(OutSize)
		w.u16(uint16(meta.Width))
		w.u16(uint16(meta.Height))
		w.end()
	}
}

// watch tells of frames that were given up, of a stall, and gives up waiting for a pusher.
func (p *player) watch(now time.Time) {
	s := p.playout.Stats()
	if n := s.Skipped[0] + s.Skipped[1]; n > p.skipped && now.Sub(p.skipToldAt) >= skipEvery {
		p.l.e.event(codeFramesSkipped, count(n-p.skipped, "frames skipped"))
		p.skipped, p.skipToldAt = n, now
	}
	if p.playing && p.live && now.Sub(p.released) >= stallAfter {
		p.playing = false
		p.l.e.event(codeStall, "nothing to play")
	}
	if !p.waitingFrom.IsZero() && p.l.lostAt.IsZero() && now.Sub(p.waitingFrom) >= p.l.cfg.Wait {
		p.l.finish(now, codePlayGaveUp, fmt.Sprintf("no pusher came to %s within %v", p.l.cfg.URL.Stream, p.l.cfg.Wait))
	}
}

func (p *player) status(now time.Time, s *status, _ transport.Stats) {
	p.meter.read(now, s)
	var expected, missing uint64
	for i := range p.arrival {
		a := &p.arrival[i]
		expected, missing = expected+a.expected, missing+a.missing
		a.expected, a.missing = 0, 0
		s.netJitter = max(s.netJitter, a.jitter)
	}
	if expected > 0 {
		s.loss = 100 * float64(missing) / float64(expected)
	}
	s.audioCache, s.videoCache = p.arrival[rtmpchunk.Audio].held(), p.arrival[rtmpchunk.Video].held()
	played := p.playout.Stats()
	skipped := played.Skipped[0] + played.Skipped[1]
	if p.live {
		s.quality = quality(s.loss, s.rtt, skipped > p.lastSkipped)
	}
	s.skipped, p.lastSkipped = float64(skipped), skipped
}

func (p *player) over(time.Time) {
	p.conn = nil
	p.playout.Close()
}
