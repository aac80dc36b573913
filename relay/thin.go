package relay

import (
	"time"

	"duet/rtmpchunk"
	"duet/transport"
)

// Shares of a player's delay budget that may wait for its network. With more, frames are left out for this player alone: those that no other
// refers to, and in the end everything up to the next key frame, which is late anyway.
const (
	thinShare = 0.25
	tailShare = 0.6
	// tailAfter is how long that must last: a stall that is over sooner is not made good by leaving out seconds.
	tailAfter = 500 * time.Millisecond
)

// thinning leaves out what a slow player can't get in time. Whole messages only: the first packet decides.
type thinning struct {
	next    uint64    // one past the newest message decided on
	dropped uint64    // bit i: the message i before that is left out
	tail    bool      // everything up to a key frame is
	fullAt  time.Time // since when more than tailShare waits
}

// drops reports whether a packet is not for this player, and whether it is the first of its message, so that the player must be told not to
// wait for it.
func (t *thinning) drops(now time.Time, h *rtmpchunk.Header, order uint64, conn *transport.Conn) (drop, first bool) {
	if h.Kind != rtmpchunk.Video {
		return false, false
	}
	if order < t.next {
		back := t.next - 1 - order
		return back < 64 && t.dropped>>back&1 != 0, false
	}
	backlog, budget := conn.Backlog(), conn.Budget()
	if backlog <= time.Duration(tailShare*float64(budget)) {
		t.fullAt = time.Time{}
	} else if t.fullAt.IsZero() {
		t.fullAt = now
	}
	t.tail = !h.Key && (t.tail || !t.fullAt.IsZero() && now.Sub(t.fullAt) >= tailAfter)
	drop = t.tail || h.Discardable && backlog > time.Duration(thinShare*float64(budget))
	t.dropped <<= min(order+1-t.next, 64)
	t.next = order + 1
	if drop {
		t.dropped |= 1
	}
	return drop, drop
}
