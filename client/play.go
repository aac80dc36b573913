package client

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

const (
	keyFrameEvery = 300 * time.Millisecond // requests for one
	stallAfter    = 500 * time.Millisecond
	skipEvery     = time.Second // between two 2107
	aimShare      = 8           // a change of the aim by less than such a part is not told
)

// The player in the link's goroutine: one playout over all sessions.

func (p *Player) opened(now time.Time, c *transport.Conn) {
	p.conn, p.toldAim = c, 0
	p.live, p.waitingFrom = false, now
	for i := range p.arrival {
		p.arrival[i].restart()
	}
	p.link.succeed()
}

func (p *Player) lost(time.Time) { p.playing = false }

func (p *Player) packet(now time.Time, k *transport.Packet) {
	h := &k.Header
	p.arrival[h.Kind].packet(h)
	if h.Index == 0 {
		p.jitter.packet(now, h.Capture)
	}
	p.playout.Packet(now, k)
}

func (p *Player) bitrate(time.Time, int64) {} // of no meaning to a player

func (p *Player) control(now time.Time, m *wire.Control) {
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
		p.relayStatus(now, m)
	default: // of no meaning to a player
	}
}

// relayStatus takes what the relay says of the stream.
func (p *Player) relayStatus(now time.Time, m *wire.Control) {
	switch m.Code {
	case CodePulling:
		p.waitingFrom = time.Time{}
		if !p.live {
			p.live = true
			p.link.emit(now, CodePulling, "the stream is live: "+p.cfg.URL.Stream)
		}
	case CodeLoading:
		p.live, p.playing, p.waitingFrom = false, false, now
		p.link.emit(now, CodeLoading, fmt.Sprintf("no pusher at present: waiting up to %v for one", p.cfg.Wait))
	}
}

// step releases what is due and tells what happens to it.
func (p *Player) step(now time.Time) {
	if p.conn != nil && p.clockKnown {
		if offset, ok := p.conn.PeerClock(now); ok {
			p.playout.SetClock(p.clock + offset)
		}
	}
	for !p.queue.full() {
		r, ok := p.playout.Poll(now)
		if !ok {
			break
		}
		switch r.Kind {
		case transport.ReleaseMessage:
			p.release(now, &r)
		case transport.ReleaseRun:
			p.keyTold = false
		case transport.ReleaseEnd:
			p.link.emit(now, CodeEnded, "the stream has ended: "+p.cfg.URL.Stream)
			p.queue.end(io.EOF)
			p.link.finish(now, nil)
			return
		}
	}
	p.watch(now)
	if aim := p.playout.Aim(); p.cfg.Smooth && p.conn != nil && (aim-p.toldAim).Abs() > aim/aimShare {
		p.toldAim = aim
		_ = p.conn.SendControl(now, &wire.Control{Type: wire.ControlAim, Arrival: uint32(aim / time.Millisecond)})
	}
	if p.askKey && (p.askedKey.IsZero() || now.Sub(p.askedKey) >= keyFrameEvery) && p.conn != nil {
		p.askKey, p.askedKey = false, now
		_ = p.conn.SendControl(now, &wire.Control{Type: wire.ControlKeyFrame}) // a session that is over needs none
	}
}

// release hands a message to the reader.
func (p *Player) release(now time.Time, r *transport.Release) {
	f := Frame{Message: r.Message, Media: r.Media, Run: r.Run, Complete: r.Complete, Released: now}
	f.Message.Payload = bytes.Clone(r.Message.Payload)
	p.counts.MediaBytes += uint64(len(f.Message.Payload))
	if !r.Media {
		p.counts.Records++
		p.meter.data(f.Message)
		p.queue.put(f)
		return
	}
	f.Kind, f.Key, f.Gap, f.Captured = r.Header.Kind, r.Header.Key, r.Gap, r.Captured
	if !f.Captured.IsZero() {
		p.delays.add(now.Sub(f.Captured))
	}
	if p.firstFrame == 0 {
		p.firstFrame = now.Sub(p.link.origin)
	}
	if f.Gap && f.Kind == rtmpchunk.Video && !f.Key {
		p.askKey = true
	}
	if f.Key && !p.keyTold {
		p.keyTold = true
		p.link.emit(now, CodeFirstKeyFrame, "first key frame received")
	}
	p.released = now
	if !p.playing {
		p.playing = true
		p.link.emit(now, CodePlaying, "playback begins")
	}
	p.meter.frame(f.Kind, f.Key, f.Message.Timestamp, len(f.Message.Payload))
	p.arrival[f.Kind].released(r.Header.Capture)
	p.queue.put(f)
}

