package transport

import (
	"slices"
	"time"

	"duet/fec"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// Limits of a session's send side.
const (
	maxQueuedBytes = 12 << 20 // media waiting to be sent for the first time: a cached GOP and a key frame of 4 MiB
	maxBlocks      = 8192     // messages (parts) whose fate is open
	maxFreeBlocks  = 64       // kept for reuse: more than complete within a round trip
	expirySlack    = 20 * time.Millisecond
	maxBudget      = 60 * time.Second
)

// sendSide keeps the media that goes out: blocks by message, and four queues in the order in which they are served.
type sendSide struct {
	policy  Policy
	budget  time.Duration
	arrival time.Duration // how long after capture a frame should be at the peer, for planning; 0: the budget
	final   bool          // later is of no use
	aim     time.Duration // how long after capture nearly every frame should be at the peer, which takes later ones too; 0: the budget
	held    bool          // losses wait for an answer until the peer is heard
	hurried bool          // nothing can be reported and answered in time: parity goes over windows
	start   time.Time     // when the session began: older frames count from here

	blocks map[blockKey]*block
	fifo   []blockRef // by age, for expiry
	free   []*block   // out of service, at most maxFreeBlocks

	again, repair, audio, video queue
	late                        queue         // sent again, but later than the peer wanted it
	windows                     [2]sendWindow // by kind
	logs                        [2]windowLog  // likewise
	doubtful                    []*block      // given up, but perhaps rebuilt
	windowItem                  item          // scratch
	queuedBytes                 int

	streamKnown bool
	stream      time.Duration // stream time minus our clock
	encoder     fec.Encoder
	scratch     [MaxBlock][]byte

	run     uint32 // instance named in our START
	order   uint64 // of the newest message handed to us, whole
	joined  uint64 // order named in our START: nothing below is awaited
	skipped uint64 // one past the message that the peer was last told to skip
}

func (s *sendSide) init(p Policy, budget time.Duration, now time.Time) {
	if p == nil {
		p = NewPlanner()
	}
	s.policy, s.budget, s.start = p, min(budget, maxBudget), now
	s.blocks = make(map[blockKey]*block)
}

// SetStreamClock tells a sender how stream time relates to its own session clock: stream minus own. Until then nothing is ever
// too late. A pusher whose captures are on its session clock sets 0.
func (c *Conn) SetStreamClock(offset time.Duration) {
	c.send.stream, c.send.streamKnown = offset, true
}

// Budget is how long after its capture the client still wants a frame.
func (c *Conn) Budget() time.Duration { return c.send.budget }

// Aim is how long after its capture the client would like a frame: within the budget, and the budget where it has not said.
func (c *Conn) Aim() time.Duration {
	if c.send.aim > 0 {
		return min(c.send.aim, c.send.budget)
	}
	return c.send.budget
}

// add takes a packet into its block and queues it.
func (s *sendSide) add(now time.Time, p *Packet, c *Conn) error {
	key, k := keyOf(&p.Header)
	b := s.blocks[key]
	if b == nil {
		if len(s.fifo) >= maxBlocks {
			s.fifo = slices.DeleteFunc(s.fifo, func(r blockRef) bool { return !r.live() })
		}
		if s.queuedBytes > maxQueuedBytes || len(s.fifo) >= maxBlocks {
			return ErrQueueFull
		}
		b = s.newBlock()
		b.reset(&p.Header, int(key.first), k, now)
		b.deadline = s.deadline(now, b, c)
		s.order = max(s.order, expand16(p.Header.Order, s.order))
		s.blocks[key] = b
		s.fifo = append(s.fifo, blockRef{b, b.gen})
		if len(s.fifo) == 1 {
			c.timer.setEarlier(timerExpire, s.expiry(b))
		}
	}
	i := int(p.Header.Index) - b.first
	if b.state[i] != symbolAbsent {
		return nil // the relay's ring drops repeats; this is for other callers
	}
	p.Retain()
	b.packets[i], b.state[i] = p, symbolQueued
	b.have++
	b.queued++
	s.queuedBytes += len(p.Data)
	q := &s.audio
	if b.video {
		q = &s.video
	}
	q.push(item{blk: b, gen: b.gen, index: uint16(i)})
	return nil
}

func (s *sendSide) newBlock() *block {
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	return &block{}
}

// deadline is when the block is of no more use: its capture plus the budget, on our clock. Frames from before the session (a
// joining player's first GOP) count from its start.
func (s *sendSide) deadline(now time.Time, b *block, c *Conn) time.Time {
	if !s.streamKnown {
		return now.Add(s.budget)
	}
	captured := c.origin.Add(FromTicks(b.capture, c.Clock(now)+s.stream) - s.stream)
	if captured.Before(s.start) {
		captured = s.start
	}
	if captured.After(now) { // clocks are estimates
		captured = now
	}
	return captured.Add(s.budget)
}

// expiry is when the sender lets go of a block.
func (s *sendSide) expiry(b *block) time.Time { return b.deadline.Add(expirySlack) }

// peek returns the next media item: answers to losses, then parity of what has been sent, then new audio, then new video, then answers that
// come too late to be first.
func (s *sendSide) peek(now time.Time, c *Conn) (*item, bool) {
	for i, q := range [...]*queue{&s.again, &s.repair, &s.audio, &s.video, &s.late} {
		if i == 2 {
			if it, ok := s.peekWindow(now); ok {
				return it, true
			}
		}
		for {
			it, ok := q.peek()
			if !ok {
				break
			}
			switch {
			case now.After(s.expiry(it.blk)):
				s.abandon(it.blk, c)
			case q != &s.late && !it.parity && s.isLate(now, it.blk, c):
				moved := *it
				moved.late = true
				q.drop()
				s.late.push(moved)
			default:
				return it, true
			}
		}
	}
	return nil, false
}

// isLate reports whether a block can't be of use to a player any more, who may be as far from the peer as we are: after an outage what is new
// goes first.
func (s *sendSide) isLate(now time.Time, b *block, c *Conn) bool {
	at := b.deadline.Add(s.arrival - s.budget)
	if !s.final {
		at = at.Add(c.rtt.srtt() + RepairMargin)
	}
	return s.arrival > 0 && now.After(at)
}

// peekWindow returns parity over a window that is owed.
func (s *sendSide) peekWindow(now time.Time) (*item, bool) {
	for kind := range s.windows {
		w := &s.windows[kind]
		if w.owed == 0 {
			continue
		}
		if w.slide(now) == 0 { // all of it has arrived, or nothing can be helped
			w.owed = 0
			continue
		}
		s.windowItem = item{parity: true, window: w, kind: rtmpchunk.Kind(kind)}
		return &s.windowItem, true
	}
	return nil, false
}

// queueOf finds the queue whose head an item is.
func (s *sendSide) queueOf(it *item) *queue {
	switch {
	case it.late:
		return &s.late
	case it.again:
		return &s.again
	case it.parity:
		return &s.repair
	case it.blk.video:
		return &s.video
	default:
		return &s.audio
	}
}

// write appends the frame.
func (s *sendSide) write(it *item, b []byte) []byte {
	if it.window != nil {
		return it.window.write(b, it.kind == rtmpchunk.Video, &s.encoder)
	}
	if !it.parity {
		return wire.AppendMedia(b, it.blk.packets[it.index].Data)
	}
	blk := it.blk
	b = wire.AppendRepairHeader(b, wire.Repair{Video: blk.video, Base: blk.baseSeq, K: blk.k, Index: int(it.index)})
	return s.encoder.Parity(b, s.packets(blk), int(it.index))
}

// packets lists a block's RTP packets for the encoder.
func (s *sendSide) packets(b *block) [][]byte {
	for i, p := range b.packets[:b.k] {
		s.scratch[i] = p.Data
	}
	return s.scratch[:b.k]
}

// record is what the sent log keeps of an item.
func (s *sendSide) record(it *item) sentPacket {
	if w := it.window; w != nil {
		r := sentPacket{kind: sentWindow, eliciting: true, index: s.logs[it.kind].sent(w.run, w.from, int(w.end-w.from))}
		r.length = uint16(it.kind)
		return r
	}
	r := sentPacket{kind: sentSource, eliciting: true, index: it.index, blk: it.blk, gen: it.gen}
	if it.parity {
		r.kind = sentParity
	}
	return r
}

// pop takes the item that was just sent off its queue; when it was the block's last packet, the policy says how much parity
// follows at once.
func (s *sendSide) pop(now time.Time, it *item, c *Conn) {
	if it.window != nil {
		it.window.owed--
		c.stats.RepairsSent++
		return
	}
	b := it.blk
	switch {
	case it.parity:
		c.stats.RepairsSent++
	case it.again:
		c.stats.Retransmits++
		b.state[it.index] = symbolInFlight
	default:
		c.stats.PacketsSent++
		c.stats.MediaBytesSent += uint64(len(b.packets[it.index].Data))
		c.stats.MessageBytesSent += uint64(max(0, len(b.packets[it.index].Data)-packetHeaders))
		s.queuedBytes -= len(b.packets[it.index].Data)
		b.state[it.index] = symbolInFlight
		b.sent++
		if w := &s.windows[b.kind()]; s.hurried {
			w.add(b.packets[it.index], c.uselessAfter(b))
		} else if w.on {
			w.release()
		}
	}
	b.queued--
	b.inFlight++
	s.queueOf(it).drop()
	if b.sent == b.k && !b.planned {
		b.planned = true
		p := c.plan(now, b)
		s.hurried = p.Rounds == 0 && !p.Later
		w := &s.windows[b.kind()]
		if s.hurried && w.on {
			p.Window = w.slide(now)
		}
		if share := s.policy.Window(p); share > 0 {
			w.owe(b.k, share)
		} else {
			s.addParity(b, s.policy.Parity(p))
		}
	}
}

// uselessAfter is when parity for a block would come too late.
func (c *Conn) uselessAfter(b *block) time.Time {
	at := b.deadline.Add(-c.rtt.min()/2 - windowMargin)
	if c.send.final && c.send.arrival > 0 {
		at = at.Add(c.send.arrival - c.send.budget)
	}
	return at
}

// addParity queues n fresh parity symbols of a complete block.
func (s *sendSide) addParity(b *block, n int) {
	for range n {
		if b.parity >= wire.MaxRepairParity {
			return
		}
		s.repair.push(item{blk: b, gen: b.gen, index: uint16(b.parity), parity: true})
		b.parity++
		b.queued++
	}
}

// delivered notes an acknowledged symbol; a block with enough of them is done.
func (s *sendSide) delivered(p *sentPacket) {
	b := p.blk
	if b == nil || b.gen != p.gen {
		return
	}
	b.inFlight--
	b.delivered++
	if !b.live {
		if b.abandoned && !b.doubtful && b.inFlight == 0 { // all that was under way has arrived: there is nothing to tell
			b.abandoned = false
			s.recycle(b)
		}
		return
	}
	if p.kind == sentSource {
		if b.state[p.index] == symbolDelivered { // arrived twice
			b.delivered--
		}
		b.state[p.index] = symbolDelivered
		s.windows[b.kind()].delivered(b.run, b.baseSeq+p.index)
		s.logs[b.kind()].packet(b.run, b.baseSeq+p.index)
	}
	if b.done() {
		s.retire(b)
	}
}

// lost notes a lost symbol and sends as much again as is now missing.
func (s *sendSide) lost(now time.Time, p *sentPacket, c *Conn) {
	b := p.blk
	if b == nil || b.gen != p.gen {
		return
	}
	b.inFlight--
	if !b.live {
		s.tellSkip(b, c)
		return
	}
	if p.kind == sentSource && b.state[p.index] == symbolInFlight {
		b.state[p.index] = symbolLost
	}
	if c.loss.probes >= silentProbes { // nobody is heard: what is lost now is not sent into the void again and again
		s.held = true
		return
	}
	s.answer(now, b, c)
}

// heard answers the losses that were held back while nobody was heard.
func (s *sendSide) heard(now time.Time, c *Conn) {
	if !s.held {
		return
	}
	s.held = false
	for _, r := range s.fifo {
		if r.live() {
			s.answer(now, r.blk, c)
		}
	}
}

// answer queues what the receiver lacks: packets that are known to be lost, and, where the policy wants more certainty in the
// rounds that remain, fresh parity.
func (s *sendSide) answer(now time.Time, b *block, c *Conn) {
	missing := b.missing()
	if missing <= 0 || !now.Before(c.uselessAfter(b)) {
		return
	}
	extra, late := 0, s.isLate(now, b, c)
	if b.have == b.k && !late {
		extra = s.policy.Extra(missing, c.plan(now, b))
	}
	for i := range b.k {
		if missing == 0 {
			break
		}
		if b.state[i] == symbolLost {
			b.state[i] = symbolAgain
			b.queued++
			missing--
			q := &s.again
			if late {
				q = &s.late
			}
			q.push(item{blk: b, gen: b.gen, index: uint16(i), again: true, late: late})
		}
	}
	if missing > 0 && b.have == b.k { // lost parity that was counted on, with no lost packet known
		extra += missing
	}
	s.addParity(b, extra)
}

// abandon gives a block up: its time is over. The receiver is told, now or as soon as it is clear that it cannot complete the
// block even if everything in flight arrives: of a message that it has seen nothing of it does not know the time, and would wait
// a whole budget from the next one's.
func (s *sendSide) abandon(b *block, c *Conn) {
	c.stats.BlocksAbandoned++
	s.queuedBytes -= b.unsentBytes()
	b.abandoned = true
	s.tellSkip(b, c)
	s.retire(b)
}

// tellSkip sends the SKIP of an abandoned block once it is clear that the block will not become whole.
func (s *sendSide) tellSkip(b *block, c *Conn) {
	if !b.abandoned || b.delivered+b.inFlight >= b.k {
		return
	}
	whole, open := s.logs[b.kind()].rebuilt(b.run, b.baseSeq, b.k)
	if open || whole && b.inFlight > 0 {
		if !b.doubtful {
			b.doubtful = true
			s.doubtful = append(s.doubtful, b)
		}
		return
	}
	b.abandoned = false
	if !whole {
		s.skip(b, c)
	}
	if !b.live { // retired before its fate was clear
		s.recycle(b)
	}
}

// windowFate notes what became of parity over a window, and of the blocks that hung on it.
func (s *sendSide) windowFate(p *sentPacket, state symbolState, c *Conn) {
	s.logs[p.length].fate(p.index, state)
	list := s.doubtful
	s.doubtful = s.doubtful[:0]
	for _, b := range list {
		b.doubtful = false
		s.tellSkip(b, c)
	}
	clear(list[len(s.doubtful):])
}

// skip tells the peer not to wait for a message.
func (s *sendSide) skip(b *block, c *Conn) {
	full := expand16(b.order, s.order)
	if b.run != s.run || full < s.joined || full+1 == s.skipped {
		return // of a run that is over, or another part of the same message
	}
	s.skipped = full + 1
	c.stats.MessagesSkipped++
	if err := c.SendControl(c.now, &wire.Control{Type: wire.ControlSkip, Order: full, Count: 1}); err != nil {
		c.stats.ControlRefused++ // the receiver will find out by its own deadline
	}
}

// retire takes a block out of service. One whose SKIP may still have to be sent is not reused.
func (s *sendSide) retire(b *block) {
	delete(s.blocks, blockKey{run: b.run, order: b.order, first: uint16(b.first)})
	b.release()
	if !b.abandoned {
		s.recycle(b)
	}
}

// recycle keeps a block that is out of service for reuse.
func (s *sendSide) recycle(b *block) {
	if len(s.free) < maxFreeBlocks && !b.doubtful {
		s.free = append(s.free, b)
	}
}

// expireBlocks lets go of blocks whose time is over.
func (c *Conn) expireBlocks(now time.Time) {
	s := &c.send
	n := 0
	for ; n < len(s.fifo); n++ {
		r := s.fifo[n]
		if !r.live() {
			continue
		}
		if !now.After(s.expiry(r.blk)) {
			break
		}
		s.abandon(r.blk, c)
	}
	s.fifo = slices.Delete(s.fifo, 0, n)
	if len(s.fifo) > 0 {
		c.timer.set(timerExpire, s.expiry(s.fifo[0].blk).Add(time.Millisecond))
	}
}

// releaseAll gives up everything.
func (s *sendSide) releaseAll() {
	for _, r := range s.fifo {
		if r.live() {
			r.blk.release()
		}
	}
	clear(s.blocks)
	for i := range s.windows {
		s.windows[i].release()
	}
	s.fifo = nil
	s.again, s.repair, s.audio, s.video, s.late = queue{}, queue{}, queue{}, queue{}, queue{}
	s.queuedBytes = 0
}

// QueuedBytes is how much media waits to be sent for the first time.
func (c *Conn) QueuedBytes() int { return c.send.queuedBytes }

// Drained reports whether everything that was handed to Send, and every control message, has arrived or been given up.
func (c *Conn) Drained() bool { return len(c.send.blocks) == 0 && c.control.drained() }
