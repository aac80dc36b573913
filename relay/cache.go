package relay

import (
	"slices"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// Limits of what a stream keeps for players that join.
const (
	maxCacheBytes   = 10 << 20 // packets since the last key frame; beyond, a joining player waits for the next one
	maxCacheRecords = 512      // configurations, metadata and data messages since the last key frame
	maxCacheSkips   = 256      // SKIPs since the last key frame
	audioKept       = 1024     // packets kept of a stream that has shown no video yet: its first key frame may be late
	seenWindow      = 8192     // packets back over which a repeat is noticed, per kind
)

// cache keeps what a joining player needs: every packet since the newest whole key frame, and the records that go with them.
type cache struct {
	packets []*transport.Packet
	orders  []uint64 // of packets, whole
	bytes   int
	skips   []wire.Control     // what will not come, since the join point
	records []rtmpchunk.Record // by order; before the join point only the newest of each slot

	join     uint64 // order of the newest whole key frame
	joinable bool
	key      uint64 // order of the newest key frame begun
	keyGot   int
	keyBegun bool
	video    bool // the stream has video
	overflow bool // dropped until the next key frame

	seen [2]*[seenWindow]uint32 // sequence number plus one, by kind and number
}

// repeat notes a packet and reports whether it was here before.
func (c *cache) repeat(h *rtmpchunk.Header) bool {
	s := c.seen[h.Kind]
	if s == nil {
		s = new([seenWindow]uint32)
		c.seen[h.Kind] = s
	}
	e := &s[h.Seq%seenWindow]
	if *e == uint32(h.Seq)+1 {
		return true
	}
	*e = uint32(h.Seq) + 1
	return false
}

// add keeps a packet, with a reference of its own.
func (c *cache) add(p *transport.Packet, order uint64) {
	h := &p.Header
	if h.Kind == rtmpchunk.Video {
		c.video = true
		if h.Key {
			c.noteKey(order, int(h.Count))
		}
	}
	switch {
	case !c.video && len(c.packets) >= 2*audioKept: // audio alone: every frame is a place to join
		c.dropFirst(audioKept)
	case c.overflow && (!c.keyBegun || order < c.key):
		return
	}
	if c.bytes+len(p.Data) > maxCacheBytes {
		c.drop()
		return
	}
	p.Retain()
	c.packets = append(c.packets, p)
	c.orders = append(c.orders, order)
	c.bytes += len(p.Data)
	if c.keyBegun && c.keyGot == 0 {
		c.keyBegun = false
		c.join, c.joinable = c.key, true
		c.trim()
	}
}

// dropFirst drops the n oldest packets.
func (c *cache) dropFirst(n int) {
	for _, p := range c.packets[:n] {
		c.bytes -= len(p.Data)
		p.Release()
	}
	kept := copy(c.packets, c.packets[n:])
	copy(c.orders, c.orders[n:])
	clear(c.packets[kept:])
	c.packets, c.orders = c.packets[:kept], c.orders[:kept]
}

// addSkip keeps a SKIP. Beyond the limit a joining player finds out by its own deadline.
func (c *cache) addSkip(m *wire.Control) {
	if len(c.skips) < maxCacheSkips {
		c.skips = append(c.skips, *m)
	}
}

// noteKey counts the packets of the newest key frame; keyGot becomes 0 when it is whole.
func (c *cache) noteKey(order uint64, count int) {
	switch {
	case !c.keyBegun && (!c.joinable || order > c.join), c.keyBegun && order > c.key:
		c.keyBegun, c.key, c.keyGot, c.overflow = true, order, count, false
	case !c.keyBegun || order != c.key:
		return
	}
	c.keyGot--
}

// trim drops what lies before the join point.
func (c *cache) trim() {
	n := 0
	for i, p := range c.packets {
		if c.orders[i] < c.join {
			c.bytes -= len(p.Data)
			p.Release()
			continue
		}
		c.packets[n], c.orders[n] = p, c.orders[i]
		n++
	}
	clear(c.packets[n:])
	c.packets, c.orders = c.packets[:n], c.orders[:n]
	c.skips = slices.DeleteFunc(c.skips, func(m wire.Control) bool { return m.Order+uint64(m.Count) <= c.join })
	c.trimRecords()
}

// trimRecords keeps, of the records before the join point, the newest of each cached slot.
func (c *cache) trimRecords() {
	kept := c.records[:0]
	for i, r := range c.records {
		if r.Order >= c.join || r.Slot != rtmpchunk.SlotNone && !c.replaced(i) {
			kept = append(kept, r)
		}
	}
	clear(c.records[len(kept):])
	c.records = kept
}

// replaced reports whether a later record of the same slot stands before the join point as well.
func (c *cache) replaced(i int) bool {
	for _, r := range c.records[i+1:] {
		if r.Slot == c.records[i].Slot && r.Order < c.join {
			return true
		}
	}
	return false
}

// addRecord keeps a record; false if it was here before.
func (c *cache) addRecord(r rtmpchunk.Record) bool {
	i := len(c.records)
	for i > 0 && c.records[i-1].Order >= r.Order {
		if c.records[i-1].Order == r.Order {
			return false
		}
		i--
	}
	c.records = append(c.records, rtmpchunk.Record{})
	copy(c.records[i+1:], c.records[i:])
	c.records[i] = r
	if !c.video { // audio alone has no key frames that would trim
		c.join = r.Order + 1
		c.trimRecords()
	}
	if len(c.records) > maxCacheRecords {
		c.dropOldData()
	}
	return true
}

// dropOldData makes room: data messages go first, oldest first; of configurations there are never so many in a GOP.
func (c *cache) dropOldData() {
	for i, r := range c.records {
		if r.Slot == rtmpchunk.SlotNone {
			c.records = append(c.records[:i], c.records[i+1:]...)
			return
		}
	}
	c.records = c.records[1:]
}

// drop gives the packets up: the GOP is too long to keep.
func (c *cache) drop() {
	for _, p := range c.packets {
		p.Release()
	}
	clear(c.packets)
	c.packets, c.orders, c.skips, c.bytes = c.packets[:0], c.orders[:0], c.skips[:0], 0
	c.joinable, c.keyBegun, c.overflow = false, false, true
}

// reset forgets everything: another run of the pusher begins.
func (c *cache) reset() {
	c.drop()
	*c = cache{packets: c.packets, orders: c.orders, skips: c.skips}
}
