package relay_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// What must hold in every world.
const (
	// settleTime after the network has healed, and one group of pictures, every frame comes through, on time.
	settleTime = 3 * time.Second
	// lateLimit is how long after its player's delay a frame may be released: clocks are estimates.
	lateLimit = 30 * time.Millisecond
	// sessionMemory is how long a relay may keep a session whose client is gone: the idle timeout and an alarm's slack.
	sessionMemory = transport.DefaultIdleTimeout + time.Second

	// maxRinging bounds calls of HandleTimeout in a second of an endpoint: timers of their own, and one for each datagram.
	maxRinging = 400
	// ringsPerDatagram: a paced datagram has an alarm of its own; one that comes may set one for a report, a loss, a release.
	ringsPerDatagram = 2

	// maxStuck calls, each a microsecond or two after the one before and nothing in between, are a deadline that stays: datagrams that left
	// back to back are called lost one by one.
	maxStuck = 64

	// A sender of media sends at most mediaFactor bytes for each of the media, and mediaRate a second; the other side answerFactor for each that it
	// is sent, and the same.
	mediaFactor  = 4.0
	answerFactor = 0.5
	mediaRate    = 20_000
	mediaStart   = 100_000
)

// judgeRelease holds what a player releases against what was sent.
func (w *world) judgeRelease(p *listener, r *transport.Release) {
	run, h := w.runs[r.Run], p.present
	if run == nil || h == nil || h.instance != r.Run {
		w.fail("%v released a message of the run %d, which nobody sent", p, r.Run)
		return
	}
	order := uint64(r.Header.Order) // worlds have fewer than 65,536 messages
	if !r.Media {
		b := r.Message.Payload
		if len(b) < stampSize || binary.BigEndian.Uint32(b[len(b)-stampSize:]) != r.Run {
			w.fail("%v released a record that nobody sent", p)
			return
		}
		order = binary.BigEndian.Uint64(b[len(b)-8:])
	}
	if order >= uint64(len(run.sent)) {
		w.fail("%v released message %d, and there are %d", p, order, len(run.sent))
		return
	}
	m := &run.sent[order]
	if m.Type != r.Message.Type || m.Timestamp != r.Message.Timestamp || !bytes.Equal(m.Payload, r.Message.Payload) || (m.record == nil) != r.Media {
		w.fail("%v released message %d as something else than what was sent", p, order)
	}
	if _, twice := h.at[order]; twice {
		w.fail("%v released message %d twice", p, order)
	}
	h.at[order] = w.net.Now()
	if r.Media {
		w.frames++
		if order < h.next {
			w.fail("%v released frame %d behind %d", p, order, h.next-1)
		}
		h.next = order + 1
		if m.header.Config != 0 && h.config[m.header.Kind] != m.header.Config {
			w.fail("%v released frame %d, which needs configuration %d, under %d", p, order, m.header.Config, h.config[m.header.Kind])
		}
		return
	}
	switch {
	case order >= h.next:
		h.next = order + 1 // nothing may come behind it that was before it
	case order < h.from:
		h.begun++
	default:
		h.stray++
	}
	slot := m.record.Slot
	if order < h.records[slot] {
		w.fail("%v released record %d behind %d of its slot", p, order, h.records[slot]-1)
	}
	h.records[slot] = order + 1
	switch slot {
	case rtmpchunk.SlotAudioConfig:
		h.config[rtmpchunk.Audio] = m.record.ID
	case rtmpchunk.SlotVideoConfig:
		h.config[rtmpchunk.Video] = m.record.ID
	default:
	}
	if s := p.playout.Stats(); uint64(h.stray) > s.Skipped[0]+s.Skipped[1] {
		w.fail("%v released %d records out of their order and gave up only %d messages", p, h.stray, s.Skipped[0]+s.Skipped[1])
	}
}

// judgeEnd asks whether the world was such that a session had to end.
func (w *world) judgeEnd(c *client, a *attempt, e *transport.Event) {
	now, why := w.net.Now(), ""
	switch {
	case a.left:
	case e.Cause == transport.CauseTimeout && a.try:
		if w.healed.is && !a.born.Before(w.healed.at) {
			why = "no answer to a handshake in a healed network"
		}
	case e.Cause == transport.CauseTimeout:
		if !a.hears.silent(now, transport.DefaultIdleTimeout-100*time.Millisecond) {
			why = fmt.Sprintf("idle, but it was told something %v ago", now.Sub(a.hears.last))
		}
	case e.Cause == transport.CauseReset:
		switch {
		case w.restarts > a.restarts:
		case a.heard.silent(now, transport.DefaultIdleTimeout-100*time.Millisecond): // the relay gave it up
		case a.heard.first.Sub(a.born) > 2900*time.Millisecond: // or gave the handshake up
		case w.takenOver[c]:
		default:
			why = "a reset without a reason"
		}
	case e.Cause == transport.CauseRemote && e.Code == wire.CloseReplaced && w.takenOver[c]:
	default:
		why = "nothing in this world explains it"
	}
	if why != "" {
		w.fail("the session of %v, begun at %v, ended with %v, %q, cause %d: %s", c, w.since(a.born), e.Code, e.Reason, e.Cause, why)
	}
}

