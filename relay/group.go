package relay

import (
	"hash/fnv"
	"io"
	"sync/atomic"
	"time"

	"duet/transport"
	"duet/transport/wire"
)

// MaxLoops is how many loops a relay has at most: the low byte of a session's ID names one, and localID is none.
const MaxLoops = localID - 1

// group is what the loops of one relay have in common. A stream belongs to the loop that its name says, with everybody in it, so that media never
// passes from loop to loop; a session's ID names that loop, and the system gives a session's datagrams to it (udp.ListenGroup). The loop that a
// handshake comes to does it, and hands the session over. A datagram that comes to another loop, because the system does not look at IDs, is handed
// over too.
type group struct {
	loops             []*Loop
	floors            *floorTable
	sessions, streams atomic.Int64
}

// NewLoops returns the loops of one relay, as many as there are functions to wake them, each to be driven by a goroutine of its own.
func NewLoops(now time.Time, cfg Config, rand io.Reader, wakes []func()) []*Loop {
	cfg.setDefaults()
	g := &group{floors: newFloorTable(cfg.MaxFloors)}
	for i, wake := range wakes {
		l := newLoop(now, cfg, rand, wake, len(wakes))
		l.group, l.index = g, i
		g.loops = append(g.loops, l)
	}
	for _, l := range g.loops {
		l.parcels.init(len(g.loops))
	}
	return g.loops
}

// home is the loop that owns a stream.
func (g *group) home(stream string) *Loop {
	if len(g.loops) == 1 {
		return g.loops[0]
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(stream))
	return g.loops[h.Sum64()%uint64(len(g.loops))]
}

// owner is the loop that a session's ID names, nil if there is no such loop.
func (g *group) owner(session uint64) *Loop {
	if i := int(byte(session)); i < len(g.loops) {
		return g.loops[i]
	}
	return nil
}

// Limits of what is under way from one loop to another; beyond, datagrams are dropped, as by a socket that is not read.
const (
	parcelSize = 64 // datagrams
	maxParcels = 16
)

// parcel is datagrams on their way to the loop that owns their sessions.
type parcel struct {
	items []parcelItem
	buf   []byte
}

type parcelItem struct {
	from transport.Path
	id   uint64
	size int
}

// parcels is what a loop has for the others, by their index.
type parcels struct {
	open  []*parcel      // nil: nothing yet
	spare []chan *parcel // empty ones; all of them together bound what is under way
	any   bool
}

func (p *parcels) init(loops int) {
	if loops == 1 {
		return
	}
	p.open, p.spare = make([]*parcel, loops), make([]chan *parcel, loops)
	for i := range p.spare {
		p.spare[i] = make(chan *parcel, maxParcels)
		for range maxParcels {
			p.spare[i] <- &parcel{}
		}
	}
}

// handOver puts a datagram into the parcel for its owner, which Poll sends.
func (l *Loop) handOver(owner *Loop, from transport.Path, b []byte) {
	p := &l.parcels
	box := p.open[owner.index]
	if box == nil {
		select {
		case box = <-p.spare[owner.index]:
			p.open[owner.index] = box
		default:
			l.stats.HandoverDrops++
			return
		}
	}
	h, _ := wire.ParseDataHeader(b) // it has been
	l.stats.HandedOver++
	box.items = append(box.items, parcelItem{from, h.Session, len(b)})
	box.buf = append(box.buf, b...)
	p.any = true
	if len(box.items) == parcelSize {
		p.send(l.group)
	}
}

// send hands the parcels over.
func (p *parcels) send(g *group) {
	if !p.any {
		return
	}
	p.any = false
	for i, box := range p.open {
		if box == nil {
			continue
		}
		p.open[i] = nil
		owner, spare := g.loops[i], p.spare[i]
		owner.mail.hand(func(now time.Time) {
			owner.unpack(now, box)
			spare <- box // it has the room for all there are
		})
	}
}

// unpack takes what another loop got.
func (l *Loop) unpack(now time.Time, box *parcel) {
	b := box.buf
	for _, it := range box.items {
		l.data(now, it.from, it.id, b[:it.size:it.size])
		b = b[it.size:]
	}
	box.items, box.buf = box.items[:0], box.buf[:0]
}

// add makes s the sum with another loop's. What the loops have in common is in both.
func (s *Stats) add(o *Stats) {
	s.Loops += o.Loops
	s.Sessions += o.Sessions
	s.Streams += o.Streams
	s.Players += o.Players
	s.Handshakes.Add(&o.Handshakes)
	s.Confirmed += o.Confirmed
	s.Migrations += o.Migrations
	s.DatagramsIn += o.DatagramsIn
	s.DatagramsOut += o.DatagramsOut
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
	s.Resets += o.Resets
	s.Unknown += o.Unknown
	s.Malformed += o.Malformed
	s.PlayerSkips += o.PlayerSkips
	s.FramesThinned += o.FramesThinned
	s.MediaIn += o.MediaIn
	s.MediaBytesIn += o.MediaBytesIn
	s.SendErrors += o.SendErrors
	s.KernelDrops += o.KernelDrops
	s.Wakeups += o.Wakeups
	s.Unsegmented = s.Unsegmented || o.Unsegmented
	s.Delay.Merge(&o.Delay)
	s.LoopLag.Merge(&o.LoopLag)
	s.HandedOver += o.HandedOver
	s.HandoverDrops += o.HandoverDrops
	s.Revoked += o.Revoked
	for i, n := range o.Dropped {
		s.Dropped[i] += n
	}
	s.PacketsLive += o.PacketsLive
	s.Sent.PacketsSent += o.Sent.PacketsSent
	s.Sent.Retransmits += o.Sent.Retransmits
	s.Sent.RepairsSent += o.Sent.RepairsSent
}
