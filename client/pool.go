package client

import (
	"sync"
	"sync/atomic"

	"duet/rtmpchunk"
	"duet/transport"
)

// packetPool lends packets with their buffers. A packet returns when its last holder lets go; the count is atomic because
// Write fills packets in its caller's goroutine and the link's goroutine gives them back.
type packetPool struct {
	free sync.Pool
}

// lent is a packet, its memory and the number of its holders.
type lent struct {
	transport.Packet
	pool    *packetPool
	holders atomic.Int32
	memory  [rtmpchunk.MaxPacket]byte
}

// lentRef gives a lent packet the methods of transport.Ref, whose names Packet itself has too.
type lentRef struct{ *lent }

// get returns an empty packet with one holder.
func (p *packetPool) get() *transport.Packet {
	k, ok := p.free.Get().(*lent)
	if !ok {
		k = &lent{pool: p}
		k.Ref = lentRef{k}
	}
	k.holders.Store(1)
	k.Data = k.memory[:0]
	return &k.Packet
}

// Retain adds a holder.
func (r lentRef) Retain() { r.holders.Add(1) }

// Release takes one away.
func (r lentRef) Release() {
	switch n := r.holders.Add(-1); {
	case n == 0:
		r.pool.free.Put(r.lent)
	case n < 0:
		panic("client: packet released twice")
	}
}