// judgeMemory holds everything that is kept against its limit.
func (w *world) judgeMemory() {
	if w.relay.loop == nil || w.overfull {
		return
	}
	before := len(w.failures)
	defer func() { w.overfull = len(w.failures) > before }() // told once
	w.memories = w.relay.loop.Memories(w.memories[:0])
	for _, m := range w.memories {
		if m.Used > m.Limit {
			w.fail("%s: %d, limit %d", m.What, m.Used, m.Limit)
		}
	}
	cached, bytes := w.relay.cached()
	w.cacheMost = max(w.cacheMost, bytes)
	// What the relay holds and does not cache is wanted by a player, for its delay, or stands in a block that was never made whole: half as
	// much again, and they give way to newer ones; or parity over a window may still speak of it (256 packets of a kind).
	if w.healedFor() > settleTime+w.gop {
		most := w.packetsSince(w.lastPush().Add(-w.longestDelay * 3 / 2))
		if live := int(w.relay.loop.Snapshot().PacketsLive) - cached; live > most+most/2+2*256+64 {
			w.fail("the relay holds %d packets beside its cache, %d were sent of late", live, most)
		}
		// Key frames come through now, and each begins the cache anew.
		if most := w.packetsSince(w.lastPush().Add(-2*w.gop - w.longestDelay)); cached > most+64 {
			w.fail("the relay has %d packets for players that join, %d were sent in two groups of pictures", cached, most)
		}
	}
	for _, p := range w.players {
		// A playout holds what is younger than its delay, and what a cache or a pusher that came back gave it at once.
		held := p.playout.Stats().Held
		if most := w.bytesSince(w.net.Now().Add(-p.maxDelay*2-2*w.gop-4*time.Second)) + w.cacheMost; held > most+most/4+64_000 {
			w.fail("%v holds %d bytes for playout, %d were sent of late", p, held, most)
		}
		for _, a := range p.sessions {
			if s := a.conn.Stats(); s.InFlight > s.Window+w.cacheMost+64_000 || s.QueuedBytes != 0 {
				w.fail("%v, who sends no media, has %d bytes in flight and %d queued", p, s.InFlight, s.QueuedBytes)
			}
		}
	}
	for _, p := range w.pushers {
		for _, a := range p.sessions {
			if q := a.conn.QueuedBytes(); q > p.handedSize {
				w.fail("%v has %d bytes queued and was handed %d", p, q, p.handedSize)
			}
		}
	}
}

// judgeProgress is asked when the stream has ended, in a network that healed long enough before.
func (w *world) judgeProgress() {
	run := w.pusher.run
	for _, p := range w.players {
		if p.gone {
			continue
		}
		h := p.runs[run.instance]
		if h == nil {
			w.fail("%v, who joined at %v, has nothing of the last run", p, w.since(p.due))
			continue
		}
		if !p.ended {
			w.fail("%v did not see the end", p)
		}
		settled := later(w.healed.at, p.due).Add(settleTime + w.gop)
		hop := w.hops[&p.client]
		ways := w.ways[up] + hop.way(down)
		limit := p.maxDelay + lateLimit + clockError(w.ways) + clockError([2]time.Duration{hop.way(up), hop.way(down)})
		missing, late, wanted := 0, 0, 0
		var bad time.Time
		for i := range run.sent {
			m := &run.sent[i]
			if m.at.Before(settled) {
				continue
			}
			wanted++
			at, got := h.at[uint64(i)]
			took := at.Sub(m.at)
			switch {
			case !got:
				missing++
			case took > limit:
				late++
			default:
				w.longest = max(w.longest, took-ways)
				continue
			}
			if bad.IsZero() {
				bad = m.at
			}
		}
		if wanted == 0 {
			w.fail("nothing was sent after the network had healed")
		}
		if missing > 0 || late > 0 {
			w.fail("%v, delay %v, way %v: of %d messages captured after %v, when the network had long been healed, %d are missing and %d late, the first of %v",
				p, p.maxDelay.Round(time.Millisecond), ways.Round(time.Millisecond), wanted, w.since(settled), missing, late, w.since(bad))
		}
	}
}

