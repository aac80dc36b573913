package transport

import (
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// item is one media datagram to be: a packet or a parity symbol of a block.
type item struct {
	blk    *block
	gen    uint32
	index  uint16
	parity bool
	again  bool           // a retransmission
	late   bool           // in the queue of that name
	window *sendWindow    // parity over a window; blk is nil
	kind   rtmpchunk.Kind // of window
}

// size is the length of the frame that carries it.
func (it *item) size() int {
	if it.window != nil {
		return wire.RepairHeader + it.window.symbolSize()
	}
	if it.parity {
		return wire.RepairHeader + it.blk.symbolSize()
	}
	return 1 + len(it.blk.packets[it.index].Data)
}

// blockRef names a block as it is now: it may be reused for another message part later.
type blockRef struct {
	blk *block
	gen uint32
}

func (r blockRef) live() bool { return r.blk.live && r.blk.gen == r.gen }

// queue is a FIFO of items; a slice used as a ring would save little.
type queue struct {
	items []item
	head  int
}

func (q *queue) push(it item) { q.items = append(q.items, it) }

// peek returns the first item that is still wanted, dropping those that are not.
func (q *queue) peek() (*item, bool) {
	for q.head < len(q.items) {
		it := &q.items[q.head]
		if it.blk.live && it.blk.gen == it.gen {
			return it, true
		}
		q.drop()
	}
	return nil, false
}

func (q *queue) drop() {
	q.items[q.head] = item{}
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head >= 256 && q.head*2 >= len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}
