package transport

import "time"

// maxSent bounds the packets whose fate is open: at 1200 bytes that is 9 MB in flight.
const maxSent = 8192

// sentKind is what a packet holds that would have to be sent again.
type sentKind uint8

const (
	sentOther   sentKind = iota // nothing
	sentControl                 // control bytes [offset, offset+length)
	sentSource                  // packet index of a block
	sentParity                  // parity symbol index of a block
	sentWindow                  // parity over a window: its number is index, its kind length
)

type sentState uint8

const (
	sentInFlight sentState = iota
	sentAcked
	sentLost
)

// sentPacket is what we remember of a packet number.
type sentPacket struct {
	at        time.Time
	size      uint16
	kind      sentKind
	state     sentState
	eliciting bool
	index     uint16 // source or parity symbol
	length    uint16
	offset    uint32
	blk       *block
	gen       uint32 // of blk, which may have been reused since
}

// sentLog is a ring of what was sent, by packet number: [base, next).
type sentLog struct {
	ring       []sentPacket
	base, next uint64
	largest    uint64 // highest acknowledged
	any        bool   // something was acknowledged
}

// add notes the next packet. It returns the bytes in flight that it had to forget for it.
func (l *sentLog) add(p sentPacket) (forgotten int) {
	if l.next-l.base == uint64(len(l.ring)) {
		forgotten = l.grow()
	}
	l.ring[l.next&uint64(len(l.ring)-1)] = p
	l.next++
	return forgotten
}

// grow doubles the ring; at its limit it forgets the oldest quarter, which is seconds old.
func (l *sentLog) grow() (forgotten int) {
	if len(l.ring) == maxSent {
		for cut := l.base + maxSent/4; l.base < cut; l.base++ {
			if p := l.get(l.base); p.eliciting && p.state == sentInFlight {
				forgotten += int(p.size)
			}
		}
		return forgotten
	}
	grown := make([]sentPacket, max(64, 2*len(l.ring)))
	for pn := l.base; pn < l.next; pn++ {
		grown[pn&uint64(len(grown)-1)] = l.ring[pn&uint64(len(l.ring)-1)]
	}
	l.ring = grown
	return 0
}

// get returns the record of a packet number, nil if it is forgotten or was never sent.
func (l *sentLog) get(pn uint64) *sentPacket {
	if pn < l.base || pn >= l.next {
		return nil
	}
	return &l.ring[pn&uint64(len(l.ring)-1)]
}

// prune forgets packets from before cut whose fate is known or does not matter.
func (l *sentLog) prune(cut time.Time) {
	for l.base < l.next {
		p := &l.ring[l.base&uint64(len(l.ring)-1)]
		if p.at.After(cut) || p.eliciting && p.state == sentInFlight {
			return
		}
		p.blk = nil
		l.base++
	}
}

// ackedSince reports whether a packet with this number or a higher one was acknowledged.
func (l *sentLog) ackedSince(pn uint64) bool { return l.any && l.largest >= pn }

// expand gives the packet number whose low half is low, nearest to near.
func expand(low uint32, near uint64) uint64 {
	v := near + uint64(int64(int32(low-uint32(near))))
	if int64(v) < 0 {
		return uint64(low)
	}
	return v
}

// expand16 gives the number whose low 16 bits are low, nearest to near.
func expand16(low uint16, near uint64) uint64 {
	v := near + uint64(int64(int16(low-uint16(near))))
	if int64(v) < 0 {
		return uint64(low)
	}
	return v
}