// judgeSessions is asked when the relay has had the time to forget who is gone.
func (w *world) judgeSessions() {
	want := 0
	for _, c := range w.clients() {
		if c.gone {
			continue
		}
		want++
		if c.current == nil || !c.current.conn.Open() || len(c.sessions) != 1 {
			w.fail("%v has %d sessions at the end", c, len(c.sessions))
		}
	}
	if got := w.relay.loop.Snapshot(); got.Sessions != want || got.Streams != 1 {
		w.fail("the relay has %d sessions and %d streams, want %d and 1", got.Sessions, got.Streams, want)
	}
}

// judgeEmpty is asked when everybody has left.
func (w *world) judgeEmpty() {
	if s := w.relay.loop.Snapshot(); s.Sessions != 0 || s.Streams != 0 || s.Players != 0 || s.PacketsLive != 0 {
		w.fail("everybody has left, and the relay has %d sessions, %d streams, %d players, %d packets", s.Sessions, s.Streams, s.Players, s.PacketsLive)
	}
}

// judgeBytes holds what everybody has sent against the media.
func (w *world) judgeBytes() {
	for _, c := range w.clients() {
		hop := w.hops[c]
		lasted := w.net.Now().Sub(hop.begun).Seconds()
		toRelay, toClient := hop.sent[up], hop.sent[down]
		media, sender, answer := 0, toClient, toRelay
		switch u := c.user.(type) {
		case *caller:
			media, sender, answer = u.handedSize, toRelay, toClient
		case *listener:
			media = u.offered + w.bytesSince(hop.begun)
		}
		ratio := (float64(sender) - mediaStart - mediaRate*lasted) / float64(max(media, 1))
		back := (float64(answer) - mediaStart/10 - mediaRate*lasted) / float64(max(sender, 1))
		w.mostMedia, w.mostAnswer = max(w.mostMedia, ratio), max(w.mostAnswer, back)
		if ratio > mediaFactor {
			w.fail("%v: %d bytes went in the direction of %d bytes of media, in %.0f s", c, sender, media, lasted)
		}
		if back > answerFactor {
			w.fail("%v: %d bytes of answers to %d bytes, in %.0f s", c, answer, sender, lasted)
		}
	}
	if w.toStranger > w.fromStranger {
		w.fail("an address that proved nothing sent %d bytes and got %d", w.fromStranger, w.toStranger)
	}
}

// guard stands before an endpoint and counts what it asks of its driver.
type guard struct {
	w                *world
	name             string
	inner            transporttest.Endpoint
	second           time.Time
	rings, datagrams int
	rangAt           time.Time
	again            int
}

// HandleDatagram implements transporttest.Endpoint.
func (g *guard) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	g.datagrams++
	g.rangAt = time.Time{}
	g.inner.HandleDatagram(now, from, b)
}

// Poll implements transporttest.Endpoint.
func (g *guard) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	t, ok := g.inner.Poll(now, buf)
	if ok {
		g.datagrams += (t.Size + t.Segment - 1) / t.Segment
	}
	return t, ok
}

// HandleTimeout implements transporttest.Endpoint. A Network moves on by a microsecond from a deadline that stays.
func (g *guard) HandleTimeout(now time.Time) {
	if now.Sub(g.second) >= time.Second {
		g.w.mostRings = max(g.w.mostRings, g.rings-ringsPerDatagram*g.datagrams)
		if g.rings > maxRinging+ringsPerDatagram*g.datagrams {
			g.w.fail("%s woke up %d times in a second with %d datagrams", g.name, g.rings, g.datagrams)
		}
		g.second, g.rings, g.datagrams = now, 0, 0
	}
	g.rings++
	if !g.rangAt.IsZero() && now.Sub(g.rangAt) <= 2*time.Microsecond {
		if g.again++; g.again == maxStuck {
			g.w.fail("%s has a deadline that stays in the past", g.name)
		}
	} else if g.again < maxStuck {
		g.again = 0
	}
	g.rangAt = now
	g.inner.HandleTimeout(now)
}

// Deadline implements transporttest.Endpoint. In a world that does not get on time stands still.
func (g *guard) Deadline() time.Time {
	if g.again >= maxStuck {
		return time.Time{}
	}
	return g.inner.Deadline()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
