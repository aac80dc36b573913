package transport

import (
	"time"

	"duet/transport/wire"
)

const (
	feedbackInterval = 25 * time.Millisecond  // at the latest after something that wants a report
	steadyInterval   = 100 * time.Millisecond // instead, while all is well: a report costs both ends as much as a media packet
	steadyAfter      = 2 * time.Second        // from the beginning without a loss or delay: all is well
	steadyAgain      = 12 * time.Second       // after either: longer than a sender stays bounded, whose window needs reports
	steadyDelay      = 15 * time.Millisecond  // that a frame may be later than the least so far
	steadyCreep      = 64                     // frames by which the least follows, for clocks drift
	gapInterval      = 4 * time.Millisecond   // at the earliest after the last report, when a gap shows
	feedbackHistory  = 1024                   // packet numbers whose arrival is remembered
	feedbackBatch    = 128                    // so many unreported make a report due
	feedbackEarlier  = 96                     // packet numbers before those that get a bit each
)

// feedbackState remembers what arrived, for the reports that the peer lives on.
type feedbackState struct {
	arrived  [feedbackHistory]uint32 // by packet number: ticks of arrival plus one; 0: not received
	first    uint64                  // lowest number that a report may name
	end      uint64                  // one past the highest received
	reported uint64                  // where the last report ended
	again    bool                    // it is to be repeated: a gap has shown, and time is short
	lastAt   time.Time
	due      bool // its time has come
	gap      bool // one has shown since the last report
	any      bool
	steady   steadiness
}

// steadiness is for how long all has been well: nothing missing, nothing late.
type steadiness struct {
	since    time.Time
	troubled bool
	least    int32 // capture to arrival, in ticks: only differences mean anything
	known    bool
}

// trouble begins the wait anew.
func (s *steadiness) trouble(now time.Time) { s.since, s.troubled = now, true }

// frame notes how late a frame begins.
func (s *steadiness) frame(now time.Time, late int32) {
	behind := late - s.least
	switch {
	case !s.known || behind < 0:
		s.least, s.known = late, true
		return
	case time.Duration(behind)*Tick > steadyDelay:
		s.trouble(now)
	}
	s.least += max(min(behind, 1), behind/steadyCreep)
}

// holds reports whether all has been well for long enough.
func (s *steadiness) holds(now time.Time) bool {
	after := steadyAfter
	if s.troubled {
		after = steadyAgain
	}
	return !s.since.IsZero() && now.Sub(s.since) >= after
}

// received notes a packet that opened.
func (f *feedbackState) received(now time.Time, c *Conn, pn uint64, eliciting bool) {
	gap := false
	switch {
	case !f.any:
		f.any = true
		f.steady.since = now
		f.first, f.end = pn, pn
		if pn < feedbackHistory { // losses at the very beginning count too
			f.first = 0
		}
		f.reported = f.first
		gap = pn != f.first
	case pn > f.end:
		gap = true
	case pn+feedbackHistory < f.end || pn < f.first:
		return // too old to be of use
	}
	for ; f.end <= pn; f.end++ {
		f.arrived[f.end%feedbackHistory] = 0
	}
	f.arrived[pn%feedbackHistory] = max(1, Ticks(c.Clock(now))+1)
	if !eliciting && !gap {
		return
	}
	interval := feedbackInterval
	if f.steady.holds(now) && !c.tight() {
		interval = steadyInterval
	}
	at := now.Add(interval)
	if gap {
		f.steady.trouble(now)
		f.gap = true
		at = f.lastAt.Add(gapInterval)
	}
	if !now.Before(at) || f.end-f.reported >= feedbackBatch {
		f.due = true
		return
	}
	c.timer.setEarlier(timerFeedback, at)
}

// wants reports whether a report should go now. With a PONG one goes along whenever there is something to tell.
func (f *feedbackState) wants() bool { return f.any && f.due && (f.end > f.reported || f.again) }

// append writes a report into at most room bytes: of what is new, when it arrived, and of feedbackEarlier packets before that, whether they
// did. Reports are lost in runs too, and what stays unreported is sent again for nothing.
func (f *feedbackState) append(now time.Time, c *Conn, b []byte, room int) []byte {
	f.due = false
	if room < wire.FeedbackHeader+2+feedbackEarlier/8 {
		f.due = true
		return b
	}
	most := uint64(min(wire.MaxFeedbackCount, (room-wire.FeedbackHeader-feedbackEarlier/8)/2))
	base := max(min(f.reported, f.end-1), f.first)
	if f.end > feedbackHistory {
		base = max(base, f.end-feedbackHistory)
	}
	if f.end-base > most {
		base = f.end - most
	}
	clock := Ticks(c.Clock(now))
	earlier := min(feedbackEarlier, base-f.first)
	if f.end > feedbackHistory {
		earlier = min(earlier, base-(f.end-feedbackHistory))
	}
	m := (int(earlier) + 7) / 8
	b = wire.AppendFeedbackHeader(b, uint32(base), clock, int(f.end-base), m)
	for pn := base; pn < f.end; pn++ {
		at := f.arrived[pn%feedbackHistory]
		b = wire.AppendFeedbackRecord(b, at != 0, 0, clock+1-at)
	}
	for i := range m {
		bits := byte(0)
		for k := range uint64(8) {
			if back := uint64(i)*8 + k + 1; back <= earlier && f.arrived[(base-back)%feedbackHistory] != 0 {
				bits |= 1 << k
			}
		}
		b = append(b, bits)
	}
	f.reported = f.end
	f.lastAt = now
	c.timer.clear(timerFeedback)
	if f.again = f.gap && c.tight(); f.again {
		c.timer.set(timerFeedback, now.Add(gapInterval))
	}
	f.gap = false
	c.stats.FeedbackSent++
	return b
}

// tightRounds is how many report rounds within the budget make the loss of a report harmless. Where fewer fit, a gap is reported twice.
const tightRounds = 3

// tight reports whether what we receive has so little time.
func (c *Conn) tight() bool {
	rounds, _ := roundsIn(c.send.budget, c.rtt.srtt())
	return rounds < tightRounds
}
