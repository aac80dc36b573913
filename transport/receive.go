package transport

import (
	"time"

	"duet/fec"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// Limits of the receive side.
const (
	maxReceiveBlocks = 512 // per kind; the oldest goes when a new one comes. 10 s of audio, more of video
	maxParityKept    = 64  // parity symbols kept per block; a sender that needs more is beyond help
	maxParityReused  = 64  // buffers of symbols kept for reuse, per kind: more than stand in unfinished blocks at a time
	maxListsReused   = 16  // lists of them, likewise
	maxRebuiltReused = 16  // buffers for what is rebuilt at once; a key frame at high loss may take more
	// maxReceiveBytes of packets and parity stand in unfinished blocks of a kind: three messages of the largest size. Beyond, the
	// oldest are not repaired any more.
	maxReceiveBytes = 12 << 20
)

// receiveSide turns MEDIA and REPAIR into packets: it drops repeats, keeps the packets of unfinished blocks, and rebuilds lost
// ones when enough symbols are there.
type receiveSide struct {
	parser  rtmpchunk.Parser
	kinds   [2]receiveKind
	windows [2]receiveWindow
	solver  fec.Solver
	decoder fec.Decoder
	scratch [MaxBlock][]byte
	symbols []fec.Symbol
	rebuilt [MaxBlock][]byte         // of the block in hand
	spare   [maxRebuiltReused][]byte // memory for it
}

// receiveKind is one kind's blocks, by the sequence number of their first packet.
type receiveKind struct {
	blocks map[uint16]*receiveBlock
	fifo   []*receiveBlock // by arrival of their first symbol, a ring of maxReceiveBlocks
	next   int
	bytes  int // in unfinished blocks
	free   [][]byte
	lists  [][]paritySymbol
}

// receiveBlock is a block on the receive side.
type receiveBlock struct {
	base    uint16
	run     uint32 // instance, 0 while only parity has come
	k       int
	got     int
	done    bool
	packets [MaxBlock]*Packet // nil: missing. Released when done
	bytes   int               // of both
	parity  []paritySymbol
}

type paritySymbol struct {
	index uint8
	data  []byte
}

func (s *receiveSide) init() {
	for i := range s.kinds {
		s.kinds[i].blocks = make(map[uint16]*receiveBlock)
	}
}

// receiveMedia takes a MEDIA frame.
func (c *Conn) receiveMedia(now time.Time, data []byte) {
	if c.sender {
		c.drop(DropDirection)
		return
	}
	c.takePacket(now, data, false)
}

// takePacket parses one RTP packet, notes it in its block, and hands it out unless it is a repeat.
func (c *Conn) takePacket(now time.Time, data []byte, repaired bool) {
	s := &c.receive
	var h rtmpchunk.Header
	if _, err := s.parser.Parse(data, &h); err != nil {
		c.drop(DropPacket)
		return
	}
	first, k := blockSpan(h.Index, h.Count)
	index := int(h.Index) - first
	b := s.block(h.Kind, h.Seq-uint16(index), k, h.Instance)
	w := &s.windows[h.Kind]
	if b == nil || b.done || b.packets[index] != nil {
		c.stats.PacketsRepeated++
		return
	}
	p := c.alloc()
	p.Header = h
	p.Data = append(p.Data[:0], data...)
	if c.tight() || w.wanted(now) {
		w.keep(p)
	}
	b.packets[index] = p
	b.got++
	s.kinds[h.Kind].hold(b, len(data))
	if repaired {
		c.stats.PacketsRepaired++
	} else {
		c.stats.PacketsReceived++
		if h.Index == 0 {
			c.feedback.steady.frame(now, int32(Ticks(c.Clock(now))-h.Capture))
		}
	}
	c.stats.MediaBytesReceived += uint64(len(data))
	p.Retain() // one for the block, one for the reader
	c.emitPacket(p)
	if b.got == b.k {
		s.kinds[h.Kind].finish(b)
	} else if !repaired && len(b.parity) > 0 {
		c.repair(now, h.Kind, b)
	}
	if !repaired && len(w.symbols) > 0 {
		c.solveWindow(now, h.Kind)
	}
}

func (c *Conn) emitPacket(p *Packet) {
	if c.events.size >= maxEvents {
		c.stats.EventsDropped++
		p.Release()
		return
	}
	c.events.push(Event{Kind: EventPacket, Packet: p})
}

// block finds or makes the block with that base; nil if the number of packets contradicts an earlier one. A new run of the
// pusher begins with sequence numbers of its own, so a block of an older run gives way.
func (s *receiveSide) block(kind rtmpchunk.Kind, base uint16, k int, run uint32) *receiveBlock {
	r := &s.kinds[kind]
	if b := r.blocks[base]; b != nil {
		switch {
		case run != 0 && b.run != 0 && b.run != run:
			r.finish(b)
			*b = receiveBlock{base: base, run: run, k: k}
			return b
		case b.k != k && run != 0 && b.run == 0: // parity of an older run
			r.finish(b)
			*b = receiveBlock{base: base, run: run, k: k}
			return b
		case b.k != k:
			return nil
		case b.run == 0:
			b.run = run
		}
		return b
	}
	var b *receiveBlock
	if len(r.fifo) < maxReceiveBlocks {
		b = &receiveBlock{}
		r.fifo = append(r.fifo, b)
	} else {
		b = r.fifo[r.next]
		r.next = (r.next + 1) % maxReceiveBlocks
		if r.blocks[b.base] == b {
			delete(r.blocks, b.base)
		}
		r.finish(b)
	}
	*b = receiveBlock{base: base, run: run, k: k}
	r.blocks[base] = b
	return b
}

// hold counts bytes that the block keeps now, and lets go of the oldest blocks if that is too much.
func (r *receiveKind) hold(b *receiveBlock, n int) {
	b.bytes += n
	r.bytes += n
	for i := 0; r.bytes > maxReceiveBytes && i < len(r.fifo); i++ {
		if old := r.fifo[(r.next+i)%len(r.fifo)]; old != b && !old.done {
			r.finish(old)
		}
	}
}

// finish releases what the block holds; it stays as a memory that all of it has been handed out.
func (r *receiveKind) finish(b *receiveBlock) {
	for i, p := range b.packets[:b.k] {
		if p != nil {
			p.Release()
			b.packets[i] = nil
		}
	}
	r.dropParity(b)
	r.bytes -= b.bytes
	b.bytes = 0
	b.done = true
}

// dropParity forgets a block's parity and keeps its memory for other blocks.
func (r *receiveKind) dropParity(b *receiveBlock) {
	for i := range b.parity {
		if len(r.free) < maxParityReused {
			r.free = append(r.free, b.parity[i].data)
		}
		b.parity[i] = paritySymbol{}
	}
	if cap(b.parity) > 0 && len(r.lists) < maxListsReused {
		r.lists = append(r.lists, b.parity[:0])
	}
	b.parity = nil
}

// releaseAll gives every packet back.
func (s *receiveSide) releaseAll() {
	for i := range s.windows {
		s.windows[i].release()
	}
	for i := range s.kinds {
		for _, b := range s.kinds[i].fifo {
			s.kinds[i].finish(b)
		}
	}
}

// receiveRepair takes a REPAIR frame: it is kept until, with what else has come, it completes its block.
func (c *Conn) receiveRepair(now time.Time, f *wire.Frame) {
	if c.sender {
		c.drop(DropDirection)
		return
	}
	kind := rtmpchunk.Audio
	if f.Repair.Video {
		kind = rtmpchunk.Video
	}
	c.stats.RepairsReceived++
	if f.Repair.Window {
		c.receiveWindowRepair(now, kind, &f.Repair, f.Data)
		return
	}
	b := c.receive.block(kind, f.Repair.Base, f.Repair.K, 0)
	if b == nil {
		c.drop(DropPacket)
		return
	}
	if b.done || len(b.parity) >= maxParityKept {
		c.stats.RepairsUnused++
		return
	}
	for _, p := range b.parity {
		if p.index == uint8(f.Repair.Index) {
			return
		}
	}
	c.receive.kinds[kind].keep(b, uint8(f.Repair.Index), f.Data)
	c.receive.kinds[kind].hold(b, len(f.Data))
	c.repair(now, kind, b)
}

// keep copies a parity symbol, into memory of an earlier block's if there is some.
func (r *receiveKind) keep(b *receiveBlock, index uint8, data []byte) {
	if n := len(r.lists); b.parity == nil && n > 0 {
		b.parity, r.lists = r.lists[n-1], r.lists[:n-1]
	}
	var buf []byte
	if n := len(r.free); n > 0 {
		buf, r.free = r.free[n-1], r.free[:n-1]
	} else {
		buf = make([]byte, 0, rtmpchunk.MaxPacket+2) // a symbol is a length and a packet
	}
	b.parity = append(b.parity, paritySymbol{index: index, data: append(buf[:0], data...)})
}

// repair rebuilds a block's missing packets if there are symbols enough.
func (c *Conn) repair(now time.Time, kind rtmpchunk.Kind, b *receiveBlock) {
	if b.got+len(b.parity) < b.k {
		return
	}
	s := &c.receive
	for i, p := range b.packets[:b.k] {
		s.scratch[i] = nil
		if p != nil {
			s.scratch[i] = p.Data
		}
	}
	s.symbols = s.symbols[:0]
	for _, p := range b.parity {
		s.symbols = append(s.symbols, fec.Symbol{Index: p.index, Data: p.data})
	}
	n := 0
	_, err := s.decoder.Repair(s.scratch[:b.k], s.symbols, func(j, size int) []byte {
		s.rebuilt[j] = s.memory(n, size)
		n++
		return s.rebuilt[j]
	})
	if err != nil {
		c.drop(DropRepair)
		s.kinds[kind].dropParity(b)
		return
	}
	for i, data := range s.rebuilt[:b.k] {
		if data != nil {
			s.rebuilt[i] = nil
			c.takePacket(now, data, true) // which copies it
		}
	}
	if !b.done { // what came out belongs elsewhere: the parity was of another block
		c.drop(DropRepair)
		s.kinds[kind].dropParity(b)
	}
}

// memory is for the n-th packet that is rebuilt at once.
func (s *receiveSide) memory(n, size int) []byte {
	if n >= maxRebuiltReused {
		return make([]byte, size)
	}
	if s.spare[n] == nil || cap(s.spare[n]) < size {
		s.spare[n] = make([]byte, max(size, rtmpchunk.MaxPacket))
	}
	return s.spare[n][:size]
}
