package client

import (
	"cmp"
	"slices"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
)

const (
	// maxHistory bounds what a pusher keeps to send again: a relay's cache of a group of pictures has the same size.
	maxHistory = 10 << 20
	// resendWindow is how far back a pusher goes on after a loss of the network. What is older nobody waits for any more.
	resendWindow = 3 * time.Second
)

// message is one message of the stream as it goes out: packets, or a record.
type message struct {
	at      time.Time // when it was captured
	kind    rtmpchunk.Kind
	key     bool
	record  *rtmpchunk.Record
	packets []*transport.Packet
	bytes   int
}

// history keeps a stream's newest messages: those that are still to be handed to a session, and those that a new session may
// want again. With video it reaches back to a key frame that is older than resendWindow, so there is always a place to begin.
type history struct {
	list  []message // orders base, base+1, …
	base  uint64
	bytes int
	keys  []uint64 // orders of the key frames in list
	video bool     // the stream has video
	seq   [2]uint16
	slots [rtmpchunk.Slots]*rtmpchunk.Record // newest record of each slot among those that have left list

	sent   uint64 // order of the message to hand over next
	part   int    // and its packet
	unsent int    // bytes from there on
}

// next is the order that the next message will have.
func (h *history) next() uint64 { return h.base + uint64(len(h.list)) }

func (h *history) get(order uint64) *message { return &h.list[order-h.base] }

// add takes the next message, and its packets' references.
func (h *history) add(m message) {
	if m.record == nil {
		h.seq[m.kind] += uint16(len(m.packets))
		h.video = h.video || m.kind == rtmpchunk.Video
		if m.key {
			h.keys = append(h.keys, h.next())
		}
	}
	h.list = append(h.list, m)
	h.bytes += m.bytes
	h.unsent += m.bytes
}

// advance notes that the message at sent was handed over whole.
func (h *history) advance() {
	h.unsent -= h.get(h.sent).bytes
	h.sent++
	h.part = 0
}

// trim drops what no session will want any more, but nothing at or above keep.
func (h *history) trim(now time.Time, keep uint64) {
	old := now.Add(-resendWindow)
	cut := h.base
	switch {
	case len(h.keys) >= 2:
		for i := 1; i < len(h.keys) && !h.get(h.keys[i]).at.After(old); i++ {
			cut = h.keys[i]
		}
	case !h.video || len(h.keys) == 0:
		for cut < h.next() && h.get(cut).at.Before(old) {
			cut++
		}
	}
	h.drop(min(cut, keep))
	for h.bytes > maxHistory && h.base < keep {
		if cut = h.base + 1; len(h.keys) >= 2 {
			cut = h.keys[1]
		}
		h.drop(min(cut, keep))
	}
}

// drop lets go of everything below order.
func (h *history) drop(order uint64) {
	if order <= h.base {
		return
	}
	n := int(order - h.base)
	for i := range h.list[:n] {
		m := &h.list[i]
		h.bytes -= m.bytes
		if h.base+uint64(i) >= h.sent {
			h.unsent -= m.bytes
		}
		if m.record != nil {
			h.slots[m.record.Slot] = m.record
		}
		for _, p := range m.packets {
			p.Release()
		}
	}
	h.base = order
	for len(h.keys) > 0 && h.keys[0] < order {
		h.keys = h.keys[1:]
	}
	if kept := len(h.list) - n; kept < n { // moved at most once a message, on average
		copy(h.list, h.list[n:])
		clear(h.list[kept:])
		h.list = h.list[:kept]
		return
	}
	clear(h.list[:n])
	h.list = h.list[n:]
}

// resume is where a session goes on whose relay has everything that it ever saw of this run up to order. Of messages captured after
// since, some may have been on their way when the network was lost: they go again, and the relay drops what it has.
func (h *history) resume(order uint64, since time.Time) (from uint64, ok bool) {
	if order < h.base || order > h.next() {
		return 0, false
	}
	from = order
	for from > h.base && !h.get(from-1).at.Before(since) {
		from--
	}
	return from, true
}

// begin is where a session begins whose relay has nothing of this run: at the newest key frame captured by since, or else the oldest
// that there is; with audio alone, at since.
func (h *history) begin(since time.Time) uint64 {
	if h.video {
		if len(h.keys) == 0 {
			return h.next()
		}
		from := h.keys[0]
		for _, k := range h.keys[1:] {
			if !h.get(k).at.After(since) {
				from = k
			}
		}
		return from
	}
	from := h.next()
	for from > h.base && !h.get(from-1).at.Before(since) {
		from--
	}
	return from
}

// rewind makes the message with that order the next to hand over. It returns how many frames that were never handed over are
// now left out.
func (h *history) rewind(order uint64) (skipped uint64) {
	if order > h.sent {
		skipped = order - h.sent
	}
	h.sent, h.part, h.unsent = order, 0, 0
	for ; order < h.next(); order++ {
		h.unsent += h.get(order).bytes
	}
	return skipped
}

// seqAt is the sequence number of each kind's first packet from order on.
func (h *history) seqAt(order uint64) [2]uint16 {
	seq := h.seq
	for i := len(h.list) - 1; i >= int(order-h.base); i-- {
		if m := &h.list[i]; m.record == nil {
			seq[m.kind] -= uint16(len(m.packets))
		}
	}
	return seq
}

// recordsBefore lists the newest record of each cached slot among those below order.
func (h *history) recordsBefore(order uint64) []*rtmpchunk.Record {
	slots := h.slots
	for i := range h.list[:order-h.base] {
		if r := h.list[i].record; r != nil {
			slots[r.Slot] = r
		}
	}
	var list []*rtmpchunk.Record
	for slot, r := range slots {
		if r != nil && rtmpchunk.Slot(slot) != rtmpchunk.SlotNone {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *rtmpchunk.Record) int { return cmp.Compare(a.Order, b.Order) })
	return list
}
