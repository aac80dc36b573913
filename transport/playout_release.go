package transport

import (
	"time"

	"duet/rtmpchunk"
)

// Poll returns the next thing whose turn has come, false if that is nothing now; Deadline then says when to look again.
func (p *Playout) Poll(now time.Time) (Release, bool) {
	for {
		if len(p.out) > 0 {
			r := p.out[0]
			p.out[0] = Release{}
			p.out = p.out[1:]
			return r, true
		}
		if !p.started {
			return Release{}, false
		}
		if p.ended && p.next >= p.end {
			if p.releasedEnd {
				return Release{}, false
			}
			p.releasedEnd = true
			return Release{Kind: ReleaseEnd, Run: p.run}, true
		}
		s := p.slots[p.next]
		switch {
		case s != nil && s.released:
			p.advance(s)
		case s != nil && s.record != nil:
			rec := s.record
			p.releaseRecord(now, rec)
			p.advance(s)
		case s != nil && s.whole() && p.configured(s) && now.Before(p.showAt(s)):
			return Release{}, false
		case s != nil && s.whole() && p.configured(s):
			r, ok := p.releaseFrame(s)
			p.advance(s)
			if ok {
				return r, true
			}
		case s != nil && s.skipped, p.next < p.floor && !s.started(), !now.Before(p.deadline()):
			p.giveUp(s)
			p.jump(now)
		default:
			s := p.ahead()
			if s == nil {
				return Release{}, false
			}
			r, ok := p.releaseFrame(s)
			p.empty(s)
			s.released = true
			if ok {
				return r, true
			}
		}
	}
}

// ahead finds a whole frame that does not have to wait for the next message: the one before it of its kind has been released.
func (p *Playout) ahead() *playSlot {
	if !p.apart {
		return nil
	}
	for order := p.next + 1; order < min(p.highest, p.next+maxApart); order++ {
		if s := p.slots[order]; s != nil && s.got > 0 && s.whole() && p.follows(s) && p.configured(s) {
			return s
		}
	}
	return nil
}

// follows reports whether a whole frame is the next of its kind.
func (p *Playout) follows(s *playSlot) bool {
	return p.seqSet[s.header.Kind] && p.seq[s.header.Kind] == s.header.Seq
}

// started reports whether anything of the message has come.
func (s *playSlot) started() bool { return s != nil && (s.got > 0 || s.record != nil) }

// configured reports whether the decoder configuration that a frame names has been released.
func (p *Playout) configured(s *playSlot) bool {
	return s.header.Config == 0 || p.config[s.header.Kind] == s.header.Config
}

// advance goes on to the next message.
func (p *Playout) advance(s *playSlot) {
	if s != nil {
		p.drop(p.next, s)
	}
	p.next++
	p.highest = max(p.highest, p.next)
}

// giveUp skips the next message.
func (p *Playout) giveUp(s *playSlot) {
	kind := rtmpchunk.Video
	if s != nil && s.header.Count > 0 {
		kind = s.header.Kind
	}
	p.stats.Skipped[kind]++
	p.gap[kind] = true
	p.advance(s)
}

// jump gives up at once what lies beyond everything known: what a START or END says will not come may be any number of messages.
func (p *Playout) jump(now time.Time) {
	if p.next < p.highest {
		return
	}
	to := p.floor
	if p.ended && !now.Before(p.endAt.Add(p.maxDelay)) {
		to = max(to, p.end)
	}
	if to > p.next {
		p.stats.Skipped[rtmpchunk.Video] += to - p.next
		p.gap[rtmpchunk.Video] = true
		p.next, p.highest = to, to
	}
}

// releaseFrame rebuilds the message of a whole frame.
func (p *Playout) releaseFrame(s *playSlot) (Release, bool) {
	kind := s.header.Kind
	if p.apart && p.follows(s) { // what was given up was of the other kind
		p.gap[kind] = false
	}
	p.seq[kind], p.seqSet[kind] = s.header.Seq+s.header.Count, true
	p.payloads = p.payloads[:0]
	for _, k := range s.packets {
		p.payloads = append(p.payloads, k.Data[rtmpchunk.HeaderSize:])
	}
	m, body, err := rtmpchunk.AppendBody(p.body[:0], p.payloads)
	p.body = body
	if err != nil || m.Type != kind.MessageType() || m.Timestamp != s.header.Timestamp { // authentic and yet no message: the pusher's fault
		p.stats.Skipped[kind]++
		p.gap[kind] = true
		return Release{}, false
	}
	p.stats.Released[kind]++
	r := Release{
		Kind: ReleaseMessage, Media: true, Message: m, Header: s.header, Run: p.run, Complete: s.complete, Gap: p.gap[kind],
	}
	if p.clockKnown {
		r.Captured = p.capturedAt(s)
	}
	p.gap[kind] = false
	return r, true
}

// measure takes a whole frame's delay for the target. Frames from before we joined tell nothing.
func (p *Playout) measure(s *playSlot) {
	if at := p.capturedAt(s); p.clockKnown && at.After(p.joined) {
		p.target.note(s.complete, s.complete.Sub(at), p.maxDelay)
		p.way.note(s.complete, s.complete.Sub(at))
	}
}

// showAt is when a whole frame's turn has come.
func (p *Playout) showAt(s *playSlot) time.Time {
	if !p.smooth || !p.clockKnown || s.record != nil {
		return time.Time{}
	}
	return p.capturedAt(s).Add(p.target.value)
}

// capturedAt is when a frame was captured, by our clock.
func (p *Playout) capturedAt(s *playSlot) time.Time {
	clock := s.first.Sub(p.origin)
	return p.origin.Add(FromTicks(s.header.Capture, clock+p.stream) - p.stream)
}

// deadline is when the next message is given up. Of a message of which nothing is known, the next known one tells; if there is
// none, there is nothing to wait for and nothing to give up.
func (p *Playout) deadline() time.Time {
	for order := p.next; order < p.highest; order++ {
		s := p.slots[order]
		if !s.started() && (s == nil || !s.released) {
			continue
		}
		from := s.first
		if p.clockKnown && s.record == nil {
			if from = p.capturedAt(s); from.Before(p.joined) {
				from = p.joined
			}
		}
		if order == p.next && s.whole() && p.configured(s) {
			if at := p.showAt(s); !at.IsZero() {
				return at
			}
		}
		return from.Add(p.maxDelay)
	}
	if p.ended && p.next < p.end {
		return p.endAt.Add(p.maxDelay)
	}
	return never
}

// never is later than any time a program meets.
var never = time.Unix(1<<40, 0)

// Deadline is when Poll should be called next if nothing comes before; zero: no need.
func (p *Playout) Deadline() time.Time {
	if len(p.out) > 0 {
		return p.origin
	}
	if !p.started || p.ended && p.next >= p.end {
		return time.Time{} // Poll has told the end; what came behind it is never released
	}
	if d := p.deadline(); !d.Equal(never) {
		return d
	}
	return time.Time{}
}
