package relay

import (
	"sync"
	"sync/atomic"

	"duet/rtmpchunk"
	"duet/transport"
)

// pooled is a packet with its buffer and the counter of its holders. The counter is atomic because a Publication's goroutine
// fills packets that the loop then owns.
type pooled struct {
	transport.Packet
	refs atomic.Int32
	pool *sync.Pool
	buf  [rtmpchunk.MaxPacket]byte
}

// packetPool hands out packets and takes them back when their last holder lets go.
type packetPool struct {
	pool sync.Pool
	live atomic.Int64 // packets handed out
}

func newPacketPool() *packetPool {
	p := &packetPool{}
	p.pool.New = func() any {
		k := &pooled{pool: &p.pool}
		k.Ref = &counted{pooled: k, live: &p.live}
		return k
	}
	return p
}

// get returns an empty packet with one reference.
func (p *packetPool) get() *transport.Packet {
	k, ok := p.pool.Get().(*pooled)
	if !ok {
		panic("relay: foreign object in the packet pool")
	}
	k.refs.Store(1)
	k.Data = k.buf[:0]
	p.live.Add(1)
	return &k.Packet
}

// counted implements transport.Ref.
type counted struct {
	*pooled
	live *atomic.Int64
}

// Retain adds a holder.
func (c *counted) Retain() { c.refs.Add(1) }

// Release takes one away; the last puts the packet back.
func (c *counted) Release() {
	switch n := c.refs.Add(-1); {
	case n == 0:
		c.live.Add(-1)
		c.pool.Put(c.pooled)
	case n < 0:
		panic("relay: packet released twice")
	}
}
