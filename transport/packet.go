package transport

import (
	"net/netip"

	"duet/rtmpchunk"
)

// Path is where a session's datagrams go and come from. It is comparable.
type Path struct {
	Carrier uint32         // 0 is UDP; others are named by whoever opens them
	Local   netip.Addr     // our address that the peer asked, zero if unknown: answers leave from it
	Addr    netip.AddrPort // the peer
}

// Packet is one RTP packet of a stream, shared by reference between a stream's ring and the sessions that send it. Its
// fields do not change while anybody holds a reference.
type Packet struct {
	Header rtmpchunk.Header
	Data   []byte // the whole RTP packet, at most rtmpchunk.MaxPacket bytes
	Ref    Ref    // nil: the garbage collector owns it
}

// Ref counts the holders of a pooled packet. The counter lives with the pool, outside the core.
type Ref interface {
	Retain()
	Release()
}

// Retain adds a reference.
func (p *Packet) Retain() {
	if p.Ref != nil {
		p.Ref.Retain()
	}
}

// Release gives a reference back; the packet must not be touched after.
func (p *Packet) Release() {
	if p.Ref != nil {
		p.Ref.Release()
	}
}

// packetHeaders is what RTP and chunk headers take of a packet: 28 bytes and, but for a message's first, 1.
const packetHeaders = 29

// newPacket is the allocator of a Conn whose Config has none.
func newPacket() *Packet {
	return &Packet{Data: make([]byte, 0, rtmpchunk.MaxPacket)}
}

// Transmit tells the driver where to send what Poll put into its buffer.
type Transmit struct {
	Path    Path
	Size    int // bytes in the buffer
	Segment int // size of each datagram but perhaps the last; a driver without segmentation offload sends them one by one
}
