package load

import "time"

// The wheel has a slot for each millisecond of the next second.
const (
	slotTime = time.Millisecond
	slots    = 1024
)

// wheel wakes clients at their deadlines, late by a millisecond at most. A client stands in a slot at most once that counts: one that was given an
// earlier time leaves its old entry behind, which is then passed over.
type wheel struct {
	origin time.Time
	turned int64 // the slot that was last rung
	slots  [slots][]*client
}

func (w *wheel) slotOf(at time.Time) int64 {
	return int64((at.Sub(w.origin) + slotTime - 1) / slotTime)
}

// set makes sure that c is rung at the given time at the latest. The zero time asks for nothing.
func (w *wheel) set(c *client, at time.Time) {
	if at.IsZero() {
		return
	}
	slot := min(max(w.slotOf(at), w.turned+1), w.turned+slots-1) // what is further off is looked at again then
	if c.slot != 0 && c.slot <= slot && c.slot > w.turned {
		return
	}
	c.slot = slot
	w.slots[slot%slots] = append(w.slots[slot%slots], c)
}

// turn rings whoever is due.
func (w *wheel) turn(now time.Time, ring func(*client)) {
	for to := int64(now.Sub(w.origin) / slotTime); w.turned < to; {
		w.turned++
		i := w.turned % slots
		list := w.slots[i]
		w.slots[i] = nil
		for _, c := range list {
			if c.slot == w.turned {
				c.slot = 0
				ring(c)
			}
		}
		if w.slots[i] == nil {
			clear(list)
			w.slots[i] = list[:0]
		}
	}
}