// watch tells of frames that were given up, of a stall, and gives up waiting for a pusher.
func (p *Player) watch(now time.Time) {
	s := p.playout.Stats()
	video, audio := s.Skipped[rtmpchunk.Video], s.Skipped[rtmpchunk.Audio]
	if n := video + audio; n > p.skipped && now.Sub(p.skipToldAt) >= skipEvery {
		p.link.emit(now, CodeFramesSkipped, fmt.Sprintf("%d frames skipped, %d so far (video %d, audio %d)", n-p.skipped, n, video, audio))
		p.skipped, p.skipToldAt = n, now
	}
	if p.playing && p.live && now.Sub(p.released) >= stallAfter && !p.queue.full() {
		p.playing = false
		p.link.emit(now, CodeStall, fmt.Sprintf("nothing to play for %v", stallAfter))
	}
	if !p.waitingFrom.IsZero() && p.link.lostAt.IsZero() && now.Sub(p.waitingFrom) >= p.cfg.Wait {
		p.link.finish(now, &CodeError{Code: CodePlayGaveUp, Text: fmt.Sprintf("no pusher came to %s within %v", p.cfg.URL.Stream, p.cfg.Wait)})
	}
}

// settle returns when step has something to do.
func (p *Player) settle(now time.Time) time.Time {
	var wake time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	if !p.queue.full() { // else the reader wakes us
		sooner(p.playout.Deadline())
	}
	if p.playing && p.live {
		sooner(p.released.Add(stallAfter))
	}
	if !p.waitingFrom.IsZero() {
		sooner(p.waitingFrom.Add(p.cfg.Wait))
	}
	if p.askKey {
		sooner(p.askedKey.Add(keyFrameEvery))
	}
	if !wake.IsZero() && wake.Before(now) { // due and not possible just now
		wake = now.Add(minSettle)
	}
	return wake
}

// minSettle keeps a deadline that cannot be met from taking the processor.
const minSettle = 5 * time.Millisecond

func (p *Player) status(now time.Time, info *NetStatus, _ transport.Stats) {
	p.meter.read(now, info)
	info.NetJitter = float64(int(p.jitter.value*100+0.5)) / 100
	var expected, missing uint64
	for i := range p.arrival {
		e, m := p.arrival[i].read()
		expected, missing = expected+e, missing+m
	}
	if expected > 0 {
		info.Loss = 100 * float64(missing) / float64(expected)
	}
	info.AudioCache, info.VideoCache = p.arrival[rtmpchunk.Audio].heldMS(), p.arrival[rtmpchunk.Video].heldMS()
	s := p.playout.Stats()
	skipped := s.Skipped[0] + s.Skipped[1]
	if p.live {
		info.Quality = quality(info.Loss, info.RTT, skipped > p.counts.Skipped)
	}
	p.counts.Skipped = skipped
}

func (p *Player) over(err error) {
	p.conn = nil
	if err == nil {
		err = ErrClosed
	}
	p.queue.end(err)
	p.playout.Close()
}

// arrival follows one kind's packets by their sequence numbers: what is missing when a later one comes was lost, or is late.
type arrival struct {
	any               bool
	next              uint16 // one past the highest
	run               uint32
	expected, missing uint64
	readExpected      uint64 // at the last netstatus
	readMissing       uint64
	newest, played    uint32 // capture times in ticks
	begun, playedAny  bool
}

// restart forgets where the numbers were: a session begins somewhere.
func (a *arrival) restart() { a.any = false }

func (a *arrival) packet(h *rtmpchunk.Header) {
	if !a.any || h.Instance != a.run {
		a.any, a.next, a.run = true, h.Seq, h.Instance
	}
	if d := h.Seq - a.next; d < 1<<15 {
		a.expected += uint64(d) + 1
		a.missing += uint64(d)
		a.next = h.Seq + 1
	}
	if !a.begun || int32(h.Capture-a.newest) > 0 {
		a.newest, a.begun = h.Capture, true
	}
}

func (a *arrival) released(capture uint32) { a.played, a.playedAny = capture, true }

func (a *arrival) total() (expected, missing uint64) { return a.expected, a.missing }

// read returns what came to be since the last time.
func (a *arrival) read() (expected, missing uint64) {
	expected, missing = a.expected-a.readExpected, a.missing-a.readMissing
	a.readExpected, a.readMissing = a.expected, a.missing
	return expected, missing
}

// heldMS is how much media has come that is not released yet.
func (a *arrival) heldMS() int {
	if !a.begun || !a.playedAny {
		return 0
	}
	return max(0, int(time.Duration(int32(a.newest-a.played))*transport.Tick/time.Millisecond))
}
