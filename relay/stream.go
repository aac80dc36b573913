package relay

import (
	"slices"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

const (
	// keyFrameInterval is how often a pusher is asked for a key frame at most; requests of many players become one.
	keyFrameInterval = 300 * time.Millisecond
	// arrivalStep is how far the publisher's arrival target may be off before it is told.
	arrivalStep = 10 * time.Millisecond
	// farBehind is how many times less than the middle player one has that the stream does not wait for.
	farBehind = 4
	// clockStep is how far the stream's clock may be off before players are told.
	clockStep = 500 * time.Microsecond
	// maxEarly bounds the packets that wait for their run's START: a key frame of 1 MB.
	maxEarly = 1024
	// streamMemory is how long a stream without a publisher is remembered, so that the same run can go on.
	streamMemory = 60 * time.Second
)

// publisher is where a stream's media comes from: a session or a Publication.
type publisher interface {
	who() string                   // the party
	replaced(now time.Time)        // a newer publisher of the same party has taken over
	requestKeyFrame(now time.Time) // a player needs one
	setArrival(now time.Time, d time.Duration, final bool)
	setBitrate(now time.Time, bps int64)             // what its players can take
	publishing(now time.Time)                        // push begins; it may ask what the stream has
	clockOffset(now time.Time) (time.Duration, bool) // stream time minus the relay's clock
}

// audience is who gets it: a session or a Subscription.
type audience interface {
	begin(now time.Time, st *stream) // media begins: st has a run to play
	packet(now time.Time, p *transport.Packet, order uint64)
	control(now time.Time, m *wire.Control) // SKIP, RECORD, END of the stream, in order with the packets' hand-over
	clock(now time.Time, offset time.Duration)
	waiting(now time.Time) // there is no publisher
	// arrival is how long after its capture a frame should be here: so that a repair still fits, or, if final, at the latest.
	arrival() (d time.Duration, final bool)
	bitrate() int64 // what its network carries, 0: anything
}

// stream is one party's media. It belongs to the loop.
type stream struct {
	name    string
	loop    *Loop
	pub     publisher
	players []audience
	cache   cache

	live    bool   // a run has begun, and its publisher has not left after its end
	ended   bool   // its END was said; stragglers may still come
	run     uint32 // the pusher's instance
	next    uint64 // one past the highest order seen
	seq     [2]uint16
	early   []*transport.Packet // media of a run whose START has not come yet
	offset  time.Duration       // stream time minus the relay's clock
	clockOK bool
	asked   time.Time     // last key-frame request
	arrival time.Duration // last told to the publisher
	final   bool
	bitrate int64     // last told to the publisher, 0 nothing
	idleAt  time.Time // since when there is no publisher
	stats   StreamStats
}

// StreamStats counts what went through a stream.
type StreamStats struct {
	Packets, Bytes, Repeats, Skipped, KeyFrameRequests uint64
}

// publish makes p the stream's publisher. It reports false when another party is publishing.
func (st *stream) publish(now time.Time, p publisher) bool {
	if st.pub != nil && st.pub != p {
		if st.pub.who() != p.who() {
			return false
		}
		old := st.pub
		st.pub = p
		st.dropEarly()
		old.replaced(now)
		st.loop.log.Info("publisher replaced", "stream", st.name, "party", p.who())
	} else {
		st.loop.log.Info("push begins", "stream", st.name, "party", p.who())
	}
	st.pub, st.arrival, st.bitrate = p, 0, 0
	p.publishing(now)
	return true
}

// unpublish takes the publisher away, if it still is p.
func (st *stream) unpublish(now time.Time, p publisher) {
	if st.pub != p {
		return
	}
	st.pub = nil
	st.idleAt = now
	st.dropEarly()
	st.loop.log.Info("push over", "stream", st.name, "ended", st.ended)
	if st.ended {
		st.live = false
		st.cache.reset()
	}
	if st.live { // not said goodbye: the same run may come back
		for _, a := range st.players {
			a.waiting(now)
		}
	}
	st.loop.forget(now, st)
}

// start takes a run's START.
func (st *stream) start(now time.Time, m *wire.Control) {
	if st.live && !st.ended && st.run == m.Instance {
		if m.Order > st.next { // what lies between was lost with the publisher's old session
			st.skip(now, &wire.Control{Type: wire.ControlSkip, Order: st.next, Count: uint32(min(m.Order-st.next, 1<<20))})
			st.next = m.Order
		}
		for _, a := range st.players {
			a.control(now, &wire.Control{Type: wire.ControlStatus, Code: codePlaying})
		}
		return
	}
	st.cache.reset()
	st.live, st.ended, st.run, st.next, st.seq = true, false, m.Instance, m.Order, m.Seq
	st.offset, st.clockOK = st.pub.clockOffset(now)
	for _, a := range st.players {
		a.begin(now, st)
	}
	early := st.early
	st.early = nil
	for _, p := range early {
		if p.Header.Instance == st.run {
			st.packet(now, p)
		}
		p.Release()
	}
}

// dropEarly gives up what waits for a START.
func (st *stream) dropEarly() {
	for _, p := range st.early {
		p.Release()
	}
	st.early = nil
}

// packet takes one from the publisher and hands it to everybody. Media may overtake the START of its run: it waits for it, up to maxEarly.
func (st *stream) packet(now time.Time, p *transport.Packet) {
	if !st.live || p.Header.Instance != st.run {
		if len(st.early) < maxEarly {
			p.Retain()
			st.early = append(st.early, p)
		}
		return
	}
	if st.cache.repeat(&p.Header) {
		st.stats.Repeats++
		return
	}
	order := st.expand(p.Header.Order)
	if order >= st.next {
		st.next = order + 1
	}
	if d := p.Header.Seq + 1 - st.seq[p.Header.Kind]; d < 1<<15 {
		st.seq[p.Header.Kind] += d
	}
	st.stats.Packets++
	st.stats.Bytes += uint64(len(p.Data))
	st.loop.media++
	st.loop.mediaIn += uint64(len(p.Data))
	st.cache.add(p, order)
	for _, a := range st.players {
		a.packet(now, p, order)
	}
}

// expand gives the whole order of a packet.
func (st *stream) expand(low uint16) uint64 {
	v := int64(st.next) + int64(int16(low-uint16(st.next)))
	return uint64(max(v, 0))
}

// record takes a RECORD from the publisher.
func (st *stream) record(now time.Time, m *wire.Control) {
	if !st.live {
		return
	}
	st.next = max(st.next, m.Order+1)
	if !st.cache.addRecord(recordOf(m)) {
		return
	}
	for _, a := range st.players {
		a.control(now, m)
	}
}

// skip tells the players what will not come.
func (st *stream) skip(now time.Time, m *wire.Control) {
	if !st.live {
		return
	}
	st.stats.Skipped += uint64(m.Count)
	st.cache.addSkip(m)
	st.next = max(st.next, m.Order+uint64(m.Count))
	for _, a := range st.players {
		a.control(now, m)
	}
}

// end takes the run's END.
func (st *stream) end(now time.Time, m *wire.Control) {
	if !st.live || st.ended {
		return
	}
	st.ended = true
	for _, a := range st.players {
		a.control(now, m)
	}
}

// join adds a player.
func (st *stream) join(now time.Time, a audience) {
	st.players = append(st.players, a)
	if !st.live || st.ended {
		a.waiting(now)
		return
	}
	st.updateClock(now)
	a.begin(now, st)
	if st.pub == nil {
		a.waiting(now)
	}
	if st.needsKey() {
		st.requestKeyFrame(now)
	}
}

// leave takes a player away.
func (st *stream) leave(now time.Time, a audience) {
	for i, other := range st.players {
		if other == a {
			last := len(st.players) - 1
			st.players[i] = st.players[last]
			st.players[last] = nil
			st.players = st.players[:last]
			break
		}
	}
	st.updateBitrate(now)
	st.loop.forget(now, st)
}

// joinPoint is where a joining player's media begins: the newest whole key frame, the one that is just coming in, or what comes next.
func (st *stream) joinPoint() (order uint64, seq [2]uint16) {
	order, seq = st.next, st.seq
	switch c := &st.cache; {
	case c.joinable:
		order = c.join
	case c.keyBegun:
		order = c.key
	default:
		return order, seq
	}
	for i := len(st.cache.packets) - 1; i >= 0; i-- { // the lowest number of each kind
		h := &st.cache.packets[i].Header
		if st.cache.orders[i] >= order && int16(h.Seq-seq[h.Kind]) < 0 {
			seq[h.Kind] = h.Seq
		}
	}
	return order, seq
}

// needsKey reports whether a player that joins now has to wait for a key frame before it can show a picture.
func (st *stream) needsKey() bool {
	return st.cache.video && !st.cache.joinable && !st.cache.keyBegun
}

// blindness is the state of a player that joined where no key frame was to be had: its video is dropped until one comes.
type blindness struct {
	on   bool
	next uint64 // one past the last message dropped
}

// drops reports whether a packet is not for this player, and whether it is the first of its message, so that the player must be
// told not to wait.
func (b *blindness) drops(p *transport.Packet, order uint64) (drop, first bool) {
	switch {
	case !b.on || p.Header.Kind != rtmpchunk.Video:
		return false, false
	case p.Header.Key:
		b.on = false
		return false, false
	case order < b.next:
		return true, false
	}
	b.next = order + 1
	return true, true
}

// requestKeyFrame asks the publisher, not too often.
func (st *stream) requestKeyFrame(now time.Time) {
	if st.pub == nil || !st.asked.IsZero() && now.Sub(st.asked) < keyFrameInterval {
		return
	}
	st.asked = now
	st.stats.KeyFrameRequests++
	st.pub.requestKeyFrame(now)
}

// updateArrival tells the publisher when frames should be here, for the player that has the least time.
func (st *stream) updateArrival(now time.Time) {
	if st.pub == nil || len(st.players) == 0 {
		return
	}
	least, final := st.players[0].arrival()
	for _, a := range st.players[1:] {
		if d, f := a.arrival(); d < least {
			least, final = d, f
		}
	}
	if (least-st.arrival).Abs() >= arrivalStep || final != st.final {
		st.arrival, st.final = least, final
		st.pub.setArrival(now, least, final)
	}
}

// updateBitrate tells the publisher what its players can take.
func (st *stream) updateBitrate(now time.Time) {
	if st.pub == nil {
		return
	}
	if v := st.playersBitrate(); v != 0 && v != st.bitrate {
		st.bitrate = v
		st.pub.setBitrate(now, v)
	}
}

// playersBitrate is what the slowest player can take, of those that are not far behind the rest: with less than a quarter of what the
// middle one has, a player loses frames instead of making everybody's picture bad. 0: nobody has a limit.
func (st *stream) playersBitrate() int64 {
	s := st.loop.bitrates[:0]
	for _, a := range st.players {
		if v := a.bitrate(); v > 0 {
			s = append(s, v)
		}
	}
	st.loop.bitrates = s
	if len(s) == 0 {
		return 0
	}
	slices.Sort(s)
	floor := s[len(s)/2] / farBehind
	for _, v := range s {
		if v >= floor {
			return v
		}
	}
	return s[0]
}

// updateClock follows the publisher's clock and tells the players when it has moved. It reports whether the clock is known.
func (st *stream) updateClock(now time.Time) bool {
	if st.pub == nil {
		return false
	}
	offset, ok := st.pub.clockOffset(now)
	if !ok || st.clockOK && (offset-st.offset).Abs() < clockStep {
		return ok
	}
	st.offset, st.clockOK = offset, true
	for _, a := range st.players {
		a.clock(now, offset)
	}
	return true
}

func recordOf(m *wire.Control) rtmpchunk.Record {
	return rtmpchunk.Record{Order: m.Order, Slot: rtmpchunk.Slot(m.Slot), ID: m.ID, Type: m.Message, Timestamp: m.Timestamp, Body: m.Data}
}

func recordMessage(r *rtmpchunk.Record) *wire.Control {
	return &wire.Control{Type: wire.ControlRecord, Order: r.Order, Slot: uint8(r.Slot), ID: r.ID, Message: r.Type, Timestamp: r.Timestamp, Data: r.Body}
}
